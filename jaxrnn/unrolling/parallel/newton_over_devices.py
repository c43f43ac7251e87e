"""Newton's method with time cut over devices: any cell on a sequence that no device could hold.

Device d has the steps of one stretch, and everything about them: z, the guess of h, the Jacobians.  An update
(`jaxrnn.unrolling.parallel.newtons_method`) then needs of the others (`jaxrnn.unrolling.parallel.time_axis`)

    h⁽ᵗ⁻¹⁾ of its first step                            one carry, from the device before
    δ at the end of the stretch before                  one joined step (J ⋯ J, δ) of each device
    the largest residual                                one number a row

so what is sent does not grow with τ.  The gradient is one more linear recurrence, from the end, of the same kind, with
whole Jacobians; it is exact (`jaxrnn.unrolling.parallel.newtons_method`).

**Falling back.**  A row that has not converged is run step by step, like everywhere.  No device is given the
sequence for it: the devices take turns, each runs its stretch from the carry that the one before hands on.  It takes
the time of the loop on one device, and the memory of a stretch.  `newton_sharded` says which rows it was; where the
largest Lyapunov exponent is positive it is to be expected (`jaxrnn.choose_method`).  Integers in a carry are carried
along in the same turns, once an update, and so is the gradient with `gradient="scan"`.

References: those of `jaxrnn.unrolling.parallel.newtons_method`; Blelloch 1990, §1.3.
"""

from jax.sharding import Mesh
from jaxtyping import Array, Bool, PyTree, Shaped

from jaxrnn.core.checks import check_unroll, leading_axes
from jaxrnn.core.types import Carry, Cell, Params
from jaxrnn.unrolling.parallel.newton_system import Run, Shared
from jaxrnn.unrolling.parallel.newton_updates import Convergence, Newton
from jaxrnn.unrolling.parallel.newtons_method import check_solver, solve
from jaxrnn.unrolling.parallel.shards import check_mesh, prepare_stretch, run_in_stretches
from jaxrnn.unrolling.parallel.time_axis import Cut

PARALLEL = Newton(gradient="associative")
"""Newton's method with nothing that waits for another device."""


def unroll_newton_sharded(
    cell: Cell,
    params: Params,
    xs: PyTree[Shaped[Array, "..."]],
    carry: Carry | None = None,
    *,
    mask: Bool[Array, "..."] | None = None,
    reset: Bool[Array, "..."] | None = None,
    reverse: bool = False,
    solver: Newton = PARALLEL,
    mesh: Mesh,
    axis: str,
) -> tuple[Carry, PyTree[Shaped[Array, "..."]]]:
    """Run any cell by Newton's method, with the steps split over the devices of a mesh.

    Args:
      cell: any cell.
      params: its parameters.
      xs: inputs `[time, *batch, input]`.
      carry: h⁽⁰⁾; None is the cell's initial carry.
      mask: `[time, *batch]`; False where the step does not happen.
      reset: `[time, *batch]`; True where a new episode begins.
      reverse: run from the last step to the first.
      solver: the options of the updates.
      mesh: the devices.
      axis: the axis of the mesh along which time is split; other axes of the mesh can split the batch.

    Returns:
      As `unroll`, with `ys` split over the devices in the same way.

    Raises:
      TypeError, ValueError: as `unroll`.
      ValueError: the mesh has no such axis, or time is not a multiple of its size.

    >>> import jax
    >>> from jax import numpy as jnp
    >>> from jaxrnn import GRU, unroll
    >>> cell = GRU(input_size=3, hidden_size=5)
    >>> params, xs = cell.init(jax.random.key(0)), jax.random.normal(jax.random.key(1), (8, 2, 3))
    >>> mesh = jax.make_mesh((jax.device_count(),), ("time",))
    >>> _, ys = unroll_newton_sharded(cell, params, xs, mesh=mesh, axis="time")
    >>> bool(jnp.allclose(ys, unroll(cell, params, xs)[1], atol=1e-5))
    True

    References: Lim et al. 2024; Gonzalez et al. 2024; `jax.shard_map`.
    """
    options = {"mask": mask, "reset": reset, "reverse": reverse, "solver": solver, "mesh": mesh, "axis": axis}
    carry, ys, _ = newton_sharded(cell, params, xs, carry, **options)
    return carry, ys


def newton_sharded(
    cell: Cell,
    params: Params,
    xs: PyTree[Shaped[Array, "..."]],
    carry: Carry | None = None,
    *,
    mask: Bool[Array, "..."] | None = None,
    reset: Bool[Array, "..."] | None = None,
    reverse: bool = False,
    solver: Newton = PARALLEL,
    mesh: Mesh,
    axis: str,
) -> tuple[Carry, PyTree[Shaped[Array, "..."]], Convergence]:
    """Run any cell by Newton's method over devices, and report its convergence.

    Args:
      cell: any cell.
      params: its parameters.
      xs: inputs `[time, *batch, input]`.
      carry: h⁽⁰⁾; None is the cell's initial carry.
      mask: `[time, *batch]`; False where the step does not happen.
      reset: `[time, *batch]`; True where a new episode begins.
      reverse: run from the last step to the first.
      solver: the options of the updates.
      mesh: the devices.
      axis: the axis of the mesh along which time is split; other axes of the mesh can split the batch.

    Returns:
      carry, ys, and a `Convergence`.

    Raises:
      TypeError, ValueError: as `unroll_newton_sharded`.

    >>> import jax
    >>> from jax import numpy as jnp
    >>> from jaxrnn import Elman
    >>> cell = Elman(3, 5, "identity")  # is linear: one update
    >>> params, xs = cell.init(jax.random.key(0)), jnp.ones((8, 2, 3))
    >>> mesh = jax.make_mesh((jax.device_count(),), ("time",))
    >>> newton_sharded(cell, params, xs, mesh=mesh, axis="time")[2].iterations
    Array([1, 1], dtype=int32)

    References: Gonzalez et al. 2024.
    """
    arguments = check_unroll(cell, params, xs, carry, mask, reset, reverse=reverse)
    check_solver(solver)
    check_mesh(mesh, axis, leading_axes(arguments[0])[0])
    xs, carry, mask, reset = arguments
    time, whole, over_t = Cut(axis, reverse), (params, carry), (xs, mask, reset)
    carry, ys, convergence = run_in_stretches(_stretch, (cell, solver), mesh, time, whole=whole, over_t=over_t)
    return carry, ys, convergence


def _stretch(cell, solver, time, whole, over_t):
    """Run the stretch of one device."""
    (params, carry), (xs, mask, reset) = whole, over_t
    xs, carry, initial, reset = prepare_stretch(time, cell, params, xs, carry, mask, reset)
    run = Run(cell, leading_axes(xs)[1:], time)
    carries, ys, convergence = solve(run, solver, Shared(params, initial), xs, mask, reset, carry)
    return time.last(carries), ys, convergence
