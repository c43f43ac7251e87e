"""A beam that is wide enough is exhaustive; a narrower one still returns true sequences."""

import jax
import numpy as np
import pytest

from jaxrnn import EndSymbol, beam_search, greedy
from jaxrnn.generation import PADDING
from jaxrnn.testing.host_trees import host
from tests.generation.tiny_generators import BOUND, RULES, START, every_sequence, make

rules = pytest.mark.parametrize("rule", RULES)
WIDE = 120
"""More than the beginnings that there can be: stopped and not, of three symbols, for three lengths."""


def search(case, rows=(), **options):
    start, stop = jax.device_put(np.full(rows, START)), case.rule(rows)
    options = {"bound": BOUND, "width": WIDE} | options
    return beam_search(case.model, case.params, case.carry(rows), start=start, stop=stop, **options)


@rules
@pytest.mark.parametrize("penalty", [0.0, 1.0])
@pytest.mark.parametrize("seed", [0, 1])
def test_a_beam_that_is_wide_enough_is_the_list_of_all_sequences_in_order(rule, penalty, seed):
    case, everything = make(rule, seed), every_sequence()
    log_p = np.asarray(case.likelihood(*everything))
    score = log_p / np.asarray(everything.lengths) ** penalty
    order = [row for row in np.argsort(-score, kind="stable") if np.isfinite(log_p[row])]
    beams = host(search(case, length_penalty=penalty))
    n = len(order)
    np.testing.assert_allclose(beams.score[:n], score[order], rtol=1e-10)
    np.testing.assert_allclose(beams.log_probability[:n], log_p[order], rtol=1e-10)
    for i, row in enumerate(order):
        got = tuple(beams.symbols[: beams.lengths[i], i].tolist()), bool(beams.stopped[i])
        assert got == everything.key(row)
    assert np.isneginf(beams.log_probability[n:]).all() and n < WIDE
    assert (beams.lengths[n:] == 0).all() and (beams.symbols[:, n:] == PADDING).all()
    np.testing.assert_allclose(np.exp(beams.log_probability).sum(), 1, rtol=1e-12)


@rules
def test_a_beam_of_width_one_is_greedy(rule):
    case = make(rule, bound=6)
    want = greedy(case.model, case.params, case.carry(), start=jax.device_put(START), stop=case.rule(()), bound=6)
    got = host(search(case, bound=6, width=1))
    np.testing.assert_array_equal(got.symbols[:, 0], want.symbols)
    np.testing.assert_allclose(got.log_probability[0], want.log_probability, rtol=1e-12)
    assert got.stopped[0] == want.stopped


@rules
@pytest.mark.parametrize("width", [2, 5])
def test_every_hypothesis_has_its_own_likelihood_and_none_comes_twice(rule, width):
    case = make(rule, bound=5)
    beams = search(case, bound=5, width=width)
    want = case.likelihood(beams.symbols, beams.lengths, beams.stopped)
    beams = host(beams)
    np.testing.assert_allclose(beams.log_probability, want, rtol=1e-10)
    assert (np.diff(beams.score) <= 0).all()
    seen = {(*beams.symbols[:, i].tolist(), bool(beams.stopped[i])) for i in range(width)}
    assert len(seen) == width


@rules
def test_the_rows_of_a_batch_are_searched_apart(rule):
    case = make(rule)
    rng = np.random.default_rng(1)
    carry = jax.tree.map(lambda leaf: rng.normal(size=leaf.shape), case.carry((2, 3)))
    start = np.array([[0, 1, 2], [2, 1, 0]])
    options = {"bound": BOUND, "width": 4}
    given = jax.device_put({"carry": carry, "start": start})
    together = host(beam_search(case.model, case.params, **given, stop=case.rule((2, 3)), **options))
    for row in np.ndindex(2, 3):
        own = jax.device_put({"carry": jax.tree.map(lambda leaf, row=row: leaf[row], carry), "start": start[row]})
        alone = beam_search(case.model, case.params, **own, stop=case.rule(()), **options)
        np.testing.assert_array_equal(together.symbols[(slice(None), *row)], alone.symbols)
        np.testing.assert_allclose(together.log_probability[row], alone.log_probability, rtol=1e-10)


def test_a_wider_beam_finds_what_greedy_misses():
    """First the likelier half, then nothing good: 0.6 · 0.4 against 0.4 · 0.9."""
    from tests.generation.test_decoding import Bigrams

    p = np.array([[0.0, 0.6, 0.4, 0.0], [0.4, 0.3, 0.3, 0.0], [0.9, 0.1, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0]])
    with np.errstate(divide="ignore"):
        arguments = (Bigrams(4), jax.device_put(np.log(p)), ())
    options = {"start": jax.device_put(0), "stop": EndSymbol(0), "bound": 3}
    assert greedy(*arguments, **options).symbols.tolist() == [1, 0, PADDING]
    beams = host(beam_search(*arguments, **options, width=2))
    assert beams.symbols[:, 0].tolist() == [2, 0, PADDING]
    np.testing.assert_allclose(np.exp(beams.log_probability[0]), 0.36, rtol=1e-12)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"width": 0}, "`width` must be an integer of at least 1, got 0"),
        ({"bound": 0}, "`bound` must be an integer of at least 1, got 0"),
        ({"length_penalty": -1.0}, "`length_penalty` must be a finite number of at least 0, got -1.0"),
        ({"length_penalty": float("nan")}, "`length_penalty` must be a finite number of at least 0"),
    ],
)
def test_bad_input_is_an_error_that_names_the_argument(options, message, without_beartype):
    with pytest.raises(ValueError) as error:
        search(make("end symbol"), **options)
    assert message in str(error.value)
