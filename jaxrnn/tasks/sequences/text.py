"""A language model of characters, or of byte pairs: the default task.

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
from typing import Any, ClassVar, Literal

import jax
import jax.numpy as jnp
import numpy as np

from jaxrnn.core.masks import bucket
from jaxrnn.core.noise import quiet
from jaxrnn.core.types import Carry, Key
from jaxrnn.generation.beams import beam_search
from jaxrnn.generation.continuation import continue_sequence
from jaxrnn.generation.sampling import Greedy, Sampling
from jaxrnn.generation.stopping import NeverStop
from jaxrnn.generation.symbol_model import SymbolModel, SymbolModelParams
from jaxrnn.objectives.losses import cross_entropy
from jaxrnn.tasks.data import Corpus, InputError, builtin_text, check_count, corpus, stream_batch
from jaxrnn.tasks.sequences.held_out import measured
from jaxrnn.tasks.sequences.language_cells import LAYERS, layered
from jaxrnn.tasks.sequences.symbols import BytePairs, Characters, in_byte_pairs, symbols_of
from jaxrnn.tasks.text_files import kept_corpus, read_corpus

PIECE = 32
"""Symbols that are drawn between two writes."""

_UNIT: Any = property(lambda task: "characters" if task.tokens is None else "tokens")


@jax.tree_util.register_static
@dataclass(frozen=True)
class Text:
    """Learn to continue a text, character by character, or by --tokens.

    >>> Text(batch=8, length=16).units()
    128
    """

    file: str | None = None
    """Your own UTF-8 text file, of any size; None for Python's language reference."""
    tokens: int | None = None
    """The number of byte pairs, for example 1024, to read instead of characters; they are learned from the text."""
    cell: Literal[
        "elman", "gru", "lstm", "slstm", "min-gru", "lru", "rg-lru", "s5", "mamba", "mamba2", "mlstm", "gated-delta"
    ] = "lstm"
    """The recurrent cell; all but the first three are put in residual blocks."""
    layers: int = 1
    """The number of layers."""
    hidden: int = 256
    """Units of each layer, and the width of a block."""
    embedding: int = 64
    """Size of an embedded character or token for elman, gru and lstm; in blocks it is --hidden."""
    batch: int = 32
    """The number of rows of text in a batch."""
    length: int = 64
    """The number of characters, or tokens, per row in one update."""
    dropout: float = 0.0
    """The share of the units between two layers that is dropped in training."""
    evaluate_characters: int = 300_000
    """The number of held-out characters to measure on; `jaxrnn evaluate --whole` measures on all."""

    unit: ClassVar[Any] = _UNIT
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
        if self.tokens is not None and not 257 <= self.tokens <= 2**16:
            raise InputError(f"--tokens must be an integer from 257 (bytes and a pair) to {2**16}, got {self.tokens}.")
        if not 0 <= self.dropout < 1:
            raise InputError(f"--dropout must lie in [0, 1), got {self.dropout}.")
        if self.cell not in LAYERS and self.embedding not in (Text.embedding, self.hidden):
            raise InputError(
                f"--embedding {self.embedding}: --cell {self.cell} embeds a character at --hidden {self.hidden}."
            )
        if self.layers > 100:  # each is traced by itself
            raise InputError(f"--layers must be at most 100, got {self.layers}.")

    def load(self) -> tuple[Corpus, dict]:
        """Load the text as numbers, and its alphabet.

        Raises:
          InputError: the file cannot be used, or the text is shorter than one sequence.
        """
        return self._numbered(self._characters())

    def load_kept(self, folder: Path) -> tuple[Corpus, dict]:
        """Load the data; store a large text in `folder` as numbers, and open it there."""
        return self._numbered(self._characters(folder), folder)

    def load_again(self, facts: dict, folder: Path) -> tuple[Corpus, dict]:
        """Load the data as `load_kept` does, with the tokenizer in `facts`."""
        return self._numbered(self._characters(folder), folder, facts.get("tokenizer"))

    def files(self, facts: dict) -> dict[str, str]:
        """Return the tokenizer, for `tokenizers.Tokenizer.from_file`."""
        return {} if self.tokens is None else {"tokenizer.json": facts["tokenizer"]}

    def _characters(self, folder: Path | None = None) -> Corpus:
        if self.file is None:
            return corpus(builtin_text())
        return read_corpus(self.file) if folder is None else kept_corpus(self.file, folder)

    def _numbered(self, data: Corpus, folder: Path | None = None, tokenizer: str | None = None) -> tuple[Corpus, dict]:
        count = total = len(data.train) + len(data.held_out)
        facts: dict = {"alphabet": data.alphabet, "sha256": data.digest, "characters": total}
        if self.tokens is not None:
            data = in_byte_pairs(data, self.tokens, tokenizer, folder)
            count = len(data.train) + len(data.held_out)
            facts |= {"tokenizer": data.tokenizer, "tokens": count}
        if len(data.train) <= self.length or len(data.held_out) < 2:
            raise InputError(
                f"{self.file or 'the text'}: has {count} {self.unit}, of which {len(data.train)} are to train on and "
                f"{len(data.held_out)} are held out; it must have more than --length {self.length} and at least 2."
            )
        return data, facts

    def describe(self, facts: dict) -> str:
        """Describe the data in one line."""
        source = "Python's language reference" if self.file is None else Path(self.file).name
        kinds = f"{facts['characters']:,} characters, {len(facts['alphabet'])} distinct, a tenth held out"
        return f"{source}: {kinds}" + ("" if self.tokens is None else f", as {facts['tokens']:,} tokens")

    def model(self, facts: dict) -> SymbolModel:
        """Build the model: embedding, cells, readout."""
        cell = layered(self.cell, self.embedding, self.hidden, self.layers, self.dropout)
        embedding = self.embedding if self.cell in LAYERS else self.hidden
        return SymbolModel(cell, _symbols(facts).size(), embedding, self.hidden)

    def carry(self, model: SymbolModel, params: SymbolModelParams) -> Carry:
        """Return h⁽⁰⁾ = 0 for each row."""
        return model.initial_carry(params, (self.batch,))

    def units(self) -> int:
        """Return the number of characters or tokens in a batch."""
        return self.batch * self.length

    def batch_at(self, data: Corpus, seed: int, step: int) -> Any:
        """Draw tokens `[length + 1, batch]`: the inputs, and shifted by one step, the targets.

        With --tokens, the batch also has the number of tokens per character.
        """
        batch = stream_batch(data.train, seed, step, batch=self.batch, length=self.length)
        return batch if self.tokens is None else (batch, np.float32(1 / data.width))

    def loss(self, model: SymbolModel, params: SymbolModelParams, carry: Carry, batch, key: Key):
        """Return the cross-entropy of the next symbol in nats per character."""
        symbols, rate = (batch, 1.0) if self.tokens is None else batch
        carry, logits = model.read(params, symbols[:-1], carry, key=key)
        return cross_entropy(logits, symbols[1:]) * rate, carry

    def metrics(self, loss: float) -> dict[str, float]:
        """Return L in bits."""
        return {"bits_per_character": float(loss / np.log(2))}

    def evaluate(self, model: SymbolModel, params: SymbolModelParams, data: Corpus) -> dict[str, float]:
        """Return the cross-entropy of `evaluate_characters` held-out characters, spread over all of them."""
        return measured(quiet(model), params, data, self.evaluate_characters)

    def evaluate_whole(self, model: SymbolModel, params: SymbolModelParams, data: Corpus) -> dict[str, float]:
        """Return the cross-entropy of the held-out symbols, each except the first counted once."""
        return measured(quiet(model), params, data)

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
        """Continue a prompt, in pieces as they are drawn, or with `beam` in one piece, the likeliest that is found.

        Raises:
          InputError: the prompt has characters that are not in the alphabet.
        """
        symbols, model = _symbols(facts), quiet(self.model(facts))
        tokens = symbols.encode(prompt)
        if beam is not None:
            return _likeliest(model, params, tokens, beam, length, symbols)
        carry, logits = _read(model, params, *_padded(tokens))
        nucleus = None if top_p is None else jnp.asarray(top_p, float)
        sampling = Sampling(jnp.asarray(temperature, float), top_k, nucleus) if temperature > 0 else Greedy()
        draw = partial(continue_sequence, model, params, sampling=sampling)
        return _pieces(draw, carry, logits, key, length, symbols)


def _symbols(facts: dict) -> Characters | BytePairs:
    return symbols_of(facts["alphabet"], facts.get("tokenizer"))


def _padded(tokens: np.ndarray) -> tuple[np.ndarray, int]:
    """Pad the prompt to the next power of two, so that few lengths are compiled; return it and its length."""
    return np.pad(tokens, (0, bucket(len(tokens), parts=1) - len(tokens))), len(tokens)


@partial(jax.jit, static_argnums=0)
def _read(model: SymbolModel, params, tokens, length):
    """Return h and o after `length` tokens."""
    carry, logits = model.read(params, tokens, mask=jnp.arange(len(tokens)) < length)
    return carry, logits[length - 1]


def _pieces(draw, carry, logits, key: Key, length: int, symbols: Characters | BytePairs) -> Iterator[str]:
    """Draw symbols in pieces, each by the same compiled loop, until there are `length` characters."""
    start, read = 0, symbols.decoder()
    while length > 0:
        carry, logits, tokens = draw(carry, logits, key, start, length=PIECE)
        text = read(np.asarray(tokens))[:length]
        start, length = start + PIECE, length - len(text)
        yield text


def _likeliest(
    model, params, tokens: np.ndarray, width: int, length: int, symbols: Characters | BytePairs
) -> Iterator[str]:
    """Yield the first `length` characters of the best of `width` hypotheses of `length` symbols each."""
    carry, _ = _read(model, params, _padded(tokens)[0], len(tokens) - 1)
    last = jnp.asarray(tokens[-1])
    beams = beam_search(model, params, carry, start=last, stop=NeverStop(), bound=length, width=width)
    yield symbols.decoder()(np.asarray(beams.symbols[:, 0]))[:length]
