"""Encoder and decoder: where C enters, the joint likelihood, every stop rule and search, buckets, bad input."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrnn import (
    GRU,
    LSTM,
    Attention,
    Bidirectional,
    Dropout,
    Elman,
    EndSymbol,
    Seq2Seq,
    Stack,
    SymbolModel,
    beam_search,
    greedy,
    quiet,
    sample,
)
from jaxrnn.generation import Generator, StopUnit, forced_outputs, log_likelihood, sample_scan
from jaxrnn.seq2seq import Attending
from jaxrnn.tasks.translation.sequence_pairs import bucket
from jaxrnn.testing import compilations
from jaxrnn.testing.host_trees import host
from jaxrnn.testing.problem import quick_jit
from tests.random_params import random_params

ENTERS = ("every step", "initial state", "both")
START, BOUND = 2, 4
SOURCES = np.array([[1, 4, 2], [3, 0, 2], [2, 1, 9], [0, 9, -1], [4, -1, 9]])
WORDS = np.array([[1, 2, 0], [2, 0, -1], [0, 9, -1], [0, 9, -1]])
SOURCE, SYMBOLS = jax.device_put((SOURCES, WORDS))
SOURCE_LENGTHS, LENGTHS = jax.device_put((np.array([5, 3, 2]), np.array([3, 2, 1])))
THERE = np.arange(4)[:, None] < [3, 2, 1]
"""True where `SYMBOLS` are not padding."""


def model_of(encoder=None, cell=None, enters="both", rule="end symbol", outputs=6):
    decoder = SymbolModel(
        cell or GRU(4, 6),
        3,
        4,
        outputs,
        stop_unit=rule == "stop unit",
        longest=BOUND if rule == "predicted length" else None,
    )
    return Seq2Seq(encoder or GRU(3, 5), decoder, 5, 3, enters)


def attending(score="additive", **options):
    cell = Attending(GRU(4 + 5, 6), Attention(6, 5, score, **options), source=1)
    return model_of(cell=cell, outputs=cell.output_size)


@functools.cache
def params_of(model):
    return random_params(model, 3)


@functools.partial(quick_jit, static_argnames="bound")
def outputs_of(model, params, source, source_lengths, symbols, lengths, bound=None):
    return model.apply(params, model.encode(params, source, source_lengths), symbols, lengths, start=START)


def both(model, source=SOURCE, symbols=SYMBOLS):
    return np.asarray(outputs_of(model, params_of(model), source, SOURCE_LENGTHS, symbols, LENGTHS))


@pytest.mark.parametrize("enters", ENTERS)
def test_the_context_enters_where_the_chapter_says(enters):
    """Elman's equations written out for a row: C = h(τ_x), then P C in every input, or d + B C as h(0), or both."""
    model = model_of(Elman(3, 5), Elman(4, 6), enters)
    p = host(params_of(model))
    got = both(model)
    for row in range(3):
        c = np.zeros(5)
        for x in SOURCES[: SOURCE_LENGTHS[row], row]:
            c = np.tanh(p.embedding[x] @ p.encoder.u + c @ p.encoder.w + p.encoder.b)
        d, h, before = p.decoder.model, np.zeros(6), START
        if enters != "every step":
            h = c @ p.decoder.initial_state.v + p.decoder.initial_state.c
        for t in range(int(LENGTHS[row])):
            entered = d.embedding[before] + (0 if enters == "initial state" else c @ p.decoder.every_step)
            h = np.tanh(entered @ d.cell.u + h @ d.cell.w + d.cell.b)
            np.testing.assert_allclose(got[t, row], h @ d.readout.v + d.readout.c, atol=1e-12)
            before = WORDS[t, row]


def test_the_context_is_the_whole_last_state_of_any_encoder():
    """It has h and C of an LSTM, h at the last step of a row and g at its first, and all layers of a stack."""
    source, lengths = SOURCES[:, 1:2], np.array([3])
    encoders = {20: Stack((LSTM(3, 5), LSTM(5, 5))), 7: Bidirectional(GRU(3, 5), Elman(3, 2))}
    for size, encoder in encoders.items():
        model = model_of(encoder)
        p = params_of(model)
        encoded = host(quick_jit(model.encode)(p, source, lengths))
        shorter = quick_jit(model.encode)(p, source[:3], lengths)
        assert encoded.context.shape == (1, size) == (1, model.context_size)
        np.testing.assert_allclose(encoded.context, shorter.context, atol=1e-12)
        assert (encoded.states[3:] == 0).all() and (encoded.mask[:, 0] == (np.arange(5) < 3)).all()


@pytest.mark.parametrize("make", [model_of, attending], ids=["fixed", "attention"])
def test_rows_and_padding_on_both_sides_change_nothing(make):
    model = make()
    whole = both(model)
    source = np.where(np.arange(5)[:, None] < [5, 3, 2], SOURCES, 3)
    moved = both(model, source=source, symbols=np.where(THERE, WORDS, 1))
    np.testing.assert_array_equal(whole[THERE], moved[THERE])
    row = outputs_of(model, params_of(model), SOURCES[:3, 1], np.array(3), WORDS[:2, 1], np.array(2))
    np.testing.assert_allclose(whole[:2, 1], row, atol=1e-12)


@pytest.mark.parametrize("make", [model_of, attending], ids=["fixed", "attention"])
def test_the_joint_likelihood_has_a_gradient_in_every_parameter_of_both_halves(make):
    model = make()

    @quick_jit
    def gradient(params):
        def joint(params):
            outputs = model.apply(params, model.encode(params, SOURCE, SOURCE_LENGTHS), SYMBOLS, LENGTHS, start=START)
            return log_likelihood(EndSymbol(0), outputs, SYMBOLS, LENGTHS).sum()

        return jax.grad(joint)(params)

    flat = jax.tree_util.tree_leaves_with_path(jax.device_get(gradient(params_of(model))))
    assert all(np.isfinite(g).all() and (g != 0).any() for _, g in flat), [
        path for path, g in flat if not (g != 0).any()
    ]


@pytest.mark.parametrize("rule", ["end symbol", "stop unit", "predicted length"])
def test_every_stop_rule_and_every_decoder_takes_it(rule):
    """Compare log P of generated sequences with teacher forcing, with attention; greedy is a beam of one."""
    cell = Attending(GRU(4 + 5, 6), Attention(6, 5), source=1)
    model = model_of(cell=cell, rule=rule, outputs=cell.output_size)
    assert isinstance(model, Generator)
    p = params_of(model)
    encoded = quick_jit(model.encode)(p, SOURCE, SOURCE_LENGTHS)
    carry = model.initial_carry(p, encoded)
    stop = {"end symbol": EndSymbol(0), "stop unit": StopUnit()}.get(rule) or model.predicted_length(p, encoded)
    options = {"start": jax.device_put(np.full(3, START)), "stop": stop, "bound": BOUND}
    keys = jax.random.split(jax.random.key(0), 3)
    best, beams = greedy(model, p, carry, **options), beam_search(model, p, carry, width=1, **options)
    np.testing.assert_array_equal(best.symbols, np.asarray(beams.symbols)[..., 0])
    drawn, scanned = sample(keys, model, p, carry, **options), sample_scan(keys, model, p, carry, **options)
    np.testing.assert_array_equal(drawn.symbols, scanned.symbols)

    @quick_jit
    def by_teacher_forcing(p, encoded, carry, stop, made):
        outputs = model.apply(p, encoded, made.symbols, made.lengths, start=START)
        forced = forced_outputs(model, p, carry, made.symbols, made.lengths, start=START, stop=stop)
        log_p = log_likelihood(stop, outputs, made.symbols, made.lengths, stopped=made.stopped)
        return jnp.where(made.mask[..., None], outputs - forced, 0), log_p

    for made in (best, drawn):
        differences, log_p = by_teacher_forcing(p, encoded, carry, stop, made)
        np.testing.assert_allclose(differences, 0, atol=1e-12)
        np.testing.assert_allclose(log_p, made.log_probability, atol=1e-12)


def test_an_alignment_is_a_distribution_over_the_source_and_the_one_that_decoding_had():
    model = attending(heads=1)
    p = params_of(model)
    encoded = quick_jit(model.encode)(p, SOURCE, SOURCE_LENGTHS)
    weights = np.asarray(quick_jit(functools.partial(model.alignment, start=START))(p, encoded, SYMBOLS, LENGTHS))
    assert weights.shape == (4, 3, 1, 5)
    np.testing.assert_allclose(weights.sum(-1)[..., 0], THERE, atol=1e-12)
    assert (np.where(np.asarray(encoded.mask).T, 0, weights[:, :, 0]) == 0).all()
    carry, step = quick_jit(model.initial_carry)(p, encoded), quick_jit(model.next_logits)
    for t in range(2):  # row 1 by hand
        carry, _ = step(p, carry, np.full(3, START) if t == 0 else WORDS[t - 1])
        np.testing.assert_allclose(weights[t, 1], np.asarray(carry.cell.reading.weights)[1], atol=1e-12)


def test_attention_in_a_higher_layer_behind_dropout_reads_writes_and_aligns():
    """With a key the noise is drawn; the quiet model is the same, step by step and all steps at once."""
    cell = Stack((Dropout(GRU(4, 6), 0.5), Attending(GRU(6 + 5, 6), Attention(6, 5), source=1)))
    noisy = model_of(Dropout(GRU(3, 5), 0.5), cell, outputs=11)
    model, p = quiet(noisy), params_of(noisy)

    @functools.partial(quick_jit, static_argnums=0)
    def run(model, p, key):
        encoded = model.encode(p, SOURCE, SOURCE_LENGTHS, key=key)
        return model.apply(p, encoded, SYMBOLS, LENGTHS, start=START, key=key), encoded

    outputs, encoded = run(model, p, jax.random.key(0))
    assert (np.asarray(run(noisy, p, jax.random.key(0))[0]) != np.asarray(outputs)).any()

    @quick_jit
    def step_by_step(p, encoded):
        carry = model.initial_carry(p, encoded)
        forced = forced_outputs(model, p, carry, SYMBOLS, LENGTHS, start=START, stop=EndSymbol(0))
        return forced, model.alignment(p, encoded, SYMBOLS, LENGTHS, start=START)

    forced, alignment = host(step_by_step(p, encoded))
    np.testing.assert_allclose(forced[THERE], np.asarray(outputs)[THERE], atol=1e-12)
    np.testing.assert_allclose(alignment.sum(-1)[..., 0], THERE, atol=1e-12)
    assert (alignment[..., 2:] == 0)[:, 2].all()  # two positions are there in the last row
    for call in (lambda: run(noisy, p, None), lambda: noisy.apply(p, encoded, SYMBOLS, LENGTHS, start=START)):
        with pytest.raises(TypeError, match=r"`key` must be given, because .* draws noise; quiet\(model\)"):
            call()


def test_lengths_in_one_bucket_compile_once():
    """Forty pairs of lengths, from 1 to 30 and from 1 to 60: as many programs as pairs of buckets."""
    model, rng = attending(), np.random.default_rng(0)
    p, seen = params_of(model), set()
    with compilations() as compiled:
        for _ in range(40):
            n, m = int(rng.integers(1, 31)), int(rng.integers(1, 61))
            shape = bucket(n), bucket(m)
            arguments = np.zeros(shape[0], int), np.int32(n), np.zeros(shape[1], int), np.int32(m)
            before = len(compiled)
            jax.block_until_ready(outputs_of(model, p, *arguments))
            assert (len(compiled) == before) == (shape in seen)
            seen.add(shape)
    assert len(seen) <= 3 * 4


def put(array, at, value):
    """Return a copy with one number changed."""
    array = array.copy()
    array[at] = value
    return array


def bad(**changes):
    model = model_of()
    call = {"source": SOURCE, "source_lengths": SOURCE_LENGTHS, **changes}
    return model.encode(params_of(model), **call)


def answer(start=START, **changes):
    call = {"symbols": SYMBOLS, "lengths": LENGTHS, **changes}
    return model_of().apply(params_of(model_of()), bad(), start=start, **call)


def forced(**changes):
    model, call = model_of(), {"symbols": SYMBOLS, "lengths": LENGTHS, **changes}
    carry = model.initial_carry(params_of(model), bad())
    return forced_outputs(model, params_of(model), carry, start=START, stop=EndSymbol(0), **call)


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (
            lambda: bad(source_lengths=np.array([5, 0, 2])),
            ValueError,
            "`source_lengths` must be at least 1, got 0 in row 1",
        ),
        (lambda: bad(source=put(SOURCES, (1, 2), 7)), ValueError, "`source` must lie in 0 … 4, got 7 in row 2 at 1"),
        (lambda: bad(source=put(SOURCES, (0, 1), -1)), ValueError, "got -1 in row 1 at 0"),
        (lambda: bad(source_lengths=np.array([6, 3, 2])), ValueError, "`lengths` must lie in 0 … time=5"),
        (lambda: bad(source=SOURCES[:, :2]), ValueError, "`source` must have shape"),
        (lambda: bad(source=SOURCES.astype(float)), TypeError, "`source` must be integer symbols"),
        (lambda: model_of(enters="never"), ValueError, "`context_enters` must be one of"),
        (lambda: Seq2Seq("GRU", model_of().decoder, 5, 3), TypeError, "`encoder` must be a cell or a Bidirectional"),
        (lambda: model_of().predicted_length(params_of(model_of()), bad()), ValueError, "`longest` must be given"),
        (lambda: answer(lengths=np.array([3, 2, 5])), ValueError, "`lengths` must lie in 0 … time=4, got 5 in row 2"),
        (lambda: answer(symbols=put(WORDS, (1, 0), 3)), ValueError, r"0 … 2, got 3 at symbols\[1, 0\]"),
        (lambda: answer(start=np.array([0, 1, 4])), ValueError, r"`start` must lie in 0 … 2, got 4 at start\[2\]"),
        (lambda: forced(lengths=np.array([3, 5, 1])), ValueError, "`lengths` must lie in 0 … time=4, got 5 in row 1"),
        (lambda: forced(symbols=put(WORDS, (0, 2), -1)), ValueError, r"0 … 2, got -1 at symbols\[0, 2\]"),
        (
            lambda: model_of().alignment(params_of(model_of()), bad(), SYMBOLS, LENGTHS, start=START),
            TypeError,
            "`decoder` must have an Attending cell",
        ),
    ],
)
def test_bad_input_names_the_argument_and_the_row(call, kind, message, without_beartype):
    with pytest.raises(kind, match=message):
        call()


def test_under_jit_an_unknown_symbol_is_nan_in_its_own_row_and_nowhere_else():
    model = model_of()
    got = both(model, source=put(SOURCES, (0, 1), 5))
    assert np.isnan(got[:, 1]).any() and not np.isnan(got[:, [0, 2]]).any()
