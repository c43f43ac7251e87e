"""Captions of images: an input of length 1 (chapter 2.5.2), with the three stop rules of 2.6.

    x = [64 pixels; which language],     P(y⁽¹⁾ … y⁽τ⁾ | x) = P(τ | stop rule) ∏ₜ P(y⁽ᵗ⁾ | y⁽¹⁾ … y⁽ᵗ⁻¹⁾, x)

The images are scikit-learn's handwritten digits; the description is the digit's name, letter by letter, in English
or in German.  A fifth of the images, the same for every seed, is held out, in both languages.

References: Karpathy & Fei-Fei 2015; Vinyals, Toshev, Bengio & Erhan 2015 (captions of images).
"""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jaxrnn.cells.gru import GRU
from jaxrnn.core.types import Carry, Key
from jaxrnn.generation.captioner import Captioner, CaptionerParams
from jaxrnn.generation.decoding import Sequences, greedy
from jaxrnn.generation.stopping import EndSymbol, StopRule, StopUnit, log_likelihood
from jaxrnn.generation.symbol_model import SymbolModel
from jaxrnn.tasks.data import check_count, digest, epoch_rows
from jaxrnn.tasks.sequences.digits import held_out_fifth, load_images

NAMES = {
    "English": ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"],
    "German": ["null", "eins", "zwei", "drei", "vier", "fünf", "sechs", "sieben", "acht", "neun"],
}
LETTERS = "." + "".join(sorted({letter for names in NAMES.values() for name in names for letter in name}))
"""The symbols.  The full stop starts every name, and ends it where the rule is an end symbol."""
LONGEST = max(len(name) for names in NAMES.values() for name in names)


class Captions(NamedTuple):
    """Images with their names, one row per image and language."""

    x: Float[np.ndarray, "n 66"]
    """64 pixels from 0 to 1, and a one-hot language."""
    symbols: Int[np.ndarray, "longest_plus_1 n"]
    """Letters, time-major, then 0."""
    lengths: Int[np.ndarray, " n"]
    """τ, an end symbol counted if there is one."""

    def some(self, index) -> "Captions":
        """Return the examples at the given indices."""
        return Captions(self.x[index], self.symbols[:, index], self.lengths[index])


@jax.tree_util.register_static
@dataclass(frozen=True)
class CaptionDigits:
    """Learn to write the name of a handwritten digit, in two languages.

    >>> CaptionDigits(batch=8).units()
    8
    """

    x_enters: Literal["every-step", "initial-state", "both"] = "both"
    """The way in which the image enters."""
    stop: Literal["end-symbol", "stop-unit", "predicted-length"] = "end-symbol"
    """The stop rule."""
    hidden: int = 96
    """Units of the GRU."""
    features: int = 32
    """Size of an embedded letter."""
    batch: int = 64
    """Names in an update."""

    unit: ClassVar[str] = "names"
    score: ClassVar[str] = "nats"
    training: ClassVar[dict] = {"steps": 600, "learning_rate": 5e-3}

    def __post_init__(self):
        check_count(hidden=self.hidden, features=self.features, batch=self.batch)

    def load(self) -> tuple[dict[str, Captions], dict]:
        """Load images and names for training and held out, under "train" and "held_out".

        Raises:
          InputError: scikit-learn is not installed.
        """
        images = load_images()
        parts = zip(("train", "held_out"), held_out_fifth(len(images.digits)), strict=True)
        return {name: self._describe(images.some(rows)) for name, rows in parts}, {"sha256": digest(*images)}

    def describe(self, facts: dict) -> str:
        """Describe the data in one line."""
        return f"8 × 8 handwritten digits and their names in {' and '.join(NAMES)}; a fifth of the images held out"

    def model(self, facts: dict) -> Captioner:
        """Build the model: a GRU over letters that reads the image."""
        model = SymbolModel(
            GRU(self.features, self.hidden),
            len(LETTERS),
            self.features,
            self.hidden,
            stop_unit=self.stop == "stop-unit",
            longest=LONGEST if self.stop == "predicted-length" else None,
        )
        return Captioner(model, 64 + len(NAMES), self.x_enters.replace("-", " "))

    def carry(self, model: Captioner, params: CaptionerParams) -> Carry:
        """Return None, because each image is independent of the others."""
        return None

    def units(self) -> int:
        """Return the number of names in a batch."""
        return self.batch

    def batch_at(self, data: dict[str, Captions], seed: int, step: int) -> Captions:
        """Draw images and languages in an order that is new in every epoch."""
        train = data["train"]
        return train.some(epoch_rows(len(train.lengths), seed, step, batch=self.batch))

    def loss(self, model: Captioner, params: CaptionerParams, carry: Carry, batch: Captions, key: Key):
        """Return −log P(name | image, language)."""
        return _nats(model, params, batch), carry

    def metrics(self, loss: float) -> dict[str, float]:
        """Return the loss under the name of its metric."""
        return {"nats": loss}

    def evaluate(self, model: Captioner, params: CaptionerParams, data: dict[str, Captions]) -> dict[str, float]:
        """Return the loss and the fraction of the held-out names that is written without an error, in each language."""
        truth = data["held_out"]
        made = caption(model, params, jnp.asarray(truth.x))
        right = np.array([a == b for a, b in zip(names_of(made), names_of(truth), strict=True)])
        accuracies = {f"accuracy_{name}": float(right[i :: len(NAMES)].mean()) for i, name in enumerate(NAMES)}
        return {"nats": float(_nats(model, params, truth)), "accuracy": float(right.mean()), **accuracies}

    def illustrate(
        self, model: Captioner, params: CaptionerParams, data: dict[str, Captions], folder: Path
    ) -> dict[str, Path]:
        """Draw forty held-out images, each with the network's name for it, red if wrong."""
        from matplotlib.figure import Figure  # no pyplot: no display is looked for

        truth = data["held_out"].some(slice(0, 40 * len(NAMES)))
        made, right = names_of(caption(model, params, jnp.asarray(truth.x))), names_of(truth)
        figure = Figure(figsize=(10, 6), dpi=120, layout="constrained")
        for i, axes in enumerate(figure.subplots(4, 10).flat):
            mine = slice(i * len(NAMES), (i + 1) * len(NAMES))
            axes.imshow(truth.x[mine.start, :64].reshape(8, 8), cmap="gray_r")
            axes.set_title("\n".join(made[mine]), fontsize=9, color="black" if made[mine] == right[mine] else "red")
            axes.set(xticks=[], yticks=[])
        file = folder / "captions.png"
        figure.savefig(file, format="png")
        return {"captions": file}

    def _describe(self, images) -> Captions:
        """Pair each image with its name in each language."""
        pixels = np.moveaxis(images.rows, 0, 1).reshape(-1, 64)
        language = np.tile(np.eye(len(NAMES), dtype=np.float32), (len(pixels), 1))
        x = np.concatenate([np.repeat(pixels, len(NAMES), axis=0), language], axis=1)
        names = [names[digit] for digit in images.digits for names in NAMES.values()]
        symbols = np.array([[LETTERS.index(letter) for letter in name.ljust(LONGEST + 1, ".")] for name in names]).T
        lengths = np.array([len(name) + (self.stop == "end-symbol") for name in names])
        return Captions(x, symbols.astype(np.int32), lengths.astype(np.int32))


def stop_rule(model: Captioner, params: CaptionerParams, x: Float[Array, "n input"]) -> StopRule:
    """Return the stop rule of the model.

    Args:
      model: the captioner.
      params: its parameters.
      x: the images, `[batch, 66]`.

    Returns:
      A stop rule.
    """
    if model.model.longest is not None:
        return model.predicted_length(params, x)
    return StopUnit() if model.model.stop_unit else EndSymbol(0)


def caption(model: Captioner, params: CaptionerParams, x: Float[Array, "n input"]) -> Sequences:
    """Write captions, taking the likeliest letter at every step until the rule stops.

    Args:
      model: the captioner.
      params: its parameters.
      x: images and languages, `[batch, 66]`.

    Returns:
      `Sequences`.

    >>> import jax, jax.numpy as jnp
    >>> model = CaptionDigits(hidden=8).model({"stop": "end symbol"})
    >>> caption(model, model.init(jax.random.key(0)), jnp.zeros((2, 66))).lengths.shape
    (2,)
    """
    carry, start, stop = model.initial_carry(params, x), jnp.zeros(len(x), jnp.int32), stop_rule(model, params, x)
    return greedy(model, params, carry, start=start, stop=stop, bound=LONGEST + 1)


def names_of(captions: Captions | Sequences) -> list[str]:
    """Return captions as text, without end symbols or padding.

    Args:
      captions: the `Sequences` of `caption`.

    Returns:
      A list of strings.

    >>> import jax.numpy as jnp
    >>> from jaxrnn.generation import Sequences
    >>> o, n, e, stop = (LETTERS.index(letter) for letter in "one.")
    >>> names_of(Sequences(jnp.array([[o], [n], [e], [stop]]), jnp.array([4]), jnp.array([True]), jnp.zeros(1)))
    ['one']
    """
    columns = zip(np.asarray(captions.symbols).T, np.asarray(captions.lengths), strict=True)
    return ["".join(LETTERS[symbol] for symbol in column[:length]).rstrip(".") for column, length in columns]


def _nats(model: Captioner, params: CaptionerParams, captions: Captions) -> Array:
    x, symbols, lengths = map(jnp.asarray, captions)
    outputs = model.apply(params, x, symbols, lengths, start=0)
    return -log_likelihood(stop_rule(model, params, x), outputs, symbols, lengths).mean()
