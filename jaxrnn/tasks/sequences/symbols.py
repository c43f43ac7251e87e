"""The symbols of a text: its characters, or byte pairs that are learned from it.

Byte-pair encoding begins with the 256 bytes of UTF-8 and merges the pair of neighbors that is most frequent, again and
again, until there are as many tokens as were asked for.  No text is unknown to it, and nothing is lost.  A loss over
other symbols is comparable once it is divided by characters:

    bits per character = −(1/n) Σₜ log₂ P(k_{t+1} | k_1, …, k_t),        n characters in the predicted tokens.

A token may end inside a character; the character is counted where its first byte stands.

The merges are learned and applied by Hugging Face's `tokenizers`, which writes each byte as a printable character, as
GPT-2 does.

References: Sennrich, Haddow & Birch 2016, "Neural machine translation of rare words with subword units", ACL; Radford
et al. 2019, "Language models are unsupervised multitask learners", §2.2.
"""

import codecs
import hashlib
import os
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int, Integer

from jaxrnn.tasks.data import Corpus, InputError, decode, encode, optional

CHUNK = 2**20
"""The number of characters to encode as tokens at a time."""
LARGE = 2**24
"""Characters from which on the tokens of a text are kept."""


class Characters(NamedTuple):
    r"""Symbols that are characters.

    >>> symbols = Characters("\nab")
    >>> symbols.size(), symbols.encode("ba").tolist(), symbols.encode("").tolist()
    (3, [2, 1], [0])
    """

    alphabet: str
    """The characters by number."""

    def size(self) -> int:
        """Return the number of symbols."""
        return len(self.alphabet)

    def encode(self, text: str) -> Int[np.ndarray, " time"]:
        """Return the numbers of the characters; of a line end, if there is one, for no text."""
        return encode(text, self.alphabet) if text else np.array([max(self.alphabet.find("\n"), 0)], np.int32)

    def decoder(self) -> Callable[[np.ndarray], str]:
        """Return a function from the next tokens to their text."""
        return lambda tokens: decode(tokens, self.alphabet)

    def widths(self) -> Int[np.ndarray, " size"]:
        """Return the number of characters in each symbol."""
        return np.ones(self.size(), np.int32)


class BytePairs(NamedTuple):
    """The symbols are byte pairs.

    >>> symbols = BytePairs(learn_byte_pairs(["low lower lowest " * 20], 262))
    >>> symbols.size(), symbols.widths()[symbols.encode("lower")].tolist()
    (262, [3, 1, 1])
    >>> read = symbols.decoder()
    >>> "".join(read(symbols.encode("ő")[[n]]) for n in (0, 1))
    'ő'
    """

    tokenizer: str
    """The JSON of the tokenizer."""

    def size(self) -> int:
        """Return the number of symbols."""
        return _tokenizer(self.tokenizer).get_vocab_size()

    def encode(self, text: str) -> Int[np.ndarray, " time"]:
        """Return the tokens of a text; of a line end for no text."""
        return np.array(_tokenizer(self.tokenizer).encode(text or "\n").ids, np.int32)

    def decoder(self) -> Callable[[np.ndarray], str]:
        """Return a function from the next tokens to their text, which keeps the bytes of half a character."""
        parts, read = _bytes_of_tokens(self.tokenizer), codecs.getincrementaldecoder("utf-8")("replace")
        return lambda tokens: read.decode(b"".join(parts[token] for token in tokens))

    def widths(self) -> Int[np.ndarray, " size"]:
        """Return the number of characters that begin in each symbol."""
        return np.array([sum(byte & 0xC0 != 0x80 for byte in part) for part in _bytes_of_tokens(self.tokenizer)])


def symbols_of(alphabet: str, tokenizer: str | None = None) -> Characters | BytePairs:
    """Return the symbols of a corpus: characters if it has no tokenizer."""
    return Characters(alphabet) if tokenizer is None else BytePairs(tokenizer)


def learn_byte_pairs(texts: Any, size: int) -> str:
    """Learn byte pairs.

    Args:
      texts: pieces of a text.
      size: the number of tokens; there are fewer where the text has not as many pairs.

    Returns:
      The JSON of the tokenizer, which `tokenizers.Tokenizer.from_str` reads.

    Raises:
      InputError: `tokenizers` is not installed.
    """
    tokenizers = _library()
    tokenizer, pre = tokenizers.Tokenizer(tokenizers.models.BPE()), tokenizers.pre_tokenizers
    tokenizer.pre_tokenizer = pre.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=size, initial_alphabet=pre.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer.to_str()


def in_byte_pairs(data: Corpus, size: int, tokenizer: str | None = None, folder: Path | None = None) -> Corpus:
    """Encode a corpus of characters as byte pairs, with the same characters held out.

    Args:
      data: the characters.
      size: the number of tokens, which are learned from `data.train`.
      tokenizer: the JSON of one that was learned before; None learns one.
      folder: where the tokens of a large text are kept; None keeps none.

    Returns:
      The tokens of both parts, with the tokenizer.

    Raises:
      InputError: `tokenizers` is not installed, or `tokenizer` is not its JSON.

    >>> from jaxrnn.tasks.data import corpus
    >>> data = in_byte_pairs(corpus("low lower lowest " * 20), 262)
    >>> read = BytePairs(data.tokenizer).decoder()
    >>> read(data.train) + read(data.held_out) == "low lower lowest " * 20
    True
    """
    tokenizer = learn_byte_pairs(_pieces(data.train, data.alphabet), size) if tokenizer is None else tokenizer
    train, held_out = (_tokens(part, data, tokenizer, folder) for part in (data.train, data.held_out))
    width = len(data.train) / max(len(train), 1)
    return data._replace(train=train, held_out=held_out, tokenizer=tokenizer, width=width)


def _tokens(characters: np.ndarray, data: Corpus, tokenizer: str, folder: Path | None) -> Integer[np.ndarray, " time"]:
    """Return the tokens of one part; those of a large part are saved in `folder` and memory-mapped the next time."""
    if folder is None or len(characters) < LARGE:
        return _encoded(characters, data.alphabet, tokenizer)
    known = f"{data.digest} {len(characters)} {tokenizer}"
    path = folder / f"tokens-{hashlib.sha256(known.encode()).hexdigest()[:12]}.npy"
    if not path.exists():
        draft = path.with_name(f"{os.getpid()}-{path.name}")
        np.save(draft, _encoded(characters, data.alphabet, tokenizer))
        os.replace(draft, path)
    return np.asarray(np.load(path, mmap_mode="r"))


def _encoded(characters: np.ndarray, alphabet: str, tokenizer: str) -> Integer[np.ndarray, " time"]:
    read = _tokenizer(tokenizer)
    dtype = np.min_scalar_type(read.get_vocab_size() - 1)
    parts = [np.array(read.encode(text).ids, dtype) for text in _pieces(characters, alphabet)]
    return np.concatenate([np.zeros(0, dtype), *parts])


def _pieces(characters: np.ndarray, alphabet: str) -> Iterator[str]:
    """Yield the text of a part, in pieces."""
    points = np.array([ord(character) for character in alphabet], "<u4")
    for start in range(0, len(characters), CHUNK):
        yield points[characters[start : start + CHUNK]].tobytes().decode("utf-32-le")


def _library() -> Any:
    return optional("tokenizers", "tokenizers", "tokens")


@lru_cache(maxsize=4)
def _tokenizer(text: str) -> Any:
    try:
        return _library().Tokenizer.from_str(text)
    except InputError:
        raise
    except Exception as error:  # the library raises this class itself
        raise InputError(f"the tokenizer of the run must be JSON of `tokenizers`, got {text[:40]!r}: {error}") from None


@lru_cache(maxsize=4)
def _bytes_of_tokens(text: str) -> list[bytes]:
    """Return the bytes of each token.

    In the tokenizer, a byte that is printable in Latin-1 stands for itself; the others are the characters from 256 on.
    """
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = sorted(set(range(256)) - set(printable))
    byte = {chr(b): b for b in printable} | {chr(256 + n): b for n, b in enumerate(others)}
    read = _tokenizer(text)
    return [bytes(map(byte.__getitem__, read.id_to_token(token))) for token in range(read.get_vocab_size())]
