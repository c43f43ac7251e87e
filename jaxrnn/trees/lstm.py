"""Long short-term memory on trees.

Child-sum, for any number of unordered children:

    h̃ = Σₖ hₖ,      a = b + U x + W h̃                     for the gates i, g, o
    f_k = σ(b_f + U_f x + W_f h_k)                          a forget gate for each child

N-ary, for at most N ordered children:

    a = b + U x + Σₖ Wₖ hₖ                                  for the gates i, g, o
    f_k = σ(b_f + U_f x + Σₗ W_{f,k,l} hₗ)                  which reads every child

and in both

    c = σ(i) ⊙ tanh(g) + Σₖ f_k ⊙ c_k,      h = σ(o) ⊙ tanh(c),      y = h.

A leaf is a node without children.  On a chain, one child a node, both are the `LSTM` of section 7.1.

U, W, b → `params.u`, `params.w`, `params.b`.  The gates are packed i, f, g, o, as in `LSTM`, except in the N-ary W,
where they are i, g, o, f₁, …, f_N, so that nodes with fewer children use the first rows and columns.

References: Tai, Socher & Manning 2015, §3.1 (child-sum) and §3.2 (N-ary); chapter 五 and 7.1; Goodfellow et
al. 2016, §10.6 and §10.10.1.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from jaxrnn.cells.lstm import LSTMCarry, LSTMParams
from jaxrnn.core.arguments import check_key
from jaxrnn.core.checks import check_features, check_positive
from jaxrnn.core.initializers import input_weights, per_gate, recurrent_weights
from jaxrnn.core.precision import accumulator, add_bias, matmul, matmul_transposed, outer_sum
from jaxrnn.core.types import Key


class NaryTreeLSTMParams(NamedTuple):
    """The matrices, transposed, because inputs are row vectors.

    >>> NaryTreeLSTM(input_size=3, hidden_size=5).init(jax.random.key(0)).u.shape
    (3, 20)
    """

    u: Float[Array, "input gates_hidden"]
    """Uᵀ of i, f, g, o: `[input, 4·hidden]`."""
    w: Float[Array, "arity hidden gates_hidden"]
    """Wₖᵀ of i, g, o, f₁, …, f_N: `[N, hidden, (3 + N)·hidden]`."""
    b: Float[Array, " gates_hidden"]
    """b of i, f, g, o: `[4·hidden]`."""


@jax.tree_util.register_static
@dataclass(frozen=True)
class ChildSumTreeLSTM:
    """c = i ⊙ g + Σₖ f_k ⊙ c_k, h = o ⊙ tanh(c), over any number of children.

    Args:
      input_size: the size of x.
      hidden_size: the size of h and of c.

    Raises:
      ValueError: a size below 1.

    >>> cell = ChildSumTreeLSTM(input_size=3, hidden_size=5)
    >>> params = cell.init(jax.random.key(0))
    >>> carry, y = cell.leaf(params, cell.project(params, jnp.ones(3)))
    >>> carry.c.shape
    (5,)

    References: Tai, Socher & Manning 2015, §3.1.
    """

    input_size: int
    hidden_size: int

    def __post_init__(self):
        check_positive(input_size=self.input_size, hidden_size=self.hidden_size)

    @property
    def arity(self) -> None:
        """None, for any number of children."""

    def init(self, key: Key) -> LSTMParams:
        """Draw U by Glorot's uniform rule and W orthogonal, gate by gate; b = 0, but 1 for the forget gates."""
        check_key(key=key)
        n = self.hidden_size
        u_key, w_key = jax.random.split(key)
        u = per_gate(input_weights, u_key, 4, (self.input_size, n))
        w = per_gate(recurrent_weights, w_key, 4, (n, n))
        return LSTMParams(u, w, b=jnp.zeros(4 * n).at[n : 2 * n].set(1))

    def initial_carry(self, params: LSTMParams, batch_shape: tuple[int, ...] = ()) -> LSTMCarry:
        """Return h = c = 0 for a missing child, each `[*batch, hidden]`."""
        return _nothing(self.hidden_size, params, batch_shape)

    def project(self, params: LSTMParams, xs: Array) -> Array:
        """Return b + U x of the four gates for every node: `[..., input]` → `[..., 4·hidden]`."""
        check_features("xs", xs, input_size=self.input_size)
        return add_bias(matmul(xs, params.u), params.b)

    def leaf(self, params: LSTMParams, z: Array) -> tuple[LSTMCarry, Array]:
        """Return c = i ⊙ g and h = o ⊙ tanh(c)."""
        return _leaf(z)

    def step_tree(self, params: LSTMParams, children: LSTMCarry, present: Array, z: Array):
        """Map the states of the children and z to (h, c), with h as the output."""
        return self.step_tree_fwd(params, children, present, z)[0]

    def step_tree_fwd(self, params: LSTMParams, children: LSTMCarry, present: Array, z: Array):
        """Run `step_tree`; the residual holds the activated gates and tanh(c)."""
        others, forget = _apart(params.w)
        zs, zf = _apart(z)
        a = zs + matmul(children.h.sum(-2), others)
        return _combine(a, zf[..., None, :] + matmul(children.h, forget), children.c)

    def step_tree_bwd(self, params: LSTMParams, children: LSTMCarry, present: Array, residual, dcarry, dy):
        """Return the cotangents of the children (through h̃, through f_k and along c) and of the pre-activations."""
        others, forget = _apart(params.w)
        da, daf, dc = _combine_bwd(residual, children.c, dcarry, dy)
        dh = matmul_transposed(da, others)[..., None, :] + matmul_transposed(daf, forget)
        return LSTMCarry(dh, dc), _together(da, daf.sum(-2)), (da, daf)

    def tree_weight_bwd(self, params: LSTMParams, children: LSTMCarry, present: Array, residuals, locals):
        """Return Σ h̃ᵀ ∇a for i, g, o and Σ hₖᵀ ∇a_{f,k} for f; the gradients of U and b come from `project`."""
        others, forget = _apart(params.w)
        da, daf = locals
        dw = _together(outer_sum(children.h.sum(-2), da, others), outer_sum(children.h, daf, forget))
        return LSTMParams(jnp.zeros_like(params.u), dw, jnp.zeros_like(params.b))


@jax.tree_util.register_static
@dataclass(frozen=True)
class NaryTreeLSTM:
    """c = i ⊙ g + Σₖ f_k ⊙ c_k, h = o ⊙ tanh(c), with weights for each position among at most `arity` children.

    Args:
      input_size: the size of x.
      hidden_size: the size of h and of c.
      arity: the largest number of children.

    Raises:
      ValueError: a size below 1.

    >>> NaryTreeLSTM(input_size=3, hidden_size=5).init(jax.random.key(0)).w.shape
    (2, 5, 25)

    References: Tai, Socher & Manning 2015, §3.2.
    """

    input_size: int
    hidden_size: int
    arity: int = 2

    def __post_init__(self):
        check_positive(input_size=self.input_size, hidden_size=self.hidden_size, arity=self.arity)

    def init(self, key: Key) -> NaryTreeLSTMParams:
        """Draw U by Glorot's rule and Wₖ orthogonal, over √arity, gate by gate; b = 0, but 1 for the forget gates."""
        check_key(key=key)
        n = self.hidden_size
        u_key, *w_keys = jax.random.split(key, 1 + self.arity)
        u = per_gate(input_weights, u_key, 4, (self.input_size, n))
        w = jnp.stack([per_gate(recurrent_weights, k, 3 + self.arity, (n, n)) for k in w_keys]) / self.arity**0.5
        return NaryTreeLSTMParams(u, w, b=jnp.zeros(4 * n).at[n : 2 * n].set(1))

    def initial_carry(self, params: NaryTreeLSTMParams, batch_shape: tuple[int, ...] = ()) -> LSTMCarry:
        """Return h = c = 0 for a missing child, each `[*batch, hidden]`."""
        return _nothing(self.hidden_size, params, batch_shape)

    def project(self, params: NaryTreeLSTMParams, xs: Array) -> Array:
        """Return b + U x of the four gates for every node: `[..., input]` → `[..., 4·hidden]`."""
        check_features("xs", xs, input_size=self.input_size)
        return add_bias(matmul(xs, params.u), params.b)

    def leaf(self, params: NaryTreeLSTMParams, z: Array) -> tuple[LSTMCarry, Array]:
        """Return c = i ⊙ g and h = o ⊙ tanh(c)."""
        return _leaf(z)

    def step_tree(self, params: NaryTreeLSTMParams, children: LSTMCarry, present: Array, z: Array):
        """Map the states of the children and z to (h, c), with h as the output."""
        return self.step_tree_fwd(params, children, present, z)[0]

    def step_tree_fwd(self, params: NaryTreeLSTMParams, children: LSTMCarry, present: Array, z: Array):
        """Run `step_tree`; the residual holds the activated gates and tanh(c)."""
        size = self.hidden_size
        a = matmul(_row(children.h), self._weight(params, children.h.shape[-2]))
        zs, zf = _apart(z)
        af = a[..., 3 * size :].reshape(children.c.shape)
        return _combine(zs + a[..., : 3 * size], zf[..., None, :] + af, children.c)

    def step_tree_bwd(self, params: NaryTreeLSTMParams, children: LSTMCarry, present: Array, residual, dcarry, dy):
        """Return the cotangents of the children (through the gates and along c) and of the pre-activations."""
        da, daf, dc = _combine_bwd(residual, children.c, dcarry, dy)
        every = jnp.concatenate([da, _row(daf)], axis=-1)
        dh = matmul_transposed(every, self._weight(params, children.h.shape[-2]))
        return LSTMCarry(dh.reshape(dc.shape), dc), _together(da, daf.sum(-2)), every

    def tree_weight_bwd(self, params: NaryTreeLSTMParams, children: LSTMCarry, present: Array, residuals, locals):
        """Return Σ hₖᵀ ∇a; the gradients of U and b come from `project`."""
        n = children.h.shape[-2]
        dw = outer_sum(_row(children.h), locals, params.w).reshape(n, self.hidden_size, -1)
        dw = jnp.zeros_like(params.w).at[:n, :, : dw.shape[-1]].set(dw)
        return NaryTreeLSTMParams(jnp.zeros_like(params.u), dw, jnp.zeros_like(params.b))

    def _weight(self, params: NaryTreeLSTMParams, n: int) -> Array:
        """Return W for n children: `[n·hidden, (3 + n)·hidden]`."""
        return params.w[:n, :, : (3 + n) * self.hidden_size].reshape(n * self.hidden_size, -1)


def _nothing(size: int, params: Any, batch_shape: tuple[int, ...]) -> LSTMCarry:
    shape, dtype = (*batch_shape, size), accumulator(params.w.dtype)
    return LSTMCarry(jnp.zeros(shape, dtype), jnp.zeros(shape, dtype))


def _row(children: Array) -> Array:
    """Concatenate the children: `[*batch, n, hidden]` → `[*batch, n·hidden]`."""
    return lax.collapse(children, -2)


def _apart(packed: Array) -> tuple[Array, Array]:
    """Split packed i, f, g, o into packed i, g, o and f."""
    i, f, g, o = jnp.split(packed, 4, axis=-1)
    return jnp.concatenate([i, g, o], axis=-1), f


def _together(others: Array, forget: Array) -> Array:
    """Pack i, g, o and f as i, f, g, o."""
    i, g, o = jnp.split(others, 3, axis=-1)
    return jnp.concatenate([i, forget, g, o], axis=-1)


def _leaf(z: Array) -> tuple[LSTMCarry, Array]:
    i, _, g, o = jnp.split(z, 4, axis=-1)
    c = jax.nn.sigmoid(i) * jnp.tanh(g)
    h = jax.nn.sigmoid(o) * jnp.tanh(c)
    return LSTMCarry(h, c), h


def _combine(a: Array, af: Array, c: Array):
    """Map the pre-activations of i, g, o and of f_k, and c_k, to ((h, c), h) and the residual."""
    i, g, o = jnp.split(a, 3, axis=-1)
    i, g, o, f = jax.nn.sigmoid(i), jnp.tanh(g), jax.nn.sigmoid(o), jax.nn.sigmoid(af)
    c = i * g + (f * c).sum(-2)
    tanh_c = jnp.tanh(c)
    h = o * tanh_c
    return (LSTMCarry(h, c), h), (i, g, o, f, tanh_c)


def _combine_bwd(residual, c: Array, dcarry: LSTMCarry, dy: Array) -> tuple[Array, Array, Array]:
    """Return the cotangents of the pre-activations of i, g, o and of f_k, and of c_k."""
    i, g, o, f, tanh_c = residual
    dh = dcarry.h + dy
    dc = dcarry.c + dh * o * (1 - tanh_c**2)
    da = jnp.concatenate([dc * g * i * (1 - i), dc * i * (1 - g**2), dh * tanh_c * o * (1 - o)], axis=-1)
    dc = dc[..., None, :]
    return da, dc * c * f * (1 - f), dc * f
