"""All h⁽ᵗ⁾ of a run as the solution of its equations (`jaxrnn.unrolling.parallel.newton_system`), and the derivatives
of that solution.

`fixed_point` finds h⁽⁰⁾ … h⁽τ⁻¹⁾ by `jaxrnn.unrolling.parallel.newton_updates`, with the scan behind them, and is
differentiated at the solution, where

    dh⁽ᵗ⁾ = J⁽ᵗ⁾ dh⁽ᵗ⁻¹⁾ + (∂f⁽ᵗ⁾/∂θ) dθ + (∂f⁽ᵗ⁾/∂z⁽ᵗ⁾) dz⁽ᵗ⁾,        J⁽ᵗ⁾ = ∂f⁽ᵗ⁾/∂h⁽ᵗ⁻¹⁾

whichever J the updates had.  The direct parts are taken for all t at once, and only J⁽ᵗ⁾ dh⁽ᵗ⁻¹⁾ is in a loop; JAX
transposes the rule, and what comes of it is the recursion of 2.2.2 and, outside it, the sums of 2.2.3.

References: Lim et al. 2024, §3.3 (the implicit derivative).
"""

from functools import partial

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array

from jaxrnn.core.local_rules import tangent
from jaxrnn.core.types import Carry
from jaxrnn.unrolling.parallel.associative import linear_recurrence
from jaxrnn.unrolling.parallel.newton_system import OverTime, Run, Shared, System, everywhere
from jaxrnn.unrolling.parallel.newton_updates import Convergence, Newton, updates
from jaxrnn.unrolling.parallel.packed_jacobians import MATRICES, jacobians
from jaxrnn.unrolling.scan import select, zeros


@partial(jax.custom_jvp, nondiff_argnums=(0, 1))
def fixed_point(run: Run, solver: Newton, shared: Shared, over_t: OverTime, start: Carry) -> tuple[Carry, Convergence]:
    """h⁽⁰⁾ … h⁽τ⁻¹⁾, each array with `[time]` in front, and how it was found."""
    system = System(run, shared, over_t, start)
    hs, convergence = updates(system, solver)
    before = system.before(hs)

    def patched():
        carries = system.scan(lambda h, at_t: (system.one_step(h, at_t), h), start, over_t)
        return select(system.over_time(convergence.converged), before, carries)

    return lax.cond(jnp.all(convergence.converged), lambda: before, patched), convergence


@fixed_point.defjvp
def _fixed_point_jvp(run, solver, primals, tangents):
    before, convergence = fixed_point(run, solver, *primals)
    system = System(run, *primals)
    dshared, dover_t, dstart = tangents

    def after(shared, over_t):
        return system.floats(everywhere(run.cell, shared, before, over_t)[0])

    _, direct = jax.jvp(after, (system.shared, system.over_t), (dshared, dover_t))
    solve = _tangents_in_parallel if solver.gradient == "associative" else _tangents_by_scan
    dbefore = system.join(solve(system, before, direct, system.floats(dstart)), system.others(zeros(before)))
    return (before, convergence), (tangent(before, dbefore), tangent(convergence, zeros(convergence)))


def _tangents_by_scan(system: System, before: Carry, direct: list[Array], dstart: list[Array]) -> list[Array]:
    """dh⁽⁰⁾ … dh⁽τ⁻¹⁾ of dh⁽ᵗ⁾ = J⁽ᵗ⁾ dh⁽ᵗ⁻¹⁾ + direct⁽ᵗ⁾, one t at a time."""
    floats, others = system.floats(before), system.others(before)

    def body(dh, at):
        floats, others, at_t, direct = at

        def step(floats):
            return system.floats(system.one_step(system.join(floats, others), at_t))

        _, through = jax.jvp(step, (floats,), (dh,))
        return jax.tree.map(jnp.add, through, direct), dh

    return system.scan(body, dstart, (floats, others, system.over_t, direct))


def _tangents_in_parallel(system: System, before: Carry, direct: list[Array], dstart: list[Array]) -> list[Array]:
    """The same, with whole Jacobians."""
    layout, reverse, time = system.layout("full"), system.run.reverse, system.run.time
    (jacobian,) = jacobians(layout, system.step(before), system.floats(before))
    (r,), (start,) = layout.pack(direct), layout.pack(dstart)
    dhs = linear_recurrence(jacobian, r, start, reverse=reverse, algebra=MATRICES, time=time)
    return system.shifted(layout.unpack((dhs,)), dstart)
