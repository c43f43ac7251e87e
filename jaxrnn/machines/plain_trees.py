"""Trees of arrays that a process without jaxrnn can read.

Parameters, carries and other results are NamedTuples.  `register_records` gives each of the library's NamedTuples a
name in serialized programs (`jax.export`): the namespace and the class, `jaxrnn.cells.LSTMParams`, whatever file it is
in.  A program over them is loaded where jaxrnn is imported.

Elsewhere a program can use only dicts, tuples and arrays.  `plain` converts a tree to these, `restored` converts it
back, and `plain_function` is a function between plain trees:

    exported = jax.export.export(jax.jit(plain_function(run, params, xs)))(plain(params), xs)
    written = exported.serialize(vjp_order=1)            # with its gradient
    jax.export.deserialize(written).call(plain_params, xs)                          # there: jax and NumPy alone

References: `jax.export` (serialization; compatibility guarantees).
"""

import sys
from collections.abc import Callable

from jax import export
from jaxtyping import PyTree


def register_records(namespace: str) -> None:
    """Register the public NamedTuples of a folder's modules for serialization; every namespace ends with this call."""
    inside = f"{namespace}."
    names = [name for name in sys.modules if name.startswith(inside) and "." not in name[len(inside) :]]
    for module in map(sys.modules.__getitem__, names):
        for record in vars(module).values():
            if _is_record(record) and record.__module__ == module.__name__ and record.__name__[0] != "_":
                name = f"{namespace}.{record.__name__}"
                export.register_namedtuple_serialization(record, serialized_name=name)


def plain(tree: PyTree) -> PyTree:
    """Return the tree with a dict in place of every NamedTuple, from its fields to their values.

    Args:
      tree: any pytree.

    Returns:
      The plain tree, which a program without jaxrnn can build.

    >>> from jaxrnn.cells.lstm import LSTMCarry
    >>> plain((LSTMCarry(h=1.0, c=2.0), 3.0))
    ({'h': 1.0, 'c': 2.0}, 3.0)
    """
    if _is_record(type(tree)):
        return {name: plain(value) for name, value in tree._asdict().items()}
    if isinstance(tree, dict):
        return {key: plain(value) for key, value in tree.items()}
    return type(tree)(map(plain, tree)) if type(tree) in (list, tuple) else tree


def restored(tree: PyTree, like: PyTree) -> PyTree:
    """Return the tree whose plain form is `tree`, in the structure of `like`.

    Args:
      tree: a plain tree.
      like: a tree of the wanted structure; its leaves are not read.

    Returns:
      The leaves of `tree`, in the structure of `like`.

    >>> from jaxrnn.cells.lstm import LSTMCarry
    >>> restored({"h": 1.0, "c": 2.0}, LSTMCarry(None, None))
    LSTMCarry(h=1.0, c=2.0)
    """
    if _is_record(type(like)):
        return type(like)(**{name: restored(tree[name], part) for name, part in like._asdict().items()})
    if isinstance(like, dict):
        return {key: restored(tree[key], part) for key, part in like.items()}
    if type(like) in (list, tuple):
        return type(like)(restored(*pair) for pair in zip(tree, like, strict=True))
    return tree


def plain_function(function: Callable, *like: PyTree) -> Callable:
    """Return `function` as a function from plain trees to a plain tree, to be serialized for programs without jaxrnn.

    Args:
      function: of trees of arrays.
      like: a tree for each argument, which has its structure: arrays, shapes, anything.

    Returns:
      `function`, with `restored` before it and `plain` after it.

    >>> from jaxrnn.cells.lstm import LSTMCarry
    >>> swapped = plain_function(lambda carry: LSTMCarry(carry.c, carry.h), LSTMCarry(None, None))
    >>> swapped({"h": 1.0, "c": 2.0})
    {'h': 2.0, 'c': 1.0}
    """

    def between_plain_trees(*arguments):
        return plain(function(*map(restored, arguments, like)))

    return between_plain_trees


def _is_record(kind) -> bool:
    return isinstance(kind, type) and issubclass(kind, tuple) and hasattr(kind, "_fields")
