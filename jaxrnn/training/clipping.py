"""Gradients that are too long: chapter, section 3.3.

    by value       gᵢ ← gᵢ if |gᵢ| ≤ v,  else v sign(gᵢ)
    by norm        g ← g if ‖g‖ ≤ v,     else v g / ‖g‖              ‖g‖ over all parameters together
    random step    g ← g if ‖g‖ ≤ v,     else v r,  r uniform on the unit sphere

as optax transformations.  The norm keeps the direction of the minibatch's gradient; clipping by value does not,
but what it leaves still goes downhill, as ⟨clip(g), g⟩ = Σᵢ |clip(gᵢ)| |gᵢ| ≥ 0.  The random step goes anywhere,
which is away from the cliff.

Over many minibatches none of them is a clipped true gradient: the mean of the clipped is not the clipped mean,

    (1/n) Σₖ clip(gₖ)  ≠  clip((1/n) Σₖ gₖ)

and `clipping_bias` says by how much and by what angle.

Corrections to the chapter: clipping by value tests |gᵢ| ≤ v, not gᵢ ≤ v, which would let −10⁹ through.  And a
gradient that is not finite is never made a finite wrong one: `optax.clip` makes v of ∞, `optax.clip_by_global_norm`
makes [NaN, 0] of [∞, 1].  Here one entry that is not finite makes every entry NaN and is counted; put the optimizer
into `optax.apply_if_finite`, as `jaxrnn.training.train_state.update` does, and the step is skipped.  The random step
is no way out of it either: after a NaN the loss, and what led to it, should be looked at.

References: Mikolov 2012 (by value); Pascanu, Mikolov & Bengio 2013, §3.2 (by norm); Goodfellow, Bengio & Courville
2016, §10.11.1 (the random step, the bias).
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, PyTree

from jaxrnn.core.types import Key


class ClippingState(NamedTuple):
    """What a clipping transformation counts."""

    steps: Int[Array, ""]
    """How many gradients came."""
    clipped: Int[Array, ""]
    """How many of them were too long."""
    nonfinite: Int[Array, ""]
    """How many of them were not finite."""
    key: PyTree = None
    """The key of the next random step; None elsewhere."""


class ClippingBias(NamedTuple):
    """The mean of clipped gradients beside the clipped mean."""

    mean_of_clipped: PyTree
    """(1/n) Σₖ clip(gₖ): where minibatches go."""
    clipped_mean: PyTree
    """clip((1/n) Σₖ gₖ): where the true gradient would go."""
    difference: Float[Array, ""]
    """The norm of the one minus the other."""
    cosine: Float[Array, ""]
    """Of the angle between them; 1 where either is 0."""


def clip_by_value(v: float) -> optax.GradientTransformation:
    """gᵢ ← min(max(gᵢ, −v), v), entry by entry; all NaN if any entry is not finite.

    Args:
      v: the largest |gᵢ|, above 0.

    Raises:
      ValueError: v that is not above 0.

    >>> updates, state = (t := clip_by_value(1.0)).update(g := jnp.array([-5.0, 0.5]), t.init(g))
    >>> updates.tolist(), int(state.clipped)
    ([-1.0, 0.5], 1)

    References: `optax.clip`; chapter, section 3.3.
    """
    return _counted(v, lambda g: optax.tree.norm(g, ord=jnp.inf), lambda g, _: optax.tree.clip(g, -v, v))


def clip_by_norm(v: float) -> optax.GradientTransformation:
    """g ← g min(1, v / ‖g‖) over all parameters together; all NaN if any entry is not finite.

    Args:
      v: the largest ‖g‖, above 0.

    Raises:
      ValueError: v that is not above 0.

    >>> updates, _ = (t := clip_by_norm(1.0)).update(g := jnp.array([3.0, 4.0]), t.init(g))
    >>> [round(u, 3) for u in updates.tolist()]
    [0.6, 0.8]

    References: Pascanu et al. 2013, algorithm 1; `optax.clip_by_global_norm`.
    """
    return _counted(v, _norm, lambda g, _: _scaled(g, v))


def random_step(v: float, key: Key) -> optax.GradientTransformation:
    """g, or where ‖g‖ > v a random vector of the norm v; all NaN if any entry is not finite.

    Args:
      v: the largest ‖g‖, and the length of the random step.
      key: of the random directions; each call uses a new one.

    Raises:
      ValueError: v that is not above 0.

    >>> t = random_step(2.0, jax.random.key(0))
    >>> updates, _ = t.update(g := jnp.array([30.0, 40.0]), t.init(g))
    >>> round(float(jnp.linalg.norm(updates)), 4)
    2.0

    References: Goodfellow et al. 2016, §10.11.1; chapter, section 3.3.
    """

    def step(g, key):
        return _scaled(optax.tree.random_like(key, g, jax.random.normal), v)

    return _counted(v, _norm, step, key)


def clipping_bias(gradients: PyTree, v: float) -> ClippingBias:
    """What clipping by norm does to the mean of minibatch gradients.

    Args:
      gradients: gₖ, each array with `[minibatches]` in front.
      v: the largest ‖g‖, above 0.

    Returns:
      `ClippingBias(mean_of_clipped, clipped_mean, difference, cosine)`.

    Raises:
      ValueError: v that is not above 0.

    >>> bias = clipping_bias(jnp.array([[10.0, 0.0], [0.0, 1.0]]), v=1.0)
    >>> bias.mean_of_clipped.tolist(), [round(g, 3) for g in bias.clipped_mean.tolist()], round(float(bias.cosine), 3)
    ([0.5, 0.5], [0.995, 0.1], 0.774)

    References: chapter, section 3.3, the last item 2.
    """
    _check(v)
    mean_of_clipped = jax.tree.map(partial(jnp.mean, axis=0), jax.vmap(partial(_clipped, v=v))(gradients))
    clipped_mean = _clipped(jax.tree.map(partial(jnp.mean, axis=0), gradients), v)
    lengths = _norm(mean_of_clipped) * _norm(clipped_mean)
    inner = optax.tree.vdot(mean_of_clipped, clipped_mean)
    cosine = jnp.where(lengths > 0, inner / jnp.where(lengths > 0, lengths, 1), 1)
    return ClippingBias(mean_of_clipped, clipped_mean, _norm(optax.tree.sub(mean_of_clipped, clipped_mean)), cosine)


def _counted(v: float, size: Callable, shorten: Callable, key: Key | None = None) -> optax.GradientTransformation:
    """`shorten(g, key)` where size(g) > v, NaN where g is not finite; both are counted."""
    _check(v)

    def init(params):
        zero = jnp.zeros((), jnp.int32)
        return ClippingState(zero, zero, zero, key)

    def update(updates, state, params=None):
        now, later = (None, None) if key is None else jax.random.split(state.key)
        finite = _all_finite(updates)
        long = finite & ~(size(updates) <= v)
        short = shorten(updates, now)
        updates = jax.tree.map(lambda g, s: jnp.where(finite, jnp.where(long, s, g), jnp.nan), updates, short)
        counts = ClippingState(state.steps + 1, state.clipped + long, state.nonfinite + ~finite, later)
        return updates, counts

    return optax.GradientTransformation(init, update)


def _clipped(g: PyTree, v: float) -> PyTree:
    long = _norm(g) > v
    return jax.tree.map(lambda a, b: jnp.where(long, b, a), g, _scaled(g, v))


def _scaled(g: PyTree, v: float) -> PyTree:
    """v g / ‖g‖, without overflow in ‖g‖; 0 of 0."""
    largest = optax.tree.norm(g, ord=jnp.inf)
    g = jax.tree.map(lambda a: a / jnp.where(largest > 0, largest, 1).astype(a.dtype), g)
    norm = optax.tree.norm(g)
    return jax.tree.map(lambda a: a * (v / jnp.where(norm > 0, norm, 1)).astype(a.dtype), g)


def _norm(g: PyTree) -> Float[Array, ""]:
    """‖g‖ over all leaves, without overflow of its squares."""
    largest = optax.tree.norm(g, ord=jnp.inf)
    scale = jnp.where((largest > 0) & jnp.isfinite(largest), largest, 1)
    return scale * optax.tree.norm(jax.tree.map(lambda a: a / scale.astype(a.dtype), g))


def _all_finite(g: PyTree) -> Array:
    return jnp.all(jnp.array([jnp.all(jnp.isfinite(a)) for a in jax.tree.leaves(g)], bool))


def _check(v: float) -> None:
    if not v > 0:
        raise ValueError(f"`v` must be above 0, the largest size that a gradient may have, got {v!r}.")
