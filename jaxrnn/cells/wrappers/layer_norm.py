"""Layer normalization of the summed inputs of a recurrent cell.

    LN(a; γ) = γ ⊙ (a − μ)/√(σ² + ε),     μ and σ² the mean and the variance over the units of one row at one t

The plain network (the paper's eq. 4), with h⁽ᵗ⁾ = tanh(LN(U x⁽ᵗ⁾ + W h⁽ᵗ⁻¹⁾; γ) + b); and the gated ones (its
supplementary material), whose two summands are normalized separately:

    LSTM   (i, f, g, o) = LN(W h⁽ᵗ⁻¹⁾; γ_h) + LN(U x⁽ᵗ⁾; γ_x) + b
           C⁽ᵗ⁾ = σ(f) ⊙ C⁽ᵗ⁻¹⁾ + σ(i) ⊙ tanh(g),         h⁽ᵗ⁾ = σ(o) ⊙ tanh(LN(C⁽ᵗ⁾; γ_c) + b_c)
    GRU    (r, z) = LN(W h⁽ᵗ⁻¹⁾; γ_h) + LN(U x⁽ᵗ⁾; γ_x) + b
           n = tanh(LN(Uₙ x⁽ᵗ⁾; γ_x) + b + σ(r) ⊙ (LN(Wₙ h⁽ᵗ⁻¹⁾; γ_h) + bₙ))
           h⁽ᵗ⁾ = σ(z) ⊙ h⁽ᵗ⁻¹⁾ + (1 − σ(z)) ⊙ n

The statistics of an LSTM run over its four gates together, those of a GRU over (r, z) and over n.  The paper's
two biases of the summands are one vector, the cell's b, which is added after the normalization; z in the GRU
keeps the *old* h, as everywhere here.  Training and evaluation are the same: there is no running mean.

γ → `params.gain_x`, `gain_h`, `gain_c`; b_c → `params.bias_c`; U, W, b → `params.cell`.

References: Ba, Kiros & Hinton 2016, §3.1 and the supplementary material; chapter 2.8.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from jaxrnn.cells.elman import ACTIVATIONS, Elman
from jaxrnn.cells.gru import GRU
from jaxrnn.cells.lstm import LSTM, LSTMCarry
from jaxrnn.core.arguments import check_key
from jaxrnn.core.carry_facts import parts_of_cell
from jaxrnn.core.forwarding import forwarded
from jaxrnn.core.local_rules import pullback
from jaxrnn.core.precision import (
    accumulator,
    add_bias,
    in_rank,
    matmul,
    matmul_in_loop,
    matmul_transposed,
    outer_sum,
    row_sum,
)
from jaxrnn.core.types import Carry, Cell, Inputs, Key, Params


class LayerNormParams(NamedTuple):
    """The cell's parameters, and the gains.

    >>> from jaxrnn import LSTM
    >>> LayerNorm(LSTM(2, 3)).init(jax.random.key(0)).gain_h.shape
    (12,)
    """

    cell: Params
    """The cell's own."""
    gain_x: Float[Array, " gates_hidden"]
    """γ of U x (of the sum, in the plain network)."""
    gain_h: PyTree[Float[Array, " gates_hidden"]] = None
    """γ of W h; None in the plain network."""
    gain_c: PyTree[Float[Array, " hidden"]] = None
    """γ of C, in the LSTM."""
    bias_c: PyTree[Float[Array, " hidden"]] = None
    """b_c, in the LSTM."""


class LayerNormResidual(NamedTuple):
    """The record of a step for its backward."""

    carry: Carry
    """The carry before the step."""
    z: Inputs
    """The projected input."""
    products: list[Array]
    """W h⁽ᵗ⁻¹⁾: of all gates together, or of each gate of a GRU."""


class LayerNormLocals(NamedTuple):
    """The share of a step in the sums over t."""

    dproducts: list[Array]
    """∇ of the products."""
    dvectors: LayerNormParams
    """∇ of the gains and biases, summed over the rows; None for U and W."""


@jax.tree_util.register_static
@dataclass(frozen=True)
class LayerNorm:
    """A cell with normalized summed inputs.

    Args:
      cell: an `Elman`, an `LSTM` without peepholes, or a `GRU(..., reset="after")`.

    Raises:
      TypeError: another cell.
      ValueError: peepholes, or a reset before the product: the paper has no equations for them.

    >>> from jaxrnn import unroll
    >>> cell = LayerNorm(LSTM(input_size=3, hidden_size=5))
    >>> params = cell.init(jax.random.key(0))
    >>> carry, ys = unroll(cell, params, jnp.ones((7, 2, 3)))
    >>> ys.shape
    (7, 2, 5)

    References: Ba, Kiros & Hinton 2016.
    """

    cell: Elman | LSTM | GRU

    def __post_init__(self):
        match self.cell:
            case Elman() | LSTM(peephole=None) | GRU(reset="after"):
                return
            case LSTM():
                raise ValueError(f"`cell` must be an LSTM without peepholes, got {self.cell}.")
            case GRU():
                raise ValueError(f'`cell` must be a GRU with reset="after", the form of the paper, got {self.cell}.')
        raise TypeError(
            f"`cell` must be an Elman, an LSTM or a GRU, got {self.cell!r}. If there is one inside it, wrap that one."
        )

    def init(self, key: Key) -> LayerNormParams:
        """Draw the parameters of the cell, with every γ = 1 and b_c = 0."""
        check_key(key=key)
        params = self.cell.init(key)
        gain, n = jnp.ones_like(params.b), self.cell.hidden_size
        match self.cell:
            case Elman():
                return LayerNormParams(params, gain)
            case LSTM():
                return LayerNormParams(params, gain, jnp.ones_like(gain), jnp.ones(n), jnp.zeros(n))
        return LayerNormParams(params, gain, jnp.ones_like(gain))

    initial_carry = forwarded(Cell.initial_carry, params="cell")
    carry_parts = parts_of_cell

    def project(self, params: LayerNormParams, xs: Array) -> Inputs:
        """Return LN(U x⁽ᵗ⁾; γ_x) + b for every t, or U x⁽ᵗ⁾ of `Elman`, whose step normalizes the sum."""
        without_b = params.cell._replace(b=jnp.zeros_like(params.cell.b))
        match self.cell:
            case Elman():
                return self.cell.project(without_b, xs)
            case LSTM():
                return add_bias(normalize(self.cell.project(without_b, xs), params.gain_x), params.cell.b)
        gates = _normalize_gates(self.cell.project(without_b, xs), params.gain_x)
        return tuple(add_bias(a, b) for a, b in zip(gates, jnp.split(params.cell.b, 3), strict=True))

    def step(self, params: LayerNormParams, carry: Carry, z: Inputs) -> tuple[Carry, Array]:
        """Run one step of the equations above."""
        return self._after_products(_vectors(params), carry, z, self._products(matmul, params, carry))

    def step_fwd(self, params: LayerNormParams, carry: Carry, z: Inputs):
        """Run the step; the residual is its input and its products."""
        products = self._products(matmul_in_loop, params, carry)
        return self._after_products(_vectors(params), carry, z, products), LayerNormResidual(carry, z, products)

    def step_bwd(self, params: LayerNormParams, residual: LayerNormResidual, dcarry: Carry, dy: Array):
        """Differentiate everything after the products by `jax.vjp`, and the products by hand."""
        _, back = pullback(self._after_products, _vectors(params), *residual)
        dvectors, dcarry, dz, dproducts = back((dcarry, dy))
        pairs = zip(dproducts, self._weights(params), strict=True)
        dh = sum(matmul_transposed(*pair) for pair in pairs)
        dcarry = dcarry._replace(h=dcarry.h + dh) if isinstance(self.cell, LSTM) else dcarry + dh
        return dcarry, dz, LayerNormLocals(dproducts, dvectors)

    def weight_bwd(
        self, params: LayerNormParams, residuals: LayerNormResidual, locals: LayerNormLocals
    ) -> LayerNormParams:
        """Apply the sums of 2.2.3 for W, the gains and the biases; that of U comes from `project`."""
        triples = zip(locals.dproducts, self._weights(params), strict=True)
        dw = [outer_sum(self._h(residuals.carry), dproduct, w) for dproduct, w in triples]
        sums = jax.tree.map(row_sum, locals.dvectors, _vectors(params))
        cell = sums.cell._replace(u=jnp.zeros_like(params.cell.u), w=jnp.concatenate(dw, axis=-1))
        return sums._replace(cell=cell)

    def _h(self, carry: Carry) -> Array:
        return carry.h if isinstance(self.cell, LSTM) else carry

    def _weights(self, params: LayerNormParams) -> list[Array]:
        """Return W, in the parts whose products are normalized apart."""
        return jnp.split(params.cell.w, 3, axis=-1) if isinstance(self.cell, GRU) else [params.cell.w]

    def _products(self, matmul: Callable, params: LayerNormParams, carry: Carry) -> list[Array]:
        return [matmul(self._h(carry), w) for w in self._weights(params)]

    def _after_products(self, vectors: LayerNormParams, carry: Carry, z: Inputs, products: list[Array]):
        match self.cell:
            case Elman():
                return _elman(self.cell, vectors, z, products[0])
            case LSTM():
                return _lstm(vectors, carry, z + normalize(products[0], vectors.gain_h))
        return _gru(vectors, carry, z, _normalize_gates(products, vectors.gain_h))


def _vectors(params: LayerNormParams) -> LayerNormParams:
    """Return the parameters without U and W."""
    return params._replace(cell=params.cell._replace(u=None, w=None))


def normalize(a: Float[Array, "*leading n"], gain: Float[Array, " n"]) -> Float[Array, "*leading n"]:
    """Return γ ⊙ (a − μ)/√(σ² + ε), ε = 1e-5, over the last axis, at least in float32.

    >>> normalize(jnp.array([1.0, 3.0]), jnp.ones(2)).round(3)
    Array([-1.,  1.], dtype=float32)
    """
    (normalized,) = _normalize_together([a], [gain])
    return normalized


def _normalize_together(parts: Sequence[Array], gains: Sequence[Array]) -> list[Array]:
    """Normalize the parts as if they were concatenated: μ and σ² are over the units of all of them."""
    parts = [a.astype(accumulator(a.dtype)) for a in parts]
    units = sum(a.shape[-1] for a in parts)
    mean = sum(jnp.sum(a, axis=-1, keepdims=True) for a in parts) / units
    centered = [a - mean for a in parts]
    variance = sum(jnp.sum(a**2, axis=-1, keepdims=True) for a in centered) / units
    return [in_rank(gain, a) * (a * jax.lax.rsqrt(variance + 1e-5)) for a, gain in zip(centered, gains, strict=True)]


def _normalize_gates(gates: Sequence[Array], gain: Array) -> list[Array]:
    """Normalize a GRU's r and z together and its n alone, each with its part of γ."""
    *both, candidate = jnp.split(gain, 3)
    return [*_normalize_together(gates[:2], both), normalize(gates[2], candidate)]


def _elman(cell: Elman, params: LayerNormParams, z: Array, product: Array) -> tuple[Array, Array]:
    a = add_bias(normalize(z + product, params.gain_x), params.cell.b)
    f, _ = ACTIVATIONS[cell.activation]
    h = f(a)
    return h, h


def _lstm(params: LayerNormParams, carry: LSTMCarry, a: Array) -> tuple[LSTMCarry, Array]:
    i, f, g, o = jnp.split(a, 4, axis=-1)
    c = jax.nn.sigmoid(f) * carry.c + jax.nn.sigmoid(i) * jnp.tanh(g)
    h = jax.nn.sigmoid(o) * jnp.tanh(add_bias(normalize(c, params.gain_c), params.bias_c))
    return LSTMCarry(h, c), h


def _gru(params: LayerNormParams, h: Array, z: Sequence[Array], a: Sequence[Array]) -> tuple[Array, Array]:
    (zr, zk, zn), (ar, ak, an) = z, a
    r, keep = jax.nn.sigmoid(zr + ar), jax.nn.sigmoid(zk + ak)
    n = jnp.tanh(zn + r * add_bias(an, params.cell.b_n))
    h = keep * h + (1 - keep) * n
    return h, h
