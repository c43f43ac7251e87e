"""Tasks over trees: nested lists of operations, arithmetic expressions."""

from jaxrnn.tasks.trees.expressions import Expressions
from jaxrnn.tasks.trees.listops import SYMBOLS, ListOps, held_out, read

__all__ = ["SYMBOLS", "Expressions", "ListOps", "held_out", "read"]
