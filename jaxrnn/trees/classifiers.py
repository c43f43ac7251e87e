"""Classifiers of a tree of symbols, and of the same symbols as a sequence.

    o = c + V h_root,        x_n = E[symbol at n]         over the tree
    o = c + V h⁽τ⁾,          x⁽ᵗ⁾ = E[symbol t]           over the sequence, which does not show the tree

The two networks have the same parts and differ only in their graph.

E → `params.embedding`; V, c → `params.readout`.

References: Socher et al. 2013; Tai, Socher & Manning 2015; Bowman, Manning & Potts 2015 (trees against sequences);
chapter 五, items 2 and 3.
"""

from dataclasses import dataclass
from typing import NamedTuple

import jax
from jaxtyping import Array, Float, Int

from jaxrnn.core.arguments import check_key
from jaxrnn.core.carry_facts import check_output_size, output_of
from jaxrnn.core.checks import check_is_cell, check_positive
from jaxrnn.core.masks import mask_from_lengths
from jaxrnn.core.types import Cell, Key, Params
from jaxrnn.generation.symbol_model import reading_embedding, rows_of
from jaxrnn.objectives.readout import Readout, ReadoutParams
from jaxrnn.patterns.hidden_to_hidden import last_valid
from jaxrnn.trees.backpropagation import unroll_tree_bpts
from jaxrnn.trees.forest import Forest, Nodes
from jaxrnn.trees.recursion import root_outputs
from jaxrnn.trees.tree_cell import TreeCell, output_of_leaf
from jaxrnn.unrolling.backpropagation import unroll_bptt


class StructureParams(NamedTuple):
    """The parameters of the embedding, the cell and the read-out.

    >>> from jaxrnn.trees import ChildSumTreeLSTM
    >>> TreeClassifier(ChildSumTreeLSTM(4, 8), 10, 4, 8, 3).init(jax.random.key(0)).embedding.shape
    (10, 4)
    """

    embedding: Float[Array, "symbols features"]
    """E: one row per symbol."""
    cell: Params
    """The parameters of the cell."""
    readout: ReadoutParams
    """V and c."""


def _init(model: "TreeClassifier | SequenceClassifier", key: Key) -> StructureParams:
    """Draw E from a normal distribution, and the cell and the read-out by their own `init`."""
    check_key(key=key)
    e_key, cell_key, readout_key = jax.random.split(key, 3)
    readout = Readout(model.hidden_size, model.classes)
    return StructureParams(
        embedding=jax.random.normal(e_key, (model.symbols, model.features)),
        cell=model.cell.init(cell_key),
        readout=readout.init(readout_key),
    )


@jax.tree_util.register_static
@dataclass(frozen=True)
class TreeClassifier:
    """o = c + V h_root over a tree with a symbol at every node.

    Args:
      cell: any tree cell.
      symbols: the number of symbols.
      features: the size of an embedding, which is the input size of the cell.
      hidden_size: the size of the cell's output.
      classes: the number of classes.

    Raises:
      TypeError: `cell` is not a tree cell.
      ValueError: a size below 1, or one that does not fit the cell.

    >>> from jaxrnn.trees import ChildSumTreeLSTM, node_values, pack, from_nested
    >>> model, trees = TreeClassifier(ChildSumTreeLSTM(4, 8), 10, 4, 8, 3), [from_nested(((7, 2), 9))]
    >>> forest = pack(trees)
    >>> labels = node_values(trees, forest, inner=lambda label: 1)
    >>> model.logits(model.init(jax.random.key(0)), forest, labels).shape
    (1, 3)

    References: Tai, Socher & Manning 2015, §4.1.
    """

    cell: TreeCell
    symbols: int
    features: int
    hidden_size: int
    classes: int

    def __post_init__(self):
        _check_sizes(self)
        if not isinstance(self.cell, TreeCell):
            raise TypeError(f"`cell` must be a tree cell, got {self.cell!r}.")
        with reading_embedding("cell", features=self.features):
            y = output_of_leaf(self.cell, self.features)
        check_output_size("cell", y, hidden_size=self.hidden_size)

    init = _init

    def logits(self, params: StructureParams, forest: Forest, labels: Nodes) -> Float[Array, "batch classes"]:
        """Return o of every tree, from the symbol at every node.

        Raises:
          ValueError: a symbol out of range (checked outside `jit`).
        """
        xs = jax.tree.map(lambda symbols: rows_of("labels", params.embedding, symbols, 0), labels)
        _, ys = unroll_tree_bpts(self.cell, params.cell, forest, xs)
        return Readout(self.hidden_size, self.classes).apply(params.readout, root_outputs(forest, ys))


@jax.tree_util.register_static
@dataclass(frozen=True)
class SequenceClassifier:
    """o = c + V h⁽τ⁾ over a sequence of symbols.

    Args:
      cell: any cell.
      symbols: the number of symbols.
      features: the size of the embedding.
      hidden_size: the size of h.
      classes: the number of classes.

    Raises:
      TypeError: `cell` is not a cell.
      ValueError: a size below 1, or one that does not fit the cell.

    >>> import jax.numpy as jnp
    >>> from jaxrnn import LSTM
    >>> model = SequenceClassifier(LSTM(4, 8), 10, 4, 8, 3)
    >>> model.logits(model.init(jax.random.key(0)), jnp.zeros((7, 2), int), jnp.array([7, 3])).shape
    (2, 3)

    References: chapter 2.1.3.
    """

    cell: Cell
    symbols: int
    features: int
    hidden_size: int
    classes: int

    def __post_init__(self):
        _check_sizes(self)
        check_is_cell(cell=self.cell)
        with reading_embedding("cell", features=self.features):
            y = output_of(self.cell, self.features)
        check_output_size("cell", y, hidden_size=self.hidden_size)

    init = _init

    def logits(
        self, params: StructureParams, symbols: Int[Array, "time batch"], lengths: Int[Array, " batch"]
    ) -> Float[Array, "batch classes"]:
        """Return o of every row, whose symbols are valid up to its length.

        Raises:
          ValueError: a symbol out of range, or a length above `time` (checked outside `jit`).
        """
        mask = mask_from_lengths(lengths, symbols.shape[0])
        _, ys = unroll_bptt(self.cell, params.cell, rows_of("symbols", params.embedding, symbols, 0), mask=mask)
        return Readout(self.hidden_size, self.classes).apply(params.readout, last_valid(ys, mask=mask))


def _check_sizes(model: TreeClassifier | SequenceClassifier) -> None:
    sizes = {name: getattr(model, name) for name in ("symbols", "features", "hidden_size", "classes")}
    check_positive(**sizes)
