"""The PyTorch programs in the benchmarks compute the same as ours: Gated DeltaNet as a loop and in chunks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxrnn
from jaxrnn.linear.matrix import GatedDelta

pytest.importorskip("torch")


def test_gated_deltanet_in_pytorch_has_our_gradients():
    from benchmarks import linear_pytorch

    cell = GatedDelta(6, heads=2, key_size=4, value_size=3)
    params = jax.tree.map(lambda leaf: leaf.astype(float), cell.init(jax.random.key(0)))
    xs = jax.random.normal(jax.random.key(1), (32, 2, 6), float)
    ours = jax.grad(lambda p, xs: jnp.sum(jaxrnn.unroll(cell, p, xs)[1] ** 2), argnums=(0, 1))(params, xs)
    wanted = ours[0]._asdict() | {"xs": ours[1]}
    for program in linear_pytorch.programs(cell, params, xs, 8).values():
        for name, gradient in program.run().items():
            np.testing.assert_allclose(gradient.numpy(), wanted[name], rtol=1e-9, atol=1e-9, err_msg=name)
