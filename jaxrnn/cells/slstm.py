"""The sLSTM: an LSTM with exponential gates, a normalizer, and memory that mixes within heads.

    z, i, f, o = U x⁽ᵗ⁾ + R h⁽ᵗ⁻¹⁾ + b                      R block-diagonal over the heads
    m⁽ᵗ⁾ = max(log σ(f) + m⁽ᵗ⁻¹⁾, i)                       stabilizer; i where n⁽ᵗ⁻¹⁾ = 0
    i′ = exp(i − m⁽ᵗ⁾),   f′ = exp(log σ(f) + m⁽ᵗ⁻¹⁾ − m⁽ᵗ⁾)
    c⁽ᵗ⁾ = f′ ⊙ c⁽ᵗ⁻¹⁾ + i′ ⊙ tanh(z)
    n⁽ᵗ⁾ = f′ ⊙ n⁽ᵗ⁻¹⁾ + i′
    h⁽ᵗ⁾ = σ(o) ⊙ c⁽ᵗ⁾/n⁽ᵗ⁾,                y⁽ᵗ⁾ = h⁽ᵗ⁾

c/n is a weighted mean of all tanh(z⁽ˢ⁾), with weights that an exponential gate may revise later.  m cancels in it.
Whether n is 0 is asked of every element, so that each row and each unit starts by itself.  i′ and f′ are at most 1.

Uᵀ → `params.u`, Rᵀ → `params.r`, one block a head, b → `params.b`; the gates in the order i, f, g, o, where g is z.

References: Beck et al. 2024, "xLSTM: extended long short-term memory", §2.2 and appendix A.2.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxrnn.core.carry_facts import h_is_output
from jaxrnn.core.checks import check_divides, check_features, check_positive
from jaxrnn.core.initializers import input_weights, per_gate
from jaxrnn.core.precision import accumulator, add_bias, matmul, matmul_in_loop, matmul_transposed, outer_sum
from jaxrnn.core.types import Key


class SLSTMParams(NamedTuple):
    """The gates i, f, g, o side by side.

    >>> SLSTM(input_size=3, hidden_size=6, heads=2).init(jax.random.key(0))._fields
    ('u', 'r', 'b')
    """

    u: Float[Array, "input gates_hidden"]
    """Uᵀ: `[input, 4·hidden]`."""
    r: Float[Array, "heads head gates_head"]
    """Rᵀ of each head: `[heads, hidden/heads, 4·hidden/heads]`."""
    b: Float[Array, " gates_hidden"]
    """b: `[4·hidden]`."""


class SLSTMCarry(NamedTuple):
    """The four states.

    >>> cell = SLSTM(input_size=3, hidden_size=6, heads=2)
    >>> cell.initial_carry(cell.init(jax.random.key(0)))._fields
    ('h', 'c', 'n', 'm')
    """

    h: Float[Array, "*batch hidden"]
    """h⁽ᵗ⁾, the output."""
    c: Float[Array, "*batch hidden"]
    """c⁽ᵗ⁾ e^{−m}."""
    n: Float[Array, "*batch hidden"]
    """n⁽ᵗ⁾ e^{−m}."""
    m: Float[Array, "*batch hidden"]
    """m⁽ᵗ⁾."""


class SLSTMResidual(NamedTuple):
    """The record of a step for its backward."""

    before: SLSTMCarry
    """The states before the step."""
    i: Float[Array, "*batch hidden"]
    """i′."""
    f: Float[Array, "*batch hidden"]
    """f′."""
    g: Float[Array, "*batch hidden"]
    """tanh(z)."""
    o: Float[Array, "*batch hidden"]
    """σ(o)."""
    slope: Float[Array, "*batch hidden"]
    """∂ log σ(f)/∂f = σ(−f)."""
    input_wins: Float[Array, "*batch hidden"]
    """∂m⁽ᵗ⁾/∂i: 1 where m⁽ᵗ⁾ = i, 0 where it is the other value, ½ where both are equal."""


class SLSTMLocals(NamedTuple):
    """The share of a step in the sums over t."""

    da: Float[Array, "*batch gates_hidden"]
    """∇ of the pre-activations of the four gates: `[*batch, 4·hidden]`."""


@jax.tree_util.register_static
@dataclass(frozen=True)
class SLSTM:
    """h⁽ᵗ⁾ = σ(o) ⊙ c⁽ᵗ⁾/n⁽ᵗ⁾, with exponential input gates.

    Args:
      input_size: the size of x.
      hidden_size: the size of h.
      heads: the number of diagonal blocks of R, a divisor of `hidden_size`.

    Raises:
      ValueError: a size below 1, or heads that do not divide `hidden_size`.

    >>> cell = SLSTM(input_size=3, hidden_size=6, heads=2)
    >>> params = cell.init(jax.random.key(0))
    >>> carry, y = cell.step(params, cell.initial_carry(params), cell.project(params, jnp.ones(3)))
    >>> carry.c.shape
    (6,)

    References: Beck et al. 2024.
    """

    input_size: int
    hidden_size: int
    heads: int = 1

    def __post_init__(self):
        check_positive(input_size=self.input_size, hidden_size=self.hidden_size, heads=self.heads)
        check_divides("heads", self.heads, hidden_size=self.hidden_size)

    def init(self, key: Key) -> SLSTMParams:
        """Draw U by Glorot's rule; R = 0; b = 0 except that of f, which grows from −5 to 7 over the units of each head.

        Channel j of d in head k of B has 12 (j/(d − 1))^{0.3 + 1.3 k/(B − 1)} − 5.
        """
        n, head = self.hidden_size, self.hidden_size // self.heads
        channel = np.arange(head) / max(head - 1, 1)
        power = 0.3 + 1.3 * np.arange(self.heads) / max(self.heads - 1, 1)
        forget = 12 * channel ** power[:, None] - 5
        return SLSTMParams(
            u=per_gate(input_weights, key, 4, (self.input_size, n)),
            r=jnp.zeros((self.heads, head, 4 * head)),
            b=jnp.zeros(4 * n).at[n : 2 * n].set(forget.ravel()),
        )

    def initial_carry(self, params: SLSTMParams, batch_shape: tuple[int, ...] = ()) -> SLSTMCarry:
        """Return all states as 0, each `[*batch, hidden]`."""
        shape, dtype = (*batch_shape, self.hidden_size), accumulator(params.u.dtype)
        return SLSTMCarry(*(jnp.zeros(shape, dtype) for _ in SLSTMCarry._fields))

    carry_parts = h_is_output

    def project(self, params: SLSTMParams, xs: Array) -> Array:
        """Return U x⁽ᵗ⁾ + b of the four gates: `[..., input]` → `[..., 4·hidden]`."""
        check_features("xs", xs, input_size=self.input_size)
        return add_bias(matmul(xs, params.u), params.b)

    def step(self, params: SLSTMParams, carry: SLSTMCarry, z: Array) -> tuple[SLSTMCarry, Array]:
        """Return the new states, and h⁽ᵗ⁾ as the output."""
        return self._step(matmul, params, carry, z)[0]

    def step_fwd(self, params: SLSTMParams, carry: SLSTMCarry, z: Array):
        """Run the step and return it with its residual."""
        return self._step(matmul_in_loop, params, carry, z)

    def _step(self, matmul: Callable, params: SLSTMParams, carry: SLSTMCarry, z: Array):
        i, f, g, o = jnp.split(z + self._mixed(matmul, carry.h, params.r), 4, axis=-1)
        fresh, kept = carry.n == 0, jax.nn.log_sigmoid(f) + carry.m
        m = jnp.where(fresh, i, jnp.maximum(kept, i))
        input_wins = jnp.where(fresh, 1, 0.5 + 0.5 * jnp.sign(i - kept))
        i = jnp.exp(i - m)
        new_f = jnp.exp(jnp.where(fresh, 0, kept - m))  # c and n are 0 there, whatever f is
        g, o = jnp.tanh(g), jax.nn.sigmoid(o)
        c, n = new_f * carry.c + i * g, new_f * carry.n + i
        h = o * c / n
        return (SLSTMCarry(h, c, n, m), h), SLSTMResidual(carry, i, new_f, g, o, jax.nn.sigmoid(-f), input_wins)

    def step_bwd(self, params: SLSTMParams, residual: SLSTMResidual, dcarry: SLSTMCarry, dy: Array):
        """Apply the recursion of 2.2.2 for the four states, and return ∇ of the pre-activations."""
        (_, c, n, _), i, f, g, o, slope, input_wins = residual
        new_c, new_n = f * c + i * g, f * n + i
        dh = dcarry.h + dy
        dc = dcarry.c + dh * o / new_n
        dn = dcarry.n - dh * o * new_c / new_n**2
        through_i = (dc * g + dn) * i
        through_f = jnp.where(n == 0, 0, (dc * c + dn * n) * f)
        dm = dcarry.m - through_i - through_f
        dkept = through_f + dm * (1 - input_wins)
        do = dh * new_c / new_n * o * (1 - o)
        da = jnp.concatenate([through_i + dm * input_wins, dkept * slope, dc * i * (1 - g**2), do], axis=-1)
        before = SLSTMCarry(self._mixed_back(da, params.r), dc * f, dn * f, dkept)
        return before, da, SLSTMLocals(da)

    def weight_bwd(self, params: SLSTMParams, residuals: SLSTMResidual, locals: SLSTMLocals) -> SLSTMParams:
        """Apply the sums of 2.2.3 for R; those of U and b come from `project`."""
        n, heads = self.hidden_size, self.heads
        head = n // heads
        dense = outer_sum(residuals.before.h, locals.da, jnp.zeros((n, 4 * n), params.r.dtype))
        blocks = jnp.einsum("higho->higo", dense.reshape(heads, head, 4, heads, head))  # those on the diagonal
        return SLSTMParams(jnp.zeros_like(params.u), blocks.reshape(params.r.shape), jnp.zeros_like(params.b))

    def _mixed(self, matmul: Callable, h: Array, r: Array) -> Array:
        """Return R h of the four gates, `[*batch, 4·hidden]`: one product for each head."""
        products = [matmul(of_head, block) for of_head, block in zip(self._of_heads(h, 1), r, strict=True)]
        return self._from_heads(products, 4)

    def _mixed_back(self, da: Array, r: Array) -> Array:
        """Return Rᵀ ∇a, `[*batch, hidden]`."""
        pairs = zip(self._of_heads(da, 4), r, strict=True)
        return jnp.concatenate([matmul_transposed(of_head, block) for of_head, block in pairs], axis=-1)

    def _of_heads(self, values: Array, gates: int) -> list[Array]:
        """Split `[..., gates·hidden]` into one array `[..., gates·head]` for each head."""
        apart = [jnp.split(gate, self.heads, axis=-1) for gate in jnp.split(values, gates, axis=-1)]
        return [jnp.concatenate(of_head, axis=-1) for of_head in zip(*apart, strict=True)]

    def _from_heads(self, values: list[Array], gates: int) -> Array:
        """Undo `_of_heads`."""
        apart = [jnp.split(of_head, gates, axis=-1) for of_head in values]
        return jnp.concatenate([part for gate in zip(*apart, strict=True) for part in gate], axis=-1)
