"""Law 6: padding does not exist."""

import jax.numpy as jnp
from cells import core_cell, every_cell
from hypothesis import given

from jaxrnn import unroll_bptt
from jaxrnn.testing import draws, law_padding_is_invisible, random_problem


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
