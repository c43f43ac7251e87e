"""The cells of the language models of the command line, by name, at a width.

Elman networks, GRUs and LSTMs are layers as they are.  The others stand in residual blocks, as their papers have them:
a short convolution in front of the cell where it has none of its own, a norm and a gate behind it, a gated MLP.

References: `jaxrnn.linear.blocks`; Beck et al. 2024, "xLSTM", §2.4; De et al. 2024, "Griffin", §2.3; Gu & Dao 2023,
§3.4.
"""

from collections.abc import Callable

from jaxrnn.cells.elman import Elman
from jaxrnn.cells.gru import GRU
from jaxrnn.cells.lstm import LSTM
from jaxrnn.cells.slstm import SLSTM
from jaxrnn.cells.wrappers.dropout import Dropout
from jaxrnn.cells.wrappers.stack import Stack
from jaxrnn.core.types import Cell
from jaxrnn.linear.blocks.normalization import Normalize
from jaxrnn.linear.blocks.residual import ResidualBlock
from jaxrnn.linear.lru import LRU
from jaxrnn.linear.mamba import Mamba
from jaxrnn.linear.matrix.gated_delta import GatedDelta
from jaxrnn.linear.matrix.mamba2 import Mamba2
from jaxrnn.linear.matrix.mlstm import MLSTM
from jaxrnn.linear.min_gru import MinGRU
from jaxrnn.linear.rg_lru import RGLRU
from jaxrnn.linear.s5 import S5
from jaxrnn.linear.short_conv import ShortConv

LAYERS: dict[str, Callable[[int, int], Cell]] = {"elman": Elman, "gru": GRU, "lstm": LSTM}
"""name → (input size, hidden size) → cell."""

IN_BLOCKS: dict[str, Callable[[int, int], Cell]] = {
    "slstm": lambda n, heads: Stack((ShortConv(n), SLSTM(n, n, heads))),
    "min-gru": lambda n, heads: Stack((ShortConv(n), MinGRU(n, n))),
    "lru": lambda n, heads: LRU(n, n, n),
    "rg-lru": lambda n, heads: Stack((ShortConv(n), RGLRU(n, heads))),
    "s5": lambda n, heads: S5(n, -(-n // 2), n),
    "mamba": lambda n, heads: Mamba(n, n, rank=-(-n // 16)),
    "mamba2": lambda n, heads: Mamba2(n, heads, n // heads, n // heads),
    "mlstm": lambda n, heads: Stack((ShortConv(n), MLSTM(n, heads, -(-n // heads // 2), n // heads))),
    "gated-delta": lambda n, heads: GatedDelta(n, heads, n // heads, n // heads),
}
"""name → (width of the block, heads) → cell."""


def layered(name: str, embedding: int, hidden: int, layers: int, dropout: float) -> Cell:
    """Return the recurrent part of a language model.

    Args:
      name: of LAYERS or of IN_BLOCKS.
      embedding: the size of the inputs; in blocks it is `hidden`.
      hidden: the size of the outputs.
      layers: how many.
      dropout: the part of the inputs of each cell that is dropped.

    >>> layered("gru", 3, 5, 1, 0.0)
    GRU(input_size=3, hidden_size=5, reset='before')
    """
    if name in LAYERS:
        sizes = (embedding, *[hidden] * layers)
        cells = tuple(_with_dropout(LAYERS[name](n, hidden), dropout) for n in sizes[:-1])
        return cells[0] if layers == 1 else Stack(cells)
    heads = next(heads for heads in (4, 2, 1) if hidden % heads == 0)
    cell = _with_dropout(IN_BLOCKS[name](hidden, heads), dropout)
    return Stack((*[ResidualBlock(cell, hidden, mlp=2 * hidden, groups=heads)] * layers, Normalize(hidden)))


def _with_dropout(cell: Cell, rate: float) -> Cell:
    return Dropout(cell, rate) if rate else cell
