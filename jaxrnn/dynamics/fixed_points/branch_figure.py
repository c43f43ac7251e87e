"""A bifurcation diagram: the branches of `follow` over the swept input.

References: Kuznetsov 2004, §4; Strogatz 2015, §3.
"""

from typing import TYPE_CHECKING, cast

import numpy as np
from jaxtyping import Array, Float

from jaxrnn.dynamics.fixed_points.branches import Bifurcation, Branches

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MARKS = {Bifurcation.FOLD: ">", Bifurcation.CROSSING: "P", Bifurcation.FLIP: "v", Bifurcation.CIRCLE: "o"}


def draw_branches(branches: Branches, direction: Float[Array, " n"] | int = 0, *, ax: "Axes | None" = None) -> "Figure":
    """Draw a bifurcation diagram: stable parts solid, unstable ones dashed, bifurcations marked.

    Args:
      branches: from `follow`.
      direction: h is shown as its product with this vector, or as the unit of this number.
      ax: the axes to draw on; None for a figure of its own.

    Returns:
      The `matplotlib.figure.Figure`.

    Raises:
      ValueError: a direction of another size, or no such unit.

    >>> import jax.numpy as jnp
    >>> from jaxrnn import Elman
    >>> from jaxrnn.cells import ElmanParams
    >>> from jaxrnn.dynamics.fixed_points import follow
    >>> params = ElmanParams(jnp.ones((1, 1)), jnp.array([[2.0]]), jnp.zeros(1))
    >>> branches = follow(Elman(1, 1), params, jnp.array([-1.0]), jnp.array([1.0]), jnp.array([[-0.995]]))
    >>> [text.get_text() for text in draw_branches(branches).axes[0].get_legend().get_texts()]
    ['stable', 'unstable', 'fold']

    References: Strogatz 2015, §3.
    """
    heights = _heights(np.asarray(branches.h), direction)
    if ax is None:
        from matplotlib.figure import Figure  # no pyplot: no display is looked for

        ax = Figure(figsize=(6, 4), dpi=110, layout="constrained").add_subplot()
        ax.spines[["top", "right"]].set_visible(False)
    s, valid = np.asarray(branches.s), np.asarray(branches.valid)
    stable = np.asarray(branches.unstable) == 0
    for name, chosen, style in (("stable", stable, "-"), ("unstable", ~stable, "--")):
        for row in range(len(s)):
            # one point more on both sides, so that the parts meet
            wide = chosen[row] | np.roll(chosen[row], 1) if name == "unstable" else chosen[row]
            shown = np.where(wide & valid[row], heights[row], np.nan)
            ax.plot(s[row], shown, style, color="black" if name == "stable" else "tab:red", linewidth=1.4)
        if (chosen & valid).any():
            ax.plot([], [], style, color="black" if name == "stable" else "tab:red", label=name)
    kinds = np.asarray(branches.bifurcation)
    for kind, marker in MARKS.items():
        at = (kinds == kind) & valid
        if at.any():
            ax.plot(s[at], heights[at], marker, color="tab:blue", markersize=7, label=kind.name.lower(), zorder=5)
    what = f"unit {direction}" if isinstance(direction, int) else "h along the direction"
    ax.set(xlabel="s: the input is x₀ + s (x₁ − x₀)", ylabel=what, xlim=(-0.02, 1.02))
    ax.legend(frameon=False, fontsize=8)
    return cast("Figure", ax.figure)


def _heights(h: np.ndarray, direction) -> np.ndarray:
    """Return the height at which each point is drawn, `[branches, steps]`."""
    n = h.shape[-1]
    if isinstance(direction, int):
        if not 0 <= direction < n:
            raise ValueError(f"`direction` must be a unit from 0 to {n - 1} or a vector, got {direction}.")
        return h[..., direction]
    if np.shape(direction) != (n,):
        raise ValueError(f"`direction` must have shape ({n},), got {np.shape(direction)}.")
    return h @ np.asarray(direction)
