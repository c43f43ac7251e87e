"""Short generated stories about people, places and things, with questions and their supporting sentences.

They are in the manner of bAbI (Weston et al. 2015) but are *not* bAbI's stories: accuracies on them are not accuracies
on bAbI.

    one        where is mary                          1 sentence: where she last went
    two        where is the ball                      2: who has it (or had it last), and where that person went
    three      where was the ball before the park     3: who took it, and two moves of that person
    yes-no     is mary in the park                    1
    counting   how many things has mary               every time she took or dropped one

A quarter of the pairs of a name with a place or with a thing is held out: no training story puts the two together.  The
held-out questions are about such pairs, so their answers cannot be memorized, although each word occurs in training.  A
person who took and dropped nothing makes no pair with a thing: training asks "how many" about everyone, with nothing to
count too, and a held-out question has at least one sentence to count.

Training shows an asked person and a thing of a held-out pair only where someone else has the thing.  A network can
learn that as a vote against the pair, so that it reads a sentence about it less.  With more things a pair is rarer, and
so is what supports its vote.

References: Weston, Bordes, Chopra et al. 2015, "Towards AI-complete question answering".
"""

import random
from collections.abc import Callable
from functools import cache
from typing import NamedTuple

NAMES = ("mary", "john", "sandra", "daniel", "fred", "julie", "bill", "emma")
PLACES = ("kitchen", "garden", "office", "bathroom", "hallway", "bedroom", "school", "park")
PLACES += ("cellar", "attic", "library", "market")
THINGS = ("ball", "apple", "book", "lamp", "milk", "coat", "pen", "key", "cup", "plate", "hat", "bag")
THINGS += ("coin", "brush", "rope", "knife", "letter", "ring", "basket", "bottle", "candle", "flute", "drum", "map")
NUMBERS = ("none", "one", "two", "three")
WENT, TOOK, DROPPED = ("went", "moved", "travelled"), ("took", "grabbed"), ("dropped", "left")
WORDS = (*NAMES, *PLACES, *THINGS, *NUMBERS, *WENT, *TOOK, *DROPPED, "yes", "no", "to", "the", "in", "is", "was")
WORDS = (*WORDS, "where", "before", "how", "many", "things", "has")
CAST = 4
"""The number of people in a story."""


class Event(NamedTuple):
    """The event that a sentence describes."""

    who: str
    verb: tuple[str, ...]
    """WENT, TOOK or DROPPED."""
    what: str
    """A place or a thing."""


class World:
    """The events so far and their consequences; `go_on` adds one."""

    def __init__(self, rng: random.Random, held_out: bool):
        self.rng, self.held_out = rng, held_out
        self.cast = rng.sample(NAMES, CAST)
        self.events: list[Event] = []
        self.way: dict[str, list[int]] = {who: [] for who in self.cast}
        """For each person, the numbers of the events in which they moved."""
        self.hands: dict[str, list[int]] = {who: [] for who in self.cast}
        """For each person, the numbers of the events in which they took or dropped something."""
        self.last: dict[str, int] = {}
        """For each thing, the number of its last event."""

    def place(self, who: str) -> str | None:
        """Return where a person is."""
        return self.events[self.way[who][-1]].what if self.way[who] else None

    def held(self, who: str) -> list[str]:
        """Return the things that a person holds."""
        return [t for t, n in self.last.items() if self.events[n].who == who and self.events[n].verb is TOOK]

    def lies_at(self, thing: str) -> str | None:
        """Return where a thing was dropped; None if it never was, or is held."""
        if thing not in self.last or self.events[self.last[thing]].verb is TOOK:
            return None
        return self.events[self.moved_before(self.last[thing])].what

    def moved_before(self, event: int) -> int:
        """Return the number of the event that brought a person to the place of this one."""
        return max(n for n in self.way[self.events[event].who] if n < event)

    def go_on(self) -> None:
        """Add an event."""
        rng, who = self.rng, self.rng.choice(self.cast)
        place, held, chance = self.place(who), self.held(who), rng.random()
        if place is not None and held and chance < 0.2:
            return self._happens(Event(who, DROPPED, rng.choice(held)), self.hands)
        if place is not None and len(held) < len(NUMBERS) - 1 and chance < 0.7:
            near = [t for t in THINGS if (t not in self.last or self.lies_at(t) == place) and self._may(who, t)]
            if near:
                return self._happens(Event(who, TOOK, rng.choice(near)), self.hands)
        return self._happens(
            Event(who, WENT, rng.choice([p for p in PLACES if p != place and self._may(who, p)])), self.way
        )

    def _may(self, who: str, what: str) -> bool:
        return self.held_out or not is_held_out(who, what)

    def _happens(self, event: Event, record: dict[str, list[int]]) -> None:
        record[event.who].append(len(self.events))
        if event.verb is not WENT:
            self.last[event.what] = len(self.events)
        self.events.append(event)


class Question(NamedTuple):
    """A question about a story."""

    words: list[str]
    answer: str
    supports: tuple[int, ...]
    """The numbers of the supporting sentences, in the order of the hops."""
    pair: tuple[str, str] | None
    """The name and the place or thing that the answer concerns; None if there is nothing to count."""


class Story(NamedTuple):
    """Sentences, oldest first, and a question."""

    sentences: list[list[str]]
    question: Question


@cache  # asked for every pair in every sentence
def is_held_out(who: str, what: str) -> bool:
    """Return whether training never puts the two together.

    >>> sum(is_held_out(who, what) for who in NAMES for what in PLACES) / (len(NAMES) * len(PLACES))
    0.25
    """
    return (NAMES.index(who) + (PLACES if what in PLACES else THINGS).index(what)) % 4 == 0


def _one(world: World) -> Question | None:
    moved = [who for who in world.cast if world.way[who]]
    who = world.rng.choice(moved)
    n = world.way[who][-1]
    return Question(["where", "is", who], world.events[n].what, (n,), (who, world.events[n].what))


def _two(world: World) -> Question | None:
    if not world.last:
        return None
    thing = world.rng.choice(sorted(world.last))
    n = world.last[thing]
    who = world.events[n].who
    way = world.way[who][-1] if world.events[n].verb is TOOK else world.moved_before(n)
    place = world.events[way].what
    return Question(["where", "is", "the", thing], place, (n, way), (who, place))


def _three(world: World) -> Question | None:
    carried = [(t, n) for t, n in world.last.items() if world.events[n].verb is TOOK]
    carried = [(t, n) for t, n in carried if world.way[world.events[n].who][-1] > n]
    if not carried:
        return None
    thing, n = world.rng.choice(sorted(carried))
    who = world.events[n].who
    before, now = world.way[who][-2:]
    words = ["where", "was", "the", thing, "before", "the", world.events[now].what]
    return Question(words, world.events[before].what, (n, now, before), (who, world.events[before].what))


def _yes_no(world: World) -> Question | None:
    who = world.rng.choice([who for who in world.cast if world.way[who]])
    n = world.way[who][-1]
    true = world.events[n].what
    asked = true if world.rng.random() < 0.5 else world.rng.choice([p for p in PLACES if p != true])
    return Question(["is", who, "in", "the", asked], "yes" if asked == true else "no", (n,), (who, true))


def _counting(world: World) -> Question | None:
    # Once for everyone, and more often with several sentences to count.
    who = world.rng.choices(world.cast, [1 + len(world.hands[who]) ** 2 for who in world.cast])[0]
    pairs = [(who, world.events[n].what) for n in world.hands[who]]
    pair = next((pair for pair in pairs if is_held_out(*pair)), pairs[0] if pairs else None)
    number = NUMBERS[len(world.held(who))]
    return Question(["how", "many", "things", "has", who], number, tuple(reversed(world.hands[who])), pair)


KINDS: dict[str, Callable[[World], Question | None]] = {
    "one": _one,
    "two": _two,
    "three": _three,
    "yes-no": _yes_no,
    "counting": _counting,
}


def story(rng: random.Random, kind: str, longest: int, *, held_out: bool = False) -> Story:
    """Generate a story of 4 to `longest` sentences with a question of this kind.

    Args:
      rng: the source of randomness.
      kind: one of `KINDS`.
      longest: the largest number of sentences.
      held_out: True for a question about a held-out pair; otherwise the story contains no such pair.

    >>> made = story(random.Random(3), "one", 6)
    >>> [" ".join(made.sentences[n]) for n in made.question.supports], " ".join(made.question.words)
    (['daniel went to the library'], 'where is daniel')
    """
    while True:
        world = World(rng, held_out)
        for _ in range(rng.randint(min(4, longest), longest)):
            world.go_on()
        question = KINDS[kind](world)
        if question is not None and (question.pair is not None and is_held_out(*question.pair)) == held_out:
            return Story([_sentence(rng, event) for event in world.events], question)


def _sentence(rng: random.Random, event: Event) -> list[str]:
    to = ["to"] if event.verb is WENT else []
    return [event.who, rng.choice(event.verb), *to, "the", event.what]
