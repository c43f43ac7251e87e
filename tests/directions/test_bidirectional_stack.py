"""Layers of two directions: the definition, padding, and what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrnn import GRU, LSTM, Bidirectional, unroll, unroll_bptt
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


def test_what_is_no_stack_of_two_directions_is_refused(without_beartype):
    with pytest.raises(TypeError, match="tuple of Bidirectional"):
        BidirectionalStack((GRU(3, 5),))
    with pytest.raises(ValueError, match="at least one layer"):
        BidirectionalStack(())
    with pytest.raises(ValueError, match="`params` must be a tuple of one entry a layer, 3 in all"):
        NETWORK.apply(PARAMS[:2], XS)
    with pytest.raises(ValueError, match="`carry` must be a tuple"):
        NETWORK.apply(PARAMS, XS, NETWORK.initial_carry(PARAMS, (3,))[:1])
