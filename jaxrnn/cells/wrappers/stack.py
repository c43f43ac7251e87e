"""A stack of cells as one cell (chapter 2.8, first way to depth).

    h₁⁽ᵗ⁾ = f₁(h₁⁽ᵗ⁻¹⁾, x⁽ᵗ⁾),   h₂⁽ᵗ⁾ = f₂(h₂⁽ᵗ⁻¹⁾, y₁⁽ᵗ⁾),   …,   y⁽ᵗ⁾ = y_L⁽ᵗ⁾

The carry is the tuple of the layers' carries, lowest first.  The projection of the lowest layer runs for
all t at once; the inputs of the others are known only after the step of the layer below.

The second layer's state is the chapter's z⁽ᵗ⁾.

References: Schmidhuber 1992; El Hihi & Bengio 1996; Graves, Mohamed & Hinton 2013, §3.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxrnn.core.arguments import check_key
from jaxrnn.core.carry_facts import CarryParts, carry_parts, output_of
from jaxrnn.core.checks import check_is_cell, inside
from jaxrnn.core.local_rules import rules_of, whole_step_bwd, whole_step_fwd, whole_weight_bwd
from jaxrnn.core.noise import check_noisy, part_input, plain_input, reads_time, takes_noise, with_x, without_dt
from jaxrnn.core.types import Cell, Inputs, Key, Noisy, Timed


@jax.tree_util.register_static
@dataclass(frozen=True)
class Stack:
    """Layers, each of which reads the output of the layer below.

    Args:
      cells: a tuple of the layers, lowest first.  The input size of a layer is the output size
        of the layer below.

    Raises:
      ValueError: no layer, or a layer that does not fit the layer below.
      TypeError: a layer that is not a cell.

    >>> from jaxrnn import GRU, LSTM
    >>> cell = Stack((LSTM(3, 8), GRU(8, 5)))
    >>> params = cell.init(jax.random.key(0))
    >>> carry, y = cell.step(params, cell.initial_carry(params), cell.project(params, jnp.ones(3)))
    >>> y.shape
    (5,)
    """

    cells: tuple[Cell, ...]

    def __post_init__(self):
        if not isinstance(self.cells, tuple):
            raise TypeError(f"`cells` must be a tuple of cells, got {self.cells!r}: write Stack((a, b)).")
        check_is_cell(**{f"cells[{i}]": cell for i, cell in enumerate(self.cells)})
        if not self.cells:
            raise ValueError("`cells` must hold at least one cell, got none.")
        y = output_of(self.cells[0])
        for layer, cell in enumerate(self.cells[1:], start=1):
            with _layer(layer):
                y = output_of(cell, None if y is None else y.shape[-1])

    def init(self, key: Key) -> tuple:
        """Draw the parameters of the layers, a tuple with the lowest first."""
        check_key(key=key)
        keys = jax.random.split(key, len(self.cells))
        return tuple(cell.init(k) for cell, k in zip(self.cells, keys, strict=True))

    def initial_carry(self, params: tuple, batch_shape: tuple[int, ...] = ()) -> tuple:
        """Return the initial carries of the layers, a tuple with the lowest first."""
        return tuple(cell.initial_carry(p, batch_shape) for cell, p in zip(self.cells, params, strict=True))

    def carry_parts(self, carry: tuple) -> CarryParts:
        """Return the output of the highest layer and the constants of all layers."""
        parts = [carry_parts(cell, c) for cell, c in zip(self.cells, carry, strict=True)]
        return CarryParts(output=parts[-1].output, constants=tuple(part.constants for part in parts))

    def project(self, params: tuple, xs: Inputs) -> Inputs:
        """Return the projection of the lowest layer, with the noise and Δt that the layers above it read besides y."""
        if takes_noise(self):
            check_noisy(self, xs)
        z = self.cells[0].project(params[0], part_input(self.cells[0], xs, 0))
        return (z, with_x(xs if reads_time(self) else without_dt(xs), None)) if _reads_more(self) else z

    def step(self, params: tuple, carry: tuple, z: Inputs) -> tuple[tuple, Any]:
        """Run one step of every layer, lowest first."""
        carries, ys = zip(*layers(self, params, carry, z), strict=True)
        return carries, ys[-1]

    def run_parts(self, params: tuple, xs: Inputs, carry: tuple | None, run: Callable) -> tuple[tuple, Any]:
        """Run every layer over all steps, the lowest first."""
        ys, ends = plain_input(xs), []
        for layer, (cell, p, c) in enumerate(zip(self.cells, params, carry or (None,) * len(self.cells), strict=True)):
            end, ys = run(cell, p, part_input(cell, with_x(xs, ys), layer), c)
            ends.append(end)
        return tuple(ends), ys

    def step_fwd(self, params: tuple, carry: tuple, z: Inputs):
        """Run `step`; the residual is that of each layer, with the input that all but the lowest projected."""
        z, beside = z if _reads_more(self) else (z, None)
        (c, y), residual = rules_of(self.cells[0]).step_fwd(params[0], carry[0], z)
        carries, residuals = [c], [residual]
        for layer, (cell, p, c) in enumerate(zip(self.cells[1:], params[1:], carry[1:], strict=True), start=1):
            with _layer(layer):
                (c, y), residual = whole_step_fwd(cell, p, c, part_input(cell, with_x(beside, y), layer))
            carries.append(c)
            residuals.append(residual)
        return (tuple(carries), y), StackResidual(tuple(residuals), beside)

    def step_bwd(self, params: tuple, residual: "StackResidual", dcarry: tuple, dy):
        """Go back from the highest layer down: ∇y of a layer is ∇ of the input of the layer above (2.2.2)."""
        dcarries, locals_, dbeside = [], [], jax.tree.map(jnp.zeros_like, residual.beside)
        above = zip(self.cells[1:], params[1:], residual.layers[1:], dcarry[1:], strict=True)
        for cell, p, res, dc in reversed(list(above)):
            dc, dx, local = whole_step_bwd(cell, p, res, dc, dy)
            dy, dbeside = plain_input(dx), _with_dt_of(dx, dbeside)
            dcarries.append(dc)
            locals_.append(local)
        dc, dz, local = rules_of(self.cells[0]).step_bwd(params[0], residual.layers[0], dcarry[0], dy)
        dz = (dz, dbeside) if _reads_more(self) else dz
        return (dc, *reversed(dcarries)), dz, (local, *reversed(locals_))

    def weight_bwd(self, params: tuple, residuals: "StackResidual", locals: tuple) -> tuple:
        """Sum over t for each layer, with the projections of all but the lowest, which `step` runs (2.2.3)."""
        lowest = rules_of(self.cells[0]).weight_bwd(params[0], residuals.layers[0], locals[0])
        above = zip(self.cells[1:], params[1:], residuals.layers[1:], locals[1:], strict=True)
        return (lowest, *(whole_weight_bwd(*each) for each in above))


class StackResidual(NamedTuple):
    """The record of a step for its backward."""

    layers: tuple
    """The residual of each layer, the lowest first."""
    beside: Inputs
    """The inputs besides y of the layers above the lowest: the keys that they draw from, and Δt."""


def layers(stack: Stack, params: tuple, carry: tuple, z: Inputs) -> Iterator[tuple[Any, Any]]:
    """Run one step of each layer from the lowest up, and yield its (carry, y)."""
    z, beside = z if _reads_more(stack) else (z, None)
    y = None
    for layer, (cell, p, c) in enumerate(zip(stack.cells, params, carry, strict=True)):
        if layer == 0:
            c, y = cell.step(p, c, z)
        else:
            with _layer(layer):
                c, y = cell.step(p, c, cell.project(p, part_input(cell, with_x(beside, y), layer)))
        yield c, y


def _layer(layer: int):
    """Name the layer in an error."""
    return inside(f"cells[{layer}]", reads=f"the output of `cells[{layer - 1}]`")


def _reads_more(stack: Stack) -> bool:
    """Return whether a layer reads noise or Δt beside the output of the layer below."""
    return takes_noise(stack) or reads_time(stack)


def _with_dt_of(dx: Inputs, dbeside: Inputs) -> Inputs:
    """Return the cotangent of what all layers share with the part of one layer added: ∇ of its Δt."""
    if isinstance(dbeside, Noisy):
        return dbeside._replace(x=_with_dt_of(dx.x if isinstance(dx, Noisy) else dx, dbeside.x))
    dx = dx.x if isinstance(dx, Noisy) else dx
    if isinstance(dbeside, Timed) and isinstance(dx, Timed):
        return dbeside._replace(dt=dbeside.dt + dx.dt)
    return dbeside
