"""Networks with hidden → hidden edges, with an output at every step or one at the end.

    ManyToMany      an output at every t       2.1.1
    ManyToOne       one output, at the end     2.1.3

(2.1.2 is `OutputToHidden`.)  `ManyToMany` maximizes the first likelihood of 2.4,

    log p(y⁽ᵗ⁾ | x⁽¹⁾ … x⁽ᵗ⁾),      P(y⁽¹⁾ … y⁽τ⁾ | x⁽¹⁾ … x⁽τ⁾) = ∏ₜ p(y⁽ᵗ⁾ | x⁽¹⁾ … x⁽ᵗ⁾):

its outputs are independent of each other given the inputs.

The field `target` says what y is: "class" (one of n), "values" (real) or "bits" (n independent binary features).

| target | loss | prediction | prediction on padding |
|---|---|---|---|
| "class" | `cross_entropy` | the likeliest class, an integer | −1 |
| "values" | `squared_error` | o | 0 |
| "bits" | `bernoulli` | σ(o) > ½, a boolean | False |

References: Goodfellow, Bengio & Courville 2016, §10.2; chapter 2.1 and 2.4.
"""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PyTree, Shaped

from jaxrnn.core.arguments import as_array, check_key
from jaxrnn.core.checks import check_choice, check_is_cell, check_steps
from jaxrnn.core.types import Cell, Key, Params
from jaxrnn.objectives.losses import bernoulli, cross_entropy, squared_error
from jaxrnn.objectives.readout import Readout, ReadoutParams, check_read_out, reading_of
from jaxrnn.unrolling.backpropagation import unroll_bptt
from jaxrnn.unrolling.scan import select, zeros

TARGETS = {
    # name: (loss, prediction from the logits, prediction on padding)
    "class": (cross_entropy, lambda o: jnp.argmax(o, axis=-1), -1),
    "values": (squared_error, lambda o: o, 0),
    "bits": (bernoulli, lambda o: o > 0, False),
}

Inputs = PyTree[Shaped[Array, "..."]]
Steps = Bool[Array, "..."] | None


class PatternParams(NamedTuple):
    """The parameters of the cell and of the read-out.

    >>> PatternParams(cell=None, readout=None).readout is None
    True
    """

    cell: Params
    """The parameters of the cell."""
    readout: ReadoutParams
    """V and c."""


def _check_fields(model: "ManyToMany | ManyToOne") -> None:
    check_is_cell(cell=model.cell)
    check_choice("target", model.target, tuple(TARGETS))
    check_read_out(model.readout, model.cell)


def _init(model: "ManyToMany | ManyToOne", key: Key) -> PatternParams:
    """Draw the parameters of the cell and of the read-out."""
    check_key(key=key)
    cell_key, readout_key = jax.random.split(key)
    return PatternParams(model.cell.init(cell_key), model.readout.init(readout_key))


@jax.tree_util.register_static
@dataclass(frozen=True)
class ManyToMany:
    """A network with an output at every step: o⁽ᵗ⁾ = c + V h⁽ᵗ⁾.

    Args:
      cell: any cell.
      readout: maps the output of the cell to o.
      target: the kind of y: "class", "values" or "bits".

    Raises:
      TypeError: `cell` is not a cell.
      ValueError: an unknown target, or a read-out of another size than the output of the cell.

    >>> from jaxrnn import GRU
    >>> model = ManyToMany(GRU(3, 8), Readout(8, 4))
    >>> params, xs = model.init(jax.random.key(0)), jnp.ones((7, 2, 3))
    >>> model.logits(params, xs).shape, model.predict(params, xs).shape
    ((7, 2, 4), (7, 2))

    References: chapter 2.1.1 and 2.4.
    """

    cell: Cell
    readout: Readout
    target: str = "class"

    __post_init__ = _check_fields
    init = _init

    def logits(
        self, params: PatternParams, xs: Inputs, *, mask: Steps = None, reset: Steps = None
    ) -> Float[Array, "..."]:
        """Return o⁽ᵗ⁾ given x⁽¹⁾ … x⁽ᵗ⁾: `[time, *batch, output]`, 0 where `mask` is False."""
        _, ys = unroll_bptt(self.cell, params.cell, xs, mask=mask, reset=reset)
        with reading_of("cell"):
            os = self.readout.apply(params.readout, ys)
        return os if mask is None else select(mask, os, zeros(os))

    def loss(
        self,
        params: PatternParams,
        xs: Inputs,
        targets: Shaped[Array, "..."],
        *,
        mask: Steps = None,
        reset: Steps = None,
    ) -> Float[Array, ""]:
        """Return −log p(y⁽ᵗ⁾ | x⁽¹⁾ … x⁽ᵗ⁾), averaged over valid steps."""
        return TARGETS[self.target][0](self.logits(params, xs, mask=mask, reset=reset), targets, mask=mask)

    def predict(
        self, params: PatternParams, xs: Inputs, *, mask: Steps = None, reset: Steps = None
    ) -> Shaped[Array, "..."]:
        """Return the likeliest y⁽ᵗ⁾ of every step; together they are the likeliest sequence (2.1.2, item 5)."""
        return predict_from(self.target, self.logits(params, xs, mask=mask, reset=reset), mask)


@jax.tree_util.register_static
@dataclass(frozen=True)
class ManyToOne:
    """A network with one output after the sequence: o = c + V h⁽τ⁾, with τ the last valid step of each row.

    A row without a valid step has h = 0, so o = c, and does not count in the loss.

    Args:
      cell: any cell.
      readout: maps the output of the cell to o.
      target: the kind of y: "class", "values" or "bits".

    Raises:
      TypeError: `cell` is not a cell.
      ValueError: an unknown target, or a read-out of another size than the output of the cell.

    >>> from jaxrnn import LSTM
    >>> model = ManyToOne(LSTM(3, 8), Readout(8, 4))
    >>> params, xs = model.init(jax.random.key(0)), jnp.ones((7, 2, 3))
    >>> model.logits(params, xs).shape, model.predict(params, xs).shape
    ((2, 4), (2,))

    References: chapter 2.1.3.
    """

    cell: Cell
    readout: Readout
    target: str = "class"

    __post_init__ = _check_fields
    init = _init

    def logits(self, params: PatternParams, xs: Inputs, *, mask: Steps = None) -> Float[Array, "..."]:
        """Return o given the whole sequence: `[*batch, output]`."""
        _, ys = unroll_bptt(self.cell, params.cell, xs, mask=mask)
        with reading_of("cell"):
            return self.readout.apply(params.readout, last_valid(ys, mask=mask))

    def loss(
        self, params: PatternParams, xs: Inputs, targets: Shaped[Array, "..."], *, mask: Steps = None
    ) -> Float[Array, ""]:
        """Return −log p(y | x⁽¹⁾ … x⁽τ⁾), averaged over the rows with a valid step."""
        rows = None if mask is None else jnp.any(mask, axis=0)
        return TARGETS[self.target][0](self.logits(params, xs, mask=mask), targets, mask=rows)

    def predict(self, params: PatternParams, xs: Inputs, *, mask: Steps = None) -> Shaped[Array, "..."]:
        """Return the likeliest y; for a row without a valid step, the one that c alone predicts."""
        return predict_from(self.target, self.logits(params, xs, mask=mask), None)


def last_valid(ys: Float[Array, "time *rest"], *, mask: Steps = None) -> Float[Array, "*rest"]:
    """Return y at the last valid step of each row.

    Args:
      ys: the outputs, `[time, *batch, features]`.
      mask: `[time, *batch]`; None if every step is valid.

    Returns:
      `[*batch, features]`; 0 for a row without a valid step.

    >>> mask = jnp.array([[True, False], [True, False], [False, False]])
    >>> last_valid(jnp.arange(6.0).reshape(3, 2, 1), mask=mask)[:, 0]
    Array([2., 0.], dtype=float32)
    """
    ys = as_array("ys", ys, "numbers")
    mask = check_steps("mask", mask, ys.shape[:-1], of="ys")
    if ys.shape[0] == 0:
        return jnp.zeros(ys.shape[1:], ys.dtype)
    if mask is None:
        return ys[-1]
    last = ys.shape[0] - 1 - jnp.argmax(mask[::-1], axis=0)
    y = jnp.take_along_axis(ys, last[None, ..., None], axis=0)[0]
    return select(jnp.any(mask, axis=0), y, zeros(y))


def predict_from(target: str, os: Array, mask) -> Array:
    """Return the prediction of the table above."""
    _, predict, padding = TARGETS[target]
    predicted = predict(os)
    return predicted if mask is None else select(mask, predicted, jnp.full_like(predicted, padding))
