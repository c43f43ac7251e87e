"""The read-out: a linear map from hidden state to output.

    o⁽ᵗ⁾ = c + V h⁽ᵗ⁾

    ∇_c L = Σₜ ∇_{o⁽ᵗ⁾}L,     ∇_V L = Σₜ ∇_{o⁽ᵗ⁾}L h⁽ᵗ⁾ᵀ,     ∇_{h⁽ᵗ⁾}L = Vᵀ ∇_{o⁽ᵗ⁾}L + (from t + 1)

One product covers all t, and `jax.grad` computes these sums.

V, c → `params.v`, `params.c`; h → `ys`, o → the result, which the losses take as logits.

References: chapter 2.2, item 2, and 2.2.3; Goodfellow et al. 2016, §10.2.
"""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxrnn.core.arguments import check_key
from jaxrnn.core.carry_facts import output_of
from jaxrnn.core.checks import check_features, check_params, check_positive, inside
from jaxrnn.core.initializers import input_weights
from jaxrnn.core.precision import add_bias, matmul
from jaxrnn.core.types import Cell, Key


class ReadoutParams(NamedTuple):
    """The chapter's matrix, transposed, because inputs are row vectors.

    >>> Readout(5, 2).init(jax.random.key(0)).v.shape
    (5, 2)
    """

    v: Float[Array, "hidden output"]
    """Vᵀ: hidden to output."""
    c: Float[Array, " output"]
    """c."""


@jax.tree_util.register_static
@dataclass(frozen=True)
class Readout:
    """The read-out o = c + V h.

    Args:
      input_size: the size of h.
      output_size: the size of o: classes, or regression targets.

    Raises:
      ValueError: a size below 1.

    >>> readout = Readout(input_size=5, output_size=2)
    >>> params = readout.init(jax.random.key(0))
    >>> readout.apply(params, jnp.ones((7, 3, 5))).shape
    (7, 3, 2)

    References: chapter 2.2.
    """

    input_size: int
    output_size: int

    def __post_init__(self):
        check_positive(input_size=self.input_size, output_size=self.output_size)

    def init(self, key: Key) -> ReadoutParams:
        """Draw V by Glorot's uniform rule; c = 0."""
        check_key(key=key)
        return ReadoutParams(input_weights(key, (self.input_size, self.output_size)), jnp.zeros(self.output_size))

    def apply(self, params: ReadoutParams, ys: Float[Array, "..."]) -> Float[Array, "..."]:
        """Return o⁽ᵗ⁾ for every t: `[..., input]` → `[..., output]`.

        Raises:
          TypeError, ValueError: `ys` is not floating, or its last axis is not `input_size`; `params` are another's.
        """
        check_params(params, self)
        check_features("ys", ys, input_size=self.input_size)
        return add_bias(matmul(jnp.asarray(ys), params.v), params.c)


def check_read_out(readout: Readout, cell: Cell) -> None:
    """Raise unless the read-out reads the output of the cell, where its size is known before the cell runs.

    Raises:
      ValueError: an output of another size.

    >>> from jaxrnn import GRU
    >>> check_read_out(Readout(6, 2), GRU(3, 5))
    Traceback (most recent call last):
    ValueError: `readout`, which reads the output of `cell`: `ys` must have trailing size input_size=6, got shape (5,).
    """
    y = output_of(cell)
    if y is not None:
        key = jax.eval_shape(lambda: jax.random.key(0))
        with reading_of("cell"):
            jax.eval_shape(lambda key, y: readout.apply(readout.init(key), y), key, y)


def reading_of(part: str):
    """Name the read-out in an error, and what it reads."""
    return inside("readout", reads=f"the output of `{part}`")
