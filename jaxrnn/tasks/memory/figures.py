"""Pictures of memories: the weightings of heads, and the attention to sentences.

References: Graves, Wayne & Danihelka 2014, figure 6.
"""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from jaxrnn.memory.heads import head_positions
from jaxrnn.memory.ntm import NTM
from jaxrnn.patterns.hidden_to_hidden import ManyToMany, PatternParams
from jaxrnn.tasks.memory.story_world import Story


def draw_heads(
    file: Path,
    model: ManyToMany,
    params: PatternParams,
    xs: np.ndarray,
    targets: np.ndarray,
    scored: np.ndarray,
    title: str,
) -> None:
    """Draw one episode: inputs, targets and outputs over time, and, of an NTM, the weightings of its heads.

    Args:
      file: the PNG to write.
      model: a model with one bit per output.
      params: its parameters.
      xs: inputs `[time, rows, inputs]`; the first row is drawn.
      targets: `[time, rows, outputs]`.
      scored: `[time, rows]`; True where the output counts.
      title: the title of the figure.

    >>> import tempfile
    >>> from jaxrnn import LSTM, Readout
    >>> model = ManyToMany(LSTM(3, 5), Readout(5, 2), target="bits")
    >>> zeros = np.zeros((4, 1, 2))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder) / "heads.png"
    ...     params, xs = model.init(jax.random.key(0)), np.ones((4, 1, 3))
    ...     draw_heads(file, model, params, xs, zeros, np.ones((4, 1), bool), "copy")
    ...     file.exists()
    True
    """
    from matplotlib.figure import Figure  # no pyplot: no display is looked for

    xs, targets, scored = xs[:, :1], targets[:, :1], scored[:, :1]
    outputs = np.asarray(jax.nn.sigmoid(model.logits(params, jnp.asarray(xs))))[:, 0]
    shown = scored[:, :1]
    rows = {
        "input": xs[:, 0],
        "target": np.where(shown, targets[:, 0], 0),
        "output": np.where(shown, outputs, 0),
        "error": np.where(shown, np.abs(outputs - targets[:, 0]), 0),
        **_weightings(model, params, xs),
    }
    heights = [max(a.shape[1], 4) for a in rows.values()]
    width = min(4 + 0.1 * len(xs), 14)
    figure = Figure(figsize=(width, 1.2 + 0.09 * sum(heights)), dpi=130, layout="constrained")
    panels = figure.subplots(len(rows), 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0]
    for axes, (name, values) in zip(panels, rows.items(), strict=True):
        axes.imshow(values.T, aspect="auto", cmap="magma", interpolation="nearest", vmin=min(0, values.min()), vmax=1)
        axes.set_ylabel(name, rotation=0, ha="right", va="center")
        axes.set_yticks([])
    panels[-1].set_xlabel("t")
    panels[0].set_title(title)
    figure.savefig(file, format="png")


def _weightings(model: ManyToMany, params: PatternParams, xs: np.ndarray) -> dict[str, np.ndarray]:
    """Return w⁽ᵗ⁾ of each head, `[time, slots]`, cropped to the slots that heads use."""
    if not isinstance(model.cell, NTM):
        return {}
    heads, (reads, writes) = {}, head_positions(model.cell, params.cell, jnp.asarray(xs))
    for kind, weightings in (("write", np.asarray(writes)), ("read", np.asarray(reads))):
        for h in range(weightings.shape[-2]):
            heads[f"{kind} head {h + 1}" if weightings.shape[-2] > 1 else f"{kind} head"] = weightings[:, 0, h]
    # the slots are a ring: begin half a ring before slot 0, where the heads start
    heads = {name: np.roll(w, w.shape[1] // 2, axis=1) for name, w in heads.items()}
    used = np.flatnonzero(np.max([w.max(0) for w in heads.values()], axis=0) > 0.25)
    low, high = (used[0], used[-1] + 1) if len(used) else (0, None)
    return {name: w[:, low:high] for name, w in heads.items()}


def draw_attention(file: Path, stories: list[Story], said: list[str], read: np.ndarray) -> None:
    """Draw what each hop read of each story.

    Args:
      file: the PNG to write.
      stories: sentences, and a question with its answer and supports.
      said: the answers of the network.
      read: the attention of each hop to each sentence, `[stories, slots, hops]`.
    """
    from matplotlib.figure import Figure

    heights = [len(told.sentences) + 2 for told in stories]
    figure = Figure(figsize=(7, 0.22 * sum(heights) + 0.5), dpi=130, layout="constrained")
    panels = figure.subplots(len(stories), 1, squeeze=False, height_ratios=heights)[:, 0]
    for axes, told, answer, weights in zip(panels, stories, said, read, strict=True):
        weights = weights[: len(told.sentences)]
        axes.imshow(weights, aspect="auto", cmap="Blues", vmin=0, vmax=1, interpolation="nearest")
        labels = [" ".join(words) for words in told.sentences]
        axes.set_yticks(range(len(labels)), labels, fontsize=8)
        for n in told.question.supports:
            axes.get_yticklabels()[n].set_fontweight("bold")
        axes.set_xticks(range(weights.shape[1]), [f"hop {k + 1}" for k in range(weights.shape[1])], fontsize=8)
        mark = "right" if answer == told.question.answer else f"wrong: {told.question.answer}"
        axes.set_title(f"{' '.join(told.question.words)}?  {answer} ({mark})", fontsize=9, loc="left")
        for (i, k), weight in np.ndenumerate(weights):
            axes.text(k, i, f"{weight:.2f}", ha="center", va="center", fontsize=7, color="w" if weight > 0.6 else "k")
    figure.savefig(file, format="png")
