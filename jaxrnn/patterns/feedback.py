"""Networks with both hidden → hidden and output → hidden edges.

    h⁽ᵗ⁾ = f(h⁽ᵗ⁻¹⁾, [x⁽ᵗ⁾; ŷ⁽ᵗ⁻¹⁾]),      o⁽ᵗ⁾ = c + V h⁽ᵗ⁾,      ŷ⁽ᵗ⁾ = the feedback of o⁽ᵗ⁾

Any cell becomes such a network if its input is x⁽ᵗ⁾ concatenated with its own previous output.  `unroll` runs it on its
own outputs.  `teacher_forced` feeds the true y⁽ᵗ⁻¹⁾ instead: all inputs of the inner cell are then known, its
projection and the read-out run for all steps at once, and only the recursion of h remains in the loop.  Its gradient is
back-propagation through time: teacher forcing and BPTT together.

References: Goodfellow, Bengio & Courville 2016, §10.2.1 and §10.2.4; Graves 2013, §2; chapter 2.3, item 4.
"""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array

from jaxrnn.cells.jordan import FEEDBACKS, feed_back, split_noise
from jaxrnn.core.arguments import check_key
from jaxrnn.core.carry_facts import CarryParts, carry_parts
from jaxrnn.core.checks import check_choice, check_is_cell, inside
from jaxrnn.core.noise import plain_input, with_x
from jaxrnn.core.precision import accumulator
from jaxrnn.core.types import Carry, Cell, Inputs, Key, Params
from jaxrnn.objectives.readout import Readout, ReadoutParams, check_read_out, reading_of
from jaxrnn.unrolling.backpropagation import unroll_bptt


class FeedbackParams(NamedTuple):
    """The parameters of the inner cell and of the read-out.

    >>> FeedbackParams(cell=None, readout=None).cell is None
    True
    """

    cell: Params
    """The parameters of the inner cell."""
    readout: ReadoutParams
    """V and c."""


class FeedbackCarry(NamedTuple):
    """The state: the carry of the inner cell, and the feedback.

    >>> FeedbackCarry(jnp.zeros(5), jnp.zeros(2)).fed.shape
    (2,)
    """

    cell: Carry
    """h⁽ᵗ⁾."""
    fed: Array
    """The feedback of o⁽ᵗ⁾, `[*batch, output]`, or its first `fed_size` numbers."""


@jax.tree_util.register_static
@dataclass(frozen=True)
class Feedback:
    """A cell over [x⁽ᵗ⁾; ŷ⁽ᵗ⁻¹⁾] with its read-out o⁽ᵗ⁾, as one cell.

    Args:
      cell: any cell; its input size is that of x plus that of the feedback.
      readout: maps the output of the cell to o.
      feedback: the form of the feedback: "probabilities", "logits", "symbol" or "sample", as in `Jordan`.
      fed_size: with "logits", how many outputs are fed back, the first ones: the mean alone where o is the mean and
        the scale of a forecast (`jaxrnn.objectives.gaussian`).  None for all of o.

    Raises:
      TypeError: `cell` is not a cell.
      ValueError: an unknown feedback; a `fed_size` with another one than "logits", or that is not in 1 … output size; a
        read-out of another size than the output of the cell.

    >>> from jaxrnn import LSTM
    >>> from jaxrnn.patterns import teacher_forced
    >>> cell = Feedback(LSTM(3 + 4, 8), Readout(8, 4))
    >>> params, xs, tokens = cell.init(jax.random.key(0)), jnp.ones((7, 2, 3)), jnp.ones((7, 2), int)
    >>> carry, os = teacher_forced(cell, params, xs, tokens)
    >>> os.shape
    (7, 2, 4)

    References: chapter 2.3, item 4.
    """

    cell: Cell
    readout: Readout
    feedback: str = "probabilities"
    fed_size: int | None = None

    def __post_init__(self):
        check_is_cell(cell=self.cell)
        check_choice("feedback", self.feedback, FEEDBACKS)
        if self.fed_size is not None and not (self.feedback == "logits" and 1 <= self.fed_size <= self.output_size):
            raise ValueError(
                f'`fed_size` must be None, or with feedback="logits" lie in 1 … {self.output_size}, the size of the '
                f"read-out, got {self.fed_size!r} with {self.feedback!r}."
            )
        check_read_out(self.readout, self.cell)

    @property
    def output_size(self) -> int:
        """The size of o."""
        return self.readout.output_size

    def init(self, key: Key) -> FeedbackParams:
        """Draw the parameters of the inner cell and of the read-out."""
        check_key(key=key)
        cell_key, readout_key = jax.random.split(key)
        return FeedbackParams(self.cell.init(cell_key), self.readout.init(readout_key))

    def initial_carry(self, params: FeedbackParams, batch_shape: tuple[int, ...] = ()) -> FeedbackCarry:
        """Return h⁽⁰⁾ of the inner cell, and a feedback of 0."""
        size = self.output_size if self.fed_size is None else self.fed_size
        fed = jnp.zeros((*batch_shape, size), accumulator(params.readout.v.dtype))
        return FeedbackCarry(self.cell.initial_carry(params.cell, batch_shape), fed)

    def carry_parts(self, carry: FeedbackCarry) -> CarryParts:
        """State that y⁽ᵗ⁾ = o⁽ᵗ⁾ is in the carry if all logits are fed back unchanged."""
        constants = carry_parts(self.cell, carry.cell).constants
        whole = self.feedback == "logits" and self.fed_size is None
        return CarryParts(output=carry.fed if whole else None, constants=constants)

    def project(self, params: FeedbackParams, xs: Inputs) -> tuple[Inputs, Array | None]:
        """Return x, with the noise of the inner cell if it draws any, and the noise of "sample".

        The inner projection needs ŷ⁽ᵗ⁻¹⁾ and runs in `step`.
        """
        x, noise = split_noise(self.feedback, plain_input(xs), self.output_size)
        if not jnp.issubdtype(x.dtype, jnp.floating):
            raise TypeError(f"`xs` must have a floating dtype, got {x.dtype}.")
        return with_x(xs, x), noise

    def step(self, params: FeedbackParams, carry: FeedbackCarry, z) -> tuple[FeedbackCarry, Array]:
        """Run the step of the inner cell and its read-out."""
        x, noise = z
        both = _beside(x, carry.fed)
        with inside("cell", reads="x and the output of `readout`"):
            z = self.cell.project(params.cell, both)
        inner, y = self.cell.step(params.cell, carry.cell, z)
        with reading_of("cell"):
            o = self.readout.apply(params.readout, y)
        return FeedbackCarry(inner, feed_back(self.feedback, o, noise)[..., : self.fed_size]), o

    # What teacher forcing asks for: `jaxrnn.patterns.teacher_forcing.FeedbackCell`.

    def fed(self, carry: FeedbackCarry) -> Array:
        """Return the feedback that the next step reads."""
        return carry.fed

    def with_fed(self, carry: FeedbackCarry, fed: Array) -> FeedbackCarry:
        """Return the carry with its feedback replaced by `fed`."""
        return carry._replace(fed=fed)

    def run_forced(self, params: FeedbackParams, xs, feds: Array, carry: FeedbackCarry, mask, reset, reverse: bool):
        """Run the inner cell over the known [x⁽ᵗ⁾; feds[t]] by explicit BPTT, then read out all steps at once."""
        xs, _ = self.project(params, xs)
        both = _beside(xs, feds)
        inner, ys = unroll_bptt(self.cell, params.cell, both, carry.cell, mask=mask, reset=reset, reverse=reverse)
        return FeedbackCarry(inner, carry.fed), self.readout.apply(params.readout, ys)


def _beside(xs: Inputs, fed: Array) -> Inputs:
    """Return [x; ŷ], with the noise of x."""
    return with_x(xs, jnp.concatenate([plain_input(xs), fed], axis=-1))
