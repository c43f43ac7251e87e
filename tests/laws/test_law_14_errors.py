"""Law 14: a wrong argument is an error that begins with the argument's name."""

import jax.numpy as jnp
import pytest
from cells import LIBRARY, every_cell

from jaxrnn import bptt, unroll_bptt, unroll_python
from jaxrnn.testing import law_wrong_arguments_are_named, random_problem

pytestmark = pytest.mark.usefixtures("without_beartype")


@every_cell
def test_a_wrong_argument_is_named(cell):
    law_wrong_arguments_are_named(cell)


@pytest.mark.parametrize("member", [unroll_bptt, unroll_python], ids=lambda member: member.__name__)
def test_a_wrong_argument_is_named_by_every_member(member):
    law_wrong_arguments_are_named(LIBRARY["lstm"], unroll=member)


@pytest.mark.parametrize("name", ["elman_tanh", "lstm", "gru_reset_before", "stack"])
def test_a_wrong_input_size_says_which_size_was_expected(name):
    cell = LIBRARY[name]
    p = random_problem(cell)
    with pytest.raises(ValueError, match=r"`xs` must have trailing size input_size=3, got shape \(6, 4, 2\)"):
        unroll_bptt(cell, p.params, p.xs[..., :2])


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"dcarry": jnp.ones((4, 1))}, "`dcarry` must have shape"),
        ({"dcarry": (jnp.ones((4, 5)),)}, "`dcarry` must have the structure"),
        ({"dys": jnp.ones((6, 4, 1))}, "`dys` must have shape"),
        ({"dys": jnp.ones((4, 5))}, "`dys` must have shape"),
        ({"mask": jnp.ones((6, 1), bool)}, "`mask` must have shape"),
    ],
)
def test_bptt_names_a_wrong_cotangent(wrong, message):
    cell = LIBRARY["elman_tanh"]
    p = random_problem(cell)
    arguments = {"carry": p.carry, "dcarry": p.dcarry, "dys": p.dys, **wrong}
    with pytest.raises(ValueError, match=message):
        bptt(cell, p.params, p.xs, **arguments)
