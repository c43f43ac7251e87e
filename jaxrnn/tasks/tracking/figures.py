"""Figures of tracking tasks: accuracy against length, and scores of cells against problems.

References: Delétang et al. 2023, figures 1 and 3.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np


def draw_accuracy(
    file: Path, curves: Mapping[Any, tuple[np.ndarray, np.ndarray]], trained: int, chance: float, title: str, unit: str
) -> None:
    """Draw accuracy against length, with the length of training and the accuracy of a guess.

    Args:
      file: the PNG to write.
      curves: name → lengths and accuracies.
      trained: the largest length in training.
      chance: the accuracy of a guess.
      title: the title of the figure.
      unit: the unit of the length.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder) / "accuracy.png"
    ...     draw_accuracy(file, {"lstm": (np.array([1, 10]), np.array([1.0, 0.9]))}, 5, 0.5, "parity", "steps")
    ...     file.exists()
    True

    References: Delétang et al. 2023, figure 3.
    """
    from matplotlib.figure import Figure  # no pyplot: no display is looked for

    figure = Figure(figsize=(7, 4.2), dpi=150, layout="constrained")
    axes = figure.add_subplot()
    axes.axvline(trained, color="tab:green", alpha=0.5, linewidth=1)
    axes.axhline(chance, color="gray", linestyle=":", linewidth=1)
    for name, (lengths, accuracies) in curves.items():
        axes.plot(lengths, accuracies, linewidth=1.8, label=name)
    axes.set_xscale("log")
    most = max((lengths for lengths, _ in curves.values()), key=len)
    few = most if len(most) < 9 else [n for n in (1, 10, 100, 1000) if n <= most[-1]]
    axes.set_xticks(few, [f"{n:,}" for n in few])
    axes.minorticks_off()
    axes.annotate("a guess", (1, chance), (-4, 3), xycoords=("axes fraction", "data"), textcoords="offset points",
                  ha="right", color="gray", fontsize=9)  # fmt: skip
    axes.annotate("trained to here", (trained, 0.55), (-4, 0), xycoords=("data", "axes fraction"),
                  textcoords="offset points", ha="right", color="tab:green", fontsize=9)  # fmt: skip
    axes.set(xlabel=unit, ylabel="accuracy", title=title, ylim=(-0.02, 1.04))
    axes.legend(frameon=False, loc="lower left", bbox_to_anchor=(0, 0.08))
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(file, format="png")


def draw_heat_map(file: Path, rows: list[str], columns: list[str], scores: np.ndarray, title: str) -> None:
    """Draw a score from 0 (a guess) to 1 (perfect) for every row and column; NaN is left white.

    Args:
      file: the PNG to write.
      rows: the names of the rows.
      columns: the names of the columns.
      scores: `[rows, columns]`.
      title: the title of the figure.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder) / "map.png"
    ...     draw_heat_map(file, ["lstm"], ["parity", "s3"], np.array([[1.0, np.nan]]), "cells against problems")
    ...     file.exists()
    True

    References: Delétang et al. 2023, figure 1.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(2.2 + 1.05 * len(columns), 1.6 + 0.36 * len(rows)), dpi=150, layout="constrained")
    axes = figure.add_subplot()
    image = axes.imshow(scores, aspect="auto", cmap="viridis", vmin=0, vmax=1, interpolation="nearest")
    axes.set_xticks(range(len(columns)), columns, rotation=25, ha="left", rotation_mode="anchor")
    axes.xaxis.tick_top()
    axes.set_yticks(range(len(rows)), rows)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    for (i, j), score in np.ndenumerate(scores):
        if np.isfinite(score):
            color = "black" if score > 0.6 else "white"
            axes.text(j, i, f"{score:.2f}", ha="center", va="center", fontsize=9, color=color)
    figure.colorbar(image, ax=axes, pad=0.02, label="0 a guess, 1 perfect")
    axes.set_title(title, pad=14)
    figure.savefig(file, format="png")
