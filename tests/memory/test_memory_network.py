"""Memory networks against their equations, a supervised address, and inputs that must have no effect."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrnn.memory import MemoryNetwork, support_loss
from jaxrnn.memory.memory_network import position_encoding
from jaxrnn.testing.problem import quick_jit

NETWORK = MemoryNetwork(vocabulary=9, width=4, slots=5, hops=2)
PARAMS = jax.tree.map(lambda a: 5 * a.astype(float), NETWORK.init(jax.random.key(0)))
RNG = np.random.default_rng(0)
QUESTION = RNG.integers(1, 9, (3, 3))
SENTENCES = RNG.integers(1, 9, (3, 5, 4))
SENTENCES[0, 2:] = 0
SENTENCES[1, 4:] = 0
SENTENCES[:, :, 3] *= RNG.integers(0, 2, (3, 5))
SENTENCES, QUESTION = jnp.asarray(SENTENCES), jnp.asarray(QUESTION)

answer = quick_jit(NETWORK.answer)
by_slot = quick_jit(NETWORK.answer_by_slot)


def embed(table, words):
    """Σⱼ lⱼ ⊙ E[xⱼ], the formula of the paper one word at a time."""
    total, (n, size) = np.zeros(table.shape[1]), (len(words), table.shape[1])
    for j, word in enumerate(words, 1):
        weights = [(1 - j / n) - (d / size) * (1 - 2 * j / n) for d in range(1, size + 1)]
        total += np.array(weights) * table[word] * (word > 0)
    return total


def by_hand(sentences, question, nothing=0.0):
    """One row, one sentence at a time; `nothing` is e⁰ if reading nothing has score 0."""
    words, times = map(np.asarray, PARAMS)
    filled = [s for s in sentences if s.any()]
    u = embed(words[0], question)
    for k in range(NETWORK.hops):
        m, c = (
            np.array([embed(words[i], s) + times[i][len(filled) - 1 - t] for t, s in enumerate(filled)])
            for i in (k, k + 1)
        )
        p = np.exp(m @ u) / (np.exp(m @ u).sum() + nothing)
        u = u + p @ c
    return u @ words[-1].T


@pytest.mark.parametrize("addressing", ["answer", "answer_by_slot"])
def test_without_tying_repeated_embeddings_give_the_answer_of_adjacent_tying(addressing):
    """E⁰, E¹, E¹, E² for E⁰, E¹, E²: the output embedding of the first hop is the input embedding of the second."""
    untied = dataclasses.replace(NETWORK, tying="none")
    twice = jax.tree.map(lambda a: a[jnp.array([0, 1, 1, 2])], PARAMS)
    got = quick_jit(getattr(untied, addressing))(twice, SENTENCES, QUESTION)
    expected = quick_jit(getattr(NETWORK, addressing))(PARAMS, SENTENCES, QUESTION)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-12), got, expected)


@pytest.mark.parametrize(("tying", "lower"), [("adjacent", False), ("none", True)])
def test_only_without_tying_can_what_was_read_lower_its_own_score_in_the_next_hop(tying, lower):
    """Two slots with the same words: the score in the second hop, after reading the first slot and after nothing."""
    network = MemoryNetwork(vocabulary=3, width=4, slots=2, hops=2, tying=tying)
    params = network.init(jax.random.key(0))
    tables = params.words.at[1].set(-params.words[2])  # the output embedding of the first hop
    params = params._replace(words=tables, times=jnp.zeros_like(params.times))
    sentences, question = jnp.ones((2, 2, 1), int), jnp.array([[2], [2]])
    scores = network.answer_by_slot(params, sentences, question, jnp.array([[0, -1], [-1, -1]])).scores[1, :, 0]
    assert (scores[0] < scores[1]) == lower


@pytest.mark.parametrize(("rest", "nothing"), [(False, 0.0), (True, 1.0)])
def test_the_answer_is_that_of_the_equations(rest, nothing):
    got = quick_jit(dataclasses.replace(NETWORK, rest=rest).answer)(PARAMS, SENTENCES, QUESTION).logits
    sentences, question = np.asarray(SENTENCES), np.asarray(QUESTION)
    for row in range(3):
        np.testing.assert_allclose(got[row], by_hand(sentences[row], question[row], nothing), atol=1e-12)


def test_an_empty_slot_is_not_read():
    p = jax.nn.softmax(answer(PARAMS, SENTENCES, QUESTION).scores, axis=-1)
    np.testing.assert_array_equal(p[:, 0, 2:], np.zeros((2, 3)))
    np.testing.assert_allclose(p.sum(-1), np.ones((2, 3)), atol=1e-14)


def test_one_sentence_is_read_whatever_the_question():
    sentences = SENTENCES.at[:, 1:].set(0)
    p = jax.nn.softmax(answer(PARAMS, sentences, QUESTION).scores, axis=-1)
    np.testing.assert_array_equal(p[..., 0], np.ones((2, 3)))


def test_supervised_addresses_that_are_the_highest_scores_change_nothing():
    free = by_slot(PARAMS, SENTENCES, QUESTION)
    best = jnp.where(free.scores.max(-1) > 0, free.scores.argmax(-1), -1)
    told = by_slot(PARAMS, SENTENCES, QUESTION, jnp.moveaxis(best, 0, -1))
    jax.tree.map(np.testing.assert_array_equal, free, told)


def test_where_no_score_is_above_0_nothing_is_read():
    against = PARAMS._replace(words=PARAMS.words.at[0].set(0), times=jnp.zeros_like(PARAMS.times))
    free = by_slot(against, SENTENCES, QUESTION)  # u⁰ = 0, so every score is 0
    np.testing.assert_array_equal(free.logits, np.zeros((3, 9)))


def test_a_hop_that_is_to_read_nothing_leaves_the_question_as_it_was():
    told = by_slot(PARAMS, SENTENCES, QUESTION, jnp.full((3, 2), -1))
    u = np.array([embed(np.asarray(PARAMS.words[0]), q) for q in np.asarray(QUESTION)])
    np.testing.assert_allclose(told.logits, u @ PARAMS.words[-1].T, atol=1e-12)


def test_sure_attention_is_a_supervised_address():
    """If every pᵏ is one-hot, reading all slots is reading one."""
    sure = PARAMS._replace(words=PARAMS.words * 400, times=PARAMS.times * 400)
    soft = answer(sure, SENTENCES, QUESTION)
    hard = by_slot(sure, SENTENCES, QUESTION, jnp.moveaxis(soft.scores.argmax(-1), 0, -1))
    assert jax.nn.softmax(soft.scores, axis=-1).max(-1).min() > 1 - 1e-9
    np.testing.assert_allclose(soft.logits, hard.logits, rtol=1e-7)


def test_the_order_of_words_matters_with_position_encoding_and_not_in_a_bag():
    turned = QUESTION[:, ::-1]
    assert not np.allclose(answer(PARAMS, SENTENCES, turned).logits, answer(PARAMS, SENTENCES, QUESTION).logits)
    bag = quick_jit(dataclasses.replace(NETWORK, encoding="bag").answer)
    np.testing.assert_allclose(
        bag(PARAMS, SENTENCES, turned).logits, bag(PARAMS, SENTENCES, QUESTION).logits, atol=1e-12
    )


def test_the_product_is_of_the_question_and_of_all_that_was_read():
    network = dataclasses.replace(NETWORK, response="product")
    got = quick_jit(network.answer)(PARAMS, SENTENCES, QUESTION)
    plain = answer(PARAMS, SENTENCES, QUESTION)
    np.testing.assert_array_equal(got.scores, plain.scores)
    words = np.asarray(PARAMS.words)
    asked = np.array([embed(words[0], q) for q in np.asarray(QUESTION)])
    u = np.linalg.lstsq(words[-1], np.asarray(plain.logits).T)[0].T  # 9 words tell 4 numbers
    np.testing.assert_allclose(got.logits, (u + asked * (u - asked)) @ words[-1].T, atol=1e-10)


@pytest.mark.parametrize(("response", "differs"), [("sum", False), ("product", True)])
def test_only_a_product_can_tell_whether_the_question_agrees_with_what_was_read(response, differs):
    """The logits of (a told, a asked) − (a, b) − (b, a) + (b, b): 0 for whatever only adds up."""
    network = MemoryNetwork(vocabulary=9, width=4, slots=5, hops=2, response=response)
    told, asked = jnp.array([1, 1, 2, 2]), jnp.array([1, 2, 1, 2])
    sentences = jnp.zeros((4, 5, 1), int).at[:, 0, 0].set(told)
    only = jnp.tile(jnp.array([0, -1]), (4, 1))
    logits = quick_jit(network.answer_by_slot)(PARAMS, sentences, asked[:, None], only).logits
    mixed = logits[0] - logits[1] - logits[2] + logits[3]
    assert (float(jnp.abs(mixed).max()) > 1e-3) == differs and float(jnp.abs(logits).max()) > 1


def test_the_middle_word_of_position_encoding_is_a_half():
    np.testing.assert_allclose(position_encoding(4, 8)[1], np.full(8, 0.5))


def test_the_support_loss_is_the_mean_of_minus_log_p_with_nothing_scoring_0():
    scores, supports = answer(PARAMS, SENTENCES, QUESTION).scores, jnp.array([[1, 0], [2, -1], [-1, -1]])
    total = np.exp(np.asarray(scores)).sum(-1) + 1  # e⁰ for nothing
    logs = [scores[0, 0, 1], scores[1, 0, 0], scores[0, 1, 2], 0, 0, 0]
    expected = -(sum(logs) - np.log(total).sum()) / 6
    np.testing.assert_allclose(support_loss(scores, supports), expected, atol=1e-13)


def test_gradients_are_finite_where_slots_are_empty():
    empty = jnp.zeros_like(SENTENCES)
    gradient = quick_jit(jax.grad(lambda p, s: NETWORK.answer(p, s, QUESTION).logits.sum()))
    for sentences in (SENTENCES, empty):
        assert all(jnp.isfinite(g).all() for g in gradient(PARAMS, sentences))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"width": 0}, "`width` must be an integer of at least 1, got 0"),
        ({"hops": 0}, "`hops` must be an integer of at least 1"),
        ({"encoding": "order"}, "`encoding` must be one of 'position', 'bag', got 'order'"),
        ({"tying": "all"}, "`tying` must be one of 'adjacent', 'none', got 'all'"),
        ({"response": "max"}, "`response` must be one of 'sum', 'product', got 'max'"),
    ],
)
def test_a_wrong_field_is_named(fields, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(NETWORK, **fields)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((SENTENCES[:, :3], QUESTION), ValueError, r"`sentences` must have shape \(3, 5, 4\).*got \(3, 3, 4\)"),
        ((SENTENCES + 5, QUESTION), ValueError, "`sentences` must lie in 0 … 8"),
        ((SENTENCES, QUESTION - 9), ValueError, "`question` must lie in 0 … 8"),
        ((SENTENCES * 1.0, QUESTION), TypeError, "`sentences` must be integers, got float"),
        ((SENTENCES, QUESTION, jnp.zeros((3, 3), int)), ValueError, r"`supports` must have shape \(3, 2\)"),
        ((SENTENCES, QUESTION, jnp.full((3, 2), 5)), ValueError, "`supports` must lie in -1 … 4, got 5"),
    ],
)
@pytest.mark.usefixtures("without_beartype")
def test_a_wrong_argument_is_named(arguments, error, message):
    with pytest.raises(error, match=message):
        NETWORK.answer_by_slot(PARAMS, *arguments)
