"""Laws of cells that are linear in their carry: whatever way a sequence is computed, it is the same sequence."""

from functools import partial

import jax
import jax.numpy as jnp

from jaxrnn.core.types import Cell
from jaxrnn.linear.matrix_state import MatrixCell
from jaxrnn.linear.protocol import LinearCell
from jaxrnn.testing.gradients import law_members_agree
from jaxrnn.testing.padding import law_length_zero_is_the_identity, law_padding_is_invisible
from jaxrnn.testing.problem import Problem, quick_jit, random_problem
from jaxrnn.testing.statements import law, must_agree
from jaxrnn.unrolling.parallel.associative import unroll_associative
from jaxrnn.unrolling.parallel.chunkwise import check_starts_at_zero, unroll_chunkwise
from jaxrnn.unrolling.scan import unroll

CHUNKS = (1, 4)
"""Sizes that are tried; 4 does not divide the 6 steps of a problem."""


@law
def law_parallel_forms_are_the_scan(cell: Cell, problem: Problem, *, chunks: tuple[int, ...] = CHUNKS) -> None:
    """Check that `unroll_associative` and `unroll_chunkwise` have the results and gradients of `unroll`.

    So they do with padding of any value and for sequences of length 0.  Cells that are not linear have no such forms.

    Args:
      chunks: the sizes of chunks to try.

    >>> from jaxrnn import Elman
    >>> law_parallel_forms_are_the_scan(Elman(input_size=2, hidden_size=3))
    """
    if not isinstance(cell, LinearCell | MatrixCell):
        return
    law_members_agree(cell, problem, unroll=unroll_associative)
    resets = _resets_to_zero(cell, problem.params)
    problem = problem if resets else problem._replace(reset=None)
    for chunk in chunks:
        law_members_agree(cell, problem, unroll=_in_chunks(chunk))
    law_padding_is_invisible(cell, problem, unroll=_in_chunks(chunks[-1]))
    if resets:
        law_length_zero_is_the_identity(cell, problem, unroll=_in_chunks(chunks[-1]))


@law
def law_repeated_inputs_are_accurate_in_float32(
    cell: Cell, problem: Problem, *, time: int = 64, tolerance: float = 1e-4
) -> None:
    """Check that 64 equal inputs in one chunk are computed in float32 within 1e-4 of float64.

    Equal keys are the hardest case of the triangular system inside a chunk.

    Args:
      time: the number of steps.
      tolerance: the largest relative error.

    >>> from jaxrnn import Elman
    >>> law_repeated_inputs_are_accurate_in_float32(Elman(input_size=2, hidden_size=3))
    """
    if not isinstance(cell, MatrixCell):
        return
    x = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape[problem.mask.ndim :], leaf.dtype), problem.xs)
    single = random_problem(cell, x=x, time=time, batch=(2,), dtype=jnp.float32)
    single = jax.tree.map(lambda x: jnp.broadcast_to(x[:1], x.shape), single.xs), single.params
    double = jax.tree.map(lambda a: a.astype(jnp.float64) if a.dtype == jnp.float32 else a, single)
    run = quick_jit(lambda xs, params: unroll_chunkwise(cell, params, xs, chunk=time))
    exact = quick_jit(lambda xs, params: unroll(cell, params, xs))(*double)
    must_agree(cell, "equal inputs in float32 = in float64", run(*single), exact, tolerance)


def _in_chunks(chunk: int):
    return _CHUNKWISE.setdefault(chunk, partial(unroll_chunkwise, chunk=chunk))


_CHUNKWISE: dict[int, partial] = {}
"""One function for each chunk, so that its programs are compiled once."""


def _resets_to_zero(cell: Cell, params) -> bool:
    try:
        check_starts_at_zero(cell, params)
    except ValueError:
        return False
    return True
