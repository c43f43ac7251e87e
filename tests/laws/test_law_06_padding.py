"""Law 6: padding has no effect."""

import jax
import jax.numpy as jnp
import pytest
from hypothesis import given

from jaxrnn import mask_from_lengths, unroll, unroll_bptt, unroll_checkpointed, unroll_newton
from jaxrnn.testing import draws, law_padding_is_invisible, random_problem
from tests.laws.cells import LIBRARY, core_cell, every_cell


@every_cell
@given(drawn=draws())
def test_no_bit_of_padding_is_seen(cell, drawn):
    law_padding_is_invisible(cell, random_problem(cell, **drawn))


@every_cell
@given(drawn=draws())
def test_no_bit_of_padding_is_seen_by_explicit_bptt(cell, drawn):
    law_padding_is_invisible(cell, random_problem(cell, **drawn), unroll=unroll_bptt)


@core_cell
def test_no_bit_of_padding_is_seen_in_bfloat16(cell):
    problem = random_problem(cell, dtype=jnp.bfloat16)
    law_padding_is_invisible(cell, problem)
    law_padding_is_invisible(cell, problem, unroll=unroll_bptt)


@pytest.mark.parametrize("member", [unroll, unroll_bptt, unroll_checkpointed, unroll_newton], ids=lambda m: m.__name__)
def test_nan_in_padding_is_no_result_of_any_program(member):
    """`jax_debug_nans` looks at what compiled programs give back, so at what one hands to the backward pass as well."""
    cell = LIBRARY["lstm"]
    p = random_problem(cell)
    mask = mask_from_lengths(jnp.array([6, 3, 1, 0]), time=6)
    xs = jnp.where(mask[..., None], p.xs, jnp.nan)
    with jax.debug_nans(True):
        gradient = jax.grad(lambda params: member(cell, params, xs, mask=mask)[1].sum())(p.params)
    assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))
