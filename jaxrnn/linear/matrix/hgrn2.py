"""HGRN2: gated linear attention whose key is what the forget gate lets go.

    q = SiLU(Wᵠ x⁽ᵗ⁾),    v = Wᵛ x⁽ᵗ⁾,    α⁽ᵗ⁾ = ℓ + (1 − ℓ) σ(Wᵅ x⁽ᵗ⁾)
    S⁽ᵗ⁾ = diag(α⁽ᵗ⁾) S⁽ᵗ⁻¹⁾ + (1 − α⁽ᵗ⁾) v⁽ᵗ⁾ᵀ,         y⁽ᵗ⁾ = S⁽ᵗ⁾ᵀ q⁽ᵗ⁾          for each head

ℓ is the least a gate can be.  In a stack it rises from layer to layer, so that upper layers remember longer.

(Wᵠ, Wᵅ, Wᵛ)ᵀ → `params.u`, each by heads.  Deviation: ℓ is a field; the paper learns the ℓ of
all layers together.

References: Qin et al. 2024, "HGRN2: gated linear RNNs with state expansion", §3.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxrnn.core.checks import check_features, check_positive
from jaxrnn.core.initializers import input_weights
from jaxrnn.core.precision import matmul
from jaxrnn.core.types import Key
from jaxrnn.linear.matrix.heads import merge_heads, split_qkv, zero_state
from jaxrnn.linear.matrix_state import Erase, Outer
from jaxrnn.linear.protocol import linear_step


class HGRN2Params(NamedTuple):
    """The projections.

    >>> HGRN2(input_size=3, heads=2, key_size=4, value_size=5).init(jax.random.key(0))._fields
    ('u',)
    """

    u: Float[Array, "input three"]
    """(Wᵠ, Wᵅ, Wᵛ)ᵀ: `[input, heads · (2 K + V)]`."""


@jax.tree_util.register_static
@dataclass(frozen=True)
class HGRN2:
    """S⁽ᵗ⁾ = diag(α) S⁽ᵗ⁻¹⁾ + (1 − α) vᵀ, y⁽ᵗ⁾ = S⁽ᵗ⁾ᵀ q, for each head.

    Args:
      input_size: the size of x.
      heads: the number of states; y has the size heads · value_size.
      key_size: K, the size of the keys of a head.
      value_size: V, the size of the values of a head.
      least_gate: ℓ, from 0 to below 1.

    Raises:
      ValueError: a size below 1, or a gate outside [0, 1).

    >>> cell = HGRN2(input_size=3, heads=2, key_size=4, value_size=5)
    >>> params = cell.init(jax.random.key(0))
    >>> state, y = cell.step(params, cell.initial_carry(params), cell.project(params, jnp.ones(3)))
    >>> state.shape, y.shape
    ((2, 4, 5), (10,))

    References: Qin et al. 2024.
    """

    input_size: int
    heads: int
    key_size: int
    value_size: int
    least_gate: float = 0.0

    def __post_init__(self):
        check_positive(input_size=self.input_size, heads=self.heads)
        check_positive(key_size=self.key_size, value_size=self.value_size)
        if not 0 <= self.least_gate < 1:
            raise ValueError(f"`least_gate` must lie from 0 to below 1, got {self.least_gate}.")

    def init(self, key: Key) -> HGRN2Params:
        """Draw W by Glorot's rule."""
        return HGRN2Params(input_weights(key, (self.input_size, self.heads * (2 * self.key_size + self.value_size))))

    def initial_carry(self, params: HGRN2Params, batch_shape: tuple[int, ...] = ()) -> Array:
        """Return S⁽⁰⁾ = 0, `[*batch, heads, K, V]`."""
        return zero_state(params.u, *batch_shape, self.heads, self.key_size, self.value_size)

    def project(self, params: HGRN2Params, xs: Array) -> Array:
        """Return W x⁽ᵗ⁾."""
        check_features("xs", xs, input_size=self.input_size)
        return matmul(xs, params.u)

    def coefficients(self, params: HGRN2Params, z: Array) -> tuple[Erase, Outer]:
        """Return log d = log α, computed without forming α; k = 1 − α = (1 − ℓ) σ(−zᵅ)."""
        _, gate, v = split_qkv(z, self.heads, self.key_size)
        log_alpha = jax.nn.log_sigmoid(gate) + math.log1p(-self.least_gate)
        if self.least_gate:
            log_alpha = jnp.logaddexp(log_alpha, math.log(self.least_gate))
        return Erase(log_alpha), Outer((1 - self.least_gate) * jax.nn.sigmoid(-gate), v)

    def query(self, params: HGRN2Params, z: Array) -> Float[Array, "*batch heads key"]:
        """Return SiLU(zᵠ)."""
        return jax.nn.silu(split_qkv(z, self.heads, self.key_size)[0])

    def answer(self, params: HGRN2Params, r: Float[Array, "*batch heads value"], z: Array) -> Array:
        """Return the heads side by side."""
        return merge_heads(r)

    step = linear_step
