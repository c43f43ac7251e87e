"""The plane of a network whose state is two numbers: its flow, its nullclines and its fixed points.

    Δh = f(h, x) − h           the arrows; Δhᵢ = 0 along the nullcline of unit i

Nullclines cross at the fixed points.  In discrete time the arrows are steps: a state may jump over a nullcline.

References: Strogatz 2015, §6; Sussillo 2014, figure 1.
"""

from functools import partial
from typing import TYPE_CHECKING, cast

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PyTree, Shaped

from jaxrnn.core.types import Cell, Params
from jaxrnn.dynamics.fixed_points.linearization import as_carries, linearize
from jaxrnn.dynamics.fixed_points.merging import distinct
from jaxrnn.dynamics.fixed_points.search import checked_starts, find
from jaxrnn.dynamics.fixed_points.stability_marks import mark
from jaxrnn.dynamics.jacobians import next_state
from jaxrnn.dynamics.states import as_vectors

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

GRID, STARTS = 121, 9
"""Points along each side: of the picture, and of the grid from which fixed points are searched."""


def draw_phase_portrait(
    cell: Cell,
    params: Params,
    x: PyTree[Shaped[Array, "..."]],
    *,
    low: tuple[float, float] = (-1.1, -1.1),
    high: tuple[float, float] = (1.1, 1.1),
    ax: "Axes | None" = None,
) -> "Figure":
    """Draw the phase portrait of a network of two units, with nullclines and fixed points by stability.

    Args:
      cell: a cell whose carry has two floating numbers, such as `Elman(1, 2)` or `GRU(1, 2)`.
      params: its parameters.
      x: the constant input, `[features]`.
      low: the lower left corner of the picture.
      high: the upper right corner of the picture.
      ax: the axes to draw on; None for a figure of its own.

    Returns:
      The `matplotlib.figure.Figure`.

    Raises:
      TypeError: a cell without a derivative.
      ValueError: a state of another size; parameters of another cell; corners in the wrong order.

    >>> from jaxrnn import Elman
    >>> from jaxrnn.cells import ElmanParams
    >>> params = ElmanParams(jnp.zeros((1, 2)), 2 * jnp.eye(2), jnp.zeros(2))
    >>> figure = draw_phase_portrait(Elman(1, 2), params, jnp.zeros(1))
    >>> [text.get_text() for text in figure.axes[0].get_legend().get_texts()][2:]
    ['stable (4)', 'saddle (4)', 'unstable (1)']

    References: Strogatz 2015, §6.
    """
    if not (low[0] < high[0] and low[1] < high[1]):
        raise ValueError(f"`low` must be below `high` in both coordinates, got {low} and {high}.")
    grid, starts = (_grid(low, high, n) for n in (GRID, STARTS))
    size = _size(cell, params)
    if size != 2:
        raise ValueError(f"`cell` must have a state of 2 numbers for a phase portrait, got {size} in {cell}.")
    carries, xs = checked_starts(cell, params, x, as_carries(cell, params, grid))
    moves = np.asarray(_moves(cell, params, xs, carries)).reshape(GRID, GRID, 2)
    points = distinct(find(cell, params, x, as_carries(cell, params, starts)))
    stability = linearize(cell, params, points.x, points.h).stability
    ax = ax if ax is not None else _new_axes()
    first, second = (np.linspace(low[i], high[i], GRID) for i in range(2))
    ax.streamplot(first, second, moves[..., 0], moves[..., 1], color="0.75", linewidth=0.7, density=1.3, arrowsize=0.8)
    for i, (color, style) in enumerate((("tab:blue", "-"), ("tab:orange", "--"))):
        ax.contour(first, second, moves[..., i], levels=[0], colors=color, linestyles=style, linewidths=1.6)
        ax.plot([], [], color=color, linestyle=style, label=f"Δh{'₁₂'[i]} = 0")
    mark(ax, np.asarray(points.h), np.asarray(stability), size=70)
    ax.set(xlabel="h₁", ylabel="h₂", xlim=(low[0], high[0]), ylim=(low[1], high[1]))
    ax.legend(frameon=False, fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.12), ncols=3)  # hides no point
    return cast("Figure", ax.figure)


def _size(cell: Cell, params: Params) -> int:
    return jax.eval_shape(lambda params: as_vectors(cell.initial_carry(params), 0), params).size


def _grid(low, high, n: int) -> Array:
    """Return all points of a grid, `[n², 2]`; the first coordinate varies fastest."""
    return jnp.stack(jnp.meshgrid(*(jnp.linspace(low[i], high[i], n) for i in range(2))), axis=-1).reshape(-1, 2)


@partial(jax.jit, static_argnums=0)
def _moves(cell, params, xs, carries):
    """Return f(h, x) − h at every point."""

    def move(carry, z):
        h = as_vectors(carry, 0)
        return next_state(cell, params, carry, z, h) - h

    return jax.vmap(move)(carries, cell.project(params, xs))


def _new_axes():
    from matplotlib.figure import Figure  # no pyplot: no display is looked for

    ax = Figure(figsize=(5.4, 5), dpi=110, layout="constrained").add_subplot()
    ax.spines[["top", "right"]].set_visible(False)
    return ax
