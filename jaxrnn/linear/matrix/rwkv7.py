"""RWKV-7: a generalized delta rule, which removes along one key and writes along another, at rates of its own.

    x_□ = x⁽ᵗ⁾ + μ_□ ⊙ (x⁽ᵗ⁻¹⁾ − x⁽ᵗ⁾)                       for □ in r, d, k, v, a
    r = W_r x_r,   v = W_v x_v,   k = W_k x_k
    log d = −e^{−½} σ(b_d + tanh(x_d A_d) B_d),             a = σ(b_a + x_a A_a B_a)
    κ̂ = (k ⊙ ξ)/|k ⊙ ξ|,     k̃ = k ⊙ (1 + (a − 1) ⊙ η)      for each head
    S⁽ᵗ⁾ = diag(d) S⁽ᵗ⁻¹⁾ − (a ⊙ κ̂)(κ̂ᵀ S⁽ᵗ⁻¹⁾) + k̃ vᵀ
    y⁽ᵗ⁾ = S⁽ᵗ⁾ᵀ r + (rᵀ (ρ ⊙ k̃)) v

κ̂ reads S before it decays.  The x⁽ᵗ⁻¹⁾ of the token shift is a register of one input beside S (`Staged`).

μ → `params.mix`, W_r, W_k, W_v → `params.r`, `params.k`, `params.v`, (A_d, B_d, b_d) → `params.decay`, (A_a, B_a, b_a)
→ `params.rate`, ξ, η, ρ → `params.removal`, `params.replacement`, `params.bonus`.  The group norm, the gate and the
sharing of values between layers belong to the block around the cell.

References: Peng et al. 2025, "RWKV-7 Goose with expressive dynamic state evolution", §4.1.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxrnn.core.checks import check_features, check_positive
from jaxrnn.core.initializers import input_weights
from jaxrnn.core.precision import accumulator, add_bias, in_rank, matmul
from jaxrnn.core.types import Key
from jaxrnn.linear.matrix.heads import merge_heads, normalize, split_heads, zero_state
from jaxrnn.linear.matrix_state import Erase, Outer
from jaxrnn.linear.protocol import linear_step
from jaxrnn.linear.stages import Staged, Steps


class LowRank(NamedTuple):
    """b + x A B, with or without a tanh between A and B."""

    down: Float[Array, "input rank"]
    """A."""
    up: Float[Array, "rank keys"]
    """B."""
    b: Float[Array, " keys"]
    """b."""


class RWKV7Params(NamedTuple):
    """Vectors over the keys of all heads, `[heads · K]`, unless stated otherwise.

    >>> RWKV7(input_size=3, heads=2, key_size=4, value_size=5).init(jax.random.key(0))._fields
    ('mix', 'r', 'k', 'v', 'decay', 'rate', 'removal', 'replacement', 'bonus')
    """

    mix: Float[Array, "5 input"]
    """μ for r, d, k, v, a."""
    r: Float[Array, "input keys"]
    """W_rᵀ."""
    k: Float[Array, "input keys"]
    """W_kᵀ."""
    v: Float[Array, "input values"]
    """W_vᵀ: `[input, heads · V]`."""
    decay: LowRank
    """A_d, B_d, b_d."""
    rate: LowRank
    """A_a, B_a, b_a."""
    removal: Float[Array, " keys"]
    """ξ."""
    replacement: Float[Array, " keys"]
    """η."""
    bonus: Float[Array, " keys"]
    """ρ."""


class RWKV7Input(NamedTuple):
    """The result of `lead`: `[..., heads, K]` each, v `[..., heads, V]`."""

    r: Array
    """r."""
    log_d: Array
    """log d."""
    k: Array
    """k̃."""
    v: Array
    """v."""
    removed: Array
    """κ̂."""
    rate: Array
    """a."""


@jax.tree_util.register_static
@dataclass(frozen=True)
class RWKV7:
    """S⁽ᵗ⁾ = diag(d) S⁽ᵗ⁻¹⁾ − (a ⊙ κ̂)(κ̂ᵀ S⁽ᵗ⁻¹⁾) + k̃ vᵀ, y⁽ᵗ⁾ = S⁽ᵗ⁾ᵀ r + (rᵀ (ρ ⊙ k̃)) v, for each head.

    Args:
      input_size: the size of x.
      heads: the number of states; y has the size heads · value_size.
      key_size: K, the size of the keys of a head.
      value_size: V, the size of the values of a head.
      rank: the rank of the two products A B.

    Raises:
      ValueError: a size below 1.

    >>> cell = RWKV7(input_size=3, heads=2, key_size=4, value_size=5)
    >>> params = cell.init(jax.random.key(0))
    >>> carry, y = cell.step(params, cell.initial_carry(params), cell.project(params, jnp.ones(3)))
    >>> carry.first.shape, carry.state.shape, y.shape
    ((1, 3), (2, 4, 5), (10,))

    References: Peng et al. 2025.
    """

    input_size: int
    heads: int
    key_size: int
    value_size: int
    rank: int = 16

    def __post_init__(self):
        check_positive(input_size=self.input_size, heads=self.heads, rank=self.rank)
        check_positive(key_size=self.key_size, value_size=self.value_size)

    def init(self, key: Key) -> RWKV7Params:
        """Draw W and A by Glorot's rule; set B = b_a = ρ = 0, μ = ½, b_d from −6 to −1 over units, ξ = 0.85, η = 1."""
        keys, n = jax.random.split(key, 5), self.heads * self.key_size

        def low_rank(key, b):
            return LowRank(input_weights(key, (self.input_size, self.rank)), jnp.zeros((self.rank, n)), b)

        return RWKV7Params(
            mix=jnp.full((5, self.input_size), 0.5),
            r=input_weights(keys[0], (self.input_size, n)),
            k=input_weights(keys[1], (self.input_size, n)),
            v=input_weights(keys[2], (self.input_size, self.heads * self.value_size)),
            decay=low_rank(keys[3], jnp.tile(jnp.linspace(-6.0, -1.0, self.key_size), self.heads)),
            rate=low_rank(keys[4], jnp.zeros(n)),
            removal=jnp.full(n, 0.85),
            replacement=jnp.ones(n),
            bonus=jnp.zeros(n),
        )

    def initial_carry(self, params: RWKV7Params, batch_shape: tuple[int, ...] = ()) -> Staged:
        """Return S⁽⁰⁾ = 0, `[*batch, heads, K, V]`, and x⁽⁰⁾ = 0, `[*batch, 1, input]`."""
        before = jnp.zeros((*batch_shape, 1, self.input_size), accumulator(params.r.dtype))
        return Staged(before, zero_state(params.r, *batch_shape, self.heads, self.key_size, self.value_size))

    def project(self, params: RWKV7Params, xs: Array) -> Array:
        """Return x⁽ᵗ⁾ unchanged, because all projections read x⁽ᵗ⁻¹⁾ too."""
        check_features("xs", xs, input_size=self.input_size)
        return xs.astype(accumulator(params.r.dtype))

    def lead(self, params: RWKV7Params, first: Array, z: Array, steps: Steps) -> tuple[Array, RWKV7Input]:
        """Compute the token shift and the projections."""
        first, (before, x) = steps.window(first, z)
        x_r, x_d, x_k, x_v, x_a = (x + in_rank(mu, x) * (before - x) for mu in params.mix)
        a = jax.nn.sigmoid(add_bias(matmul(matmul(x_a, params.rate.down), params.rate.up), params.rate.b))
        decay = add_bias(matmul(jnp.tanh(matmul(x_d, params.decay.down)), params.decay.up), params.decay.b)
        k = matmul(x_k, params.k)
        removed = normalize(split_heads(k * in_rank(params.removal, k), self.heads))
        return first, RWKV7Input(
            r=split_heads(matmul(x_r, params.r), self.heads),
            log_d=split_heads(-math.exp(-0.5) * jax.nn.sigmoid(decay), self.heads),
            k=split_heads(k * (1 + (a - 1) * in_rank(params.replacement, a)), self.heads),
            v=split_heads(matmul(x_v, params.v), self.heads),
            removed=removed,
            rate=split_heads(a, self.heads),
        )

    def coefficients(self, params: RWKV7Params, z: RWKV7Input) -> tuple[Erase, Outer]:
        """Return u = κ̂, w = a ⊙ κ̂; the addend is k̃ vᵀ."""
        return Erase(z.log_d, z.removed, z.rate * z.removed), Outer(z.k, z.v)

    def query(self, params: RWKV7Params, z: RWKV7Input) -> Float[Array, "*batch heads key"]:
        """Return r."""
        return z.r

    def answer(self, params: RWKV7Params, r: Float[Array, "*batch heads value"], z: RWKV7Input) -> Array:
        """Return Sᵀ r + (rᵀ (ρ ⊙ k̃)) v, the heads side by side."""
        bonus = jnp.sum(z.r * in_rank(split_heads(params.bonus, self.heads), z.r) * z.k, axis=-1, keepdims=True)
        return merge_heads(r + bonus * z.v)

    step = linear_step
