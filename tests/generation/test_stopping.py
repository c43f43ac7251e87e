"""The three stop rules as probabilities: they sum to 1, and padding does not affect them."""

from functools import partial

import jax
import numpy as np
import pytest

from jaxrnn import EndSymbol, SymbolModel, sample
from jaxrnn.generation import PredictedLength, StopRule, StopUnit, forced_outputs, log_likelihood
from jaxrnn.testing.host_trees import host
from tests.generation.tiny_generators import BOUND, RULES, START, VOCABULARY, every_sequence, make

rules = pytest.mark.parametrize("rule", RULES)


@rules
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_probabilities_of_all_sequences_up_to_the_bound_sum_to_one(rule, seed):
    everything = every_sequence()
    log_p = np.asarray(make(rule, seed).likelihood(*everything))
    np.testing.assert_allclose(np.exp(log_p).sum(), 1, rtol=1e-12)
    assert log_p.max() < np.log(0.95)  # it is not one sequence that has it all


@pytest.mark.parametrize("rule", ["end symbol", "stop unit"])  # none is longer than the longest predicted length
def test_the_mass_that_reaches_the_bound_unstopped_is_that_of_all_longer_sequences(rule):
    case, short, long = make(rule), every_sequence(2), every_sequence(BOUND)
    p_short, p_long = (np.exp(case.likelihood(*e)) for e in (short, long))
    for row in range(len(short.lengths)):
        word, stopped = short.key(row)
        if not stopped:
            longer = [i for i in range(len(long.lengths)) if long.key(i)[0][:2] == word and long.lengths[i] > 2]
            np.testing.assert_allclose(p_short[row], p_long[longer].sum(), rtol=1e-12)


@rules
def test_log_likelihood_is_the_product_of_the_chapter_written_out(rule):
    case, everything = make(rule), every_sequence()
    got = np.exp(case.likelihood(*everything))
    for row in range(0, len(everything.lengths), 3):
        word, stopped = everything.key(row)
        np.testing.assert_allclose(got[row], by_hand(rule, case, word, stopped), rtol=1e-10, atol=1e-14)


@jax.jit
def step(cell, params, h, x):
    return cell.step(params, h, cell.project(params, x))


def by_hand(rule, case, word, stopped) -> float:
    """Section 2.6, one factor at a time, in NumPy."""
    params, h, p, before = host(case.params), case.carry(), 1.0, START
    if rule == "predicted length":
        p *= (np.exp(params.length_logits) / np.exp(params.length_logits).sum())[len(word) - 1] * stopped
    for t, symbol in enumerate(word):
        x = params.embedding[before]
        if rule == "predicted length":
            x = x + params.countdown[len(word) - t - 1]
        h, y = step(case.model.cell, params.cell, h, x)
        o = np.asarray(y) @ params.readout.v + params.readout.c
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
    case, (symbols, lengths, _) = make(rule), jax.device_put(every_sequence())
    stop, carry = case.rule(lengths.shape), case.carry(lengths.shape)
    steps = forced_outputs(case.model, case.params, carry, symbols, lengths, start=START, stop=stop)
    parallel = jax.jit(partial(case.model.apply, start=START))(case.params, symbols, lengths)
    valid = np.arange(BOUND)[:, None] < lengths
    np.testing.assert_allclose(np.asarray(steps)[valid], np.asarray(parallel)[valid], atol=1e-12)


@rules
@pytest.mark.parametrize("padding", [-1, 0, 99])
def test_nothing_on_padding_reaches_a_likelihood_or_its_gradient(rule, padding):
    case, symbols, lengths = make(rule), np.array([[2, 0], [0, 0], [1, 2]]), np.array([2, 1])

    @jax.jit
    @jax.value_and_grad
    def total(params, symbols):
        return case.likelihood(symbols, lengths, params=params).sum()

    want = total(case.params, symbols)
    padded = np.where(np.arange(BOUND)[:, None] < lengths, symbols, padding)
    got = total(case.params, padded)
    jax.tree.map(np.testing.assert_array_equal, got, want)
    assert np.isfinite(got[0])


@rules
def test_a_row_of_nothing_but_padding_counts_zero_and_has_no_gradient(rule):
    case = make(rule)

    @jax.jit
    def rows(params):
        def total(params):
            log_p = case.likelihood(np.full((BOUND, 2), -1), np.zeros(2, int), params=params)
            return log_p.sum(), log_p

        return jax.grad(total, has_aux=True)(params)

    gradient, log_p = host(rows(case.params))
    np.testing.assert_array_equal(log_p, np.zeros(2))
    assert all((leaf == 0).all() for leaf in jax.tree.leaves(gradient))


@rules
def test_what_cannot_happen_has_probability_zero_and_a_gradient_without_nan(rule):
    case = make(rule)
    symbols, lengths = np.array([[0], [1], [2]]), np.array([3])  # 0 in the middle, no 0 at the end
    outputs = np.zeros((3, 1, VOCABULARY + (rule == "stop unit")))

    @jax.jit
    @jax.value_and_grad
    def total(outputs, stop, symbols, lengths, stopped):
        return log_likelihood(stop, outputs, symbols, lengths, stopped=stopped).sum()

    value, gradient = total(outputs, case.rule((1,)), symbols, lengths, np.array([rule == "end symbol"]))
    assert np.isneginf(value) == (rule != "stop unit")
    assert not np.isnan(gradient).any()


def test_the_gradient_of_a_stop_unit_is_truth_minus_prediction():
    """∂ log P/∂oₛ⁽ᵗ⁾ = 1[t = τ] − σ(oₛ⁽ᵗ⁾): maximum likelihood moves s to how often the sequence ends there."""
    rng, lengths = np.random.default_rng(0), np.array([4, 2])
    outputs, symbols = rng.normal(size=(4, 2, VOCABULARY + 1)), rng.integers(0, VOCABULARY, (4, 2))
    gradient = jax.jit(jax.grad(lambda o, *of: log_likelihood(StopUnit(), o, *of).sum()))(outputs, symbols, lengths)
    steps = np.arange(4)[:, None]
    want = np.where(steps < lengths, (steps == lengths - 1) - 1 / (1 + np.exp(-outputs[..., -1])), 0)
    np.testing.assert_allclose(np.asarray(gradient)[..., -1], want, atol=1e-14)


@pytest.mark.parametrize("length", [1, 2, 3])
def test_a_length_that_is_certain_is_the_length(length):
    case = make("predicted length")
    stop = PredictedLength(jax.device_put(np.tile(np.where(np.arange(BOUND) == length - 1, 0, -np.inf), (20, 1))))
    keys = jax.random.split(jax.random.key(0), 20)
    made = sample(keys, case.model, case.params, case.carry((20,)), start=START, stop=stop, bound=BOUND)
    np.testing.assert_array_equal(made.lengths, length)
    np.testing.assert_array_equal(np.asarray(made.mask).sum(0), length)


@rules
def test_the_rules_are_stop_rules(rule):
    assert isinstance(make(rule).rule(()), StopRule)


def test_two_equal_rules_are_one():
    assert EndSymbol(2) == EndSymbol(2) and hash(EndSymbol(2)) == hash(EndSymbol(2))
    assert StopUnit() == StopUnit()


def test_a_symbol_out_of_range_under_jit_has_probability_zero():
    for symbol in (VOCABULARY, -1):
        assert np.isneginf(jax.jit(log_likelihood)(EndSymbol(0), ZEROS, np.array([symbol, 0]), np.array(2)))


ZEROS = jax.device_put(np.zeros((2, VOCABULARY)))
BAD = {
    "end -1": (lambda: EndSymbol(-1), "`symbol` must be an integer of at least 0, got -1"),
    "end True": (lambda: EndSymbol(True), "`symbol` must be an integer"),
    "end out of range": (
        lambda: log_likelihood(EndSymbol(9), ZEROS, np.array([1, 0]), np.array(2)),
        "`stop` must end at a symbol in 0 … 2",
    ),
    "symbols out of range": (
        lambda: log_likelihood(EndSymbol(0), ZEROS, np.array([7, 0]), np.array(2)),
        "`symbols` must lie in 0 … 2, got 7",
    ),
    "symbols' shape": (
        lambda: log_likelihood(EndSymbol(0), ZEROS, np.array([[1], [0]]), np.array(2)),
        "`symbols` must have shape",
    ),
    "lengths' shape": (
        lambda: log_likelihood(EndSymbol(0), ZEROS, np.array([1, 0]), np.array([2])),
        "`lengths` must have shape",
    ),
    "a length out of range": (
        lambda: log_likelihood(EndSymbol(0), ZEROS, np.array([1, 0]), np.array(3)),
        "`lengths` must lie in 0",
    ),
    "a stop unit without an output": (
        lambda: log_likelihood(StopUnit(), np.zeros((2, 1)), np.array([0, 0]), np.array(2)),
        "`outputs` must hold the symbols and the stop unit",
    ),
    "length logits' shape": (
        lambda: log_likelihood(PredictedLength(np.zeros((3, 2))), ZEROS, np.array([1, 0]), np.array(2)),
        "`length_logits` must have shape",
    ),
    "two rules in a model": (
        lambda: SymbolModel(make("stop unit").model.cell, 3, 4, 5, stop_unit=True, longest=3),
        "`stop_unit` and `longest` must not be combined",
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
