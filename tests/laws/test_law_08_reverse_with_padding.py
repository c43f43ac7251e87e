"""Law 8: with padding, every row is read backwards from its own end."""

import jax.numpy as jnp
from hypothesis import given

from jaxrnn import unroll_bptt
from jaxrnn.testing import draws, law_reverse_starts_at_each_row_s_end, random_problem
from jaxrnn.testing.strategies import lengths
from tests.laws.cells import every_cell


@every_cell
@given(drawn=draws(), length=lengths())
def test_reverse_with_padding_is_forward_on_the_flipped_prefix(cell, drawn, length):
    prefix = jnp.arange(6)[:, None] < length
    law_reverse_starts_at_each_row_s_end(cell, random_problem(cell, **{**drawn, "mask": prefix}))


@every_cell
@given(length=lengths())
def test_reverse_with_padding_is_forward_on_the_flipped_prefix_in_explicit_bptt(cell, length):
    problem = random_problem(cell, mask=jnp.arange(6)[:, None] < length)
    law_reverse_starts_at_each_row_s_end(cell, problem, unroll=unroll_bptt)
