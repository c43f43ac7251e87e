"""Drawing sequences from a generator.

    (h⁽ᵗ⁾, o⁽ᵗ⁾) = f(h⁽ᵗ⁻¹⁾, y⁽ᵗ⁻¹⁾),      y⁽ᵗ⁾ ~ softmax(o⁽ᵗ⁾),      t = 1, 2, … until the rule says stop

y⁽⁰⁾ is a start symbol.  An input of length 1, or an encoded sequence, is part of the carry.

Two loops over the same step return the same sequences, bit for bit:

* `sample`: a `lax.while_loop` that ends when every row has stopped.  It is fast and has no reverse mode.
* `sample_scan`: a `lax.scan` of `bound` steps in which stopped rows are held.  The gradient of its `log_probability` is
  the score ∇ log P(y), which REINFORCE needs.

Each row has its own key, so a row does not depend on the rest of the batch.  Step t
draws its symbol with `fold_in(key, 2t + 1)` and its stop with `fold_in(key, 2t + 2)`; a length is drawn with
`fold_in(key, 0)`.

y → `symbols`, h → `carry`, τ → `lengths`.

References: chapter 2.5.1 and 2.6; Goodfellow et al. 2016, §10.2.3; Williams 1992, §4 (the score).
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from jaxrnn.core.arguments import check_typed_key
from jaxrnn.core.checks import check_positive
from jaxrnn.core.masks import mask_from_lengths
from jaxrnn.core.types import Carry, Key, Params
from jaxrnn.generation.generator import Generator, check_decode, entry, fit
from jaxrnn.generation.sampling import Greedy, Sampling
from jaxrnn.generation.stopping import StopRule, length_log_probability, step_log_probability
from jaxrnn.unrolling.scan import select

PADDING = -1
"""The value in `symbols` beyond the length of a row; it is not a symbol."""


class Sequences(NamedTuple):
    """Generated sequences.

    >>> Sequences(jnp.zeros((5, 2), int), jnp.array([5, 3]), jnp.ones(2, bool), jnp.zeros(2)).mask.sum(0).tolist()
    [5, 3]
    """

    symbols: Int[Array, "bound *batch"]
    """y⁽¹⁾ … y⁽τ⁾, followed by `PADDING`."""
    lengths: Int[Array, "*batch"]
    """τ, from 1 to `bound`, with the end symbol counted."""
    stopped: Bool[Array, "*batch"]
    """True where the stop rule ended the row, False where the bound did."""
    log_probability: Float[Array, "*batch"]
    """log P under the model, independent of the temperature, top-k and top-p of the draw."""

    @property
    def mask(self) -> Bool[Array, "bound *batch"]:
        """True where a row has a symbol."""
        return mask_from_lengths(self.lengths, len(self.symbols))


def sample(
    keys: Key,
    generator: Generator,
    params: Params,
    carry: Carry,
    *,
    start: int | Int[Array, "*batch"],
    stop: StopRule,
    bound: int,
    sampling: Sampling = Sampling(),  # noqa: B008 (immutable)
) -> Sequences:
    """Draw one sequence per key, until all have stopped.

    Args:
      keys: one key per row, `[*batch]`: `jax.random.split(key, 64)` for 64 rows, one key for no batch axis.
      generator: a `Generator`, a model with `vocabulary` and `next_logits`, registered with JAX like a cell.
      params: its parameters.
      carry: h⁽⁰⁾, leading axes `[*batch]`.
      start: y⁽⁰⁾, one symbol, or one per row.
      stop: the stop rule.
      bound: the largest number of steps.
      sampling: temperature, top-k and top-p.

    Returns:
      `Sequences`: symbols `[bound, *batch]`, lengths, whether the rule stopped each row, log P.

    Raises:
      TypeError: not a generator, not a stop rule, or keys that are not from `jax.random.key`.
      ValueError: a symbol out of range, a bound below 1 or below the longest length that `stop` predicts, a
        wrong shape, or a generator without the outputs that the rule needs (such as a stop unit).

    >>> from jaxrnn import EndSymbol, GRU, SymbolModel
    >>> model = SymbolModel(GRU(4, 8), vocabulary=5, features=4, hidden_size=8)
    >>> params, keys = model.init(jax.random.key(0)), jax.random.split(jax.random.key(1), 3)
    >>> made = sample(keys, model, params, model.initial_carry(params, (3,)), start=0, stop=EndSymbol(0), bound=20)
    >>> made.symbols.shape, made.lengths.shape
    ((20, 3), (3,))

    References: chapter 2.5.1 and 2.6.
    """
    return _sample(_until_stopped, sampling, keys, generator, params, carry, start, stop, bound)


def sample_scan(
    keys: Key,
    generator: Generator,
    params: Params,
    carry: Carry,
    *,
    start: int | Int[Array, "*batch"],
    stop: StopRule,
    bound: int,
    sampling: Sampling = Sampling(),  # noqa: B008 (immutable)
) -> Sequences:
    """Draw the sequences of `sample` in exactly `bound` steps, with a gradient.

    The gradient of `log_probability` is the score of the drawn sequences, ∂ log P(y)/∂θ; the choice of a symbol has
    no gradient.

    Args:
      keys: one key per row, `[*batch]`.
      generator: a `Generator`, a model with `vocabulary` and `next_logits`.
      params: its parameters.
      carry: h⁽⁰⁾, leading axes `[*batch]`.
      start: y⁽⁰⁾, one symbol, or one per row.
      stop: the stop rule.
      bound: the number of steps.
      sampling: temperature, top-k and top-p.

    Returns:
      As `sample`.

    Raises:
      TypeError, ValueError: as `sample`.

    >>> from jaxrnn import EndSymbol, GRU, SymbolModel
    >>> model = SymbolModel(GRU(4, 8), vocabulary=5, features=4, hidden_size=8)
    >>> params, keys = model.init(jax.random.key(0)), jax.random.split(jax.random.key(1), 3)
    >>> def log_p(params):
    ...     carry = model.initial_carry(params, (3,))
    ...     return sample_scan(keys, model, params, carry, start=0, stop=EndSymbol(0), bound=20).log_probability.sum()
    >>> bool(log_p(params) < 0), jax.grad(log_p)(params).cell.w.shape
    (True, (8, 24))

    References: Williams 1992, §4.
    """
    return _sample(_scan, sampling, keys, generator, params, carry, start, stop, bound)


def greedy(
    generator: Generator,
    params: Params,
    carry: Carry,
    *,
    start: Int[Array, "*batch"],
    stop: StopRule,
    bound: int,
) -> Sequences:
    """Take the likeliest symbol at every step.

    A stop unit stops where σ > ½, and a predicted length is the likeliest one.  The result need not be the likeliest
    sequence: see `beam_search`.

    Args:
      generator: a `Generator`, a model with `vocabulary` and `next_logits`.
      params: its parameters.
      carry: h⁽⁰⁾, leading axes `[*batch]`.
      start: y⁽⁰⁾, one symbol per row; its shape is the batch shape.
      stop: the stop rule.
      bound: the largest number of steps.

    Returns:
      As `sample`.

    Raises:
      TypeError, ValueError: as `sample`.

    >>> from jaxrnn import EndSymbol, GRU, SymbolModel
    >>> model = SymbolModel(GRU(4, 8), vocabulary=5, features=4, hidden_size=8)
    >>> params, start = model.init(jax.random.key(0)), jnp.array([1, 2, 1])
    >>> made = greedy(model, params, model.initial_carry(params, (3,)), start=start, stop=EndSymbol(0), bound=20)
    >>> made.symbols.shape, bool((made.symbols[:, 0] == made.symbols[:, 2]).all())  # nothing is drawn
    ((20, 3), True)

    References: chapter 2.5.1.
    """
    keys = jax.random.split(jax.random.key(0), jnp.shape(start))  # not looked at
    return _sample(_until_stopped, Greedy(), keys, generator, params, carry, start, stop, bound)


class _State(NamedTuple):
    """The state of the loop, one entry per row; the entry of a stopped row no longer changes."""

    carry: Carry
    symbol: Array
    remaining: Array | None
    stopped: Array
    length: Array
    log_probability: Array


def _sample(loop, choice, keys, generator, params, carry, start, stop, bound) -> Sequences:
    check_typed_key(keys=keys)
    check_positive(bound=bound)
    start = check_decode(generator, carry, start, stop, jnp.shape(keys), bound)
    return _decode(generator, params, carry, start, stop, choice, keys, loop=loop, bound=bound)


@partial(jax.jit, static_argnames=("loop", "bound"))
def _decode(generator, params, carry, start, stop, choice, keys, *, loop, bound):
    rows, (carry, dtype) = jnp.shape(keys), fit(generator, params, carry, start, stop)

    def step(state: _State, t):
        after, outputs = generator.next_logits(params, state.carry, entry(state.symbol, state.remaining))
        outputs = outputs.astype(dtype)
        symbol = _per_row(choice.symbol, keys, 2 * t + 1, stop.symbol_logits(outputs))
        stops = _per_row(choice.stops, keys, 2 * t + 2, stop.stop_logit(outputs, symbol, state.remaining))
        log_p = state.log_probability + step_log_probability(stop, outputs, symbol, state.remaining, stops)
        remaining = None if state.remaining is None else jnp.maximum(state.remaining - 1, 1)  # 1: a row held
        after = _State(after, symbol, remaining, stops, state.length + 1, log_p)
        return select(state.stopped, state, after), jnp.where(state.stopped, PADDING, symbol)

    tau = None if stop.length_logits is None else _per_row(choice.length, keys, 0, stop.length_logits)
    log_p = jnp.zeros(rows, dtype) if tau is None else length_log_probability(stop, tau).astype(dtype)
    state = _State(carry, start, tau, jnp.zeros(rows, bool), jnp.zeros(rows, jnp.int32), log_p)
    state, symbols = loop(step, state, bound)
    return Sequences(symbols, state.length, state.stopped, state.log_probability)


def _scan(step, state: _State, bound: int):
    """Run `bound` steps, even if all rows have stopped."""
    return lax.scan(step, state, jnp.arange(bound, dtype=jnp.int32))


def _until_stopped(step, state: _State, bound: int):
    """Run steps until every row has stopped, at most `bound`."""

    def go_on(at):
        t, state, _ = at
        return (t < bound) & ~jnp.all(state.stopped)

    def body(at):
        t, state, symbols = at
        state, symbol = step(state, t)
        return t + 1, state, symbols.at[t].set(symbol)

    symbols = jnp.full((bound, *state.symbol.shape), PADDING, jnp.int32)
    return lax.while_loop(go_on, body, (jnp.int32(0), state, symbols))[1:]


def _per_row(function, keys: Array, number, *args):
    """Return `function(fold_in(key, number), *row)` for every row of the batch."""

    def row(key, *args):
        return function(jax.random.fold_in(key, number), *args)

    for _ in range(keys.ndim):
        row = jax.vmap(row)
    return row(keys, *args)
