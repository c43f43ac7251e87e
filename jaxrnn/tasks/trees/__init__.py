"""Tasks over trees: nested lists of operations, and arithmetic expressions.

Start with `ListOps`, where a tree network and a sequence network see the same data.  Chapter 五; Goodfellow et al.
2016, §10.6.
"""

from jaxrnn.tasks.trees.expressions import Expressions
from jaxrnn.tasks.trees.listops import SYMBOLS, ListOps, held_out, read

__all__ = ["SYMBOLS", "Expressions", "ListOps", "held_out", "read"]
