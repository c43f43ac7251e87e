"""Law 14: a wrong argument is an error that begins with the argument's name."""

import jax
import jax.numpy as jnp
import pytest
from cells import LIBRARY, every_cell

from jaxrnn import Readout, bptt, mask_from_lengths, unroll, unroll_bptt, unroll_python
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


@pytest.mark.parametrize(
    ("name", "dtype", "message"),
    [
        ("lstm", complex, r"`carry\.h` must be float\d\d, got complex"),
        ("clockwork", float, r"`carry\.\w+` must be int32, got float"),
    ],
)
def test_no_part_of_a_carry_is_dropped_by_a_cast(name, dtype, message):
    cell = LIBRARY[name]
    p = random_problem(cell)
    with pytest.raises(TypeError, match=message):
        unroll(cell, p.params, p.xs, jax.tree.map(lambda a: jnp.asarray(a, dtype), p.carry))


def test_a_list_of_numbers_is_told_from_an_array():
    cell = LIBRARY["elman_tanh"]
    p = random_problem(cell)
    with pytest.raises(ValueError, match=r"`xs` must have shape .* got \(\); `jnp.asarray\(xs\)` makes one array"):
        unroll(cell, p.params, p.xs.tolist())


@pytest.mark.parametrize("params", [Readout(4, 2).init(jax.random.key(0)), (jnp.ones((3, 2)), jnp.ones(2))])
def test_a_read_out_names_the_parameters_of_another(params):
    with pytest.raises(ValueError, match=r"`params[^`]*` must have .* Readout\(input_size=3, output_size=2\)\.init"):
        Readout(3, 2).apply(params, jnp.ones((7, 3)))


@pytest.mark.parametrize("time", [1.5, "3", None])
def test_a_time_that_is_no_integer_is_named(time):
    with pytest.raises(TypeError, match="`time` must be an integer, got"):
        mask_from_lengths(jnp.array([0, 1]), time=time)
