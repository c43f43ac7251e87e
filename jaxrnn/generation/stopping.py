"""How long the output is: chapter, section 2.6.

Three rules, each a value that any generator takes.  A sequence y⁽¹⁾ … y⁽τ⁾ has the probability

    end symbol e        Πₜ p(y⁽ᵗ⁾),                            y⁽ᵗ⁾ = e at t = τ and only there
    stop unit s         Πₜ p(y⁽ᵗ⁾) · Πₜ_<τ (1 − s⁽ᵗ⁾) · s⁽τ⁾,     s⁽ᵗ⁾ = σ(oₛ⁽ᵗ⁾)
    predicted length    P(τ) Πₜ p(y⁽ᵗ⁾ | τ),                   the loop is told τ − t at every step

and all three are one formula.  At every step a rule gives the log-odds of stopping there, and

    log P = log P(τ) + Σₜ [log p(y⁽ᵗ⁾) + log σ(±log-odds)],     + at the step that stops, − before it,

where the log-odds are ±∞ for the two rules that leave nothing to chance, and P(τ) = 1 for the two that do
not predict it.  The end symbol belongs to its sequence and counts in τ, so τ ≥ 1 always.

*The bound.*  A loop makes at most `bound` steps.  A row that gets there without a stop is the common
beginning of all the sequences that are longer; its probability is theirs together (its last step counts
as "did not stop").  So the stopped sequences of length ≤ bound and the unstopped ones of length = bound
have the sum 1.

τ → `lengths`; τ − t, counted before y⁽ᵗ⁺¹⁾ is drawn, → `remaining` (1: the next symbol is the last).

References: chapter, section 2.6; Goodfellow, Bengio & Courville 2016, §10.2.4; Graves 2013, §5.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxrnn.core.checks import check_range, check_shape
from jaxrnn.core.masks import mask_from_lengths
from jaxrnn.core.precision import accumulator


class Countdown(NamedTuple):
    """What enters a step under `PredictedLength`: the last symbol, and how many are still to come."""

    symbol: Int[Array, "*batch"]
    remaining: Int[Array, "*batch"]
    """From τ down to 1."""


@runtime_checkable
class StopRule(Protocol):
    """When a generator stops."""

    @property
    def units(self) -> int:
        """How many outputs the generator must have beside one for each symbol."""
        ...

    @property
    def length_logits(self) -> Float[Array, "*batch longest"] | None:
        """log P(τ) for τ = 1, 2, …, up to a constant; None where the length is not predicted."""
        ...

    def symbol_logits(self, outputs: Array) -> Array:
        """Of the generator's outputs those that belong to symbols: `[..., vocabulary]`."""
        ...

    def stop_logit(self, outputs: Array, symbol: Array, remaining: Any) -> Array:
        """The log-odds of stopping here, after `symbol`; ±∞ where it is certain."""
        ...


@jax.tree_util.register_static
@dataclass(frozen=True)
class EndSymbol:
    """The sequence ends when it says so: with the symbol `symbol`, which is a part of it.

    Args:
      symbol: e, an integer of at least 0, the last symbol of every sequence in the training set.

    Raises:
      ValueError: another `symbol`.

    >>> EndSymbol(0).stop_logit(jnp.zeros((2, 5)), jnp.array([0, 3]), None)
    Array([ inf, -inf], dtype=float32)

    References: chapter, section 2.6, item 3, the first way.
    """

    symbol: int

    units = 0
    length_logits = None

    def __post_init__(self):
        if not isinstance(self.symbol, int) or isinstance(self.symbol, bool) or self.symbol < 0:
            raise ValueError(f"`symbol` must be an integer of at least 0, got {self.symbol!r}.")

    def symbol_logits(self, outputs: Float[Array, "*batch outputs"]) -> Float[Array, "*batch vocabulary"]:
        """All of them."""
        if self.symbol >= outputs.shape[-1]:
            raise ValueError(f"`stop` must end at a symbol in 0 … {outputs.shape[-1] - 1}, got {self}.")
        return outputs

    def stop_logit(self, outputs: Float[Array, "..."], symbol: Int[Array, "..."], remaining: Any) -> Array:
        """+∞ where `symbol` is e, else −∞."""
        return _certain(symbol == self.symbol, outputs.dtype)


@jax.tree_util.register_static
@dataclass(frozen=True)
class StopUnit:
    """One output more, the last, is a Bernoulli unit: the symbol drawn here is the last with s = σ(oₛ).

    Symbol and stop are drawn independently, given the state.

    >>> outputs = jnp.array([1.0, 2.0, -0.5])  # two symbols and the unit
    >>> StopUnit().symbol_logits(outputs), float(StopUnit().stop_logit(outputs, jnp.array(0), None))
    (Array([1., 2.], dtype=float32), -0.5)

    References: chapter, section 2.6, item 3, the second way; Graves 2013, §5.
    """

    units = 1
    length_logits = None

    def symbol_logits(self, outputs: Float[Array, "*batch outputs"]) -> Float[Array, "*batch vocabulary"]:
        """All but the last."""
        if outputs.shape[-1] < 2:
            raise ValueError(f"`outputs` must hold the symbols and the stop unit, got shape {outputs.shape}.")
        return outputs[..., :-1]

    def stop_logit(self, outputs: Float[Array, "..."], symbol: Int[Array, "..."], remaining: Any) -> Array:
        """The last output."""
        return jnp.broadcast_to(outputs[..., -1], jnp.broadcast_shapes(outputs.shape[:-1], symbol.shape))


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class PredictedLength:
    """τ is drawn before the first symbol; then the generator is told at every step how many are to come.

    Args:
      length_logits: log P(τ) up to a constant, for τ = 1, …, longest: `[*batch, longest]`.  −∞ is a length
        that does not happen; all but one −∞ is a length that is given.

    The generator's `next_logits` gets a `Countdown` where it got the symbol.

    >>> rule = PredictedLength(jnp.log(jnp.array([0.5, 0.25, 0.25])))
    >>> rule.stop_logit(jnp.zeros((2, 5)), jnp.array([4, 4]), jnp.array([1, 2]))
    Array([ inf, -inf], dtype=float32)

    References: chapter, section 2.6, item 3, the third way.
    """

    length_logits: Float[Array, "*batch longest"]

    units = 0

    def symbol_logits(self, outputs: Float[Array, "*batch outputs"]) -> Float[Array, "*batch vocabulary"]:
        """All of them."""
        return outputs

    def stop_logit(self, outputs: Float[Array, "..."], symbol: Int[Array, "..."], remaining: Any) -> Array:
        """+∞ where one symbol was to come, else −∞."""
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
    """log P of whole sequences, in nats: what maximum likelihood maximises, one number a row.

        log P(τ) + Σ_{t ≤ τ} [log softmax(o⁽ᵗ⁾)_{y⁽ᵗ⁾} + log σ(±log-odds⁽ᵗ⁾)]

    Args:
      stop: the rule.
      outputs: o⁽ᵗ⁾, computed from y⁽¹⁾ … y⁽ᵗ⁻¹⁾, as a model's `apply` or `forced_outputs` gives them.
      symbols: y⁽ᵗ⁾; what stands beyond a row's length is not looked at.
      lengths: τ; a row of length 0 is no sequence and counts as log P = 0, with zero gradient.
      stopped: False for rows that reached the bound (see the module's docstring); None is all True.

    Returns:
      log P, in at least float32; −∞ for what cannot happen: under `EndSymbol` a sequence with e before its
      end, or without it; under `PredictedLength` one longer than `longest`.

    Raises:
      ValueError: a wrong shape; a symbol out of range on a valid step, a length out of range (where the
        values are known; under `jit` such a symbol has probability 0, log P = −∞).
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
    """log p of drawing `symbol` and of stopping there, or not: `[...]`, for any leading axes."""
    logit = stop.stop_logit(outputs, symbol, remaining)
    log_p = jax.nn.log_softmax(stop.symbol_logits(outputs))
    known = jnp.where(symbol < 0, log_p.shape[-1], symbol)  # −1 is no symbol, not the last one
    picked = jnp.take_along_axis(log_p, known[..., None], axis=-1, mode="fill", fill_value=-jnp.inf)
    return picked[..., 0] + jax.nn.log_sigmoid(jnp.where(stops, logit, -logit))


def step_table(stop: StopRule, outputs: Float[Array, "*batch outputs"], remaining: Any) -> Array:
    """log p of every symbol without and with a stop after it, `[*batch, vocabulary, 2]`; the exponentials sum to 1."""
    log_p = jax.nn.log_softmax(stop.symbol_logits(outputs))
    remaining = None if remaining is None else remaining[..., None]
    logit = stop.stop_logit(outputs[..., None, :], jnp.arange(log_p.shape[-1]), remaining)
    return log_p[..., None] + jax.nn.log_sigmoid(jnp.stack([-logit, logit], axis=-1))


def length_log_probability(stop: StopRule, lengths: Int[Array, "*batch"]) -> Array:
    """log P(τ), `[*batch]`; 0 where the length is not predicted."""
    if stop.length_logits is None:
        return jnp.zeros(jnp.shape(lengths))
    log_p = jax.nn.log_softmax(stop.length_logits)
    check_shape("length_logits", log_p, (*jnp.shape(lengths), log_p.shape[-1]), "[*batch, longest]")
    index = jnp.where(lengths > 0, lengths - 1, log_p.shape[-1])
    return jnp.take_along_axis(log_p, index[..., None], axis=-1, mode="fill", fill_value=-jnp.inf)[..., 0]


def _certain(stops: Array, dtype) -> Array:
    return jnp.where(stops, jnp.inf, -jnp.inf).astype(dtype)
