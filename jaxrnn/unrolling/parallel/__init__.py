"""Parallel in time: all steps of a run at once, and runs whose time axis is cut over devices.

    unroll_associative   a cell that is linear in its carry: one associative scan, O(log τ) rounds; a loop on a CPU
    unroll_chunkwise     a matrix state: matrix products within chunks, a loop over chunks
    unroll_by_structure  any cell or stack: each part by the fastest exact member that its kind permits
    unroll_newton        any cell: Newton's method on h⁽ᵗ⁾ − f(h⁽ᵗ⁻¹⁾, x⁽ᵗ⁾) = 0 for all t together
    unroll_sharded, unroll_newton_sharded   the same with each device holding τ/D of the steps

The result is that of `jaxrnn.unroll` to rounding, whatever the number of Newton updates, because the scan runs what has
not converged.  One backward linear recurrence computes the exact gradient.  Start with `jaxrnn.choose_method`, which
tells from a few steps of your network whether one of them pays off.  `linear_recurrence` is the underlying scan.

Blelloch 1990; Danieli et al. 2023; Lim et al. 2024 (DEER); Gonzalez et al. 2024 (ELK).
"""

from jaxrnn.machines.plain_trees import register_records
from jaxrnn.unrolling.parallel.associative import Algebra, linear_recurrence, unroll_associative
from jaxrnn.unrolling.parallel.chunkwise import unroll_chunkwise
from jaxrnn.unrolling.parallel.newton_over_devices import newton_sharded, unroll_newton_sharded
from jaxrnn.unrolling.parallel.newton_updates import Convergence, Newton
from jaxrnn.unrolling.parallel.newtons_method import newton, unroll_newton
from jaxrnn.unrolling.parallel.sharded import linear_recurrence_sharded, unroll_sharded
from jaxrnn.unrolling.parallel.structure import unroll_by_structure

__all__ = [
    "Algebra",
    "Convergence",
    "Newton",
    "linear_recurrence",
    "linear_recurrence_sharded",
    "newton",
    "newton_sharded",
    "unroll_associative",
    "unroll_by_structure",
    "unroll_chunkwise",
    "unroll_newton",
    "unroll_newton_sharded",
    "unroll_sharded",
]

register_records(__name__)
