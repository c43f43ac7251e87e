"""The problems of state tracking and recall agree with their definitions, and every kind of cell can model them."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrnn.tasks.data import InputError
from jaxrnn.tasks.tracking import (
    GROUPS,
    KINDS,
    Recall,
    Tagger,
    associative_recall,
    cycle_navigation,
    even_pairs,
    modular_arithmetic,
    multiplication_table,
    products,
    selective_copying,
    words,
)
from jaxrnn.tasks.tracking.state_tracking import StateTracking, last_quarter
from jaxrnn.tasks.tracking.training import TrackingCell, drawn

KEY = jax.random.key(0)
ALL = {
    **{group: words(group) for group in GROUPS},
    "even pairs": even_pairs(),
    "cycle navigation": cycle_navigation(),
    "modular arithmetic": modular_arithmetic(),
    "recall": associative_recall(20),
    "selective copying": selective_copying(3, 4),
}


@pytest.mark.parametrize("group", GROUPS)
def test_the_tables_are_those_of_groups(group):
    table = multiplication_table(group)
    everything = np.arange(len(table))
    np.testing.assert_array_equal(table[0], everything)
    np.testing.assert_array_equal(table[:, 0], everything)
    assert all(sorted(row) == list(everything) for row in (*table, *table.T))
    np.testing.assert_array_equal(table[table], table[:, table])  # (g h) k = g (h k)


def test_s3_does_not_commute_and_the_identity_is_the_only_element_of_a5_in_every_normal_subgroup_of_it():
    s3, a5 = multiplication_table("s3"), multiplication_table("a5")
    assert (s3 != s3.T).any()
    inverse = np.argmin(a5, axis=1)
    for g in range(1, 60):  # A₅ is simple: the conjugates of any other element generate all of it
        found = {a5[a5[h, g], inverse[h]] for h in range(60)}
        while len(larger := found | {a5[a, b] for a in found for b in found}) > len(found):
            found = larger
        assert len(found) == 60


def test_the_target_is_the_product_of_all_elements_so_far():
    table, tokens = multiplication_table("s3"), np.array([[1], [2], [5], [3]])
    want, product = [], 0
    for token in tokens[:, 0]:
        product = table[product, token]
        want.append(product)
    np.testing.assert_array_equal(products(table, jnp.asarray(tokens))[:, 0], want)


def test_parity_is_the_word_problem_of_two_elements():
    tokens = np.random.default_rng(0).integers(0, 2, (20, 3))
    np.testing.assert_array_equal(products(multiplication_table("parity"), jnp.asarray(tokens)), tokens.cumsum(0) % 2)


@pytest.mark.parametrize("name", ALL)
def test_tokens_and_answers_are_below_their_numbers_and_all_of_them_come(name):
    tokens, targets, asked = map(np.asarray, ALL[name].draw(KEY, 15, 2000))
    assert tokens.shape == targets.shape == asked.shape == (15, 2000)
    assert set(np.unique(tokens)) == set(range(ALL[name].tokens))
    assert set(np.unique(targets[asked])) == set(range(ALL[name].classes))


def test_even_pairs_counts_the_changes_between_the_letters():
    tokens, targets, _ = map(np.asarray, even_pairs().draw(KEY, 20, 50))
    changes = np.pad(np.abs(np.diff(tokens, axis=0)), [(1, 0), (0, 0)]).cumsum(axis=0)
    np.testing.assert_array_equal(targets, changes % 2 == 0)


def test_modular_arithmetic_is_python_s():
    tokens, targets, asked = map(np.asarray, modular_arithmetic().draw(KEY, 13, 100))
    for row, end in itertools.product(range(100), range(1, 14, 2)):
        expression = " ".join(str(t) if t < 5 else "+-*"[t - 5] for t in tokens[:end, row])
        assert asked[end - 1, row] and targets[end - 1, row] == eval(expression) % 5


def test_every_key_is_shown_once_and_asked_once_and_its_value_is_the_answer():
    tokens, targets, asked = map(np.asarray, associative_recall(20).draw(KEY, 16, 50))
    for read, answers, questions in zip(tokens.T, targets.T, asked.T, strict=True):
        value = {int(key): int(v) - 10 for key, v in read[:10].reshape(5, 2)}
        assert len(value) == 5 and sorted(read[questions]) == sorted(value) and max(value) < 10
        assert [value[int(key)] for key in read[questions]] == answers[questions].tolist()
        assert questions.tolist() == [False] * 10 + [True] * 5 + [False]


def test_selective_copying_asks_for_the_symbols_in_their_order():
    tokens, targets, asked = map(np.asarray, selective_copying(3, 4).draw(KEY, 12, 50))
    for read, answers, questions in zip(tokens.T, targets.T, asked.T, strict=True):
        assert read[read < 4].tolist() == answers[questions].tolist() and questions.tolist() == [False] * 9 + [True] * 3


def test_there_is_room_for_what_is_asked():
    with pytest.raises(ValueError, match="at most 32 with 10 keys"):
        associative_recall(20).draw(KEY, 33, 1)
    with pytest.raises(ValueError, match="at least 6 for 3 items"):
        selective_copying(3, 4).draw(KEY, 5, 1)


def test_the_command_line_names_the_kinds():
    assert TrackingCell.__args__ == tuple(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_gives_logits_of_the_same_model(kind):
    model = Tagger(kind, 6, 5, 8)
    params = jax.eval_shape(model.init, KEY)
    tokens = jax.ShapeDtypeStruct((9, 2), jnp.int32)
    assert jax.eval_shape(model.logits, params, tokens).shape == (9, 2, 5)
    assert jax.eval_shape(model.answers, params, tokens).shape == (9, 2)
    assert params.hidden.v.shape[0] == 8


def test_recall_has_a_convolution_over_time_and_state_tracking_has_none():
    tasks = Recall(cell="deltanet"), StateTracking(cell="deltaproduct-2")
    assert [task.model({}).cell.conv for task in tasks] == [4, None]


def test_the_accuracy_of_a_length_is_that_of_its_last_quarter():
    right = np.zeros((16, 3), bool)
    right[6:8] = True
    asked = np.ones_like(right)
    assert last_quarter(right, asked, 8) == 1 and last_quarter(right, asked, 16) == 0


def test_the_tests_are_drawn_from_a_key_of_their_own():
    task = StateTracking(group="parity", length=8, batch=8)
    batches = [task.batch_at(None, 0, 0), task.batch_at(None, 1, 0), drawn(task, None, 0, 8, 8)]
    assert len({batch.tokens.tobytes() for batch in batches}) == 3


def test_options_that_cannot_be_used_are_named():
    with pytest.raises(InputError, match="--hidden must be even"):
        StateTracking(hidden=3)
    with pytest.raises(InputError, match="--hidden must be even"):
        Recall(hidden=3)
    with pytest.raises(InputError, match="--pairs must be at most --vocabulary / 2 = 4"):
        Recall(pairs=5, vocabulary=8)
