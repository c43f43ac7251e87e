"""Five small algorithms to learn from examples, with an external memory.

An episode is a question followed by an answer, during which the input is silent; only the answer is scored.  An extra
input is 1 with every vector shown, so that a vector of zeros differs from silence even for a network without a memory.

    copy                 v₁ … v_L, a mark                  → v₁ … v_L
    repeat-copy          v₁ … v_L, a mark with R           → v₁ … v_L, R times, and an end mark
    associative-recall   items of 3 vectors, one of them   → the item that followed it
    priority-sort        v₁ … v_L, each with a priority    → the 4/5 of highest priority, highest first

In the fifth, n-grams, every next bit is scored.  The bits follow a table of P(1 | the last five bits), drawn for every
episode from Beta(½, ½).  On average no predictor is better than

    P(b = 1 | N₁ ones and N₀ zeros so far after these five bits) = (N₁ + ½)/(N₀ + N₁ + 1)      (`best_bits`)

References: Graves, Wayne & Danihelka 2014, §4.1 to §4.5; Murphy 2012, §3.3 (the best predictor); chapter 八;
Goodfellow et al. 2016, §10.12.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

CONTEXT = 5
"""The number of bits that the next bit depends on, in n-grams."""

ITEM = 3
"""The number of vectors in an item of associative recall."""


class Episode(NamedTuple):
    """One sequence with its targets."""

    xs: np.ndarray
    """`[time, inputs]`: bits, an indicator of bits, marks."""
    targets: np.ndarray
    """`[time, outputs]`, bits."""
    scored: np.ndarray
    """`[time]`, True where the target counts."""


class Problem(NamedTuple):
    """An algorithm to learn."""

    inputs: int
    """The size of the input."""
    outputs: int
    """The number of output bits."""
    time: Callable[[int], int]
    """Maps a number of items to the largest number of steps of an episode."""
    draw: Callable[[np.random.Generator, int], Episode]
    """Maps (rng, items) to an episode."""
    shortest: int
    """The smallest number of items in training."""


def copy(bits: int, longest: int) -> Problem:
    """Build the copy problem: repeat the vectors after a mark.

    >>> problem = copy(bits=2, longest=20)
    >>> problem.draw(np.random.default_rng(0), 2).xs.tolist()
    [[1.0, 1.0, 1.0, 0.0], [1.0, 0.0, 1.0, 0.0], [0.0, 0.0, 0.0, 1.0], [0.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]]
    """

    def draw(rng: np.random.Generator, items: int) -> Episode:
        vectors = rng.integers(0, 2, (items, bits))
        return _question_and_answer(_marked(vectors, (1.0,)), vectors)

    return Problem(bits + 2, bits, lambda items: 2 * items + 1, draw, shortest=1)


def repeat_copy(bits: int, longest: int, times: int = 0) -> Problem:
    """Build repeat-copy: R copies, with R from 1 to `longest` given by the mark, normalized over training.

    With `times`, R is always this number, which may be larger than any in training.
    """
    mean, deviation = (longest + 1) / 2, max(((longest**2 - 1) / 12) ** 0.5, 1.0)

    def draw(rng: np.random.Generator, items: int) -> Episode:
        vectors, copies = rng.integers(0, 2, (items, bits)), times or int(rng.integers(1, longest + 1))
        question = _marked(vectors, (1.0, (copies - mean) / deviation))
        answer = np.pad(np.tile(vectors, (copies, 1)), [(0, 1), (0, 1)])
        answer[-1, bits] = 1
        return _question_and_answer(question, answer)

    return Problem(bits + 3, bits + 1, lambda items: items * ((times or longest) + 1) + 2, draw, shortest=1)


def associative_recall(bits: int, longest: int) -> Problem:
    """Build associative recall: items of three vectors, then one of them; the answer is the item that followed it."""

    def draw(rng: np.random.Generator, items: int) -> Episode:
        vectors = rng.integers(0, 2, (items, ITEM, bits))
        asked = int(rng.integers(items - 1))
        shown = _shown(np.concatenate([vectors, vectors[asked : asked + 1]]), marks=2)
        question = np.pad(shown, [(0, 0), (1, 0), (0, 0)]).reshape(-1, bits + 3)
        starts = np.arange(items + 1) * (ITEM + 1)
        question[starts, bits + 1] = starts < starts[-1]  # a mark before each item, another one around the query
        question = np.pad(question, [(0, 1), (0, 0)])
        question[[starts[-1], -1], bits + 2] = 1
        return _question_and_answer(question, vectors[asked + 1])

    return Problem(bits + 3, bits, lambda items: (items + 1) * (ITEM + 1) + 1 + ITEM, draw, shortest=2)


def n_grams(bits: int, longest: int) -> Problem:
    """Build n-grams: predict the next bit, which depends on the last five; `bits` is 1."""

    def draw(rng: np.random.Generator, items: int) -> Episode:
        table, sequence = rng.beta(0.5, 0.5, 2**CONTEXT).tolist(), rng.integers(0, 2, CONTEXT).tolist()
        last = _context(sequence)
        for chance in rng.random(items + 1 - CONTEXT).tolist():
            sequence.append(int(chance < table[last]))
            last = (2 * last + sequence[-1]) % 2**CONTEXT
        both = np.array(sequence, np.float32)[:, None]
        return Episode(both[:-1], both[1:], np.arange(items) >= CONTEXT - 1)

    return Problem(1, 1, lambda items: items, draw, shortest=longest)


def priority_sort(bits: int, longest: int) -> Problem:
    """Build priority sort: return the vectors of highest priority, highest first."""

    def draw(rng: np.random.Generator, items: int) -> Episode:
        vectors, priorities = rng.integers(0, 2, (items, bits)), rng.uniform(-1, 1, items)
        question = _marked(vectors, (0.0, 1.0))
        question[:items, bits + 1] = priorities
        return _question_and_answer(question, vectors[np.argsort(-priorities)[: _kept(items)]])

    return Problem(bits + 3, bits, lambda items: items + 1 + _kept(items), draw, shortest=longest)


PROBLEMS = {
    # name: (problem, bits, most items in training, items of the tests beyond)
    "copy": (copy, 8, 20, (30, 60, 120)),
    "repeat-copy": (repeat_copy, 8, 10, (20,)),
    "associative-recall": (associative_recall, 6, 6, (12, 20)),
    "n-grams": (n_grams, 1, 200, ()),
    "priority-sort": (priority_sort, 8, 20, ()),
}
"""The problems by name, with the sizes of Graves et al."""


def batch(rng: np.random.Generator, problem: Problem, items: list[int], time: int) -> Episode:
    """Draw a batch of episodes, `[time, rows, …]`; after the end of an episode the input is 0 and nothing is scored.

    >>> problem = copy(bits=8, longest=20)
    >>> batch(np.random.default_rng(0), problem, [3, 20], problem.time(20)).scored.sum(0).tolist()
    [3, 20]
    """
    episodes = [problem.draw(rng, n) for n in items]
    padded = [[np.pad(a, [(0, time - len(a))] + [(0, 0)] * (a.ndim - 1)) for a in e] for e in episodes]
    xs, targets, scored = (np.stack(arrays, axis=1) for arrays in zip(*padded, strict=True))
    return Episode(xs.astype(np.float32), targets.astype(np.float32), scored)


def best_bits(sequence: np.ndarray) -> float:
    """Return the bits per scored bit that the best predictor of n-grams needs on this sequence.

    Args:
      sequence: bits, `[time + 1]`; the first five are given.

    >>> round(best_bits(np.zeros(6)), 3)  # nothing known of 00000 yet: 1 bit
    1.0
    """
    known, counts, bits = [int(b) for b in sequence], np.full((2**CONTEXT, 2), 0.5), []
    for t in range(CONTEXT, len(known)):
        seen = counts[_context(known[:t])]
        bits.append(-np.log2(seen[known[t]] / seen.sum()))
        seen[known[t]] += 1
    return float(np.mean(bits))


def _shown(vectors: np.ndarray, marks: int) -> np.ndarray:
    """Return the vectors with an indicator of 1 and channels for marks, `[..., bits + 1 + marks]`."""
    shown = np.pad(vectors, [(0, 0)] * (vectors.ndim - 1) + [(0, 1)], constant_values=1)
    return np.pad(shown, [(0, 0)] * (vectors.ndim - 1) + [(0, marks)]).astype(np.float32)


def _marked(vectors: np.ndarray, mark: tuple[float, ...]) -> np.ndarray:
    """Return the vectors followed by a row with `mark` in its own channels."""
    rows = np.pad(_shown(vectors, len(mark)), [(0, 1), (0, 0)])
    rows[-1, -len(mark) :] = mark
    return rows


def _question_and_answer(question: np.ndarray, answer: np.ndarray) -> Episode:
    """Return an episode with a silent input during the answer, and a target of 0 before it."""
    q, a = len(question), len(answer)
    return Episode(np.pad(question, [(0, a), (0, 0)]), np.pad(answer, [(q, 0), (0, 0)]), np.arange(q + a) >= q)


def _context(sequence: list[int]) -> int:
    return int("".join(str(b) for b in sequence[-CONTEXT:]), 2)


def _kept(items: int) -> int:
    return max(1, 4 * items // 5)
