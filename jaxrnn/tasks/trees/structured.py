"""The batches, the loss and the scores that the tasks over trees share.

An example is one expression, as a tree and as a sequence of symbols, with its value.  The tree network receives the
structure; the sequence network must infer it from brackets and precedence.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxrnn.cells.lstm import LSTM
from jaxrnn.core.types import Carry, Key
from jaxrnn.objectives.losses import cross_entropy
from jaxrnn.tasks.data import InputError, check_count
from jaxrnn.trees.classifiers import SequenceClassifier, TreeClassifier
from jaxrnn.trees.forest import node_values, pack
from jaxrnn.trees.tree import Tree
from jaxrnn.trees.tree_cell import TreeCell

Network = Literal["tree", "sequence"]
Model = TreeClassifier | SequenceClassifier


class Example(NamedTuple):
    """An expression with its value."""

    tree: Tree
    """The tree, with the number of a symbol at every node."""
    text: Sequence[int]
    """The numbers of the symbols in reading order."""
    value: int
    """The class."""
    group: int
    """The group under which the score is reported."""


class Room(NamedTuple):
    """The sizes of every batch, so that there is one program."""

    leaves: int
    """The number of leaves of a tree."""
    inner: int
    """The number of inner nodes of a tree."""
    arity: int
    """The number of children of a node."""
    height: int
    """The height of a tree."""
    time: int
    """The number of symbols of a text."""
    average: int | None = None
    """The largest mean of the numbers of inner nodes in a batch; None for `inner`."""

    def together(self, batch: int) -> int:
        """Return the number of inner nodes of all trees of a batch; always enough for one tree."""
        return batch * self.inner if self.average is None else max(batch * self.average, self.inner)

    def sizes(self, batch: int) -> dict[str, Any]:
        """Return the sizes for `pack`, with as many steps as any batch needs."""
        width = 64
        steps = self.height + -(-self.together(batch) // width)
        return {"leaves": self.leaves, "inner": self.inner, "arity": self.arity, "steps": steps, "width": width}


def classifier(network: Network, cell: TreeCell, symbols: int, embedding: int, hidden: int, classes: int) -> Model:
    """Build the tree network with this cell, or the LSTM over the text with `hidden` units."""
    if network == "tree":
        return TreeClassifier(cell, symbols, embedding, hidden, classes)
    return SequenceClassifier(LSTM(embedding, hidden), symbols, embedding, hidden, classes)


def batch_of(network: Network, examples: list[Example], room: Room) -> tuple[Any, Any, np.ndarray]:
    """Return (forest, labels, values) or (symbols, lengths, values)."""
    values = np.array([example.value for example in examples], np.int32)
    if network == "tree":
        trees = [example.tree for example in examples]
        forest = pack(trees, **room.sizes(len(trees)))
        labels = node_values(trees, forest, int, int)
        return forest, jax.tree.map(lambda a: a.astype(np.int32), labels), values
    symbols = np.zeros((room.time, len(examples)), np.int32)
    for i, example in enumerate(examples):
        symbols[: len(example.text), i] = example.text
    return symbols, np.array([len(example.text) for example in examples], np.int32), values


def carry(task: Any, model: Model, params) -> Carry:
    """Return None, because each expression is independent of the others."""
    return None


def units(task: Any) -> int:
    """Return the number of expressions in a batch."""
    return task.batch


def loss(task: Any, model: Model, params, carry: Carry, batch, key: Key):
    """Return −log P(value | expression)."""
    return nats(model, params, batch), carry


def metrics(task: Any, loss: float) -> dict[str, float]:
    """Return the loss under the name of its metric."""
    return {"nats": float(loss)}


def nats(model: Model, params, batch):
    """Return −log P(value | expression), averaged over the batch."""
    first, second, values = batch
    return cross_entropy(model.logits(params, first, second), values)


@partial(jax.jit, static_argnums=0)
def _answers(model: Model, params, first, second, values):
    """Return −log P(value) and the likeliest value for each example."""
    logits = model.logits(params, first, second)
    return -jax.nn.log_softmax(logits)[jnp.arange(len(values)), values], logits.argmax(-1)


def measure(network: Network, model: Model, params, examples: list[Example], room: Room, batch: int) -> dict:
    """Return nats, accuracy, and the accuracy of every group as accuracy_2, accuracy_3, …."""
    padded = examples + examples[:1] * (-len(examples) % batch)  # one shape, one program
    losses, answers = [], []
    for start in range(0, len(padded), batch):
        loss, answer = _answers(model, params, *batch_of(network, padded[start : start + batch], room))
        losses.append(loss)
        answers.append(answer)
    right = np.concatenate(answers)[: len(examples)] == [example.value for example in examples]
    groups = np.array([example.group for example in examples])
    by_group = {f"accuracy_{group}": float(right[groups == group].mean()) for group in np.unique(groups)}
    nats = float(np.concatenate(losses)[: len(examples)].mean())
    return {"nats": nats, "accuracy": float(right.mean()), **by_group}


def majority(examples: list[Example]) -> float:
    """Return the accuracy of always predicting the most frequent value."""
    return float(np.bincount([example.value for example in examples]).max() / len(examples))


def illustrate(scores: dict, baseline: float, network: Network, what: str, folder: Path) -> dict[str, Path]:
    """Draw the accuracy by group as groups.png, and write it as a table to groups.md."""
    from matplotlib.figure import Figure

    prefix = "accuracy_"
    shares = {int(name.removeprefix(prefix)): share for name, share in scores.items() if name.startswith(prefix)}
    figure = Figure(figsize=(5, 3.4), dpi=150, layout="constrained")
    axes = figure.add_subplot()
    axes.plot(list(shares), list(shares.values()), "o-", label=f"{network} network")
    axes.axhline(baseline, color="0.5", linestyle=":", label="the most frequent value")
    axes.set(xlabel=what, ylabel="accuracy, held out", ylim=(0, 1.03), xticks=list(shares))
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(folder / "groups.png", format="png")
    rows = [f"| {what} | {network} network |", "|---|---|", *(f"| {n} | {share:.1%} |" for n, share in shares.items())]
    rows += [f"| all | {scores['accuracy']:.1%} |", f"| the most frequent value | {baseline:.1%} |"]
    (folder / "groups.md").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return {"accuracy": folder / "groups.png", "table": folder / "groups.md"}


def check_options(network: str, **sizes: int) -> None:
    """Raise InputError unless every size is at least 1 and the network is one of the two."""
    check_count(**sizes)
    if network not in ("tree", "sequence"):
        raise InputError(f"--network must be tree or sequence, got {network}.")


def parameters(model: Model) -> int:
    """Return the number of parameters."""
    shapes = jax.eval_shape(model.init, jax.eval_shape(lambda: jax.random.key(0)))
    return sum(leaf.size for leaf in jax.tree.leaves(shapes))
