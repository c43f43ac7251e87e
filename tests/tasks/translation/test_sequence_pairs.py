"""Pairs of sequences: numbers, padding, buckets, and errors that name the example."""

import numpy as np
import pytest

from jaxrnn.tasks.data import InputError
from jaxrnn.tasks.translation.sequence_pairs import bucket, padded, pairs

SYMBOLS = {"source_symbols": "abc", "target_symbols": "xy"}


def test_a_thousand_lengths_fall_into_eight_buckets_none_twice_as_long_as_needed():
    lengths = range(1, 1001)
    assert {bucket(n) for n in lengths} == {8, 16, 32, 64, 128, 256, 512, 1024}
    assert all(n <= bucket(n) < max(2 * n, 9) for n in lengths)


def test_symbols_are_numbered_and_targets_end():
    made = pairs(["cab", "b"], ["yx", "x"], **SYMBOLS)
    assert made.source.shape == made.target.shape == (8, 2)
    assert made.source[:3, 0].tolist() == [2, 0, 1] and made.source_lengths.tolist() == [3, 1]
    assert made.target[:3].T.tolist() == [[2, 1, 0], [1, 0, 0]] and made.target_lengths.tolist() == [3, 2]
    assert made.take(np.array([1])).target_lengths.tolist() == [2]


def test_words_are_symbols_too():
    made = pairs([["one", "two"]], ["x"], source_symbols=["two", "one"], target_symbols="xy")
    assert made.source[:2, 0].tolist() == [1, 0]


@pytest.mark.parametrize(
    ("sources", "targets", "message"),
    [
        (["a", ""], ["x", "x"], "source 1 is empty"),
        (["a", "b"], ["x", "xyx"], "target 1 has 4 symbols, its end counted; there must be at most 3"),
        (["a", "bb☃"], ["x", "x"], "source 1 has symbols that are not known: '☃'"),
        (["a", "b"], ["x", "z"], "target 1 has symbols that are not known: 'z'"),
        (["a", "b"], ["x"], "as many targets as sources"),
        ([], [], "at least one"),
    ],
)
def test_bad_input_says_which_example(sources, targets, message):
    with pytest.raises(InputError, match=message):
        pairs(sources, targets, bound=3, **SYMBOLS)


def test_a_source_longer_than_the_array_is_named():
    with pytest.raises(InputError, match="source has 3 symbols; there must be at most 2"):
        padded(["abc"], "abc", name="source", bound=2)
