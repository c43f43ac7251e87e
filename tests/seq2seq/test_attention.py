"""Scores, the masked softmax and readings against their definitions; the memory use of the attending cell."""

import re
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrnn import GRU, LSTM, Attention, Dropout, LayerNorm, Leaky, Stack, quiet, unroll, unroll_bptt, with_noise
from jaxrnn.cells.wrappers import LeakyParams, Zoneout
from jaxrnn.core.noise import takes_noise
from jaxrnn.seq2seq import (
    Attending,
    Memory,
    additive_score,
    attend,
    dot_score,
    location_windows,
    masked_softmax,
    scaled_dot_score,
)
from jaxrnn.seq2seq.attention_gradient import compare_bwd, compared
from jaxrnn.seq2seq.nested_attention import readings, state_of
from jaxrnn.testing.host_trees import host
from jaxrnn.testing.problem import quick_jit
from tests.random_params import random_params

QUERY, MEMORY, SOURCE, BATCH = 6, 6, 5, 3
RNG = np.random.default_rng(1)
STATES, QUERIES = RNG.normal(size=(SOURCE, BATCH, MEMORY)), RNG.normal(size=(BATCH, QUERY))
THERE = np.arange(SOURCE)[:, None] < [5, 2, 0]
MASK = jax.device_put(THERE)
SCORES = RNG.normal(size=(BATCH, 3, SOURCE))
KINDS = {
    "additive": Attention(QUERY, MEMORY, "additive", units=4),
    "location": Attention(QUERY, MEMORY, "location", units=4, width=3),
    "dot": Attention(QUERY, MEMORY, "dot"),
    "general": Attention(QUERY, MEMORY, "general"),
    "scaled": Attention(QUERY, MEMORY, "scaled"),
    "additive, two heads": Attention(QUERY, MEMORY, "additive", units=4, heads=2),
    "scaled, three heads": Attention(QUERY, MEMORY, "scaled", heads=3),
    "dot, coverage": Attention(QUERY, MEMORY, "dot", coverage=True),
}
every_kind = pytest.mark.parametrize("attention", KINDS.values(), ids=KINDS)


def remembered(attention, params, states, mask=MASK):
    memory = attention.memory(params, states, mask=mask)
    return memory, attention.no_reading(memory)


@partial(jax.jit, static_argnums=0)
def read(attention, params, states, queries, mask, weights=None):
    memory, before = remembered(attention, params, states, mask)
    if weights is not None:
        before = before._replace(weights=weights, coverage=weights if attention.coverage else None)
    return attention.read(params, queries, memory, before)


def weights_before(attention):
    """Beyond a row's end nothing has been read."""
    return np.asarray(quick_jit(masked_softmax)(SCORES[:, : attention.heads], THERE.T[:, None]))


def by_hand(attention, p, states, query, weights):
    """One row's α `[heads, source]` and c, position by position and head by head, from the papers' formulas."""
    size = attention.compared // attention.heads
    alphas, contexts = [], []
    for head in range(attention.heads):
        part = slice(head * size, (head + 1) * size) if attention.heads > 1 or p.query is not None else slice(None)
        scores = []
        for j, h in enumerate(states):
            q = query if p.query is None else (query @ p.query)[part]
            k = h if p.keys is None else (h @ p.keys)[part]
            if p.bias is not None:
                a = q + k + p.bias[part]
                if p.score.location is not None:
                    for i, f in zip((-1, 0, 1), p.score.location, strict=True):
                        a += f * (weights[head, j + i] if 0 <= j + i < len(states) else 0)
                e = p.score.v[head] @ np.tanh(a)
            else:
                e = q @ k / (np.sqrt(len(q)) if attention.score == "scaled" else 1)
            scores.append(e + (0 if p.score.coverage is None else p.score.coverage[head] * weights[head, j]))
        alpha = np.exp(np.array(scores)) / np.exp(np.array(scores)).sum()
        values = states if p.values is None else (states @ p.values)[:, part]
        alphas.append(alpha)
        contexts.append(alpha @ values)
    return np.stack(alphas), np.concatenate(contexts)


@every_kind
def test_a_reading_is_the_formula_of_the_paper(attention):
    params = host(random_params(attention))
    weights = weights_before(attention)
    reading = host(read(attention, params, STATES, QUERIES, MASK, weights))
    for row, length in enumerate((5, 2)):
        alpha, context = by_hand(attention, params, STATES[:length, row], QUERIES[row], weights[row, :, :length])
        np.testing.assert_allclose(reading.weights[row, :, :length], alpha, atol=1e-12)
        np.testing.assert_allclose(reading.context[row], context, atol=1e-12)
        assert (reading.weights[row, :, length:] == 0).all()


@every_kind
def test_an_all_masked_row_reads_0_and_nan_in_padding_reaches_no_value_and_no_gradient(attention):
    params = random_params(attention)

    @quick_jit
    def run(params, states, queries):
        def loss(params, states, queries):
            reading = read(attention, params, states, queries, MASK)
            return jnp.sum(reading.context**2), reading

        return jax.value_and_grad(loss, argnums=(0, 1, 2), has_aux=True)(params, states, queries)

    (loss, reading), gradients = host(run(params, STATES, QUERIES))
    assert (reading.context[2] == 0).all() and (reading.weights[2] == 0).all()
    padded = np.where(THERE[..., None], STATES, np.nan)
    (same, _), others = host(run(params, padded, QUERIES))
    assert loss == same and all(map(np.array_equal, jax.tree.leaves(gradients), jax.tree.leaves(others)))
    assert all(np.isfinite(g).all() for g in jax.tree.leaves(gradients))
    assert (gradients[1][~THERE] == 0).all() and (gradients[2][2] == 0).all()


@every_kind
def test_the_rule_of_a_reading_is_the_vjp_of_it(attention):
    params = random_params(attention)
    memory, before = quick_jit(remembered)(attention, params, STATES)
    q = QUERIES if params.query is None else QUERIES @ np.asarray(params.query)
    weights = weights_before(attention)
    before = before._replace(weights=weights, coverage=weights if attention.coverage else None)

    @quick_jit
    def run(score, q, keys, values, weights, coverage):
        def compare(*args):
            score, q, keys, values, *read = args
            return attention.compare(score, q, Memory(keys, values, memory.mask), *read)

        # one set of parameters a row, as the rule gives one gradient a row
        rows = jax.tree.map(lambda p: jnp.broadcast_to(p, (BATCH, *p.shape)), score)
        after, vjp = jax.vjp(compare, rows, q, keys, values, weights, coverage)
        dreading = jax.tree.map(lambda a: jnp.cos(jnp.arange(1.0, a.size + 1)).reshape(a.shape), after)
        saved = compared(attention, q, before, after)
        return compare_bwd(attention, score, saved, Memory(keys, values, memory.mask), dreading), vjp(dreading)

    got, want = run(params.score, q, memory.keys, memory.values, weights, before.coverage)
    assert jax.tree.structure(tuple(got)) == jax.tree.structure(want)
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-12)


def test_attention_over_one_position_returns_it():
    for attention in (KINDS["additive"], KINDS["scaled"]):
        reading = read(attention, random_params(attention), STATES[:1], QUERIES, THERE[:1] | True)
        np.testing.assert_allclose(reading.context, STATES[0], atol=1e-12)


def test_one_head_is_one_of_many_and_the_scaled_score_the_dot_score_of_a_shorter_query():
    """With identity projections two heads are two attentions over the halves."""
    attention = KINDS["scaled, three heads"]
    eye = np.eye(QUERY)
    params = random_params(attention)._replace(query=eye, keys=eye, values=eye)
    reading = host(read(attention, params, STATES, QUERIES, MASK))
    half = Attention(2, 2, "dot")
    for head in range(3):
        part = slice(2 * head, 2 * head + 2)
        alone = read(half, random_params(half), STATES[..., part], QUERIES[:, part] / np.sqrt(2), MASK)
        np.testing.assert_allclose(reading.context[:, part], alone.context, atol=1e-12)


def test_the_scores_take_any_leading_axes():
    keys, query = RNG.normal(size=(2, 3, SOURCE, 4)), RNG.normal(size=(2, 3, 4))
    for score in (dot_score, scaled_dot_score, partial(additive_score, v=jax.device_put(np.ones(4)))):
        many, one = quick_jit(score)(query, keys), quick_jit(score)(query[1, 2], keys[1, 2])
        np.testing.assert_allclose(np.asarray(many)[1, 2], one, atol=1e-12)


def test_without_a_mask_every_position_exists():
    scores = jnp.asarray(SCORES)
    np.testing.assert_allclose(masked_softmax(scores, None), masked_softmax(scores, jnp.ones(scores.shape, bool)))


def test_the_masked_softmax_is_that_of_the_positions_that_exist():
    scores, mask = np.array([1.0, 3.0, np.nan, np.inf]), np.array([True, True, False, False])
    softmax = quick_jit(lambda scores, mask: (masked_softmax(scores, mask), jax.jacobian(masked_softmax)(scores, mask)))
    np.testing.assert_allclose(
        softmax(scores, mask)[0], [*np.exp(scores[:2]) / np.exp(scores[:2]).sum(), 0, 0], atol=1e-15
    )
    assert all((np.asarray(a) == 0).all() for a in softmax(scores, np.zeros(4, bool)))


def test_windows_look_as_far_to_the_left_as_to_the_right():
    weights = np.arange(1.0, 5)
    three, five, one = (np.asarray(quick_jit(partial(location_windows, width=n))(weights)) for n in (3, 5, 1))
    np.testing.assert_array_equal(three[1], [1, 2, 3])
    np.testing.assert_array_equal(five[0], [0, 0, 1, 2, 3])
    np.testing.assert_array_equal(one[:, 0], weights)


def test_coverage_is_the_sum_of_all_weights_so_far():
    attention = Attention(QUERY, MEMORY, coverage=True)
    cell = Attending(GRU(2 + MEMORY, QUERY), attention, source=SOURCE)
    params, xs = random_params(cell), jax.device_put(np.ones((1, BATCH, 2)))
    carry, total = quick_jit(cell.attend_to)(params, STATES, mask=MASK), 0
    for _ in range(3):
        carry, _ = unroll(cell, params, xs, carry)
        total = total + np.asarray(carry.reading.weights)
    np.testing.assert_allclose(carry.reading.coverage, total, atol=1e-12)


@pytest.mark.parametrize("run", [unroll, unroll_bptt], ids=lambda run: run.__name__)
def test_the_memory_is_not_recorded_at_every_step(run):
    """Backwards through T steps no array [T, batch, …, source, memory] is live: keys and values are there once."""
    time, source, memory = 13, 17, 19
    cell = Attending(LSTM(2 + memory, 6), Attention(6, memory, "general"), source=source)
    params = jax.eval_shape(cell.init, jax.random.key(0))
    shapes = [jax.ShapeDtypeStruct(shape, float) for shape in ((source, BATCH, memory), (time, BATCH, 2))]
    mask = jax.device_put(np.ones((time, BATCH), bool))

    def loss(params, states, xs):
        return jnp.sum(run(cell, params, xs, cell.attend_to(params, states), mask=mask)[1])

    text = jax.jit(jax.grad(loss, argnums=(0, 1, 2))).lower(params, *shapes).compile().as_text()
    recorded = set(re.findall(rf"f64\[{time},{BATCH},1,{source},\d+\]", text))
    assert recorded <= {f"f64[{time},{BATCH},1,{source},1]"}, recorded
    assert f"f64[{BATCH},1,{source},{memory}]" in text  # the search above looks for the right thing


XS = RNG.normal(size=(3, BATCH, 2))
READS = Attention(QUERY, MEMORY)
WITHIN = Attending(Dropout(LSTM(2 + MEMORY, QUERY), 0.5, "step"), READS, SOURCE)
PLAIN = quiet(WITHIN)
AROUND = {
    "dropout within": WITHIN,
    "zoneout within": Attending(Zoneout(GRU(2 + MEMORY, QUERY), 0.5), KINDS["general"], SOURCE),
    "dropout around, a layer above": Stack((Dropout(Attending(GRU(8, QUERY), READS, SOURCE), 0.5), GRU(12, 3))),
    "a layer below, one in another": Stack(
        (GRU(2, 3), Attending(Attending(GRU(15, QUERY), READS, SOURCE), Attention(12, MEMORY, "general"), SOURCE))
    ),
}


@pytest.mark.parametrize("cell", AROUND.values(), ids=AROUND)
def test_an_attending_cell_stands_anywhere_in_a_network_noise_within_and_around_it(cell):
    """Every member attends; the loop, the scan and the explicit gradient agree; `quiet` needs no noise."""
    params, key = random_params(cell), jax.random.key(1)

    @quick_jit
    def run(params, states, x):
        def loss(unroll, params, states, x):
            xs = with_noise(key, x) if takes_noise(cell) else x
            carry, ys = unroll(cell, params, xs, attend(cell, params, states, mask=MASK))
            return jnp.sum(jnp.sin(ys)), (carry, ys)

        def gradient(unroll):
            return jax.value_and_grad(partial(loss, unroll), argnums=(0, 1, 2), has_aux=True)(params, states, x)

        return gradient(unroll), gradient(unroll_bptt)

    got, want = host(run(params, STATES, XS))
    jax.tree.map(partial(np.testing.assert_allclose, atol=1e-12), got, want)
    (_, (carry, ys)), _ = want
    for reading in readings(carry):  # each of them has read the states, none of the row without any
        np.testing.assert_allclose(reading.weights.sum(-1)[:, 0], [1, 1, 0], atol=1e-12)
    assert len(readings(carry)) == repr(cell).count("Attending(") and not readings(state_of(carry))

    @quick_jit
    def calm(params, states, x):
        return unroll(quiet(cell), params, x, attend(quiet(cell), params, states, mask=MASK))[1]

    assert takes_noise(cell) == bool((np.asarray(calm(params, STATES, XS)) != ys).any())


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda p: unroll(AROUND["dropout within"], p, XS), r"`xs` must be with_noise\(key, xs\), because Attending"),
        (
            lambda p: unroll(AROUND["dropout within"], p, with_noise(jax.random.key(0), XS.astype(int))),
            "floating dtype",
        ),
        (lambda p: unroll(Leaky(PLAIN, 0.5), LeakyParams(p, np.ones(1)), XS), "to be leaky; .* wrap that one"),
        (lambda p: unroll(Zoneout(PLAIN, 0.5), p, with_noise(jax.random.key(0), XS)), "zoned out; .* wrap that one"),
        (lambda p: LayerNorm(PLAIN), "got Attending.* wrap that one"),
        (lambda p: attend(GRU(2, 3), random_params(GRU(2, 3)), STATES), "`cell` must have an Attending in it"),
    ],
)
def test_missing_noise_and_what_cannot_stand_around_an_attending_cell_are_named(call, message, without_beartype):
    with pytest.raises(TypeError, match=message):
        call(random_params(WITHIN))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Attention(5, 4, "dot"), '`score` must be "general" or "additive"'),
        (lambda: Attention(5, 4, "cosine"), "`score` must be one of"),
        (lambda: Attention(5, 4, units=6, heads=4), "`heads` must divide units=6"),
        (lambda: Attention(5, 5, "dot", units=3), "`units` must be None for 'dot'"),
        (lambda: Attention(0, 4), "`query_size` must be an integer of at least 1"),
        (lambda: Attending(GRU(9, 5), Attention(5, 4), source=0), "`source` must be an integer of at least 1"),
        (lambda: read(KINDS["dot"], random_params(KINDS["dot"]), STATES[..., :2], QUERIES, MASK), "`states` must"),
        (lambda: read(KINDS["dot"], random_params(KINDS["dot"]), STATES, QUERIES[:, :2], MASK), "`query` must have"),
        (lambda: read(KINDS["dot"], random_params(KINDS["dot"]), STATES, QUERIES[:1], MASK), "`query` must have shape"),
        (lambda: read(KINDS["dot"], random_params(KINDS["dot"]), STATES, QUERIES, THERE[:2]), "`mask` must have shape"),
        (lambda: dot_score(np.ones(3), np.ones((2, 4))), r"`keys` .* \[\*rows, size\] = \(3,\), got \(2, 4\)"),
        (lambda: dot_score(np.ones(3), np.ones(3)), r"`keys` must have shape \[\*rows, source, size\]"),
        (lambda: scaled_dot_score(np.ones((5, 3)), np.ones((2, 4, 3))), "`keys` must have shape"),
        (lambda: masked_softmax(np.ones((2, 3)), np.ones((2, 4), bool)), r"`mask` .*= \(2, 3\), got \(2, 4\)"),
        (lambda: masked_softmax(np.ones((2, 3)), np.ones((2, 1), bool)), "`mask` must have shape"),
        (lambda: masked_softmax(np.ones((2, 3)), np.ones((4, 3), bool)), "`mask` must have shape"),
        (lambda: masked_softmax(np.ones(()), np.ones((), bool)), "`mask` must have shape"),
    ],
)
def test_bad_input_is_named(call, message, without_beartype):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_mask_of_numbers_is_refused(without_beartype):
    with pytest.raises(TypeError, match=r"`mask` must be boolean, got int.*`mask != 0`"):
        masked_softmax(np.ones(3), np.ones(3, int))


def test_a_memory_of_another_length_is_named(without_beartype):
    cell = Attending(GRU(2 + MEMORY, QUERY), KINDS["dot"], source=4)
    with pytest.raises(ValueError, match="`states` must have source=4 positions, got 5"):
        cell.attend_to(random_params(cell), STATES)
