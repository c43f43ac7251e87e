"""A model that answers at every step, the same for all kinds of cells, so that they can be compared.

    h⁽ᵗ⁾ = cell(one-hot x⁽ᵗ⁾),     o⁽ᵗ⁾ = c + V SiLU(b + U h⁽ᵗ⁾/rms(h⁽ᵗ⁾)),     P(answer) = softmax(o⁽ᵗ⁾)

The norm and the layer of SiLU units have the same sizes for every cell.  Plain cells have `hidden` units; cells with a
matrix state have two heads with keys and values of half that size.  This is a larger state, as in the papers.

References: Merrill, Petty & Sabharwal 2024, §5; Grazzi et al. 2025, §5; Goodfellow et al. 2016, §10.2.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxrnn.cells.elman import Elman
from jaxrnn.cells.gru import GRU
from jaxrnn.cells.lstm import LSTM
from jaxrnn.cells.slstm import SLSTM
from jaxrnn.core.arguments import check_key
from jaxrnn.core.checks import check_choice, check_positive
from jaxrnn.core.types import Cell, Key, Params
from jaxrnn.linear.lru import LRU
from jaxrnn.linear.matrix.delta_product import DeltaProduct
from jaxrnn.linear.matrix.gated_delta import GatedDelta
from jaxrnn.linear.matrix.mamba2 import Mamba2
from jaxrnn.linear.matrix.mlstm import MLSTM
from jaxrnn.linear.matrix_state import MatrixCell
from jaxrnn.linear.min_gru import MinGRU
from jaxrnn.linear.s5 import S5
from jaxrnn.objectives.readout import Readout, ReadoutParams
from jaxrnn.unrolling.backpropagation import unroll_bptt
from jaxrnn.unrolling.parallel.chunkwise import unroll_chunkwise
from jaxrnn.unrolling.scan import unroll

HEADS, CHUNK = 2, 16
"""Heads of a matrix state; steps of a chunk, which is short because the training sequences are short."""

KINDS: dict[str, Callable[[int, int], Any]] = {
    "elman": Elman,
    "lstm": LSTM,
    "gru": GRU,
    "slstm": lambda n, hidden: SLSTM(n, hidden, HEADS),
    "min-gru": MinGRU,
    "lru": lambda n, hidden: LRU(n, hidden, hidden),
    "s5": lambda n, hidden: S5(n, hidden, hidden),
    "mamba2": lambda n, hidden: Mamba2(n, HEADS, hidden // HEADS, hidden // HEADS),
    "mlstm": lambda n, hidden: MLSTM(n, HEADS, hidden // HEADS, hidden // HEADS),
    "deltanet": lambda n, hidden: _deltanet(n, hidden, False),
    "deltanet-negative": lambda n, hidden: _deltanet(n, hidden, True),
    "deltaproduct-1": lambda n, hidden: _delta_product(n, hidden, 1),
    "deltaproduct-2": lambda n, hidden: _delta_product(n, hidden, 2),
    "deltaproduct-3": lambda n, hidden: _delta_product(n, hidden, 3),
}
"""name → the cell for given tokens and units.  In "deltanet" β is in (0, 1), in "deltanet-negative" in (0, 2)."""


class TaggerParams(NamedTuple):
    """The parameters of a `Tagger`.

    >>> TaggerParams._fields
    ('cell', 'hidden', 'readout')
    """

    cell: Params
    hidden: ReadoutParams
    """U and b."""
    readout: ReadoutParams
    """V and c."""


@jax.tree_util.register_static
@dataclass(frozen=True)
class Tagger:
    """Tokens → a cell → a norm → a layer → one answer of `classes` at every step.

    Args:
      kind: the name of a cell in `KINDS`.
      tokens: the number of tokens.
      classes: the number of answers.
      hidden: the number of units of the cell; even, because two heads share them.
      conv: the width of the convolution over time in DeltaNet and DeltaProduct; None for none.  It brings a key and its
        value into one step, which recall needs; with it, DeltaProduct does not begin to learn words over S₃.

    Raises:
      ValueError: an unknown kind, a size below 1, or an odd number of units.

    >>> model = Tagger("deltanet", tokens=6, classes=5, hidden=8)
    >>> params = model.init(jax.random.key(0))
    >>> model.logits(params, jnp.zeros((7, 2), jnp.int32)).shape
    (7, 2, 5)

    References: Grazzi et al. 2025, §5.
    """

    kind: str
    tokens: int
    classes: int
    hidden: int = 32
    conv: int | None = 4

    def __post_init__(self):
        check_choice("kind", self.kind, tuple(KINDS))
        check_positive(tokens=self.tokens, classes=self.classes, hidden=self.hidden)
        if self.hidden % HEADS:
            raise ValueError(f"`hidden` must be even, because {HEADS} heads share the units, got {self.hidden}.")

    @property
    def cell(self) -> Cell:
        """The cell."""
        cell = KINDS[self.kind](self.tokens, self.hidden)
        return replace(cell, conv=self.conv) if isinstance(cell, GatedDelta | DeltaProduct) else cell

    def init(self, key: Key) -> TaggerParams:
        """Draw the parameters of the cell, of the layer and of the read-out."""
        check_key(key=key)
        keys = jax.random.split(key, 3)
        return TaggerParams(self.cell.init(keys[0]), self._layer.init(keys[1]), self._readout.init(keys[2]))

    def logits(self, params: TaggerParams, tokens: Int[Array, "time *batch"]) -> Float[Array, "time *batch classes"]:
        """Return the logits of the answers, with the member of the unroll family that trains fastest on a CPU."""
        run = partial(unroll_chunkwise, chunk=CHUNK) if isinstance(self.cell, MatrixCell) else unroll_bptt
        return self._answer(params, run, tokens)

    def answers(self, params: TaggerParams, tokens: Int[Array, "time *batch"]) -> Int[Array, "time *batch"]:
        """Return the likeliest answers, computed step by step for any number of steps."""
        return jnp.argmax(self._answer(params, unroll, tokens), axis=-1)

    def _answer(self, params: TaggerParams, run: Callable, tokens: Array) -> Array:
        _, ys = run(self.cell, params.cell, jax.nn.one_hot(tokens, self.tokens))
        ys = ys * jax.lax.rsqrt(jnp.mean(ys**2, axis=-1, keepdims=True) + 1e-6)
        return self._readout.apply(params.readout, jax.nn.silu(self._layer.apply(params.hidden, ys)))

    @property
    def _layer(self) -> Readout:
        return Readout(self.hidden, 2 * self.hidden)

    @property
    def _readout(self) -> Readout:
        return Readout(2 * self.hidden, self.classes)


def _deltanet(tokens: int, hidden: int, negative: bool) -> GatedDelta:
    size = hidden // HEADS
    return GatedDelta(tokens, HEADS, size, size, decay=None, negative_eigenvalues=negative)


def _delta_product(tokens: int, hidden: int, updates: int) -> DeltaProduct:
    return DeltaProduct(tokens, HEADS, hidden // HEADS, hidden // HEADS, updates=updates)
