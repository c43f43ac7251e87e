"""The matrix products of a recurrent layer and nothing else: the upper limit of speed with XLA.

    h⁽ᵗ⁾ = the first block of U x⁽ᵗ⁾ + W h⁽ᵗ⁻¹⁾

A cell with its own local rules, run like any other by `unroll` and `unroll_bptt`: the same products of the same
shapes, in the library's blocks of time, without gates and without the records that gates need.
"""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from jaxrnn.core.precision import matmul, matmul_in_loop, matmul_transposed, outer_sum


class ProductsParams(NamedTuple):
    """The two weights."""

    u: Array
    """`[input, gates · hidden]`."""
    w: Array
    """`[hidden, gates · hidden]`."""


@jax.tree_util.register_static
@dataclass(frozen=True)
class Products:
    """A cell of `gates` blocks of products.

    >>> cell = Products(input_size=3, hidden_size=5, gates=4)
    >>> cell.project(cell.init(jax.random.key(0)), jnp.ones((7, 2, 3))).shape
    (7, 2, 20)
    """

    input_size: int
    hidden_size: int
    gates: int

    def init(self, key: Array) -> ProductsParams:
        """Draw small numbers, so that the states stay bounded."""
        sizes, width = (self.input_size, self.hidden_size), self.gates * self.hidden_size
        keys = jax.random.split(key)
        return ProductsParams(*(jax.random.normal(k, (n, width)) / 100 for k, n in zip(keys, sizes, strict=True)))

    def initial_carry(self, params: ProductsParams, batch_shape: tuple[int, ...] = ()) -> Array:
        """Return 0."""
        return jnp.zeros((*batch_shape, self.hidden_size))

    def project(self, params: ProductsParams, xs: Array) -> Array:
        """Return U x⁽ᵗ⁾."""
        return matmul(xs, params.u)

    def step(self, params: ProductsParams, carry: Array, z: Array) -> tuple[Array, Array]:
        """Compute W h⁽ᵗ⁻¹⁾, and return the first block of the sum."""
        return self.step_fwd(params, carry, z)[0]

    def step_fwd(self, params: ProductsParams, carry: Array, z: Array):
        """Run the step, and return h⁽ᵗ⁻¹⁾ too."""
        h = (z + matmul_in_loop(carry, params.w))[..., : self.hidden_size]
        return (h, h), carry

    def step_bwd(self, params: ProductsParams, residual: Array, dcarry: Array, dy: Array):
        """Multiply by Wᵀ as many blocks as a cell with gates sends back; those after the first are made up."""
        dz = jnp.concatenate([dcarry + dy] * self.gates, axis=-1)
        return matmul_transposed(dz, params.w), dz, dz

    def weight_bwd(self, params: ProductsParams, residuals: Array, locals: Array) -> ProductsParams:
        """Compute the contraction for W."""
        return ProductsParams(jnp.zeros_like(params.u), outer_sum(residuals, locals, params.w))
