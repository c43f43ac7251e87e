"""trees."""

from jaxrnn.trees.backpropagation import unroll_tree_bpts
from jaxrnn.trees.classifiers import SequenceClassifier, StructureParams, TreeClassifier
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
