"""The stories: their supports answer their questions, and what is held out is held out."""

import random

import jax
import numpy as np
import optax
import pytest

from jaxrnn.tasks.data import InputError
from jaxrnn.tasks.memory.stories import NUMBER, Stories, as_numbers
from jaxrnn.tasks.memory.story_world import (
    DROPPED,
    KINDS,
    NAMES,
    NUMBERS,
    PLACES,
    THINGS,
    TOOK,
    WENT,
    is_held_out,
    story,
)
from jaxrnn.training.train_state import init_state, updates

every_kind = pytest.mark.parametrize("kind", KINDS)


def drawn(kind, held_out=False, number=40):
    rng = random.Random(f"{kind} {held_out}")
    return [story(rng, kind, 12, held_out=held_out) for _ in range(number)]


def told_again(sentences):
    """Read the sentences word by word: the ways of everyone, and what happened to each thing."""
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
    """Return the answer, given the sentences alone."""
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
        who = made.question.words[4] if kind == "counting" else made.question.pair[0]
        assert all(made.sentences[n][0] == who for n in made.question.supports)


@pytest.mark.parametrize(("kind", "number"), [("one", 1), ("two", 2), ("three", 3), ("yes-no", 1)])
def test_a_kind_has_as_many_supports_as_its_name_says(kind, number):
    assert all(len(set(made.question.supports)) == number for made in drawn(kind))


@every_kind
def test_no_held_out_pair_is_in_a_training_story_and_every_held_out_question_is_about_one(kind):
    for made in drawn(kind):
        assert not any(is_held_out(words[0], words[-1]) for words in made.sentences)
    assert all(is_held_out(*made.question.pair) for made in drawn(kind, held_out=True))


def test_training_asks_of_everyone_with_something_to_count_and_with_nothing():
    asked = {(made.question.words[4], bool(made.question.supports)) for made in drawn("counting", number=400)}
    assert asked == {(who, something) for who in NAMES for something in (False, True)}


def test_a_held_out_question_counts_a_pair_that_training_never_put_together():
    for made in drawn("counting", held_out=True):
        counted = [made.sentences[n] for n in made.question.supports]
        assert made.question.pair in {(words[0], words[-1]) for words in counted}


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


@every_kind
@pytest.mark.parametrize("held_out", [False, True])
def test_the_last_hop_is_to_read_the_place_that_is_the_answer_and_other_answers_begin_with_the_first(kind, held_out):
    made = drawn(kind, held_out)
    numbers = as_numbers(made, 12, 4)
    for sentences, supports, (_, asked) in zip(numbers.sentences, numbers.supports, made, strict=True):
        read = [*asked.supports[:4]]
        nothing = [-1] * (4 - len(read))
        if kind in ("one", "two", "three"):
            assert NUMBER[asked.answer] in sentences[supports[-1]]
            assert supports.tolist() == nothing + read
        else:
            assert supports.tolist() == read + nothing


def test_a_name_does_not_decide_where_its_thing_is():
    """Two supports, among questions of one and three, about pairs that training never put together."""
    task = Stories(addressing="supervised", sentences=6, width=16)
    model, optimizer, kinds = task.model({"words": len(NUMBER)}), optax.adam(1e-2), ["one", "two", "three"] * 6

    def loss_fn(params, carry, batch, key):
        return task.loss(model, params, carry, batch, key)

    batches = [task.questions(kinds, str(step)) for step in range(300)]
    state = init_state(model.init(jax.random.key(0)), optimizer)
    batches = jax.tree.map(lambda *arrays: np.stack(arrays), *batches)
    params = updates(loss_fn, optimizer, state, batches, jax.random.key(1))[0].params
    asked = task.questions(["two"] * 200, "never seen", held_out=True)
    right = (np.asarray(task.read(model, params, asked).logits).argmax(-1) == asked.answer).mean()
    assert right > 0.5  # three seeds: 64 to 84 %, and 16 to 44 % if the free hops are the last ones


def test_a_run_over_other_words_is_refused():
    with pytest.raises(InputError, match="the run's stories have 41 words"):
        Stories().model({"words": 41})


def test_a_run_without_the_facts_of_this_version_has_the_hops_of_its_own():
    before = Stories().model({"words": len(NUMBER)})
    assert (before.rest, before.tying) == (False, "adjacent")
    now = Stories().model(Stories().load()[1])
    assert (now.rest, now.tying) == (True, "none")


def test_a_wrong_option_is_one_line():
    with pytest.raises(InputError, match="--hops must be an integer of at least 1, got 0"):
        Stories(hops=0)
