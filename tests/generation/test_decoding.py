"""Two loops over one step, independent rows, and draws that follow the probabilities."""

from collections import Counter
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrnn import EndSymbol, greedy, sample
from jaxrnn.generation import PADDING, Countdown, PredictedLength, Sampling, StopUnit, sample_scan
from jaxrnn.generation.decoding import _decode
from jaxrnn.testing.host_trees import host
from tests.generation.tiny_generators import BOUND, RULES, START, VOCABULARY, every_sequence, make

rules = pytest.mark.parametrize("rule", RULES)
KEYS = jax.random.split(jax.random.key(0), 20)


def run(case, keys=KEYS, loop=sample, bound=BOUND, params=None, **options):
    params, rows = case.params if params is None else params, keys.shape
    carry, stop = case.carry(rows), case.rule(rows)
    return loop(keys, case.model, params, carry, start=jax.device_put(START), stop=stop, bound=bound, **options)


def same(got, want):
    jax.tree.map(np.testing.assert_array_equal, got, want)


@pytest.mark.parametrize(
    ("rule", "sampling"), [*((r, Sampling()) for r in RULES), ("stop unit", Sampling(0.7, top_k=2, top_p=0.9))]
)
def test_both_loops_give_the_same_sequences_bit_for_bit(rule, sampling):
    case = make(rule, bound=6)
    made = run(case, bound=6, sampling=sampling)
    same(made, run(case, loop=sample_scan, bound=6, sampling=sampling))
    assert len(set(made.lengths.tolist())) > 1


@rules
def test_the_probability_that_comes_with_a_sequence_is_its_likelihood(rule):
    case = make(rule, bound=6)
    made = run(case, bound=6)
    want = case.likelihood(made.symbols, made.lengths, made.stopped)
    np.testing.assert_allclose(made.log_probability, want, atol=1e-12)


@rules
def test_the_gradient_through_the_scan_is_the_score_of_what_was_drawn(rule):
    case = make(rule)
    made = run(case)

    def drawn(params):
        carry, stop = case.model.initial_carry(params, KEYS.shape), case.rule(KEYS.shape, params)
        return sample_scan(KEYS, case.model, params, carry, start=START, stop=stop, bound=BOUND).log_probability.sum()

    def scored(params):
        return case.likelihood(made.symbols, made.lengths, made.stopped, params).sum()

    got, want = jax.device_get([jax.jit(jax.grad(of))(case.params) for of in (drawn, scored)])
    jax.tree.map(lambda g, w: np.testing.assert_allclose(g, w, atol=1e-11), got, want)
    assert max(np.abs(leaf).max() for leaf in jax.tree.leaves(got)) > 0.1


@pytest.mark.parametrize("rule", ["end symbol", "stop unit"])
def test_a_row_that_has_stopped_never_changes(rule):
    case = make(rule)
    short, long = run(case, bound=3), run(case, bound=9)
    short, long, mask = host((short, long, short.mask))
    rows = short.stopped
    assert 0 < rows.sum() < len(rows)
    same(jax.tree.map(lambda a: a[rows], short[1:]), jax.tree.map(lambda a: a[rows], long[1:]))
    np.testing.assert_array_equal(short.symbols, np.where(mask, long.symbols[:3], PADDING))


@rules
def test_what_stands_beyond_the_length_is_padding_and_nothing_else_is(rule):
    made = run(make(rule, bound=6), bound=6)
    made, mask = host((made, made.mask))
    np.testing.assert_array_equal(made.symbols == PADDING, ~mask)
    assert (made.symbols[mask] < VOCABULARY).all() and (made.lengths >= 1).all()


@rules
def test_a_row_depends_on_its_own_key_alone(rule):
    case = make(rule, bound=6)
    made = host(run(case, bound=6))

    def row(b):
        return made._replace(symbols=made.symbols[:, b], **{f: getattr(made, f)[b] for f in made._fields[1:]})

    some = np.array([4, 0, 11])
    close(run(case, keys=KEYS[some], bound=6), row(some))
    close(run(case, keys=KEYS[7], bound=6), row(7))


def test_vmap_over_keys_and_two_batch_axes_are_the_batch():
    case = make("stop unit")
    made = run(case)
    mapped = host(jax.vmap(lambda key: run(case, keys=key))(KEYS))
    close(mapped._replace(symbols=mapped.symbols.T), made)
    folded = host(run(case, keys=KEYS.reshape(4, 5)))
    close(jax.tree.map(lambda leaf: leaf.reshape(*leaf.shape[:-2], 20), folded), made)


def close(got, want):
    """Assert equal symbols, and probabilities within the rounding of a matrix product with another number of rows."""
    np.testing.assert_array_equal(got.symbols, want.symbols)
    np.testing.assert_array_equal(got.lengths, want.lengths)
    np.testing.assert_allclose(got.log_probability, want.log_probability, atol=1e-12)


@rules
def test_sequences_are_drawn_as_often_as_they_are_probable(rule):
    case, everything, n = make(rule), every_sequence(), 40_000
    made = run(case, keys=jax.random.split(jax.random.key(1), n))
    symbols, lengths, stopped = (np.asarray(a) for a in (made.symbols.T, made.lengths, made.stopped))
    rows = zip(symbols, lengths, stopped, strict=True)
    counts = Counter((tuple(word[:length].tolist()), bool(s)) for word, length, s in rows)
    p = np.exp(case.likelihood(*everything))
    observed = np.array([counts.pop(everything.key(row), 0) for row in range(len(p))])
    assert not counts
    assert (observed[p == 0] == 0).all()
    assert (np.abs(observed - n * p) <= 5 * np.sqrt(n * p * (1 - p)) + 1).all()


def test_the_loop_ends_when_the_last_row_has_stopped():
    steps = []
    made = sample(
        KEYS, Counting(steps.append), (), jax.device_put(np.zeros(20)), start=START, stop=StopUnit(), bound=1000
    )
    jax.effects_barrier()
    made = host(made)
    assert made.stopped.all()
    assert len(steps) == made.lengths.max() < 1000


@jax.tree_util.register_static
@dataclass(frozen=True)
class Counting:
    """Every symbol equally likely, the end with probability ½; tells `note` of every step."""

    note: object
    vocabulary: int = 3

    def next_logits(self, params, carry, symbol):
        jax.debug.callback(lambda: self.note(1))
        return carry, jnp.zeros((*symbol.shape, 4))


@jax.tree_util.register_static
@dataclass(frozen=True)
class Bigrams:
    """Not a recurrent network at all: log P(y⁽ᵗ⁾ | y⁽ᵗ⁻¹⁾) is a table, and there is no state."""

    vocabulary: int

    def next_logits(self, params, carry, symbol):
        return carry, params[symbol]


def test_anything_that_gives_logits_is_a_generator():
    probabilities = np.array([[0.2, 0.8, 0.0], [0.0, 0.1, 0.9], [0.6, 0.4, 0.0]])
    with np.errstate(divide="ignore"):
        table = jax.device_put(np.log(probabilities))
    made = sample(KEYS, Bigrams(3), table, (), start=0, stop=EndSymbol(0), bound=50)
    made, mask = host((made, made.mask))
    before = np.concatenate([np.zeros((1, 20), int), made.symbols])[:-1]
    p = np.where(mask, probabilities[before, made.symbols], 1)
    assert made.stopped.all() and (p > 0).all()
    np.testing.assert_allclose(made.log_probability, np.log(p).sum(0), atol=1e-12)
    likeliest = greedy(Bigrams(3), table, (), start=jax.device_put(0), stop=EndSymbol(0), bound=5)
    assert likeliest.symbols.tolist() == [1, 2, 0, PADDING, PADDING]
    np.testing.assert_allclose(np.exp(likeliest.log_probability), 0.8 * 0.9 * 0.6)


@rules
def test_greedy_is_sampling_at_temperature_towards_zero_and_among_one(rule):
    case = make(rule, bound=6)
    start, carry, stop = jax.device_put(np.full(20, START)), case.carry((20,)), case.rule((20,))
    want = greedy(case.model, case.params, carry, start=start, stop=stop, bound=6)
    if rule == "end symbol":  # the stop unit and the length are drawn from their own probabilities at any temperature
        same(run(case, bound=6, sampling=Sampling(top_k=1)), want)
        same(run(case, bound=6, sampling=Sampling(temperature=1e-6)), want)
        cold = jax.jit(lambda t: run(case, bound=6, sampling=Sampling(temperature=t)))
        same(cold(0.0), want)  # not known when it is compiled: the limit
        same(cold(-1.0), want)
    h, y, want = case.carry(), START, host(want)
    for t in range(int(want.lengths[0])):
        h, outputs = forced_step(case, want, h, y, t)
        y = np.argmax(np.asarray(outputs)[:VOCABULARY])
        assert want.symbols[t, 0] == y


def forced_step(case, made, h, y, t):
    y = Countdown(y, made.lengths[0] - t) if case.model.longest is not None else y
    return next_logits(case.model, case.params, h, jax.device_put(y))


@jax.jit
def next_logits(model, params, h, y):
    return model.next_logits(params, h, y)


def test_another_temperature_does_not_compile_again():
    case = make("end symbol")
    run(case, sampling=Sampling(0.5, top_p=0.9))
    before = _decode._cache_size()
    run(case, sampling=Sampling(0.9, top_p=0.3))
    assert _decode._cache_size() == before


def test_no_rows_make_no_sequences():
    made = run(make("end symbol"), keys=KEYS[:0])
    assert made.symbols.shape == (BOUND, 0) and made.lengths.shape == (0,)


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16, jnp.float32])
def test_log_probabilities_are_at_least_float32(dtype):
    case = make("stop unit")
    made = run(case, params=jax.device_put(jax.tree.map(lambda leaf: leaf.astype(dtype), host(case.params))))
    assert made.log_probability.dtype == jnp.float32 and np.isfinite(made.log_probability).all()


CASE = make("end symbol")
STOP = PredictedLength(jax.device_put(np.zeros((20, 3))))
BAD = {
    "bound": (lambda: run(CASE, bound=0), ValueError, "`bound` must be an integer of at least 1, got 0"),
    "temperature 0": (lambda: Sampling(temperature=0.0), ValueError, "`temperature` must be above 0, got 0.0"),
    "temperature -1": (lambda: Sampling(temperature=-1.0), ValueError, "greedy"),
    "temperature nan": (lambda: Sampling(temperature=float("nan")), ValueError, "`temperature` must be above 0"),
    "temperature text": (lambda: Sampling(temperature="a"), TypeError, "`temperature` must be a number, got 'a'"),
    "top_p text": (lambda: Sampling(top_p="0.9"), TypeError, "`top_p` must be a number, got '0.9'"),
    "top_p 0": (lambda: Sampling(top_p=0.0), ValueError, "`top_p` must lie in (0, 1], got 0.0"),
    "top_p 1.5": (lambda: Sampling(top_p=np.array(1.5)), ValueError, "`top_p` must lie in (0, 1], got 1.5"),
    "top_k": (lambda: Sampling(top_k=0), ValueError, "`top_k` must be an integer of at least 1, got 0"),
    "old keys": (
        lambda: run(CASE, keys=jax.random.PRNGKey(0)),
        TypeError,
        "`keys` must come from jax.random.key",
    ),
    "start": (
        lambda: sample(KEYS, CASE.model, CASE.params, CASE.carry((20,)), start=3, stop=EndSymbol(0), bound=3),
        ValueError,
        "`start` must lie in 0 … 2, got 3",
    ),
    "start's shape": (
        lambda: sample(
            KEYS, CASE.model, CASE.params, CASE.carry((20,)), start=np.zeros(3, int), stop=EndSymbol(0), bound=3
        ),
        ValueError,
        "`start` must be one symbol, or one per row",
    ),
    "carry": (
        lambda: sample(KEYS, CASE.model, CASE.params, CASE.carry((4,)), start=0, stop=EndSymbol(0), bound=3),
        ValueError,
        "`carry` must have shape (20, 5)",
    ),
    "end out of range": (
        lambda: sample(KEYS, CASE.model, CASE.params, CASE.carry((20,)), start=0, stop=EndSymbol(3), bound=3),
        ValueError,
        "`stop` must end at a symbol in 0 … 2",
    ),
    "no stop unit": (
        lambda: sample(KEYS, CASE.model, CASE.params, CASE.carry((20,)), start=0, stop=StopUnit(), bound=3),
        ValueError,
        "`generator` must give outputs of shape (20, 4), one for each symbol and 1 for StopUnit, got (20, 3)",
    ),
    "no countdown": (
        lambda: sample(KEYS, CASE.model, CASE.params, CASE.carry((20,)), start=0, stop=STOP, bound=3),
        TypeError,
        "PredictedLength goes with a model that has `longest`",
    ),
    "bound below the longest": (
        lambda: run(make("predicted length"), bound=2),
        ValueError,
        "`bound` must be at least the longest length, 3, got 2",
    ),
    "no rule": (
        lambda: sample(KEYS, CASE.model, CASE.params, CASE.carry((20,)), start=0, stop=0, bound=3),
        TypeError,
        "`stop` must be a stop rule, such as EndSymbol(0), got 0",
    ),
    "no generator": (
        lambda: sample(KEYS, None, CASE.params, CASE.carry((20,)), start=0, stop=EndSymbol(0), bound=3),
        TypeError,
        "`generator` must have vocabulary and next_logits, got None",
    ),
}


@pytest.mark.parametrize("bad", BAD)
def test_bad_input_is_an_error_that_names_the_argument(bad, without_beartype):
    call, kind, message = BAD[bad]
    with pytest.raises(kind) as error:
        call()
    assert message in str(error.value)
