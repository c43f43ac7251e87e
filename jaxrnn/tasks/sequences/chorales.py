"""Bach's chorales as piano rolls: predict the next chord, chapter 2.1.1 and 2.5, with many outputs at once.

    x⁽ᵗ⁾ ∈ {0, 1}⁸⁸, the keys that sound at step t,      P(x⁽ᵗ⁺¹⁾ | x⁽¹⁾ … x⁽ᵗ⁾) = ∏ₖ Bernoulli(x_k; σ(c + V h⁽ᵗ⁾)_k)

The keys of one step are independent of each other given the steps before.  371 chorales that music21 carries, a step
a quarter note, transposed so that their key signature has neither sharps nor flats (C major or A minor); a fifth of
them, the same for every seed, is held out.  Training reads windows of a chorale; held-out chorales are read whole,
and their −log P is the mean over steps, in nats.

To read a chorale takes music21 a tenth of a second, and less the next time: it keeps its own cache.

References: Boulanger-Lewandowski, Bengio & Vincent 2012, §2 and §6 (piano rolls, the measures); Allan & Williams 2005.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import ClassVar, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from jaxrnn.core.masks import mask_from_lengths
from jaxrnn.core.types import Carry, Key
from jaxrnn.objectives.readout import Readout
from jaxrnn.patterns.hidden_to_hidden import ManyToMany, PatternParams
from jaxrnn.tasks.data import InputError, check_count, digest, epoch_rows, optional
from jaxrnn.tasks.sequences.digits import held_out_fifth
from jaxrnn.tasks.sequences.language_cells import LAYERS
from jaxrnn.unrolling.backpropagation import unroll_bptt

KEYS, LOWEST = 88, 21
"""A piano's keys, and the MIDI number of the lowest."""
ALL = 371
PROMPT, SAMPLE = 8, 56
"""Steps of a held-out chorale that a sample begins with, and steps that are drawn after them."""


class Rolls(NamedTuple):
    """Chorales as piano rolls, padded to the longest."""

    keys: Bool[np.ndarray, "time n 88"]
    """True where a key sounds."""
    lengths: Int[np.ndarray, " n"]
    """Steps."""

    def some(self, index) -> "Rolls":
        """Return the examples at the given indices."""
        return Rolls(self.keys[:, index], self.lengths[index])


@jax.tree_util.register_static
@dataclass(frozen=True)
class Chorales:
    """Learn to continue a chorale by Bach.

    >>> Chorales(batch=8, length=16).units()
    128
    """

    cell: Literal["elman", "gru", "lstm"] = "lstm"
    """The recurrent cell."""
    hidden: int = 200
    """The number of units."""
    batch: int = 16
    """Chorales in an update."""
    length: int = 48
    """The number of steps to read from each."""
    chorales: int = ALL
    """The number of chorales to load, at a tenth of a second each."""

    unit: ClassVar[str] = "steps"
    score: ClassVar[str] = "nats"
    training: ClassVar[dict] = {"steps": 1500, "learning_rate": 5e-3, "every": 250}

    def __post_init__(self):
        check_count(hidden=self.hidden, batch=self.batch, length=self.length)
        check_count(5, chorales=self.chorales)  # the least that has a fifth
        if self.chorales > ALL:
            raise InputError(f"--chorales must be at most {ALL}, got {self.chorales}.")

    def load(self) -> tuple[dict[str, Rolls], dict]:
        """Load the chorales for training and held out, under "train" and "held_out".

        Raises:
          InputError: music21 is not installed.
        """
        from tqdm import tqdm  # of the extra `cli`

        corpus = optional("music21", "music21").corpus
        names = list(corpus.chorales.Iterator(1, self.chorales, returnType="filename"))
        shown = tqdm(names, desc="reading chorales", unit="", leave=False, disable=None)
        rolls = _padded([piano_roll(corpus.parse(name)) for name in shown])
        train, held_out = held_out_fifth(len(names))
        data = {"train": rolls.some(train), "held_out": rolls.some(held_out)}
        return data, {"sha256": digest(*rolls), **{name: len(part.lengths) for name, part in data.items()}}

    def describe(self, facts: dict) -> str:
        """Describe the data in one line."""
        return f"chorales by Bach, a step a quarter note: {facts['train']} to learn from, {facts['held_out']} held out"

    def model(self, facts: dict) -> ManyToMany:
        """Build the model: one cell, and one Bernoulli unit per key."""
        return ManyToMany(LAYERS[self.cell](KEYS, self.hidden), Readout(self.hidden, KEYS), "bits")

    def carry(self, model: ManyToMany, params: PatternParams) -> Carry:
        """Return None, because each window is independent of the others."""
        return None

    def units(self) -> int:
        """Return the number of steps in a batch."""
        return self.batch * self.length

    def batch_at(self, data: dict[str, Rolls], seed: int, step: int) -> Rolls:
        """Draw windows of length + 1 steps, each of another chorale, somewhere in it."""
        rng, train = np.random.default_rng([seed, step, 1]), data["train"]
        rows = epoch_rows(len(train.lengths), seed, step, batch=self.batch)
        starts = rng.integers(np.maximum(train.lengths[rows] - self.length, 1))
        windows = np.zeros((self.length + 1, self.batch, KEYS), bool)
        for b, (row, start) in enumerate(zip(rows, starts, strict=True)):
            part = train.keys[start : start + self.length + 1, row]
            windows[: len(part), b] = part
        return Rolls(windows, np.minimum(train.lengths[rows] - starts, self.length + 1).astype(np.int32))

    def loss(self, model: ManyToMany, params: PatternParams, carry: Carry, batch: Rolls, key: Key):
        """Return −log P of the next step."""
        inputs, targets, mask = next_step(batch)
        return model.loss(params, inputs, targets, mask=mask), carry

    def metrics(self, loss: float) -> dict[str, float]:
        """Return the loss under the name of its metric."""
        return {"nats": loss}

    def evaluate(self, model: ManyToMany, params: PatternParams, data: dict[str, Rolls]) -> dict[str, float]:
        """Return the loss and the accuracy of the likeliest keys: TP / (TP + FP + FN)."""
        nats, accuracy = _scores(model, params, data["held_out"])
        return {"nats": float(nats), "accuracy": float(accuracy)}

    def illustrate(
        self, model: ManyToMany, params: PatternParams, data: dict[str, Rolls], folder: Path
    ) -> dict[str, Path]:
        """Draw a held-out chorale's first bars and the network's continuation, to hear and to see."""
        prompt = jnp.asarray(data["held_out"].keys[:PROMPT, 0], float)
        keys = np.concatenate([prompt > 0, go_on(model, params, prompt, jax.random.key(0), length=SAMPLE)])
        files = {"sample": folder / "sample.mid", "roll": folder / "sample.png"}
        to_stream(keys, optional("music21", "music21")).write("midi", fp=files["sample"])
        _picture(keys, files["roll"])
        return files


def piano_roll(score) -> Bool[np.ndarray, "time 88"]:
    """Return the keys that sound at the start of each quarter note of a music21 score, in C major or A minor."""
    sharps = next((signature.sharps for signature in score.flatten().getElementsByClass("KeySignature")), 0)
    lowest = LOWEST + (7 * sharps + 5) % 12 - 5  # a sharp is a fifth, seven semitones, too high
    sounding = [
        (float(note.offset), float(note.offset + note.quarterLength), pitch.midi - lowest)
        for note in score.flatten().notes
        for pitch in note.pitches
    ]
    roll = np.zeros((int(np.ceil(max(end for _, end, _ in sounding))), KEYS), bool)
    for start, end, key in sounding:
        roll[int(np.ceil(start)) : int(np.ceil(end)), key] = True
    return roll


def to_stream(keys: Bool[np.ndarray, "time 88"], music21: ModuleType):
    """Return a piano roll as a music21 stream, with a run of one key as one note."""
    stream = music21.stream.Stream()
    edges = np.diff(np.pad(keys.astype(int), [(1, 1), (0, 0)]), axis=0)
    for key in range(KEYS):
        for start, end in zip(*(np.flatnonzero(edges[:, key] == way) for way in (1, -1)), strict=True):
            stream.insert(int(start), music21.note.Note(key + LOWEST, quarterLength=int(end - start)))
    return stream


def next_step(rolls: Rolls) -> tuple[Array, Array, Array]:
    """Return the inputs, their next steps, and the mask of the steps that have a next one."""
    mask = mask_from_lengths(jnp.maximum(jnp.asarray(rolls.lengths) - 1, 0), len(rolls.keys) - 1)
    keys = jnp.asarray(rolls.keys)
    return keys[:-1].astype(float), keys[1:], mask


@jax.jit
def _scores(model, params, rolls):
    inputs, targets, mask = next_step(rolls)
    said, true = model.predict(params, inputs, mask=mask), targets & mask[..., None]
    return model.loss(params, inputs, targets, mask=mask), (said & true).sum() / (said | true).sum()


@partial(jax.jit, static_argnames=("model", "length"))
def go_on(
    model: ManyToMany, params: PatternParams, prompt: Float[Array, "time 88"], key: Key, *, length: int
) -> Bool[Array, "length 88"]:
    """Draw `length` further steps x⁽ᵗ⁺¹⁾ ~ P(· | x⁽¹⁾ … x⁽ᵗ⁾), each fed back."""
    carry, ys = unroll_bptt(model.cell, params.cell, prompt)

    def step(state, key):
        carry, y = state
        keys = jax.random.bernoulli(key, jax.nn.sigmoid(model.readout.apply(params.readout, y)))
        z = model.cell.project(params.cell, keys.astype(prompt.dtype))
        return model.cell.step(params.cell, carry, z), keys

    return jax.lax.scan(step, (carry, ys[-1]), jax.random.split(key, length))[1]


def _padded(rolls: list[np.ndarray]) -> Rolls:
    lengths = np.array([len(roll) for roll in rolls], np.int32)
    keys = np.zeros((lengths.max(), len(rolls), KEYS), bool)
    for row, roll in enumerate(rolls):
        keys[: len(roll), row] = roll
    return Rolls(keys, lengths)


def _picture(keys: np.ndarray, file: Path) -> None:
    from matplotlib.figure import Figure  # no pyplot: no display is looked for

    figure = Figure(figsize=(9, 4), dpi=120, layout="constrained")
    axes = figure.add_subplot()
    axes.imshow(keys.T, cmap="Greys", origin="lower", aspect="auto", extent=(0, len(keys), LOWEST, LOWEST + KEYS))
    axes.axvline(PROMPT, color="tab:red", linewidth=1)
    axes.set(ylim=(35, 85), xlabel="quarter notes", ylabel="MIDI key", title="Bach up to the line, then the network")
    figure.savefig(file, format="png")
