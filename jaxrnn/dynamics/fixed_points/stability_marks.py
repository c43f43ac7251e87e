"""One mark for each stability class, the same in every figure."""

from typing import TYPE_CHECKING, Any

import numpy as np

from jaxrnn.dynamics.fixed_points.linearization import Stability

if TYPE_CHECKING:
    from matplotlib.axes import Axes

STYLES: dict[Stability, dict[str, Any]] = {
    Stability.STABLE: {"marker": "o", "facecolor": "black", "edgecolor": "black"},
    Stability.MARGINAL: {"marker": "D", "facecolor": "tab:orange", "edgecolor": "black"},
    Stability.SADDLE: {"marker": "X", "facecolor": "tab:red", "edgecolor": "white"},
    Stability.UNSTABLE: {"marker": "o", "facecolor": "white", "edgecolor": "black"},
}


def mark(ax: "Axes", places: np.ndarray, stability: np.ndarray, *, size: float = 60) -> None:
    """Draw points, `[points, 2 or 3]`, with a mark for each stability class."""
    for kind, style in STYLES.items():
        chosen = places[np.asarray(stability) == kind]
        if len(chosen):
            label = f"{kind.name.lower()} ({len(chosen)})"
            options = style if chosen.shape[1] == 2 else style | {"depthshade": False}
            ax.scatter(*chosen.T, s=size, linewidth=1, zorder=5, label=label, **options)
