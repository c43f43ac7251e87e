"""Trajectories in their principal components, with the fixed points and their unstable directions.

    H − m = S Σ Vᵀ,      the coordinates of h are (h − m) V[:, :2 or :3]

The rows of H are all states of all trajectories, and m is their mean.  From each fixed point, a line runs in both
directions along the real part of every right eigenvector whose eigenvalue lies outside the unit circle.

References: Sussillo & Barak 2013, figures 3 and 4; Mante et al. 2013, figure 5.
"""

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Array, Float

from jaxrnn.core.checks import check_choice
from jaxrnn.dynamics.fixed_points.linearization import Modes
from jaxrnn.dynamics.fixed_points.merging import Points
from jaxrnn.dynamics.fixed_points.stability_marks import mark

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def draw_trajectories(
    trajectories: Float[Array, "time rows n"],
    points: Points,
    modes: Modes,
    *,
    dimensions: int = 2,
    rows: int = 60,
    ax: "Axes | None" = None,
) -> "Figure":
    """Draw trajectories, fixed points by stability, and the unstable directions.

    Args:
      trajectories: states as vectors, such as `jaxrnn.core.pytrees.ravel_floating(trajectory(…).after, 2)`.
      points: from `distinct`.
      modes: from `linearize` at these points.
      dimensions: 2 or 3 principal components.
      rows: the largest number of trajectories to draw; the components are computed from all.
      ax: the axes to draw on, three-dimensional for 3 components; None for a figure of its own.

    Returns:
      The `matplotlib.figure.Figure`.

    Raises:
      ValueError: another number of dimensions; states of another size than the points.

    >>> import jax, jax.numpy as jnp
    >>> from jaxrnn import GRU
    >>> from jaxrnn.dynamics import fixed_points, trajectory
    >>> cell, xs = GRU(2, 4), jax.random.normal(jax.random.key(1), (20, 3, 2))
    >>> params = cell.init(jax.random.key(0))
    >>> run = trajectory(cell, params, xs)
    >>> points = fixed_points.distinct(fixed_points.find(cell, params, jnp.zeros(2), run.after[-1]))
    >>> modes = fixed_points.linearize(cell, params, points.x, points.h)
    >>> draw_trajectories(run.after, points, modes).axes[0].get_xlabel()[:4]
    'PC 1'

    References: Sussillo & Barak 2013.
    """
    check_choice("dimensions", dimensions, (2, 3))
    states = np.asarray(trajectories, np.float64)
    if states.ndim != 3 or states.shape[-1] != points.h.shape[-1] or states.shape[-1] < dimensions:
        raise ValueError(
            f"`trajectories` must have shape [time, rows, n] with the {points.h.shape[-1]} numbers of a point, at "
            f"least {dimensions}, got {states.shape}."
        )
    flat = states.reshape(-1, states.shape[-1])
    mean, components, shares = _principal_components(flat, dimensions)
    figure, ax = _axes(ax, dimensions)
    for row in np.moveaxis(states[:, :rows], 1, 0):
        ax.plot(*((row - mean) @ components).T, "-", color="tab:blue", linewidth=0.6, alpha=0.35, zorder=1)
    places = (np.asarray(points.h, np.float64) - mean) @ components
    _draw_unstable(
        ax, places, modes, components, scale=0.12 * np.ptp(states.reshape(-1, states.shape[-1]) @ components)
    )
    mark(ax, places, np.asarray(modes.stability))
    for axis, share, name in zip("xyz", shares, ("PC 1", "PC 2", "PC 3"), strict=False):
        getattr(ax, f"set_{axis}label")(f"{name} ({share:.0%})")
    ax.legend(frameon=False, fontsize=8, loc="upper left" if dimensions == 2 else "upper right")
    return figure


def _principal_components(states: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the mean, the components as columns, and the share of the variance of each."""
    mean = states.mean(axis=0)
    variances, vectors = np.linalg.eigh((states - mean).T @ (states - mean))
    order = np.argsort(-variances)[:count]
    return mean, vectors[:, order], variances[order] / max(variances.sum(), np.finfo(float).tiny)


def _axes(ax, dimensions: int):
    if ax is not None:
        return ax.figure, ax
    from matplotlib.figure import Figure  # no pyplot: no display is looked for

    figure = Figure(figsize=(6, 5), dpi=110, layout="constrained")
    if dimensions == 2:
        ax = figure.add_subplot()
        ax.spines[["top", "right"]].set_visible(False)
        ax.set_aspect("equal", adjustable="datalim")
    else:
        ax = figure.add_subplot(projection="3d")
    return figure, ax


def _draw_unstable(ax, places: np.ndarray, modes: Modes, components: np.ndarray, scale: float) -> None:
    """Draw a line along every unstable direction of a point."""
    label = "unstable direction"
    for place, values, right, unstable in zip(
        places, np.asarray(modes.eigenvalues), np.asarray(modes.right), np.asarray(modes.unstable), strict=True
    ):
        for i in range(unstable):
            if values[i].imag < 0:
                continue  # the other one of a pair
            direction = np.real(right[:, i])
            direction = direction / max(np.linalg.norm(direction), 1e-12) @ components
            ends = np.stack([place - scale * direction, place + scale * direction])
            ax.plot(*ends.T, "-", color="tab:red", linewidth=1.5, zorder=4, label=label)
            label = None
