"""Law 15: the cells of the chapter reduce to simple formulas when their gates are fully open or closed."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrnn import GRU, LSTM, Elman, unroll
from jaxrnn.testing import random_problem

OPEN = 1e3
"""A bias at which a sigmoid is 1 to the last bit, and 0 if negative."""


def biased(params, gate, value):
    """`params` with this gate's share of the packed bias set, and its weights 0."""
    size = params.w.shape[0]
    part = slice(gate * size, (gate + 1) * size)
    u, w = (a.at[:, part].set(0) for a in (params.u, params.w))
    return params._replace(u=u, w=w, b=params.b.at[part].set(value))


@pytest.mark.parametrize("peephole", [None, "previous", "current"])
def test_forget_gate_1_and_input_gate_0_copy_the_cell_state(peephole):
    cell = LSTM(3, 5, peephole)
    p = random_problem(cell)
    params = biased(biased(p.params, 0, -OPEN), 1, OPEN)
    carry, _ = unroll(cell, params, p.xs, p.carry)
    np.testing.assert_array_equal(carry.c, p.carry.c)


def test_forget_gate_0_and_input_gate_1_forget_the_past():
    cell = LSTM(3, 5)
    p = random_problem(cell)
    params = biased(biased(p.params, 0, OPEN), 1, -OPEN)
    params = params._replace(w=jnp.zeros_like(params.w))
    got, want = unroll(cell, params, p.xs, p.carry), unroll(cell, params, p.xs[-1:])
    jax.tree.map(np.testing.assert_array_equal, got[0], want[0])


def test_output_gate_0_says_nothing():
    cell = LSTM(3, 5)
    p = random_problem(cell)
    _, ys = unroll(cell, biased(p.params, 3, -OPEN), p.xs, p.carry)
    np.testing.assert_array_equal(ys, jnp.zeros_like(ys))


def test_a_new_lstm_has_forget_bias_1_and_no_other():
    b = LSTM(3, 5).init(jax.random.key(0)).b
    np.testing.assert_array_equal(b, np.repeat([0.0, 1.0, 0.0, 0.0], 5))


@pytest.mark.parametrize("reset", ["before", "after"])
def test_update_gate_1_holds_the_state(reset):
    cell = GRU(3, 5, reset)
    p = random_problem(cell)
    carry, ys = unroll(cell, biased(p.params, 1, OPEN), p.xs, p.carry)
    np.testing.assert_array_equal(carry, p.carry)
    np.testing.assert_array_equal(ys, jnp.broadcast_to(p.carry, ys.shape))


def test_update_gate_0_and_reset_gate_1_make_a_gru_the_plain_network():
    cell, plain = GRU(3, 5), Elman(3, 5)
    p = random_problem(cell)
    params = biased(biased(p.params, 0, OPEN), 1, -OPEN)
    u, w, b = (a[..., 10:] for a in params[:3])
    _, want = unroll(plain, type(plain.init(jax.random.key(0)))(u, w, b), p.xs, p.carry)
    _, got = unroll(cell, params, p.xs, p.carry)
    np.testing.assert_allclose(got, want, atol=1e-14)


def test_reset_before_and_after_agree_where_the_reset_gate_is_1():
    before, after = GRU(3, 5), GRU(3, 5, "after")
    p = random_problem(before)
    params = biased(p.params, 0, OPEN)
    _, want = unroll(before, params, p.xs, p.carry)
    _, got = unroll(after, params._replace(b_n=jnp.zeros(5)), p.xs, p.carry)
    np.testing.assert_allclose(got, want, atol=1e-14)


def test_without_recurrence_the_plain_network_is_a_layer():
    cell = Elman(3, 5)
    p = random_problem(cell)
    params = p.params._replace(w=jnp.zeros((5, 5)))
    np.testing.assert_allclose(unroll(cell, params, p.xs)[1], jnp.tanh(p.xs @ params.u + params.b), atol=1e-15)


def test_the_linear_network_is_a_power_of_its_matrix():
    """Section 3.1: h⁽ᵗ⁾ = Wᵗ h⁽⁰⁾, and ∇_{h⁽⁰⁾} = (Wᵀ)ᵗ ∇_{h⁽ᵗ⁾}."""
    cell = Elman(3, 5, "identity")
    p = random_problem(cell)
    params = p.params._replace(u=jnp.zeros((3, 5)), b=jnp.zeros(5))
    power = jnp.linalg.matrix_power(params.w, 6)  # of Wᵀ: row vectors
    got, vjp = jax.vjp(lambda carry: unroll(cell, params, p.xs, carry)[0], p.carry)
    np.testing.assert_allclose(got, p.carry @ power, atol=1e-12)
    np.testing.assert_allclose(vjp(p.dcarry)[0], p.dcarry @ power.T, atol=1e-12)


@pytest.mark.parametrize("peephole", ["previous", "current"])
def test_peepholes_of_0_are_no_peepholes(peephole):
    cell = LSTM(3, 5, peephole)
    p = random_problem(cell)
    _, got = unroll(cell, p.params._replace(peephole=jnp.zeros((3, 5))), p.xs, p.carry)
    _, want = unroll(LSTM(3, 5), p.params._replace(peephole=None), p.xs, p.carry)
    np.testing.assert_allclose(got, want, atol=1e-15)
