"""Checks of an encoder-decoder: the sizes of its parts, and the source.

References: chapter 4.1; Goodfellow et al. 2016, §10.4.
"""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from jaxrnn.core.arguments import known_values
from jaxrnn.core.carry_facts import check_output_size, output_of
from jaxrnn.core.checks import inside
from jaxrnn.core.types import Cell
from jaxrnn.directions.bidirectional import Bidirectional, output_of_both
from jaxrnn.generation.symbol_model import SymbolModel, reading_embedding
from jaxrnn.seq2seq.nested_attention import every_attending


def check_halves(encoder: Cell | Bidirectional, decoder: SymbolModel, source_features: int) -> None:
    """Raise unless the encoder reads the embedding of the source, and every attention the output of the encoder.

    Raises:
      TypeError: an encoder or a decoder of another kind.
      ValueError: a size that does not fit.

    >>> from jaxrnn import GRU
    >>> check_halves(GRU(4, 8), SymbolModel(GRU(3, 6), 5, features=3, hidden_size=6), source_features=3)
    Traceback (most recent call last):
    ValueError: `encoder`, which reads an embedding of size source_features=3: `xs` must have trailing size \
input_size=4, got shape (3,).
    """
    if not isinstance(encoder, (Cell, Bidirectional)):
        raise TypeError(f"`encoder` must be a cell or a Bidirectional, got {encoder!r}.")
    if not isinstance(decoder, SymbolModel):
        raise TypeError(f"`decoder` must be a SymbolModel, got {decoder!r}.")
    with reading_embedding("encoder", source_features=source_features):
        both = isinstance(encoder, Bidirectional)
        states = output_of_both(encoder, source_features) if both else output_of(encoder, source_features)
    for attending in every_attending(decoder.cell):
        with inside("decoder.cell", reads="the output of `encoder`"):
            check_output_size("encoder", states, **{"attention.memory_size": attending.attention.memory_size})


def check_source(source: Array, lengths: Array, vocabulary: int) -> None:
    """Raise unless every source has a symbol and every symbol is known; the error names the row."""
    if not jnp.issubdtype(source.dtype, jnp.integer):
        raise TypeError(f"`source` must be integer symbols, got {source.dtype}.")
    known, values = known_values(lengths), known_values(source)
    if known is None or values is None:
        return
    empty = np.argwhere(known < 1)
    if len(empty):
        raise ValueError(f"`source_lengths` must be at least 1, got 0 in row {_row(empty[0])}: an empty source.")
    steps = np.arange(len(values)).reshape(-1, *[1] * known.ndim)
    unknown = np.argwhere((steps < known) & ((values < 0) | (values >= vocabulary)))
    if len(unknown):
        t, *row = unknown[0]
        raise ValueError(
            f"`source` must lie in 0 … {vocabulary - 1}, got {values[tuple(unknown[0])]} in row {_row(row)} at {t}."
        )


def _row(index) -> str:
    """Return the number of a row, or its index if there are several batch axes."""
    return ", ".join(str(int(i)) for i in index) or "0"
