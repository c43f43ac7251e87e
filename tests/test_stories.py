"""The stories: their supports answer their questions, and what is held out is held out."""

import random

import numpy as np
import pytest

from jaxrnn.data import InputError
from jaxrnn.tasks.stories import NUMBER, Stories, as_numbers
from jaxrnn.tasks.story_world import DROPPED, KINDS, NAMES, NUMBERS, PLACES, THINGS, TOOK, WENT, is_held_out, story

every_kind = pytest.mark.parametrize("kind", KINDS)


def drawn(kind, held_out=False, number=40):
    rng = random.Random(f"{kind} {held_out}")
    return [story(rng, kind, 12, held_out=held_out) for _ in range(number)]


def told_again(sentences):
    """What the sentences say, read word by word: everyone's ways, and what became of each thing."""
    ways, things, hands = {}, {}, {}
    for n, (who, verb, *_, what) in enumerate(sentences):
        if verb in WENT:
            ways.setdefault(who, []).append((n, what))
        else:
            things[what] = (n, who, verb)
            hands.setdefault(who, []).append((verb, what))
    return ways, things, hands


def where(ways, who, before=99):
    return [place for n, place in ways[who] if n < before][-1]


def answered(kind, made):
    """The answer, from the sentences alone."""
    ways, things, hands = told_again(made.sentences)
    words = made.question.words
    if kind == "one":
        return where(ways, words[2])
    if kind == "yes-no":
        return "yes" if where(ways, words[1]) == words[4] else "no"
    if kind == "counting":
        moves = hands.get(words[4], [])
        return NUMBERS[sum(1 if verb in TOOK else -1 for verb, _ in moves)]
    n, who, verb = things[words[3]]
    if kind == "two":
        return where(ways, who, n if verb in DROPPED else 99)
    (_, before), (_, now) = ways[who][-2:]
    assert now == words[6] and verb in TOOK and ways[who][-1][0] > n
    return before


@every_kind
@pytest.mark.parametrize("held_out", [False, True])
def test_the_answer_follows_from_the_sentences(kind, held_out):
    for made in drawn(kind, held_out):
        assert made.question.answer == answered(kind, made)


@every_kind
def test_the_supports_are_sentences_about_the_one_who_is_meant(kind):
    for made in drawn(kind):
        who, _ = made.question.pair
        assert all(made.sentences[n][0] == who for n in made.question.supports)


@pytest.mark.parametrize(("kind", "number"), [("one", 1), ("two", 2), ("three", 3), ("yes-no", 1)])
def test_a_kind_has_as_many_supports_as_its_name_says(kind, number):
    assert all(len(set(made.question.supports)) == number for made in drawn(kind))


@every_kind
def test_no_held_out_pair_is_in_a_training_story_and_every_held_out_question_is_about_one(kind):
    for made in drawn(kind):
        assert not any(is_held_out(words[0], words[-1]) for words in made.sentences)
    assert all(is_held_out(*made.question.pair) for made in drawn(kind, held_out=True))


def test_every_word_occurs_in_training():
    words = {w for kind in KINDS for made in drawn(kind, number=60) for s in made.sentences for w in s}
    assert {*NAMES, *PLACES, *THINGS} <= words


def test_numbers_are_the_words_and_the_first_supports():
    made = drawn("three", number=3)
    numbers = as_numbers(made, 12, 2)
    for row, (told, asked) in enumerate(made):
        assert [list(filter(None, s)) for s in numbers.sentences[row].tolist() if any(s)] == [
            [NUMBER[w] for w in words] for words in told
        ]
        assert numbers.answer[row] == NUMBER[asked.answer]
        np.testing.assert_array_equal(numbers.supports[row], asked.supports[:2])


def test_a_wrong_option_is_one_line():
    with pytest.raises(InputError, match="--hops must be an integer of at least 1, got 0"):
        Stories(hops=0)
