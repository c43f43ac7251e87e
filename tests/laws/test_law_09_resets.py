"""Law 9: joined episodes do not affect one another, in either direction, whatever the mask."""

import jax.numpy as jnp
import numpy as np
from hypothesis import given

from jaxrnn import unroll, unroll_bptt
from jaxrnn.testing import draws, law_episodes_are_independent, random_problem
from tests.laws.cells import LIBRARY, every_cell


@every_cell
@given(drawn=draws())
def test_joined_episodes_are_the_episodes_run_apart(cell, drawn):
    law_episodes_are_independent(cell, random_problem(cell, **drawn))


@every_cell
@given(drawn=draws())
def test_joined_episodes_are_the_episodes_run_apart_in_explicit_bptt(cell, drawn):
    law_episodes_are_independent(cell, random_problem(cell, **drawn), unroll=unroll_bptt)


def test_a_reset_on_a_padded_step_still_counts():
    cell = LIBRARY["lstm"]
    p = random_problem(cell)
    at_3 = jnp.zeros_like(p.reset).at[3].set(True)
    hole = jnp.ones_like(p.mask).at[3].set(False)
    _, ys = unroll(cell, p.params, p.xs, p.carry, mask=hole, reset=at_3)
    _, alone = unroll(cell, p.params, p.xs[4:])
    np.testing.assert_allclose(ys[4:], alone, atol=1e-14)


def test_a_reset_at_the_start_overrides_the_carry_forwards_and_is_not_crossed_backwards():
    cell = LIBRARY["gru_reset_before"]
    p = random_problem(cell)
    at_0 = jnp.zeros_like(p.reset).at[0].set(True)
    got, want = unroll(cell, p.params, p.xs, p.carry, reset=at_0), unroll(cell, p.params, p.xs)
    np.testing.assert_allclose(got[1], want[1], atol=1e-14)
    got = unroll(cell, p.params, p.xs, p.carry, reset=at_0, reverse=True)
    want = unroll(cell, p.params, p.xs, p.carry, reverse=True)
    np.testing.assert_array_equal(got[0], want[0])
