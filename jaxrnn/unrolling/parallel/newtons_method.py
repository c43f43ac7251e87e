"""Parallel in time for any cell: Newton's method for all h⁽ᵗ⁾ together.

A run is the solution of τ equations, h⁽ᵗ⁾ = f⁽ᵗ⁾(h⁽ᵗ⁻¹⁾).  From a guess of all h⁽ᵗ⁾ one update is

    r⁽ᵗ⁾ = f⁽ᵗ⁾(h⁽ᵗ⁻¹⁾) − h⁽ᵗ⁾,   J⁽ᵗ⁾ = ∂f⁽ᵗ⁾/∂h⁽ᵗ⁻¹⁾                all t in parallel
    δ⁽ᵗ⁾ = J⁽ᵗ⁾ δ⁽ᵗ⁻¹⁾ + r⁽ᵗ⁾,     h⁽ᵗ⁾ ← h⁽ᵗ⁾ + δ⁽ᵗ⁾               a linear recurrence, O(log τ) rounds

With whole Jacobians this is Newton's method (DEER); with their diagonal or blocks of them a quasi-Newton method,
with cheaper but more updates; with (1 − damping) J a damped one, up to Jacobi's at J = 0; and with `trust` every
update is a Levenberg–Marquardt step (ELK, `jaxrnn.unrolling.parallel.levenberg_marquardt`) whose λ adapts itself
(`jaxrnn.unrolling.parallel.newton_updates`; that of the reference is fixed).  Without `trust` the first k steps are
exact after k updates, whatever J is; with it they are not, and beyond the edge of chaos, where no step over all t
lowers the sum of squares by much, it takes more updates, not fewer.  The largest Lyapunov exponent determines the
number of updates: few if it is negative, about τ if it is positive (`jaxrnn.choose_method`).

The *result* does not depend on any of this.  A row (one sequence of the batch) has converged when its largest |r⁽ᵗ⁾| is
down to rounding; a scan runs the other rows step by step, so NaN and inf appear exactly where the scan has them.  The
*gradient* is the implicit one, at the solution: with the exact Jacobian of every step,

    dh⁽ᵗ⁾ = J⁽ᵗ⁾ dh⁽ᵗ⁻¹⁾ + (∂f⁽ᵗ⁾/∂θ) dθ + (∂f⁽ᵗ⁾/∂z⁽ᵗ⁾) dz⁽ᵗ⁾

one linear recurrence, whose transpose is that of 2.2.2; the sums over t of 2.2.3 are outside it.  So it is BPTT's
gradient whichever Jacobians the updates had, in forward and reverse mode and to any order.

Masks and resets are a part of f⁽ᵗ⁾: J is the identity where a step does not happen, and 0 behind a boundary.
Integers in a carry are carried along by a scan over them alone.

References: Lim et al. 2024, "Parallelizing non-linear sequential models over the sequence length" (DEER);
Gonzalez et al. 2024, "Towards scalable and stable parallelization of nonlinear RNNs" (quasi-DEER, ELK);
Danieli et al. 2023, "DeepPCR".
"""

from functools import partial

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, PyTree, Shaped

from jaxrnn.core.checks import check_unroll, leading_axes
from jaxrnn.core.types import Carry, Cell, Inputs, Params
from jaxrnn.machines.meshes import as_typed, spread
from jaxrnn.unrolling.parallel.associative import solve_recurrence
from jaxrnn.unrolling.parallel.newton_system import OverTime, Run, Shared, System, everywhere
from jaxrnn.unrolling.parallel.newton_updates import FULL, Convergence, Newton, updates
from jaxrnn.unrolling.parallel.packed_jacobians import MATRICES, jacobians
from jaxrnn.unrolling.parallel.time_axis import Whole
from jaxrnn.unrolling.result_layouts import results_layout
from jaxrnn.unrolling.scan import prepare, select, unroll


def unroll_newton(
    cell: Cell,
    params: Params,
    xs: PyTree[Shaped[Array, "..."]],
    carry: Carry | None = None,
    *,
    mask: Bool[Array, "..."] | None = None,
    reset: Bool[Array, "..."] | None = None,
    reverse: bool = False,
    solver: Newton = FULL,
) -> tuple[Carry, PyTree[Shaped[Array, "..."]]]:
    """Run any cell in parallel over time, by Newton's method.

    Args:
      cell: any cell.
      params: its parameters.
      xs: inputs `[time, *batch, input]`.
      carry: h⁽⁰⁾; None is the cell's initial carry.
      mask: `[time, *batch]`; False where the step does not happen.
      reset: `[time, *batch]`; True where a new episode begins.
      reverse: run from the last step to the first.
      solver: the options of the updates.

    Returns:
      As `unroll`.

    Raises:
      TypeError, ValueError: as `unroll`.

    >>> from jaxrnn import GRU
    >>> cell = GRU(input_size=3, hidden_size=5)
    >>> params, xs = cell.init(jax.random.key(0)), jax.random.normal(jax.random.key(1), (7, 2, 3))
    >>> bool(jnp.allclose(unroll_newton(cell, params, xs)[1], unroll(cell, params, xs)[1], atol=1e-5))
    True

    References: Lim et al. 2024; Gonzalez et al. 2024.
    """
    carry, ys, _ = newton(cell, params, xs, carry, mask=mask, reset=reset, reverse=reverse, solver=solver)
    return carry, ys


def newton(
    cell: Cell,
    params: Params,
    xs: PyTree[Shaped[Array, "..."]],
    carry: Carry | None = None,
    *,
    mask: Bool[Array, "..."] | None = None,
    reset: Bool[Array, "..."] | None = None,
    reverse: bool = False,
    solver: Newton = FULL,
) -> tuple[Carry, PyTree[Shaped[Array, "..."]], Convergence]:
    """Run any cell by Newton's method and report its convergence.

    Args:
      cell: any cell.
      params: its parameters.
      xs: inputs `[time, *batch, input]`.
      carry: h⁽⁰⁾; None is the cell's initial carry.
      mask: `[time, *batch]`; False where the step does not happen.
      reset: `[time, *batch]`; True where a new episode begins.
      reverse: run from the last step to the first.
      solver: the options of the updates.

    Returns:
      carry, ys, and a `Convergence`.

    Raises:
      TypeError, ValueError: as `unroll_newton`.

    >>> from jaxrnn import Elman
    >>> cell = Elman(3, 5, "identity")  # is linear: one update
    >>> params, xs = cell.init(jax.random.key(0)), jnp.ones((7, 2, 3))
    >>> newton(cell, params, xs)[2].iterations
    Array([1, 1], dtype=int32)

    References: Gonzalez et al. 2024.
    """
    arguments = check_unroll(cell, params, xs, carry, mask, reset, reverse=reverse)
    check_solver(solver)
    if leading_axes(arguments[0])[0] == 0:
        rows = leading_axes(arguments[0])[1:]
        nothing = Convergence(jnp.zeros(rows, jnp.int32), jnp.zeros(rows), jnp.ones(rows, bool))
        return *unroll(cell, params, arguments[0], arguments[1]), nothing
    run = partial(_newton, cell, reverse=reverse, solver=solver)
    return spread(run, partial(results_layout, params, arguments[0]), params, *arguments)


def check_solver(solver: Newton) -> None:
    """Raise TypeError unless it is a `Newton`."""
    if not isinstance(solver, Newton):
        raise TypeError(f"`solver` must be a Newton, got {solver!r}.")


@partial(jax.jit, static_argnames=("reverse", "solver"))
def _newton(cell, params, xs, carry, mask, reset, *, reverse, solver):
    xs, carry, initial, reset = prepare(cell, params, xs, carry, mask, reset, reverse)
    run = Run(cell, leading_axes(xs)[1:], Whole(reverse))
    carries, ys, convergence = solve(run, solver, Shared(params, initial), xs, mask, reset, carry)
    return run.time.last(carries), ys, convergence


def solve(run: Run, solver: Newton, shared: Shared, xs: Inputs, mask, reset, start: Carry):
    """Return h⁽ᵗ⁾, y⁽ᵗ⁾ for all t, and the convergence; the arguments are those that `prepare` returns."""
    over_t = OverTime(run.cell.project(shared.params, xs), mask, reset)
    before, convergence = fixed_point(run, solver, shared, over_t, start)
    return *everywhere(run.cell, shared, before, over_t), convergence


def fixed_point(run: Run, solver: Newton, shared: Shared, over_t: OverTime, start: Carry) -> tuple[Carry, Convergence]:
    """Return h⁽⁰⁾ … h⁽τ⁻¹⁾, each array with a leading axis `[time]`, and the convergence."""
    found, convergence = _found(solver, System(run, *lax.stop_gradient((shared, over_t, start))))
    system = System(run, shared, over_t, start)
    floats = _differentiable(run, solver, shared, over_t, start, found)
    return system.join(floats, system.others(found)), convergence


def _found(solver: Newton, system: System) -> tuple[Carry, Convergence]:
    """Find h⁽⁰⁾ … h⁽τ⁻¹⁾, without derivatives; rows that do not converge are run by a loop."""
    hs, convergence = updates(system, solver)
    before = system.before(hs)

    def patched():
        carries = system.scan(lambda h, at_t: (system.one_step(h, at_t), h), system.start, system.over_t)
        return as_typed(before, select(system.over_time(convergence.converged), before, carries))

    return lax.cond(jnp.all(convergence.converged), lambda: before, patched), convergence


@partial(jax.custom_jvp, nondiff_argnums=(0, 1))
def _differentiable(run: Run, solver: Newton, shared: Shared, over_t: OverTime, start: Carry, found: Carry) -> list:
    """Return the floating arrays of the solution, with their derivatives."""
    return System(run, shared, over_t, start).floats(found)


@_differentiable.defjvp
def _differentiable_jvp(run, solver, primals, tangents):
    *equations, found = primals
    floats, system = _differentiable(run, solver, *primals), System(run, *equations)
    before = system.join(floats, system.others(found))
    dshared, dover_t, dstart, _ = tangents

    def after(shared, over_t):
        return system.floats(everywhere(run.cell, shared, before, over_t)[0])

    _, direct = jax.jvp(after, (system.shared, system.over_t), (dshared, dover_t))
    solve = _tangents_in_parallel if solver.gradient == "associative" else _tangents_by_scan
    return floats, as_typed(floats, solve(system, before, direct, system.floats(dstart)))


def _tangents_by_scan(system: System, before: Carry, direct: list[Array], dstart: list[Array]) -> list[Array]:
    """Solve dh⁽ᵗ⁾ = J⁽ᵗ⁾ dh⁽ᵗ⁻¹⁾ + direct⁽ᵗ⁾ for dh⁽⁰⁾ … dh⁽τ⁻¹⁾, one t at a time."""
    floats, others = system.floats(before), system.others(before)

    def body(dh, at):
        floats, others, at_t, direct = at

        def step(floats):
            return system.floats(system.one_step(system.join(floats, others), at_t))

        _, through = jax.jvp(step, (floats,), (dh,))
        return jax.tree.map(jnp.add, through, direct), dh

    return system.scan(body, dstart, (floats, others, system.over_t, direct))


def _tangents_in_parallel(system: System, before: Carry, direct: list[Array], dstart: list[Array]) -> list[Array]:
    """Solve the equation of `_tangents_by_scan` in parallel over time, with whole Jacobians."""
    layout = system.layout("full")
    (jacobian,) = jacobians(layout, system.step(before), system.floats(before))
    (r,), (start,) = layout.pack(direct), layout.pack(dstart)
    dhs = solve_recurrence(system.run.time, MATRICES, jacobian, r, start)
    return system.shifted(layout.unpack((dhs,)), dstart)
