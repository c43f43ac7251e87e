"""A law as a public function, and the one comparison that the laws make.

References: chapter 2.2, whose equalities the laws state.
"""

import functools
import inspect
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from jaxrnn.core.types import Cell
from jaxrnn.testing.problem import Problem, random_problem

_ARGUMENTS = {
    "cell": "any cell.",
    "problem": "a problem of `random_problem`; None draws one.",
    "unroll": "the member of the unroll family to test.",
}
"""The arguments that the laws have in common."""


def law(check: Callable) -> Callable:
    """Make a law a public function, which runs in float64 and draws a problem if none is given.

    Its docstring gets the arguments that all laws share, before those of its own, and the error.
    """

    @functools.wraps(check)
    def checked(cell: Cell, problem: Problem | None = None, **options) -> None:
        with jax.enable_x64(True):
            check(cell, random_problem(cell) if problem is None else problem, **options)

    text, _, example = inspect.cleandoc(check.__doc__ or "").partition(">>>")
    about, _, own = text.partition("Args:\n")
    shared = [f"  {name}: {_ARGUMENTS[name]}" for name in inspect.signature(check).parameters if name in _ARGUMENTS]
    arguments = "\n".join(["Args:", *shared, *own.rstrip().splitlines()])
    raises = "Raises:\n  AssertionError: the cell breaks the law."
    checked.__doc__ = f"{about.rstrip()}\n\n{arguments}\n\n{raises}\n\n>>>{example}"
    return checked


def must_agree(cell: Cell, statement: str, got: PyTree, want: PyTree, tolerance: float | int | None = None) -> None:
    """Raise AssertionError, with the cell, the law and the largest difference, unless `got` equals `want`.

    Differences are relative to the largest number of the leaf, where that is above 1.  The tolerance is
    1e-10 in float64 and what the coarser of the two dtypes allows otherwise; 0 asks for equality.

    Args:
      cell: the cell, which the message names.
      statement: the law, in words, for the message.
      got: a pytree.
      want: a pytree of the same structure.
      tolerance: the largest difference permitted; None takes that of the dtypes.

    >>> from jaxrnn import GRU
    >>> must_agree(GRU(3, 5), "2 is 2", jnp.ones(2), jnp.ones(2), tolerance=0)
    """
    if jax.tree.structure(got) != jax.tree.structure(want):
        raise AssertionError(
            f"{cell} breaks the law: {statement}.  Structures differ: "
            f"{jax.tree.structure(got)}, expected {jax.tree.structure(want)}."
        )
    worst = max(map(_difference, *map(jax.tree_util.tree_leaves_with_path, (got, want))), default=None)
    if worst is None:
        return
    allowed = max(map(_rounding, jax.tree.leaves((got, want)))) if tolerance is None else tolerance
    difference, where = worst
    if not difference <= allowed:
        raise AssertionError(
            f"{cell} breaks the law: {statement}.  Largest difference {difference:.3g}, at {where or 'the array'}; "
            f"allowed {allowed:.3g}."
        )


def _difference(got, want) -> tuple[float, str]:
    """Return the largest difference of two leaves, inf if they have NaN or other shapes, and the name of the leaf."""
    (path, a), (_, b) = got, want
    a, b = (np.asarray(jax.random.key_data(v) if jnp.issubdtype(v.dtype, jax.dtypes.prng_key) else v) for v in (a, b))
    if a.shape != b.shape:
        return np.inf, f"{jax.tree_util.keystr(path)}: shape {a.shape}, expected {b.shape}"
    a, b = a.astype(np.float64), b.astype(np.float64)
    worst = np.max(np.where(a == b, 0, np.abs(a - b)), initial=0) / np.max(np.abs(b), initial=1)
    return (np.inf if np.isnan(worst) else float(worst)), jax.tree_util.keystr(path)


def _rounding(leaf) -> float:
    if not jnp.issubdtype(leaf.dtype, jnp.floating) or leaf.dtype == jnp.float64:
        return 1e-10
    return 1e-5 if leaf.dtype == jnp.float32 else 0.05
