"""Law 12: the number of matrix products per step, and what the backward loop carries, counted in the jaxpr."""

from functools import partial

import jax
import pytest

from jaxrnn import unroll, unroll_bptt
from jaxrnn.testing import law_explicit_loop_carries_no_weights, loops, random_problem
from jaxrnn.testing.problem import results
from tests.laws.cells import LIBRARY, every_cell

PRODUCTS = {
    # cell: products in a step forwards, and in a step of its own backward rule
    "elman_tanh": (1, 1),
    "elman_relu": (1, 1),
    "elman_identity": (1, 1),
    "lstm": (1, 1),
    "lstm_peephole_previous": (1, 1),
    "lstm_peephole_current": (1, 1),
    "gru_reset_after": (3, 3),
    "gru_reset_before": (3, 3),
    "stack": (1 + 2 + 6, 1 + 2 + 6),  # the upper layers project inside the loop
}


def gradient_loops(cell, member, time):
    return loops(partial(results, cell, unroll=member, reverse=False), random_problem(cell, time=time, batch=(7,)))


@pytest.mark.parametrize("time", [6, 16])
@pytest.mark.parametrize("name", PRODUCTS)
def test_a_step_costs_exactly_these_products(name, time):
    forward, backward = gradient_loops(LIBRARY[name], unroll_bptt, time)
    assert (forward.dots, backward.dots) == PRODUCTS[name]
    assert (forward.reverse, backward.reverse) == (False, True)


@every_cell
def test_the_backward_loop_carries_no_weights(cell):
    law_explicit_loop_carries_no_weights(cell)


def test_the_gradient_of_the_scan_does_carry_them():
    """Why there is an explicit pass; and that the law above can fail."""
    with pytest.raises(AssertionError, match=r"no weight in the backward loop.*\(5, 20\)"):
        law_explicit_loop_carries_no_weights(LIBRARY["lstm"], unroll=unroll)
    _, backward = gradient_loops(LIBRARY["lstm"], unroll, 6)
    assert backward.dots == 2


@every_cell
def test_parameters_and_a_first_carry_can_be_donated(cell):
    """Each array is a buffer of its own; XLA refuses to be given one twice."""
    params = cell.init(jax.random.key(0))
    both = params, cell.initial_carry(params, (2,))
    jax.block_until_ready(jax.jit(lambda *trees: trees, donate_argnums=(0, 1))(*both))
