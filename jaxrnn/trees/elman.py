"""The simple recursive network.

    h_n = U x_n + b                                 at a leaf
    h_n = f(b + U x_n + Σₖ Wₖ h_{child k of n})     elsewhere,        y_n = h_n

with one matrix for each position among the children.  f is not applied at a leaf, so the state of a leaf is its input
vector, as in the papers.  An inner node without an input has x = 0.

A tree in which every left child is a leaf is a sequence read from its end; with W₁ = I this is the network of 2.2 with
input U x + b.

U, Wₖ, b → `params.u`, `params.w[k]`, `params.b`.

References: Pollack 1990 (recursive auto-associative memory); Goller & Küchler 1996; Socher, Lin, Ng & Manning 2011,
§4; Goodfellow, Bengio & Courville 2016, §10.6; chapter 五, item 1.
"""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxrnn.cells.elman import ACTIVATIONS
from jaxrnn.core.arguments import check_key
from jaxrnn.core.checks import check_choice, check_features, check_positive
from jaxrnn.core.initializers import input_weights, recurrent_weights
from jaxrnn.core.precision import accumulator, add_bias, matmul, matmul_transposed, outer_sum
from jaxrnn.core.types import Key


class TreeElmanParams(NamedTuple):
    """The matrices, transposed, because inputs are row vectors.

    >>> TreeElman(input_size=3, hidden_size=5).init(jax.random.key(0)).w.shape
    (2, 5, 5)
    """

    u: Float[Array, "input hidden"]
    """Uᵀ: input to hidden."""
    w: Float[Array, "arity hidden hidden"]
    """Wₖᵀ: from child k."""
    b: Float[Array, " hidden"]
    """b."""


@jax.tree_util.register_static
@dataclass(frozen=True)
class TreeElman:
    """h_n = f(b + U x_n + Σₖ Wₖ h_{child k of n}).

    Args:
      input_size: the size of x.
      hidden_size: the size of h.
      arity: the largest number of children.
      activation: f: "tanh", "relu" or "identity".

    Raises:
      ValueError: a size below 1, or an unknown activation.

    >>> from jaxrnn.trees import balanced_tree, pack, unroll_tree
    >>> cell, forest = TreeElman(input_size=3, hidden_size=5), pack([balanced_tree(8)])
    >>> h, ys = unroll_tree(cell, cell.init(jax.random.key(0)), forest, jnp.ones((8, 1, 3)))
    >>> h.shape
    (1, 5)

    References: Goller & Küchler 1996.
    """

    input_size: int
    hidden_size: int
    arity: int = 2
    activation: str = "tanh"

    def __post_init__(self):
        check_positive(input_size=self.input_size, hidden_size=self.hidden_size, arity=self.arity)
        check_choice("activation", self.activation, tuple(ACTIVATIONS))

    def init(self, key: Key) -> TreeElmanParams:
        """Draw U by Glorot's rule and each Wₖ orthogonal, over √arity because h sums arity terms; b = 0."""
        check_key(key=key)
        u_key, *w_keys = jax.random.split(key, 1 + self.arity)
        square = (self.hidden_size, self.hidden_size)
        return TreeElmanParams(
            u=input_weights(u_key, (self.input_size, self.hidden_size)),
            w=jnp.stack([recurrent_weights(k, square) for k in w_keys]) / self.arity**0.5,
            b=jnp.zeros(self.hidden_size),
        )

    def initial_carry(self, params: TreeElmanParams, batch_shape: tuple[int, ...] = ()) -> Array:
        """Return h = 0 for a missing child, `[*batch, hidden]`."""
        return jnp.zeros((*batch_shape, self.hidden_size), accumulator(params.u.dtype))

    def project(self, params: TreeElmanParams, xs: Array) -> Array:
        """Return z_n = b + U x_n for every node: `[..., input]` → `[..., hidden]`."""
        check_features("xs", xs, input_size=self.input_size)
        return add_bias(matmul(xs, params.u), params.b)

    def leaf(self, params: TreeElmanParams, z: Array) -> tuple[Array, Array]:
        """Return h = z as the state and the output."""
        return z, z

    def step_tree(self, params: TreeElmanParams, children: Array, present: Array, z: Array) -> tuple[Array, Array]:
        """Return h = f(z + Σₖ Wₖ h_k) as the state and the output."""
        f, _ = ACTIVATIONS[self.activation]
        h = f(z + matmul(*_side_by_side(children, params.w)))
        return h, h

    def step_tree_fwd(self, params: TreeElmanParams, children: Array, present: Array, z: Array):
        """Run `step_tree`; the residual is h."""
        h, y = self.step_tree(params, children, present, z)
        return (h, y), h

    def step_tree_bwd(self, params: TreeElmanParams, children: Array, present: Array, residual, dcarry, dy):
        """Return Wₖᵀ δ for child k, with δ = f′ ⊙ (∇h from the parent + ∇y)."""
        _, derivative = ACTIVATIONS[self.activation]
        dz = derivative(residual) * (dcarry + dy)
        _, w = _side_by_side(children, params.w)
        return matmul_transposed(dz, w).reshape(children.shape), dz, dz

    def tree_weight_bwd(self, params: TreeElmanParams, children: Array, present: Array, residuals, locals):
        """Return ∇_{Wₖ} = Σₙ δ_n h_kᵀ; the gradients of U and b come from `project`."""
        rows, w = _side_by_side(children, params.w)
        dw = outer_sum(rows, locals, w).reshape(-1, *params.w.shape[1:])
        dw = jnp.zeros_like(params.w).at[: len(dw)].set(dw)
        return TreeElmanParams(u=jnp.zeros_like(params.u), w=dw, b=jnp.zeros_like(params.b))


def _side_by_side(children: Array, w: Array) -> tuple[Array, Array]:
    """Concatenate h of the children and stack their matrices: `[*batch, n·hidden]`, `[n·hidden, hidden]`."""
    *batch, n, hidden = children.shape
    return children.reshape(*batch, n * hidden), w[:n].reshape(n * hidden, w.shape[-1])
