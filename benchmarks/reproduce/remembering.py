"""The rows of the memory tables: a cell of each kind, and the one model in which all of them are compared.

One-hot tokens → the cell → RMSNorm → a layer of SiLU units → the classes.  The norm and the layer have the same sizes
for every cell; the cells have about as many numbers of state as `WIDTH` units, matrix states more.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

import jaxrnn
from jaxrnn import linear
from jaxrnn.cells import SLSTM
from jaxrnn.linear import matrix
from jaxrnn.unrolling.parallel import unroll_chunkwise

WIDTH, HEADS, SIZE = 32, 2, 16
"""Units of a plain cell; heads of a matrix state, and K = V of each."""

ROWS: dict[str, Callable[[int], Any]] = {
    "elman": lambda n: jaxrnn.Elman(n, WIDTH),
    "lstm": lambda n: jaxrnn.LSTM(n, WIDTH),
    "gru": lambda n: jaxrnn.GRU(n, WIDTH),
    "slstm": lambda n: SLSTM(n, WIDTH, HEADS),
    "min_gru": lambda n: jaxrnn.MinGRU(n, WIDTH),
    "lru": lambda n: jaxrnn.LRU(n, WIDTH, WIDTH),
    "s5": lambda n: linear.S5(n, WIDTH, WIDTH),
    "mamba2": lambda n: matrix.Mamba2(n, HEADS, SIZE, SIZE),
    "mlstm": lambda n: matrix.MLSTM(n, HEADS, SIZE, SIZE),
    "deltanet (0,1)": lambda n: matrix.GatedDelta(n, HEADS, SIZE, SIZE, decay=None),
    "deltanet (0,2)": lambda n: matrix.GatedDelta(n, HEADS, SIZE, SIZE, decay=None, negative_eigenvalues=True),
    "deltaproduct 1": lambda n: matrix.DeltaProduct(n, HEADS, SIZE, SIZE, updates=1),
    "deltaproduct 2": lambda n: matrix.DeltaProduct(n, HEADS, SIZE, SIZE, updates=2),
    "deltaproduct 3": lambda n: matrix.DeltaProduct(n, HEADS, SIZE, SIZE, updates=3),
}
"""name → the cell for so many tokens."""


class Params(NamedTuple):
    """The parameters of the model."""

    cell: Any
    hidden: jaxrnn.objectives.ReadoutParams
    out: jaxrnn.objectives.ReadoutParams


class Model(NamedTuple):
    """A cell between one-hot tokens and classes."""

    cell: Any
    tokens: int
    classes: int

    def init(self, key: jax.Array) -> Params:
        """Draw all parameters."""
        keys = jax.random.split(key, 3)
        return Params(self.cell.init(keys[0]), self._hidden.init(keys[1]), self._out.init(keys[2]))

    def logits(self, params: Params, tokens: jax.Array) -> jax.Array:
        """Return the classes' logits at every step: `[time, rows]` → `[time, rows, classes]`."""
        xs = jax.nn.one_hot(tokens, self.tokens)
        run = unroll_chunkwise if isinstance(self.cell, linear.MatrixCell) else jaxrnn.unroll_bptt
        _, ys = run(self.cell, params.cell, xs)
        ys = ys * jax.lax.rsqrt(jnp.mean(ys**2, axis=-1, keepdims=True) + 1e-6)
        return self._out.apply(params.out, jax.nn.silu(self._hidden.apply(params.hidden, ys)))

    @property
    def _hidden(self):
        return jaxrnn.Readout(WIDTH, 2 * WIDTH)

    @property
    def _out(self):
        return jaxrnn.Readout(2 * WIDTH, self.classes)
