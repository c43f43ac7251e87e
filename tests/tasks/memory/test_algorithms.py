"""The episodes of the algorithmic problems agree with their definitions."""

import numpy as np
import pytest

from jaxrnn.tasks.data import InputError
from jaxrnn.tasks.memory.algorithms import ITEM, PROBLEMS, batch, best_bits, repeat_copy
from jaxrnn.tasks.memory.copy import Copy


def drawn(name, items, seed=0):
    make, bits, longest, _ = PROBLEMS[name]
    problem = make(bits, longest)
    return problem, problem.draw(np.random.default_rng(seed), items)


@pytest.mark.parametrize("name", PROBLEMS)
def test_an_episode_has_the_sizes_that_its_problem_states(name):
    _, _, longest, _ = PROBLEMS[name]
    for seed in range(5):
        problem, episode = drawn(name, longest, seed)
        time = len(episode.xs)
        assert time <= problem.time(longest)
        assert episode.xs.shape == (time, problem.inputs)
        assert episode.targets.shape == (time, problem.outputs) and episode.scored.shape == (time,)
        assert set(np.unique(episode.targets)) <= {0, 1} and episode.scored.any()


@pytest.mark.parametrize("name", ["copy", "repeat-copy", "associative-recall", "priority-sort"])
def test_the_input_is_silent_while_the_answer_is_given(name):
    _, episode = drawn(name, PROBLEMS[name][2])
    assert not episode.xs[episode.scored].any() and episode.xs[np.argmax(episode.scored) - 1].any()


def test_copy_asks_for_the_vectors():
    _, (xs, targets, scored) = drawn("copy", 7)
    np.testing.assert_array_equal(targets[scored], xs[:7, :8])


def test_repeat_copy_asks_for_the_vectors_as_often_as_it_says_and_then_an_end():
    for seed in range(5):
        _, (xs, targets, scored) = drawn("repeat-copy", 4, seed)
        answer = targets[scored]
        times = round(xs[4, 10] * np.sqrt((10**2 - 1) / 12) + 5.5)
        np.testing.assert_array_equal(answer[:-1, :8], np.tile(xs[:4, :8], (times, 1)))
        assert answer[-1, 8] == 1 and not answer[:-1, 8].any()


def test_a_test_of_repeat_copy_may_ask_for_more_copies_than_training():
    problem = repeat_copy(8, 10, times=20)
    xs, targets, scored = problem.draw(np.random.default_rng(0), 4)
    assert len(xs) == problem.time(4) == 4 * 21 + 2
    np.testing.assert_allclose(xs[4, 10], (20 - 5.5) / np.sqrt((10**2 - 1) / 12), rtol=1e-6)  # by training's scale
    np.testing.assert_array_equal(targets[scored][:-1, :8], np.tile(xs[:4, :8], (20, 1)))


def test_associative_recall_asks_for_the_item_after_the_one_shown_again():
    for seed in range(5):
        _, (xs, targets, scored) = drawn("associative-recall", 5, seed)
        rows = xs[: 6 * (ITEM + 1)].reshape(6, ITEM + 1, 9)
        items, query = rows[:5, 1:, :6], rows[5, 1:, :6]
        assert rows[:5, 0, 7].all() and rows[5, 0, 8] == 1
        followers = [items[i + 1] for i in range(4) if (items[i] == query).all()]
        assert any((targets[scored] == follower).all() for follower in followers)


def test_priority_sort_asks_for_the_highest_first():
    _, (xs, targets, scored) = drawn("priority-sort", 20)
    order = np.argsort(-xs[:20, 9])[:16]
    np.testing.assert_array_equal(targets[scored], xs[order, :8])


def test_n_grams_ask_for_the_next_bit():
    _, (xs, targets, scored) = drawn("n-grams", 200)
    np.testing.assert_array_equal(targets[:-1], xs[1:])
    assert scored.sum() == 196 and not scored[:4].any()


def test_the_best_predictor_needs_the_bits_of_its_counts():
    """00000 comes again and again: each 0 more makes the next one likelier, (n + ½)/(n + 1)."""
    expected = np.mean([-np.log2((n + 0.5) / (n + 1)) for n in range(4)])
    assert best_bits(np.zeros(9)) == pytest.approx(expected, abs=1e-12)


def test_behind_an_episode_nothing_is_shown_and_nothing_scored():
    problem = PROBLEMS["copy"][0](8, 20)
    xs, targets, scored = batch(np.random.default_rng(0), problem, [1, 20], problem.time(20))
    assert xs.shape == (41, 2, 10) and not xs[3:, 0].any() and not targets[3:, 0].any() and not scored[3:, 0].any()


def test_the_same_seed_and_step_draw_lengths_of_the_whole_range():
    task = Copy(batch=64)
    lengths = task.batch_at(None, 0, 0).scored.sum(0)
    assert set(lengths) <= set(range(1, 21)) and len(set(lengths)) > 12


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"width": 0}, "--width must be an integer of at least 1, got 0"),
        ({"slots": 2}, "--slots must be at least 3"),
        ({"problem": "associative-recall", "longest": 1}, "--longest must be at least 2"),
    ],
)
def test_a_wrong_option_is_one_line(options, message):
    with pytest.raises(InputError, match=message):
        Copy(**options)
