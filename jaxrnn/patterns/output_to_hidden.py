"""A network that reads its own outputs: chapter, sections 2.1.2, 2.3 and 2.4.

    training:  o⁽ᵗ⁾ from x⁽¹⁾ … x⁽ᵗ⁾ and the true y⁽¹⁾ … y⁽ᵗ⁻¹⁾        teacher forcing
    use:       o⁽ᵗ⁾ from x⁽¹⁾ … x⁽ᵗ⁾ and what was fed back of o⁽¹⁾ … o⁽ᵗ⁻¹⁾   free running

It maximises the second likelihood of 2.4,

    log p(y⁽ᵗ⁾ | x⁽¹⁾ … x⁽ᵗ⁾, y⁽¹⁾ … y⁽ᵗ⁻¹⁾),   P(y⁽¹⁾ … y⁽τ⁾ | x) = ∏ₜ p(y⁽ᵗ⁾ | x⁽¹⁾ … x⁽ᵗ⁾, y⁽¹⁾ … y⁽ᵗ⁻¹⁾):

the edge from one output to the next step makes the outputs depend on each other, given the inputs.  That is
so because it is the *symbol* that is read, the true one or a drawn one; free running on fed-back logits or
probabilities is a function of x alone, with independent outputs like any other.

References: Goodfellow, Bengio & Courville 2016, §10.2.1; Bengio, Vinyals, Jaitly & Shazeer 2015.
"""

from dataclasses import dataclass, replace

import jax
from jaxtyping import Array, Float, Int, Shaped

from jaxrnn.cells.jordan import Jordan
from jaxrnn.core.checks import check_choice, leading_axes
from jaxrnn.core.precision import accumulator
from jaxrnn.core.types import Key, Params
from jaxrnn.patterns.feedback import Feedback
from jaxrnn.patterns.hidden_to_hidden import TARGETS, Inputs, Steps, predict_from
from jaxrnn.patterns.teacher_forcing import scheduled_sampling, teacher_forced
from jaxrnn.unrolling.backpropagation import unroll_bptt
from jaxrnn.unrolling.scan import unroll


@jax.tree_util.register_static
@dataclass(frozen=True)
class OutputToHidden:
    """Output → hidden, an output at every step; trained by teacher forcing, run free.

    Args:
      cell: `Jordan`, whose only memory is its output; or `Feedback`, with hidden → hidden edges as well.
      target: what y is: "class", "values" (feed back "logits" then) or "bits".

    Raises:
      ValueError: another target.

    >>> import jax.numpy as jnp
    >>> model = OutputToHidden(Jordan(3, 8, 4))
    >>> params, xs, tokens = model.init(jax.random.key(0)), jnp.ones((7, 2, 3)), jnp.ones((7, 2), int)
    >>> model.logits(params, xs, tokens).shape, model.predict(params, xs).shape
    ((7, 2, 4), (7, 2))

    References: chapter, sections 2.1.2, 2.3 and 2.4; Bengio et al. 2015.
    """

    cell: Jordan | Feedback
    target: str = "class"

    def __post_init__(self):
        check_choice("target", self.target, tuple(TARGETS))

    def init(self, key: Key) -> Params:
        """The cell's own."""
        return self.cell.init(key)

    def logits(
        self, params: Params, xs: Inputs, targets: Shaped[Array, "..."], *, mask: Steps = None, reset: Steps = None
    ) -> Float[Array, "..."]:
        """o⁽ᵗ⁾ given x⁽¹⁾ … x⁽ᵗ⁾ and the true y⁽¹⁾ … y⁽ᵗ⁻¹⁾: teacher forcing."""
        return teacher_forced(self.cell, params, xs, targets, mask=mask, reset=reset)[1]

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
        return TARGETS[self.target][0](os, targets, mask=mask)

    def free_loss(
        self, params: Params, xs: Inputs, targets: Shaped[Array, "..."], *, mask: Steps = None, reset: Steps = None
    ) -> Float[Array, ""]:
        """The same loss of the free-running network, by BPTT through its own outputs."""
        return TARGETS[self.target][0](self.free_logits(params, xs, mask=mask, reset=reset), targets, mask=mask)

    def scheduled_loss(
        self,
        key: Key,
        params: Params,
        xs: Inputs,
        targets: Shaped[Array, "..."],
        probability: float | int | Float[Array, "..."],
        *,
        mask: Steps = None,
        reset: Steps = None,
    ) -> Float[Array, ""]:
        """Between the two: `loss` at probability 1, `free_loss` at 0."""
        _, os = scheduled_sampling(key, self.cell, params, xs, targets, probability, mask=mask, reset=reset)
        return TARGETS[self.target][0](os, targets, mask=mask)

    def predict(self, params: Params, xs: Inputs, *, mask: Steps = None, reset: Steps = None) -> Shaped[Array, "..."]:
        """The likeliest y⁽ᵗ⁾ given what was fed back before it: free running."""
        return predict_from(self.target, self.free_logits(params, xs, mask=mask, reset=reset), mask)

    def sample(
        self, key: Key, params: Params, xs: Float[Array, "..."], *, mask: Steps = None, reset: Steps = None
    ) -> Int[Array, "..."]:
        """y⁽¹⁾ … y⁽τ⁾ ~ P(· | x⁽¹⁾ … x⁽τ⁾), each symbol fed back as it is drawn: `[time, *batch]`, −1 on padding.

        It is the joint distribution whose factors `logits` gives, whatever the cell's own feedback is.
        """
        noise = jax.random.gumbel(key, (*leading_axes(xs), self.cell.output_size), accumulator(xs.dtype))
        _, os = unroll(replace(self.cell, feedback="sample"), params, (xs, noise), mask=mask, reset=reset)
        return predict_from("class", os + noise, mask)
