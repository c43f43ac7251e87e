"""The residual block against its formula in NumPy, and the arguments that it rejects."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrnn import GRU, unroll
from jaxrnn.linear.blocks import Normalize, ResidualBlock
from jaxrnn.linear.matrix import GatedDelta
from tests.random_params import random_params


def norm(gain, x, groups=1):
    parts = np.split(x, groups, axis=-1)
    return gain * np.concatenate([p / np.sqrt(np.mean(p**2, -1, keepdims=True) + 1e-6) for p in parts], -1)


def silu(x):
    return x / (1 + np.exp(-x))


@pytest.mark.parametrize("mlp", [None, 5])
def test_a_block_is_its_formula(mlp):
    cell = GRU(3, 4)
    block = ResidualBlock(cell, 3, mlp=mlp, groups=2)
    params = random_params(block)
    x = np.asarray(jax.random.normal(jax.random.key(1), (6, 2, 3), float))
    p = jax.tree.map(np.asarray, params)
    n = norm(p.norm, x)
    _, r = unroll(cell, params.cell, jnp.asarray(n))
    y = x + (norm(p.output_norm, np.asarray(r), 2) * silu(n @ p.gate)) @ p.output
    if mlp is not None:
        u, v = np.split(norm(p.mlp.norm, y) @ p.mlp.up, 2, -1)
        y = y + (silu(u) * v) @ p.mlp.down
    np.testing.assert_allclose(unroll(block, params, jnp.asarray(x))[1], y, rtol=1e-10, atol=1e-12)


def test_bad_blocks_are_named(without_beartype):
    for make, error, message in (
        (lambda: ResidualBlock(GRU(3, 4), 0), ValueError, "`size` must be an integer of at least 1"),
        (lambda: ResidualBlock(GRU(3, 4), 3, mlp=0), ValueError, "`mlp` must be an integer of at least 1"),
        (lambda: ResidualBlock("gru", 3), TypeError, "`cell` must be a cell"),
        (lambda: Normalize(0), ValueError, "`size` must be an integer of at least 1"),
        (
            lambda: ResidualBlock(GRU(3, 5), 3, groups=2).init(jax.random.key(0)),
            ValueError,
            "`groups` must divide output_size=5, got 2",
        ),
        (
            lambda: ResidualBlock(GatedDelta(4, 1, 2, 2), 3).init(jax.random.key(0)),
            ValueError,
            "`cell`, which reads x of size 3: `xs` must have trailing size input_size=4",
        ),
    ):
        with pytest.raises(error, match=re.escape(message)):
            make()
