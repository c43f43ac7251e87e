"""A character language model: the default task.

    L = −(1/n) Σₜ log P(k_{t+1} | k_1, …, k_t),          bits per character = L / ln 2

The text is the standard library's own English (the language reference behind `help()`), or the user's file.
Its last tenth is held out.  Truncated back-propagation through time over a stream: section 2.2 and
`jaxrnn.training.train_state`.

References: Mikolov et al. 2010; Graves 2013, §3; Karpathy 2015, "The unreasonable effectiveness of recurrent
neural networks".
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar, Literal

import jax
import jax.numpy as jnp
import numpy as np

from jaxrnn.cells.elman import Elman
from jaxrnn.cells.gru import GRU
from jaxrnn.cells.lstm import LSTM
from jaxrnn.cells.wrappers.dropout import Dropout
from jaxrnn.cells.wrappers.stack import Stack
from jaxrnn.core.masks import bucket
from jaxrnn.core.noise import quiet
from jaxrnn.core.types import Carry, Key
from jaxrnn.generation.beams import beam_search
from jaxrnn.generation.continuation import continue_sequence
from jaxrnn.generation.sampling import Greedy, Sampling
from jaxrnn.generation.stopping import NeverStop
from jaxrnn.generation.symbol_model import SymbolModel, SymbolModelParams
from jaxrnn.objectives.losses import bits_per_character, cross_entropy, perplexity
from jaxrnn.tasks.data import (
    Corpus,
    InputError,
    builtin_text,
    check_count,
    corpus,
    decode,
    encode,
    stream_batch,
)
from jaxrnn.tasks.text_files import kept_corpus, read_corpus

CELLS = {"elman": Elman, "gru": GRU, "lstm": LSTM}
HELD_OUT_ROWS, HELD_OUT_STEPS = 32, 256
PIECE = 32
"""Characters that are drawn between two writes."""


@jax.tree_util.register_static
@dataclass(frozen=True)
class Text:
    """Learn to continue a text, character by character.

    >>> Text(batch=8, length=16).units()
    128
    """

    file: str | None = None
    """Your own UTF-8 text file, of any size; None for Python's language reference."""
    cell: Literal["elman", "gru", "lstm"] = "lstm"
    """The recurrent cell."""
    layers: int = 1
    """The number of layers."""
    hidden: int = 256
    """Units of each layer."""
    embedding: int = 64
    """Size of an embedded character."""
    batch: int = 32
    """The number of rows of text in a batch."""
    length: int = 64
    """The number of characters per row in one update."""
    dropout: float = 0.0
    """Part of the units between two layers that is dropped while it learns."""
    evaluate_characters: int = 300_000
    """Held-out characters in a measurement, from all over; `jaxrnn evaluate --whole` measures all."""

    unit: ClassVar[str] = "characters"
    score: ClassVar[str] = "bits_per_character"
    training: ClassVar[dict] = {}
    places: ClassVar[tuple[str, ...]] = ("file",)

    def __post_init__(self):
        check_count(
            layers=self.layers,
            hidden=self.hidden,
            embedding=self.embedding,
            batch=self.batch,
            length=self.length,
            evaluate_characters=self.evaluate_characters,
        )
        if not 0 <= self.dropout < 1:
            raise InputError(f"--dropout must lie in [0, 1), got {self.dropout}.")
        if self.layers > 100:  # each is traced by itself
            raise InputError(f"--layers must be at most 100, got {self.layers}.")

    def load(self) -> tuple[Corpus, dict]:
        """Load the text as numbers, and its alphabet.

        Raises:
          InputError: the file cannot be used, or the text is shorter than one sequence.
        """
        return self._checked(corpus(builtin_text()) if self.file is None else read_corpus(self.file))

    def load_kept(self, folder: Path) -> tuple[Corpus, dict]:
        """The same; a large text is put into `folder` as numbers, and opened there."""
        return self.load() if self.file is None else self._checked(kept_corpus(self.file, folder))

    def _checked(self, data: Corpus) -> tuple[Corpus, dict]:
        total = len(data.train) + len(data.held_out)
        if len(data.train) <= self.length or len(data.held_out) < 2:
            raise InputError(
                f"{self.file or 'the text'}: has {total} characters, of which {len(data.train)} are to train on and "
                f"{len(data.held_out)} are held out; it must have more than --length {self.length} and at least 2."
            )
        return data, {"alphabet": data.alphabet, "sha256": data.digest, "characters": total}

    def describe(self, facts: dict) -> str:
        """Describe the data in one line."""
        source = "Python's language reference" if self.file is None else Path(self.file).name
        return f"{source}: {facts['characters']:,} characters, {len(facts['alphabet'])} distinct, a tenth held out"

    def model(self, facts: dict) -> SymbolModel:
        """Build the model: embedding, cells, readout."""
        sizes = (self.embedding, *[self.hidden] * self.layers)
        cells = tuple(CELLS[self.cell](n, self.hidden) for n in sizes[:-1])
        cells = tuple(Dropout(cell, self.dropout) for cell in cells) if self.dropout else cells
        cell = cells[0] if self.layers == 1 else Stack(cells)
        return SymbolModel(cell, len(facts["alphabet"]), self.embedding, self.hidden)

    def carry(self, model: SymbolModel, params: SymbolModelParams) -> Carry:
        """Return h⁽⁰⁾ = 0 for each row."""
        return model.initial_carry(params, (self.batch,))

    def units(self) -> int:
        """Return the number of characters in a batch."""
        return self.batch * self.length

    def batch_at(self, data: Corpus, seed: int, step: int) -> np.ndarray:
        """Draw tokens `[length + 1, batch]`: the inputs, and shifted by one the targets."""
        return stream_batch(data.train, seed, step, batch=self.batch, length=self.length)

    def loss(self, model: SymbolModel, params: SymbolModelParams, carry: Carry, batch, key: Key):
        """Return the cross-entropy of the next character in nats."""
        carry, logits = model.read(params, batch[:-1], carry, key=key)
        return cross_entropy(logits, batch[1:]), carry

    def metrics(self, loss: float) -> dict[str, float]:
        """Return L in bits."""
        return {"bits_per_character": float(loss / np.log(2))}

    def evaluate(self, model: SymbolModel, params: SymbolModelParams, data: Corpus) -> dict[str, float]:
        """Return the cross-entropy of `evaluate_characters` held-out characters, spread over all of them."""
        return _measured(quiet(model), params, data.held_out, self.evaluate_characters)

    def evaluate_whole(self, model: SymbolModel, params: SymbolModelParams, data: Corpus) -> dict[str, float]:
        """Return the cross-entropy of the held-out characters, each except the first counted once."""
        return _measured(quiet(model), params, data.held_out, len(data.held_out))

    def sample(
        self,
        facts: dict,
        params: SymbolModelParams,
        key: Key,
        prompt: str,
        *,
        length: int,
        temperature: float,
        top_k: int | None = None,
        top_p: float | None = None,
        beam: int | None = None,
    ) -> Iterator[str]:
        """Continue a prompt, in pieces as they are drawn; with `beam`, return the likeliest that is found at once.

        Raises:
          InputError: the prompt has characters that are not in the alphabet.
        """
        alphabet, model = facts["alphabet"], quiet(self.model(facts))
        tokens = encode(prompt, alphabet) if prompt else np.array([max(alphabet.find("\n"), 0)], np.int32)
        if beam is not None:
            return _likeliest(model, params, tokens, beam, length, alphabet)
        carry, logits = _read(model, params, *_padded(tokens))
        nucleus = None if top_p is None else jnp.asarray(top_p, float)
        sampling = Sampling(jnp.asarray(temperature, float), top_k, nucleus) if temperature > 0 else Greedy()
        draw = partial(continue_sequence, model, params, sampling=sampling)
        return _pieces(draw, carry, logits, key, length, alphabet)


def held_out_windows(tokens: np.ndarray, characters: int) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yield inputs, targets and mask `[HELD_OUT_STEPS, HELD_OUT_ROWS]` of one window after another.

    Each row is a run of the text, which go on from window to window and are spread over all of it; where so many
    characters are asked for, every token but the first is a target once.

    >>> windows = list(held_out_windows(np.arange(10_000), 10_000))
    >>> len(windows), windows[0][0].shape, sum(int(mask.sum()) for _, _, mask in windows)
    (2, (256, 32), 9999)
    """
    count = len(tokens) - 1
    run = -(-count // HELD_OUT_ROWS)
    read = min(run, -(-characters // HELD_OUT_ROWS))
    for start in range(0, read, HELD_OUT_STEPS):
        time = start + np.arange(HELD_OUT_STEPS)[:, None]
        position = time + np.arange(HELD_OUT_ROWS) * run
        mask = (time < read) & (position < count)
        position = np.where(mask, position, 0)
        yield tokens[position].astype(np.int32), tokens[position + 1].astype(np.int32), mask


def _measured(model: SymbolModel, params, held_out: np.ndarray, characters: int) -> dict[str, float]:
    carry, nats, count = model.initial_carry(params, (HELD_OUT_ROWS,)), 0.0, 0
    for inputs, targets, mask in held_out_windows(held_out, characters):
        carry, loss = _nats(model, params, carry, inputs, targets, mask)
        nats, count = nats + float(loss), count + int(mask.sum())
    mean = jnp.asarray(nats / count)
    bits, words = bits_per_character(mean), perplexity(mean)
    return {"bits_per_character": float(bits), "perplexity": float(words), "characters": count}


@partial(jax.jit, static_argnums=0)
def _nats(model: SymbolModel, params, carry, inputs, targets, mask):
    """Return the carry after a window, and the sum of −log P over its valid steps."""
    carry, logits = model.read(params, inputs, carry, mask=mask)
    return carry, cross_entropy(logits, targets, mask=mask) * mask.sum()


def _padded(tokens: np.ndarray) -> tuple[np.ndarray, int]:
    """The prompt with room to the next power of two, so that few lengths are ever compiled; and its length."""
    return np.pad(tokens, (0, bucket(len(tokens), parts=1) - len(tokens))), len(tokens)


@partial(jax.jit, static_argnums=0)
def _read(model: SymbolModel, params, tokens, length):
    """Return h and o after `length` tokens."""
    carry, logits = model.read(params, tokens, mask=jnp.arange(len(tokens)) < length)
    return carry, logits[length - 1]


def _pieces(draw, carry, logits, key: Key, length: int, alphabet: str) -> Iterator[str]:
    """Draw `length` characters in pieces, each by the same compiled loop."""
    for start in range(0, length, PIECE):
        carry, logits, tokens = draw(carry, logits, key, start, length=PIECE)
        yield decode(np.asarray(tokens)[: length - start], alphabet)


def _likeliest(model, params, tokens: np.ndarray, width: int, length: int, alphabet: str) -> Iterator[str]:
    """The best of `width` hypotheses of `length` characters; none of them can stop before."""
    carry, _ = _read(model, params, _padded(tokens)[0], len(tokens) - 1)
    last = jnp.asarray(tokens[-1])
    beams = beam_search(model, params, carry, start=last, stop=NeverStop(), bound=length, width=width)
    yield decode(np.asarray(beams.symbols[:, 0]), alphabet)
