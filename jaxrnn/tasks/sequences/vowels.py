"""Spoken vowels of unequal length: recognize the speaker, chapter 2.1.3 and 2.7.

    P(speaker | x⁽¹⁾ … x⁽τ⁾) = softmax(c + V h⁽τ⁾)                    one direction
    P(speaker | x⁽¹⁾ … x⁽τ⁾) = softmax(c + V [h⁽τ⁾; g⁽¹⁾])            two: each network's last state

640 utterances of /ae/ by nine men, 7 to 29 steps of 12 cepstral coefficients, which sktime carries; the split is
the official one, 270 to learn from and 370 held out.  x is standardised by the mean and the deviation of the first.
In training, Gaussian noise is added to x, because the network soon memorizes 270 utterances.

References: Kudo, Toyama & Shimbo 1999, "Multidimensional curve classification using passing-through regions".
"""

from dataclasses import dataclass
from typing import ClassVar, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from jaxrnn.core.masks import mask_from_lengths
from jaxrnn.core.types import Carry, Key
from jaxrnn.directions.bidirectional import Bidirectional
from jaxrnn.objectives.losses import cross_entropy
from jaxrnn.objectives.readout import Readout
from jaxrnn.patterns.hidden_to_hidden import ManyToOne, PatternParams, last_valid
from jaxrnn.tasks.data import InputError, check_count, digest, epoch_rows, optional
from jaxrnn.tasks.sequences.language_cells import LAYERS
from jaxrnn.unrolling.backpropagation import unroll_bptt

SPEAKERS, CHANNELS, LONGEST = 9, 12, 29


class Utterances(NamedTuple):
    """Vowels, padded to the longest."""

    xs: Float[np.ndarray, "29 n 12"]
    """Cepstral coefficients, time-major; values on padding are ignored."""
    lengths: Int[np.ndarray, " n"]
    """From 7 to 29."""
    speakers: Int[np.ndarray, " n"]

    def some(self, index) -> "Utterances":
        """Return the examples at the given indices."""
        return Utterances(self.xs[:, index], self.lengths[index], self.speakers[index])


@jax.tree_util.register_static
@dataclass(frozen=True)
class BothEnds:
    """A classifier of the final states of two directions: softmax(c + V [h⁽τ⁾; g⁽¹⁾])."""

    network: Bidirectional
    hidden: int
    """The parameters of each direction."""

    @property
    def readout(self) -> Readout:
        """The read-out from both states to one logit per speaker."""
        return Readout(2 * self.hidden, SPEAKERS)

    def init(self, key: Key) -> PatternParams:
        """Draw the parameters of the cells and of the read-out."""
        network_key, readout_key = jax.random.split(key)
        return PatternParams(self.network.init(network_key), self.readout.init(readout_key))

    def logits(self, params: PatternParams, xs: Array, *, mask: Bool[Array, "time *batch"]) -> Array:
        """Return the logits, `[*batch, speakers]`."""
        _, ys = self.network.apply(params.cell, xs, mask=mask, run=unroll_bptt)
        hs, gs = jnp.split(ys, 2, axis=-1)
        return self.readout.apply(params.readout, jnp.concatenate([last_valid(hs, mask=mask), gs[0]], axis=-1))


@jax.tree_util.register_static
@dataclass(frozen=True)
class Vowels:
    """Learn which of nine men says a vowel.

    >>> Vowels(batch=8).units()
    8
    """

    cell: Literal["elman", "gru", "lstm"] = "gru"
    """The recurrent cell."""
    bidirectional: bool = False
    """Read in both directions."""
    hidden: int = 64
    """Units of each direction."""
    noise: float = 0.3
    """The standard deviation of the noise added to the inputs, whose own is 1."""
    batch: int = 32
    """Utterances in an update."""

    unit: ClassVar[str] = "utterances"
    score: ClassVar[str] = "nats"
    training: ClassVar[dict] = {"steps": 400, "learning_rate": 1e-2}

    def __post_init__(self):
        check_count(hidden=self.hidden, batch=self.batch)
        if not 0 <= self.noise < float("inf"):
            raise InputError(f"--noise must be a finite number of at least 0, got {self.noise}.")

    def load(self) -> tuple[dict[str, Utterances], dict]:
        """Load the official split, under "train" and "held_out".

        Raises:
          InputError: sktime is not installed.
        """
        read = optional("sktime.datasets", "sktime").load_japanese_vowels
        data = {name: _utterances(*read(split=split)) for name, split in (("train", "train"), ("held_out", "test"))}
        facts = {f"{name}_sha256": digest(*part) for name, part in data.items()}
        valid = np.arange(LONGEST)[:, None] < data["train"].lengths
        mean, deviation = data["train"].xs[valid].mean(0), data["train"].xs[valid].std(0)
        return {name: part._replace(xs=(part.xs - mean) / deviation) for name, part in data.items()}, facts

    def describe(self, facts: dict) -> str:
        """Describe the data in one line."""
        return "Japanese vowels of nine speakers, the official split: 270 to learn from, 370 held out"

    def model(self, facts: dict) -> ManyToOne | BothEnds:
        """Build the model: one cell or two, and the last state of each read out."""
        cell = LAYERS[self.cell](CHANNELS, self.hidden)
        if self.bidirectional:
            return BothEnds(Bidirectional(cell, cell), self.hidden)
        return ManyToOne(cell, Readout(self.hidden, SPEAKERS))

    def carry(self, model: ManyToOne | BothEnds, params: PatternParams) -> Carry:
        """Return None, because each utterance is independent of the others."""
        return None

    def units(self) -> int:
        """Return the number of utterances in a batch."""
        return self.batch

    def batch_at(self, data: dict[str, Utterances], seed: int, step: int) -> Utterances:
        """Draw utterances in an order that is new in every epoch."""
        train = data["train"]
        return train.some(epoch_rows(len(train.lengths), seed, step, batch=self.batch))

    def loss(self, model, params: PatternParams, carry: Carry, batch: Utterances, key: Key):
        """Return −log P(speaker | utterance + noise)."""
        xs, lengths, speakers = map(jnp.asarray, batch)
        xs = xs + self.noise * jax.random.normal(key, xs.shape, xs.dtype)
        return cross_entropy(_logits(model, params, xs, lengths), speakers), carry

    def metrics(self, loss: float) -> dict[str, float]:
        """Return the loss under the name of its metric."""
        return {"nats": loss}

    def evaluate(self, model, params: PatternParams, data: dict[str, Utterances]) -> dict[str, float]:
        """Return the loss and the fraction of the held-out utterances whose speaker is recognized."""
        xs, lengths, speakers = map(jnp.asarray, data["held_out"])
        logits = _logits(model, params, xs, lengths)
        accuracy = jnp.mean(jnp.argmax(logits, axis=-1) == speakers)
        return {"nats": float(cross_entropy(logits, speakers)), "accuracy": float(accuracy)}


def _logits(model, params: PatternParams, xs: Array, lengths: Array) -> Array:
    return model.logits(params, xs, mask=mask_from_lengths(lengths, LONGEST))


def _utterances(series, speakers) -> Utterances:
    """Return the table of sktime (rows are utterances, columns channels) as padded arrays."""
    lengths = np.array([len(channel) for channel in series.iloc[:, 0]], np.int32)
    xs = np.zeros((LONGEST, len(lengths), CHANNELS), np.float32)
    for row, length in enumerate(lengths):
        xs[:length, row] = np.stack([np.asarray(channel) for channel in series.iloc[row]], axis=-1)
    return Utterances(xs, lengths, np.array(speakers, int).astype(np.int32) - 1)
