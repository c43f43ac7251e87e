"""Law 14: a wrong argument is an error that begins with the argument's name."""

from functools import partial

import jax
import jax.numpy as jnp
import pytest

from jaxrnn import (
    ESN,
    LSTM,
    AutodiffRules,
    Bidirectional,
    Dropout,
    Elman,
    Leaky,
    ManyToMany,
    ManyToOne,
    MinGRU,
    Readout,
    Stack,
    SymbolModel,
    bptt,
    mask_from_lengths,
    unroll,
    unroll_associative,
    unroll_bptt,
    unroll_checkpointed,
    unroll_newton,
    unroll_python,
)
from jaxrnn.cells.wrappers import StateNoise, Zoneout
from jaxrnn.dynamics import (
    departure_from_normality,
    growth,
    jacobian_product,
    lyapunov_spectrum,
    sample_products,
    symmetric_power,
)
from jaxrnn.online import RTRL, UORO, SnAp
from jaxrnn.patterns import Feedback
from jaxrnn.reservoirs import no_equations
from jaxrnn.seq2seq.scores import location_windows
from jaxrnn.testing import law_wrong_arguments_are_named, random_problem
from jaxrnn.unrolling import TruncatedBPTT
from tests.laws.cells import LIBRARY, every_cell

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


@pytest.mark.parametrize("reverse", ["yes", 1, None, jnp.array(True)], ids=repr)
def test_a_direction_that_is_neither_true_nor_false_is_named_by_every_member(reverse):
    cell = MinGRU(2, 3)
    p = random_problem(cell)
    every = partial(bptt, carry=None, dcarry=None, dys=None)
    for member in (unroll, unroll_python, unroll_bptt, every, unroll_associative, unroll_checkpointed, unroll_newton):
        with pytest.raises(TypeError, match="`reverse` must be True or False, not an array or a traced value, got"):
            member(cell, p.params, p.xs, reverse=reverse)


@pytest.mark.parametrize("params", [Readout(4, 2).init(jax.random.key(0)), (jnp.ones((3, 2)), jnp.ones(2))])
def test_a_read_out_names_the_parameters_of_another(params):
    with pytest.raises(ValueError, match=r"`params[^`]*` must have .* Readout\(input_size=3, output_size=2\)\.init"):
        Readout(3, 2).apply(params, jnp.ones((7, 3)))


@pytest.mark.parametrize("time", [1.5, "3", None])
def test_a_time_that_is_no_integer_is_named(time):
    with pytest.raises(TypeError, match="`time` must be an integer, got"):
        mask_from_lengths(jnp.array([0, 1]), time=time)


@pytest.mark.parametrize("not_a_cell", [LSTM, None, Readout(3, 2)], ids=["class", "None", "read-out"])
@pytest.mark.parametrize(
    "wrap",
    [
        lambda cell: Stack((Elman(3, 3), cell)),
        lambda cell: Bidirectional(Elman(3, 3), cell),
        lambda cell: Dropout(cell, 0.5),
        lambda cell: Zoneout(cell, 0.5),
        lambda cell: StateNoise(cell, 0.5),
        lambda cell: Leaky(cell, 0.5),
        AutodiffRules,
        RTRL,
        UORO,
        SnAp,
        lambda cell: TruncatedBPTT(cell, k1=1, k2=2),
        lambda cell: ManyToMany(cell, Readout(3, 2)),
        lambda cell: ManyToOne(cell, Readout(3, 2)),
        lambda cell: Feedback(cell, Readout(3, 2)),
        lambda cell: ESN(cell, Readout(3, 2)),
        lambda cell: SymbolModel(cell, 5, 3, 3),
    ],
)
def test_what_is_put_around_something_else_than_a_cell_names_it(wrap, not_a_cell):
    with pytest.raises(TypeError, match=r"^`(cell|cells\[1\]|backward_cell)` must be a cell, with init"):
        wrap(not_a_cell)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: growth(jnp.ones((3, 4)), jnp.ones(3), 2), "`w` must be square"),
        (lambda: growth(jnp.eye(3), jnp.ones(4), 2), "`v` must have shape"),
        (lambda: growth(jnp.eye(3), jnp.ones(3), -1), "`steps` must be an integer of at least 0"),
        (lambda: growth(jnp.eye(3), jnp.ones(3), 1.5), "`steps` must be an integer of at least 0"),
        (lambda: symmetric_power(jnp.ones((3, 4)), 2), "`w` must be square"),
        (lambda: departure_from_normality(jnp.ones(3)), "`w` must be square"),
        (lambda: sample_products(jax.random.key(0), 1.0, -1, 2), "`n` must be an integer of at least 0"),
        (lambda: jacobian_product(jnp.ones((3, 4))), "`jacobians` must be square"),
        (lambda: jacobian_product(jnp.ones((3, 3))), "`jacobians` must have shape"),
        (lambda: no_equations(-1, 2), "`hidden_size` must be an integer of at least 1"),
        (lambda: location_windows(jnp.ones(5), 0), "`width` must be an integer of at least 1"),
        (
            lambda: lyapunov_spectrum(Elman(1, 2), Elman(1, 2).init(jax.random.key(0)), jnp.ones((3, 1)), count=0),
            "`count` must lie in 1",
        ),
    ],
)
def test_a_wrong_argument_of_the_tools_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
