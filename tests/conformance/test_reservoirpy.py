"""Reservoirs and their read-outs against reservoirpy: states and ridge regression to 1e-10, in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from reservoirpy import nodes

from jaxrnn import ESN, Readout, unroll
from jaxrnn.reservoirs import Reservoir, add_equations, no_equations, recurrent_matrix, ridge, solve

KEY = jax.random.key(0)
RNG = np.random.default_rng(0)


def theirs(cell, params):
    """The same reservoir: its matrices are the transposed ones, and its leaking rate is the gain."""
    return nodes.Reservoir(
        W=np.asarray(recurrent_matrix(cell, params)).T,
        Win=np.asarray(params.scaling[:, None] * params.u).T,
        bias=np.asarray(params.b),
        lr=np.asarray(params.gain),
    )


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
