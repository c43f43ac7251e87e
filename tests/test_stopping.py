"""The three stop rules as probabilities: they sum to 1, and padding has no part in them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny_generators import BOUND, RULES, START, VOCABULARY, every_sequence, make

from jaxrnn import (
    EndSymbol,
    PredictedLength,
    StopRule,
    StopUnit,
    SymbolModel,
    forced_outputs,
    log_likelihood,
    sample,
)

rules = pytest.mark.parametrize("rule", RULES)


@rules
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_probabilities_of_all_sequences_up_to_the_bound_sum_to_one(rule, seed):
    everything = every_sequence()
    log_p = make(rule, seed).likelihood(*everything)
    np.testing.assert_allclose(jnp.exp(log_p).sum(), 1, rtol=1e-12)
    assert log_p.max() < jnp.log(0.95)  # it is not one sequence that has it all


@pytest.mark.parametrize("rule", ["end symbol", "stop unit"])  # none is longer than the longest predicted length
def test_the_mass_that_reaches_the_bound_unstopped_is_that_of_all_longer_sequences(rule):
    case, short, long = make(rule), every_sequence(2), every_sequence(BOUND)
    p_short, p_long = (jnp.exp(case.likelihood(*e)) for e in (short, long))
    for row in range(len(short.lengths)):
        word, stopped = short.key(row)
        if not stopped:
            longer = [i for i in range(len(long.lengths)) if long.key(i)[0][:2] == word and long.lengths[i] > 2]
            np.testing.assert_allclose(p_short[row], p_long[jnp.array(longer)].sum(), rtol=1e-12)


@rules
def test_log_likelihood_is_the_product_of_the_chapter_written_out(rule):
    case, everything = make(rule), every_sequence()
    got = case.likelihood(*everything)
    for row in range(0, len(everything.lengths), 3):
        word, stopped = everything.key(row)
        np.testing.assert_allclose(jnp.exp(got[row]), by_hand(rule, case, word, stopped), rtol=1e-10, atol=1e-14)


def by_hand(rule, case, word, stopped) -> float:
    """Section 2.6, one factor at a time, in NumPy."""
    params, h, p, before = case.params, case.carry(), 1.0, START
    if rule == "predicted length":
        p *= (np.exp(params.length_logits) / np.exp(params.length_logits).sum())[len(word) - 1] * stopped
    for t, symbol in enumerate(word):
        x = params.embedding[before]
        if rule == "predicted length":
            x = x + params.countdown[len(word) - t - 1]
        h, y = case.model.cell.step(params.cell, h, case.model.cell.project(params.cell, x))
        o = np.asarray(y @ params.readout.v + params.readout.c)
        last = t == len(word) - 1
        if rule == "stop unit":
            s = 1 / (1 + np.exp(-o[-1]))
            p *= s if last and stopped else 1 - s
            o = o[:-1]
        if rule == "end symbol":
            p *= (symbol == 0) == (last and stopped)
        p *= (np.exp(o) / np.exp(o).sum())[symbol]
        before = symbol
    return p


@rules
def test_the_outputs_of_forced_steps_are_those_of_the_parallel_pass(rule):
    case, (symbols, lengths, _) = make(rule), every_sequence()
    stop, carry = case.rule(lengths.shape), case.carry(lengths.shape)
    steps = forced_outputs(case.model, case.params, carry, symbols, lengths, start=START, stop=stop)
    parallel = case.model.apply(case.params, symbols, lengths, start=START)
    valid = jnp.arange(BOUND)[:, None] < lengths
    np.testing.assert_allclose(steps[valid], parallel[valid], atol=1e-12)


@rules
@pytest.mark.parametrize("padding", [-1, 0, 99])
def test_nothing_on_padding_reaches_a_likelihood_or_its_gradient(rule, padding):
    case, symbols, lengths = make(rule), jnp.array([[2, 1], [0, 0], [1, 2]]), jnp.array([2, 1])
    symbols = symbols.at[0, 1].set(0)

    def total(params, symbols):
        return case.likelihood(symbols, lengths, params=params).sum()

    want = jax.value_and_grad(total)(case.params, symbols)
    padded = jnp.where(jnp.arange(BOUND)[:, None] < lengths, symbols, padding)
    got = jax.value_and_grad(total)(case.params, padded)
    jax.tree.map(np.testing.assert_array_equal, got, want)
    assert jnp.isfinite(got[0])


@rules
def test_a_row_of_nothing_but_padding_counts_zero_and_has_no_gradient(rule):
    case = make(rule)

    def total(params):
        return case.likelihood(jnp.full((BOUND, 2), -1), jnp.zeros(2, int), params=params)

    np.testing.assert_array_equal(total(case.params), jnp.zeros(2))
    gradient = jax.grad(lambda params: total(params).sum())(case.params)
    assert all((leaf == 0).all() for leaf in jax.tree.leaves(gradient))


@rules
def test_what_cannot_happen_has_probability_zero_and_a_gradient_without_nan(rule):
    case = make(rule)
    symbols, lengths = jnp.array([[0], [1], [2]]), jnp.array([3])  # 0 in the middle, no 0 at the end
    stopped = jnp.array([rule == "end symbol"])
    outputs = jnp.zeros((3, 1, VOCABULARY + (rule == "stop unit")))
    value = log_likelihood(case.rule((1,)), outputs, symbols, lengths, stopped=stopped)
    gradient = jax.grad(
        lambda outputs: log_likelihood(case.rule((1,)), outputs, symbols, lengths, stopped=stopped).sum()
    )(outputs)
    assert jnp.isneginf(value).all() == (rule != "stop unit")
    assert not jnp.isnan(gradient).any()


def test_the_gradient_of_a_stop_unit_is_truth_minus_prediction():
    """∂ log P/∂oₛ⁽ᵗ⁾ = 1[t = τ] − σ(oₛ⁽ᵗ⁾): maximum likelihood moves s to how often the sequence ends there."""
    outputs = jax.random.normal(jax.random.key(0), (4, 2, VOCABULARY + 1))
    lengths = jnp.array([4, 2])
    symbols = jax.random.randint(jax.random.key(1), (4, 2), 0, VOCABULARY)
    got = jax.grad(lambda o: log_likelihood(StopUnit(), o, symbols, lengths).sum())(outputs)[..., -1]
    steps = jnp.arange(4)[:, None]
    want = jnp.where(steps < lengths, (steps == lengths - 1) - jax.nn.sigmoid(outputs[..., -1]), 0)
    np.testing.assert_allclose(got, want, atol=1e-14)


@pytest.mark.parametrize("length", [1, 2, 3])
def test_a_length_that_is_certain_is_the_length(length):
    case = make("predicted length")
    stop = PredictedLength(jnp.full((20, BOUND), -jnp.inf).at[:, length - 1].set(0.0))
    keys = jax.random.split(jax.random.key(0), 20)
    made = sample(keys, case.model, case.params, case.carry((20,)), start=START, stop=stop, bound=BOUND)
    np.testing.assert_array_equal(made.lengths, length)
    np.testing.assert_array_equal(made.mask.sum(0), length)


@rules
def test_the_rules_are_stop_rules(rule):
    assert isinstance(make(rule).rule(()), StopRule)


def test_two_equal_rules_are_one():
    assert EndSymbol(2) == EndSymbol(2) and hash(EndSymbol(2)) == hash(EndSymbol(2))
    assert StopUnit() == StopUnit()


def test_a_symbol_out_of_range_under_jit_has_probability_zero():
    outputs, lengths = jnp.zeros((2, VOCABULARY)), jnp.array(2)
    log_p = jax.jit(log_likelihood)(EndSymbol(0), outputs, jnp.array([VOCABULARY, 0]), lengths)
    assert jnp.isneginf(log_p)
    assert jnp.isneginf(jax.jit(log_likelihood)(EndSymbol(0), outputs, jnp.array([-1, 0]), lengths))


ZEROS = jnp.zeros((2, VOCABULARY))
BAD = {
    "end -1": (lambda: EndSymbol(-1), "`symbol` must be an integer of at least 0, got -1"),
    "end True": (lambda: EndSymbol(True), "`symbol` must be an integer"),
    "end out of range": (
        lambda: log_likelihood(EndSymbol(9), ZEROS, jnp.array([1, 0]), jnp.array(2)),
        "`stop` must end at a symbol in 0 … 2",
    ),
    "symbols out of range": (
        lambda: log_likelihood(EndSymbol(0), ZEROS, jnp.array([7, 0]), jnp.array(2)),
        "`symbols` must lie in 0 … 2, got 7",
    ),
    "symbols' shape": (
        lambda: log_likelihood(EndSymbol(0), ZEROS, jnp.array([[1], [0]]), jnp.array(2)),
        "`symbols` must have shape",
    ),
    "lengths' shape": (
        lambda: log_likelihood(EndSymbol(0), ZEROS, jnp.array([1, 0]), jnp.array([2])),
        "`lengths` must have shape",
    ),
    "a length out of range": (
        lambda: log_likelihood(EndSymbol(0), ZEROS, jnp.array([1, 0]), jnp.array(3)),
        "`lengths` must lie in 0",
    ),
    "a stop unit without an output": (
        lambda: log_likelihood(StopUnit(), ZEROS[:, :1], jnp.array([0, 0]), jnp.array(2)),
        "`outputs` must hold the symbols and the stop unit",
    ),
    "length logits' shape": (
        lambda: log_likelihood(PredictedLength(jnp.zeros((3, 2))), ZEROS, jnp.array([1, 0]), jnp.array(2)),
        "`length_logits` must have shape",
    ),
    "two rules in a model": (
        lambda: SymbolModel(make("stop unit").model.cell, 3, 4, 5, stop_unit=True, longest=3),
        "`stop_unit` and `longest` must not come together",
    ),
    "no predicted length": (
        lambda: make("stop unit").model.predicted_length(make("stop unit").params),
        "`longest` must be given",
    ),
}


@pytest.mark.parametrize("bad", BAD)
def test_bad_input_is_an_error_that_names_the_argument(bad, without_beartype):
    call, message = BAD[bad]
    with pytest.raises(ValueError) as error:
        call()
    assert message in str(error.value)
