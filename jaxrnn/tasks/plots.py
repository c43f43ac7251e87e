"""The learning curve of a run as a picture."""

from pathlib import Path

import numpy as np


def learning_curve(file: Path, records: list[dict], score: str, title: str) -> None:
    """Draw `score` over steps: the training batches, their running mean, and the held-out text.

    Args:
      file: the PNG that is written.
      records: the lines of metrics.jsonl: {"step", "split": "train" or "held_out", score, …}.
      score: which metric.
      title: what stands above it.

    >>> import tempfile
    >>> from pathlib import Path
    >>> records = [{"step": i, "split": "train", "loss": 1 / (i + 1)} for i in range(20)]
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     learning_curve(Path(folder) / "curve.png", records, "loss", "a run")
    ...     (Path(folder) / "curve.png").exists()
    True
    """
    from matplotlib.figure import Figure  # no pyplot: no display is looked for
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(7, 4.2), dpi=150, layout="constrained")
    axes = figure.add_subplot()
    train, held_out = (_points(records, split, score) for split in ("train", "held_out"))
    if len(train):
        axes.plot(*train.T, color="tab:blue", alpha=0.3, linewidth=0.8, label="training batches")
    if len(held_out):
        axes.plot(*held_out.T, "o-", color="tab:red", markersize=4, label=f"held out, last {held_out[-1, 1]:.3f}")
    values = np.concatenate([train[:, 1], held_out[:, 1]])
    if len(values):  # the first updates fall from so high that they would flatten all the rest
        low, high = values.min(), np.quantile(values, 0.97)
        axes.set_ylim(low - 0.05 * (high - low) - 1e-3, high + 0.05 * (high - low) + 1e-3)
        axes.legend(frameon=False)
    axes.set(xlabel="update", ylabel=score.replace("_", " "), title=title)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(file, format="png")


def _points(records: list[dict], split: str, score: str) -> np.ndarray:
    """Return the steps and scores of the records, where both are finite: `[n, 2]`."""
    points = [(r["step"], r[score]) for r in records if r["split"] == split and r.get(score) is not None]
    points = np.array(points, float).reshape(-1, 2)
    return points[np.isfinite(points).all(axis=1)]
