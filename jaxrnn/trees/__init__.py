"""Recursive networks: from the leaves of a tree to its root.

    h_parent = f(h_left, h_right)

Trees of any shape are packed into one `Forest`, whose levels are computed together, so a batch of unequal trees is one
program.  Start with `from_nested` (a tree from nested tuples), `pack`, and `unroll_tree` with `TreeElman`,
`ChildSumTreeLSTM`, `NaryTreeLSTM` or `TreeDeepSet`; `unroll_tree_bpts` has the explicit backward pass.  A right comb
computes what a network over a sequence computes; a balanced tree has depth log₂ τ.

Chapter 五; Goodfellow et al. 2016, §10.6; Socher et al. 2011; Tai, Socher & Manning 2015.
"""

from jaxrnn.machines.plain_trees import register_records
from jaxrnn.trees.backpropagation import unroll_tree_bpts
from jaxrnn.trees.classifiers import SequenceClassifier, StructureParams, TreeClassifier
from jaxrnn.trees.deep_set import TreeDeepSet, TreeDeepSetParams
from jaxrnn.trees.elman import TreeElman, TreeElmanParams
from jaxrnn.trees.forest import Forest, ForestShape, Nodes, node_values, pack
from jaxrnn.trees.lstm import ChildSumTreeLSTM, NaryTreeLSTM, NaryTreeLSTMParams
from jaxrnn.trees.parsing import from_ast, from_bracketed, from_children, from_nested, from_parents
from jaxrnn.trees.recursion import root_outputs, unroll_tree, unroll_tree_python
from jaxrnn.trees.tree import Tree, TreeError, balanced_tree, right_comb
from jaxrnn.trees.tree_cell import TreeAutodiffRules, TreeCell, TreeLocalRules

__all__ = [
    "ChildSumTreeLSTM",
    "Forest",
    "ForestShape",
    "NaryTreeLSTM",
    "NaryTreeLSTMParams",
    "Nodes",
    "SequenceClassifier",
    "StructureParams",
    "Tree",
    "TreeAutodiffRules",
    "TreeCell",
    "TreeClassifier",
    "TreeDeepSet",
    "TreeDeepSetParams",
    "TreeElman",
    "TreeElmanParams",
    "TreeError",
    "TreeLocalRules",
    "balanced_tree",
    "from_ast",
    "from_bracketed",
    "from_children",
    "from_nested",
    "from_parents",
    "node_values",
    "pack",
    "right_comb",
    "root_outputs",
    "unroll_tree",
    "unroll_tree_bpts",
    "unroll_tree_python",
]

register_records(__name__)
