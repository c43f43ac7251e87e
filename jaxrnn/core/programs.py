"""The program of a function (its jaxpr): the operations in it, and the arguments that its results depend on.

The parameters of JAX's loops and calls change from one release to the next.  This module is the only one that reads
programs, and it relies only on `jax.extend.core` and on what an equation is: a primitive, its parameters, and
variables in and out.
"""

from collections.abc import Callable, Iterator
from typing import Any

import jax
from jax.interpreters import partial_eval


def trace_program(function: Callable, *args):
    """Return the program of `function(*args)` without the operations whose results nobody reads.  Nothing is compiled.

    `jax.vjp` leaves such operations behind, and XLA removes them.

    >>> [str(eqn.primitive) for eqn in trace_program(lambda x: (x + 1, x * 2)[0], 3.0).eqns]
    ['add']
    """
    return _live(function, args)[0]


def arguments_read(function: Callable, *args) -> list[bool]:
    """Return for each leaf of `args` whether any result of `function(*args)` depends on it.

    >>> arguments_read(lambda x, y: (x, y)[0] * 2, 3.0, 4.0)
    [True, False]
    """
    return list(_live(function, args)[1])


def equations(program) -> Iterator:
    """Yield every operation of a program, and after each loop, branch or call the operations inside it."""
    from jax.extend.core import jaxprs_in_params  # here, because it imports Pallas

    for eqn in program.eqns:
        yield eqn
        for inner in jaxprs_in_params(eqn.params):
            yield from equations(inner)


def _live(function: Callable, args: tuple):
    closed: Any = jax.make_jaxpr(function)(*args)
    whole = getattr(closed, "jaxpr", closed)  # JAX 0.10 keeps the constants beside the program, and newer ones in it
    return partial_eval.dce_jaxpr(whole, [True] * len(whole.outvars))
