"""Beam search for the likeliest sequences, over any generator and any stop rule.

A hypothesis is the beginning of a sequence.  At every step each running hypothesis is extended by every symbol, both
stopping there and continuing, and the `width` best of all hypotheses are kept:

    score = log P(y⁽¹⁾ … y⁽ᵗ⁾) / tᵃ

Stopped hypotheses no longer change and compete with the others.  Under `PredictedLength` the search starts with the
likeliest lengths, one hypothesis each.  With a = 0 and a beam wide enough for every beginning the search is exhaustive:
it returns the most probable sequences in order.  Width 1 is `greedy`.

y → `symbols`, a → `length_penalty`.

References: Lowerre 1976 (beam search); Sutskever, Vinyals & Le 2014, §3.2; Wu et al. 2016, §7 (length);
chapter 2.5.1.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from jaxrnn.core.arguments import known_values
from jaxrnn.core.checks import check_positive
from jaxrnn.core.types import Carry, Params
from jaxrnn.generation.decoding import PADDING
from jaxrnn.generation.generator import Generator, check_decode, entry, fit
from jaxrnn.generation.stopping import StopRule, step_table


class Beams(NamedTuple):
    """The hypotheses of every row, best first.

    >>> Beams._fields
    ('symbols', 'lengths', 'stopped', 'log_probability', 'score')
    """

    symbols: Int[Array, "bound *batch width"]
    """y⁽¹⁾ … y⁽τ⁾, followed by `PADDING`."""
    lengths: Int[Array, "*batch width"]
    """τ; 0 where there are fewer sequences than the beam is wide."""
    stopped: Bool[Array, "*batch width"]
    """True where the stop rule ended the sequence, False where the bound did."""
    log_probability: Float[Array, "*batch width"]
    """log P; −∞ where there are fewer sequences than the beam is wide."""
    score: Float[Array, "*batch width"]
    """log P / τᵃ, in descending order."""


class _Beam(NamedTuple):
    """The hypotheses, `[*batch, width, …]` each."""

    carry: Carry
    symbol: Array
    remaining: Array | None
    stopped: Array
    lengths: Array
    log_probability: Array
    symbols: Array


def beam_search(
    generator: Generator,
    params: Params,
    carry: Carry,
    *,
    start: Int[Array, "*batch"],
    stop: StopRule,
    bound: int,
    width: int,
    length_penalty: float | Float[Array, ""] = 0.0,
) -> Beams:
    """Return the `width` best sequences of every row, stopping when all hypotheses have stopped.

    Args:
      generator: a `Generator`: a model with `vocabulary` and `next_logits`.
      params: its parameters.
      carry: h⁽⁰⁾, leading axes `[*batch]`.
      start: y⁽⁰⁾, one symbol per row; its shape is the batch shape.
      stop: the stop rule.
      bound: the largest number of steps.
      width: the number of hypotheses.
      length_penalty: a ≥ 0; 0 compares probabilities, 1 the mean log-probability per symbol.

    Returns:
      `Beams`, best first.

    Raises:
      TypeError, ValueError: as `sample`; a width below 1, a length penalty below 0.

    >>> from jaxrnn import EndSymbol, GRU, SymbolModel
    >>> model = SymbolModel(GRU(4, 8), vocabulary=5, features=4, hidden_size=8)
    >>> params = model.init(jax.random.key(0))
    >>> carry, start = model.initial_carry(params, (2,)), jnp.zeros(2, int)
    >>> beams = beam_search(model, params, carry, start=start, stop=EndSymbol(0), bound=6, width=3)
    >>> beams.symbols.shape, bool((beams.score[:, 0] >= beams.score[:, 1]).all())
    ((6, 2, 3), True)

    References: Sutskever, Vinyals & Le 2014, §3.2; Wu et al. 2016, §7.
    """
    check_positive(width=width, bound=bound)
    known = known_values(length_penalty)
    if known is not None and not 0 <= known < jnp.inf:
        raise ValueError(f"`length_penalty` must be a finite number of at least 0, got {known}.")
    start = check_decode(generator, carry, start, stop, jnp.shape(start), bound)
    return _beam_search(generator, params, carry, start, stop, length_penalty, bound=bound, width=width)


@partial(jax.jit, static_argnames=("bound", "width"))
def _beam_search(generator, params, carry, start, stop, penalty, *, bound, width):
    def go_on(at):
        t, beam = at
        return (t < bound) & ~jnp.all(beam.stopped | jnp.isneginf(beam.log_probability))

    def body(at):
        t, beam = at
        return t + 1, _step(generator, params, stop, penalty, beam, t)

    carry, dtype = fit(generator, params, carry, start, stop)
    beam = _first(carry, start, stop, dtype, bound, width)
    beam = lax.while_loop(go_on, body, (jnp.int32(0), beam))[1]
    score, order = lax.top_k(_score(beam.log_probability, beam.lengths, penalty), width)
    beam = _take(beam, order)
    exists = ~jnp.isneginf(beam.log_probability)
    symbols = jnp.moveaxis(jnp.where(exists[..., None], beam.symbols, PADDING), -1, 0)
    lengths = jnp.where(exists, beam.lengths, 0)
    return Beams(symbols, lengths, beam.stopped & exists, beam.log_probability, score)


def _first(carry: Carry, start: Array, stop: StopRule, dtype, bound: int, width: int) -> _Beam:
    """Return the empty hypothesis, or one for each of the likeliest lengths; unused places have log P = −∞."""
    shape = (*start.shape, width)

    def widen(leaf):
        leaf = jnp.expand_dims(leaf, start.ndim)
        return jnp.broadcast_to(leaf, (*shape, *leaf.shape[len(shape) :]))

    log_p, lengths, remaining = jnp.zeros((*start.shape, 1)), jnp.zeros(shape, jnp.int32), None
    if stop.length_logits is not None:
        log_p, tau = lax.top_k(jax.nn.log_softmax(stop.length_logits), min(width, stop.length_logits.shape[-1]))
        remaining = lengths.at[..., : tau.shape[-1]].set(tau) + 1
    log_p = jnp.full(shape, -jnp.inf, dtype).at[..., : log_p.shape[-1]].set(log_p.astype(dtype))
    symbols = jnp.full((*shape, bound), PADDING, jnp.int32)
    carry, symbol = jax.tree.map(widen, (carry, start))
    return _Beam(carry, symbol, remaining, jnp.zeros(shape, bool), lengths, log_p, symbols)


def _step(generator, params, stop, penalty, beam: _Beam, t) -> _Beam:
    """Extend every hypothesis in every way and keep the best."""
    width, choices = beam.lengths.shape[-1], 2 * generator.vocabulary
    after, outputs = generator.next_logits(params, beam.carry, entry(beam.symbol, beam.remaining))
    table = step_table(stop, outputs.astype(beam.log_probability.dtype), beam.remaining)
    ways = beam.log_probability[..., None] + table.reshape(*table.shape[:-2], choices)
    as_it_is = jnp.full_like(ways, -jnp.inf).at[..., 0].set(beam.log_probability)
    ways = jnp.where(beam.stopped[..., None], as_it_is, ways)
    lengths = beam.lengths + ~beam.stopped
    scores = _score(ways, lengths[..., None], penalty)
    best = lax.top_k(scores.reshape(*scores.shape[:-2], width * choices), width)[1]
    remaining = None if beam.remaining is None else jnp.maximum(beam.remaining - 1, 1)
    kept = _take(beam._replace(carry=after, remaining=remaining, lengths=lengths), best // choices)
    symbol = jnp.where(kept.stopped, kept.symbol, best % choices // 2)
    return kept._replace(
        symbol=symbol,
        stopped=kept.stopped | (best % 2 == 1),
        log_probability=_take(ways.reshape((*scores.shape[:-2], width * choices)), best),
        symbols=kept.symbols.at[..., t].set(jnp.where(kept.stopped, PADDING, symbol)),
    )


def _score(log_probability: Array, lengths: Array, penalty) -> Array:
    """Return log P / τᵃ; an empty hypothesis counts as one symbol."""
    return log_probability / (jnp.maximum(lengths, 1) ** jnp.asarray(penalty, log_probability.dtype))


def _take(tree: Any, index: Array) -> Any:
    """Select the hypotheses `index`, `[*batch, width]`, from every leaf `[*batch, width, …]`."""

    def leaf(x):
        return jnp.take_along_axis(x, index.reshape(index.shape + (1,) * (x.ndim - index.ndim)), axis=index.ndim - 1)

    return jax.tree.map(leaf, tree)
