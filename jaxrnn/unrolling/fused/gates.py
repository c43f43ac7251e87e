"""Cells gate by gate, for the kernels.

A kernel works on blocks `[rows, hidden]`, one per gate, and cannot split or concatenate them along the last axis.  So
`lstm` and `gru` define the step and its backward rule again, over tuples of blocks.  The parameters, the residuals and
the sums over t remain those of the cell (`jaxrnn.cells`).

    step:      (W, carry, z) → (carry, record)             record: what the cell's `step_fwd` records
    step_bwd:  (W, record, dcarry, dy) → (dcarry, dz)      2.2.2

Products take their operands in the dtype of the weights and are summed in `accumulator(dtype)`, as everywhere
(`jaxrnn.core.precision`).
"""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array

from jaxrnn.core.precision import accumulator

Block = Array
"""`[rows, hidden]`, padded to the sizes that the kernel works with."""

Blocks = tuple[Block, ...]


class Weights(NamedTuple):
    """The weights, which stay on chip through the loop."""

    w: tuple[Array, ...]
    """The recurrent matrix of each gate, `[hidden, hidden]`."""
    v: tuple[Array, ...]
    """Vectors `[1, hidden]`: peepholes, or the candidate's hidden bias."""


class Gates(NamedTuple):
    """A cell, gate by gate."""

    count: int
    """The number of gates of z."""
    recorded: int
    """The number of blocks of the record, one per leaf of the residual of the cell."""
    vectors: Callable
    """params → the vectors that `step` reads, `[k, hidden]`; None where there are none."""
    step: Callable
    """(Weights, carry, z) → (carry, record): tuples of blocks; y is carry[0]."""
    step_bwd: Callable
    """(Weights, record, dcarry, dy) → (dcarry, dz)."""


def product(x: Block, w: Array) -> Block:
    """Return x @ w."""
    return _dot(x, w, 0)


def product_transposed(x: Block, w: Array) -> Block:
    """Return x @ wᵀ."""
    return _dot(x, w, 1)


def sigmoid(a: Block) -> Block:
    """Return σ(a) = (1 + tanh(a/2)) / 2, as the cells compute it."""
    return 0.5 * jnp.tanh(0.5 * a) + 0.5


def _dot(x: Block, w: Array, axis: int) -> Block:
    dimensions = (((1,), (axis,)), ((), ()))
    return lax.dot_general(x.astype(w.dtype), w, dimensions, preferred_element_type=accumulator(w.dtype))
