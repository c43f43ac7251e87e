"""One update of the parameters, as a pure function of (state, batch): chapter, section 2.2.3, put to use.

    g = ∇_θ L(θ, h; batch)            by `jax.grad`, which through `unroll_bptt` is the explicit reverse scan
    θ ← θ + optimizer(g)              any optax optimizer, clipping (3.3) among its links

Over a stream of text that is longer than one unrolled graph the carry is handed on and cut,

    h⁽⁰⁾ of batch k + 1 = stop_gradient(h⁽τ⁾ of batch k),

which is truncated back-propagation through time: what is remembered is unbounded, what is learnt from is τ
steps.

Correction to the chapter's 3.3: a gradient that is not finite is never clipped into a finite wrong one
(clipping [inf, 1] by its norm gives [nan, 0]).  The raw gradient is looked at, before the optimizer sees it;
the step is skipped, whole, and counted.

Nothing here keeps state or draws from a global stream: the key of step k is `fold_in(key, k)`, so a run that
is stopped and resumed is the run that was not.

References: Williams & Peng 1990 (truncation); Pascanu, Mikolov & Bengio 2013, §3.2 (clipping);
`optax.apply_if_finite`.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

from jaxrnn.core.types import Carry, Key, Params

Batch = Any
"""A pytree of arrays: whatever the loss reads."""

LossFn = Callable[[Params, Carry, Batch, Key], tuple[Float[Array, ""], Carry]]
"""(θ, h, batch, key) → (L, h).  Without a stream h is None, and comes back as None."""


class TrainState(NamedTuple):
    """All that a run is, at one moment; what a checkpoint holds."""

    step: Int[Array, ""]
    """How many updates were asked for, the skipped ones included."""
    params: Params
    """θ."""
    optimizer: optax.ApplyIfFiniteState
    """The optimizer's own state, and what was skipped."""
    carry: Carry = None
    """h⁽τ⁾ of the stream, for the next batch; None where there is no stream."""

    @property
    def skipped(self) -> Int[Array, ""]:
        """How many updates were skipped because their gradient was not finite."""
        return self.optimizer.total_notfinite


def init_state(params: Params, optimizer: optax.GradientTransformation, carry: Carry = None) -> TrainState:
    """The state before the first update.

    Args:
      params: θ.
      optimizer: the one that `update` will be given.
      carry: h⁽⁰⁾ of the stream; None where each batch stands alone.

    >>> state = init_state(jnp.ones(3), optax.sgd(0.1))
    >>> int(state.step), int(state.skipped)
    (0, 0)
    """
    optimizer_state = cast(optax.ApplyIfFiniteState, _skip_nonfinite(optimizer).init(params))
    return TrainState(jnp.zeros((), jnp.int32), params, optimizer_state, carry)


@partial(jax.jit, static_argnums=(0, 1))
def update(
    loss_fn: LossFn, optimizer: optax.GradientTransformation, state: TrainState, batch: Batch, key: Key
) -> tuple[TrainState, Float[Array, ""]]:
    """One update: θ ← θ + optimizer(∇_θ L), and the carry handed on.

    If any entry of ∇_θ L is not finite, then θ, the optimizer's state and the carry stay as they are, and
    only `step` and `skipped` move on.  There is no number of such steps after which one gets through.

    Args:
      loss_fn: `(params, carry, batch, key) -> (loss, carry)`.  It is a static argument: give the same
        function every time, or it is compiled every time.
      optimizer: any optax optimizer, as it was given to `init_state`; static too.
      state: the state before.
      batch: what `loss_fn` reads.
      key: the run's key; `loss_fn` gets `jax.random.fold_in(key, state.step)`.

    Returns:
      The state after, and L before the update.

    >>> def loss_fn(params, carry, batch, key):
    ...     return jnp.sum((params - batch) ** 2), carry
    >>> optimizer = optax.sgd(0.25)
    >>> state = init_state(jnp.zeros(2), optimizer)
    >>> state, loss = update(loss_fn, optimizer, state, jnp.array([1.0, 2.0]), jax.random.key(0))
    >>> state.params.tolist(), float(loss)
    ([0.5, 1.0], 5.0)
    >>> state, loss = update(loss_fn, optimizer, state, jnp.array([1.0, jnp.inf]), jax.random.key(0))
    >>> state.params.tolist(), int(state.step), int(state.skipped)
    ([0.5, 1.0], 2, 1)

    References: chapter, sections 2.2.3 and 3.3.
    """
    key = jax.random.fold_in(key, state.step)
    cut = jax.lax.stop_gradient(state.carry)
    (loss, carry), gradient = jax.value_and_grad(loss_fn, has_aux=True)(state.params, cut, batch, key)
    updates, optimizer_state = _skip_nonfinite(optimizer).update(gradient, state.optimizer, state.params)
    after = cast(optax.ApplyIfFiniteState, optimizer_state)
    taken = after.last_finite & _all_finite(carry)  # a carry of NaN would spoil every step to come
    carry = jax.tree.map(lambda new, old: jnp.where(taken, new, old), carry, cut)
    return TrainState(state.step + 1, optax.apply_updates(state.params, updates), after, carry), loss


@partial(jax.jit, static_argnums=(0, 1))
def updates(
    loss_fn: LossFn, optimizer: optax.GradientTransformation, state: TrainState, batches: Batch, key: Key
) -> tuple[TrainState, Float[Array, " steps"]]:
    """Several updates in one dispatch: `lax.scan` of `update` over the leading axis of `batches`.

    Small models spend more time on the way to the device than on it; this goes there once.

    Args:
      loss_fn, optimizer, state, key: as for `update`.
      batches: as the batch of `update`, each array with `[steps]` in front.

    Returns:
      The state after the last update, and L of each: `[steps]`.

    >>> optimizer = optax.sgd(0.25)
    >>> state = init_state(jnp.zeros(()), optimizer)
    >>> loss_fn = lambda params, carry, batch, key: ((params - batch) ** 2, carry)
    >>> state, losses = updates(loss_fn, optimizer, state, jnp.ones(3), jax.random.key(0))
    >>> losses.tolist()
    [1.0, 0.25, 0.0625]
    """
    return jax.lax.scan(lambda state, batch: update(loss_fn, optimizer, state, batch, key), state, batches)


def cosine_adam(
    learning_rate: float, steps: int, *, warmup: int = 0, clip: float = 1.0
) -> optax.GradientTransformation:
    """Adam after clipping by the global norm; the rate goes up in `warmup` steps and down along a cosine to 0.

    Args:
      learning_rate: the highest rate.
      steps: the step at which the rate is 0 again.
      warmup: the step at which it is highest.
      clip: v of section 3.3: g ← g v/‖g‖ where ‖g‖ > v.

    References: Kingma & Ba 2015; Loshchilov & Hutter 2017, §3; chapter, section 3.3.
    """
    start = 0.0 if warmup else learning_rate
    schedule = optax.warmup_cosine_decay_schedule(start, learning_rate, warmup, max(steps, warmup + 1))
    return optax.chain(optax.clip_by_global_norm(clip), optax.adam(schedule))


def _skip_nonfinite(optimizer: optax.GradientTransformation) -> optax.GradientTransformation:
    """Around the whole chain, so that it is the raw gradient that is looked at.

    optax lets a bad one through once the count of consecutive ones exceeds the limit; the count saturates at
    the largest int32, so with that as the limit it never does.
    """
    return optax.apply_if_finite(optimizer, max_consecutive_errors=jnp.iinfo(jnp.int32).max)


def _all_finite(tree) -> Array:
    leaves = [x for x in jax.tree.leaves(tree) if jnp.issubdtype(x.dtype, jnp.inexact)]
    return jnp.all(jnp.array([jnp.all(jnp.isfinite(x)) for x in leaves], bool))
