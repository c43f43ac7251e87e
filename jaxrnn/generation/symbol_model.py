"""A generator of symbols: embedding, cell and read-out, which needs only a start symbol.

    x⁽ᵗ⁾ = E[y⁽ᵗ⁻¹⁾] (+ R[τ − t + 1]),      h⁽ᵗ⁾ = f(h⁽ᵗ⁻¹⁾, x⁽ᵗ⁾),      o⁽ᵗ⁾ = c + V h⁽ᵗ⁾
    P(y⁽ᵗ⁾ | y⁽¹⁾ … y⁽ᵗ⁻¹⁾) = softmax(o⁽ᵗ⁾)

Every earlier symbol acts on every later one through h alone, which is the chapter's parametrization of the complete
graph.  The model also provides what the three stop rules of 2.6 need: a stop unit is an extra output; a predicted
length has its own logits log P(τ), and R, with one row for each number of symbols still to come, enters every step.

E → `params.embedding`, R → `params.countdown`, log P(τ) → `params.length_logits`, V and c → `params.readout`.

References: chapter 2.5.1 and 2.6; Goodfellow et al. 2016, §10.2.3; Sutskever, Martens & Hinton 2011.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxrnn.core.arguments import as_array, check_key
from jaxrnn.core.carry_facts import check_output_size, output_of
from jaxrnn.core.checks import check_is_cell, check_positive, check_range, check_shape, checked_carry, inside
from jaxrnn.core.masks import mask_from_lengths
from jaxrnn.core.noise import drawing
from jaxrnn.core.types import Carry, Cell, Key, Params
from jaxrnn.generation.generator import checked_start, entry
from jaxrnn.generation.stopping import Countdown, PredictedLength
from jaxrnn.objectives.readout import Readout, ReadoutParams
from jaxrnn.unrolling.parallel.structure import unroll_by_structure


class SymbolModelParams(NamedTuple):
    """The parameters; None for parts that the stop rule does not need.

    >>> from jaxrnn import GRU
    >>> SymbolModel(GRU(4, 8), vocabulary=5, features=4, hidden_size=8).init(jax.random.key(0))._fields
    ('embedding', 'cell', 'readout', 'countdown', 'length_logits')
    """

    embedding: Float[Array, "vocabulary features"]
    """E: one row per symbol."""
    cell: Params
    """The parameters of the cell."""
    readout: ReadoutParams
    """V and c; the output of a stop unit is the last."""
    countdown: Float[Array, "longest features"] | None = None
    """R: one row for each of 1, 2, … symbols to come, if the length is predicted."""
    length_logits: Float[Array, " longest"] | None = None
    """log P(τ) up to a constant, if the length is predicted."""


@jax.tree_util.register_static
@dataclass(frozen=True)
class SymbolModel:
    """The model P(y⁽ᵗ⁾ | y⁽¹⁾ … y⁽ᵗ⁻¹⁾) = softmax(c + V h⁽ᵗ⁾), h⁽ᵗ⁾ = f(h⁽ᵗ⁻¹⁾, E[y⁽ᵗ⁻¹⁾]).

    Args:
      cell: any cell whose input is an array.
      vocabulary: the number of symbols, start and end symbols included.
      features: the size of an embedding, which is the input size of the cell.
      hidden_size: the size of the cell's output.
      stop_unit: True for an extra output, for `StopUnit`.
      longest: the largest τ, for `PredictedLength`; None for another rule.

    Raises:
      TypeError: `cell` is not a cell.
      ValueError: a size below 1, or one that does not fit the cell; a stop unit and a predicted length together.

    >>> from jaxrnn import EndSymbol, GRU
    >>> from jaxrnn.generation import log_likelihood
    >>> model = SymbolModel(GRU(4, 8), vocabulary=5, features=4, hidden_size=8)
    >>> params = model.init(jax.random.key(0))
    >>> symbols, lengths = jnp.array([[1, 2], [0, 3], [-1, 0]]), jnp.array([2, 3])  # 0 ends; −1 is padding
    >>> outputs = model.apply(params, symbols, lengths, start=0)
    >>> log_likelihood(EndSymbol(0), outputs, symbols, lengths).shape
    (2,)

    References: chapter 2.5.1.
    """

    cell: Cell
    vocabulary: int
    features: int
    hidden_size: int
    stop_unit: bool = False
    longest: int | None = None

    def __post_init__(self):
        check_is_cell(cell=self.cell)
        check_positive(vocabulary=self.vocabulary, features=self.features, hidden_size=self.hidden_size)
        if self.longest is not None:
            check_positive(longest=self.longest)
        if self.stop_unit and self.longest is not None:
            raise ValueError(f"`stop_unit` and `longest` must not be combined, got True and {self.longest}.")
        with reading_embedding("cell", features=self.features):
            y = output_of(self.cell, self.features)
        check_output_size("cell", y, hidden_size=self.hidden_size)

    @property
    def readout(self) -> Readout:
        """The read-out from the output of the cell to one logit per symbol, and that of the stop unit."""
        return Readout(self.hidden_size, self.vocabulary + self.stop_unit)

    def init(self, key: Key) -> SymbolModelParams:
        """Draw E and R from a normal distribution, with all lengths equally likely, and the rest by its own `init`."""
        check_key(key=key)
        e_key, cell_key, readout_key, r_key = jax.random.split(key, 4)
        embedding = jax.random.normal(e_key, (self.vocabulary, self.features))
        params = SymbolModelParams(embedding, self.cell.init(cell_key), self.readout.init(readout_key))
        if self.longest is None:
            return params
        countdown = jax.random.normal(r_key, (self.longest, self.features))
        return params._replace(countdown=countdown, length_logits=jnp.zeros(self.longest))

    def initial_carry(self, params: SymbolModelParams, batch_shape: tuple[int, ...] = ()) -> Carry:
        """Return h⁽⁰⁾ of the cell."""
        return self.cell.initial_carry(params.cell, batch_shape)

    def next_logits(
        self, params: SymbolModelParams, carry: Carry, symbol: Int[Array, "*batch"] | Countdown
    ) -> tuple[Carry, Float[Array, "*batch outputs"]]:
        """Map (h⁽ᵗ⁻¹⁾, y⁽ᵗ⁻¹⁾) to (h⁽ᵗ⁾, o⁽ᵗ⁾)."""
        return self.step(params, carry, self.embed(params, symbol))

    def step(self, params: SymbolModelParams, carry: Carry, x: Float[Array, "*batch features"]):
        """Map (h⁽ᵗ⁻¹⁾, x⁽ᵗ⁾) to (h⁽ᵗ⁾, o⁽ᵗ⁾).

        Raises:
          TypeError, ValueError: another carry than `initial_carry` returns for these rows.
        """
        carry = checked_carry(self.cell, params.cell, carry, jnp.shape(x)[:-1])
        carry, y = self.cell.step(params.cell, carry, self.cell.project(params.cell, x))
        return carry, self.readout.apply(params.readout, y)

    def apply(
        self,
        params: SymbolModelParams,
        symbols: Int[Array, "time *batch"],
        lengths: Int[Array, "*batch"],
        *,
        start: int | Int[Array, "*batch"],
        carry: Carry | None = None,
        context: Float[Array, "*batch features"] | None = None,
        key: Key | None = None,
    ) -> Float[Array, "time *batch outputs"]:
        """Return o⁽ᵗ⁾ from the true y⁽ᵗ⁻¹⁾, for `log_likelihood`; all steps are embedded and projected at once.

        Args:
          params: as from `init`.
          symbols: y⁽ᵗ⁾; values beyond the length of a row are ignored.
          lengths: τ.
          start: y⁽⁰⁾.
          carry: h⁽⁰⁾; None for the initial carry of the cell.
          context: a vector to add to x⁽ᵗ⁾ at every step (an input of length 1, see `Captioner`).
          key: the key of a cell that draws noise; `quiet(model)` generates without noise.

        Raises:
          TypeError: symbols or lengths that are not integers; no key for a cell that draws noise.
          ValueError: a wrong shape; a symbol or a length out of range (checked outside `jit`).
        """
        symbols, lengths = as_array("symbols", symbols, "integers"), as_array("lengths", lengths, "integers")
        check_shape("symbols", symbols, (*symbols.shape[:1], *lengths.shape), "[time, *batch], the batch of `lengths`")
        mask = mask_from_lengths(lengths, len(symbols))
        check_range("symbols", symbols, 0, self.vocabulary - 1, mask)
        start = checked_start(start, self.vocabulary, lengths.shape)
        before = jnp.concatenate([start[None], jnp.where(mask, symbols, 0)])[:-1]
        remaining = lengths - jnp.arange(len(symbols)).reshape(-1, *[1] * lengths.ndim)
        xs = self.embed(params, entry(before, None if self.longest is None else jnp.maximum(remaining, 1)))
        if context is not None:
            check_shape("context", context, (*lengths.shape, self.features), "[*batch, features]")
            xs = xs + context
        _, ys = unroll_by_structure(self.cell, params.cell, drawing(self.cell, key, xs), carry, mask=mask)
        return self.readout.apply(params.readout, ys)

    def read(
        self,
        params: SymbolModelParams,
        symbols: Int[Array, "time *batch"],
        carry: Carry | None = None,
        *,
        mask: Bool[Array, "time *batch"] | None = None,
        key: Key | None = None,
    ) -> tuple[Carry, Float[Array, "time *batch outputs"]]:
        """Return the carry after the symbols, and o after each symbol: the logits of the next one.

        Unlike `apply`, which starts from a start symbol and drops the last symbol, every symbol is an input, as in a
        stream that is read window by window.

        Args:
          params: as from `init`.
          symbols: integers from 0 to vocabulary − 1.
          carry: h⁽⁰⁾; None for the initial carry of the cell.
          mask: True where a symbol exists.
          key: for a cell that draws noise; `quiet(model)` reads without it.

        Raises:
          TypeError: symbols that are not integers, a model that predicts its length, or a missing key.
          ValueError: a symbol out of range (checked outside `jit`; under `jit` it gives NaN).
        """
        xs = drawing(self.cell, key, self.embed(params, symbols))
        carry, ys = unroll_by_structure(self.cell, params.cell, xs, carry, mask=mask)
        return carry, self.readout.apply(params.readout, ys)

    def predicted_length(self, params: SymbolModelParams, batch_shape: tuple[int, ...] = ()) -> PredictedLength:
        """Return the stop rule with P(τ) of this model, the same for every row.

        Raises:
          ValueError: the model does not predict a length.
        """
        if params.length_logits is None:
            raise ValueError(f"`longest` must be given for a model that predicts its length, got {self}.")
        return PredictedLength(jnp.broadcast_to(params.length_logits, (*batch_shape, len(params.length_logits))))

    def embed(self, params: SymbolModelParams, symbol: Any) -> Float[Array, "..."]:
        """Return E[y], plus R[τ − t + 1] if the length is predicted: `[..., features]`.

        Raises:
          TypeError: a countdown for a model without one, or none for a model with one; symbols that are not integers.
          ValueError: a symbol or a remaining length out of range (checked outside `jit`; under `jit` its vector is
          NaN).
        """
        if isinstance(symbol, Countdown) != (self.longest is not None):
            raise TypeError(
                f"`symbol` must be {'symbols alone' if self.longest is None else 'a Countdown'} for {self}: "
                "PredictedLength goes with a model that has `longest`, and only with one."
            )
        if params.countdown is None or not isinstance(symbol, Countdown):
            return rows_of("symbols", params.embedding, symbol, 0)
        return rows_of("symbols", params.embedding, symbol.symbol, 0) + rows_of(
            "remaining", params.countdown, symbol.remaining, 1
        )


def reading_embedding(part: str, **size: int):
    """Name the part that reads an embedding in an error, with the size of the embedding, given as `features=4`."""
    ((name, features),) = size.items()
    return inside(part, reads=f"an embedding of size {name}={features}")


def rows_of(name: str, table: Array, index: Array, first: int) -> Array:
    """Return table[index − first]; a wrong index raises outside `jit` and gives NaN under it.

    >>> rows_of("symbols", jnp.eye(3), jnp.array([2, 0]), 0)[:, 2].tolist()
    [1.0, 0.0]
    """
    index = as_array(name, index, "integers")
    if not jnp.issubdtype(index.dtype, jnp.integer):
        raise TypeError(f"`{name}` must be integers, got {index.dtype}.")
    check_range(name, index, first, first + len(table) - 1)
    index = index - first
    index = jnp.where(index < 0, len(table), index)  # a negative index would count from the end
    return table.at[index].get(mode="fill", fill_value=jnp.nan)
