"""Figures of a network that performs a cognitive task: its answers, its psychometric curves, its trajectories.

    psychometric curve    the share of choices +1 against the strength of the evidence, with a line for each group
    trials                inputs, targets and outputs of a few trials
    trajectories          the states of every kind of trial, in the plane of their first two principal components

References: Mante, Sussillo, Shenoy & Newsome 2013, figures 1 and 5; Golub & Sussillo 2018.
"""

from pathlib import Path
from typing import Any

import numpy as np

from jaxrnn.tasks.cognitive.trials import Trials


def draw_trials(file: Path, trials: Trials, outputs: np.ndarray, *, title: str, shown: int = 3) -> None:
    """Draw the inputs, and the targets and outputs, of the first trials."""
    figure, panels = _figure((3.4 * shown, 4.2), 2, shown, sharex=True, sharey="row")
    for k in range(shown):
        upper, lower = panels[0, k], panels[1, k]
        upper.plot(np.asarray(trials.inputs)[:, k], linewidth=0.9)
        for j in range(outputs.shape[-1]):
            color, mask = f"C{j}", np.asarray(trials.mask)[:, k]
            target = np.where(mask, np.asarray(trials.targets)[:, k, j], np.nan)
            lower.plot(target, color=color, linewidth=3, alpha=0.35, label="asked" if j == 0 else None)
            lower.plot(outputs[:, k, j], color=color, linewidth=1.2, label="said" if j == 0 else None)
        lower.set_xlabel("step")
    panels[0, 0].set_ylabel("inputs")
    panels[1, 0].set_ylabel("outputs")
    panels[1, 0].legend(frameon=False, fontsize=8)
    _finish(figure, file, title)


def draw_psychometric(file: Path, curves: dict[str, tuple[Any, Any]], *, title: str, x: str, y: str) -> None:
    """Draw the mean of an answer for each value of a condition.

    Args:
      file: the PNG to write.
      curves: label → (the condition of each trial, the answer of each trial); a NaN answer is left out.
      title: the title of the figure.
      x: the label of the horizontal axis.
      y: the label of the vertical axis.
    """
    figure, panels = _figure((4.6, 3.6), 1, 1)
    for label, (condition, answer) in curves.items():
        condition, answer = np.asarray(condition, float), np.asarray(answer, float)
        values = np.unique(condition[np.isfinite(answer)])
        means = [np.nanmean(answer[condition == value]) for value in values]
        panels[0, 0].plot(values, means, marker="o", markersize=4, label=label)
    panels[0, 0].set(xlabel=x, ylabel=y)
    if len(curves) > 1:
        panels[0, 0].legend(frameon=False, fontsize=8)
    _finish(figure, file, title)


def draw_trajectories(file: Path, rs: np.ndarray, condition: Any, *, title: str, name: str) -> None:
    """Draw the mean trajectory of the trials of each value of a condition, in the first two principal components.

    Args:
      file: the PNG to write.
      rs: states, `[time, trials, units]`.
      condition: `[trials]`; up to twelve values are drawn separately.
      title: the title of the figure.
      name: the name of the condition.
    """
    rs, condition = np.asarray(rs, float), np.asarray(condition, float)
    values = np.unique(condition)
    values = values if len(values) <= 12 else values[np.linspace(0, len(values) - 1, 12).astype(int)]
    flat = rs.reshape(-1, rs.shape[-1])
    center = flat.mean(axis=0)
    _, sizes, axes = np.linalg.svd(flat - center, full_matrices=False)
    share = sizes[:2] ** 2 / max(np.sum(sizes**2), 1e-30)
    figure, panels = _figure((5.0, 4.2), 1, 1)
    from matplotlib import colormaps
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    scale = Normalize(values.min(), values.max() if values.max() > values.min() else values.min() + 1)
    for value in values:
        path = (rs[:, condition == value].mean(axis=1) - center) @ axes[:2].T
        color = colormaps["viridis"](scale(value))
        panels[0, 0].plot(*path.T, color=color, linewidth=1.2)
        panels[0, 0].plot(*path[-1], "o", color=color, markersize=4)
    panels[0, 0].set(xlabel=f"first principal component ({share[0]:.0%})", ylabel=f"second ({share[1]:.0%})")
    figure.colorbar(ScalarMappable(scale, "viridis"), ax=panels[0, 0], label=name)
    _finish(figure, file, title)


def _figure(size: tuple[float, float], rows: int, columns: int, **shared: Any):
    from matplotlib.figure import Figure  # no pyplot: no display is looked for

    figure = Figure(figsize=size, dpi=120, layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False, **shared)
    for axes in panels.flat:
        axes.spines[["top", "right"]].set_visible(False)
    return figure, panels


def _finish(figure, file: Path, title: str) -> None:
    figure.suptitle(title, fontsize=10)
    figure.savefig(file, format="png")
