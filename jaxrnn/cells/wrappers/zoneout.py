"""Zoneout: random units keep their previous state.

    h⁽ᵗ⁾ = d⁽ᵗ⁾ ⊙ h⁽ᵗ⁻¹⁾ + (1 − d⁽ᵗ⁾) ⊙ h̃⁽ᵗ⁾,       h̃⁽ᵗ⁾ = f(h⁽ᵗ⁻¹⁾, x⁽ᵗ⁾),       d ~ Bernoulli(p) for every unit and t

Dropout on h would erase the memory of a unit; zoneout keeps its old value, and gradients pass the step unchanged.  For
evaluation d is replaced by its expectation:

    h⁽ᵗ⁾ = p h⁽ᵗ⁻¹⁾ + (1 − p) h̃⁽ᵗ⁾

p → `rate`, one for the whole carry or one for each of its arrays (an LSTM's h and C; the paper's best are 0.05 and
0.5). If the output is an array of the carry, y = h, the output is the new h as well.

References: Krueger et al. 2017, "Zoneout: regularizing RNNs by randomly preserving hidden activations", §3; chapter
2.8.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array

from jaxrnn.core.carry_facts import CarryParts, carry_parts, output_place
from jaxrnn.core.checks import check_is_cell
from jaxrnn.core.forwarding import forwarded
from jaxrnn.core.local_rules import rules_of
from jaxrnn.core.noise import check_rate, keep, part_input, quiet
from jaxrnn.core.types import Carry, Cell, Inputs, Noisy, Params


class ZoneoutResidual(NamedTuple):
    """The record of a step for its backward."""

    cell: Any
    """The residual of the cell."""
    held: list[Array]
    """d⁽ᵗ⁾ for each array of the carry."""


@jax.tree_util.register_static
@dataclass(frozen=True)
class Zoneout:
    """A cell with a random fraction `rate` of its units held at every step.

    Its parameters and its carry are those of the cell.  It takes `with_noise(key, xs)`.

    Args:
      cell: a cell whose carry is made of floating arrays `[*batch, features]`, one of which is its output.
      rate: p, the probability that a unit is held, 0 ≤ p < 1; or a tuple, one for each array of the carry.

    Raises:
      TypeError: `cell` is not a cell.
      ValueError: a rate outside [0, 1).

    >>> from jaxrnn import LSTM, unroll, with_noise
    >>> cell = Zoneout(LSTM(3, 5), rate=(0.05, 0.5))
    >>> params, xs = cell.init(jax.random.key(0)), jnp.ones((7, 2, 3))
    >>> carry, ys = unroll(cell, params, with_noise(jax.random.key(1), xs))
    >>> bool(jnp.allclose(ys[-1], carry.h))
    True

    References: Krueger et al. 2017.
    """

    cell: Cell
    rate: float | tuple[float, ...]

    def __post_init__(self):
        check_is_cell(cell=self.cell)
        for rate in self.rate if isinstance(self.rate, tuple) else (self.rate,):
            check_rate(rate)

    def quiet(self) -> "ExpectedZoneout":
        """Return the cell with the expectation over d."""
        return ExpectedZoneout(quiet(self.cell), self.rate)

    init = forwarded(Cell.init)
    initial_carry = forwarded(Cell.initial_carry)

    def carry_parts(self, carry: Carry) -> CarryParts:
        """Return the output of the cell; no array is constant."""
        return CarryParts(output=carry_parts(self.cell, carry).output)

    def project(self, params: Params, xs: Noisy) -> tuple[Inputs, list[Array]]:
        """Project x, and draw d for every t and every array of the carry."""
        leaves = jax.tree.leaves(jax.eval_shape(self.cell.initial_carry, params))
        held = [
            ~keep(part_input(self, xs, i), rate, leaf.shape[-1], each_step=True)
            for i, (leaf, rate) in enumerate(zip(leaves, _rates(self.rate, len(leaves)), strict=True))
        ]
        return self.cell.project(params, part_input(self.cell, xs, len(leaves))), held

    def step(self, params: Params, carry: Carry, z: tuple[Inputs, list[Array]]) -> tuple[Carry, Any]:
        """Return h̃⁽ᵗ⁾ where d⁽ᵗ⁾ = 0, h⁽ᵗ⁻¹⁾ where d⁽ᵗ⁾ = 1."""
        z, held = z
        after, _ = self.cell.step(params, carry, z)
        return _mixed(self.cell, held, carry, after)

    def step_fwd(self, params: Params, carry: Carry, z: tuple[Inputs, list[Array]]):
        """Run the step; the residual is that of the cell, and d⁽ᵗ⁾."""
        z, held = z
        (after, _), residual = rules_of(self.cell).step_fwd(params, carry, z)
        return _mixed(self.cell, held, carry, after), ZoneoutResidual(residual, held)

    def step_bwd(self, params: Params, residual: ZoneoutResidual, dcarry: Carry, dy: Any):
        """Pass ∇h⁽ᵗ⁾ to h⁽ᵗ⁻¹⁾ where d⁽ᵗ⁾ = 1, and to the rule of the cell where d⁽ᵗ⁾ = 0."""
        before, dz, local = _apart(self.cell, residual.held, params, residual.cell, dcarry, dy)
        return before, (dz, [jnp.zeros_like(held) for held in residual.held]), local

    def weight_bwd(self, params: Params, residuals: ZoneoutResidual, locals: Any) -> Params:
        """Return the sums of the cell."""
        return rules_of(self.cell).weight_bwd(params, residuals.cell, locals)


@jax.tree_util.register_static
@dataclass(frozen=True)
class ExpectedZoneout:
    """The evaluation form of zoneout, h⁽ᵗ⁾ = p h⁽ᵗ⁻¹⁾ + (1 − p) h̃⁽ᵗ⁾; `quiet(Zoneout(cell, rate))` returns it.

    It takes plain inputs.

    Args:
      cell: a cell whose carry is made of floating arrays `[*batch, features]`, one of which is its output.
      rate: p, 0 ≤ p < 1; or a tuple, one for each array of the carry.

    Raises:
      TypeError, ValueError: as `Zoneout`.

    >>> from jaxrnn import LSTM, quiet
    >>> quiet(Zoneout(LSTM(3, 5), rate=0.5)).rate
    0.5

    References: Krueger et al. 2017, §3.
    """

    cell: Cell
    rate: float | tuple[float, ...]

    def __post_init__(self):
        Zoneout(self.cell, self.rate)

    init = forwarded(Cell.init)
    initial_carry = forwarded(Cell.initial_carry)
    project = forwarded(Cell.project)

    def carry_parts(self, carry: Carry) -> CarryParts:
        """Return the parts, as `Zoneout` does."""
        return CarryParts(output=carry_parts(self.cell, carry).output)

    def step(self, params: Params, carry: Carry, z: Inputs) -> tuple[Carry, Any]:
        """Run the expectation of the step over d⁽ᵗ⁾."""
        after, _ = self.cell.step(params, carry, z)
        return _mixed(self.cell, self._kept(carry), carry, after)

    def step_fwd(self, params: Params, carry: Carry, z: Inputs):
        """Run the step; the residual is that of the cell."""
        (after, _), residual = rules_of(self.cell).step_fwd(params, carry, z)
        return _mixed(self.cell, self._kept(carry), carry, after), residual

    def step_bwd(self, params: Params, residual: Any, dcarry: Carry, dy: Any):
        """Pass p ∇h⁽ᵗ⁾ to h⁽ᵗ⁻¹⁾, and the rest to the rule of the cell."""
        return _apart(self.cell, self._kept(dcarry), params, residual, dcarry, dy)

    def weight_bwd(self, params: Params, residuals: Any, locals: Any) -> Params:
        """Return the sums of the cell."""
        return rules_of(self.cell).weight_bwd(params, residuals, locals)

    def _kept(self, carry: Carry) -> tuple[float, ...]:
        return _rates(self.rate, len(jax.tree.leaves(carry)))


def _rates(rate: float | tuple[float, ...], count: int) -> tuple[float, ...]:
    """Return one rate per array of the carry."""
    if not isinstance(rate, tuple):
        return (rate,) * count
    if len(rate) != count:
        raise ValueError(f"`rate` must have one entry for each of the {count} arrays of the carry, got {rate}.")
    return rate


def _mixed(cell: Cell, kept: Sequence[Array | float], old: Carry, new: Carry) -> tuple[Carry, Any]:
    """Mix the new carry with the old one, array by array, and return y, one of them, likewise."""
    place = _place(cell, old)
    (olds, structure), news = jax.tree.flatten(old), jax.tree.leaves(new)
    mixed = [_mix(*of_array) for of_array in zip(kept, olds, news, strict=True)]
    return structure.unflatten(mixed), mixed[place]


def _apart(cell: Cell, kept: Sequence[Array | float], params: Params, residual: Any, dcarry: Carry, dy: Any):
    """Return the results of `step_bwd`: the adjoint of `_mixed`, and the rule of the cell."""
    ds, structure = jax.tree.flatten(dcarry)
    ds[_place(cell, dcarry)] += dy
    to_cell = structure.unflatten([_mix(share, jnp.zeros_like(d), d) for share, d in zip(kept, ds, strict=True)])
    before, dz, local = rules_of(cell).step_bwd(params, residual, to_cell, jnp.zeros_like(dy))
    past_it = structure.unflatten([_mix(share, d, jnp.zeros_like(d)) for share, d in zip(kept, ds, strict=True)])
    return jax.tree.map(jnp.add, before, past_it), dz, local


def _mix(kept: Array | float, old: Array, new: Array) -> Array:
    """Return the old value where it is kept, or as a share of the sum."""
    return kept * old + (1 - kept) * new if isinstance(kept, float) else jnp.where(kept, old, new)


def _place(cell: Cell, carry: Carry) -> int:
    """Return which array of the carry is the output."""
    place = output_place(cell, carry)
    if place is None:
        raise TypeError(
            f"`cell` must output one array of its carry, y = h, to be zoned out; {cell} does not. "
            "If a cell inside it does, wrap that one; if the cell itself does, define its `carry_parts`."
        )
    return place
