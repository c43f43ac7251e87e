"""Law 11: equal cells compile once, and other lengths do not recompile."""

import jax
import jax.numpy as jnp
import pytest

from jaxrnn import Elman, bptt, unroll, unroll_bptt
from jaxrnn.testing import compilations, law_equal_cells_compile_once, random_problem
from tests.laws.cells import every_cell

every_scan = pytest.mark.parametrize("member", [unroll, unroll_bptt], ids=lambda member: member.__name__)


@every_cell
@every_scan
def test_equal_cells_and_other_lengths_compile_once(cell, member):
    law_equal_cells_compile_once(cell, unroll=member)


@every_scan
def test_another_cell_and_another_shape_do_compile(member):
    cell = Elman(3, 5)
    p = random_problem(cell)
    jax.block_until_ready(member(cell, p.params, p.xs, p.carry))
    with compilations() as compiled:
        jax.block_until_ready(member(Elman(3, 5, "relu"), p.params, p.xs, p.carry))
    assert compiled
    with compilations() as compiled:
        jax.block_until_ready(member(cell, p.params, p.xs[:5], p.carry))
    assert compiled


def test_a_cell_is_an_ordinary_argument_of_jit_and_equal_cells_trace_once():
    traced = []

    @jax.jit
    def loss(cell, params, xs):
        traced.append(cell)
        return unroll_bptt(cell, params, xs)[1].sum()

    p = random_problem(Elman(3, 5))
    for _ in range(3):
        loss(Elman(3, 5), p.params, p.xs)
    assert len(traced) == 1


def test_bptt_compiles_once_for_equal_cells():
    p = random_problem(Elman(3, 5))

    def go():
        jax.block_until_ready(bptt(Elman(3, 5), p.params, p.xs, p.carry, p.dcarry, p.dys))

    go()
    with compilations() as compiled:
        go()
    assert not compiled


@every_scan
def test_the_program_does_not_grow_with_the_number_of_steps(member):
    cell = Elman(3, 5)

    def equations(time):
        p = random_problem(cell, time=time)
        return str(jax.make_jaxpr(jax.grad(lambda params: jnp.sum(member(cell, params, p.xs)[1])))(p.params)).count("=")

    assert equations(4) == equations(16)
