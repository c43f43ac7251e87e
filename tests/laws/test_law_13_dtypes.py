"""Law 13: every floating dtype, x64 on and off; the dtypes of the results follow `jaxrnn.core.precision`."""

import subprocess
import sys
from functools import partial

import jax
import jax.numpy as jnp
import pytest

from jaxrnn import unroll, unroll_bptt, unroll_python
from jaxrnn.core.precision import accumulator
from jaxrnn.testing import law_dtypes, random_problem
from jaxrnn.testing.problem import results
from tests.laws.cells import LIBRARY, every_cell

DTYPES = ("float16", "bfloat16", "float32", "float64")


@every_cell
def test_it_runs_in_every_dtype_and_gradients_have_the_parameters_dtype(cell):
    law_dtypes(cell)


def float_dtypes(tree):
    return {leaf.dtype for leaf in jax.tree.leaves(tree) if jnp.issubdtype(leaf.dtype, jnp.floating)}


@pytest.mark.parametrize("cell", LIBRARY.values(), ids=LIBRARY.keys())
def test_the_parameters_dtype_decides_and_the_inputs_does_not(cell):
    for dtype in DTYPES:
        problem = random_problem(cell, dtype=dtype)
        for xs_dtype in DTYPES:
            p = problem._replace(xs=jax.tree.map(partial(to, dtype=xs_dtype), problem.xs))
            got = jax.eval_shape(partial(results, cell, unroll=unroll_bptt, reverse=False), p)
            assert float_dtypes((got.carry, got.ys, got.dcarry)) == {accumulator(dtype)}
            assert float_dtypes(got.dparams) == {jnp.dtype(dtype)}
            assert float_dtypes(got.dxs) == {jnp.dtype(xs_dtype)}


def to(x, dtype):
    return jax.ShapeDtypeStruct(x.shape, dtype if jnp.issubdtype(x.dtype, jnp.floating) else x.dtype)


@pytest.mark.parametrize("member", [unroll, unroll_python, unroll_bptt], ids=lambda member: member.__name__)
def test_integer_inputs_are_refused_with_the_remedy(member):
    cell = LIBRARY["lstm"]
    p = random_problem(cell)
    with pytest.raises(TypeError, match=r"`xs` must have a floating dtype, got int64.*one_hot"):
        member(cell, p.params, jnp.ones((6, 4, 3), int))


def test_without_x64_nothing_is_float64():
    cell = LIBRARY["stack"]
    with jax.enable_x64(False):
        p = random_problem(cell)
        assert float_dtypes(unroll(cell, p.params, p.xs)) == {jnp.dtype("float32")}


FLOAT32 = """
import jax
from tests.laws.cells import CELLS
from jaxrnn import GRU, unroll_bptt
from jaxrnn.testing import random_problem
from jaxrnn.testing.problem import results

for cell in CELLS.values():
    jax.eval_shape(cell.init, jax.random.key(0))
results(GRU(3, 5), random_problem(GRU(3, 5), dtype="float32"), unroll=unroll_bptt, reverse=False)
"""


def test_programs_in_float32_warn_of_nothing():
    """Every cell is put together in another process; those of this one were put together with x64."""
    done = subprocess.run([sys.executable, "-W", "error", "-c", FLOAT32], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
