"""Long short-term memory: chapter 7.1.

    f⁽ᵗ⁾ = σ(bᶠ + Uᶠ x⁽ᵗ⁾ + Wᶠ h⁽ᵗ⁻¹⁾)                 forget gate, 7.1.1
    g⁽ᵗ⁾ = σ(bᵍ + Uᵍ x⁽ᵗ⁾ + Wᵍ h⁽ᵗ⁻¹⁾)                 input gate, 7.1.2
    q⁽ᵗ⁾ = σ(bᵒ + Uᵒ x⁽ᵗ⁾ + Wᵒ h⁽ᵗ⁻¹⁾)                 output gate, 7.1.3
    C⁽ᵗ⁾ = f⁽ᵗ⁾ ⊙ C⁽ᵗ⁻¹⁾ + g⁽ᵗ⁾ ⊙ tanh(b + U x⁽ᵗ⁾ + W h⁽ᵗ⁻¹⁾)
    h⁽ᵗ⁾ = q⁽ᵗ⁾ ⊙ tanh(C⁽ᵗ⁾),                          y⁽ᵗ⁾ = h⁽ᵗ⁾

The code uses the letters of the field for the gates, packed in this order along the last axis: the
chapter's g → `i` (input gate), f → `f`, tanh(…) → `g` (the candidate), q → `o`; C → `c`.

With peepholes (7.1.3, item 5) the gates read the cell state too, through a diagonal weight p each:
`peephole="previous"` is the chapter's, every gate reads C⁽ᵗ⁻¹⁾; in `"current"` the output gate reads
C⁽ᵗ⁾, as in Gers, Schraudolph & Schmidhuber 2002 and ONNX.  The biases are the gates' own.

All four activations are one tanh over the packed block, σ(a) = (1 + tanh(a/2))/2: a quarter of the
calls into the vector library, the same numbers.

References: Hochreiter & Schmidhuber 1997; Gers, Schmidhuber & Cummins 2000 (forget gate);
Gers, Schraudolph & Schmidhuber 2002, §3 (peepholes).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxrnn.core.arguments import check_key
from jaxrnn.core.carry_facts import h_is_output
from jaxrnn.core.checks import check_choice, check_features, check_positive
from jaxrnn.core.initializers import input_weights, per_gate, recurrent_weights
from jaxrnn.core.precision import accumulator, add_bias, matmul, matmul_in_loop, matmul_transposed, outer_sum, row_sum
from jaxrnn.core.types import Key


class LSTMParams(NamedTuple):
    """The chapter's matrices, transposed, with the gates packed as i, f, g, o.

    >>> LSTM(2, 3).init(jax.random.key(0)).u.shape
    (2, 12)
    """

    u: Float[Array, "input gates_hidden"]
    """(Uᵍ, Uᶠ, U, Uᵒ)ᵀ: `[input, 4·hidden]`."""
    w: Float[Array, "hidden gates_hidden"]
    """(Wᵍ, Wᶠ, W, Wᵒ)ᵀ: `[hidden, 4·hidden]`."""
    b: Float[Array, " gates_hidden"]
    """(bᵍ, bᶠ, b, bᵒ): `[4·hidden]`."""
    peephole: Float[Array, "3 hidden"] | None = None
    """The diagonal weights of C for i, f, o; None where the cell has no peepholes."""


class LSTMCarry(NamedTuple):
    """The two states that go from one step to the next.

    >>> cell = LSTM(2, 3)
    >>> cell.initial_carry(cell.init(jax.random.key(0)), (4,)).c.shape
    (4, 3)
    """

    h: Float[Array, "*batch hidden"]
    """h⁽ᵗ⁾, the output."""
    c: Float[Array, "*batch hidden"]
    """C⁽ᵗ⁾, the cell state."""


class LSTMResidual(NamedTuple):
    """The record of a step for its backward."""

    h: Float[Array, "*batch hidden"]
    """h⁽ᵗ⁻¹⁾."""
    c: Float[Array, "*batch hidden"]
    """C⁽ᵗ⁻¹⁾."""
    gates: tuple[Array, ...]
    """i, f, g, o; apart, because a loop over one packed array is not vectorized."""


class LSTMLocals(NamedTuple):
    """The share of a step in the sums over t."""

    da: Float[Array, "*batch gates_hidden"]
    """∇ of the pre-activations of i, f, g, o."""


@jax.tree_util.register_static
@dataclass(frozen=True)
class LSTM:
    """h⁽ᵗ⁾ = o ⊙ tanh(C⁽ᵗ⁾), C⁽ᵗ⁾ = f ⊙ C⁽ᵗ⁻¹⁾ + i ⊙ g.

    Args:
      input_size: the size of x.
      hidden_size: the size of h and of C.
      peephole: None; "previous", the gates read C⁽ᵗ⁻¹⁾; "current", the output gate reads C⁽ᵗ⁾.

    Raises:
      ValueError: a size below 1, or an unknown peephole.

    >>> cell = LSTM(input_size=3, hidden_size=5)
    >>> params = cell.init(jax.random.key(0))
    >>> carry, y = cell.step(params, cell.initial_carry(params), cell.project(params, jnp.ones(3)))
    >>> carry.c.shape
    (5,)

    References: Hochreiter & Schmidhuber 1997; chapter 7.1.
    """

    input_size: int
    hidden_size: int
    peephole: str | None = None

    def __post_init__(self):
        check_positive(input_size=self.input_size, hidden_size=self.hidden_size)
        check_choice("peephole", self.peephole, (None, "previous", "current"))

    def init(self, key: Key) -> LSTMParams:
        """Draw U by Glorot's uniform rule and W orthogonal, gate by gate; b = 0, but 1 for the forget gate."""
        check_key(key=key)
        n = self.hidden_size
        u_key, w_key, p_key = jax.random.split(key, 3)
        u = per_gate(input_weights, u_key, 4, (self.input_size, n))
        w = per_gate(recurrent_weights, w_key, 4, (n, n))
        b = jnp.zeros(4 * n).at[n : 2 * n].set(1)
        peephole = None if self.peephole is None else jax.random.normal(p_key, (3, n)) / jnp.sqrt(n)
        return LSTMParams(u, w, b, peephole)

    def initial_carry(self, params: LSTMParams, batch_shape: tuple[int, ...] = ()) -> LSTMCarry:
        """Return h⁽⁰⁾ = C⁽⁰⁾ = 0, each `[*batch, hidden]`."""
        shape, dtype = (*batch_shape, self.hidden_size), accumulator(params.w.dtype)
        return LSTMCarry(jnp.zeros(shape, dtype), jnp.zeros(shape, dtype))

    carry_parts = h_is_output

    def project(self, params: LSTMParams, xs: Array) -> Array:
        """Return b + U x⁽ᵗ⁾ of the four gates: `[..., input]` → `[..., 4·hidden]`."""
        check_features("xs", xs, input_size=self.input_size)
        return add_bias(matmul(xs, params.u), params.b)

    def step(self, params: LSTMParams, carry: LSTMCarry, z: Array) -> tuple[LSTMCarry, Array]:
        """Return the new (h, C), and h as the output."""
        out, _ = self._step(matmul, params, carry, z)
        return out

    def step_fwd(self, params: LSTMParams, carry: LSTMCarry, z: Array):
        """Run the step and return it with its residual."""
        return self._step(matmul_in_loop, params, carry, z)

    def _step(self, matmul: Callable, params: LSTMParams, carry: LSTMCarry, z: Array):
        (h, c), p = carry, _peepholes(params, carry.c)
        a = z + matmul(h, params.w)
        if p is not None:
            a = a + self._read(p, c)
        i, f, g, o = _gates(a)
        c = f * c + i * g
        if p is not None and self.peephole == "current":  # the one gate that has to wait for C⁽ᵗ⁾
            o = jax.nn.sigmoid(jnp.split(a, 4, axis=-1)[3] + p[2] * c)
        h = o * jnp.tanh(c)
        return (LSTMCarry(h, c), h), LSTMResidual(h=carry.h, c=carry.c, gates=(i, f, g, o))

    def step_bwd(self, params: LSTMParams, residual: LSTMResidual, dcarry: LSTMCarry, dy: Array):
        """Apply the recursion of 2.2.2 for the four gates.

        It maps (∇h⁽ᵗ⁾, ∇C⁽ᵗ⁾) to (∇h⁽ᵗ⁻¹⁾, ∇C⁽ᵗ⁻¹⁾) and the gradient of the pre-activations a.
        """
        p, c, (i, f, g, o) = _peepholes(params, residual.c), residual.c, residual.gates
        tanh_c = jnp.tanh(f * c + i * g)
        dh = dcarry.h + dy
        da_o = dh * tanh_c * o * (1 - o)
        dc = dcarry.c + dh * o * (1 - tanh_c**2)
        if p is not None and self.peephole == "current":
            dc = dc + da_o * p[2]
        da_i, da_f, da_g = dc * g * i * (1 - i), dc * c * f * (1 - f), dc * i * (1 - g**2)
        da = jnp.concatenate([da_i, da_f, da_g, da_o], axis=-1)
        dc = dc * f
        if p is not None:
            dc = dc + da_i * p[0] + da_f * p[1]
        if p is not None and self.peephole == "previous":
            dc = dc + da_o * p[2]
        return LSTMCarry(matmul_transposed(da, params.w), dc), da, LSTMLocals(da)

    def weight_bwd(self, params: LSTMParams, residuals: LSTMResidual, locals: LSTMLocals) -> LSTMParams:
        """Apply the sums of 2.2.3: the sums over t for W and the peepholes.

        The gradients of U and b come from `project`.
        """
        h, da, p = residuals.h, locals.da, params.peephole
        dpeephole = None
        if p is not None:
            c, (i, f, g, _) = residuals.c, residuals.gates
            da_i, da_f, _, da_o = jnp.split(da, 4, axis=-1)
            read_by_o = c if self.peephole == "previous" else f * c + i * g
            products = (da_i * c, da_f * c, da_o * read_by_o)
            dpeephole = jnp.stack([row_sum(d, like) for d, like in zip(products, p, strict=True)])
        dw = outer_sum(h, da, params.w)
        return LSTMParams(jnp.zeros_like(params.u), dw, jnp.zeros_like(params.b), dpeephole)

    def _read(self, p: Array, c: Array) -> Array:
        """Return what the gates read of C⁽ᵗ⁻¹⁾ through the peepholes, in the packed layout."""
        none = jnp.zeros_like(c)
        return jnp.concatenate([p[0] * c, p[1] * c, none, p[2] * c if self.peephole == "previous" else none], axis=-1)


def _peepholes(params: LSTMParams, c: Array) -> Array | None:
    """Return the diagonal weights, each in the rank of C: `[3, ..., hidden]`."""
    return None if params.peephole is None else jnp.expand_dims(params.peephole, tuple(range(1, c.ndim)))


_K, _M, _N = (0.5, 0.5, 1.0, 0.5), (0.5, 0.5, 1.0, 0.5), (0.5, 0.5, 0.0, 0.5)
"""m · tanh(k · a) + n is σ(a) for i, f and o, and tanh(a) for g."""


def _gates(a: Array) -> tuple[Array, ...]:
    """Return (i, f, g, o) of the packed pre-activations, computed by one tanh over all of them."""
    table = np.repeat(np.array([_K, _M, _N], a.dtype), a.shape[-1] // 4, axis=-1)
    k, m, n = table.reshape(3, *[1] * (a.ndim - 1), -1)  # of one rank: `jax_numpy_rank_promotion="raise"` permits it
    return tuple(jnp.split(m * jnp.tanh(k * a) + n, 4, axis=-1))
