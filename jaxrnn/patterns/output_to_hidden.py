"""Networks that read their own previous output.

    training:  o⁽ᵗ⁾ from x⁽¹⁾ … x⁽ᵗ⁾ and the true y⁽¹⁾ … y⁽ᵗ⁻¹⁾        teacher forcing
    use:       o⁽ᵗ⁾ from x⁽¹⁾ … x⁽ᵗ⁾ and the feedback of o⁽¹⁾ … o⁽ᵗ⁻¹⁾          free running

Such a network maximizes the second likelihood of 2.4,

    log p(y⁽ᵗ⁾ | x⁽¹⁾ … x⁽ᵗ⁾, y⁽¹⁾ … y⁽ᵗ⁻¹⁾),   P(y⁽¹⁾ … y⁽τ⁾ | x) = ∏ₜ p(y⁽ᵗ⁾ | x⁽¹⁾ … x⁽ᵗ⁾, y⁽¹⁾ … y⁽ᵗ⁻¹⁾):

the edge from an output to the next step makes the outputs depend on each other given the inputs.  This holds because
the network reads a *symbol*, the true one or a drawn one.  Fed back as logits or probabilities, the outputs are a
function of x alone and independent given x.

References: Goodfellow, Bengio & Courville 2016, §10.2.1; Bengio, Vinyals, Jaitly & Shazeer 2015; chapter 2.1.2, 2.3
and 2.4.
"""

from dataclasses import dataclass, replace

import jax
from jaxtyping import Array, Float, Int, Shaped

from jaxrnn.cells.jordan import Jordan
from jaxrnn.core.checks import check_choice, leading_axes
from jaxrnn.core.forwarding import forwarded
from jaxrnn.core.precision import accumulator
from jaxrnn.core.types import Cell, Key, Params
from jaxrnn.patterns.feedback import Feedback
from jaxrnn.patterns.hidden_to_hidden import TARGETS, Inputs, Steps, predict_from
from jaxrnn.patterns.teacher_forcing import scheduled_sampling, teacher_forced
from jaxrnn.unrolling.backpropagation import unroll_bptt
from jaxrnn.unrolling.scan import unroll


@jax.tree_util.register_static
@dataclass(frozen=True)
class OutputToHidden:
    """A network with output → hidden edges, trained by teacher forcing and run freely.

    Args:
      cell: `Jordan`, whose only memory is its output, or `Feedback`, which has hidden → hidden edges as well.
      target: the kind of y: "class", "values" (with feedback "logits") or "bits".

    Raises:
      ValueError: an unknown target.

    >>> import jax.numpy as jnp
    >>> model = OutputToHidden(Jordan(3, 8, 4))
    >>> params, xs, tokens = model.init(jax.random.key(0)), jnp.ones((7, 2, 3)), jnp.ones((7, 2), int)
    >>> model.logits(params, xs, tokens).shape, model.predict(params, xs).shape
    ((7, 2, 4), (7, 2))

    References: chapter 2.1.2, 2.3 and 2.4; Bengio et al. 2015.
    """

    cell: Jordan | Feedback
    target: str = "class"

    def __post_init__(self):
        check_choice("target", self.target, tuple(TARGETS))

    init = forwarded(Cell.init)

    def logits(
        self, params: Params, xs: Inputs, targets: Shaped[Array, "..."], *, mask: Steps = None, reset: Steps = None
    ) -> Float[Array, "..."]:
        """Return o⁽ᵗ⁾ given x⁽¹⁾ … x⁽ᵗ⁾ and the true y⁽¹⁾ … y⁽ᵗ⁻¹⁾ (teacher forcing)."""
        return teacher_forced(self.cell, params, xs, targets, mask=mask, reset=reset)[1]

    def free_logits(
        self, params: Params, xs: Inputs, *, mask: Steps = None, reset: Steps = None
    ) -> Float[Array, "..."]:
        """Return o⁽ᵗ⁾ given x⁽¹⁾ … x⁽ᵗ⁾ and the network's own outputs (free running)."""
        return unroll_bptt(self.cell, params, xs, mask=mask, reset=reset)[1]

    def loss(
        self, params: Params, xs: Inputs, targets: Shaped[Array, "..."], *, mask: Steps = None, reset: Steps = None
    ) -> Float[Array, ""]:
        """Return −log p(y⁽ᵗ⁾ | x⁽¹⁾ … x⁽ᵗ⁾, y⁽¹⁾ … y⁽ᵗ⁻¹⁾), averaged over valid steps; without a loop for `Jordan`."""
        os = self.logits(params, xs, targets, mask=mask, reset=reset)
        return TARGETS[self.target][0](os, targets, mask=mask)

    def free_loss(
        self, params: Params, xs: Inputs, targets: Shaped[Array, "..."], *, mask: Steps = None, reset: Steps = None
    ) -> Float[Array, ""]:
        """Return `loss` of the free-running network, with BPTT through its own outputs."""
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
        """Return the loss of scheduled sampling: `loss` at probability 1, `free_loss` at 0."""
        _, os = scheduled_sampling(key, self.cell, params, xs, targets, probability, mask=mask, reset=reset)
        return TARGETS[self.target][0](os, targets, mask=mask)

    def predict(self, params: Params, xs: Inputs, *, mask: Steps = None, reset: Steps = None) -> Shaped[Array, "..."]:
        """Return the likeliest y⁽ᵗ⁾ given the feedback before it (free running)."""
        return predict_from(self.target, self.free_logits(params, xs, mask=mask, reset=reset), mask)

    def sample(
        self, key: Key, params: Params, xs: Float[Array, "..."], *, mask: Steps = None, reset: Steps = None
    ) -> Int[Array, "..."]:
        """Draw y⁽¹⁾ … y⁽τ⁾ ~ P(· | x⁽¹⁾ … x⁽τ⁾) and feed each symbol back: `[time, *batch]`, −1 on padding.

        The draw is from the joint distribution whose factors `logits` returns, for any feedback of the cell.
        """
        noise = jax.random.gumbel(key, (*leading_axes(xs), self.cell.output_size), accumulator(xs.dtype))
        _, os = unroll(replace(self.cell, feedback="sample"), params, (xs, noise), mask=mask, reset=reset)
        return predict_from("class", os + noise, mask)
