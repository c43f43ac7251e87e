"""A sequence of symbols that describes one input vector x.

    "every step"      x⁽ᵗ⁾ = E[y⁽ᵗ⁻¹⁾] + P x,     h⁽⁰⁾ the cell's own
    "initial state"   x⁽ᵗ⁾ = E[y⁽ᵗ⁻¹⁾],           h⁽⁰⁾ = d + B x
    "both"            x⁽ᵗ⁾ = E[y⁽ᵗ⁻¹⁾] + P x,     h⁽⁰⁾ = d + B x

and in all three h⁽ᵗ⁾ = f(h⁽ᵗ⁻¹⁾, x⁽ᵗ⁾) and P(y⁽ᵗ⁾ | y⁽¹⁾ … y⁽ᵗ⁻¹⁾, x) = softmax(c + V h⁽ᵗ⁾).

P → `params.every_step`; B, d → `params.initial_state`, one affine map for all arrays of the carry.  If
the length is predicted, `params.length` maps x to P(τ | x).

References: chapter 2.5.2; Goodfellow et al. 2016, §10.2.4; Karpathy & Fei-Fei 2015, §3.2; Vinyals et al. 2015, §3
(captions).
"""

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxrnn.core.arguments import check_key
from jaxrnn.core.checks import check_choice, check_features, check_positive, check_shape
from jaxrnn.core.initializers import input_weights
from jaxrnn.core.precision import matmul
from jaxrnn.core.pytrees import unravel_floating
from jaxrnn.core.types import Carry, Cell, Key
from jaxrnn.generation.stopping import PredictedLength
from jaxrnn.generation.symbol_model import SymbolModel, SymbolModelParams
from jaxrnn.objectives.readout import Readout, ReadoutParams


class CaptionerParams(NamedTuple):
    """The parameters; None for a way in which x does not enter.

    >>> CaptionerParams(model=None, every_step=None, initial_state=None, length=None).length is None
    True
    """

    model: SymbolModelParams
    """The parameters of the symbol model."""
    every_step: Float[Array, "input features"] | None = None
    """Pᵀ."""
    initial_state: ReadoutParams | None = None
    """Bᵀ and d."""
    length: ReadoutParams | None = None
    """The map from x to log P(τ), if the length is predicted."""


class CaptionerCarry(NamedTuple):
    """The state: the carry of the model, and P x.

    >>> CaptionerCarry(jnp.zeros(3), None).context is None
    True
    """

    cell: Carry
    """h⁽ᵗ⁾."""
    context: Float[Array, "*batch features"] | None
    """P x, constant over time; None if x enters only through the initial state."""


@jax.tree_util.register_static
@dataclass(frozen=True)
class Captioner:
    """A generator with P(y⁽¹⁾ … y⁽τ⁾ | x) for one vector x.

    Args:
      model: the symbol model.
      input_size: the size of x.
      x_enters: "every step", "initial state" or "both".

    Raises:
      ValueError: a size below 1, or an unknown `x_enters`.
      TypeError: a model that is no `SymbolModel`; "initial state" for a cell whose carry has arrays that are not
        floating.

    >>> from jaxrnn import EndSymbol, GRU, greedy
    >>> captioner = Captioner(SymbolModel(GRU(4, 8), 5, 4, 8), input_size=64, x_enters="both")
    >>> params, images = captioner.init(jax.random.key(0)), jnp.ones((3, 64))
    >>> carry = captioner.initial_carry(params, images)
    >>> greedy(captioner, params, carry, start=jnp.zeros(3, int), stop=EndSymbol(0), bound=6).symbols.shape
    (6, 3)

    References: chapter 2.5.2.
    """

    model: SymbolModel
    input_size: int
    x_enters: str = "both"

    def __post_init__(self):
        if not isinstance(self.model, SymbolModel):
            raise TypeError(f"`model` must be a SymbolModel, got {self.model!r}.")
        check_positive(input_size=self.input_size)
        check_choice("x_enters", self.x_enters, ("every step", "initial state", "both"))

    @property
    def vocabulary(self) -> int:
        """The number of symbols."""
        return self.model.vocabulary

    def init(self, key: Key) -> CaptionerParams:
        """Draw P, B and the map to P(τ) by Glorot's uniform rule, with d = 0, and the model by its own `init`."""
        check_key(key=key)
        model_key, p_key, b_key, length_key = jax.random.split(key, 4)
        params = CaptionerParams(self.model.init(model_key)._replace(length_logits=None))
        if self.x_enters != "initial state":
            params = params._replace(every_step=input_weights(p_key, (self.input_size, self.model.features)))
        if self.x_enters != "every step":
            size = state_size(self._carry_shapes(params))
            params = params._replace(initial_state=Readout(self.input_size, size).init(b_key))
        if self.model.longest is not None:
            params = params._replace(length=Readout(self.input_size, self.model.longest).init(length_key))
        return params

    def initial_carry(self, params: CaptionerParams, x: Float[Array, "*batch input"]) -> CaptionerCarry:
        """Return h⁽⁰⁾ and P x, which are all that the generator keeps of x.

        Raises:
          TypeError, ValueError: `x` is not floating, or its last axis is not `input_size`.
        """
        check_features("x", x, input_size=self.input_size)
        context = None if params.every_step is None else matmul(x, params.every_step)
        if params.initial_state is None:
            return CaptionerCarry(self.model.initial_carry(params.model, jnp.shape(x)[:-1]), context)
        return CaptionerCarry(initial_state(params.initial_state, x, self._carry_shapes(params)), context)

    def next_logits(
        self, params: CaptionerParams, carry: CaptionerCarry, symbol: Any
    ) -> tuple[CaptionerCarry, Float[Array, "*batch outputs"]]:
        """Map (h⁽ᵗ⁻¹⁾, y⁽ᵗ⁻¹⁾) to (h⁽ᵗ⁾, o⁽ᵗ⁾); x is in the carry.

        Raises:
          TypeError, ValueError: another carry than `initial_carry` returns for these rows.
        """
        embedded = with_context(carry, self.model.embed(params.model, symbol))
        after, logits = self.model.step(params.model, carry.cell, embedded)
        return CaptionerCarry(after, carry.context), logits

    def apply(
        self,
        params: CaptionerParams,
        x: Float[Array, "*batch input"],
        symbols: Int[Array, "time *batch"],
        lengths: Int[Array, "*batch"],
        *,
        start: int | Int[Array, "*batch"],
        key: Key | None = None,
    ) -> Float[Array, "time *batch outputs"]:
        """Return o⁽ᵗ⁾ from x and the true y⁽ᵗ⁻¹⁾, for `log_likelihood`; all steps are projected at once.

        Arguments and errors are those of `initial_carry` and of `SymbolModel.apply`.
        """
        carry, context = self.initial_carry(params, x)
        return self.model.apply(params.model, symbols, lengths, start=start, carry=carry, context=context, key=key)

    def predicted_length(self, params: CaptionerParams, x: Float[Array, "*batch input"]) -> PredictedLength:
        """Return the stop rule with P(τ | x).

        Raises:
          ValueError: the model does not predict a length.
        """
        if params.length is None or self.model.longest is None:
            raise ValueError(f"`longest` must be given for a model that predicts its length, got {self.model}.")
        return PredictedLength(Readout(self.input_size, self.model.longest).apply(params.length, x))

    def _carry_shapes(self, params: CaptionerParams) -> Carry:
        shapes = jax.eval_shape(self.model.initial_carry, params.model)
        check_state(shapes, self.model.cell)
        return shapes


def initial_state(params: ReadoutParams, x: Float[Array, "*batch input"], shapes: Carry) -> Carry:
    """Return d + B x, split into the arrays of a carry; `shapes` are those of one row."""
    return unravel_floating(matmul(x, params.v) + params.c, shapes)


def with_context(carry: CaptionerCarry, embedded: Float[Array, "*batch features"]) -> Float[Array, "*batch features"]:
    """Return E[y⁽ᵗ⁻¹⁾] + P x.

    Raises:
      TypeError: a carry that is no `CaptionerCarry`.
      ValueError: a context of another shape.
    """
    if not isinstance(carry, CaptionerCarry):
        raise TypeError(f"`carry` must be a CaptionerCarry, as initial_carry returns it, got {type(carry).__name__}.")
    if carry.context is None:
        return embedded
    check_shape("carry.context", carry.context, embedded.shape, "[*batch, features]")
    return embedded + carry.context


def state_size(shapes: Carry) -> int:
    """Return the number of entries of a carry."""
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(shapes))


def check_state(shapes: Carry, cell: Cell) -> None:
    """Raise TypeError unless all arrays of a carry are floating."""
    if not all(jnp.issubdtype(leaf.dtype, jnp.floating) for leaf in jax.tree.leaves(shapes)):
        raise TypeError(f"`cell` must have a floating carry for x to be its initial state, got {cell}.")
