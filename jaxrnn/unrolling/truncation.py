"""Truncated back-propagation through time, BPTT(k₁, k₂), for endless streams.

After every k₁ steps, the losses of those steps are propagated back through the last k₂ ≥ k₁ steps and no further:

    ∇̃_θ L = Σⱼ ∇_θ Σ_{t ∈ chunk j} L⁽ᵗ⁾ with h at the beginning of window j held constant
    chunk j = ((j − 1) k₁, j k₁],     window j = (j k₁ − k₂, j k₁]

The values are those of the whole run; only the gradient is truncated.  k₁ = k₂ is the common form, chunk by chunk; k₂
≥ τ is full BPTT for any k₁; in between, every loss reaches at least k₂ − k₁ steps before its chunk.

`unroll_truncated` does this as a member of the unroll family, `TruncatedBPTT` for a stream, chunk by chunk, with a
state that a training loop passes on.

References: Williams & Peng 1990, "An efficient gradient-based algorithm for on-line training of recurrent
network trajectories", BPTT(h; h′); Sutskever 2013, §2.8.6; chapter 2.2; Goodfellow et al.
2016, §10.2.2.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, PyTree, Shaped

from jaxrnn.core.checks import check_is_cell, check_positive, check_unroll, leading_axes
from jaxrnn.core.masks import boundaries
from jaxrnn.core.types import Carry, Cell, Inputs, Params
from jaxrnn.machines.meshes import scan, spread
from jaxrnn.machines.sizes import at_least
from jaxrnn.unrolling.backpropagation import unroll_bptt
from jaxrnn.unrolling.result_layouts import results_layout
from jaxrnn.unrolling.scan import initial_carry, select, unroll


def unroll_truncated(
    cell: Cell,
    params: Params,
    xs: PyTree[Shaped[Array, "..."]],
    carry: Carry | None = None,
    *,
    k1: int,
    k2: int,
    mask: Bool[Array, "..."] | None = None,
    reset: Bool[Array, "..."] | None = None,
    reverse: bool = False,
    run: Callable = unroll_bptt,
) -> tuple[Carry, PyTree[Shaped[Array, "..."]]]:
    """Run a cell over a sequence with the truncated gradient BPTT(k₁, k₂).

    Args:
      cell: any cell.
      params: its parameters.
      xs: inputs `[time, *batch, input]`.
      carry: h⁽⁰⁾; None is the cell's initial carry.
      k1: the number of steps between two truncated passes.
      k2: the number of steps that a pass reaches back.
      mask: `[time, *batch]`; False where the step does not happen.
      reset: `[time, *batch]`; True where a new episode begins.
      reverse: run from the last step to the first.
      run: the member of the family that runs a window.

    Returns:
      (carry, ys) as `unroll`.  A loss on the final carry uses the last window.  All windows run together, as one more
      batch axis, which takes k₂/k₁ times the memory of the full gradient.

    Raises:
      TypeError, ValueError: as `unroll`.
      ValueError: k₁ below 1, or k₂ below k₁.

    >>> from jaxrnn import Elman
    >>> cell = Elman(input_size=2, hidden_size=3)
    >>> params, xs = cell.init(jax.random.key(0)), jnp.ones((6, 2))
    >>> def last(xs):
    ...     return unroll_truncated(cell, params, xs, k1=2, k2=4)[1][-1].sum()
    >>> (jax.grad(last)(xs) != 0).any(axis=1)  # the last 4 steps
    Array([False, False,  True,  True,  True,  True], dtype=bool)

    References: Williams & Peng 1990, §3.
    """
    _check_cuts(k1, k2)
    arguments = params, *check_unroll(cell, params, xs, carry, mask, reset, reverse=reverse)
    truncated = partial(_unroll_truncated, cell, k1, k2, reverse, run)
    return spread(truncated, partial(results_layout, arguments[0], arguments[1]), *arguments)


@partial(jax.jit, static_argnums=(0, 1, 2, 3, 4))
def _unroll_truncated(cell, k1, k2, reverse, run, params, xs, carry, mask, reset):
    time, *batch = leading_axes(xs)
    carry = initial_carry(cell, params, xs) if carry is None else carry
    if time == 0:
        return run(cell, params, xs, carry, mask=mask, reset=reset)
    if reverse:  # forwards on the flip; boundaries stay between the steps where they lie
        xs, mask = jax.tree.map(lambda a: jnp.flip(a, 0), (xs, mask))
        reset = None if reset is None else jnp.flip(boundaries(reset, reverse=True), 0)
    count = -(-time // k1)
    k2 = min(k2, count * k1) if at_least(time, 1) else k2
    mask = jnp.ones((time, *batch), bool) if mask is None else mask
    # k₂ steps of padding before and the rest of a chunk behind: then every window begins at a multiple of k₁
    read = jax.tree.map(lambda a: jnp.pad(a, [(k2, count * k1 - time)] + [(0, 0)] * (a.ndim - 1)), (xs, mask, reset))
    carries = _window_starts(cell, params, read, carry, k1, k2)
    windows = jnp.arange(k2)[:, None] + k1 * jnp.arange(1, count + 1)
    xs, mask, reset = jax.tree.map(lambda a: a[windows], read)
    ends, ys = run(cell, params, xs, carries, mask=mask, reset=reset)
    last = jax.tree.map(lambda a: a[-1], ends)
    ys = jax.tree.map(lambda a: a[k2 - k1 :].swapaxes(0, 1).reshape(count * k1, *a.shape[2:])[:time], ys)
    return last, jax.tree.map(lambda a: jnp.flip(a, 0), ys) if reverse else ys


def _window_starts(cell: Cell, params: Params, read: tuple, carry: Carry, k1: int, k2: int) -> Carry:
    """Return h at the start of each window, `[windows, *batch, ...]`: constants, except where it is h⁽⁰⁾ itself."""
    count = (read[1].shape[0] - k2) // k1
    chunks = jax.tree.map(lambda a: a[: count * k1].reshape(count, k1, *a.shape[1:]), read)

    def chunk(carry, at):
        xs, mask, reset = at
        carry, _ = unroll(cell, params, xs, carry, mask=mask, reset=reset)
        return carry, carry

    _, starts = lax.stop_gradient(scan(chunk, carry, chunks))
    at_0 = k1 * jnp.arange(1, count + 1) <= k2
    return select(at_0, jax.tree.map(lambda a: jnp.broadcast_to(a, (count, *a.shape)), carry), starts)


class TruncatedState(NamedTuple):
    """The state of a stream: the steps that the next window reaches back to, and h before them.

    >>> TruncatedState._fields[0]
    'carry'
    """

    carry: Carry
    """h at the beginning of the window."""
    xs: Inputs
    """The last k₂ inputs, `[k2, *batch, ...]`."""
    mask: Bool[Array, "k2 *batch"]
    """True for valid inputs; none before the stream starts."""
    reset: Bool[Array, "k2 *batch"]
    """The resets of these inputs."""
    fresh: Bool[Array, ""]
    """True if the next step is the first, from the initial carry of the cell."""


@jax.tree_util.register_static
@dataclass(frozen=True)
class TruncatedBPTT:
    """BPTT(k₁, k₂) over a stream, k₁ steps at a time; differentiate `step` to get its gradient.

    Each chunk costs k₁ + k₂ steps forward and k₂ backward; the h at the start of a window is computed with the
    current parameters.

    Args:
      cell: any cell.
      k1: the length of a chunk.
      k2: the number of steps that its losses reach back.

    Raises:
      TypeError: `cell` is not a cell.
      ValueError: k₁ below 1, or k₂ below k₁.

    >>> from jaxrnn import GRU
    >>> stream = TruncatedBPTT(GRU(2, 3), k1=5, k2=10)
    >>> params, chunk = stream.cell.init(jax.random.key(0)), jnp.ones((5, 2))
    >>> state = stream.init(params, chunk)
    >>> def loss(params, state):
    ...     state, ys = stream.step(params, state, chunk)
    ...     return ys.sum(), state
    >>> for _ in range(3):
    ...     gradient, state = jax.grad(loss, has_aux=True)(params, state)

    References: Williams & Peng 1990, §3.
    """

    cell: Cell
    k1: int
    k2: int

    def __post_init__(self):
        check_is_cell(cell=self.cell)
        _check_cuts(self.k1, self.k2)

    def init(self, params: Params, xs: PyTree[Shaped[Array, "..."]], carry: Carry | None = None) -> TruncatedState:
        """Return the state before the first chunk; `xs` is any chunk, for its shapes, and `carry` is h⁽⁰⁾."""
        xs, carry, *_ = check_unroll(self.cell, params, xs, carry, None, None)
        batch = leading_axes(xs)[1:]
        start = initial_carry(self.cell, params, xs) if carry is None else carry
        none = jnp.zeros((self.k2, *batch), bool)
        xs = jax.tree.map(lambda a: jnp.zeros((self.k2, *a.shape[1:]), a.dtype), xs)
        return TruncatedState(start, xs, none, none, jnp.asarray(carry is None))

    def step(
        self,
        params: Params,
        state: TruncatedState,
        xs: PyTree[Shaped[Array, "..."]],
        *,
        mask: Bool[Array, "..."] | None = None,
        reset: Bool[Array, "..."] | None = None,
        run: Callable = unroll_bptt,
    ) -> tuple[TruncatedState, PyTree[Shaped[Array, "..."]]]:
        """Run the next chunk, `xs` `[k1, *batch, input]`, and return the state after it and its `ys`.

        Raises:
          ValueError: a chunk without exactly k₁ steps; and as `unroll`.
        """
        xs, _, mask, reset = check_unroll(self.cell, params, xs, None, mask, reset)
        leading = leading_axes(xs)
        if leading[0] != self.k1:
            raise ValueError(f"`xs` must hold k1={self.k1} steps, got {leading[0]}. Pad and mask a shorter last chunk.")
        mask = jnp.ones(leading, bool) if mask is None else mask
        reset = jnp.zeros(leading, bool) if reset is None else reset
        reset = reset.at[0].set(reset[0] | state.fresh)  # h⁽⁰⁾ is the initial carry, gradient and all
        start = lax.stop_gradient(self._start(lax.stop_gradient(params), state))
        xs, mask, reset = jax.tree.map(self._append, (state.xs, state.mask, state.reset), (xs, mask, reset))
        _, ys = run(self.cell, params, xs, start, mask=mask, reset=reset)
        after = TruncatedState(start, lax.stop_gradient(xs), mask, reset, fresh=jnp.zeros_like(state.fresh))
        return after, jax.tree.map(lambda a: a[self.k2 - self.k1 :], ys)

    def _start(self, params: Params, state: TruncatedState) -> Carry:
        """Return h at the start of the next window, k₁ steps after the start of the previous one."""
        xs, mask, reset = jax.tree.map(lambda a: a[: self.k1], (state.xs, state.mask, state.reset))
        return unroll(self.cell, params, xs, state.carry, mask=mask, reset=reset)[0]

    def _append(self, old: Array, new: Array) -> Array:
        """Return the last k₂ of the steps of the previous window followed by the new ones."""
        return jnp.concatenate([lax.stop_gradient(old), new])[self.k1 :]


def _check_cuts(k1: int, k2: int) -> None:
    check_positive(k1=k1, k2=k2)
    if k2 < k1:
        raise ValueError(
            f"`k2` must be at least k1={k1}, got {k2}: of the {k1} losses of a chunk, {k1 - k2} would not be "
            "propagated back through any step."
        )
