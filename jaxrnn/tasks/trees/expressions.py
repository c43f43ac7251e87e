"""Arithmetic expressions of the standard library, evaluated modulo 10: chapter 五, item 4.

    size + (width - 1) * height      →      3 + (7 - 1) * 2      →      5

Every arithmetic expression with two or more operators in the modules of the standard library, as parsed by `ast`,
gives a shape: operators over places, with equal places for equal operands.  An example fills the places with random
digits and asks for the value, with every operator modulo 10 (`OPERATORS`).  The tree network reads the tree.  The LSTM
reads the text as Python writes it, with the fewest brackets, and must learn precedence and associativity.  Every tenth
shape is held out with all its digits.

The parse is the chapter's tree "from outside".  The baselines are the sequence and the most frequent value.

References: Tai, Socher & Manning 2015, §3.2; Zaremba & Sutskever 2014, "Learning to execute".
"""

import ast
import hashlib
import operator
import re
import sysconfig
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import ClassVar, NamedTuple

import jax
import numpy as np

from jaxrnn.tasks.data import InputError
from jaxrnn.tasks.trees import structured
from jaxrnn.tasks.trees.structured import Example, Model, Network, Room
from jaxrnn.trees.lstm import NaryTreeLSTM
from jaxrnn.trees.parsing import from_children
from jaxrnn.trees.tree import Tree

OPERATORS: dict[type, Callable] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: lambda a, b: a // b if b else 0,
    ast.FloorDiv: lambda a, b: a // b if b else 0,
    ast.Mod: lambda a, b: a % b if b else 0,
    ast.Pow: operator.pow,
    ast.LShift: operator.lshift,
    ast.RShift: operator.rshift,
    ast.BitAnd: operator.and_,
    ast.BitOr: operator.or_,
    ast.BitXor: operator.xor,
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
    ast.Invert: operator.invert,
}
"""The operators on digits, modulo 10, with division by 0 giving 0."""
NAMES = tuple(kind.__name__ for kind in OPERATORS)
TOKENS = ("**", "//", "<<", ">>", "+", "-", "*", "/", "%", "&", "|", "^", "~", "(", ")")
SYMBOLS = (*"0123456789", *NAMES, *TOKENS)
PLACES = 8
"""The largest number of operands of a shape; larger shapes are skipped."""
FILLINGS = 20
"""The number of examples of each held-out shape to measure."""


class Shape(NamedTuple):
    """An expression without its digits."""

    tree: Tree
    """Place numbers at the leaves, class names of operators at the inner nodes."""
    text: tuple[str | int, ...]
    """As Python writes it; integers are places."""
    operators: int
    """The number of places."""


@jax.tree_util.register_static
@dataclass(frozen=True)
class Expressions:
    """Learn to evaluate the standard library's arithmetic, over its trees or over its text.

    >>> Expressions(batch=8).units()
    8
    """

    network: Network = "tree"
    """Over the tree (a binary tree-LSTM), or over the text (an LSTM of about as many parameters)."""
    hidden: int = 128
    """Units; the LSTM over the text has half as many again."""
    embedding: int = 32
    """Size of an embedded symbol."""
    batch: int = 128
    """Expressions in an update."""

    unit: ClassVar[str] = "expressions"
    score: ClassVar[str] = "nats"
    training: ClassVar[dict] = {"steps": 2000, "learning_rate": 4e-3, "every": 500}

    carry, units, loss, metrics = structured.carry, structured.units, structured.loss, structured.metrics

    def __post_init__(self):
        structured.check_options(self.network, hidden=self.hidden, embedding=self.embedding, batch=self.batch)

    @property
    def room(self) -> Room:
        """The sizes of a batch, large enough for any shape."""
        found = library()
        return Room(
            leaves=PLACES,
            inner=max(len(shape.tree.children) for shape in found),
            arity=2,
            height=max(shape.tree.height for shape in found),
            time=max(len(shape.text) for shape in found),
        )

    def load(self) -> tuple[tuple[list[Shape], list[Example]], dict]:
        """Load the shapes to train on, and held-out examples.

        Raises:
          InputError: this Python has no sources of its standard library.
        """
        found = library()
        if len(found) < 10:
            raise InputError("this task needs the sources of Python's standard library, and this Python has none.")
        train = [shape for i, shape in enumerate(found) if i % 10]
        rng = np.random.default_rng(0)
        held_out = [fill(shape, rng) for shape in found[::10] for _ in range(FILLINGS)]
        digest = hashlib.sha256(repr([shape.text for shape in found]).encode()).hexdigest()
        return (train, held_out), {"symbols": list(SYMBOLS), "shapes": len(found), "sha256": digest}

    def describe(self, facts: dict) -> str:
        """Describe the data in one line."""
        count = structured.parameters(self.model(facts))
        shapes = facts["shapes"]
        return f"{shapes} shapes of arithmetic, a tenth held out; {self.network} network of {count:,} parameters"

    def model(self, facts: dict) -> Model:
        """Build the model: ten classes from the root, or from the last symbol."""
        hidden = self.hidden if self.network == "tree" else self.hidden + self.hidden // 2
        cell = NaryTreeLSTM(self.embedding, hidden, arity=2)
        return structured.classifier(self.network, cell, len(SYMBOLS), self.embedding, hidden, classes=10)

    def batch_at(self, data: tuple[list[Shape], list[Example]], seed: int, step: int):
        """Draw random shapes with random digits."""
        rng = np.random.default_rng([seed, step])
        shapes, _ = data
        examples = [fill(shapes[i], rng) for i in rng.integers(len(shapes), size=self.batch)]
        return structured.batch_of(self.network, examples, self.room)

    def evaluate(self, model: Model, params, data: tuple[list[Shape], list[Example]]) -> dict[str, float]:
        """Return loss and accuracy on unseen shapes, overall and by the number of operators."""
        return structured.measure(self.network, model, params, data[1], self.room, self.batch)

    def illustrate(self, model: Model, params, data, folder: Path) -> dict[str, Path]:
        """Draw the accuracy by the number of operators, in groups.png and groups.md."""
        scores = self.evaluate(model, params, data)
        return structured.illustrate(scores, structured.majority(data[1]), self.network, "operators", folder)


def fill(shape: Shape, rng: np.random.Generator) -> Example:
    """Draw digits for the places of a shape, and evaluate the expression.

    >>> shape = shape_of(ast.parse("n * (n - 1)", mode="eval").body)
    >>> example = fill(shape, np.random.default_rng(0))
    >>> "".join(SYMBOLS[symbol] for symbol in example.text), example.value
    ('8*(8-6)', 6)
    """
    digits = rng.integers(10, size=1 + max(shape.tree.leaves)).tolist()
    tree, values = shape.tree, [digits[place] for place in shape.tree.leaves]
    leaves = tuple(values)
    for name, children in zip(tree.inner, tree.children, strict=True):
        values.append(evaluate(name, [values[child] for child in children]))
    symbols = tuple(SYMBOLS.index(name) for name in tree.inner)
    text = [digits[part] if isinstance(part, int) else SYMBOLS.index(part) for part in shape.text]
    return Example(Tree(tree.children, leaves, symbols), text, values[-1], min(shape.operators, 5))


def evaluate(name: str, operands: list[int]) -> int:
    """Apply one operator to digits, modulo 10.

    >>> evaluate("Sub", [3, 5]), evaluate("Div", [7, 0]), evaluate("USub", [4])
    (8, 0, 6)
    """
    return list(OPERATORS.values())[NAMES.index(name)](*operands) % 10


@lru_cache(maxsize=1)
def library() -> tuple[Shape, ...]:
    """Return the distinct shapes in the modules of the standard library, in an order independent of their position."""
    found = {}
    for file in sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py")):
        for node in arithmetic(ast.parse(file.read_bytes())):
            shape = shape_of(node)
            if shape.operators >= 2 and len(shape.tree.leaves) <= PLACES:
                found[shape.text] = shape
    return tuple(found[text] for text in sorted(found, key=lambda t: hashlib.sha256(repr(t).encode()).digest()))


def arithmetic(tree: ast.AST) -> Iterator[ast.expr]:
    """Return the outermost arithmetic expressions, without those that join or format text.

    >>> [ast.unparse(node) for node in arithmetic(ast.parse("f(a + b*c) + 1; 'x' + y; [n] * 2"))]
    ['f(a + b * c) + 1', 'a + b * c']
    """
    inside: set[int] = set()
    for node in ast.walk(tree):
        if not isinstance(node, ast.BinOp | ast.UnaryOp) or id(node) in inside or not _operator(node):
            continue
        way, operands = [node], []
        while way:
            part = way.pop()
            if _operator(part):
                inside.add(id(part))
                way += _operands(part)
            else:
                operands.append(part)
        if not any(map(_is_text, operands)):
            yield node


def shape_of(node: ast.expr) -> Shape:
    """Return the operators of an expression over numbered places.

    >>> shape_of(ast.parse("len(x) - (a + len(x))", mode="eval").body).text
    (0, '-', '(', 1, '+', 0, ')')
    """
    places: dict[str, int] = {}

    def label(part):
        if _operator(part):
            return type(part.op).__name__
        return places.setdefault(ast.dump(part), len(places))

    tree = from_children(node, children=lambda part: _operands(part) if _operator(part) else (), label=label)

    text = re.findall(r"_\d+|\*\*|//|<<|>>|[-+*/%&|^~()]", ast.unparse(_renamed(node, places)))
    parts = tuple(int(part[1:]) if part[0] == "_" else part for part in text)
    return Shape(tree, parts, len(tree.children))


def _renamed(node: ast.expr, places: dict[str, int]) -> ast.expr:
    """Return the expression with places instead of names."""
    if isinstance(node, ast.BinOp) and _operator(node):
        return ast.BinOp(_renamed(node.left, places), node.op, _renamed(node.right, places))
    if isinstance(node, ast.UnaryOp) and _operator(node):
        return ast.UnaryOp(node.op, _renamed(node.operand, places))
    return ast.Name(f"_{places[ast.dump(node)]}")


def _operator(node) -> bool:
    """Return whether a node is arithmetic; a negative number is a number."""
    negative = isinstance(node, ast.UnaryOp) and isinstance(node.operand, ast.Constant)
    return isinstance(node, ast.BinOp | ast.UnaryOp) and type(node.op) in OPERATORS and not negative


def _operands(node) -> list[ast.expr]:
    return [node.left, node.right] if isinstance(node, ast.BinOp) else [node.operand]


def _is_text(node: ast.expr) -> bool:
    text = isinstance(node, ast.Constant) and not isinstance(node.value, int | float | complex)
    return text or isinstance(node, ast.JoinedStr | ast.List | ast.Tuple | ast.Dict | ast.Set)
