"""The encoder-decoder: a model that maps one sequence of symbols to another.

    encoder     h⁽ᵗ⁾ = f(h⁽ᵗ⁻¹⁾, E x⁽ᵗ⁾),   t = 1, …, τ_x          C = h⁽τₓ⁾, the concatenated arrays of the state
    decoder     P(y⁽¹⁾ … y⁽τ_y⁾ | x⁽¹⁾ … x⁽τ_x⁾) = ∏ₜ p(y⁽ᵗ⁾ | y⁽¹⁾ … y⁽ᵗ⁻¹⁾, C)

The two halves have separate parameters, sizes and lengths, τ_x ≠ τ_y, and are trained together: the gradient of
log P(y | x) reaches the encoder through C.  C enters the decoder in one of the chapter's three ways,

    "every step"      x⁽ᵗ⁾ = E′ y⁽ᵗ⁻¹⁾ + P C,     h′⁽⁰⁾ = the initial carry
    "initial state"   x⁽ᵗ⁾ = E′ y⁽ᵗ⁻¹⁾,           h′⁽⁰⁾ = d + B C
    "both"            x⁽ᵗ⁾ = E′ y⁽ᵗ⁻¹⁾ + P C,     h′⁽⁰⁾ = d + B C

as x enters a `Captioner`, which a decoder is once C is known.  An `Attending` in the cell of the decoder also reads the
whole sequence h⁽¹⁾ … h⁽τ_x⁾, which removes the bottleneck of a C of fixed size (item 5).

x → `source`, τ_x → `source_lengths`, C → `context`, y → `symbols`, τ_y → `lengths`, E → `params.embedding`.

References: Cho et al. 2014, §2.2 ("both"); Sutskever, Vinyals & Le 2014, §2 ("initial state"); Bahdanau, Cho &
Bengio 2015 (attention); chapter 4.1; Goodfellow et al. 2016, §10.4.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from jaxrnn.core.arguments import as_array, check_key
from jaxrnn.core.checks import check_choice, check_positive, check_shape
from jaxrnn.core.initializers import input_weights
from jaxrnn.core.masks import mask_from_lengths
from jaxrnn.core.noise import drawing
from jaxrnn.core.precision import matmul
from jaxrnn.core.pytrees import partition, ravel_floating
from jaxrnn.core.types import Carry, Cell, Key, Params
from jaxrnn.directions.bidirectional import Bidirectional
from jaxrnn.generation.captioner import (
    CaptionerCarry,
    CaptionerParams,
    check_state,
    initial_state,
    state_size,
    with_context,
)
from jaxrnn.generation.generator import checked_start, entry
from jaxrnn.generation.stopping import PredictedLength
from jaxrnn.generation.symbol_model import SymbolModel
from jaxrnn.objectives.readout import Readout
from jaxrnn.seq2seq.encoder_checks import check_halves, check_source
from jaxrnn.seq2seq.nested_attention import attend, attending_cells, readings, state_of, with_source
from jaxrnn.unrolling.backpropagation import unroll_bptt


class Seq2SeqParams(NamedTuple):
    """The parameters of the encoder and of the decoder.

    >>> Seq2SeqParams(embedding=None, encoder=None, decoder=None).encoder is None
    True
    """

    embedding: Float[Array, "source_vocabulary source_features"]
    """E: one row per source symbol."""
    encoder: Params
    """The parameters of f."""
    decoder: CaptionerParams
    """The parameters of the decoder, with the maps through which C enters."""


class Encoded(NamedTuple):
    """An encoded source.

    >>> Encoded(context=None, states=jnp.ones((7, 2, 5)), mask=jnp.ones((7, 2), bool)).states.shape
    (7, 2, 5)
    """

    context: Float[Array, "*batch context"]
    """C: the last state of the encoder."""
    states: Float[Array, "source *batch memory"]
    """h⁽ᵗ⁾ for every t, 0 on padding."""
    mask: Bool[Array, "source *batch"]
    """True where a source symbol exists."""


@jax.tree_util.register_static
@dataclass(frozen=True)
class Seq2Seq:
    """A model of P(y⁽¹⁾ … y⁽τ_y⁾ | x⁽¹⁾ … x⁽τ_x⁾), for symbols x and y.

    Args:
      encoder: any cell, a `Stack`, or a `Bidirectional`, with input size `source_features`.
      decoder: the model of y.  Any `Attending` within its cell attends to the outputs of the encoder.
      source_vocabulary: the number of source symbols.
      source_features: the size of the embedding of a source symbol.
      context_enters: how C enters the decoder: "every step", "initial state" or "both".

    Raises:
      TypeError: an encoder that is neither a cell nor a `Bidirectional`; a decoder that is no `SymbolModel`; a state
        that is not floating.
      ValueError: a size below 1; an unknown `context_enters`; an encoder of another input size, or an attention of
        another `memory_size` than the encoder's output.

    >>> from jaxrnn import EndSymbol, GRU, LSTM, greedy
    >>> from jaxrnn.generation import log_likelihood
    >>> model = Seq2Seq(GRU(3, 8), SymbolModel(LSTM(4, 6), 5, features=4, hidden_size=6), 10, source_features=3)
    >>> params = model.init(jax.random.key(0))
    >>> source, source_lengths = jnp.array([[7, 2], [1, 3], [9, 0]]), jnp.array([3, 2])
    >>> encoded = model.encode(params, source, source_lengths)
    >>> symbols, lengths = jnp.array([[1, 4], [0, 2], [0, 3], [0, 0]]), jnp.array([2, 4])  # 0 ends
    >>> outputs = model.apply(params, encoded, symbols, lengths, start=0)
    >>> log_likelihood(EndSymbol(0), outputs, symbols, lengths).shape
    (2,)
    >>> carry = model.initial_carry(params, encoded)
    >>> greedy(model, params, carry, start=jnp.zeros(2, int), stop=EndSymbol(0), bound=6).symbols.shape
    (6, 2)

    References: chapter 4.1; Sutskever, Vinyals & Le 2014.
    """

    encoder: Cell | Bidirectional
    decoder: SymbolModel
    source_vocabulary: int
    source_features: int
    context_enters: str = "both"

    def __post_init__(self):
        check_positive(source_vocabulary=self.source_vocabulary, source_features=self.source_features)
        check_choice("context_enters", self.context_enters, ("every step", "initial state", "both"))
        check_halves(self.encoder, self.decoder, self.source_features)
        check_state(self._state_shapes, self.decoder.cell)

    @property
    def vocabulary(self) -> int:
        """The number of target symbols."""
        return self.decoder.vocabulary

    @property
    def context_size(self) -> int:
        """The size of C."""
        return state_size(partition(_start_shapes(self.encoder))[0])

    def init(self, key: Key) -> Seq2SeqParams:
        """Draw E from a normal distribution, P, B and the map to P(τ_y) by Glorot's rule, each part by its `init`."""
        check_key(key=key)
        e_key, encoder_key, decoder_key, p_key, b_key, length_key = jax.random.split(key, 6)
        decoder = CaptionerParams(self.decoder.init(decoder_key)._replace(length_logits=None))
        size = self.context_size
        if self.context_enters != "initial state":
            decoder = decoder._replace(every_step=input_weights(p_key, (size, self.decoder.features)))
        if self.context_enters != "every step":
            decoder = decoder._replace(initial_state=Readout(size, state_size(self._state_shapes)).init(b_key))
        if self.decoder.longest is not None:
            decoder = decoder._replace(length=Readout(size, self.decoder.longest).init(length_key))
        embedding = jax.random.normal(e_key, (self.source_vocabulary, self.source_features))
        return Seq2SeqParams(embedding, self.encoder.init(encoder_key), decoder)

    def encode(
        self,
        params: Seq2SeqParams,
        source: Int[Array, "source *batch"],
        source_lengths: Int[Array, "*batch"],
        *,
        key: Key | None = None,
    ) -> Encoded:
        """Encode the source: C, and the states for attention.

        Args:
          params: as from `init`.
          source: x⁽ᵗ⁾; values beyond the length of a row are ignored.
          source_lengths: τ_x, at least 1.
          key: the key of an encoder that draws noise; `quiet(model)` encodes without noise.

        Raises:
          TypeError: symbols or lengths that are not integers; no key for an encoder that draws noise.
          ValueError: a wrong shape; an empty source, a length or a symbol out of range, with the number of its row
            (checked outside `jit`).
        """
        source = as_array("source", source, "integers")
        source_lengths = as_array("source_lengths", source_lengths, "integers")
        shape = *source.shape[:1], *source_lengths.shape
        check_shape("source", source, shape, "[source, *batch], that of the lengths")
        mask = mask_from_lengths(source_lengths, len(source))
        check_source(source, source_lengths, self.source_vocabulary)
        known = jnp.where(mask & (source >= 0), source, self.source_vocabulary)
        xs = drawing(self.encoder, key, params.embedding.at[known].get(mode="fill", fill_value=jnp.nan))
        if isinstance(self.encoder, Bidirectional):
            carry, states = self.encoder.apply(params.encoder, xs, mask=mask, run=unroll_bptt)
        else:
            carry, states = unroll_bptt(self.encoder, params.encoder, xs, mask=mask)
        return Encoded(ravel_floating(carry, source_lengths.ndim), states, mask)

    def initial_carry(self, params: Seq2SeqParams, encoded: Encoded) -> CaptionerCarry:
        """Return h′⁽⁰⁾, P C and, with attention, keys and values: all that the decoder keeps of the source.

        Raises:
          TypeError: `encoded` is not from `encode`.
        """
        if not isinstance(encoded, Encoded):
            raise TypeError(f"`encoded` must come from `encode`, got {type(encoded).__name__}.")
        context, decoder = encoded.context, params.decoder
        every_step = None if decoder.every_step is None else matmul(context, decoder.every_step)
        cell, own = with_source(self.decoder.cell, len(encoded.states)), decoder.model.cell
        d = decoder.initial_state
        state = None if d is None else initial_state(d, context, self._state_shapes)
        if attending_cells(cell):
            state = attend(cell, own, encoded.states, state, mask=encoded.mask)
        return CaptionerCarry(cell.initial_carry(own, context.shape[:-1]) if state is None else state, every_step)

    def next_logits(
        self, params: Seq2SeqParams, carry: CaptionerCarry, symbol: Any
    ) -> tuple[CaptionerCarry, Float[Array, "*batch outputs"]]:
        """Map (h′⁽ᵗ⁻¹⁾, y⁽ᵗ⁻¹⁾) to (h′⁽ᵗ⁾, o⁽ᵗ⁾); the source is in the carry.

        Raises:
          TypeError, ValueError: another carry than `initial_carry` returns for these rows.
        """
        embedded = with_context(carry, self.decoder.embed(params.decoder.model, symbol))
        read = readings(carry.cell)
        decoder = with_source(self.decoder, read[0].weights.shape[-1]) if read else self.decoder
        after, logits = decoder.step(params.decoder.model, carry.cell, embedded)
        return CaptionerCarry(after, carry.context), logits

    def apply(
        self,
        params: Seq2SeqParams,
        encoded: Encoded,
        symbols: Int[Array, "time *batch"],
        lengths: Int[Array, "*batch"],
        *,
        start: int | Int[Array, "*batch"],
        key: Key | None = None,
    ) -> Float[Array, "time *batch outputs"]:
        """Return o⁽ᵗ⁾ from the source and the true y⁽ᵗ⁻¹⁾, for `log_likelihood`.

        Args:
          params: as from `init`.
          encoded: the source, as `encode` returns it.
          symbols: y⁽ᵗ⁾, `[time, *batch]`; values beyond the length of a row are ignored.
          lengths: τ, `[*batch]`.
          start: y⁽⁰⁾.
          key: the key of a decoder that draws noise; `quiet(model)` generates without noise.

        Raises:
          TypeError, ValueError: as `SymbolModel.apply`.
        """
        carry, context = self.initial_carry(params, encoded)
        decoder, own = with_source(self.decoder, len(encoded.states)), params.decoder.model
        return decoder.apply(own, symbols, lengths, start=start, carry=carry, context=context, key=key)

    def alignment(
        self,
        params: Seq2SeqParams,
        encoded: Encoded,
        symbols: Int[Array, "time *batch"],
        lengths: Int[Array, "*batch"],
        *,
        start: int | Int[Array, "*batch"],
    ) -> Float[Array, "time *batch heads source"]:
        """Return α⁽ᵗ⁾ for the true y⁽ᵗ⁻¹⁾, the source positions that each symbol read; 0 beyond the length of a row.

        Raises:
          TypeError: a decoder without attention, or with more than one.
        """
        if (count := len(readings(_start_shapes(self.decoder.cell)))) != 1:
            raise TypeError(f"`decoder` must have an Attending cell for an alignment, and one, got {count} in {self}.")
        symbols, lengths = as_array("symbols", symbols, "integers"), as_array("lengths", lengths, "integers")
        check_shape("symbols", symbols, (*symbols.shape[:1], *lengths.shape), "[time, *batch], the batch of `lengths`")
        mask, first = mask_from_lengths(lengths, len(symbols)), checked_start(start, self.vocabulary, lengths.shape)
        before = jnp.concatenate([first[None], jnp.where(mask, symbols, 0)])[:-1]
        remaining = lengths - jnp.arange(len(symbols)).reshape(-1, *[1] * lengths.ndim)

        def step(carry, at_t):
            carry, _ = self.next_logits(params, carry, entry(*at_t))
            return carry, readings(carry.cell)[0].weights

        told = None if self.decoder.longest is None else jnp.maximum(remaining, 1)
        weights = lax.scan(step, self.initial_carry(params, encoded), (before, told))[1]
        return jnp.where(mask[..., None, None], weights, 0)

    def predicted_length(self, params: Seq2SeqParams, encoded: Encoded) -> PredictedLength:
        """Return the stop rule with P(τ_y | C).

        Raises:
          ValueError: the model does not predict a length.
        """
        if params.decoder.length is None or self.decoder.longest is None:
            raise ValueError(f"`longest` must be given for a model that predicts its length, got {self.decoder}.")
        readout = Readout(self.context_size, self.decoder.longest)
        return PredictedLength(readout.apply(params.decoder.length, encoded.context))

    @property
    def _state_shapes(self) -> Carry:
        """Return the shapes of the part of the decoder's carry that C can set."""
        return state_of(_start_shapes(self.decoder.cell))


def _start_shapes(cell: Cell | Bidirectional) -> Carry:
    """Return the shapes of the initial carry of one row."""
    return jax.eval_shape(lambda key: cell.initial_carry(cell.init(key)), jax.eval_shape(lambda: jax.random.key(0)))
