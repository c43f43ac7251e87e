"""Gradients computed forward in time, without a backward pass.

Everything that L⁽ᵗ⁾ owes to θ through the past is in one matrix, the influence of θ on the carry,

    J⁽ᵗ⁾ = ∂h⁽ᵗ⁾/∂θ,      J⁽ᵗ⁾ = D⁽ᵗ⁾ J⁽ᵗ⁻¹⁾ + I⁽ᵗ⁾,      D⁽ᵗ⁾ = ∂h⁽ᵗ⁾/∂h⁽ᵗ⁻¹⁾,   I⁽ᵗ⁾ = the direct ∂h⁽ᵗ⁾/∂θ

    ∇_θ L⁽ᵗ⁾ = (∂L⁽ᵗ⁾/∂h⁽ᵗ⁻¹⁾) J⁽ᵗ⁻¹⁾ + the direct ∂L⁽ᵗ⁾/∂θ

RTRL stores J whole, SnAp some of its entries, UORO a random matrix of rank one whose mean is J, and e-prop the part
that flows within the units.  Each is a value with two pure functions,

    state = algorithm.init(params, x)                               before the first step
    state, done = algorithm.step(params, state, x, loss)            done: (y, loss, gradient)

which work in a control loop as well as in a `lax.scan` (`run_online`).  This module holds what they share: the step of
one row as a function of one vector, and the update of J.

References: Williams & Zipser 1989; Marschall, Cho & Savin 2020, "A unified framework of online learning
algorithms for training recurrent neural networks"; chapter 2.2.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, PyTree, Shaped

from jaxrnn.core.checks import check_unroll, leading_axes
from jaxrnn.core.masks import sum_over_valid, valid_steps
from jaxrnn.core.pytrees import ravel_floating, unravel_floating
from jaxrnn.core.types import Carry, Cell, Inputs, Params
from jaxrnn.unrolling.scan import gated, readable, zeros


class OnlineState(NamedTuple):
    """The state between two steps; its size does not depend on the number of steps.

    >>> from jaxrnn import Elman
    >>> from jaxrnn.online import RTRL
    >>> algorithm = RTRL(Elman(2, 3))
    >>> algorithm.init(algorithm.cell.init(jax.random.key(0)), jnp.ones((4, 2))).carry.shape
    (4, 3)
    """

    carry: Carry
    """h⁽ᵗ⁾, `[*batch, ...]`."""
    influence: Any
    """J⁽ᵗ⁾ of each row in the form of the algorithm; the leading axis is `[rows]`."""


class OnlineStep(NamedTuple):
    """The result of one step: output, loss and gradient.

    >>> OnlineStep(y=jnp.zeros(3), loss=jnp.array(0.5), gradient=()).loss.item()
    0.5
    """

    y: Any
    """y⁽ᵗ⁾, 0 where `mask` is False."""
    loss: Float[Array, ""]
    """L⁽ᵗ⁾."""
    gradient: Params
    """∇_θ L⁽ᵗ⁾, through the past as far as the algorithm tracks it."""


@runtime_checkable
class Online(Protocol):
    """An online algorithm: a cell and a `step`."""

    @property
    def cell(self) -> Cell:
        """The cell that learns."""
        ...

    def step(
        self, params: Params, state: OnlineState, x: Inputs, loss: Callable, *, mask=None, reset=None
    ) -> tuple[OnlineState, OnlineStep]:
        """Run one step."""
        ...


class Row(NamedTuple):
    """One row of a batch at one step."""

    carry: Carry
    x: Inputs
    mask: Any
    reset: Any


def row_step(cell: Cell, row: Row) -> tuple[Callable, Array]:
    """Return the step of one row as `f(θ, v) -> (v', (carry, y))`, and v, the floating part of the carry."""

    def step(params, vector):
        initial = None if row.reset is None else cell.initial_carry(params)
        z = cell.project(params, row.x)
        carry = unravel_floating(vector, row.carry)
        out, _ = gated(lambda c, z: (cell.step(params, c, z), None), initial, carry, z, row.mask, row.reset)
        return ravel_floating(out[0]), out

    return step, ravel_floating(row.carry)


def begin(cell: Cell, params: Params, x: Inputs, carry: Carry | None) -> tuple[Carry, int, int]:
    """Return (h⁽⁰⁾, number of rows, size of one row's carry) for `init`."""
    xs, carry, *_ = check_unroll(cell, params, jax.tree.map(lambda a: jnp.asarray(a)[None], x), carry, None, None)
    batch = leading_axes(xs)[1:]
    size = jax.eval_shape(lambda p: ravel_floating(cell.initial_carry(p)), params).size
    return cell.initial_carry(params, batch) if carry is None else carry, math.prod(batch), size


def initial_influence(cell: Cell, params: Params) -> Params:
    """Return ∂h⁽⁰⁾/∂θ of one row, `[carry, *parameter]`; 0 unless the initial carry is learned."""
    return jax.jacrev(lambda p: ravel_floating(cell.initial_carry(p)))(params)


def learn(
    cell: Cell,
    advance: Callable[[Params, Any, Row], Any],
    pull: Callable[[Any, Array], Params],
    params: Params,
    state: OnlineState,
    x: Inputs,
    loss: Callable,
    mask,
    reset,
) -> tuple[OnlineState, OnlineStep]:
    """Run one step of any online algorithm.

    Args:
      cell: the cell that learns.
      advance: maps (θ, J⁽ᵗ⁻¹⁾, row) to J⁽ᵗ⁾, for one row.
      pull: maps (J of all rows, g `[rows, carry]`) to Σ g J, shaped like θ.
      params: θ.
      state: the state after the previous step.
      x: `[*batch, input]`.
      loss: maps y⁽ᵗ⁾ `[*batch, hidden]` to L⁽ᵗ⁾.
      mask: `[*batch]`; False where the step does not happen.
      reset: `[*batch]`; True where a new episode begins.
    """
    xs = jax.tree.map(lambda a: jnp.asarray(a)[None], x)
    steps = tuple(None if a is None else jnp.asarray(a)[None] for a in (mask, reset))
    xs, carry, *steps = check_unroll(cell, params, xs, state.carry, *steps)
    x, mask, reset = jax.tree.map(lambda a: a[0], (xs, *steps))
    batch = leading_axes(xs)[1:]
    x = readable(mask, x)
    rows = jax.tree.map(lambda a: a.reshape(math.prod(batch), *a.shape[len(batch) :]), Row(carry, x, mask, reset))

    def forward(params, vectors):
        carry, y = jax.vmap(lambda v, row: row_step(cell, row)[0](params, v)[1])(vectors, rows)
        carry, y = jax.tree.map(lambda a: a.reshape(*batch, *a.shape[1:]), (carry, y))
        return loss(y), (carry, y)

    vectors = jax.vmap(lambda row: ravel_floating(row.carry))(rows)
    (value, (carry, y)), (direct, back) = jax.value_and_grad(forward, (0, 1), has_aux=True)(params, vectors)
    through = pull(state.influence, back)
    influence = jax.vmap(lambda j, row: advance(params, j, row))(state.influence, rows)
    gradient = jax.tree.map(lambda a, b: a + b.astype(a.dtype), direct, through)
    return OnlineState(carry, influence), OnlineStep(y, value, gradient)


class OnlineRun(NamedTuple):
    """The result of `run_online`: state, loss and gradient.

    >>> OnlineRun(state=None, loss=jnp.array(0.5), gradient=()).loss.item()
    0.5
    """

    state: OnlineState
    loss: Float[Array, ""]
    """The mean of ℓ over the valid steps."""
    gradient: Params
    """The gradient of that mean."""


def run_online(
    algorithm: Online,
    params: Params,
    state: OnlineState,
    xs: PyTree[Shaped[Array, "..."]],
    targets: PyTree[Shaped[Array, "..."]],
    loss: Callable[[Any, Any], Float[Array, ""]],
    *,
    mask: Bool[Array, "..."] | None = None,
    reset: Bool[Array, "..."] | None = None,
) -> OnlineRun:
    """Run an online algorithm over a whole sequence at fixed θ, and return the gradient of `unroll_loss`.

    Args:
      algorithm: `RTRL(cell)`, `SnAp(cell, n)`, `UORO(cell)` or `EProp(cell)`.
      params: θ.
      state: the result of `algorithm.init`.
      xs: inputs `[time, *batch, input]`.
      targets: arrays `[time, *batch, ...]`; the second argument of ℓ.
      loss: ℓ, of one step of one row: (y `[hidden]`, target) → a scalar.
      mask: `[time, *batch]`; False where the step does not happen.
      reset: `[time, *batch]`; True where a new episode begins.

    Returns:
      `OnlineRun(state, loss, gradient)`.

    Raises:
      TypeError: `algorithm` is not an online algorithm.
      TypeError, ValueError: as `unroll`.

    >>> from jaxrnn.online import RTRL
    >>> from jaxrnn import Elman, squared_error, unroll_loss
    >>> algorithm = RTRL(Elman(input_size=2, hidden_size=3))
    >>> params, xs = algorithm.cell.init(jax.random.key(0)), jnp.ones((5, 2))
    >>> targets = jnp.zeros((5, 3))
    >>> forwards = run_online(algorithm, params, algorithm.init(params, xs[0]), xs, targets, squared_error)
    >>> backwards = jax.grad(lambda p: unroll_loss(algorithm.cell, p, xs, targets, squared_error)[1])(params)
    >>> bool(jnp.allclose(forwards.gradient.w, backwards.w, atol=1e-6))
    True
    """
    if not isinstance(algorithm, Online) or isinstance(algorithm, Cell):  # what is put around a cell has `cell` as well
        raise TypeError(f"`algorithm` must be an online algorithm, such as RTRL(cell), got {algorithm!r}.")
    xs, _, mask, reset = check_unroll(algorithm.cell, params, xs, None, mask, reset)
    leading = leading_axes(xs)
    count = valid_steps(mask, leading)
    rowwise = loss
    for _ in leading[1:]:
        rowwise = jax.vmap(rowwise)

    def body(sums, at):
        state, sums = sums
        x, target, mask, reset = at

        def total(y):
            return sum_over_valid(rowwise, mask, y, target) / count

        state, done = algorithm.step(params, state, x, total, mask=mask, reset=reset)
        return (state, jax.tree.map(jnp.add, sums, (done.loss, done.gradient))), None

    targets = jax.tree.map(jnp.asarray, targets)
    one = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape[1:], a.dtype), (xs, targets, mask, reset))
    kept = jax.eval_shape(lambda s, at: body((s, (0.0, zeros(params))), at)[0][1], state, one)
    sums = jax.tree.map(lambda a: jnp.zeros(a.shape, a.dtype), kept)
    (state, (value, gradient)), _ = lax.scan(body, (state, sums), (xs, targets, mask, reset))
    return OnlineRun(state, value, gradient)
