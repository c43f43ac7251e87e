"""The mLSTM: an LSTM whose cell state is a matrix, with gates that do not read the state.

    q, k, v = W x⁽ᵗ⁾,  k ← k/√K,        f̃, ĩ = Wᵍ x⁽ᵗ⁾ + b          for each head

`gates="sigmoid"`:

    S⁽ᵗ⁾ = σ(f̃) S⁽ᵗ⁻¹⁾ + σ(ĩ) k vᵀ,        y⁽ᵗ⁾ = S⁽ᵗ⁾ᵀ q

`gates="exponential"`, with a normalizer n that gathers the keys alone:

    S⁽ᵗ⁾ = σ(f̃) S⁽ᵗ⁻¹⁾ + e^ĩ k vᵀ,   n⁽ᵗ⁾ = σ(f̃) n⁽ᵗ⁻¹⁾ + e^ĩ k,        y⁽ᵗ⁾ = S⁽ᵗ⁾ᵀ q / max(|n⁽ᵗ⁾ᵀ q|, 1)

e^ĩ overflows, so S and n are stored as S e^{−m} and n e^{−m} with m⁽ᵗ⁾ = max(log σ(f̃) + m⁽ᵗ⁻¹⁾, ĩ).  m is a recurrence
over (max, +) that runs ahead of the linear one (`Staged`), and n is one more column of S.  y does not depend on m, but
the stored state does, and its gradient is exact.

W → `params.qkv` (q, k, v side by side, each by heads), Wᵍ → `params.gates` (f̃ and ĩ of all heads), b → `params.b`.
The output gate and the norm belong to the block around the cell.

References: Beck et al. 2024, "xLSTM", §2.3 and appendix A.3; Beck et al. 2025, "Tiled flash linear attention", §4
(sigmoid input gate, no normalizer).
"""

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxrnn.core.checks import check_choice, check_features, check_positive
from jaxrnn.core.initializers import input_weights
from jaxrnn.core.precision import accumulator, add_bias, matmul
from jaxrnn.core.types import Key
from jaxrnn.linear.matrix.heads import merge_heads, split_qkv, zero_state
from jaxrnn.linear.matrix_state import Erase, Outer
from jaxrnn.linear.protocol import linear_step
from jaxrnn.linear.stages import Staged, Steps

LEAST_NORMALIZER = 1e-18
"""Below this |nᵀ q| e^{−m} counts as 0: its square, which the derivative divides by, is still a float32."""


class MLSTMParams(NamedTuple):
    """The projections and the gates.

    >>> MLSTM(input_size=3, heads=2, key_size=4, value_size=5).init(jax.random.key(0))._fields
    ('qkv', 'gates', 'b')
    """

    qkv: Float[Array, "input three"]
    """Wᵀ: `[input, heads · (2 K + V)]`."""
    gates: Float[Array, "input two"]
    """(Wᵍ)ᵀ: `[input, 2 · heads]`."""
    b: Float[Array, " two"]
    """b of f̃ and ĩ."""


class MLSTMInput(NamedTuple):
    """The result of `project`."""

    qkv: Array
    """W x."""
    log_f: Array
    """log f, after `lead` relative to m: `[..., heads]`."""
    log_i: Array
    """log i, after `lead` relative to m."""
    m: Array | None
    """m⁽ᵗ⁾, from `lead`."""


@jax.tree_util.register_static
@dataclass(frozen=True)
class MLSTM:
    """S⁽ᵗ⁾ = f S⁽ᵗ⁻¹⁾ + i k vᵀ, y⁽ᵗ⁾ = S⁽ᵗ⁾ᵀ q, for each head.

    Args:
      input_size: the size of x.
      heads: the number of states; y has the size heads · value_size.
      key_size: K, the size of the keys of a head.
      value_size: V, the size of the values of a head.
      gates: "sigmoid", or "exponential" for i = e^ĩ with a normalizer.

    Raises:
      ValueError: a size below 1, or other gates.

    >>> cell = MLSTM(input_size=3, heads=2, key_size=4, value_size=5)
    >>> params = cell.init(jax.random.key(0))
    >>> state, y = cell.step(params, cell.initial_carry(params), cell.project(params, jnp.ones(3)))
    >>> state.shape, y.shape
    ((2, 4, 5), (10,))

    References: Beck et al. 2024; Beck et al. 2025.
    """

    input_size: int
    heads: int
    key_size: int
    value_size: int
    gates: str = "sigmoid"

    def __post_init__(self):
        check_positive(input_size=self.input_size, heads=self.heads)
        check_positive(key_size=self.key_size, value_size=self.value_size)
        check_choice("gates", self.gates, ("sigmoid", "exponential"))

    def init(self, key: Key) -> MLSTMParams:
        """Draw W by Glorot's rule, b of ĩ normal with deviation 0.1; set Wᵍ = 0, b of f̃ from 3 to 6 over the heads."""
        qkv, bias = jax.random.split(key)
        return MLSTMParams(
            qkv=input_weights(qkv, (self.input_size, self.heads * (2 * self.key_size + self.value_size))),
            gates=jnp.zeros((self.input_size, 2 * self.heads)),
            b=jnp.concatenate([jnp.linspace(3.0, 6.0, self.heads), 0.1 * jax.random.normal(bias, (self.heads,))]),
        )

    def initial_carry(self, params: MLSTMParams, batch_shape: tuple[int, ...] = ()) -> Any:
        """Return S⁽⁰⁾ = 0, `[*batch, heads, K, V]`; with exponential gates (S, n) = 0, `[…, V + 1]`, and m = 0."""
        if self.gates == "sigmoid":
            return zero_state(params.qkv, *batch_shape, self.heads, self.key_size, self.value_size)
        m = jnp.zeros((*batch_shape, self.heads), accumulator(params.b.dtype))
        return Staged(m, zero_state(params.qkv, *batch_shape, self.heads, self.key_size, self.value_size + 1))

    def project(self, params: MLSTMParams, xs: Array) -> MLSTMInput:
        """Return W x⁽ᵗ⁾, and the logarithms of the gates."""
        check_features("xs", xs, input_size=self.input_size)
        f, i = jnp.split(add_bias(matmul(xs, params.gates), params.b), 2, axis=-1)
        log_i = i if self.gates == "exponential" else jax.nn.log_sigmoid(i)
        return MLSTMInput(matmul(xs, params.qkv), jax.nn.log_sigmoid(f), log_i, None)

    def lead(self, params: MLSTMParams, first: Array, z: MLSTMInput, steps: Steps) -> tuple[Array, MLSTMInput]:
        """Compute the stabilizer m, and the gates relative to it."""
        first, (before, m) = steps.running_max(first, z.log_f, z.log_i)
        return first, z._replace(log_f=z.log_f + before - m, log_i=z.log_i - m, m=m)

    def coefficients(self, params: MLSTMParams, z: MLSTMInput) -> tuple[Erase, Outer]:
        """Return log d = log f; the addend is i k vᵀ, or i k (v, 1)ᵀ."""
        _, k, v = split_qkv(z.qkv, self.heads, self.key_size)
        k = k * jnp.exp(z.log_i)[..., None] / math.sqrt(self.key_size)
        if self.gates == "exponential":
            v = jnp.concatenate([v, jnp.ones_like(v[..., :1])], axis=-1)
        return Erase(z.log_f[..., None]), Outer(k, v)

    def query(self, params: MLSTMParams, z: MLSTMInput) -> Float[Array, "*batch heads key"]:
        """Return q."""
        return split_qkv(z.qkv, self.heads, self.key_size)[0]

    def answer(self, params: MLSTMParams, r: Float[Array, "*batch heads values"], z: MLSTMInput) -> Array:
        """Return r, or r/max(|nᵀ q|, 1), the heads side by side."""
        if z.m is None:
            return merge_heads(r)
        # both sides of the fraction times e^{min(m, 0)} or e^{−max(m, 0)}, so that neither overflows
        scale = jnp.exp(jnp.minimum(z.m, 0))[..., None]
        floor = jnp.maximum(jnp.exp(-jnp.maximum(z.m, 0))[..., None], LEAST_NORMALIZER)
        return merge_heads(r[..., :-1] * scale / jnp.maximum(jnp.abs(r[..., -1:]) * scale, floor))

    step = linear_step
