"""Laws of batch axes and of compilation."""

import contextlib
import copy
from collections.abc import Callable, Iterator
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from jaxrnn.core.types import Cell
from jaxrnn.testing.host_trees import add, host, select, zeros
from jaxrnn.testing.problem import Problem, Results, quick_jit, results, run
from jaxrnn.testing.statements import law, must_agree
from jaxrnn.unrolling.scan import unroll as reference

_ROWS = Problem(params=None, xs=1, carry=0, mask=1, reset=1, dcarry=0, dys=1)
"""The batch axis of each array of a problem; None for those without one."""
_ROWS_OUT = Results(carry=0, ys=1, dparams=0, dxs=1, dcarry=0)


@partial(quick_jit, static_argnames="unroll")
def _run_vmapped(cell: Cell, problem: Problem, *, unroll: Callable) -> Results:
    one = partial(results, cell, unroll=unroll, reverse=False)
    got = jax.vmap(one, in_axes=(_ROWS,), out_axes=_ROWS_OUT)(problem)
    return got._replace(dparams=jax.tree.map(lambda d: jnp.sum(d, 0, dtype=d.dtype), got.dparams))


@law
def law_batch_axes_are_rows(cell: Cell, problem: Problem, *, unroll: Callable = reference) -> None:
    """Check that one batch axis = `jax.vmap` = two batch axes = a loop over rows without any; gradients sum over rows.

    >>> from jaxrnn import Elman
    >>> law_batch_axes_are_rows(Elman(input_size=2, hidden_size=3))
    """
    problem = host(problem)
    want = run(cell, problem, unroll=unroll, reverse=False)
    must_agree(cell, "jax.vmap over rows = a batch axis", _run_vmapped(cell, problem, unroll=unroll), want)
    rows = problem.mask.shape[1]
    two = run(cell, _reshape_batch(problem, (2, rows // 2)), unroll=unroll, reverse=False)
    two = two._replace(**{name: _reshape(getattr(two, name), 1, 2, (rows,)) for name in ("ys", "dxs")})
    two = two._replace(**{name: _reshape(getattr(two, name), 0, 2, (rows,)) for name in ("carry", "dcarry")})
    must_agree(cell, "two batch axes = one", two, want)
    alone = [run(cell, _row(problem, b), unroll=unroll, reverse=False) for b in range(rows)]
    dparams = add(*[r.dparams for r in alone])
    stacked = Results(*(_stack([r[i] for r in alone], axis or 0) for i, axis in enumerate(_ROWS_OUT)))
    must_agree(cell, "a loop over rows, no batch axis = a batch axis", stacked._replace(dparams=dparams), want)


@law
def law_rows_are_independent(cell: Cell, problem: Problem, *, unroll: Callable = reference) -> None:
    """Check that row b does not change by a bit when every other row does, and that no gradient crosses rows.

    >>> from jaxrnn import Elman
    >>> law_rows_are_independent(Elman(input_size=2, hidden_size=3))
    """
    problem = host(problem)
    mine = np.arange(problem.mask.shape[1]) == 0
    sent = select(mine, problem.dcarry, zeros(problem.dcarry)), _select_rows(mine, problem.dys, zeros(problem.dys))
    problem = problem._replace(dcarry=sent[0], dys=sent[1])
    want = run(cell, problem, unroll=unroll, reverse=False)
    others = jax.tree.map(lambda x: np.roll(x, 1, 0), (problem.xs, problem.mask, problem.reset))
    xs, mask, reset = _select_rows(mine, (problem.xs, problem.mask, problem.reset), others)
    got = run(cell, problem._replace(xs=xs, mask=mask, reset=reset), unroll=unroll, reverse=False)
    must_agree(cell, "a row depends on itself alone", _row_of(got, 0), _row_of(want, 0), 0)
    for b in range(1, problem.mask.shape[1]):
        other = _row_of(want, b)
        must_agree(cell, "no gradient goes to another row", (other[2:]), zeros(other[2:]), 0)


def _select_rows(rows, if_true: PyTree, if_false: PyTree) -> PyTree:
    """Select rows: apply `select` with `rows` along the second axis."""
    return jax.tree.map(lambda a, b: select(np.broadcast_to(rows, a.shape[:2]), a, b), if_true, if_false)


def _row_of(results: Results, b: int) -> tuple:
    pairs = ((results.carry, 0), (results.ys, 1), (results.dxs, 1), (results.dcarry, 0))
    return tuple(jax.tree.map(lambda a, axis=axis: np.take(a, b, axis), tree) for tree, axis in pairs)


def _row(problem: Problem, b: int) -> Problem:
    """Return row b, without a batch axis."""
    pairs = zip(problem, _ROWS, strict=True)
    return Problem(
        *(jax.tree.map(lambda a, i=axis: a if i is None else np.take(a, b, i), tree) for tree, axis in pairs)
    )


def _stack(trees: list[PyTree], axis: int) -> PyTree:
    return jax.tree.map(lambda *leaves: np.stack(leaves, axis), *trees)


def _reshape(tree: PyTree, start: int, stop: int, shape: tuple[int, ...]) -> PyTree:
    """Replace axes start … start + stop − 1 by axes of the sizes `shape`."""
    return jax.tree.map(lambda a: a.reshape(*a.shape[:start], *shape, *a.shape[start + stop :]), tree)


def _reshape_batch(problem: Problem, shape: tuple[int, ...]) -> Problem:
    pairs = zip(problem, _ROWS, strict=True)
    return Problem(*(tree if axis is None else _reshape(tree, axis, 1, shape) for tree, axis in pairs))


@contextlib.contextmanager
def compilations() -> Iterator[list[str]]:
    """Collect an entry for every program that XLA compiles inside the `with`.

    Returns:
      A context, whose value is a list: it grows by one entry for each program.

    >>> with compilations() as compiled:
    ...     y = jax.jit(lambda x: x - 12345.0)(jnp.ones(3))
    >>> len(compiled) > 0
    True
    """
    compiled: list[str] = []

    def listen(event: str, duration_secs: float, **_) -> None:
        if event.endswith("backend_compile_duration"):
            compiled.append(event)

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        yield compiled
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)


@law
def law_equal_cells_compile_once(cell: Cell, problem: Problem, *, unroll: Callable = reference) -> None:
    """Check that a copy of the cell, other lengths and other resets compile nothing again.

    >>> from jaxrnn import Elman
    >>> law_equal_cells_compile_once(Elman(input_size=2, hidden_size=3))
    """
    twin = copy.deepcopy(cell)
    if twin != cell or hash(twin) != hash(cell):
        raise AssertionError(f"{cell} breaks the law: a copy of a cell is equal to it and hashes alike.")
    flipped = jnp.flip(problem.mask, 1), jnp.flip(problem.reset, 1)

    def go(cell, mask, reset):
        jax.block_until_ready(unroll(cell, problem.params, problem.xs, problem.carry, mask=mask, reset=reset))

    go(cell, problem.mask, problem.reset)
    with compilations() as compiled:
        go(twin, *flipped)
    if compiled:
        raise AssertionError(f"{cell} breaks the law: two equal cells compile once.  {len(compiled)} compiled again.")
