"""Gradient clipping, as optax transformations.

    by value       gᵢ ← gᵢ if |gᵢ| ≤ v,  else v sign(gᵢ)
    by norm        g ← g if ‖g‖ ≤ v,     else v g / ‖g‖              ‖g‖ over all parameters together
    random step    g ← g if ‖g‖ ≤ v,     else v r,  r uniform on the unit sphere

Clipping by norm keeps the direction of the minibatch gradient.  Clipping by value does not, but its result still goes
downhill, since ⟨clip(g), g⟩ = Σᵢ |clip(gᵢ)| |gᵢ| ≥ 0.  A random step goes anywhere, which is away from the cliff.

Over many minibatches none of them equals clipping of the true gradient, because the mean of clipped gradients is not
the clipped mean,

    (1/n) Σₖ clip(gₖ)  ≠  clip((1/n) Σₖ gₖ)

and `clipping_bias` measures the difference and the angle.

Corrections to the chapter: clipping by value tests |gᵢ| ≤ v, not gᵢ ≤ v, which would let −10⁹ through.  And a nonfinite
gradient is never clipped into a finite wrong one: `optax.clip` turns ∞ into v, and `optax.clip_by_global_norm` turns
[∞, 1] into [NaN, 0].  Here one nonfinite entry makes every entry NaN and is counted; wrap the optimizer
in `optax.apply_if_finite`, as `jaxrnn.training.train_state.update` does, and the step is skipped.  A random
step is not taken either: a NaN calls for a look at the loss.

References: Mikolov 2012 (by value); Pascanu, Mikolov & Bengio 2013, §3.2 (by norm); Goodfellow, Bengio & Courville
2016, §10.11.1 (the random step, the bias); chapter 3.3.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, PyTree

from jaxrnn.core.pytrees import all_finite
from jaxrnn.core.types import Key


class ClippingState(NamedTuple):
    """The counts of a clipping transformation.

    >>> clip_by_norm(1.0).init({"w": jnp.ones(2)}).clipped.item()
    0
    """

    steps: Int[Array, ""]
    """The number of gradients."""
    clipped: Int[Array, ""]
    """The number of gradients that were clipped."""
    nonfinite: Int[Array, ""]
    """The number of gradients that were not finite."""
    key: PyTree = None
    """The key of the next random step; None for other transformations."""


class ClippingBias(NamedTuple):
    """The mean of clipped gradients compared with the clipped mean.

    >>> clipping_bias({"w": jnp.ones((4, 2))}, v=10.0).difference.item()
    0.0
    """

    mean_of_clipped: PyTree
    """(1/n) Σₖ clip(gₖ), the step of minibatches."""
    clipped_mean: PyTree
    """clip((1/n) Σₖ gₖ), the step of the true gradient."""
    difference: Float[Array, ""]
    """The norm of their difference."""
    cosine: Float[Array, ""]
    """The cosine of the angle between them; 1 if either is 0."""


def clip_by_value(v: float) -> optax.GradientTransformation:
    """Clip every entry, gᵢ ← min(max(gᵢ, −v), v); all NaN if any entry is not finite.

    Args:
      v: the largest |gᵢ|, above 0.

    Returns:
      An optax transformation.

    Raises:
      ValueError: v is not above 0.

    >>> updates, state = (t := clip_by_value(1.0)).update(g := jnp.array([-5.0, 0.5]), t.init(g))
    >>> updates.tolist(), int(state.clipped)
    ([-1.0, 0.5], 1)

    References: `optax.clip`; chapter 3.3.
    """
    return _counted(v, lambda g: optax.tree.norm(g, ord=jnp.inf), lambda g, _: optax.tree.clip(g, -v, v))


def clip_by_norm(v: float) -> optax.GradientTransformation:
    """Clip the global norm, g ← g min(1, v / ‖g‖); all NaN if any entry is not finite.

    Args:
      v: the largest ‖g‖, above 0.

    Returns:
      An optax transformation.

    Raises:
      ValueError: v is not above 0.

    >>> updates, _ = (t := clip_by_norm(1.0)).update(g := jnp.array([3.0, 4.0]), t.init(g))
    >>> [round(u, 3) for u in updates.tolist()]
    [0.6, 0.8]

    References: Pascanu et al. 2013, algorithm 1; `optax.clip_by_global_norm`.
    """
    return _counted(v, _norm, lambda g, _: _scaled(g, v))


def random_step(v: float, key: Key) -> optax.GradientTransformation:
    """Replace g by a random vector of norm v if ‖g‖ > v; all NaN if any entry is not finite.

    Args:
      v: the largest ‖g‖, and the length of the random step.
      key: the key of the random directions; each call uses a new one.

    Returns:
      An optax transformation.

    Raises:
      ValueError: v is not above 0.

    >>> t = random_step(2.0, jax.random.key(0))
    >>> updates, _ = t.update(g := jnp.array([30.0, 40.0]), t.init(g))
    >>> round(float(jnp.linalg.norm(updates)), 4)
    2.0

    References: Goodfellow et al. 2016, §10.11.1; chapter 3.3.
    """

    def step(g, key):
        return _scaled(optax.tree.random_like(key, g, jax.random.normal), v)

    return _counted(v, _norm, step, key)


def clipping_bias(gradients: PyTree, v: float) -> ClippingBias:
    """Compare the mean of clipped minibatch gradients with their clipped mean.

    Args:
      gradients: gₖ, arrays with a leading axis `[minibatches]`.
      v: the largest ‖g‖, above 0.

    Returns:
      `ClippingBias(mean_of_clipped, clipped_mean, difference, cosine)`.

    Raises:
      ValueError: v is not above 0.

    >>> bias = clipping_bias(jnp.array([[10.0, 0.0], [0.0, 1.0]]), v=1.0)
    >>> bias.mean_of_clipped.tolist(), [round(g, 3) for g in bias.clipped_mean.tolist()], round(float(bias.cosine), 3)
    ([0.5, 0.5], [0.995, 0.1], 0.774)

    References: chapter 3.3, last item 2.
    """
    _check(v)
    mean_of_clipped = jax.tree.map(partial(jnp.mean, axis=0), jax.vmap(partial(_clipped, v=v))(gradients))
    clipped_mean = _clipped(jax.tree.map(partial(jnp.mean, axis=0), gradients), v)
    lengths = _norm(mean_of_clipped) * _norm(clipped_mean)
    inner = optax.tree.vdot(mean_of_clipped, clipped_mean)
    cosine = jnp.where(lengths > 0, inner / jnp.where(lengths > 0, lengths, 1), 1)
    return ClippingBias(mean_of_clipped, clipped_mean, _norm(optax.tree.sub(mean_of_clipped, clipped_mean)), cosine)


def _counted(v: float, size: Callable, shorten: Callable, key: Key | None = None) -> optax.GradientTransformation:
    """Apply `shorten(g, key)` if size(g) > v, return NaN if g is not finite, and count both."""
    _check(v)

    def init(params):
        zero = jnp.zeros((), jnp.int32)
        return ClippingState(zero, zero, zero, key)

    def update(updates, state, params=None):
        now, later = (None, None) if key is None else jax.random.split(state.key)
        finite = all_finite(updates)
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
    """Return v g / ‖g‖ without overflow in ‖g‖; 0 for g = 0."""
    largest = optax.tree.norm(g, ord=jnp.inf)
    g = jax.tree.map(lambda a: a / jnp.where(largest > 0, largest, 1).astype(a.dtype), g)
    norm = optax.tree.norm(g)
    return jax.tree.map(lambda a: a * (v / jnp.where(norm > 0, norm, 1)).astype(a.dtype), g)


def _norm(g: PyTree) -> Float[Array, ""]:
    """Return ‖g‖ over all leaves, without overflow of its squares."""
    largest = optax.tree.norm(g, ord=jnp.inf)
    scale = jnp.where((largest > 0) & jnp.isfinite(largest), largest, 1)
    return scale * optax.tree.norm(jax.tree.map(lambda a: a / scale.astype(a.dtype), g))


def _check(v: float) -> None:
    if not v > 0:
        raise ValueError(f"`v` must be above 0, the largest size that a gradient may have, got {v!r}.")
