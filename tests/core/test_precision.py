"""The products of the explicit rules: every form for a shape gives the same numbers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrnn.core.precision import LARGE, matmul, matmul_in_loop, matmul_transposed, outer_sum, transposed_layout

SMALL_WEIGHT, LARGE_WEIGHT = (6, 8), (512, LARGE // 512)


@pytest.mark.parametrize("shape", [SMALL_WEIGHT, LARGE_WEIGHT], ids=["small", "large"])
@pytest.mark.parametrize("batch", [(), (1,), (3,), (2, 4), (16,), (64,), (65,), (300,)], ids=str)
def test_a_product_in_a_loop_is_the_product(shape, batch):
    random = np.random.default_rng(0)
    w, h, dz = (random.normal(size=size) for size in (shape, (*batch, shape[0]), (*batch, shape[1])))
    for function in (matmul, matmul_in_loop):
        np.testing.assert_allclose(jax.jit(function)(h, jnp.asarray(w)), h @ w, atol=1e-11)
    np.testing.assert_allclose(jax.jit(matmul_transposed)(dz, jnp.asarray(w)), dz @ w.T, atol=1e-11)


def test_a_contraction_is_the_sum_of_outer_products():
    random = np.random.default_rng(0)
    x, dz = random.normal(size=(5, 3, 4)), random.normal(size=(5, 3, 6))
    sums = np.einsum("tbi,tbo->io", x, dz)
    np.testing.assert_allclose(outer_sum(jnp.asarray(x), jnp.asarray(dz), jnp.zeros((4, 6))), sums, atol=1e-12)
    np.testing.assert_array_equal(transposed_layout(jnp.asarray(x)), x)
