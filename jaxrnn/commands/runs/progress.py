"""Progress of a run: a bar on a terminal, one line per measurement elsewhere."""

import shutil
import sys
import time

from tqdm import tqdm

LABELS = {"bits_per_character": "bpc", "perplexity": "ppl"}


class Progress:
    """A bar of `steps` updates with the loss, the task's score and its speed; a context manager.

    Args:
      steps: updates in all; done: those made before the run was resumed.
      unit: what speed is counted in.
    """

    def __init__(self, steps: int, done: int, unit: str):
        self.steps, self.unit, self.done = steps, unit, done
        self.started, self.units = time.perf_counter(), 0
        self.terminal = sys.stderr.isatty()
        wide = shutil.get_terminal_size().columns >= 72
        bar = "{n_fmt}/{total_fmt} |{bar}| {desc} {remaining}" if wide else "{n_fmt}/{total_fmt} {desc}"
        self.bar = tqdm(
            total=steps, initial=done, disable=not self.terminal, bar_format=bar, dynamic_ncols=True, leave=False
        )
        self.wide = wide

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *error) -> None:
        self.bar.close()

    def speed(self) -> float:
        """Return the number of units per second since this process began."""
        return self.units / max(time.perf_counter() - self.started, 1e-9)

    def update(self, steps: int, units: int, loss: float, metrics: dict[str, float]) -> None:
        """Advance the bar by `steps` updates, which read `units` units."""
        self.done += steps
        self.units += units
        shown = " ".join(f"{LABELS.get(name, name)} {value:.2f}" for name, value in metrics.items())
        tail = f"{_short(self.speed())} {self.unit if self.wide else self.unit[:4]}/s"
        self.bar.set_description_str(f"loss {loss:.2f} {shown} {tail}", refresh=False)
        self.bar.update(steps)

    def say(self, text: str) -> None:
        """Print a line above the bar, or to the log."""
        if self.terminal:
            self.bar.write(text, file=sys.stderr)
        else:
            print(text, file=sys.stderr, flush=True)


def _short(value: float) -> str:
    """Format a number as three digits and a letter.

    >>> _short(18732.0), _short(412.3)
    ('18.7k', '412')
    """
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g}{letter}"
    return f"{value:.3g}"
