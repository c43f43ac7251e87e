"""Questions about short stories, answered by a memory network: chapter 8, item 2.

    L = −log P(answer)                          "soft": answers alone; the attention is learned end to end
    L = −log P(answer) − mean log pᵏ(support)   "supervised": with the supporting sentences

The stories are the project's own, in the manner of bAbI, and not bAbI: see `jaxrnn.tasks.memory.story_world`.
`accuracy` is the mean over the kinds of questions; `accuracy_held_out` is over questions about pairs of a name with a
place or a thing that never occur together in training.

The supervisor also assigns a hop to each sentence.  A sentence that ends with the answer, a place, goes to the last
hop, whose output embedding is that of the answers, so the place votes for itself.  At the second hop of "two",
whose place is not the answer in "three", its vote would be weak, and the names would decide: each votes against the
places where training never put it.

References: Weston, Chopra & Bordes 2015; Sukhbaatar, Szlam, Weston & Fergus 2015, §4.
"""

import random
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxrnn.core.types import Carry, Key
from jaxrnn.memory.memory_network import Answer, MemoryNetwork, MemoryNetworkParams, support_loss
from jaxrnn.objectives.losses import cross_entropy
from jaxrnn.tasks.data import InputError, check_count
from jaxrnn.tasks.memory.figures import draw_attention
from jaxrnn.tasks.memory.story_world import KINDS, PLACES, WORDS, Story, story

LONGEST_SENTENCE, LONGEST_QUESTION = 5, 7
NUMBER = {word: n for n, word in enumerate(WORDS, 1)}
"""Word numbers; 0 means "no word"."""
HELD_OUT = 200
"""The number of questions of each kind in a test."""


class Questions(NamedTuple):
    """A batch of stories as numbers."""

    sentences: np.ndarray
    """`[rows, slots, words]`."""
    question: np.ndarray
    """`[rows, words]`."""
    answer: np.ndarray
    """`[rows]`."""
    supports: np.ndarray
    """`[rows, hops]`: the slot for each hop; −1 for none."""


@jax.tree_util.register_static
@dataclass(frozen=True)
class Stories:
    """Answer questions about little stories (generated; not bAbI).

    >>> Stories(batch=8).units()
    8
    """

    kind: Literal["all", "one", "two", "three", "yes-no", "counting"] = "all"
    """The questions: one, two or three supporting sentences, yes or no, how many; or all of them."""
    addressing: Literal["soft", "supervised"] = "soft"
    """The supervision of the attention: "soft" for none, "supervised" for the supporting sentences."""
    sentences: int = 12
    """The largest number of sentences of a story."""
    hops: int = 3
    """The number of hops."""
    width: int = 128
    """Size of an embedded word."""
    encoding: Literal["position", "bag"] = "position"
    """The encoding of a sentence: with or without word order."""
    response: Literal["sum", "product"] = "product"
    """The response: the sum of question and memory, or with their product, which compares them."""
    batch: int = 64
    """Questions in an update."""

    unit: ClassVar[str] = "questions"
    score: ClassVar[str] = "nats"
    training: ClassVar[dict] = {
        "steps": 6000,
        "learning_rate": 5e-3,
        "clip": 10.0,
        "weight_decay": 0.3,
        "every": 1000,
        "dispatch": 20,
    }

    def __post_init__(self):
        check_count(6, sentences=self.sentences)
        check_count(hops=self.hops, width=self.width, batch=self.batch)

    @property
    def kinds(self) -> tuple[str, ...]:
        """Return the kinds of questions."""
        return tuple(KINDS) if self.kind == "all" else (self.kind,)

    def load(self) -> tuple[None, dict]:
        """Load no data: every story is generated."""
        return None, {"words": len(WORDS), "rest": True, "tying": "none"}

    def describe(self, facts: dict) -> str:
        """Describe the data in one line."""
        return f"generated stories (not bAbI) of up to {self.sentences} sentences, questions: {', '.join(self.kinds)}"

    def model(self, facts: dict) -> MemoryNetwork:
        """Build the model: a memory network over the words, whose hops can read nothing and have their own embeddings.

        Raises:
          InputError: a run over the words of another version.
        """
        if facts["words"] != len(WORDS):
            raise InputError(f"the run's stories have {facts['words']} words, those of this version {len(WORDS)}.")
        rest, tying = facts.get("rest", False), facts.get("tying", "adjacent")
        sizes = len(WORDS) + 1, self.width, self.sentences, self.hops
        return MemoryNetwork(*sizes, self.encoding, self.response, rest, tying)

    def carry(self, model: MemoryNetwork, params: MemoryNetworkParams) -> Carry:
        """Return None, because each story is independent of the others."""
        return None

    def units(self) -> int:
        """Return the number of questions in a batch."""
        return self.batch

    def batch_at(self, data: None, seed: int, step: int) -> Questions:
        """Draw questions of all kinds in turn."""
        return self.questions([self.kinds[i % len(self.kinds)] for i in range(self.batch)], f"{seed} {step}")

    def questions(self, kinds: list[str], seed: str, *, held_out: bool = False) -> Questions:
        """Return one question of each of these kinds, determined by the seed."""
        rng = random.Random(seed)  # a string is hashed the same way everywhere
        return as_numbers([story(rng, k, self.sentences, held_out=held_out) for k in kinds], self.sentences, self.hops)

    def loss(self, model: MemoryNetwork, params: MemoryNetworkParams, carry: Carry, batch: Questions, key: Key):
        """Return −log P(answer), plus −log P of the supporting sentences with supervised addressing."""
        supports = jnp.asarray(batch.supports)
        answer = self.read(model, params, batch, supports)
        loss = cross_entropy(answer.logits, jnp.asarray(batch.answer))
        if self.addressing == "supervised":
            loss = loss + support_loss(answer.scores, supports)
        return loss, carry

    def read(self, model: MemoryNetwork, params: MemoryNetworkParams, batch: Questions, supports=None) -> Answer:
        """Return the answers of the network, by soft attention or by one sentence per hop."""
        sentences, question = jnp.asarray(batch.sentences), jnp.asarray(batch.question)
        if self.addressing == "soft":
            return model.answer(params, sentences, question)
        return model.answer_by_slot(params, sentences, question, supports)

    def metrics(self, loss: float) -> dict[str, float]:
        """Return the loss under the name of its metric."""
        return {"nats": float(loss)}

    def evaluate(self, model: MemoryNetwork, params: MemoryNetworkParams, data: None) -> dict[str, float]:
        """Return L and the fraction of correct answers, by kind, on average, and about held-out pairs."""
        losses, metrics = [], {}
        for suffix, held_out in (("", False), ("_held_out", True)):
            shares = {}
            for kind in self.kinds:
                batch = self.questions([kind] * HELD_OUT, f"held out {kind} {held_out}", held_out=held_out)
                loss, shares[kind] = map(float, _score(self, model, params, batch))
                losses += [] if held_out else [loss]
            metrics[f"accuracy{suffix}"] = sum(shares.values()) / len(shares)
            metrics |= {f"accuracy{suffix}_{kind}": share for kind, share in shares.items()}
        return {"nats": sum(losses) / len(losses), **metrics}

    def illustrate(
        self, model: MemoryNetwork, params: MemoryNetworkParams, data: None, folder: Path
    ) -> dict[str, Path]:
        """Draw a story of each kind, and the attention of each hop to each sentence."""
        rng = random.Random("picture")
        stories = [story(rng, kind, self.sentences) for kind in self.kinds]
        answer = self.read(model, params, as_numbers(stories, self.sentences, self.hops))
        read = np.asarray(jax.nn.softmax(answer.scores, axis=-1))
        said = [WORDS[n - 1] for n in np.asarray(answer.logits)[:, 1:].argmax(-1) + 1]
        draw_attention(folder / "read.png", stories, said, np.moveaxis(read, 0, -1))
        return {"read": folder / "read.png"}


def as_numbers(stories: list[Story], slots: int, hops: int) -> Questions:
    """Return word numbers padded with 0, and the first `hops` supports padded with −1."""
    sentences = np.zeros((len(stories), slots, LONGEST_SENTENCE), np.int32)
    question = np.zeros((len(stories), LONGEST_QUESTION), np.int32)
    supports = np.full((len(stories), hops), -1, np.int32)
    for row, (told, asked) in enumerate(stories):
        for i, words in enumerate(told):
            sentences[row, i, : len(words)] = [NUMBER[w] for w in words]
        question[row, : len(asked.words)] = [NUMBER[w] for w in asked.words]
        first = max(hops - len(asked.supports), 0) if asked.answer in PLACES else 0
        supports[row, first : first + len(asked.supports)] = asked.supports[:hops]
    return Questions(sentences, question, np.array([NUMBER[s.question.answer] for s in stories], np.int32), supports)


@partial(jax.jit, static_argnums=(0, 1))
def _score(task: Stories, model: MemoryNetwork, params: MemoryNetworkParams, batch: Questions):
    """Return −log P(answer) and the fraction of correct answers."""
    logits = task.read(model, params, batch).logits
    return cross_entropy(logits, jnp.asarray(batch.answer)), jnp.mean(logits.argmax(-1) == batch.answer)
