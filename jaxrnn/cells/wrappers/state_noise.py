"""Noise added to the pre-activation, a⁽ᵗ⁾ + v⁽ᵗ⁾, as Jaeger trains reservoirs.

    h⁽ᵗ⁾ = f(h⁽ᵗ⁻¹⁾, z⁽ᵗ⁾ + v⁽ᵗ⁾),      v ~ Uniform[−σ, σ] for every unit and step,      z⁽ᵗ⁾ the projection of the cell

A read-out fitted to noisy states does not rely on directions in which the reservoir hardly moves, which stabilizes a
reservoir that reads its own output.  Evaluation uses the cell itself.

σ → `scale`; the noise comes with the input, for the reasons in `jaxrnn.core.noise`.

References: Jaeger 2001, "The echo state approach" (GMD report 148), §§ 2 and 6; Bishop 1995, "Training with noise
is equivalent to Tikhonov regularization"; chapter 六.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from jaxrnn.core.carry_facts import parts_of_cell
from jaxrnn.core.checks import check_is_cell
from jaxrnn.core.forwarding import forwarded
from jaxrnn.core.local_rules import rules_of
from jaxrnn.core.noise import part_input, quiet, uniform
from jaxrnn.core.types import Cell, Inputs, LocalRules, Noisy, Params


@jax.tree_util.register_static
@dataclass(frozen=True)
class StateNoise:
    """A cell with uniform noise of size `scale` added to its projection.

    Its parameters and its carry are those of the cell.  It takes `with_noise(key, xs)`.

    Args:
      cell: any cell that projects to one floating array: `Elman`, `LSTM`, `GRU`, `Reservoir`.
      scale: σ.

    Raises:
      TypeError: `cell` is not a cell.
      ValueError: a negative scale.

    >>> from jaxrnn import Elman, unroll, with_noise
    >>> cell = StateNoise(Elman(3, 5), scale=1e-5)
    >>> params, xs = cell.init(jax.random.key(0)), jnp.ones((7, 2, 3))
    >>> carry, ys = unroll(cell, params, with_noise(jax.random.key(1), xs))
    >>> clean = unroll(quiet(cell), params, xs)[1]
    >>> 1e-6 < abs(ys - clean).max() < 1e-4
    Array(True, dtype=bool)

    References: Jaeger 2001, §6.
    """

    cell: Cell
    scale: float

    def __post_init__(self):
        check_is_cell(cell=self.cell)
        if not self.scale >= 0:
            raise ValueError(f"`scale` must be at least 0, got {self.scale!r}.")

    def quiet(self) -> Cell:
        """Return the cell without its noise."""
        return quiet(self.cell)

    init = forwarded(Cell.init)
    initial_carry = forwarded(Cell.initial_carry)
    carry_parts = parts_of_cell

    def project(self, params: Params, xs: Noisy) -> Inputs:
        """Return z⁽ᵗ⁾ + v⁽ᵗ⁾ for every t.

        Raises:
          TypeError: `xs` without noise; a cell that does not project to floating arrays.
        """
        noisy = part_input(self, xs, 0)
        z = self.cell.project(params, part_input(self.cell, xs, 1))
        leaves, structure = jax.tree.flatten(z)
        if isinstance(z, Noisy) or not all(jnp.issubdtype(leaf.dtype, jnp.floating) for leaf in leaves):
            raise TypeError(f"`cell` must project to floating arrays; {self.cell} gives {jax.typeof(leaves[-1])}.")
        ends = np.cumsum([leaf.shape[-1] for leaf in leaves])
        drawn = jnp.split(uniform(noisy, int(ends[-1])), ends[:-1], axis=-1)
        scaled = [jnp.asarray(self.scale, v.dtype) * v for v in map(jnp.astype, drawn, [leaf.dtype for leaf in leaves])]
        return jax.tree.unflatten(structure, map(jnp.add, leaves, scaled))

    step = forwarded(Cell.step)
    step_fwd = forwarded(LocalRules.step_fwd, via=rules_of)
    step_bwd = forwarded(LocalRules.step_bwd, via=rules_of)
    weight_bwd = forwarded(LocalRules.weight_bwd, via=rules_of)
