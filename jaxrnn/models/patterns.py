"""Three networks by where their edges go: chapter, sections 2.1 and 2.4.

    ManyToMany      hidden → hidden, an output at every t      2.1.1
    OutputToHidden  output → hidden, an output at every t      2.1.2
    ManyToOne       hidden → hidden, one output at the end     2.1.3

and the two likelihoods of 2.4, which are what the first two maximise on the same data:

    ManyToMany.loss       −log p(y⁽ᵗ⁾ | x⁽¹⁾ … x⁽ᵗ⁾)
    OutputToHidden.loss   −log p(y⁽ᵗ⁾ | x⁽¹⁾ … x⁽ᵗ⁾, y⁽¹⁾ … y⁽ᵗ⁻¹⁾)

Each is a mean over valid steps; `sequence_log_probability` is the sum, log P(y⁽¹⁾ … y⁽τ⁾ | x⁽¹⁾ … x⁽τ⁾).
In the first network P is the product of its factors, the outputs are independent given the inputs; in the
second, the *symbol* y⁽ᵗ⁻¹⁾ that is fed back breaks that independence.

What y is, is a field: "class" (one of n), "values" (real) or "bits" (n independent binary features).

| target | loss | prediction | prediction on padding |
|---|---|---|---|
| "class" | `cross_entropy` | the likeliest class, an integer | −1 |
| "values" | `squared_error` | o | 0 |
| "bits" | `bernoulli` | σ(o) > ½, a boolean | False |

References: Goodfellow, Bengio & Courville 2016, §10.2.
"""

from dataclasses import dataclass, replace
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PyTree, Shaped

from jaxrnn.bptt import unroll_bptt
from jaxrnn.cells.jordan import Jordan
from jaxrnn.checks import check_choice, check_shape, check_steps, leading_axes
from jaxrnn.losses import bernoulli, cross_entropy, squared_error
from jaxrnn.models.feedback import Feedback
from jaxrnn.precision import accumulator
from jaxrnn.readout import Readout, ReadoutParams
from jaxrnn.teacher_forcing import scheduled_sampling, teacher_forced
from jaxrnn.types import Cell, Key, Params
from jaxrnn.unroll import select, unroll, zeros

_TARGETS = {
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
        check_choice("target", self.target, tuple(_TARGETS))

    def init(self, key: Key) -> PatternParams:
        """Of the cell and of the read-out."""
        return _init(key, self.cell, self.readout)

    def logits(
        self, params: PatternParams, xs: Inputs, *, mask: Steps = None, reset: Steps = None
    ) -> Float[Array, "..."]:
        """o⁽ᵗ⁾ given x⁽¹⁾ … x⁽ᵗ⁾: `[time, *batch, output]`, 0 where `mask` is False."""
        _, ys = unroll_bptt(self.cell, params.cell, xs, mask=mask, reset=reset)
        return _zero_padding(self.readout.apply(params.readout, ys), mask)

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
        return _TARGETS[self.target][0](self.logits(params, xs, mask=mask, reset=reset), targets, mask=mask)

    def predict(
        self, params: PatternParams, xs: Inputs, *, mask: Steps = None, reset: Steps = None
    ) -> Shaped[Array, "..."]:
        """The likeliest y⁽ᵗ⁾ of every step: each alone, which is the likeliest sequence too (2.1.2, item 5)."""
        return _predict(self.target, self.logits(params, xs, mask=mask, reset=reset), mask)


@jax.tree_util.register_static
@dataclass(frozen=True)
class OutputToHidden:
    """Output → hidden, an output at every step; trained by teacher forcing, run free.

    Args:
      cell: `Jordan`, whose only memory is its output; or `Feedback`, with hidden → hidden edges as well.
      target: what y is: "class", "values" (feed back "logits" then) or "bits".

    Raises:
      ValueError: another target.

    >>> model = OutputToHidden(Jordan(3, 8, 4))
    >>> params, xs, tokens = model.init(jax.random.key(0)), jnp.ones((7, 2, 3)), jnp.ones((7, 2), int)
    >>> model.logits(params, xs, tokens).shape, model.predict(params, xs).shape
    ((7, 2, 4), (7, 2))

    References: chapter, sections 2.1.2, 2.3 and 2.4; Bengio et al. 2015.
    """

    cell: Jordan | Feedback
    target: str = "class"

    def __post_init__(self):
        check_choice("target", self.target, tuple(_TARGETS))

    def init(self, key: Key) -> Params:
        """The cell's own."""
        return self.cell.init(key)

    def logits(
        self, params: Params, xs: Inputs, targets: Shaped[Array, "..."], *, mask: Steps = None, reset: Steps = None
    ) -> Float[Array, "..."]:
        """o⁽ᵗ⁾ given x⁽¹⁾ … x⁽ᵗ⁾ and the true y⁽¹⁾ … y⁽ᵗ⁻¹⁾: teacher forcing."""
        return teacher_forced(self.cell, params, xs, self._vectors(targets), mask=mask, reset=reset)[1]

    def free_logits(
        self, params: Params, xs: Inputs, *, mask: Steps = None, reset: Steps = None
    ) -> Float[Array, "..."]:
        """o⁽ᵗ⁾ given x⁽¹⁾ … x⁽ᵗ⁾ and what the network itself put out: free running."""
        return unroll_bptt(self.cell, params, xs, mask=mask, reset=reset)[1]

    def loss(
        self, params: Params, xs: Inputs, targets: Shaped[Array, "..."], *, mask: Steps = None, reset: Steps = None
    ) -> Float[Array, ""]:
        """−log p(y⁽ᵗ⁾ | x⁽¹⁾ … x⁽ᵗ⁾, y⁽¹⁾ … y⁽ᵗ⁻¹⁾), the mean over valid steps; for `Jordan`, no loop."""
        os = self.logits(params, xs, targets, mask=mask, reset=reset)
        return _TARGETS[self.target][0](os, targets, mask=mask)

    def free_loss(
        self, params: Params, xs: Inputs, targets: Shaped[Array, "..."], *, mask: Steps = None, reset: Steps = None
    ) -> Float[Array, ""]:
        """The same loss of the free-running network, by BPTT through its own outputs."""
        return _TARGETS[self.target][0](self.free_logits(params, xs, mask=mask, reset=reset), targets, mask=mask)

    def scheduled_loss(
        self,
        key: Key,
        params: Params,
        xs: Inputs,
        targets: Shaped[Array, "..."],
        probability: float | Float[Array, "..."],
        *,
        mask: Steps = None,
        reset: Steps = None,
    ) -> Float[Array, ""]:
        """Between the two: `loss` at probability 1, `free_loss` at 0."""
        vectors = self._vectors(targets)
        _, os = scheduled_sampling(key, self.cell, params, xs, vectors, probability, mask=mask, reset=reset)
        return _TARGETS[self.target][0](os, targets, mask=mask)

    def predict(self, params: Params, xs: Inputs, *, mask: Steps = None, reset: Steps = None) -> Shaped[Array, "..."]:
        """The likeliest y⁽ᵗ⁾ given what was fed back before it: free running."""
        return _predict(self.target, self.free_logits(params, xs, mask=mask, reset=reset), mask)

    def sample(
        self, key: Key, params: Params, xs: Float[Array, "..."], *, mask: Steps = None, reset: Steps = None
    ) -> Int[Array, "..."]:
        """y⁽¹⁾ … y⁽τ⁾ ~ P(· | x⁽¹⁾ … x⁽τ⁾), each symbol fed back as it is drawn: `[time, *batch]`, −1 on padding.

        It is the joint distribution whose factors `logits` gives, whatever the cell's own feedback is.
        """
        noise = jax.random.gumbel(key, (*leading_axes(xs), self.cell.output_size), accumulator(xs.dtype))
        _, os = unroll(replace(self.cell, feedback="sample"), params, (xs, noise), mask=mask, reset=reset)
        return _predict("class", os + noise, mask)

    def _vectors(self, targets: Array) -> Array:
        """Binary targets may be booleans, as `bernoulli` takes them."""
        return jnp.asarray(targets, float) if jnp.result_type(targets) == bool else targets


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
        check_choice("target", self.target, tuple(_TARGETS))

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
        return _TARGETS[self.target][0](self.logits(params, xs, mask=mask), targets, mask=rows)

    def predict(self, params: PatternParams, xs: Inputs, *, mask: Steps = None) -> Shaped[Array, "..."]:
        """The likeliest y; of a row without a valid step, what c alone says."""
        return _predict(self.target, self.logits(params, xs, mask=mask), None)


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


def sequence_log_probability(
    logits: Float[Array, "time *batch classes"], targets: Int[Array, "time *batch"], *, mask: Steps = None
) -> Float[Array, "*batch"]:
    """log P(y⁽¹⁾ … y⁽τ⁾ | x) of each row: Σ over its valid steps of log ŷ⁽ᵗ⁾ at y⁽ᵗ⁾; 0 for a row of none.

    Args:
      logits: of `ManyToMany`, the factors p(y⁽ᵗ⁾ | x), or of `OutputToHidden`, p(y⁽ᵗ⁾ | x, y⁽¹⁾ … y⁽ᵗ⁻¹⁾).
      targets: y, classes.
      mask: `[time, *batch]`, True on valid steps.

    Raises:
      TypeError, ValueError: as `cross_entropy`.

    >>> float(jnp.exp(sequence_log_probability(jnp.zeros((3, 2)), jnp.array([0, 1, 1]))))
    0.125

    References: chapter, sections 2.3, item 3, and 2.4, item 3.
    """
    check_shape("targets", targets, logits.shape[:-1], "[time, *batch], the leading axes of `logits`")
    steps = logits.reshape(-1, 1, logits.shape[-1]), targets.reshape(-1, 1)
    valid = jnp.ones(targets.shape, bool) if mask is None else check_steps("mask", mask, targets.shape, of="logits")
    losses = jax.vmap(lambda o, y, m: cross_entropy(o, y, mask=m))(*steps, valid.reshape(-1, 1))
    return -jnp.sum(losses.reshape(targets.shape), axis=0)


def _init(key: Key, cell: Cell, readout: Readout) -> PatternParams:
    cell_key, readout_key = jax.random.split(key)
    return PatternParams(cell.init(cell_key), readout.init(readout_key))


def _zero_padding(os: Array, mask) -> Array:
    return os if mask is None else select(mask, os, zeros(os))


def _predict(target: str, os: Array, mask) -> Array:
    _, predict, padding = _TARGETS[target]
    predicted = predict(os)
    return predicted if mask is None else select(mask, predicted, jnp.full_like(predicted, padding))
