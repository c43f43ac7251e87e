"""DeltaProduct: n steps of the delta rule for each input, so that the transition is a product of n reflections.

    (kⱼ, vⱼ)⁽ᵗ⁾ = SiLU(conv(Wⱼ x⁽ᵗ⁾)),  kⱼ ← kⱼ/|kⱼ|,    βⱼ⁽ᵗ⁾ = 2 σ(Wᵝⱼ x⁽ᵗ⁾),        j = 1, …, n
    S ← α S⁽ᵗ⁻¹⁾;       S ← (I − βⱼ kⱼ kⱼᵀ) S + βⱼ kⱼ vⱼᵀ  for j = 1, …, n;       S⁽ᵗ⁾ ← S
    y⁽ᵗ⁾ = S⁽ᵗ⁾ᵀ q⁽ᵗ⁾,  q = SiLU(conv(W x)) normalized, over √K                 for each head

With β = 2 a factor is a reflection, and n of them make any orthogonal matrix that moves an n-dimensional subspace: one
tracks parity, two the symmetric group S₃.  `decay` adds α of Gated DeltaNet, once a step.

Wᵀ → `params.qkv` (q, then k₁ … k_n, then v₁ … v_n, each by heads), the filters → `params.conv`, Wᵝ → `params.beta`,
Wᵅ → `params.alpha`, A → `params.a_log`, δ → `params.dt_bias`.

References: Siems et al. 2025, "DeltaProduct", §3; Grazzi et al. 2025, "Unlocking state-tracking in linear RNNs through
negative eigenvalues", §4.
"""

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxrnn.core.checks import check_features, check_positive
from jaxrnn.core.initializers import input_weights, step_size_bias
from jaxrnn.core.precision import add_bias, matmul
from jaxrnn.core.types import Key
from jaxrnn.linear.matrix.heads import merge_heads, normalize, softplus_decay, split_heads, zero_state
from jaxrnn.linear.matrix_state import Erase, InTurn, Outer
from jaxrnn.linear.protocol import linear_step
from jaxrnn.linear.short_conv import convolve, empty_register, init_filters
from jaxrnn.linear.stages import Staged, Steps


class DeltaProductParams(NamedTuple):
    """The projections and gates; None for parts that the switches leave out.

    >>> DeltaProduct(input_size=3, heads=2, key_size=4, value_size=5, updates=3).init(jax.random.key(0))._fields
    ('qkv', 'conv', 'beta', 'alpha', 'a_log', 'dt_bias')
    """

    qkv: Float[Array, "input many"]
    """Wᵀ: `[input, heads · (K + n K + n V)]`."""
    conv: Float[Array, "width many"] | None
    """The filters, the oldest input first."""
    beta: Float[Array, "input betas"]
    """(Wᵝ)ᵀ: `[input, heads · n]`."""
    alpha: Float[Array, "input heads"] | None
    """(Wᵅ)ᵀ."""
    a_log: Float[Array, " heads"] | None
    """A."""
    dt_bias: Float[Array, " heads"] | None
    """δ."""


class DeltaProductInput(NamedTuple):
    """The result of `project`."""

    qkv: Array
    """W x, after `lead` convolved."""
    beta: Array
    """Wᵝ x."""
    alpha: Array | None
    """Wᵅ x + δ."""


@jax.tree_util.register_static
@dataclass(frozen=True)
class DeltaProduct:
    """n delta-rule updates of S for each step, y⁽ᵗ⁾ = S⁽ᵗ⁾ᵀ q, for each head.

    Args:
      input_size: the size of x.
      heads: the number of states; y has the size heads · value_size.
      key_size: K, the size of the keys of a head.
      value_size: V, the size of the values of a head.
      updates: n.
      decay: whether S decays by α before the updates.
      negative_eigenvalues: β in (0, 2); False for (0, 1).
      conv: the width of the convolution over time; None for none.

    Raises:
      ValueError: a size below 1.

    >>> cell = DeltaProduct(input_size=3, heads=2, key_size=4, value_size=5, updates=3)
    >>> params = cell.init(jax.random.key(0))
    >>> carry, y = cell.step(params, cell.initial_carry(params), cell.project(params, jnp.ones(3)))
    >>> carry.state.shape, y.shape
    ((2, 4, 5), (10,))

    References: Siems et al. 2025.
    """

    input_size: int
    heads: int
    key_size: int
    value_size: int
    updates: int = 2
    decay: bool = False
    negative_eigenvalues: bool = True
    conv: int | None = 4

    def __post_init__(self):
        check_positive(input_size=self.input_size, heads=self.heads, updates=self.updates)
        check_positive(key_size=self.key_size, value_size=self.value_size)
        if self.conv is not None:
            check_positive(conv=self.conv)

    def init(self, key: Key) -> DeltaProductParams:
        """Draw the parameters as for `GatedDelta`, with n projections for keys, values and β."""
        keys = jax.random.split(key, 6)
        many = self.heads * (self.key_size + self.updates * (self.key_size + self.value_size))
        rates = jax.random.uniform(keys[4], (self.heads,), minval=1e-4, maxval=16.0)
        return DeltaProductParams(
            qkv=input_weights(keys[0], (self.input_size, many)),
            conv=None if self.conv is None else init_filters(keys[1], self.conv, many),
            beta=input_weights(keys[2], (self.input_size, self.heads * self.updates)),
            alpha=input_weights(keys[3], (self.input_size, self.heads)) if self.decay else None,
            a_log=jnp.log(rates) if self.decay else None,
            dt_bias=step_size_bias(keys[5], (self.heads,)) if self.decay else None,
        )

    def initial_carry(self, params: DeltaProductParams, batch_shape: tuple[int, ...] = ()) -> Any:
        """Return S⁽⁰⁾ = 0, `[*batch, heads, K, V]`, and, in `Staged`, an empty register for the convolution."""
        state = zero_state(params.qkv, *batch_shape, self.heads, self.key_size, self.value_size)
        return state if params.conv is None else Staged(empty_register(params.conv, batch_shape), state)

    def project(self, params: DeltaProductParams, xs: Array) -> DeltaProductInput:
        """Return W x⁽ᵗ⁾, Wᵝ x⁽ᵗ⁾ and Wᵅ x⁽ᵗ⁾ + δ."""
        check_features("xs", xs, input_size=self.input_size)
        alpha = None
        if params.alpha is not None and params.dt_bias is not None:
            alpha = add_bias(matmul(xs, params.alpha), params.dt_bias)
        return DeltaProductInput(matmul(xs, params.qkv), matmul(xs, params.beta), alpha)

    def lead(self, params: Any, first: Array, z: DeltaProductInput, steps: Steps):
        """Run the convolution over time."""
        first, taps = steps.window(first, z.qkv)
        return first, z._replace(qkv=convolve(params.conv, taps))

    def coefficients(self, params: DeltaProductParams, z: DeltaProductInput) -> tuple[InTurn, InTurn]:
        """Return n updates in order: u = d kⱼ, w = βⱼ kⱼ, kⱼ (βⱼ vⱼ)ᵀ, where d = α in the first and 1 in the others."""
        _, k, v = self._split(z)
        k = normalize(k)
        beta = jax.nn.sigmoid(self._in_turn(z.beta)) * (2 if self.negative_eigenvalues else 1)
        log_d = jnp.zeros_like(k[..., :1])
        if z.alpha is not None and params.a_log is not None:
            log_d = log_d.at[..., 0, 0].set(softplus_decay(params.a_log, z.alpha))
        return InTurn(Erase(log_d, jnp.exp(log_d) * k, beta * k)), InTurn(Outer(k, beta * v))

    def query(self, params: DeltaProductParams, z: DeltaProductInput) -> Float[Array, "*batch heads key"]:
        """Return q/√K."""
        return normalize(self._split(z)[0]) / math.sqrt(self.key_size)

    def answer(self, params: DeltaProductParams, r: Float[Array, "*batch heads value"], z: DeltaProductInput) -> Array:
        """Return the heads side by side."""
        return merge_heads(r)

    step = linear_step

    def _split(self, z):
        """Return q `[..., heads, K]`, k `[..., heads, n, K]`, v `[..., heads, n, V]`."""
        keys = self.heads * self.key_size
        q, k, v = jnp.split(jax.nn.silu(z.qkv), (keys, (1 + self.updates) * keys), axis=-1)
        return split_heads(q, self.heads), self._in_turn(k), self._in_turn(v)

    def _in_turn(self, x):
        """Reshape `[..., heads · n · size]` to `[..., heads, n, size]`."""
        return x.reshape(*x.shape[:-1], self.heads, self.updates, x.shape[-1] // (self.heads * self.updates))
