"""Networks with hidden → hidden edges, by where their outputs are: chapter, sections 2.1 and 2.4.

    ManyToMany      an output at every t       2.1.1
    ManyToOne       one output, at the end     2.1.3

(`jaxrnn.patterns.output_to_hidden` is 2.1.2.)  The first maximises the first likelihood of 2.4,

    log p(y⁽ᵗ⁾ | x⁽¹⁾ … x⁽ᵗ⁾),      P(y⁽¹⁾ … y⁽τ⁾ | x⁽¹⁾ … x⁽τ⁾) = ∏ₜ p(y⁽ᵗ⁾ | x⁽¹⁾ … x⁽ᵗ⁾):

given the inputs, its outputs are independent of each other.

What y is, is a field: "class" (one of n), "values" (real) or "bits" (n independent binary features).

| target | loss | prediction | prediction on padding |
|---|---|---|---|
| "class" | `cross_entropy` | the likeliest class, an integer | −1 |
| "values" | `squared_error` | o | 0 |
| "bits" | `bernoulli` | σ(o) > ½, a boolean | False |

References: Goodfellow, Bengio & Courville 2016, §10.2.
"""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PyTree, Shaped

from jaxrnn.core.checks import check_choice, check_is_cell, check_steps
from jaxrnn.core.types import Cell, Key, Params
from jaxrnn.objectives.losses import bernoulli, cross_entropy, squared_error
from jaxrnn.objectives.readout import Readout, ReadoutParams
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
    """Of the two parts."""

    cell: Params
    """Of the cell."""
    readout: ReadoutParams
    """V and c."""


@jax.tree_util.register_static
@dataclass(frozen=True)
class ManyToMany:
    """Hidden → hidden, an output at every step: o⁽ᵗ⁾ = c + V h⁽ᵗ⁾.

    Args:
      cell: any cell.
      readout: from its output to o.
      target: what y is: "class", "values" or "bits".

    Raises:
      TypeError: `cell` is not a cell.
      ValueError: another target.

    >>> from jaxrnn import GRU
    >>> model = ManyToMany(GRU(3, 8), Readout(8, 4))
    >>> params, xs = model.init(jax.random.key(0)), jnp.ones((7, 2, 3))
    >>> model.logits(params, xs).shape, model.predict(params, xs).shape
    ((7, 2, 4), (7, 2))

    References: chapter, sections 2.1.1 and 2.4.
    """

    cell: Cell
    readout: Readout
    target: str = "class"

    def __post_init__(self):
        check_is_cell(cell=self.cell)
        check_choice("target", self.target, tuple(TARGETS))

    def init(self, key: Key) -> PatternParams:
        """Of the cell and of the read-out."""
        return _init(key, self.cell, self.readout)

    def logits(
        self, params: PatternParams, xs: Inputs, *, mask: Steps = None, reset: Steps = None
    ) -> Float[Array, "..."]:
        """o⁽ᵗ⁾ given x⁽¹⁾ … x⁽ᵗ⁾: `[time, *batch, output]`, 0 where `mask` is False."""
        _, ys = unroll_bptt(self.cell, params.cell, xs, mask=mask, reset=reset)
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
        """−log p(y⁽ᵗ⁾ | x⁽¹⁾ … x⁽ᵗ⁾), the mean over valid steps."""
        return TARGETS[self.target][0](self.logits(params, xs, mask=mask, reset=reset), targets, mask=mask)

    def predict(
        self, params: PatternParams, xs: Inputs, *, mask: Steps = None, reset: Steps = None
    ) -> Shaped[Array, "..."]:
        """The likeliest y⁽ᵗ⁾ of every step: each alone, which is the likeliest sequence too (2.1.2, item 5)."""
        return predict_from(self.target, self.logits(params, xs, mask=mask, reset=reset), mask)


@jax.tree_util.register_static
@dataclass(frozen=True)
class ManyToOne:
    """Hidden → hidden, one output after the whole sequence: o = c + V h⁽τ⁾, τ each row's own last valid step.

    A row without a valid step has h = 0, so o = c, and takes no part in the loss.

    Args:
      cell: any cell.
      readout: from its output to o.
      target: what y is: "class", "values" or "bits".

    Raises:
      TypeError: `cell` is not a cell.
      ValueError: another target.

    >>> from jaxrnn import LSTM
    >>> model = ManyToOne(LSTM(3, 8), Readout(8, 4))
    >>> params, xs = model.init(jax.random.key(0)), jnp.ones((7, 2, 3))
    >>> model.logits(params, xs).shape, model.predict(params, xs).shape
    ((2, 4), (2,))

    References: chapter, section 2.1.3.
    """

    cell: Cell
    readout: Readout
    target: str = "class"

    def __post_init__(self):
        check_is_cell(cell=self.cell)
        check_choice("target", self.target, tuple(TARGETS))

    def init(self, key: Key) -> PatternParams:
        """Of the cell and of the read-out."""
        return _init(key, self.cell, self.readout)

    def logits(self, params: PatternParams, xs: Inputs, *, mask: Steps = None) -> Float[Array, "..."]:
        """o given the whole sequence: `[*batch, output]`."""
        _, ys = unroll_bptt(self.cell, params.cell, xs, mask=mask)
        return self.readout.apply(params.readout, last_valid(ys, mask=mask))

    def loss(
        self, params: PatternParams, xs: Inputs, targets: Shaped[Array, "..."], *, mask: Steps = None
    ) -> Float[Array, ""]:
        """−log p(y | x⁽¹⁾ … x⁽τ⁾), the mean over the rows that have a valid step."""
        rows = None if mask is None else jnp.any(mask, axis=0)
        return TARGETS[self.target][0](self.logits(params, xs, mask=mask), targets, mask=rows)

    def predict(self, params: PatternParams, xs: Inputs, *, mask: Steps = None) -> Shaped[Array, "..."]:
        """The likeliest y; of a row without a valid step, what c alone says."""
        return predict_from(self.target, self.logits(params, xs, mask=mask), None)


def last_valid(ys: Float[Array, "time *rest"], *, mask: Steps = None) -> Float[Array, "*rest"]:
    """y of each row's last valid step, `[*batch, features]`; 0 for a row that has none.

    >>> mask = jnp.array([[True, False], [True, False], [False, False]])
    >>> last_valid(jnp.arange(6.0).reshape(3, 2, 1), mask=mask)[:, 0]
    Array([2., 0.], dtype=float32)
    """
    mask = check_steps("mask", mask, ys.shape[:-1], of="ys")
    if ys.shape[0] == 0:
        return jnp.zeros(ys.shape[1:], ys.dtype)
    if mask is None:
        return ys[-1]
    last = ys.shape[0] - 1 - jnp.argmax(mask[::-1], axis=0)
    y = jnp.take_along_axis(ys, last[None, ..., None], axis=0)[0]
    return select(jnp.any(mask, axis=0), y, zeros(y))


def _init(key: Key, cell: Cell, readout: Readout) -> PatternParams:
    cell_key, readout_key = jax.random.split(key)
    return PatternParams(cell.init(cell_key), readout.init(readout_key))


def predict_from(target: str, os: Array, mask) -> Array:
    """What the table says of the logits."""
    _, predict, padding = TARGETS[target]
    predicted = predict(os)
    return predicted if mask is None else select(mask, predicted, jnp.full_like(predicted, padding))
