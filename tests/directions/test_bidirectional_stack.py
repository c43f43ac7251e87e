"""Bidirectional layers: the definition, padding, and rejected arguments."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrnn import GRU, LSTM, Bidirectional, Dropout, quiet, unroll, unroll_bptt, with_noise
from jaxrnn.cells.continuous import LEM, with_dt
from jaxrnn.core.noise import part_input, with_x
from jaxrnn.directions import BidirectionalStack
from tests.random_params import random_params

NETWORK = BidirectionalStack(
    (
        Bidirectional(LSTM(3, 4), GRU(3, 2)),
        Bidirectional(GRU(6, 5), GRU(6, 5), "sum"),
        Bidirectional(GRU(5, 1), GRU(5, 1)),
    )
)
PARAMS = random_params(NETWORK)
XS = jax.device_put(np.random.default_rng(0).normal(size=(6, 3, 3)))
MASK = jnp.arange(6)[:, None] < jnp.array([6, 3, 0])


@pytest.mark.parametrize("run", [unroll, unroll_bptt])
def test_each_layer_reads_both_directions_of_the_one_below(run):
    carry, ys = NETWORK.apply(PARAMS, XS, mask=MASK, run=run)
    below = XS
    for layer, params, end in zip(NETWORK.layers, PARAMS, carry, strict=True):
        expected, below = layer.apply(params, below, mask=MASK)
        for a, b in zip(jax.tree.leaves(end), jax.tree.leaves(expected), strict=True):
            np.testing.assert_allclose(a, b, atol=1e-12)
    np.testing.assert_allclose(ys, below, atol=1e-12)


def test_padding_reaches_neither_values_nor_gradients():
    def loss(params, xs):
        return NETWORK.apply(params, xs, mask=MASK, run=unroll_bptt)[1].sum()

    clean, dirty = (jax.grad(loss, (0, 1))(PARAMS, jnp.where(MASK[..., None], XS, pad)) for pad in (0.0, jnp.nan))
    for a, b in zip(jax.tree.leaves(clean), jax.tree.leaves(dirty), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("dt", [None, 0.5])
def test_every_layer_draws_its_own_noise_and_reads_the_time_where_its_cells_do(dt):
    dropped = Bidirectional(Dropout(LEM(8, 4), 0.5), Dropout(GRU(8, 4), 0.5))
    network = BidirectionalStack((Bidirectional(GRU(3, 4), GRU(3, 4)), dropped, dropped))
    params = random_params(network)
    xs = XS if dt is None else with_dt(XS, jnp.full(XS.shape[:2], dt))
    noisy = with_noise(jax.random.key(0), xs)
    _, ys = network.apply(params, noisy, mask=MASK)
    below = network.layers[0].apply(params[0], XS, mask=MASK)[1]
    for number in (1, 2):
        xs_above = with_x(noisy, below)
        drawn = [dropped.apply(params[number], part_input(dropped, xs_above, n), mask=MASK)[1] for n in (1, 2)]
        assert float(jnp.abs(drawn[0] - drawn[1]).max()) > 0.01  # not the same noise in two layers
        below = drawn[number - 1]
    np.testing.assert_allclose(ys, below, atol=1e-12)
    silent = quiet(network).apply(params, xs, mask=MASK)[1]
    assert float(jnp.abs(silent - ys).max()) > 0.01
    with pytest.raises(TypeError, match=r"`layers\[1\]`.*with_noise"):
        network.apply(params, xs)


def test_what_is_no_stack_of_two_directions_is_refused(without_beartype):
    with pytest.raises(TypeError, match="tuple of Bidirectional"):
        BidirectionalStack((GRU(3, 5),))
    with pytest.raises(ValueError, match="at least one layer"):
        BidirectionalStack(())
    with pytest.raises(ValueError, match="`params` must be a tuple with one entry per layer, 3 in all"):
        NETWORK.apply(PARAMS[:2], XS)
    with pytest.raises(ValueError, match="`carry` must be a tuple"):
        NETWORK.apply(PARAMS, XS, NETWORK.initial_carry(PARAMS, (3,))[:1])
