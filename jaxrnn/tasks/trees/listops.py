"""ListOps, nested operations on lists of digits: chapter 五, items 2 and 3.

    [MAX 2 9 [MIN 4 7 ] 0 ]   →   9

MAX, MIN, MED (the median, rounded down) and SM (the sum modulo 10) of up to five numbers, some of which are such lists
themselves, to a depth of six.  Which digits an operation combines depends on the structure alone: the tree
network receives it, while the LSTM, with about as many parameters, reads the brackets.  All depths are equally
frequent among the held-out expressions, none of which occurs in training.

Training starts with expressions of depth 1, which show what an operation does to digits, and goes deeper step by step.
In a batch, all depths up to the largest have about equally many operations.  Only the value of the whole expression is
ever given.

References: Nangia & Bowman 2018, "ListOps: a diagnostic dataset for latent tree learning"; Zaheer et al. 2017 (the
set); Bengio, Louradour, Collobert & Weston 2009, "Curriculum learning".
"""

import random
import statistics
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import ClassVar

import jax

from jaxrnn.tasks.data import check_count
from jaxrnn.tasks.trees import structured
from jaxrnn.tasks.trees.structured import Example, Model, Network, Room
from jaxrnn.trees.deep_set import TreeDeepSet
from jaxrnn.trees.parsing import from_children

OPERATIONS = {
    "MAX": max,
    "MIN": min,
    "MED": lambda numbers: int(statistics.median(numbers)),
    "SM": lambda numbers: sum(numbers) % 10,
}
SYMBOLS = (*"0123456789", *OPERATIONS, "]")
HELD_OUT = 200
"""The number of held-out expressions of each depth."""
AVERAGE = 4
"""The largest mean of the numbers of operations in a batch of training; what exceeds it is redrawn."""
NESTED = 0.15
"""The probability that a child is a list, except for the child that sets the depth."""


@jax.tree_util.register_static
@dataclass(frozen=True)
class ListOps:
    """Learn the value of nested list operations, over the tree or over the text.

    >>> ListOps(batch=8).units()
    8
    """

    network: Network = "tree"
    """Over the tree (children as a set), or over the text (an LSTM of about as many parameters)."""
    depth: int = 6
    """The largest depth."""
    arity: int = 5
    """The largest number of operands; the smallest is 2."""
    leaves: int = 32
    """The largest number of digits of an expression; larger ones are redrawn."""
    hidden: int = 128
    """Units; the LSTM over the text has three eighths more."""
    embedding: int = 32
    """Size of an embedded symbol."""
    batch: int = 128
    """Expressions in an update."""
    growth: int = 400
    """Updates after which the largest depth in training, at first 1, grows by one; 0 for all depths from the start."""

    unit: ClassVar[str] = "expressions"
    score: ClassVar[str] = "nats"
    training: ClassVar[dict] = {"steps": 5000, "learning_rate": 2e-3, "warmup": 100, "every": 500}

    carry, units, loss, metrics = structured.carry, structured.units, structured.loss, structured.metrics

    def __post_init__(self):
        structured.check_options(
            self.network, depth=self.depth, hidden=self.hidden, embedding=self.embedding, batch=self.batch
        )
        check_count(0, growth=self.growth)
        check_count(2, arity=self.arity)
        check_count(2 * self.depth, leaves=self.leaves)  # so that not nearly all are drawn again

    @property
    def room(self) -> Room:
        """The sizes of a batch; an operation has at least two children, so there are fewer operations than leaves."""
        inner = max(self.leaves // 2, self.depth)
        return Room(self.leaves, inner, self.arity, self.depth, self.leaves + 2 * inner)

    def load(self) -> tuple[list[Example], dict]:
        """Load the held-out expressions; the training expressions are drawn."""
        return held_out(self.depth, self.arity, self.room), {"symbols": list(SYMBOLS)}

    def describe(self, facts: dict) -> str:
        """Describe the data in one line."""
        count = structured.parameters(self.model(facts))
        return f"list operations to depth {self.depth}; {self.network} network of {count:,} parameters"

    def model(self, facts: dict) -> Model:
        """Build the model: ten classes from the root, or from the last symbol."""
        hidden = self.hidden if self.network == "tree" else self.hidden + 3 * self.hidden // 8
        cell = TreeDeepSet(self.embedding, self.hidden, 2 * self.hidden)
        return structured.classifier(self.network, cell, len(SYMBOLS), self.embedding, hidden, classes=10)

    def batch_at(self, data: list[Example], seed: int, step: int):
        """Draw random expressions that are not held out, with equally many operations of each depth on average."""
        rng = random.Random(f"{seed}, {step}")
        seen, room = _texts(self.depth, self.arity, self.room), self.room._replace(average=AVERAGE)
        depths = range(1, 1 + (min(self.depth, 1 + step // self.growth) if self.growth else self.depth))
        examples: list[Example] = []
        left = room.together(self.batch) - self.batch  # after one operation for each expression
        while len(examples) < self.batch:
            depth = rng.choices(depths, [1 / depth for depth in depths])[0]
            example = draw(rng, depth, self.arity, self.room)
            more = len(example.tree.children) - 1
            if tuple(example.text) not in seen and more <= left:
                examples.append(example)
                left -= more
        return structured.batch_of(self.network, examples, room)

    def evaluate(self, model: Model, params, data: list[Example]) -> dict[str, float]:
        """Return loss and accuracy on the held-out expressions, overall and by depth."""
        return structured.measure(self.network, model, params, data, self.room, self.batch)

    def illustrate(self, model: Model, params, data: list[Example], folder: Path) -> dict[str, Path]:
        """Draw the accuracy by depth, in groups.png and groups.md."""
        scores = self.evaluate(model, params, data)
        return structured.illustrate(scores, structured.majority(data), self.network, "depth", folder)


def draw(rng: random.Random, depth: int, arity: int, room: Room) -> Example:
    """Draw a random expression of exactly this depth that fits.

    >>> draw(random.Random(0), 1, 3, Room(9, 9, 3, 1, 27)).tree.height
    1
    """
    while True:
        expression = _draw(rng, depth, arity)
        text = list(read(expression))
        leaves = sum(symbol < 10 for symbol in text)
        if leaves <= room.leaves and (len(text) - leaves) // 2 <= room.inner:
            tree = from_children(
                expression,
                children=lambda node: node[1] if isinstance(node, tuple) else (),
                label=lambda node: SYMBOLS.index(node[0]) if isinstance(node, tuple) else node,
            )
            return Example(tree, text, value(expression), depth)


def _draw(rng: random.Random, depth: int, arity: int):
    """Draw a digit, or (operation, children)."""
    if depth == 0:
        return rng.randrange(10)
    depths = [rng.randrange(depth) if rng.random() < NESTED else 0 for _ in range(rng.randint(2, arity))]
    depths[rng.randrange(len(depths))] = depth - 1
    return rng.choice(tuple(OPERATIONS)), tuple(_draw(rng, below, arity) for below in depths)


def value(expression) -> int:
    """Evaluate an expression.

    >>> value(("MAX", (2, 9, ("MIN", (4, 7)), 0))), value(("MED", (1, 4))), value(("SM", (8, 7)))
    (9, 2, 5)
    """
    if isinstance(expression, int):
        return expression
    operation, children = expression
    return OPERATIONS[operation]([value(child) for child in children])


def read(expression):
    """Return the symbols of an expression in order; an operation's symbol includes its opening bracket.

    Args:
      expression: a digit, or (operation, children).

    Returns:
      A list of symbols.

    >>> " ".join(SYMBOLS[symbol] for symbol in read(("MAX", (2, ("MIN", (4, 7)), 0))))
    'MAX 2 MIN 4 7 ] 0 ]'
    """
    if isinstance(expression, int):
        yield expression
        return
    operation, children = expression
    yield SYMBOLS.index(operation)
    for child in children:
        yield from read(child)
    yield SYMBOLS.index("]")


@lru_cache(maxsize=8)
def held_out(depth: int, arity: int, room: Room) -> list[Example]:
    """Return the held-out expressions, `HELD_OUT` of each depth.

    Args:
      depth: the largest depth.
      arity: the largest number of operands.
      room: the sizes of a batch.

    Returns:
      A list of expressions.

    >>> len(held_out(depth=1, arity=3, room=ListOps(depth=1).room)) == HELD_OUT
    True
    """
    rng = random.Random("held out")
    return [draw(rng, d, arity, room) for d in range(1, depth + 1) for _ in range(HELD_OUT)]


@lru_cache(maxsize=8)
def _texts(depth: int, arity: int, room: Room) -> frozenset:
    return frozenset(tuple(example.text) for example in held_out(depth, arity, room))
