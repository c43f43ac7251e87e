"""Runs chosen by the structure of a network: the laws of the family for a stack that mixes every kind of cell."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrnn import GRU, Dropout, Elman, MinGRU, Stack, choose_method, testing, unroll, unroll_associative
from jaxrnn.linear import Mamba, ShortConv
from jaxrnn.linear.blocks import Normalize, ResidualBlock
from jaxrnn.linear.matrix import GatedDelta
from jaxrnn.testing import loops
from jaxrnn.unrolling.parallel import unroll_by_structure

MIXED = Stack(
    (
        ResidualBlock(Stack((ShortConv(4, 2), MinGRU(4, 3))), 4, mlp=2),
        ResidualBlock(Dropout(GatedDelta(4, 2, 2, 2, conv=2), 0.3), 4, groups=2),
        Elman(4, 3),
        Normalize(3),
    )
)


@pytest.mark.parametrize(
    "law",
    [testing.law_members_agree, testing.law_padding_is_invisible, testing.law_length_zero_is_the_identity],
    ids=lambda law: law.__name__,
)
def test_it_is_a_member_of_the_family(law):
    law(MIXED, unroll=unroll_by_structure)


def test_a_matrix_state_runs_in_chunks_inside_its_block():
    cell = Stack((ResidualBlock(GatedDelta(4, 1, 2, 2), 4), Elman(4, 4)))
    params, xs = cell.init(jax.random.key(0)), jnp.ones((128, 4))
    lengths = {loop.length for loop in loops(lambda p: unroll_by_structure(cell, p, xs)[1], params)}
    assert lengths == {2, 128}  # two chunks of 64, and the Elman network's steps
    assert choose_method(cell, params, xs).method is unroll_by_structure


def test_a_reset_to_a_state_that_is_not_zero_runs_step_by_step():
    cell = Started(GatedDelta(3, 1, 2, 2, conv=None))
    params, xs = cell.init(jax.random.key(0)), jax.random.normal(jax.random.key(1), (40, 3))
    reset = jnp.zeros(40, bool).at[20].set(True)
    got, want = (member(cell, params, xs, reset=reset) for member in (unroll_by_structure, unroll))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-10), got, want)


def test_a_state_that_outgrows_its_input_is_not_stored_for_all_steps():
    cell = Mamba(4, 8)  # 16 states for each unit
    params, xs = cell.init(jax.random.key(0)), jnp.ones((256, 4, 4))

    def memory(member):
        gradient = jax.jit(jax.grad(lambda params: member(cell, params, xs)[1].sum()))
        return gradient.lower(params).compile().memory_analysis().temp_size_in_bytes

    assert memory(unroll_by_structure) < memory(unroll_associative) / 2


def test_what_is_not_linear_is_run_by_the_explicit_pass():
    cell = Stack((GRU(3, 4), Elman(4, 2)))
    params, xs = cell.init(jax.random.key(0)), jnp.ones((5, 3))
    assert len(loops(lambda p: unroll_by_structure(cell, p, xs)[1], params)) == 1  # as one cell


@jax.tree_util.register_static
class Started:
    """A matrix state that begins at 1."""

    def __init__(self, cell):
        self.cell = cell
        self.init, self.project, self.coefficients = cell.init, cell.project, cell.coefficients
        self.query, self.answer, self.step = cell.query, cell.answer, cell.step

    def initial_carry(self, params, batch_shape=()):
        return self.cell.initial_carry(params, batch_shape) + 1.0
