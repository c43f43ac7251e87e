"""Law 10: a batch gives the same results as its rows one by one."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings

from jaxrnn import bptt, unroll, unroll_bptt, unroll_checkpointed, unroll_newton
from jaxrnn.testing import draws, law_batch_axes_are_rows, law_rows_are_independent, random_problem
from jaxrnn.testing.problem import results
from tests.laws.cells import LIBRARY, core_cell, every_cell


@every_cell
@given(drawn=draws())
@settings(max_examples=3)
def test_vmap_is_a_batch_axis_is_two_is_a_loop_over_rows(cell, drawn):
    law_batch_axes_are_rows(cell, random_problem(cell, **drawn))


@core_cell
def test_vmap_is_a_batch_axis_is_two_is_a_loop_over_rows_in_explicit_bptt(cell):
    law_batch_axes_are_rows(cell, unroll=unroll_bptt)


@every_cell
@given(drawn=draws())
def test_a_row_depends_on_itself_alone(cell, drawn):
    problem = random_problem(cell, **drawn)
    law_rows_are_independent(cell, problem)
    law_rows_are_independent(cell, problem, unroll=unroll_bptt)


def test_parameters_may_be_mapped_over_too():
    """An ensemble: `vmap` over parameters = one run for each."""
    cell = LIBRARY["lstm"]
    problems = [random_problem(cell, seed) for seed in (0, 1)]
    xs, dys = problems[0].xs, problems[0].dys
    several = jax.tree.map(lambda *leaves: jnp.stack(leaves), *[p.params for p in problems])
    got = jax.vmap(lambda params: bptt(cell, params, xs, None, None, dys).params)(several)
    for i, p in enumerate(problems):
        want = bptt(cell, p.params, xs, None, None, dys).params
        jax.tree.map(lambda a, b, i=i: np.testing.assert_allclose(a[i], b, atol=1e-12), got, want)


def must_have_no_rows(cell, member, reverse=False):
    """Results and gradients for 0 rows, traced, as there is nothing to compute: the shapes of the arguments."""
    p = random_problem(cell, batch=(0,))
    got = jax.eval_shape(partial(results, cell, unroll=member, reverse=reverse), p)
    for ours, theirs in zip(got, (p.carry, p.dys, p.params, p.xs, p.carry), strict=True):
        assert [a.shape for a in jax.tree.leaves(ours)] == [np.shape(a) for a in jax.tree.leaves(theirs)]


@every_cell
@pytest.mark.parametrize("member", [unroll, unroll_bptt], ids=lambda member: member.__name__)
def test_a_batch_may_have_no_rows(cell, member):
    must_have_no_rows(cell, member)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("member", [unroll_checkpointed, unroll_newton], ids=lambda member: member.__name__)
def test_a_batch_may_have_no_rows_in_the_other_members(member, reverse):
    must_have_no_rows(LIBRARY["leaky_lstm"], member, reverse)
