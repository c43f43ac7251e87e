"""The memory of a reservoir, against known results for linear ones."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import root
from scipy.stats import kurtosis

from jaxrnn import LSTM, unroll
from jaxrnn.reservoirs import Reservoir, forgetting_rate, intrinsic_plasticity, memory_capacity

KEY = jax.random.key(0)


def test_two_beginnings_of_a_linear_reservoir_come_together_at_the_rate_of_its_spectral_radius():
    cell = Reservoir(1, 6, 3, activation="identity", radius=0.8)
    params, xs = cell.init(KEY), jnp.ones((60, 2, 1))
    rate = forgetting_rate(cell, params, xs, jnp.zeros((2, 6)), jax.random.normal(KEY, (2, 6)))
    np.testing.assert_allclose(rate, np.log(0.8), atol=0.05)


def test_a_radius_above_one_is_not_forgotten_at_rest_but_is_under_a_strong_input():
    cell = Reservoir(1, 40, 5, radius=3.0)
    params, one, other = cell.init(KEY), jnp.zeros(40), jnp.full(40, 1e-6)
    quiet, loud = jnp.zeros((100, 1)), 200.0 * jnp.sign(jax.random.normal(KEY, (100, 1)))
    assert forgetting_rate(cell, params, quiet, one, other) > 0
    assert forgetting_rate(cell, params, loud, one, other) < -0.1


def test_any_cell_has_a_forgetting_rate():
    cell = LSTM(2, 3)
    params = cell.init(KEY)
    carry = cell.initial_carry(params, (4,))
    other = jax.tree.map(lambda a: a + 0.1, carry)
    assert forgetting_rate(cell, params, jnp.zeros((5, 4, 2)), carry, other).shape == (4,)


def test_a_shift_register_remembers_as_many_inputs_as_it_has_units():
    cell = Reservoir(1, 5, 1, activation="identity", wiring=1)
    params = cell.init(KEY)
    turn = cell.offsets[0]
    order = [(-k * turn) % 5 for k in range(5)]  # unit i reads unit i + o: from order[0] to order[1] …
    assert sorted(order) == list(range(5))
    params = params._replace(
        u=jnp.zeros((1, 5)).at[0, order[0]].set(1.0), w=jnp.ones((1, 5)).at[0, order[0]].set(0.0), radius=jnp.ones(())
    )
    capacity = memory_capacity(KEY, cell, params, delays=7, steps=400)
    np.testing.assert_allclose(capacity[:4], 1, atol=1e-6)  # x(t) itself is the fifth
    assert (capacity[4:] < 0.05).all()


def best_gain_and_bias(mean, deviation):
    """Return the point where the expected updates of intrinsic plasticity are 0, for a standard normal input."""
    x, weights = np.polynomial.hermite_e.hermegauss(80)
    weights, variance = weights / weights.sum(), deviation**2

    def moves(gain_and_bias):
        gain, bias = gain_and_bias
        y = np.tanh(gain * x + bias)
        move = -mean / variance + y / variance * (2 * variance + 1 - y**2 + mean * y)
        return weights @ move, 1 / gain - weights @ (move * x)

    found = root(moves, [deviation, mean])
    assert found.success
    return found.x


def test_intrinsic_plasticity_brings_units_without_neighbors_to_the_gain_and_bias_of_theory():
    cell = Reservoir(2, 12, 3, input_scaling=2.0, radius=0.0)
    params, xs = cell.init(KEY), jax.random.normal(KEY, (20_000, 2))
    after = intrinsic_plasticity(cell, params, xs, mean=0.1, deviation=0.2)
    gains = jnp.linalg.norm(after.scaling[:, None] * after.u, axis=0)  # of a unit's input, which is normal
    gain, bias = best_gain_and_bias(0.1, 0.2)
    assert jnp.linalg.norm(2 * params.u, axis=0).min() > 2 * gain  # all have a way to go, and not the same
    np.testing.assert_allclose(gains, gain, rtol=0.12)
    np.testing.assert_allclose(after.b, bias, atol=0.04)
    assert float(gains.mean()) == pytest.approx(gain, rel=0.02) and float(after.b.mean()) == pytest.approx(
        bias, abs=0.02
    )


def test_intrinsic_plasticity_makes_the_outputs_of_a_reservoir_normal_with_the_wanted_mean_and_deviation():
    cell = Reservoir(2, 12, 3, input_scaling=2.0)
    params, xs = cell.init(KEY), jax.random.normal(KEY, (24_000, 2))
    after = intrinsic_plasticity(cell, params, xs[:20_000], mean=0.1, deviation=0.2)
    before, ys = (np.asarray(unroll(cell, p, xs[20_000:])[1]) for p in (params, after))
    assert before.std(axis=0).min() > 0.3 and kurtosis(before, axis=0).max() < -0.5
    np.testing.assert_allclose(ys.std(axis=0), 0.2, atol=0.03)
    np.testing.assert_allclose(ys.mean(axis=0), 0.1, atol=0.05)
    assert ys.std(axis=0).mean() == pytest.approx(0.2, abs=0.01) and ys.mean() == pytest.approx(0.1, abs=0.02)
    gain, bias = best_gain_and_bias(0.1, 0.2)
    normal = np.tanh(gain * np.random.default_rng(0).normal(size=100_000) + bias)  # as far as tanh can be
    np.testing.assert_allclose(kurtosis(ys, axis=0), kurtosis(normal), atol=0.2)


def test_what_cannot_be_measured_or_adapted_is_refused():
    cell = Reservoir(1, 5, 2)
    params = cell.init(KEY)
    with pytest.raises(ValueError, match="`delays`"):
        memory_capacity(KEY, cell, params, delays=0)
    with pytest.raises(ValueError, match="`deviation` must be above 0"):
        intrinsic_plasticity(cell, params, jnp.ones((3, 1)), deviation=0.0)
    with pytest.raises(ValueError, match=r"`cell\.activation` must be one of 'tanh'"):
        intrinsic_plasticity(Reservoir(1, 5, 2, "relu"), params, jnp.ones((3, 1)))
