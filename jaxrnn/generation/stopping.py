"""Stop rules, which determine the length of the output.

There are three rules, and every generator takes any of them.  A sequence y⁽¹⁾ … y⁽τ⁾ has the probability

    end symbol e        Πₜ p(y⁽ᵗ⁾),                            y⁽ᵗ⁾ = e at t = τ and only there
    stop unit s         Πₜ p(y⁽ᵗ⁾) · Πₜ_<τ (1 − s⁽ᵗ⁾) · s⁽τ⁾,     s⁽ᵗ⁾ = σ(oₛ⁽ᵗ⁾)
    predicted length    P(τ) Πₜ p(y⁽ᵗ⁾ | τ),                   the input holds τ − t at every step

and one formula covers all three.  At every step a rule returns the log-odds of stopping there, and

    log P = log P(τ) + Σₜ [log p(y⁽ᵗ⁾) + log σ(±log-odds)],     + at the step that stops, − before it,

where the log-odds are ±∞ for the two deterministic rules, and P(τ) = 1 for the two that do not predict τ.  The end
symbol belongs to its sequence and counts in τ, so τ ≥ 1.

*The bound.*  A loop runs at most `bound` steps.  A row that reaches the bound without stopping is the common beginning
of all longer sequences, and its probability is their sum (its last step counts as "did not stop").  The stopped
sequences of length ≤ bound and the unstopped ones of length = bound therefore sum to 1.

τ → `lengths`; τ − t, counted before y⁽ᵗ⁺¹⁾ is drawn, → `remaining` (1: the next symbol is the last).

References: chapter 2.6; Goodfellow, Bengio & Courville 2016, §10.2.4; Graves 2013, §5.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxrnn.core.arguments import whole_number
from jaxrnn.core.checks import check_range, check_shape
from jaxrnn.core.masks import mask_from_lengths
from jaxrnn.core.precision import accumulator


class Countdown(NamedTuple):
    """The input of a step under `PredictedLength`: the last symbol, and the number still to come.

    >>> Countdown(symbol=jnp.array(3), remaining=jnp.array(7)).remaining.item()
    7
    """

    symbol: Int[Array, "*batch"]
    remaining: Int[Array, "*batch"]
    """The number of symbols still to come, from τ down to 1."""


@runtime_checkable
class StopRule(Protocol):
    """A rule that says when a generator stops."""

    @property
    def units(self) -> int:
        """The number of outputs that the generator needs besides one per symbol."""
        ...

    @property
    def length_logits(self) -> Float[Array, "*batch longest"] | None:
        """The unnormalized log P(τ) for τ = 1, 2, …; None if the length is not predicted."""
        ...

    def symbol_logits(self, outputs: Array) -> Array:
        """Return the outputs that belong to symbols, `[..., vocabulary]`."""
        ...

    def stop_logit(self, outputs: Array, symbol: Array, remaining: Any) -> Array:
        """Return the log-odds of stopping after `symbol`; ±∞ where the decision is certain."""
        ...


@jax.tree_util.register_static
@dataclass(frozen=True)
class EndSymbol:
    """A stop rule: the sequence ends with an end symbol, which belongs to it.

    Args:
      symbol: e, an integer of at least 0, the last symbol of every sequence in the training set.

    Raises:
      ValueError: `symbol` is not an integer of at least 0.

    >>> EndSymbol(0).stop_logit(jnp.zeros((2, 5)), jnp.array([0, 3]), None)
    Array([ inf, -inf], dtype=float32)

    References: chapter 2.6, item 3, first way.
    """

    symbol: int

    units = 0
    length_logits = None

    def __post_init__(self):
        object.__setattr__(self, "symbol", whole_number("symbol", self.symbol))

    def symbol_logits(self, outputs: Float[Array, "*batch outputs"]) -> Float[Array, "*batch vocabulary"]:
        """Return all outputs."""
        if self.symbol >= outputs.shape[-1]:
            raise ValueError(f"`stop` must end at a symbol in 0 … {outputs.shape[-1] - 1}, got {self}.")
        return outputs

    def stop_logit(self, outputs: Float[Array, "..."], symbol: Int[Array, "..."], remaining: Any) -> Array:
        """Return +∞ where `symbol` is e, else −∞."""
        return _certain(symbol == self.symbol, outputs.dtype)


@jax.tree_util.register_static
@dataclass(frozen=True)
class NeverStop:
    """A stop rule: a sequence ends at the bound of its decoder, as a passage of an endless text does.

    >>> NeverStop().stop_logit(jnp.zeros((2, 5)), jnp.array([0, 3]), None)
    Array([-inf, -inf], dtype=float32)
    """

    units = 0
    length_logits = None

    def symbol_logits(self, outputs: Float[Array, "*batch outputs"]) -> Float[Array, "*batch vocabulary"]:
        """Return all outputs."""
        return outputs

    def stop_logit(self, outputs: Float[Array, "..."], symbol: Int[Array, "..."], remaining: Any) -> Array:
        """Return −∞."""
        return _certain(jnp.zeros_like(symbol, bool), outputs.dtype)


@jax.tree_util.register_static
@dataclass(frozen=True)
class StopUnit:
    """A stop rule: an extra output unit makes the current symbol the last with probability s = σ(oₛ).

    The stop unit is the last output.  Symbol and stop are drawn independently given the state.

    >>> outputs = jnp.array([1.0, 2.0, -0.5])  # two symbols and the unit
    >>> StopUnit().symbol_logits(outputs), float(StopUnit().stop_logit(outputs, jnp.array(0), None))
    (Array([1., 2.], dtype=float32), -0.5)

    References: chapter 2.6, item 3, second way; Graves 2013, §5.
    """

    units = 1
    length_logits = None

    def symbol_logits(self, outputs: Float[Array, "*batch outputs"]) -> Float[Array, "*batch vocabulary"]:
        """Return all outputs but the last."""
        if outputs.shape[-1] < 2:
            raise ValueError(f"`outputs` must hold the symbols and the stop unit, got shape {outputs.shape}.")
        return outputs[..., :-1]

    def stop_logit(self, outputs: Float[Array, "..."], symbol: Int[Array, "..."], remaining: Any) -> Array:
        """Return the last output."""
        return jnp.broadcast_to(outputs[..., -1], jnp.broadcast_shapes(outputs.shape[:-1], symbol.shape))


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class PredictedLength:
    """A stop rule: τ is drawn before the first symbol, and the input counts down the symbols still to come.

    Args:
      length_logits: log P(τ) up to a constant, for τ = 1, …, longest: `[*batch, longest]`.  −∞ excludes a
        length, and a single finite entry fixes it.

    The `next_logits` of the generator receives a `Countdown` instead of a symbol.

    >>> rule = PredictedLength(jnp.log(jnp.array([0.5, 0.25, 0.25])))
    >>> rule.stop_logit(jnp.zeros((2, 5)), jnp.array([4, 4]), jnp.array([1, 2]))
    Array([ inf, -inf], dtype=float32)

    References: chapter 2.6, item 3, third way.
    """

    length_logits: Float[Array, "*batch longest"]

    units = 0

    def symbol_logits(self, outputs: Float[Array, "*batch outputs"]) -> Float[Array, "*batch vocabulary"]:
        """Return all outputs."""
        return outputs

    def stop_logit(self, outputs: Float[Array, "..."], symbol: Int[Array, "..."], remaining: Any) -> Array:
        """Return +∞ where one symbol was still to come, else −∞."""
        return jnp.broadcast_to(
            _certain(remaining == 1, outputs.dtype), jnp.broadcast_shapes(jnp.shape(remaining), symbol.shape)
        )


def log_likelihood(
    stop: StopRule,
    outputs: Float[Array, "time *batch outputs"],
    symbols: Int[Array, "time *batch"],
    lengths: Int[Array, "*batch"],
    *,
    stopped: Bool[Array, "*batch"] | None = None,
) -> Float[Array, "*batch"]:
    """Return log P of whole sequences in nats, one number per row: the objective of maximum likelihood.

        log P(τ) + Σ_{t ≤ τ} [log softmax(o⁽ᵗ⁾)_{y⁽ᵗ⁾} + log σ(±log-odds⁽ᵗ⁾)]

    Args:
      stop: the stop rule.
      outputs: o⁽ᵗ⁾, computed from y⁽¹⁾ … y⁽ᵗ⁻¹⁾, as the `apply` of a model or `forced_outputs` returns them.
      symbols: y⁽ᵗ⁾; values beyond the length of a row are ignored.
      lengths: τ; a row of length 0 holds no sequence and has log P = 0 with gradient 0.
      stopped: False for rows that reached the bound (see above); None for all True.

    Returns:
      log P in at least float32; −∞ for an impossible sequence: under `EndSymbol` a sequence with e before its
      end, or without it; under `PredictedLength` one that is longer than `longest`.

    Raises:
      ValueError: a wrong shape; a symbol out of range on a valid step, a length out of range (checked
        outside `jit`; under `jit` such a symbol has probability 0, log P = −∞).
      TypeError: lengths that are not integers.

    >>> outputs = jnp.log(jnp.array([[0.5, 0.5], [0.25, 0.75]]))
    >>> p = jnp.exp(log_likelihood(EndSymbol(0), outputs, jnp.array([1, 0]), jnp.array(2)))
    >>> round(float(p), 6)
    0.125
    """
    check_shape("symbols", symbols, outputs.shape[:-1], "[time, *batch], the leading axes of `outputs`")
    check_shape("lengths", lengths, outputs.shape[1:-1], "[*batch], the middle axes of `outputs`")
    steps = jnp.arange(len(symbols)).reshape(-1, *[1] * lengths.ndim)
    mask = mask_from_lengths(lengths, len(symbols))
    check_range("symbols", symbols, 0, stop.symbol_logits(outputs).shape[-1] - 1, mask)
    outputs = jnp.where(mask[..., None], outputs.astype(accumulator(outputs.dtype)), 0)
    symbols = jnp.where(mask, symbols, 0)
    stops = (steps == lengths - 1) & (True if stopped is None else stopped)
    return jnp.sum(jnp.where(mask, step_log_probability(stop, outputs, symbols, lengths - steps, stops), 0), axis=0) + (
        jnp.where(lengths > 0, length_log_probability(stop, lengths), 0)
    )


def step_log_probability(stop: StopRule, outputs: Array, symbol: Array, remaining: Any, stops: Array) -> Array:
    """Return log p of drawing `symbol` and of stopping or not there, for any leading axes."""
    logit = stop.stop_logit(outputs, symbol, remaining)
    log_p = jax.nn.log_softmax(stop.symbol_logits(outputs))
    known = jnp.where(symbol < 0, log_p.shape[-1], symbol)  # −1 is no symbol, not the last one
    picked = jnp.take_along_axis(log_p, known[..., None], axis=-1, mode="fill", fill_value=-jnp.inf)
    return picked[..., 0] + jax.nn.log_sigmoid(jnp.where(stops, logit, -logit))


def step_table(stop: StopRule, outputs: Float[Array, "*batch outputs"], remaining: Any) -> Array:
    """Return log p of every symbol without and with a stop after it, `[*batch, vocabulary, 2]`."""
    log_p = jax.nn.log_softmax(stop.symbol_logits(outputs))
    remaining = None if remaining is None else remaining[..., None]
    logit = stop.stop_logit(outputs[..., None, :], jnp.arange(log_p.shape[-1]), remaining)
    return log_p[..., None] + jax.nn.log_sigmoid(jnp.stack([-logit, logit], axis=-1))


def length_log_probability(stop: StopRule, lengths: Int[Array, "*batch"]) -> Array:
    """Return log P(τ), `[*batch]`; 0 if the length is not predicted."""
    if stop.length_logits is None:
        return jnp.zeros(jnp.shape(lengths))
    log_p = jax.nn.log_softmax(stop.length_logits)
    check_shape("length_logits", log_p, (*jnp.shape(lengths), log_p.shape[-1]), "[*batch, longest]")
    index = jnp.where(lengths > 0, lengths - 1, log_p.shape[-1])
    return jnp.take_along_axis(log_p, index[..., None], axis=-1, mode="fill", fill_value=-jnp.inf)[..., 0]


def _certain(stops: Array, dtype) -> Array:
    return jnp.where(stops, jnp.inf, -jnp.inf).astype(dtype)
