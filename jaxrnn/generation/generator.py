"""The protocol of a generator, which produces a sequence symbol by symbol.

    (h⁽ᵗ⁾, o⁽ᵗ⁾) = f(h⁽ᵗ⁻¹⁾, y⁽ᵗ⁻¹⁾),      P(y⁽ᵗ⁾ | y⁽¹⁾ … y⁽ᵗ⁻¹⁾) = softmax(o⁽ᵗ⁾)

A `Generator` is f: a cell with an embedding and a read-out, a decoder with attention, or your own model.  An input of
length 1, or an encoded sequence, is part of the carry.

y → `symbols`, h → `carry`, o → `outputs`.

References: chapter 2.5; Goodfellow et al. 2016, §10.2.3 and §10.2.4.
"""

from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int

from jaxrnn.core.arguments import as_array
from jaxrnn.core.checks import check_range, check_registered, check_shape
from jaxrnn.core.masks import mask_from_lengths
from jaxrnn.core.precision import accumulator
from jaxrnn.core.types import Carry, Params
from jaxrnn.generation.stopping import Countdown, StopRule


@runtime_checkable
class Generator(Protocol):
    """A model that maps a state and a symbol to the next state and the logits of the next symbol."""

    @property
    def vocabulary(self) -> int:
        """The number of symbols."""
        ...

    def next_logits(self, params: Params, carry: Carry, symbol: Any) -> tuple[Carry, Array]:
        """Map (h⁽ᵗ⁻¹⁾, y⁽ᵗ⁻¹⁾) to (h⁽ᵗ⁾, o⁽ᵗ⁾), with o `[*batch, vocabulary + units of the stop rule]`.

        `symbol` is an integer array `[*batch]`, or a `Countdown` under `PredictedLength`.
        """
        ...


def forced_outputs(
    generator: Generator,
    params: Params,
    carry: Carry,
    symbols: Int[Array, "time *batch"],
    lengths: Int[Array, "*batch"],
    *,
    start: int | Int[Array, "*batch"],
    stop: StopRule,
) -> Float[Array, "time *batch outputs"]:
    """Return o⁽ᵗ⁾ from the true y⁽ᵗ⁻¹⁾, for `log_likelihood`: any generator, one step at a time.

    A model with an `apply` that embeds and projects all steps at once returns the same faster.

    Args:
      generator: a `Generator`, a model with `vocabulary` and `next_logits`.
      params: its parameters.
      carry: h⁽⁰⁾, leading axes `[*batch]`.
      symbols: y⁽ᵗ⁾, `[time, *batch]`; values beyond the length of a row are ignored.
      lengths: τ, `[*batch]`, which a generator under `PredictedLength` also receives.
      start: y⁽⁰⁾, one symbol, or one per row.
      stop: the stop rule.

    Returns:
      o⁽ᵗ⁾, `[time, *batch, vocabulary + stop.units]`; meaningless beyond the length of a row.

    Raises:
      TypeError, ValueError: as `sample`; a length or a symbol out of range (checked outside `jit`).

    >>> from jaxrnn import EndSymbol, GRU, SymbolModel
    >>> model = SymbolModel(GRU(4, 8), vocabulary=5, features=4, hidden_size=8)
    >>> params, symbols, lengths = model.init(jax.random.key(0)), jnp.array([[3, 1], [2, 4]]), jnp.array([2, 2])
    >>> carry, start = model.initial_carry(params, (2,)), jnp.array([1, 2])
    >>> os = forced_outputs(model, params, carry, symbols, lengths, start=start, stop=EndSymbol(0))
    >>> bool(jnp.allclose(os, model.apply(params, symbols, lengths, start=start), atol=1e-6))
    True

    References: chapter 2.3 and 2.5.
    """
    symbols, lengths = as_array("symbols", symbols, "integers"), as_array("lengths", lengths, "integers")
    batch = lengths.shape
    check_shape("symbols", symbols, (*symbols.shape[:1], *batch), "[time, *batch], the batch of `lengths`")
    check_range("symbols", symbols, 0, generator.vocabulary - 1, mask_from_lengths(lengths, len(symbols)))
    start = check_decode(generator, carry, start, stop, batch)
    return _forced(generator, params, carry, symbols, lengths, start, stop)


def entry(symbol: Array, remaining: Array | None) -> Any:
    """Return the input of the generator: the symbol, or a `Countdown` if the length is predicted."""
    return symbol if remaining is None else Countdown(symbol, remaining)


def check_decode(generator: Generator, carry, start, stop: StopRule, batch: tuple[int, ...], bound=None) -> Array:
    """Check the arguments that all decoders share, and return `start` with one symbol per row."""
    if not isinstance(generator, Generator):
        raise TypeError(f"`generator` must have vocabulary and next_logits, got {generator!r}.")
    if not isinstance(stop, StopRule):
        raise TypeError(f"`stop` must be a stop rule, such as EndSymbol(0), got {stop!r}.")
    check_registered(generator=generator, stop=stop)
    if stop.length_logits is not None:
        longest = jnp.shape(stop.length_logits)[-1]
        check_shape("length_logits", stop.length_logits, (*batch, longest), "[*batch, longest]")
        if bound is not None and bound < longest:
            raise ValueError(f"`bound` must be at least the longest length, {longest}, got {bound}.")
    for leaf in jax.tree.leaves(carry):
        check_shape(
            "carry", leaf, (*batch, *jnp.shape(leaf)[len(batch) :]), "[*batch, …], one row for each of the batch"
        )
    return checked_start(start, generator.vocabulary, batch)


def fit(generator: Generator, params: Params, carry: Carry, start: Array, stop: StopRule) -> tuple[Carry, Any]:
    """Cast the carry to the dtypes that the generator returns, and return the dtype of log-probabilities.

    It inspects shapes only, at compile time.

    Raises:
      ValueError: the outputs of the generator do not match the stop rule.
    """
    told = None if stop.length_logits is None else start
    after, outputs = jax.eval_shape(generator.next_logits, params, carry, entry(start, told))
    expected = (*start.shape, generator.vocabulary + stop.units)
    if outputs.shape != expected:
        raise ValueError(
            f"`generator` must give outputs of shape {expected}, one for each symbol and {stop.units} for "
            f"{type(stop).__name__}, got {outputs.shape}."
        )
    return jax.tree.map(lambda leaf, want: jnp.asarray(leaf, want.dtype), carry, after), accumulator(outputs.dtype)


def checked_start(start, vocabulary: int, batch: tuple[int, ...]) -> Int[Array, "*batch"]:
    """Return the start symbol of every row.

    Raises:
      TypeError: symbols that are not integers.
      ValueError: a wrong shape, or a symbol out of range.
    """
    start = as_array("start", start, "integers")
    if not jnp.issubdtype(jnp.result_type(start), jnp.integer):
        raise TypeError(f"`start` must be integer symbols, got {jnp.result_type(start)}.")
    if jnp.shape(start) not in ((), batch):
        raise ValueError(f"`start` must be one symbol, or one per row, shape {batch}, got shape {jnp.shape(start)}.")
    check_range("start", start, 0, vocabulary - 1)
    return jnp.broadcast_to(jnp.asarray(start, jnp.int32), batch)


@jax.jit
def _forced(generator, params, carry, symbols, lengths, start, stop):
    time, (carry, _) = len(symbols), fit(generator, params, carry, start, stop)
    mask = mask_from_lengths(lengths, time)
    entered = jnp.where(mask, jnp.concatenate([start[None], symbols])[:-1], start)  # nothing of the padding enters
    steps = jnp.arange(time).reshape(-1, *[1] * lengths.ndim)
    remaining = None if stop.length_logits is None else jnp.maximum(lengths - steps, 1)

    def step(carry, at_t):
        return generator.next_logits(params, carry, entry(*at_t))

    return lax.scan(step, carry, (entered, remaining))[1]
