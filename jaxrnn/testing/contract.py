"""The contract of a cell, and `check_cell`, which tests every law."""

import copy
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from jaxrnn.core.carry_facts import carry_parts
from jaxrnn.core.checks import check_is_cell
from jaxrnn.core.types import Cell
from jaxrnn.testing import batch, gradients, linear, padding, programs, time
from jaxrnn.testing.problem import Problem, random_problem
from jaxrnn.testing.statements import law, must_agree
from jaxrnn.unrolling.backpropagation import unroll_bptt
from jaxrnn.unrolling.scan import unroll_python


@law
def law_it_is_a_cell(cell: Cell, problem: Problem) -> None:
    """Check the four methods, and that the cell is hashable, has no array leaves, and keeps the form of its carry.

    `initial_carry` puts `batch_shape` first; `project` works on any leading axes.

    >>> from jaxrnn import Elman
    >>> law_it_is_a_cell(Elman(input_size=2, hidden_size=3))
    """
    params, xs, carry, mask, *_ = problem
    rows = mask.shape[1:]
    if jax.tree.leaves(cell):
        _broken(cell, "a cell has no leaves; register the class with jax.tree_util.register_static")
    if copy.deepcopy(cell) != cell:
        _broken(cell, "a copy of a cell is equal to it; make it a frozen dataclass")
    for leaf in jax.tree.leaves(cell.initial_carry(params, rows)):
        if leaf.shape[: len(rows)] != rows:
            _broken(cell, f"initial_carry(params, {rows}) begins with these axes, got shape {leaf.shape}")
    zs = cell.project(params, xs)
    one_by_one = [cell.project(params, jax.tree.map(lambda x, t=t: x[t], xs)) for t in range(len(mask))]
    must_agree(cell, "project works on any leading axes", zs, jax.tree.map(lambda *z: jnp.stack(z), *one_by_one))
    after, _ = jax.eval_shape(cell.step, params, carry, jax.tree.map(lambda z: z[0], zs))
    before = jax.eval_shape(lambda: carry)
    kinds = [jax.tree.map(lambda a: (a.shape, a.dtype), tree) for tree in (before, after)]
    if jax.tree.structure(before) != jax.tree.structure(after) or kinds[0] != kinds[1]:
        _broken(cell, f"step gives back a carry as it takes it: it took {before} and gave {after}")


@law
def law_carry_parts_are_what_they_are_said_to_be(cell: Cell, problem: Problem) -> None:
    """Check `carry_parts`: the output is y, constants do not change, and a y in the carry is stated.

    >>> from jaxrnn import Elman
    >>> law_carry_parts_are_what_they_are_said_to_be(Elman(input_size=2, hidden_size=3))
    """
    z = jax.tree.map(lambda z: z[0], cell.project(problem.params, problem.xs))
    after, y = cell.step(problem.params, problem.carry, z)
    before, parts = carry_parts(cell, problem.carry).constants, carry_parts(cell, after)
    must_agree(cell, "the constants of `carry_parts` are not changed by a step", parts.constants, before, 0)
    if parts.output is not None:
        must_agree(cell, "the output of `carry_parts` is y", [parts.output], jax.tree.leaves(y), 0)
        return
    for path, leaf in jax.tree_util.tree_leaves_with_path(after):
        if len(jax.tree.leaves(y)) == 1 and np.array_equal(leaf, jax.tree.leaves(y)[0]):
            where = jax.tree_util.keystr(path)
            _broken(cell, f"y is carry{where}, so `carry_parts(carry)` returns CarryParts(output=carry{where})")


def _broken(cell: Cell, statement: str) -> None:
    raise AssertionError(f"{cell} breaks the law: {statement}.")


LAWS: tuple[Callable, ...] = (
    law_it_is_a_cell,
    law_carry_parts_are_what_they_are_said_to_be,
    gradients.law_members_agree,
    gradients.law_hand_rules_agree_with_autodiff,
    gradients.law_bptt_is_the_gradient,
    gradients.law_defaults_are_trivial_arguments,
    gradients.law_derivatives_are_finite_differences,
    time.law_split_anywhere,
    time.law_causality,
    time.law_reverse_is_forward_on_the_flip,
    padding.law_padding_is_invisible,
    padding.law_length_zero_is_the_identity,
    padding.law_reverse_starts_at_each_row_s_end,
    padding.law_episodes_are_independent,
    batch.law_batch_axes_are_rows,
    batch.law_rows_are_independent,
    batch.law_equal_cells_compile_once,
    programs.law_explicit_loop_carries_no_weights,
    programs.law_dtypes,
    programs.law_wrong_arguments_are_named,
    linear.law_parallel_forms_are_the_scan,
    linear.law_repeated_inputs_are_accurate_in_float32,
)
"""Every law of a cell; each is a function `law(cell, problem=None)`."""


def check_cell(cell: Cell, *, x: PyTree | None = None, seed: int = 0) -> str:
    """Test every law of the library on a cell, as `check_estimator` of scikit-learn tests an estimator.

    It takes some seconds, mostly for compilation, so pass a small cell.  It runs in float64,
    whether or not x64 is enabled.

    Args:
      cell: your cell.
      x: an example of one step's input, without batch axes: an array or a pytree of arrays; by default the
        smallest vector that the cell takes.
      seed: the seed of the parameters, inputs, masks and resets.

    Returns:
      The number of laws that hold, in words.

    Raises:
      TypeError: the cell lacks a method.
      AssertionError: the cell breaks a law; the message has a line for each, with the error.

    >>> from jaxrnn import Elman
    >>> check_cell(Elman(input_size=2, hidden_size=3)).endswith("laws hold.")
    True
    """
    check_is_cell(cell=cell)
    with jax.enable_x64(True):
        problem = random_problem(cell, seed, x=x)
    law_it_is_a_cell(cell, problem)  # nothing else can be asked of what is not a cell
    attempts = [(law, {}) for law in LAWS[1:]] + [(gradients.law_members_agree, {"unroll": unroll_python})]
    attempts += [(padding.law_padding_is_invisible, {"unroll": unroll_bptt})]
    broken = [failure for law, options in attempts if (failure := _attempt(law, cell, problem, options))]
    if broken:
        raise AssertionError("\n".join([f"{len(broken)} of {len(attempts) + 1} laws are broken:", *broken]))
    return f"{cell}: all {len(attempts) + 1} laws hold."


def _attempt(law: Callable, cell: Cell, problem: Problem, options: dict) -> str | None:
    try:
        law(cell, problem, **options)
    except AssertionError as error:
        return f"{law.__name__}: {error}"
    except Exception as error:  # whatever a user's cell raises is the answer
        return f"{law.__name__} could not be tried: {type(error).__name__}: {error}"
    return None
