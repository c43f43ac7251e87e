"""Tasks over trees: nested lists of operations, arithmetic expressions."""

from jaxrnn.tasks.trees.expressions import Expressions
from jaxrnn.tasks.trees.listops import SYMBOLS, ListOps, held_out, read
from jaxrnn.tasks.trees.structured import Example, Model, Network

__all__ = ["SYMBOLS", "Example", "Expressions", "ListOps", "Model", "Network", "held_out", "read"]
