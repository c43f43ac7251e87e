"""Both kinds of edges, hidden → hidden and output → hidden: chapter, section 2.3, item 4.

    h⁽ᵗ⁾ = f(h⁽ᵗ⁻¹⁾, [x⁽ᵗ⁾; ŷ⁽ᵗ⁻¹⁾]),      o⁽ᵗ⁾ = c + V h⁽ᵗ⁾,      ŷ⁽ᵗ⁾ what is fed back of o⁽ᵗ⁾

Any cell becomes such a network when its input is x⁽ᵗ⁾ beside its own previous output.  `unroll` of it runs
free.  `teacher_forced` puts the true y⁽ᵗ⁻¹⁾ there: the inputs of the inner cell are then all known, its
projection and the read-out run for all t at once, and what is left of the loop is h, through which the
gradient goes by back-propagation through time: teacher forcing and BPTT together.

References: Goodfellow, Bengio & Courville 2016, §10.2.1 and §10.2.4; Graves 2013, §2.
"""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree, Shaped

from jaxrnn.cells.jordan import FEEDBACKS, feed_back, split_noise
from jaxrnn.core.checks import check_choice, check_is_cell
from jaxrnn.core.precision import accumulator
from jaxrnn.core.types import Carry, Cell, Key, Params
from jaxrnn.objectives.readout import Readout, ReadoutParams
from jaxrnn.unrolling.backpropagation import unroll_bptt


class FeedbackParams(NamedTuple):
    """Of the two parts."""

    cell: Params
    """Of the inner cell."""
    readout: ReadoutParams
    """V and c."""


class FeedbackCarry(NamedTuple):
    """What goes from one step to the next."""

    cell: Carry
    """h⁽ᵗ⁾."""
    fed: Array
    """What is fed back of o⁽ᵗ⁾: `[*batch, output]`."""


@jax.tree_util.register_static
@dataclass(frozen=True)
class Feedback:
    """`cell` over [x⁽ᵗ⁾; ŷ⁽ᵗ⁻¹⁾], and its read-out o⁽ᵗ⁾, as one cell.

    Args:
      cell: any cell; its input size is that of x plus `readout.output_size`.
      readout: from the cell's output to o.
      feedback: what is fed back: "probabilities", "logits", "symbol" or "sample", as in `Jordan`.

    Raises:
      TypeError: `cell` is not a cell.
      ValueError: another feedback.

    >>> from jaxrnn import LSTM
    >>> from jaxrnn.patterns import teacher_forced
    >>> cell = Feedback(LSTM(3 + 4, 8), Readout(8, 4))
    >>> params, xs, tokens = cell.init(jax.random.key(0)), jnp.ones((7, 2, 3)), jnp.ones((7, 2), int)
    >>> carry, os = teacher_forced(cell, params, xs, tokens)
    >>> os.shape
    (7, 2, 4)

    References: chapter, section 2.3, item 4.
    """

    cell: Cell
    readout: Readout
    feedback: str = "probabilities"

    def __post_init__(self):
        check_is_cell(cell=self.cell)
        check_choice("feedback", self.feedback, FEEDBACKS)

    @property
    def output_size(self) -> int:
        """The size of o."""
        return self.readout.output_size

    def init(self, key: Key) -> FeedbackParams:
        """Of the inner cell and of the read-out."""
        cell_key, readout_key = jax.random.split(key)
        return FeedbackParams(self.cell.init(cell_key), self.readout.init(readout_key))

    def initial_carry(self, params: FeedbackParams, batch_shape: tuple[int, ...] = ()) -> FeedbackCarry:
        """h⁽⁰⁾ of the inner cell, and no output yet: 0."""
        fed = jnp.zeros((*batch_shape, self.output_size), accumulator(params.readout.v.dtype))
        return FeedbackCarry(self.cell.initial_carry(params.cell, batch_shape), fed)

    def project(self, params: FeedbackParams, xs: PyTree[Shaped[Array, "..."]]) -> tuple[Array, Array | None]:
        """x and the noise of "sample": the inner projection has to wait for ŷ⁽ᵗ⁻¹⁾."""
        xs, noise = split_noise(self.feedback, xs, self.output_size)
        if not jnp.issubdtype(xs.dtype, jnp.floating):
            raise TypeError(f"`xs` must have a floating dtype, got {xs.dtype}.")
        return xs, noise

    def step(self, params: FeedbackParams, carry: FeedbackCarry, z) -> tuple[FeedbackCarry, Array]:
        """The inner cell's step, and its read-out."""
        x, noise = z
        both = jnp.concatenate([x, carry.fed], axis=-1)
        inner, y = self.cell.step(params.cell, carry.cell, self.cell.project(params.cell, both))
        o = self.readout.apply(params.readout, y)
        return FeedbackCarry(inner, feed_back(self.feedback, o, noise)), o

    # What teacher forcing asks for: `jaxrnn.patterns.teacher_forcing.FeedbackCell`.

    def fed(self, carry: FeedbackCarry) -> Array:
        """What the next step will read of the outputs."""
        return carry.fed

    def with_fed(self, carry: FeedbackCarry, fed: Array) -> FeedbackCarry:
        """The carry with `fed` in that place."""
        return carry._replace(fed=fed)

    def run_forced(self, params: FeedbackParams, xs, feds: Array, carry: FeedbackCarry, mask, reset, reverse: bool):
        """The inner cell over [x⁽ᵗ⁾; feds[t]], all known, by explicit BPTT; then the read-out of all t at once."""
        xs, _ = self.project(params, xs)
        both = jnp.concatenate([xs, feds], axis=-1)
        inner, ys = unroll_bptt(self.cell, params.cell, both, carry.cell, mask=mask, reset=reset, reverse=reverse)
        return FeedbackCarry(inner, carry.fed), self.readout.apply(params.readout, ys)
