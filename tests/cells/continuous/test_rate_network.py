"""The rate network: its equation, its activations, its noise and its errors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrnn import Elman, quiet, unroll, with_noise
from jaxrnn.cells.continuous import RateNetwork, RateNoise
from jaxrnn.core.local_rules import AutodiffRules

PHI = {
    "tanh": np.tanh,
    "relu": lambda x: np.maximum(x, 0),
    "softplus": lambda x: np.log1p(np.exp(x)),
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "identity": lambda x: x,
}


@pytest.mark.parametrize("activation", PHI)
def test_steps_are_those_of_eulers_rule(activation):
    cell, taus = RateNetwork(2, 4, activation, dt=10.0, tau=(20.0, 50.0)), np.array([20.0, 20.0, 50.0, 50.0])
    u, w, b, _ = params = cell.init(jax.random.key(0))
    us, x = np.random.default_rng(0).normal(size=(6, 2)), np.zeros(4)
    _, rs = unroll(cell, params, jnp.asarray(us, jnp.float32))
    for t in range(6):
        x = x + 10 / taus * (-x + PHI[activation](x) @ np.asarray(w) + us[t] @ np.asarray(u) + np.asarray(b))
        np.testing.assert_allclose(rs[t], PHI[activation](x), atol=1e-5)


@pytest.mark.parametrize("activation", PHI)
def test_hand_written_rules_are_those_of_autodiff(activation):
    with jax.enable_x64(True):
        cell = RateNetwork(2, 4, activation, dt=10.0, tau=(20.0, 50.0))
        params = jax.tree.map(lambda a: a.astype(float), cell.init(jax.random.key(0)))
        x, z, dx, dy = jax.random.normal(jax.random.key(1), (4, 3, 4))
        results = []
        for rules in (cell, AutodiffRules(cell)):
            _, residual = rules.step_fwd(params, x, z)
            dcarry, dz, local = rules.step_bwd(params, residual, dx, dy)
            batch = jax.tree.map(lambda a: a[None], (residual, local))
            results.append((dcarry, dz, rules.weight_bwd(params, *batch)))
        for ours, expected in zip(*map(jax.tree.leaves, results), strict=True):
            np.testing.assert_allclose(ours, expected, atol=1e-12)


def test_noise_has_the_stated_variance_and_correlation():
    cell = RateNoise(RateNetwork(1, 3, "identity", dt=20.0, tau=100.0), private=0.3, shared=0.4)
    params = cell.init(jax.random.key(0))
    params = params._replace(w=jnp.zeros_like(params.w))
    _, rs = unroll(cell, params, with_noise(jax.random.key(1), jnp.zeros((400, 200, 1))))
    flat = np.asarray(rs[50:]).reshape(-1, 3)
    expected = (0.3**2 * np.eye(3) + 0.4**2) / (1 - 0.2 / 2)
    np.testing.assert_allclose(np.cov(flat.T), expected, rtol=0.05)


def test_the_quiet_network_is_the_network():
    cell = RateNetwork(1, 3)
    assert quiet(RateNoise(cell, 0.1)) == cell


@pytest.mark.parametrize(
    "fields, named",
    [
        ({"dt": 0.0}, "`dt` must be a positive number, got 0.0"),
        ({"dt": float("nan")}, "`dt` must be a positive number, got nan"),
        ({"dt": 60.0, "tau": (100.0, 50.0)}, "`dt` must be at most the shortest time constant, 50.0, got 60.0"),
        ({"tau": -1.0}, "`tau` must be a positive number, got -1.0"),
        ({"tau": (100.0, 100.0, 100.0)}, "`tau` must have a number of entries that divides the 4 units"),
        ({"activation": "gelu"}, "`activation` must be one of 'tanh'"),
    ],
)
def test_fields_that_make_no_network_are_named(fields, named):
    with pytest.raises(ValueError, match=named):
        RateNetwork(1, 4, **fields)


def test_noise_refuses_other_cells_and_negative_sizes():
    with pytest.raises(TypeError, match="cell"):
        RateNoise(Elman(1, 4), 0.1)
    with pytest.raises(ValueError, match="`shared` must be at least 0"):
        RateNoise(RateNetwork(1, 4), 0.1, -0.1)
