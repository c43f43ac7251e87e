"""Text as arrays: numbering its characters, and cutting it into a stream of batches.

A stream of B rows runs side by side through a text of N characters that is thought of as a circle: row b
begins N/B characters after row b − 1, and batch k goes on where batch k − 1 stopped,

    position(k, b, t) = start + b ⌊N/B⌋ + k τ + t  (mod N),        0 ≤ t ≤ τ,

so the carry can be handed on for ever, and a batch is a function of (seed, k) and of nothing else.
"""

import hashlib
import importlib
from types import ModuleType
from typing import NamedTuple

import numpy as np
from jaxtyping import Int, Integer


class InputError(ValueError):
    """The error raised for unusable input; its message says in one line what, why, and the remedy."""


def check_count(least: int = 1, /, **options: int) -> None:
    """Raise InputError unless each option of the command line is from `least` to 2³¹ − 1."""
    for name, value in options.items():
        if not least <= value < 2**31:
            raise InputError(f"--{name.replace('_', '-')} must be an integer of at least {least}, got {value}.")


class Corpus(NamedTuple):
    """A text, as numbers.

    >>> from jaxrnn.tasks import corpus
    >>> corpus("abracadabra").alphabet
    'abcdr'
    """

    train: Integer[np.ndarray, " train"]
    """The tokens that are learned from, of one byte each where that is enough, or two."""
    held_out: Integer[np.ndarray, " held_out"]
    """The tokens that are not: the end of the text."""
    alphabet: str
    """The distinct characters in the order of their numbers."""
    digest: str
    """SHA-256 of the text."""
    tokenizer: str | None = None
    """The JSON of the tokenizer whose tokens these are; None where they are characters."""
    width: float = 1.0
    """The mean number of characters in a token of `train`."""


def optional(module: str, package: str, extra: str = "tasks") -> ModuleType:
    """Import a module of a package that only some tasks need.

    Raises:
      InputError: it is not installed; the message says what to install.
    """
    try:
        return importlib.import_module(module)
    except ImportError:
        raise InputError(f"this task needs {package}: pip install {package}, or 'jaxrnn[{extra}]'.") from None


def builtin_text() -> str:
    """Return the English text that every Python has: the language reference behind `help()`, in a fixed order.

    Returns:
      The text.

    >>> len(builtin_text()) > 100_000
    True
    """
    from pydoc_data.topics import topics

    return "".join(topics[name] for name in sorted(topics))


def corpus(text: str, *, held_out: float = 0.1) -> Corpus:
    """Map the characters of a text to numbers, and hold out its end.

    The alphabet is that of the whole text, so that every held-out character has a probability.

    Args:
      text: all of it.
      held_out: the part at the end that is not learned from, between 0 and 1.

    Returns:
      The tokens of both parts, the alphabet and the digest.

    Raises:
      InputError: the text is empty.

    >>> corpus("abracadabra", held_out=0.2)[:3]
    (array([0, 1, 4, 0, 2, 0, 3, 0, 1], dtype=uint8), array([4, 0], dtype=uint8), 'abcdr')
    """
    if not text:
        raise InputError("the text is empty.")
    points = code_points(text)
    alphabet = "".join(map(chr, np.flatnonzero(np.bincount(points))))
    return split(numbers(alphabet)[points], alphabet, hashlib.sha256(text.encode()).hexdigest(), held_out=held_out)


def split(tokens: Integer[np.ndarray, " time"], alphabet: str, digest: str, *, held_out: float = 0.1) -> Corpus:
    """Build a corpus whose end is held out.

    >>> split(np.array([0, 1, 0, 1]), "ab", "", held_out=0.25)[:2]
    (array([0, 1, 0]), array([1]))
    """
    cut = len(tokens) - int(len(tokens) * held_out)
    return Corpus(tokens[:cut], tokens[cut:], alphabet, digest)


def numbers(alphabet: str) -> Integer[np.ndarray, " points"]:
    """Return a table from code points to their numbers in an alphabet, with the smallest sufficient unsigned integers.

    >>> numbers("ac")[[ord("a"), ord("c")]]
    array([0, 1], dtype=uint8)
    """
    points = code_points(alphabet)
    table = np.zeros(int(points.max()) + 1, np.min_scalar_type(len(alphabet) - 1))
    table[points] = np.arange(len(alphabet))
    return table


def code_points(text: str) -> Integer[np.ndarray, " time"]:
    """Return the code point of each character.

    >>> code_points("aé").tolist()
    [97, 233]
    """
    if text.isascii():
        return np.frombuffer(text.encode("ascii"), np.uint8)
    return np.frombuffer(text.encode("utf-32-le"), np.uint32)


def encode(text: str, alphabet: str) -> Int[np.ndarray, " time"]:
    """Return the number of each character.

    Args:
      text: the characters.
      alphabet: the characters by number.

    Returns:
      The tokens.

    Raises:
      InputError: characters that are not in the alphabet; they are named.

    >>> encode("cab", "abc").tolist()
    [2, 0, 1]
    """
    unseen = sorted(set(text) - set(alphabet))
    if unseen:
        raise InputError(f"the text has characters that the model never saw: {' '.join(map(repr, unseen))}.")
    return np.searchsorted(code_points(alphabet), code_points(text)).astype(np.int32)


def decode(tokens: Integer[np.ndarray, " time"], alphabet: str) -> str:
    """Return the text of these tokens.

    Args:
      tokens: numbers of characters.
      alphabet: the characters by number.

    Returns:
      The text.

    >>> decode(np.array([2, 0, 1]), "abc")
    'cab'
    """
    return "".join(alphabet[token] for token in np.asarray(tokens))


def epoch_rows(count: int, seed: int, step: int, *, batch: int) -> Int[np.ndarray, " batch"]:
    """Return the numbers of the examples in batch `step` of a finite set; each epoch has each example once.

    Args:
      count: the number of examples.
      seed: determines the order of the examples, which differs between epochs.
      step: the number of the batch; no state is kept between batches.
      batch: B, the number of examples in a batch.

    >>> sorted(int(row) for step in range(3) for row in epoch_rows(6, 0, step, batch=4))
    [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]
    """
    epochs, places = np.divmod(step * batch + np.arange(batch), count)
    orders = {epoch: np.random.default_rng([seed, epoch]).permutation(count) for epoch in np.unique(epochs)}
    return np.array([orders[epoch][place] for epoch, place in zip(epochs, places, strict=True)])


def digest(*arrays: np.ndarray) -> str:
    """Compute the SHA-256 of arrays: of their shapes, dtypes and values.

    >>> digest(np.zeros(2)) == digest(np.zeros((2, 1)))
    False
    """
    sha = hashlib.sha256()
    for array in arrays:
        sha.update(f"{array.shape}{array.dtype.str}".encode() + np.ascontiguousarray(array).tobytes())
    return sha.hexdigest()


def stream_batch(
    tokens: Integer[np.ndarray, " n"], seed: int, step: int, *, batch: int, length: int
) -> Int[np.ndarray, "length_plus_1 batch"]:
    """Return batch `step` of the stream: the next `length` tokens of each row, and the one after them.

    Args:
      tokens: the text, at least length + 1 tokens.
      seed: determines where in the text row 0 starts; the text is read in a circle.
      step: the number of the batch; no state is kept between batches.
      batch: B, the number of rows.
      length: τ, the number of steps.

    Returns:
      Inputs and targets in one array: `[:-1]` and `[1:]`.

    >>> stream_batch(np.arange(100), 0, 1, batch=2, length=3) - stream_batch(np.arange(100), 0, 0, batch=2, length=3)
    array([[3, 3],
           [3, 3],
           [3, 3],
           [3, 3]], dtype=int32)
    """
    start = int(np.random.default_rng(seed).integers(len(tokens)))
    rows = np.arange(batch) * (len(tokens) // batch)
    at = (start + step * length + np.arange(length + 1)[:, None] + rows) % len(tokens)
    return tokens[at].astype(np.int32)
