"""Handwritten digits, read row by row with one answer at the end: chapter 2.1.3, many to one.

    x⁽ᵗ⁾ = row t of an 8 × 8 image,     h⁽ᵗ⁾ = f(h⁽ᵗ⁻¹⁾, x⁽ᵗ⁾),     P(digit | image) = softmax(c + V h⁽⁸⁾)

1,797 handwritten digits that scikit-learn carries; a fifth of them, the same for every seed, is held out.

References: Alpaydin & Kaynak 1998, UCI "Optical recognition of handwritten digits"; Le, Jaitly & Hinton 2015, §4.2
(images as sequences).
"""

from dataclasses import dataclass
from typing import ClassVar, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from jaxrnn.core.types import Carry, Key
from jaxrnn.objectives.losses import cross_entropy
from jaxrnn.objectives.readout import Readout
from jaxrnn.patterns.hidden_to_hidden import ManyToOne, PatternParams
from jaxrnn.tasks.data import check_count, digest, epoch_rows, optional
from jaxrnn.tasks.sequences.language_cells import LAYERS


class Images(NamedTuple):
    """Images as sequences of rows, and what they show."""

    rows: Float[np.ndarray, "8 n 8"]
    """Pixels from 0 to 1, time-major."""
    digits: Int[np.ndarray, " n"]

    def some(self, index) -> "Images":
        """Return the examples at the given indices."""
        return Images(self.rows[:, index], self.digits[index])


def load_images() -> Images:
    """Load the digits of scikit-learn, in its order.

    Raises:
      InputError: scikit-learn is not installed.
    """
    pixels, digits = optional("sklearn.datasets", "scikit-learn").load_digits(return_X_y=True)
    rows = np.moveaxis(pixels.reshape(-1, 8, 8), 1, 0) / 16
    return Images(rows.astype(np.float32), digits.astype(np.int32))


def held_out_fifth(count: int) -> tuple[Int[np.ndarray, " train"], Int[np.ndarray, " held_out"]]:
    """Split `count` examples into training and held-out ones: a fixed random fifth is held out.

    >>> train, held_out = held_out_fifth(10)
    >>> len(train), len(held_out), len(set(train) | set(held_out))
    (8, 2, 10)
    """
    order = np.random.default_rng(0).permutation(count)
    return order[count // 5 :], order[: count // 5]


@jax.tree_util.register_static
@dataclass(frozen=True)
class Digits:
    """Learn to read handwritten digits, row by row.

    >>> Digits(batch=8).units()
    8
    """

    cell: Literal["elman", "gru", "lstm"] = "gru"
    """The recurrent cell."""
    hidden: int = 64
    """The number of units."""
    batch: int = 64
    """Images in an update."""

    unit: ClassVar[str] = "images"
    score: ClassVar[str] = "nats"
    training: ClassVar[dict] = {"steps": 500, "learning_rate": 1e-2}

    def __post_init__(self):
        check_count(hidden=self.hidden, batch=self.batch)

    def load(self) -> tuple[dict[str, Images], dict]:
        """Load the images for training and held out, under "train" and "held_out"."""
        images = load_images()
        train, held_out = held_out_fifth(len(images.digits))
        facts = {"sha256": digest(*images), "train": len(train), "held_out": len(held_out)}
        return {"train": images.some(train), "held_out": images.some(held_out)}, facts

    def describe(self, facts: dict) -> str:
        """Describe the data in one line."""
        return f"8 × 8 handwritten digits, {facts['train']:,} to learn from, {facts['held_out']} held out"

    def model(self, facts: dict) -> ManyToOne:
        """Build the model: one cell over the rows, and its last state read out."""
        return ManyToOne(LAYERS[self.cell](8, self.hidden), Readout(self.hidden, 10))

    def carry(self, model: ManyToOne, params: PatternParams) -> Carry:
        """Return None, because each image is independent of the others."""
        return None

    def units(self) -> int:
        """Return the number of images in a batch."""
        return self.batch

    def batch_at(self, data: dict[str, Images], seed: int, step: int) -> Images:
        """Draw images in an order that is new in every epoch."""
        train = data["train"]
        return train.some(epoch_rows(len(train.digits), seed, step, batch=self.batch))

    def loss(self, model: ManyToOne, params: PatternParams, carry: Carry, batch: Images, key: Key):
        """Return −log P(digit | image)."""
        rows, digits = map(jnp.asarray, batch)
        return model.loss(params, rows, digits), carry

    def metrics(self, loss: float) -> dict[str, float]:
        """Return the loss under the name of its metric."""
        return {"nats": loss}

    def evaluate(self, model: ManyToOne, params: PatternParams, data: dict[str, Images]) -> dict[str, float]:
        """Return the loss and the fraction of the held-out images that are read correctly."""
        nats, accuracy = _scores(model, params, data["held_out"])
        return {"nats": float(nats), "accuracy": float(accuracy)}


@jax.jit
def _scores(model, params, images):
    logits = model.logits(params, images.rows)
    return cross_entropy(logits, images.digits), jnp.mean(jnp.argmax(logits, axis=-1) == images.digits)
