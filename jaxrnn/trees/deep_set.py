"""A recursive network that composes the children of a node as a set.

    a_k = relu(b₁ + U₁ x + W₁ h_k)                          for each child k
    r   = relu(b₂ + U₂ x + W₂ Σₖ a_k)
    h   = γ ⊙ LN(W₃ r) + β,        y = h

with LN(v) = (v − μ)/√(σ² + ε) over the units of one node.  A leaf is a node without children, Σₖ a_k = 0.

A sum of features of the elements, followed by a network, can represent any continuous function of a set: the node can
count its children by value, whatever their order and number.  Layer normalization gives the states of inner nodes the
scale of those of leaves, so a composition that was learned at one height applies at any other.

U₁ U₂, W₁, W₂, W₃, b₁ b₂, γ, β → `params.u`, `.from_child`, `.from_set`, `.to_state`, `.b`, `.gain`, `.bias`.

References: Zaheer, Kottur, Ravanbakhsh, Poczos, Salakhutdinov & Smola 2017, "Deep Sets", §2 and §3.1 (the set); Ba,
Kiros & Hinton 2016 (the normalization); Goller & Küchler 1996 (the recursion); chapter 五; Goodfellow et al. 2016,
§10.6.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxrnn.core.arguments import check_key
from jaxrnn.core.checks import check_features, check_positive
from jaxrnn.core.initializers import input_weights
from jaxrnn.core.precision import accumulator, add_bias, in_rank, matmul, matmul_transposed, outer_sum, row_sum
from jaxrnn.core.types import Key

EPSILON = 1e-5
"""ε of the normalization."""


class TreeDeepSetParams(NamedTuple):
    """The matrices, transposed, because inputs are row vectors.

    >>> TreeDeepSet(input_size=3, hidden_size=5, inner_size=8).init(jax.random.key(0)).u.shape
    (3, 16)
    """

    u: Float[Array, "input twice_inner"]
    """U₁ᵀ and U₂ᵀ side by side: `[input, 2·inner]`."""
    from_child: Float[Array, "hidden inner"]
    """W₁ᵀ."""
    from_set: Float[Array, "inner inner"]
    """W₂ᵀ."""
    to_state: Float[Array, "inner hidden"]
    """W₃ᵀ."""
    b: Float[Array, " twice_inner"]
    """b₁ and b₂."""
    gain: Float[Array, " hidden"]
    """γ."""
    bias: Float[Array, " hidden"]
    """β."""


class _Residual(NamedTuple):
    """The values that the backward pass reads."""

    a: Array
    """a_k, 0 for a missing child: `[*batch, n, inner]`."""
    r: Array
    """r: `[*batch, inner]`."""
    normal: Array
    """LN(W₃ r): `[*batch, hidden]`."""
    scale: Array
    """1/√(σ² + ε): `[*batch, 1]`."""


@jax.tree_util.register_static
@dataclass(frozen=True)
class TreeDeepSet:
    """h = LN(W₃ relu(b₂ + U₂ x + W₂ Σₖ relu(b₁ + U₁ x + W₁ h_k))), over any number of children.

    Args:
      input_size: the size of x.
      hidden_size: the size of h.
      inner_size: the size of both hidden layers.

    Raises:
      ValueError: a size below 1.

    >>> cell = TreeDeepSet(input_size=3, hidden_size=5, inner_size=8)
    >>> params = cell.init(jax.random.key(0))
    >>> h, y = cell.leaf(params, cell.project(params, jnp.ones(3)))
    >>> h.shape
    (5,)

    References: Zaheer et al. 2017.
    """

    input_size: int
    hidden_size: int
    inner_size: int

    def __post_init__(self):
        check_positive(input_size=self.input_size, hidden_size=self.hidden_size, inner_size=self.inner_size)

    @property
    def arity(self) -> None:
        """None, for any number of children."""

    def init(self, key: Key) -> TreeDeepSetParams:
        """Draw every matrix by Glorot's uniform rule; b = β = 0 and γ = 1."""
        check_key(key=key)
        keys = jax.random.split(key, 5)
        n, inner = self.hidden_size, self.inner_size
        return TreeDeepSetParams(
            u=jnp.concatenate([input_weights(k, (self.input_size, inner)) for k in keys[:2]], axis=1),
            from_child=input_weights(keys[2], (n, inner)),
            from_set=input_weights(keys[3], (inner, inner)),
            to_state=input_weights(keys[4], (inner, n)),
            b=jnp.zeros(2 * inner),
            gain=jnp.ones(n),
            bias=jnp.zeros(n),
        )

    def initial_carry(self, params: TreeDeepSetParams, batch_shape: tuple[int, ...] = ()) -> Array:
        """Return h = 0 for a missing child, `[*batch, hidden]`; it is not counted."""
        return jnp.zeros((*batch_shape, self.hidden_size), accumulator(params.u.dtype))

    def project(self, params: TreeDeepSetParams, xs: Array) -> Array:
        """Return b₁ + U₁ x and b₂ + U₂ x for every node: `[..., input]` → `[..., 2·inner]`."""
        check_features("xs", xs, input_size=self.input_size)
        return add_bias(matmul(xs, params.u), params.b)

    def leaf(self, params: TreeDeepSetParams, z: Array) -> tuple[Array, Array]:
        """Return h of the empty set as the state and the output."""
        h, _, _ = _normalize(params, matmul(jax.nn.relu(z[..., self.inner_size :]), params.to_state))
        return h, h

    def step_tree(self, params: TreeDeepSetParams, children: Array, present: Array, z: Array) -> tuple[Array, Array]:
        """Map the states of the children and z to h, as the state and the output."""
        return self.step_tree_fwd(params, children, present, z)[0]

    def step_tree_fwd(self, params: TreeDeepSetParams, children: Array, present: Array, z: Array):
        """Run `step_tree`; the residual holds both hidden layers and the normalized state."""
        to_child, to_set = jnp.split(z, 2, axis=-1)
        a = jax.nn.relu(to_child[..., None, :] + matmul(children, params.from_child))
        a = jnp.where(present[..., None], a, 0)
        r = jax.nn.relu(to_set + matmul(a.sum(-2), params.from_set))
        h, normal, scale = _normalize(params, matmul(r, params.to_state))
        return (h, h), _Residual(a=a, r=r, normal=normal, scale=scale)

    def step_tree_bwd(
        self, params: TreeDeepSetParams, children: Array, present: Array, residual: _Residual, dcarry, dy
    ):
        """Return the cotangents of the children and of both pre-activations."""
        dh = dcarry + dy
        dnormal = dh * in_rank(params.gain, dh).astype(dh.dtype)
        along = (dnormal * residual.normal).mean(-1, keepdims=True)
        dv = residual.scale * (dnormal - dnormal.mean(-1, keepdims=True) - residual.normal * along)
        dr = jnp.where(residual.r > 0, matmul_transposed(dv, params.to_state), 0)
        dset = matmul_transposed(dr, params.from_set)
        da = jnp.where(residual.a > 0, dset[..., None, :], 0)
        dz = jnp.concatenate([da.sum(-2), dr], axis=-1)
        return matmul_transposed(da, params.from_child), dz, (da, dr, dv, dh)

    def tree_weight_bwd(self, params: TreeDeepSetParams, children: Array, present: Array, residuals, locals: Any):
        """Return one contraction for each matrix; the gradients of U and b come from `project`."""
        da, dr, dv, dh = locals
        return TreeDeepSetParams(
            u=jnp.zeros_like(params.u),
            from_child=outer_sum(children, da, params.from_child),
            from_set=outer_sum(residuals.a.sum(-2), dr, params.from_set),
            to_state=outer_sum(residuals.r, dv, params.to_state),
            b=jnp.zeros_like(params.b),
            gain=row_sum(dh * residuals.normal, params.gain),
            bias=row_sum(dh, params.bias),
        )


def _normalize(params: TreeDeepSetParams, v: Array) -> tuple[Array, Array, Array]:
    """Return γ ⊙ LN(v) + β, LN(v) and 1/√(σ² + ε)."""
    v = v - v.mean(-1, keepdims=True)
    scale = jax.lax.rsqrt((v * v).mean(-1, keepdims=True) + EPSILON)
    normal = v * scale
    return add_bias(normal * in_rank(params.gain, v).astype(v.dtype), params.bias.astype(v.dtype)), normal, scale
