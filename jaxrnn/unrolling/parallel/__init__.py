"""unrolling.parallel."""

from jaxrnn.unrolling.parallel.associative import Algebra, linear_recurrence, unroll_associative
from jaxrnn.unrolling.parallel.newton_over_devices import newton_sharded, unroll_newton_sharded
from jaxrnn.unrolling.parallel.newton_updates import Convergence, Newton
from jaxrnn.unrolling.parallel.newtons_method import newton, unroll_newton
from jaxrnn.unrolling.parallel.sharded import linear_recurrence_sharded, unroll_sharded

__all__ = [
    "Algebra",
    "Convergence",
    "Newton",
    "linear_recurrence",
    "linear_recurrence_sharded",
    "newton",
    "newton_sharded",
    "unroll_associative",
    "unroll_newton",
    "unroll_newton_sharded",
    "unroll_sharded",
]
