"""Methods that a wrapper forwards to the cell it wraps.

    init = forwarded(Cell.init)                                       # self.cell.init(key)
    project = forwarded(Cell.project, params="cell")                  # self.cell.project(params.cell, xs)
    step_bwd = forwarded(LocalRules.step_bwd, via=rules_of)           # rules_of(self.cell).step_bwd(params, ...)

One line in the class body replaces a method and keeps its signature and docstring.  There is no base class.
"""

import functools
from collections.abc import Callable
from typing import Any, TypeVar

Method = TypeVar("Method", bound=Callable)


def forwarded(
    method: Method, *, to: str = "cell", params: str | None = None, via: Callable[[Any], Any] | None = None
) -> Method:
    """Return a method that calls the method of the same name of the object in a field.

    Args:
      method: the method of the protocol, `Cell.init`: its name, signature and docstring.
      to: the field that holds the object.
      params: the field of the first argument to pass on instead of it; None passes it on whole.
      via: a function to apply to the object first, such as `rules_of`.

    >>> from dataclasses import dataclass
    >>> from jaxrnn import GRU
    >>> from jaxrnn.core.types import Cell
    >>> @dataclass(frozen=True)
    ... class Wrapper:
    ...     cell: Cell
    ...     initial_carry = forwarded(Cell.initial_carry)
    >>> import jax
    >>> Wrapper(GRU(3, 5)).initial_carry(GRU(3, 5).init(jax.random.key(0)), (2,)).shape
    (2, 5)
    """

    @functools.wraps(method)
    def call(self, first, *rest, **options):
        target = getattr(self, to) if via is None else via(getattr(self, to))
        first = first if params is None else getattr(first, params)
        return getattr(target, method.__name__)(first, *rest, **options)

    return call  # pyrefly: ignore[bad-return]
