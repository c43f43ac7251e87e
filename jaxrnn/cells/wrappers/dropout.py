"""Dropout on the input of a cell; in a stack, between the layers.

    x̃⁽ᵗ⁾ = d⁽ᵗ⁾ ⊙ x⁽ᵗ⁾ / (1 − p),       d ~ Bernoulli(1 − p) for every unit,       h⁽ᵗ⁾ = f(h⁽ᵗ⁻¹⁾, x̃⁽ᵗ⁾)

`per="sequence"`, Gal & Ghahramani's variational dropout: one d for a whole sequence, as if a network
with fewer units were drawn and then run.  `per="step"`, Zaremba, Sutskever & Vinyals': a new d⁽ᵗ⁾ at every t.
Neither affects the path from h⁽ᵗ⁻¹⁾ to h⁽ᵗ⁾; `Zoneout` does.  Since E[x̃] = x, evaluation uses the cell itself.

p → `rate`; the noise comes with the input, for the reasons in `jaxrnn.core.noise`.

References: Srivastava et al. 2014; Zaremba, Sutskever & Vinyals 2014, §3.2; Gal & Ghahramani 2016, §4; chapter 2.8.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from jaxrnn.core.carry_facts import parts_of_cell
from jaxrnn.core.checks import check_choice, check_is_cell
from jaxrnn.core.forwarding import forwarded
from jaxrnn.core.local_rules import rules_of
from jaxrnn.core.noise import check_rate, keep, part_input, plain_input, quiet, with_x
from jaxrnn.core.types import Carry, Cell, Inputs, LocalRules, Noisy, Params


@jax.tree_util.register_static
@dataclass(frozen=True)
class Dropout:
    """A cell that reads x with a fraction `rate` of its units set to 0 and the others scaled by 1/(1 − rate).

    Its parameters and its carry are those of the cell.  It takes `with_noise(key, xs)`.

    Args:
      cell: any cell whose input is an array.
      rate: p, the probability that a unit is dropped, 0 ≤ p < 1.
      per: "sequence" for one mask for all steps, or "step" for a new one at each.

    Raises:
      TypeError: `cell` is not a cell.
      ValueError: a rate outside [0, 1), or another `per`.

    >>> from jaxrnn import LSTM, Stack, quiet, unroll, with_noise
    >>> cell = Stack((LSTM(3, 8), Dropout(LSTM(8, 5), rate=0.5)))
    >>> params, xs = cell.init(jax.random.key(0)), jnp.ones((7, 2, 3))
    >>> carry, ys = unroll(cell, params, with_noise(jax.random.key(1), xs))     # training
    >>> carry, ys = unroll(quiet(cell), params, xs)                             # evaluation

    References: Gal & Ghahramani 2016.
    """

    cell: Cell
    rate: float
    per: str = "sequence"

    def __post_init__(self):
        check_is_cell(cell=self.cell)
        check_rate(self.rate)
        check_choice("per", self.per, ("sequence", "step"))

    def quiet(self) -> Cell:
        """Return the cell without its noise."""
        return quiet(self.cell)

    init = forwarded(Cell.init)
    initial_carry = forwarded(Cell.initial_carry)
    carry_parts = parts_of_cell

    def project(self, params: Params, xs: Noisy) -> Inputs:
        """Project x̃⁽ᵗ⁾ for every t at once."""
        return self.cell.project(params, self._dropped(xs))

    def run_parts(self, params: Params, xs: Noisy, carry: Carry | None, run: Callable) -> tuple[Carry, Any]:
        """Run the cell over all x̃⁽ᵗ⁾."""
        return run(self.cell, params, self._dropped(xs), carry)

    def _dropped(self, xs):
        """Return x̃, with the noise that the cell draws from, if it draws any."""
        x = drop(part_input(self, xs, 0), self.rate, each_step=self.per == "step")
        return part_input(self.cell, with_x(xs, x), 1)

    step = forwarded(Cell.step)
    step_fwd = forwarded(LocalRules.step_fwd, via=rules_of)
    step_bwd = forwarded(LocalRules.step_bwd, via=rules_of)
    weight_bwd = forwarded(LocalRules.weight_bwd, via=rules_of)


def drop(noisy: Noisy, rate: float, *, each_step: bool) -> jax.Array:
    """Return d ⊙ x / (1 − rate).

    Raises:
      TypeError: x is not one array.
    """
    x = plain_input(noisy)
    if not isinstance(x, jax.Array) or not jnp.issubdtype(x.dtype, jnp.floating):
        raise TypeError(f"`xs.x` must be one floating array for dropout, got {jax.tree.map(jnp.shape, x)}.")
    # `where`, not a product: what is dropped is gone, NaN included
    return jnp.where(keep(noisy, rate, x.shape[-1], each_step=each_step), x / (1 - rate), 0)
