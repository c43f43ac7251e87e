"""The model, loss, exact match and pictures that the translation tasks share.

    log P(y⁽¹⁾ … y⁽τ_y⁾ | x⁽¹⁾ … x⁽τ_x⁾)       is maximized jointly over encoder and decoder: chapter 4.1

The encoder reads in both directions.  With attention, C sets the initial state of the decoder, which
attends to the states.  Without attention, C also enters at every step.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxrnn.cells.gru import GRU
from jaxrnn.core.masks import mask_from_lengths
from jaxrnn.core.types import Carry, Key
from jaxrnn.directions.bidirectional import Bidirectional
from jaxrnn.generation.beams import beam_search
from jaxrnn.generation.decoding import Sequences, greedy
from jaxrnn.generation.stopping import EndSymbol
from jaxrnn.generation.symbol_model import SymbolModel
from jaxrnn.objectives.losses import cross_entropy
from jaxrnn.seq2seq.attending import Attending
from jaxrnn.seq2seq.attention import Attention
from jaxrnn.seq2seq.encoder_decoder import Seq2Seq, Seq2SeqParams
from jaxrnn.tasks.translation.sequence_pairs import END, Pairs, padded

Score = Literal["none", "additive", "location", "dot", "general", "scaled"]
"""The attention of the decoder; "none" leaves only the fixed C."""


class Translation(NamedTuple):
    """A translation with its alignment."""

    source: Sequence[str]
    """The source symbols."""
    answer: Sequence[str]
    """The target symbols, without the end."""
    weights: Float[np.ndarray, "answer source"] | None
    """α, averaged over heads; None without attention."""


def translator(source_symbols: int, target_symbols: int, *, hidden: int, embedding: int, attention: Score) -> Seq2Seq:
    """Build the model: a bidirectional GRU encoder and a GRU decoder."""
    half = hidden // 2
    encoder = Bidirectional(GRU(embedding, half), GRU(embedding, hidden - half))
    if attention == "none":
        decoder = SymbolModel(GRU(embedding, hidden), target_symbols + 1, embedding, hidden)
        return Seq2Seq(encoder, decoder, source_symbols, embedding, "both")
    tanh = attention in ("additive", "location")
    reads = Attention(hidden, hidden, attention, units=hidden if tanh else None)
    cell = Attending(GRU(embedding + hidden, hidden), reads, source=1)
    decoder = SymbolModel(cell, target_symbols + 1, embedding, cell.output_size)
    return Seq2Seq(encoder, decoder, source_symbols, embedding, "initial state")


def carry(task: Any, model: Seq2Seq, params: Seq2SeqParams) -> Carry:
    """Return None, because each pair is independent of the others."""
    return None


def units(task: Any) -> int:
    """Return the number of pairs in a batch."""
    return task.batch


def loss(task: Any, model: Seq2Seq, params: Seq2SeqParams, carry: Carry, batch: Pairs, key: Key):
    """Return −log P(y | x), averaged over target symbols."""
    return nats(model, params, batch), carry


def metrics(task: Any, loss: float) -> dict[str, float]:
    """Return the loss under the name of its metric."""
    return {"nats": float(loss)}


def nats(model: Seq2Seq, params: Seq2SeqParams, batch: Pairs) -> Array:
    """Return −log P(y | x), averaged over target symbols."""
    source, source_lengths, target, lengths = map(jnp.asarray, batch)
    outputs = model.apply(params, model.encode(params, source, source_lengths), target, lengths, start=END)
    return cross_entropy(outputs, target, mask=mask_from_lengths(lengths, len(target)))


@partial(jax.jit, static_argnames="bound")
def answers(model: Seq2Seq, params: Seq2SeqParams, source, source_lengths, *, bound: int) -> Sequences:
    """Return the likeliest symbol at every step."""
    carry = model.initial_carry(params, model.encode(params, source, source_lengths))
    start = jnp.full(jnp.shape(source_lengths), END)
    return greedy(model, params, carry, start=start, stop=EndSymbol(END), bound=bound)


@partial(jax.jit, static_argnames=("bound", "width"))
def likeliest_answers(model: Seq2Seq, params: Seq2SeqParams, source, source_lengths, *, bound: int, width: int):
    """Return the symbols and lengths of the best of `width` hypotheses."""
    carry = model.initial_carry(params, model.encode(params, source, source_lengths))
    start = jnp.full(jnp.shape(source_lengths), END)
    beams = beam_search(model, params, carry, start=start, stop=EndSymbol(END), bound=bound, width=width)
    return beams.symbols[..., 0], beams.lengths[..., 0]


def exact(model: Seq2Seq, params: Seq2SeqParams, batch: Pairs) -> np.ndarray:
    """Return which translations are exactly right.

    Args:
      model: the encoder-decoder.
      params: its parameters.
      batch: `Pairs`.

    Returns:
      Booleans, `[n]`.

    >>> import jax
    >>> from jaxrnn.tasks.translation.sequence_pairs import pairs
    >>> model = translator(2, 2, hidden=4, embedding=3, attention="none")
    >>> two = pairs(["ab", "b"], ["ba", "b"], source_symbols="ab", target_symbols="ab")
    >>> exact(model, model.init(jax.random.key(0)), two).shape
    (2,)
    """
    made = jax.device_get(answers(model, params, batch.source, batch.source_lengths, bound=len(batch.target)))
    want = np.where(np.arange(len(batch.target))[:, None] < batch.target_lengths, batch.target, made.symbols)
    return (made.symbols == want).all(axis=0) & (made.lengths == batch.target_lengths) & made.stopped


def measure(model: Seq2Seq, params: Seq2SeqParams, held_out: Pairs) -> dict[str, float]:
    """Return the loss and the fraction of exact translations."""
    loss = _nats(model, params, held_out)
    return {"nats": float(loss), "exact_match": float(exact(model, params, held_out).mean())}


_nats = jax.jit(nats)


def translate(
    model: Seq2Seq,
    params: Seq2SeqParams,
    source: Sequence[str],
    *,
    source_symbols: Sequence[str],
    target_symbols: Sequence[str],
    bound: int,
    beam: int = 1,
) -> Translation:
    """Translate one source; sources of many lengths share a few compiled programs.

    Args:
      model: the encoder-decoder.
      params: its parameters.
      source: a sequence of source symbols.
      source_symbols: all source symbols, in the order of their numbers.
      target_symbols: all target symbols, in the order of their numbers.
      bound: the largest length of the translation.
      beam: the number of hypotheses; with 1 the likeliest symbol is taken at every step.

    Returns:
      A `Translation`.

    Raises:
      InputError: an empty source, or an unknown symbol.

    >>> import jax
    >>> model = translator(2, 2, hidden=4, embedding=3, attention="none")
    >>> translate(model, model.init(jax.random.key(0)), "ab", source_symbols="ab", target_symbols="ab", bound=4).source
    'ab'
    """
    numbers, lengths = padded([source], source_symbols, name="the text")
    if beam == 1:
        made, count, *_ = answers(model, params, numbers, lengths, bound=bound)
    else:
        made, count = likeliest_answers(model, params, numbers, lengths, bound=bound, width=beam)
    symbols = np.asarray(made)[: int(count[0]), 0]
    answer = [target_symbols[symbol - 1] for symbol in symbols if symbol != END]
    if not isinstance(model.decoder.cell, Attending):
        return Translation(source, answer, None)
    weights = np.asarray(_alignment(model, params, numbers, lengths, made, count))
    return Translation(source, answer, weights[: len(answer), 0].mean(axis=1)[:, : len(source)])


@jax.jit
def _alignment(model, params, source, source_lengths, symbols, lengths):
    return model.alignment(params, model.encode(params, source, source_lengths), symbols, lengths, start=END)


def draw_alignments(file: Path, translations: Sequence[Translation]) -> None:
    """Draw one picture per translation: source downwards, target across, darker for more attention."""
    from matplotlib.figure import Figure

    sizes = [(len(t.answer), len(t.source)) for t in translations]
    height = max(n for _, n in sizes)
    figure = Figure(figsize=(1.2 + 2.6 * len(sizes), 1.0 + 0.17 * height), dpi=150, layout="constrained")
    for axes, t in zip(np.atleast_1d(figure.subplots(1, len(sizes))), translations, strict=True):
        axes.imshow(np.asarray(t.weights).T, cmap="Blues", vmin=0, vmax=1, aspect="auto")
        axes.set_xticks(range(len(t.answer)), t.answer)
        axes.set_yticks(range(len(t.source)), ["␣" if symbol == " " else symbol for symbol in t.source], fontsize=7)
        axes.set_title("".join(t.answer), fontsize=9)
    figure.savefig(file, format="png")
