"""Pairs of sequences as padded arrays: the data of an encoder and a decoder.

Sequences are padded to the next power of two.  There are then only a handful of shapes, and a program compiles once for
each of them.

Target symbol 0 starts and ends a sequence; the other symbols are numbered from 1.  Source symbols are numbered from 0,
and a source ends at its length.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from jaxrnn.core import masks
from jaxrnn.tasks.data import InputError

END = 0
"""The target symbol that starts and ends a sequence."""


class Pairs(NamedTuple):
    """n sources and their targets, padded with 0."""

    source: Int[np.ndarray, "source n"]
    """x."""
    source_lengths: Int[np.ndarray, " n"]
    """τ_x."""
    target: Int[np.ndarray, "time n"]
    """y, with its end symbol."""
    target_lengths: Int[np.ndarray, " n"]
    """τ_y, with the end symbol counted."""

    def take(self, index: Int[np.ndarray, " k"]) -> "Pairs":
        """Return the pairs at the given indices; the arrays keep their lengths."""
        return Pairs(*(array[..., index] for array in self))


def bucket(length: int, least: int = 8) -> int:
    """Return the length of the array for a sequence: the next power of two, at least `least`.

    Args:
      length: of the sequence.
      least: the length of the shortest array.

    Returns:
      The length of the array.

    >>> [bucket(n) for n in (1, 8, 9, 100)]
    [8, 8, 16, 128]
    """
    return masks.bucket(max(length, least), parts=1)


def pairs(
    sources: Sequence[Sequence[str]],
    targets: Sequence[Sequence[str]],
    *,
    source_symbols: Sequence[str],
    target_symbols: Sequence[str],
    source_time: int | None = None,
    bound: int | None = None,
) -> Pairs:
    """Map the symbols of every pair to numbers, and pad.

    Args:
      sources: one sequence of symbols each, such as a string of characters or a list of words.
      targets: one sequence of symbols for each source.
      source_symbols: all symbols of the sources, in the order of their numbers.
      target_symbols: all symbols of the targets, in the order of their numbers.
      source_time: the length of the source array; None for the bucket of the longest.
      bound: the largest length of a target, with its end symbol, and the length of the array; None for the bucket of
        the longest.

    Returns:
      `Pairs`.

    Raises:
      InputError: no pairs; different numbers of sources and targets; an empty source, a source longer than
        `source_time`, a target longer than the bound, or an unknown symbol. The message names the example.

    >>> made = pairs(["ab", "b"], ["xy", ""], source_symbols="ab", target_symbols="xy", bound=4)
    >>> made.source[:2].tolist(), made.target.tolist(), made.target_lengths.tolist()
    ([[0, 1], [1, 0]], [[1, 0], [2, 0], [0, 0], [0, 0]], [3, 1])
    """
    if len(sources) != len(targets) or not len(sources):
        raise InputError(f"there must be as many targets as sources, and at least one, got {len(targets)}.")
    source, source_lengths = padded(sources, source_symbols, name="source", bound=source_time)
    target, target_lengths = padded(targets, target_symbols, name="target", bound=bound, end=True)
    return Pairs(source, source_lengths, target, target_lengths)


def padded(
    sequences: Sequence[Sequence[str]],
    symbols: Sequence[str],
    *,
    name: str,
    bound: int | None = None,
    end: bool = False,
) -> tuple[Int[np.ndarray, "time n"], Int[np.ndarray, " n"]]:
    """Return numbers `[time, n]` and lengths of sources, or with `end` of targets; errors are those of `pairs`.

    >>> numbers, lengths = padded(["ab"], "ab", name="source")
    >>> numbers.shape, lengths.tolist()
    ((8, 1), [2])
    """
    number = {symbol: i + end for i, symbol in enumerate(symbols)}
    lengths = np.array([len(sequence) + end for sequence in sequences], np.int32)
    time = bucket(int(lengths.max())) if bound is None else bound
    made = np.zeros((time, len(sequences)), np.int32)
    for i, sequence in enumerate(sequences):
        which = name if len(sequences) == 1 else f"{name} {i}"
        if not end and not len(sequence):
            raise InputError(f"{which} is empty: there is nothing to read.")
        if lengths[i] > time:
            what = ", its end counted" if end else ""
            raise InputError(f"{which} has {lengths[i]} symbols{what}; there must be at most {time}.")
        unknown = sorted({symbol for symbol in sequence if symbol not in number})
        if unknown:
            raise InputError(f"{which} has symbols that are not known: {' '.join(map(repr, unknown))}.")
        made[: len(sequence), i] = [number[symbol] for symbol in sequence]
    return made, lengths
