"""Law 3: `unroll` has forward mode, reverse mode and second derivatives, and they agree with finite differences."""

import jax
from jax.test_util import check_grads

from jaxrnn import unroll
from jaxrnn.testing import law_derivatives_are_finite_differences, random_problem
from tests.laws.cells import LIBRARY, every_cell


@every_cell
def test_first_and_second_derivatives_are_finite_differences_in_both_modes(cell):
    law_derivatives_are_finite_differences(cell, order=2)


def test_jax_s_own_gradient_checker_agrees():
    cell = LIBRARY["gru_reset_before"]
    p = random_problem(cell)

    @jax.jit
    def loss(params, xs, carry):
        carry, ys = unroll(cell, params, xs, carry, mask=p.mask, reset=p.reset)
        return (carry * p.dcarry).sum() + (ys * p.dys).sum()

    check_grads(loss, (p.params, p.xs, p.carry), order=2, modes=("fwd", "rev"), atol=1e-5, rtol=1e-5, eps=1e-5)
