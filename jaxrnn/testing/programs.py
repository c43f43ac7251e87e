"""Laws that hold for a program before it runs: what a loop carries and multiplies, its dtypes, what it refuses."""

from collections.abc import Callable
from functools import partial
from itertools import count
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxrnn.core.programs import equations, trace_program
from jaxrnn.core.types import Cell
from jaxrnn.testing.problem import Problem, random_problem, results
from jaxrnn.testing.statements import law
from jaxrnn.unrolling.backpropagation import unroll_bptt
from jaxrnn.unrolling.scan import unroll as reference


class Loop(NamedTuple):
    """A `lax.scan` of a program: its length, its matrix products and its carry.

    >>> Loop._fields[0]
    'length'
    """

    length: int
    """The number of steps."""
    reverse: bool
    dots: int
    """Matrix products in the body, `dot_general`."""
    carried: tuple[tuple[int, ...], ...]
    """The shapes of the arrays that one step hands to the next."""


def loops(function: Callable, *args) -> list[Loop]:
    """Return every scan in the program of `function(*args)`, in order, without those whose results are unused.

    Nothing is compiled.

    Args:
      function: any function that JAX can trace.
      args: its arguments.

    Returns:
      One `Loop` for each scan.

    >>> from jax import lax
    >>> w = jnp.ones((3, 3))
    >>> loops(lambda h: lax.scan(lambda h, _: (h @ w, None), h, length=5), jnp.ones(3))
    [Loop(length=5, reverse=False, dots=1, carried=((3,),))]
    """
    return [_loop(eqn) for eqn in equations(trace_program(function, *args)) if eqn.primitive.name == "scan"]


def dots(function: Callable, *args) -> int:
    """Return the number of matrix products in the program of `function(*args)`.

    Args:
      function: a function of arrays.
      args: its arguments.

    Returns:
      An integer.

    >>> import jax.numpy as jnp
    >>> dots(lambda a: a @ a, jnp.ones((2, 2)))
    1
    """
    return _products(trace_program(function, *args))


def _loop(scan) -> Loop:
    """Describe a scan; an output is carried, not stacked, if it has the same shape inside and outside the body."""
    from jax.extend.core import jaxprs_in_params  # here, because it imports Pallas

    (body,) = jaxprs_in_params(scan.params)
    outside, inside = ([getattr(v.aval, "shape", ()) for v in eqn.outvars] for eqn in (scan, body))
    carried = tuple(whole for whole, one in zip(outside, inside, strict=True) if whole == one)
    return Loop(scan.params["length"], scan.params["reverse"], _products(body), carried)


def _products(program) -> int:
    return sum(eqn.primitive.name == "dot_general" for eqn in equations(program))


@law
def law_explicit_loop_carries_no_weights(cell: Cell, problem: Problem, *, unroll: Callable = unroll_bptt) -> None:
    """Check that the backward loop of explicit BPTT carries nothing with the shape of a parameter.

    The forward loop multiplies as often as one step does (or one step and its projection).

    >>> from jaxrnn import Elman
    >>> law_explicit_loop_carries_no_weights(Elman(input_size=2, hidden_size=3))
    """
    shapes = {leaf.shape for leaf in jax.tree.leaves(problem.params)}
    batch = next(n for n in count(7) if all(n not in shape for shape in shapes))
    x = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape[problem.mask.ndim :], leaf.dtype), problem.xs)
    wide = random_problem(cell, x=x, batch=(batch,))
    found = loops(partial(results, cell, unroll=unroll, reverse=False), wide)
    carried = [shape for loop in found if loop.reverse for shape in loop.carried if shape in shapes]
    if carried:
        raise AssertionError(f"{cell} breaks the law: no weight in the backward loop.  It carries {carried}.")
    z = jax.tree.map(lambda z: z[0], cell.project(wide.params, wide.xs))
    step, project = dots(cell.step, wide.params, wide.carry, z), dots(cell.project, wide.params, wide.xs)
    forward = max((loop.dots for loop in found if not loop.reverse), default=0)
    if forward not in (step, step + project):
        raise AssertionError(
            f"{cell} breaks the law: the loop multiplies as often as the step.  {forward} products, step has {step}."
        )


@law
def law_dtypes(cell: Cell, problem: Problem, *, unroll: Callable = reference) -> None:
    """Check that the cell runs in every floating dtype, x64 on and off, with gradients in the parameters' dtype.

    >>> from jaxrnn import Elman
    >>> law_dtypes(Elman(input_size=2, hidden_size=3))
    """
    for name, x64 in (("float64", True), *((n, x) for n in ("float32", "bfloat16", "float16") for x in (True, False))):
        statement = f"{cell} breaks the law: it runs in {name}, x64 {'on' if x64 else 'off'}"
        with jax.enable_x64(x64):
            try:
                case = _abstract(cell, problem, jnp.dtype(name))
                got = jax.eval_shape(partial(results, cell, unroll=unroll, reverse=False), case)
            except (TypeError, ValueError) as error:
                raise AssertionError(f"{statement}.  {type(error).__name__}: {error}") from error
        for want, have in zip(jax.tree.leaves(case.params), jax.tree.leaves(got.dparams), strict=True):
            if want.dtype != have.dtype:
                raise AssertionError(f"{statement}.  The gradient of a {want.dtype} parameter is {have.dtype}.")


def _abstract(cell: Cell, problem: Problem, dtype: jnp.dtype) -> Problem:
    """Return the shapes of a problem, with floating parameters and inputs in `dtype`."""

    def leaf(a):
        narrow = jax.dtypes.canonicalize_dtype(a.dtype)
        return jax.ShapeDtypeStruct(a.shape, dtype if jnp.issubdtype(a.dtype, jnp.floating) else narrow)

    params, xs = jax.tree.map(leaf, (problem.params, problem.xs))
    carry = jax.eval_shape(lambda p: cell.initial_carry(p, problem.mask.shape[1:]), params)
    _, ys = jax.eval_shape(partial(reference, cell), params, xs, carry)
    return Problem(params, xs, carry, problem.mask, problem.reset, carry, ys)


@law
def law_wrong_arguments_are_named(cell: Cell, problem: Problem, *, unroll: Callable = reference) -> None:
    """Check that a wrong shape, dtype or structure raises an error that begins with the name of the argument.

    >>> from jaxrnn import Elman
    >>> law_wrong_arguments_are_named(Elman(input_size=2, hidden_size=3))
    """
    params, xs, carry, mask, *_ = problem
    row = mask[:, 0]
    steps = (mask[:, :1], row, mask[..., None], mask[1:], mask[:, 1:], mask.astype(int), mask.astype(float))
    wrong = [
        *({name: value} for name in ("mask", "reset") for value in steps),
        {"carry": jax.tree.map(lambda a: a[1:], carry)},
        {"carry": jax.tree.map(lambda a: a[:1], carry)},
        {"carry": (carry, carry)},
        {"params": (params,)},
        {"params": jax.tree.map(lambda a: a[..., None], params)},
        {"xs": jax.tree.map(lambda a: a[0, 0], xs)},
        *({name: "text"} for name in ("cell", "xs", "mask", "reset")),
    ]
    for bad in wrong:
        ((name, value),) = bad.items()
        arguments = {"cell": cell, "params": params, "xs": xs, "carry": carry, **bad}
        statement = f"{cell} breaks the law: a wrong `{name}` is named"
        try:
            unroll(**arguments)
        except (TypeError, ValueError) as error:
            if not str(error).startswith(f"`{name}"):
                raise AssertionError(f"{statement}.  It said: {error}") from error
        else:
            raise AssertionError(f"{statement}.  {jax.tree.map(jnp.shape, value)} was taken.")
