"""Reservoirs and their read-outs against reservoirpy: states and ridge regression to 1e-10, in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from reservoirpy import nodes

from jaxrnn import ESN, Readout, unroll
from jaxrnn.convert import (
    ConversionError,
    from_reservoirpy,
    readout_from_reservoirpy,
    readout_to_reservoirpy,
    to_reservoirpy,
)
from jaxrnn.reservoirs import Reservoir, add_equations, no_equations, ridge, solve

KEY = jax.random.key(0)
RNG = np.random.default_rng(0)


def theirs(cell, params):
    """Return the same reservoir in reservoirpy."""
    return nodes.Reservoir(**to_reservoirpy(cell, params))


@pytest.mark.parametrize("connections", [4, None])
def test_states_are_reservoirpy_s(connections):
    cell = Reservoir(3, 30, connections, radius=1.1, input_scaling=0.7, bias_scaling=0.5)
    params = cell.init(KEY)
    leak = jax.random.uniform(KEY, (30,))
    params = params._replace(retention=1 - leak, gain=leak)
    xs, start = RNG.normal(size=(50, 3)), RNG.normal(size=30)
    reservoir = theirs(cell, params)
    reservoir.initialize(xs)
    reservoir.state = {"out": start}
    _, hs = unroll(cell, params, jnp.asarray(xs), jnp.asarray(start))
    np.testing.assert_allclose(hs, reservoir.run(xs), rtol=0, atol=1e-10)


@pytest.mark.parametrize("penalty", [1e-6, 0.5])
def test_read_outs_of_several_series_are_reservoirpy_s(penalty):
    hs, targets = RNG.normal(size=(40, 3, 8)), RNG.normal(size=(40, 3, 2))
    node = nodes.Ridge(ridge=penalty).fit([*hs.transpose(1, 0, 2)], [*targets.transpose(1, 0, 2)])
    equations = add_equations(no_equations(8, 2), jnp.asarray(hs), jnp.asarray(targets))
    for params in (ridge(jnp.asarray(hs), jnp.asarray(targets), penalty), solve(equations, penalty)):
        np.testing.assert_allclose(params.v, node.Wout, rtol=0, atol=1e-10)
        np.testing.assert_allclose(params.c, node.bias, rtol=0, atol=1e-10)


def test_a_whole_network_is_reservoirpy_s():
    cell = Reservoir(1, 40, connections=5, input_scaling=0.5)
    esn = ESN(cell, Readout(40, 1))
    series = np.sin(np.arange(301) / 5)[:, None] * np.cos(np.arange(301) / 3)[:, None]
    _, params = esn.fit(esn.init(KEY), jnp.asarray(series[:-1]), jnp.asarray(series[1:]), penalty=1e-4, washout=50)
    model = theirs(cell, params.cell) >> nodes.Ridge(ridge=1e-4)
    model.fit(series[:-1], series[1:], warmup=50)
    _, os = esn.apply(params, jnp.asarray(series[:100]))
    model.reset()
    np.testing.assert_allclose(os, model.run(series[:100]), rtol=0, atol=1e-10)


@pytest.mark.parametrize(
    "options", [{"sr": 0.9, "lr": 0.3}, {"bias": 0.2, "activation": "relu", "rc_connectivity": 1.0}]
)
def test_a_reservoir_that_was_drawn_there_is_ours_and_comes_back(options):
    """A sparse W, a bias that is one number, an activation by its name."""
    node, xs = nodes.Reservoir(30, seed=1, **options), RNG.normal(size=(50, 3))
    expected = node.run(xs)
    cell, params = from_reservoirpy(node)
    _, hs = unroll(cell, params, jnp.asarray(xs))
    np.testing.assert_allclose(hs, expected, rtol=0, atol=1e-10)
    back = from_reservoirpy(nodes.Reservoir(**to_reservoirpy(cell, params)))
    assert back[0] == cell
    assert all(np.array_equal(a, b) for a, b in zip(back[1], params, strict=True))


def test_a_read_out_that_was_fitted_there_is_ours_and_comes_back():
    node = nodes.Ridge(ridge=0.1).fit(RNG.normal(size=(40, 8)), RNG.normal(size=(40, 2)))
    readout, params = readout_from_reservoirpy(node)
    hs = RNG.normal(size=(5, 8))
    np.testing.assert_allclose(readout.apply(params, jnp.asarray(hs)), node.run(hs), rtol=0, atol=1e-10)
    again = nodes.Ridge(**readout_to_reservoirpy(params))
    assert np.array_equal(again.Wout, node.Wout) and np.array_equal(again.bias, node.bias)


def test_what_is_not_there_yet_or_not_expressible_is_named():
    with pytest.raises(ConversionError, match=r"`node\.W` must be drawn already"):
        from_reservoirpy(nodes.Reservoir(30))
    with pytest.raises(ConversionError, match=r"`node\.Wout` must be drawn already"):
        readout_from_reservoirpy(nodes.Ridge())
    cell = Reservoir(3, 30)
    params = cell.init(KEY)
    with pytest.raises(ConversionError, match="one leaking rate"):
        to_reservoirpy(cell, params._replace(retention=params.retention + 0.1))
    node = nodes.Reservoir(30, activation="softplus")
    node.initialize(np.ones((5, 3)))
    with pytest.raises(ConversionError, match=r"`node\.activation` must be one of tanh, relu, identity"):
        from_reservoirpy(node)
