"""Gated DeltaNet: a matrix memory that decays, and in which a key's old value is replaced by a new one.

    (q, k, v)⁽ᵗ⁾ = SiLU(conv(W x⁽ᵗ⁾)),      k ← k/|k|,  q ← q/(|q| √K)        for each head
    β⁽ᵗ⁾ = σ(Wᵝ x⁽ᵗ⁾),                      log α⁽ᵗ⁾ = −exp(A) softplus(Wᵅ x⁽ᵗ⁾ + δ)
    S⁽ᵗ⁾ = α⁽ᵗ⁾ (I − β⁽ᵗ⁾ k⁽ᵗ⁾ k⁽ᵗ⁾ᵀ) S⁽ᵗ⁻¹⁾ + β⁽ᵗ⁾ k⁽ᵗ⁾ v⁽ᵗ⁾ᵀ
    y⁽ᵗ⁾ = S⁽ᵗ⁾ᵀ q⁽ᵗ⁾

The update is one step of gradient descent, of size β, on ½ |Sᵀ k − v|²: the error-correcting (delta) rule of Widrow and
Hoff, applied online to a memory whose weights decay by α.  Along k the transition has the eigenvalue α (1 − β|k|²);
with `negative_eigenvalues` β is doubled, so that it may reach −1, as tracking the state of a group requires (Grazzi et
al. 2025).

The switches give the layers of the same family:

| | `decay` | `erase` |
|---|---|---|
| Gated DeltaNet (2412.06464) | "head" | True |
| DeltaNet (2102.11174, 2406.06484) | None | True |
| Kimi delta attention: diag(α), a decay for each unit (2510.26692) | "unit" | True |
| linear attention with normalized keys (2006.16236) | None | False |

W → `params.qkv` (q, k, v side by side, each by heads), the filters → `params.conv`, Wᵝ → `params.beta`, Wᵅ →
`params.alpha`, A → `params.a_log`, δ → `params.dt_bias`.  Deviation: in Kimi delta attention Wᵅ is a product of two
thinner matrices, here it is one.

References: Yang, Kautz & Hatamizadeh 2025, "Gated delta networks", §3; Schlag, Irie & Schmidhuber 2021, §4.2;
Yang et al. 2024; Kimi Team 2025, "Kimi Linear", §3.
"""

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxrnn.core.arguments import check_key
from jaxrnn.core.checks import check_choice, check_features, check_positive
from jaxrnn.core.initializers import input_weights, step_size_bias
from jaxrnn.core.precision import add_bias, matmul
from jaxrnn.core.types import Key
from jaxrnn.linear.matrix.heads import merge_heads, normalize, softplus_decay, split_heads, zero_state
from jaxrnn.linear.matrix_state import Erase, Outer
from jaxrnn.linear.protocol import linear_step
from jaxrnn.linear.short_conv import convolve, empty_register, init_filters
from jaxrnn.linear.stages import Staged, Steps


class GatedDeltaParams(NamedTuple):
    """The projections and gates; None for parts that the switches leave out.

    >>> GatedDelta(input_size=3, heads=2, key_size=4, value_size=5).init(jax.random.key(0))._fields
    ('qkv', 'conv', 'beta', 'alpha', 'a_log', 'dt_bias')
    """

    qkv: Float[Array, "input three"]
    """Wᵀ: `[input, heads · (2 K + V)]`."""
    conv: Float[Array, "width three"] | None
    """The filters of q, k and v, the oldest input first."""
    beta: Float[Array, "input heads"] | None
    """(Wᵝ)ᵀ."""
    alpha: Float[Array, "input decays"] | None
    """(Wᵅ)ᵀ: `[input, heads]`, or `[input, heads · K]`."""
    a_log: Float[Array, " heads"] | None
    """A: the log of the fastest rate of each head."""
    dt_bias: Float[Array, " decays"] | None
    """δ."""


class GatedDeltaInput(NamedTuple):
    """The result of `project`."""

    qkv: Array
    """W x, after `lead` convolved."""
    beta: Array | None
    """Wᵝ x."""
    alpha: Array | None
    """Wᵅ x + δ."""


@jax.tree_util.register_static
@dataclass(frozen=True)
class GatedDelta:
    """S⁽ᵗ⁾ = α (I − β k kᵀ) S⁽ᵗ⁻¹⁾ + β k vᵀ, y⁽ᵗ⁾ = S⁽ᵗ⁾ᵀ q, for each head.

    Args:
      input_size: the size of x.
      heads: the number of states; y has the size heads · value_size.
      key_size: K, the size of the keys of a head.
      value_size: V, the size of the values of a head.
      decay: "head", one α a head; "unit", one for each of K units; None, α = 1.
      erase: whether the old value of k is subtracted; False is a plain sum of k vᵀ.
      negative_eigenvalues: β in (0, 2) in place of (0, 1).
      conv: the width of the convolution over time; None for none.

    Raises:
      ValueError: a size below 1, or an unknown decay.

    >>> cell = GatedDelta(input_size=3, heads=2, key_size=4, value_size=5)
    >>> params = cell.init(jax.random.key(0))
    >>> carry, y = cell.step(params, cell.initial_carry(params), cell.project(params, jnp.ones(3)))
    >>> carry.state.shape, y.shape
    ((2, 4, 5), (10,))

    References: Yang, Kautz & Hatamizadeh 2025.
    """

    input_size: int
    heads: int
    key_size: int
    value_size: int
    decay: str | None = "head"
    erase: bool = True
    negative_eigenvalues: bool = False
    conv: int | None = 4

    def __post_init__(self):
        check_positive(input_size=self.input_size, heads=self.heads)
        check_positive(key_size=self.key_size, value_size=self.value_size)
        check_choice("decay", self.decay, ("head", "unit", None))
        if self.conv is not None:
            check_positive(conv=self.conv)

    def init(self, key: Key) -> GatedDeltaParams:
        """Draw W by Glorot, filters uniform in ±1/√width, exp(A) uniform in [0, 16], softplus(δ) in [1e-3, 0.1]."""
        check_key(key=key)
        keys = jax.random.split(key, 6)
        qkv = self.heads * (2 * self.key_size + self.value_size)
        decays = {"head": self.heads, "unit": self.heads * self.key_size, None: 0}[self.decay]
        rates = jax.random.uniform(keys[4], (self.heads,), minval=1e-4, maxval=16.0)
        return GatedDeltaParams(
            qkv=input_weights(keys[0], (self.input_size, qkv)),
            conv=None if self.conv is None else init_filters(keys[1], self.conv, qkv),
            beta=input_weights(keys[2], (self.input_size, self.heads)) if self.erase else None,
            alpha=input_weights(keys[3], (self.input_size, decays)) if decays else None,
            a_log=jnp.log(rates) if decays else None,
            dt_bias=step_size_bias(keys[5], (decays,)) if decays else None,
        )

    def initial_carry(self, params: GatedDeltaParams, batch_shape: tuple[int, ...] = ()) -> Any:
        """Return S⁽⁰⁾ = 0, `[*batch, heads, K, V]`, and, in `Staged`, an empty register for the convolution."""
        state = zero_state(params.qkv, *batch_shape, self.heads, self.key_size, self.value_size)
        return state if params.conv is None else Staged(empty_register(params.conv, batch_shape), state)

    def project(self, params: GatedDeltaParams, xs: Array) -> GatedDeltaInput:
        """Return W x⁽ᵗ⁾, Wᵝ x⁽ᵗ⁾ and Wᵅ x⁽ᵗ⁾ + δ."""
        check_features("xs", xs, input_size=self.input_size)
        beta = None if params.beta is None else matmul(xs, params.beta)
        alpha = None
        if params.alpha is not None and params.dt_bias is not None:
            alpha = add_bias(matmul(xs, params.alpha), params.dt_bias)
        return GatedDeltaInput(matmul(xs, params.qkv), beta, alpha)

    def lead(self, params: Any, first: Array, z: GatedDeltaInput, steps: Steps):
        """Run the convolution over time of q, k and v."""
        first, taps = steps.window(first, z.qkv)
        return first, z._replace(qkv=convolve(params.conv, taps))

    def coefficients(self, params: GatedDeltaParams, z: GatedDeltaInput) -> tuple[Erase, Outer]:
        """Return d = α, u = α k, w = β k; the addend is k (β v)ᵀ."""
        _, k, v = self._qkv(z)
        log_d = self._log_decay(params, z, k)
        if z.beta is None:
            return Erase(log_d), Outer(k, v)
        beta = jax.nn.sigmoid(z.beta)[..., None] * (2 if self.negative_eigenvalues else 1)
        return Erase(log_d, jnp.exp(log_d) * k, beta * k), Outer(k, beta * v)

    def query(self, params: GatedDeltaParams, z: GatedDeltaInput) -> Float[Array, "*batch heads key"]:
        """Return q/√K."""
        return self._qkv(z)[0] / math.sqrt(self.key_size)

    def answer(self, params: GatedDeltaParams, r: Float[Array, "*batch heads value"], z: GatedDeltaInput) -> Array:
        """Return the heads side by side."""
        return merge_heads(r)

    step = linear_step

    def _qkv(self, z):
        """Return q, k and v of each head; q and k have length 1."""
        keys = self.heads * self.key_size
        q, k, v = (split_heads(a, self.heads) for a in jnp.split(jax.nn.silu(z.qkv), (keys, 2 * keys), axis=-1))
        return normalize(q), normalize(k), v

    def _log_decay(self, params, z, k):
        """Return log α, `[..., heads, 1]` or `[..., heads, K]`."""
        if z.alpha is None:
            return jnp.zeros_like(k[..., :1])
        return softplus_decay(params.a_log[:, None], split_heads(z.alpha, self.heads))
