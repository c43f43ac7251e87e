"""One update of the parameters, as a pure function of (state, batch).

    g = ∇_θ L(θ, h; batch)            by `jax.grad`; through `unroll_bptt` that is the explicit reverse scan
    θ ← θ + optimizer(g)              any optax optimizer, with clipping (3.3) if you chain it

On a stream that is longer than one unrolled graph, each batch starts from the carry of the one before, without its
gradient,

    h⁽⁰⁾ of batch k + 1 = stop_gradient(h⁽τ⁾ of batch k),

which is truncated back-propagation through time: the memory is unbounded, and the gradient reaches τ steps back.

Correction to the chapter's 3.3: a nonfinite gradient is never clipped into a finite wrong one (clipping [inf, 1] by its
norm gives [nan, 0]).  The raw gradient is checked before the optimizer; a nonfinite one skips the whole step and is
counted.

Nothing here keeps hidden state: the key of step k is `fold_in(key, k)`, so a run that is stopped and resumed equals one
that was not.

References: Williams & Peng 1990 (truncation); Pascanu, Mikolov & Bengio 2013, §3.2 (clipping);
`optax.apply_if_finite`; chapter 2.2.3 and 3.3; Goodfellow et al. 2016, §10.2.2 and §10.11.1.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

from jaxrnn.core.pytrees import all_finite
from jaxrnn.core.types import Carry, Key, Params

Batch = Any
"""A pytree of arrays that the loss reads."""

LossFn = Callable[[Params, Carry, Batch, Key], tuple[Float[Array, ""], Carry]]
"""(θ, h, batch, key) → (L, h).  Without a stream h is None."""


class TrainState(NamedTuple):
    """The whole state of a run, as a checkpoint stores it.

    >>> init_state({"w": jnp.ones(2)}, optax.sgd(0.1)).step.item()
    0
    """

    step: Int[Array, ""]
    """The number of updates, skipped ones included."""
    params: Params
    """θ."""
    optimizer: optax.ApplyIfFiniteState
    """The state of the optimizer, and the count of skipped updates."""
    carry: Carry = None
    """h⁽τ⁾ of the stream, for the next batch; None without a stream."""

    @property
    def skipped(self) -> Int[Array, ""]:
        """The number of updates skipped because of a nonfinite gradient."""
        return self.optimizer.total_notfinite


def init_state(params: Params, optimizer: optax.GradientTransformation, carry: Carry = None) -> TrainState:
    """Return the state before the first update.

    Args:
      params: θ.
      optimizer: the optimizer that `update` will use.
      carry: h⁽⁰⁾ of the stream; None if batches are independent.

    Returns:
      `TrainState`.

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
    """Make one update, θ ← θ + optimizer(∇_θ L), and pass on the carry.

    If any entry of ∇_θ L is not finite, θ, the state of the optimizer and the carry stay unchanged, and only `step` and
    `skipped` advance.  This holds for any number of such steps in a row.

    Args:
      loss_fn: `(params, carry, batch, key) -> (loss, carry)`.  It is a static argument: pass the same
        function every time, or it compiles every time.
      optimizer: the optax optimizer given to `init_state`, also static.
      state: the state before the update.
      batch: the arrays that `loss_fn` reads.
      key: the key of the run; `loss_fn` receives `jax.random.fold_in(key, state.step)`.

    Returns:
      The state after the update, and L before it.

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

    References: chapter 2.2.3 and 3.3.
    """
    key = jax.random.fold_in(key, state.step)
    cut = jax.lax.stop_gradient(state.carry)
    (loss, carry), gradient = jax.value_and_grad(loss_fn, has_aux=True)(state.params, cut, batch, key)
    updates, optimizer_state = _skip_nonfinite(optimizer).update(gradient, state.optimizer, state.params)
    after = cast(optax.ApplyIfFiniteState, optimizer_state)
    taken = after.last_finite & all_finite(carry)  # a carry of NaN would spoil every step to come
    carry = jax.tree.map(lambda new, old: jnp.where(taken, new, old), carry, cut)
    return TrainState(state.step + 1, optax.apply_updates(state.params, updates), after, carry), loss


@partial(jax.jit, static_argnums=(0, 1))
def updates(
    loss_fn: LossFn, optimizer: optax.GradientTransformation, state: TrainState, batches: Batch, key: Key
) -> tuple[TrainState, Float[Array, " steps"]]:
    """Make several updates in one dispatch: `lax.scan` of `update` over the leading axis of `batches`.

    For small models the dispatch costs more than the update; this dispatches once.

    Args:
      loss_fn: `(params, carry, batch, key) -> (loss, carry)`, a static argument as for `update`.
      optimizer: the optax optimizer given to `init_state`, also static.
      state: the state before the first update.
      batches: the batches, each array with a leading axis `[steps]`.
      key: the key of the run; `loss_fn` receives `jax.random.fold_in(key, state.step)`.

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
    learning_rate: float, steps: int, *, warmup: int = 0, clip: float = 1.0, weight_decay: float = 0.0
) -> optax.GradientTransformation:
    """Return Adam after clipping by the global norm, with a linear warm-up and a cosine decay to 0.

    With a weight decay λ an update also subtracts ηλθ, with η the rate of the update (AdamW).

    Args:
      learning_rate: the highest rate.
      steps: the step at which the rate reaches 0.
      warmup: the step at which it is highest.
      clip: v of 3.3: g ← g v/‖g‖ if ‖g‖ > v.
      weight_decay: λ.

    Returns:
      An optax optimizer.

    >>> cosine_adam(1e-3, steps=100, warmup=10, clip=1.0).init({"w": jnp.ones(2)}) is not None
    True

    References: Kingma & Ba 2015; Loshchilov & Hutter 2017, §3, and 2019, §2; chapter 3.3.
    """
    schedule = _warmup_cosine(learning_rate, steps, warmup)
    adam = optax.adamw(schedule, weight_decay=weight_decay) if weight_decay else optax.adam(schedule)
    return optax.chain(optax.clip_by_global_norm(clip), adam)


def cosine_rmsprop(
    learning_rate: float, steps: int, *, warmup: int = 0, clip: float = 10.0
) -> optax.GradientTransformation:
    """Return RMSProp with momentum 0.9 after clipping every entry, with a linear warm-up and a cosine decay to 0.

    The Neural Turing machine was trained at a constant rate of 10⁻⁴ or less and one episode an update, by a rule like
    this one: it divides by √(n − m² + 10⁻⁴), with m the mean of g, where this one divides by √(n + 10⁻⁸).

    Args:
      learning_rate: the highest rate.
      steps: the step at which the rate reaches 0.
      warmup: the step at which it is highest.
      clip: v of 3.3: each entry of g is clipped to −v … v.

    Returns:
      An optax optimizer.

    >>> cosine_rmsprop(1e-4, steps=100).init({"w": jnp.ones(2)}) is not None
    True

    References: Graves 2013, §2.2 (RMSProp with momentum); Graves, Wayne & Danihelka 2014, §4.6; chapter 3.3.
    """
    schedule = _warmup_cosine(learning_rate, steps, warmup)
    return optax.chain(optax.clip(clip), optax.rmsprop(schedule, decay=0.95, momentum=0.9))


def _warmup_cosine(learning_rate: float, steps: int, warmup: int) -> optax.Schedule:
    start = 0.0 if warmup else learning_rate
    return optax.warmup_cosine_decay_schedule(start, learning_rate, warmup, max(steps, warmup + 1))


def _skip_nonfinite(optimizer: optax.GradientTransformation) -> optax.GradientTransformation:
    """Wrap the whole chain, so that the raw gradient is checked.

    optax lets a nonfinite gradient through once the count of consecutive ones exceeds the limit.  The count saturates
    at the largest int32, so with that as the limit it never does.
    """
    return optax.apply_if_finite(optimizer, max_consecutive_errors=jnp.iinfo(jnp.int32).max)
