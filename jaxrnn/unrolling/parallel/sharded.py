"""Linear recurrences with time split over devices.

Device d holds one stretch of the steps.  It composes them into one step of the same kind, h ← A_d h + B_d
(`jaxrnn.unrolling.parallel.associative`).  The devices exchange only A_d and B_d, and each computes the carry that
enters its stretch (`jaxrnn.unrolling.parallel.time_axis`):

    (A⁽ᵗ⁾, B⁽ᵗ⁾) = the steps of the stretch up to t, composed     on each device
    h_d = A_{d−1} h_{d−1} + B_{d−1},   h_0 = h⁽⁰⁾                   log₂ D rounds, the same on every device
    h⁽ᵗ⁾ = A⁽ᵗ⁾ h_d + B⁽ᵗ⁾                                         on each device

So many devices can run a sequence that one cannot hold, and each sends about two carries, for any τ.

References: Blelloch 1990, §1.3 (a scan over blocks); Martin & Cundy 2018, §2.2.
"""

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from jaxtyping import Array, Bool, PyTree, Shaped

from jaxrnn.core.checks import check_unroll, leading_axes
from jaxrnn.core.types import Carry, Params
from jaxrnn.linear.matrix_state import Dense, InTurn, MatrixCell, Outer
from jaxrnn.linear.protocol import LinearCell, is_coefficient
from jaxrnn.linear.stages import AllSteps, Staged
from jaxrnn.unrolling.parallel.associative import (
    DIAGONAL,
    Algebra,
    check_linear,
    check_recurrence,
    gated_coefficients,
    solve_recurrence,
)
from jaxrnn.unrolling.parallel.chunkwise import addends, check_starts_at_zero, identity, run_chunks
from jaxrnn.unrolling.parallel.shards import check_mesh, prepare_stretch, run_in_stretches
from jaxrnn.unrolling.parallel.time_axis import Cut
from jaxrnn.unrolling.scan import select, zeros


def unroll_sharded(
    cell: LinearCell | MatrixCell,
    params: Params,
    xs: PyTree[Shaped[Array, "..."]],
    carry: Carry | None = None,
    *,
    mask: Bool[Array, "..."] | None = None,
    reset: Bool[Array, "..."] | None = None,
    reverse: bool = False,
    mesh: Mesh,
    axis: str,
) -> tuple[Carry, PyTree[Shaped[Array, "..."]]]:
    """Run a cell that is linear in its carry with the steps split over the devices of a mesh.

    It can be differentiated, in both modes.  A matrix state is run in chunks, twice: once to learn what each stretch
    does to any state, and once more from the state that enters it.  A first stage, such as a short convolution, goes
    from device to device.

    Args:
      cell: a cell that is linear in its carry, such as `MinGRU` or `GatedDelta`.
      params: its parameters.
      xs: inputs `[time, *batch, input]`.
      carry: h⁽⁰⁾; None is the cell's initial carry.
      mask: `[time, *batch]`; False where the step does not happen.
      reset: `[time, *batch]`; True where a new episode begins.
      reverse: run from the last step to the first.
      mesh: the devices.
      axis: the axis of the mesh along which time is split; other axes of the mesh can split the batch.

    Returns:
      As `unroll`, with `ys` split over the devices in the same way.

    Raises:
      TypeError, ValueError: as `unroll`.
      TypeError: `cell` is not linear in its carry.
      ValueError: the mesh has no such axis, or time is not a multiple of its size.

    >>> from jaxrnn import MinGRU, unroll
    >>> cell = MinGRU(input_size=3, hidden_size=5)
    >>> params, xs = cell.init(jax.random.key(0)), jax.random.normal(jax.random.key(1), (8, 2, 3))
    >>> mesh = jax.make_mesh((jax.device_count(),), ("time",))
    >>> _, ys = unroll_sharded(cell, params, xs, mesh=mesh, axis="time")
    >>> bool(jnp.allclose(ys, unroll(cell, params, xs)[1], atol=1e-6))
    True

    References: Martin & Cundy 2018; `jax.shard_map`.
    """
    arguments = check_unroll(cell, params, xs, carry, mask, reset, reverse=reverse)
    check_linear(cell)
    check_mesh(mesh, axis, leading_axes(arguments[0])[0])
    xs, carry, mask, reset = arguments
    if reset is not None:
        check_starts_at_zero(cell, params)
    time, whole, over_t = Cut(axis, reverse), (params, carry), (xs, mask, reset)
    carry, ys, _ = run_in_stretches(_stretch, (cell,), mesh, time, whole=whole, over_t=over_t)
    return carry, ys


def _stretch(cell, time, whole, over_t):
    """Run the stretch of one device."""
    (params, carry), (xs, mask, reset) = whole, over_t
    xs, carry, initial, reset = prepare_stretch(time, cell, params, xs, carry, mask, reset)
    if isinstance(cell, MatrixCell) or isinstance(carry, Staged):
        return _stretch_in_chunks(cell, time, params, xs, carry, mask, reset, initial)
    zs = cell.project(params, xs)
    a, b = gated_coefficients(cell, params, zs, mask, reset, initial)
    carries = solve_recurrence(time, DIAGONAL, a, b, carry)
    ys = cell.read(params, carries, zs)
    ys = ys if mask is None else select(mask, ys, zeros(ys))
    return time.last(carries), ys, ()


def _stretch_in_chunks(cell, time, params, xs, carry, mask, reset, initial):
    """Run a stretch in chunks; its effect on the state is one step of a linear recurrence over the devices."""
    first, state = (carry.first, carry.state) if isinstance(carry, Staged) else (None, carry)

    def run(first, state, homogeneous=False):
        carry = state if first is None else Staged(first, state)
        more = {"reverse": time.reverse, "homogeneous": homogeneous}
        carry, ys = run_chunks(cell, params, xs, carry, mask, reset, initial, **more)
        return (*carry, ys) if isinstance(carry, Staged) else (None, carry, ys)

    if first is not None:
        zs, steps = cell.project(params, xs), AllSteps(mask, reset, time.reverse)
        first = time.entering(lambda first: cell.lead(params, first, zs, steps)[0], first)
    if jax.tree.leaves(state):
        _, added, _ = run(first, zeros(state))
        _, product, _ = run(first, identity(cell, params, xs, state), homogeneous=True)
        kinds = addends(cell, params, xs)
        a = jax.tree.map(
            lambda kind, p: Dense(p) if isinstance(kind, Outer | InTurn) else p,
            kinds,
            product,
            is_leaf=is_coefficient,
        )
        a, b = jax.tree.map(lambda leaf: leaf[None], (a, added))
        state = time.first(time.shift(solve_recurrence(time, DIAGONAL, a, b, state), state))
    first, state, ys = run(first, state)
    return (state if first is None else Staged(first, state)), ys, ()


def linear_recurrence_sharded(
    a: PyTree, b: PyTree, start: PyTree, *, mesh: Mesh, axis: str, reverse: bool = False, algebra: Algebra = DIAGONAL
) -> PyTree:
    """Solve a linear recurrence with its steps split over the devices along one axis of a mesh.

    Args:
      a: an array `[time, ...]`, or a tree of them; time is a multiple of the number of devices.
      b: an array `[time, ...]`, or a tree of them.
      start: h⁽⁰⁾, without the axis of time.
      mesh: the devices.
      axis: the axis of the mesh along which time is split.
      reverse: True to run from the last step to the first; `start` is then the value after the last.
      algebra: the products of a.

    Returns:
      h⁽¹⁾ … h⁽τ⁾, split like b.

    Raises:
      ValueError: as `linear_recurrence`; the mesh has no such axis, or time is not a multiple of its size.

    >>> mesh = jax.make_mesh((jax.device_count(),), ("time",))
    >>> linear_recurrence_sharded(jnp.full(8, 2.0), jnp.ones(8), jnp.array(0.0), mesh=mesh, axis="time").tolist()
    [1.0, 3.0, 7.0, 15.0, 31.0, 63.0, 127.0, 255.0]

    References: Blelloch 1990, §1.3.
    """
    a, b, start = jax.tree.map(jnp.asarray, (a, b, start))
    check_recurrence(a, b, start, algebra)
    check_mesh(mesh, axis, len(jax.tree.leaves(b)[0]), "b")
    _, hs, _ = run_in_stretches(_recurrence, (algebra,), mesh, Cut(axis, reverse), whole=start, over_t=(b, a))
    return hs


def _recurrence(algebra, time, start, steps):
    """Run the stretch of one device without a carry, which is the last of the results."""
    b, a = steps
    return (), solve_recurrence(time, algebra, a, b, start), ()
