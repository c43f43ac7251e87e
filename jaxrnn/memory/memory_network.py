"""Memory networks: sentences in slots, and a question that looks for its answer in them; chapter, section 8, item 2.

    mᵢᵏ = Σⱼ lⱼ ⊙ Eᵏ[xᵢⱼ] + Tᵏ[i],     cᵢᵏ = Σⱼ lⱼ ⊙ Eᵏ⁺¹[xᵢⱼ] + Tᵏ⁺¹[i],     u⁰ = Σⱼ lⱼ ⊙ E⁰[qⱼ]
    pᵏ = softmaxᵢ(uᵏ · mᵢᵏ),           uᵏ⁺¹ = uᵏ + Σᵢ pᵢᵏ cᵢᵏ,                 k = 0, …, K − 1
    P(answer) = softmax(uᴷ (Eᴷ)ᵀ)    or    softmax((uᴷ + u⁰ ⊙ Σₖ reads) (Eᴷ)ᵀ)

xᵢⱼ is word j of sentence i, counted back from the last one, q the question; every hop has its own embedding,
and a hop's output embedding is the next one's input embedding ("adjacent" tying).  T says how long ago a
sentence was (temporal encoding); l weighs a word by its place in the sentence (position encoding), so that
word order matters,

    lⱼ(d) = (1 − j/J) − (d/D)(1 − 2j/J),        j = 1, …, J,  d = 1, …, D,

or is 1 (a bag of words).

In the first answer the question and what was read stand side by side: each word of either adds its share to every
answer, so "is mary in the park" cannot be answered, as it matters whether two of them are the same.  The product in
the second, of u⁰ and of Σₖ Σᵢ pᵢᵏ cᵢᵏ, compares them.  The papers have the first; a deviation, as it is the
smallest change that tells yes from no when one sentence is read.

What the chapter tells apart is who says which slot to read:

* `answer`: nobody.  All slots are read, by their weights pᵏ, and the weights are learnt end to end
  (Sukhbaatar et al. 2015).
* `answer_by_slot`: a supervisor.  Each hop reads one slot: in training the true one, and afterwards the one
  of the highest score (Weston, Chopra & Bordes 2015, whose margin loss for the slot is a cross-entropy here).
  A question that needs fewer sentences than there are hops leaves hops that read nothing; nothing scores 0.
  Better the first ones: what the last hop reads is embedded as the answers are, by Eᴷ.

x, q → `sentences`, `question`, integers, 0 where there is no word; E, T → `params.words`, `.times`.

References: Weston, Chopra & Bordes 2015, §2 and §3; Sukhbaatar, Szlam, Weston & Fergus 2015, §2 and §4.1.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jaxrnn.core.checks import check_choice, check_positive, check_range, check_shape
from jaxrnn.core.precision import accumulator
from jaxrnn.core.types import Key
from jaxrnn.objectives.losses import cross_entropy

NONE = -1e30
"""The score of a slot without a sentence: e to it is 0, and finite scores have finite gradients."""


class MemoryNetworkParams(NamedTuple):
    """The embeddings of all hops."""

    words: Float[Array, "hops_1 vocabulary width"]
    """E⁰ … Eᴷ; row 0 is not used: no word."""
    times: Float[Array, "hops_1 slots width"]
    """T⁰ … Tᴷ."""


class Answer(NamedTuple):
    """What the network says, and where it looked."""

    logits: Float[Array, "*batch vocabulary"]
    """Softmax of it is P(answer)."""
    scores: Float[Array, "hops *batch slots"]
    """uᵏ · mᵢᵏ: softmax of it is pᵏ; about −10³⁰ where there is no sentence."""


@jax.tree_util.register_static
@dataclass(frozen=True)
class MemoryNetwork:
    """K hops of attention over sentences.

    Args:
      vocabulary: the number of words, 0 for none included; an answer is a word.
      width: the size of an embedding, D.
      slots: the most sentences that are remembered.
      hops: K.
      encoding: l: "position", or "bag" of words.
      response: what the answer is made from: "sum", or "product" too.

    Raises:
      ValueError: a size below 1, another encoding or response.

    >>> network = MemoryNetwork(vocabulary=12, width=8, slots=5, hops=2)
    >>> params = network.init(jax.random.key(0))
    >>> answer = network.answer(params, jnp.ones((3, 5, 6), int), jnp.ones((3, 4), int))
    >>> answer.logits.shape, answer.scores.shape
    ((3, 12), (2, 3, 5))

    References: Sukhbaatar et al. 2015, §2.
    """

    vocabulary: int
    width: int
    slots: int
    hops: int = 3
    encoding: str = "position"
    response: str = "sum"

    def __post_init__(self):
        check_positive(vocabulary=self.vocabulary, width=self.width, slots=self.slots, hops=self.hops)
        check_choice("encoding", self.encoding, ("position", "bag"))
        check_choice("response", self.response, ("sum", "product"))

    def init(self, key: Key) -> MemoryNetworkParams:
        """Normal, of standard deviation 0.1."""
        e_key, t_key = jax.random.split(key)
        words = 0.1 * jax.random.normal(e_key, (self.hops + 1, self.vocabulary, self.width))
        return MemoryNetworkParams(words, 0.1 * jax.random.normal(t_key, (self.hops + 1, self.slots, self.width)))

    def answer(
        self, params: MemoryNetworkParams, sentences: Int[Array, "*batch slots words"], question: Int[Array, "..."]
    ) -> Answer:
        """Reads all slots by their weights.

        Args:
          params: E and T.
          sentences: word numbers `[*batch, slots, words]`, oldest first, 0 for no word; a slot of zeros is empty.
            The newest sentence is the last slot that is not empty, so empty slots come after it.
          question: word numbers `[*batch, words]`, of its own length.

        Returns:
          The answer's logits, and every hop's scores.

        Raises:
          TypeError: numbers that are not integers.
          ValueError: another number of slots, or a word out of range (where the values are known).
        """
        return self._hops(params, sentences, question, lambda k, scores: jax.nn.softmax(scores, axis=-1))

    def answer_by_slot(
        self,
        params: MemoryNetworkParams,
        sentences: Int[Array, "*batch slots words"],
        question: Int[Array, "..."],
        supports: Int[Array, "*batch hops"] | None = None,
    ) -> Answer:
        """Reads one slot a hop: the one it is told to, or, where it is not told, the one of the highest score.

        If no score is above 0, which is that of nothing, the hop reads nothing.

        Arguments, results and errors are those of `answer`; and

        Args:
          supports: the slot for each hop, `[*batch, hops]`; −1 where a hop is to read nothing.
        """
        if supports is not None:
            check_shape("supports", supports, (*sentences.shape[:-2], self.hops), "[*batch, hops]")
            check_range("supports", supports, -1, self.slots - 1)

        def one_slot(k: int, scores: Array) -> Array:
            best = jnp.where(jnp.max(scores, axis=-1) > 0, jnp.argmax(scores, axis=-1), -1)
            slot = best if supports is None else supports[..., k]
            return jax.nn.one_hot(slot, self.slots, dtype=scores.dtype)

        return self._hops(params, sentences, question, one_slot)

    def _hops(self, params: MemoryNetworkParams, sentences, question, weights: Callable) -> Answer:
        sentences, question = self._numbers("sentences", sentences), self._numbers("question", question)
        check_shape(
            "sentences", sentences, (*question.shape[:-1], self.slots, sentences.shape[-1]), "[*batch, slots, words]"
        )
        filled = jnp.any(sentences > 0, axis=-1)
        memories = [self._remember(params, k, sentences, filled) for k in range(self.hops + 1)]
        asked, scores = self._embed(params.words[0], question), []
        u = asked
        for k in range(self.hops):
            scores.append(jnp.where(filled, jnp.einsum("...d,...nd->...n", u, memories[k]), NONE))
            u = u + jnp.einsum("...n,...nd->...d", weights(k, scores[-1]), memories[k + 1])
        if self.response == "product":
            u = u + asked * (u - asked)
        return Answer(u @ params.words[-1].T.astype(u.dtype), jnp.stack(scores))

    def _remember(self, params: MemoryNetworkParams, k: int, sentences: Array, filled: Array) -> Array:
        """mᵢᵏ, 0 in an empty slot; a sentence's time counts back from the newest."""
        ago = jnp.maximum(jnp.sum(filled, axis=-1, keepdims=True) - 1 - jnp.arange(self.slots), 0)
        memory = self._embed(params.words[k], sentences) + params.times[k][ago]
        return jnp.where(filled[..., None], memory, 0)

    def _embed(self, table: Array, words: Array) -> Array:
        """Σⱼ lⱼ ⊙ E[xⱼ], of the words that there are."""
        vectors = table[words].astype(accumulator(table.dtype))
        if self.encoding == "position":
            vectors = vectors * position_encoding(words.shape[-1], self.width).astype(vectors.dtype)
        return jnp.sum(jnp.where(words[..., None] > 0, vectors, 0), axis=-2)

    def _numbers(self, name: str, words) -> Array:
        words = jnp.asarray(words)
        if not jnp.issubdtype(words.dtype, jnp.integer):
            raise TypeError(f"`{name}` must be integers, got {words.dtype}.")
        check_range(name, words, 0, self.vocabulary - 1)
        return words


def position_encoding(words: int, width: int) -> np.ndarray:
    """l, `[words, width]`.

    >>> position_encoding(2, 2)
    array([[0.5, 0.5],
           [0.5, 1. ]])

    References: Sukhbaatar et al. 2015, §4.1.
    """
    j, d = np.arange(1, words + 1)[:, None] / words, np.arange(1, width + 1) / width
    return (1 - j) - d * (1 - 2 * j)


def support_loss(scores: Float[Array, "hops *batch slots"], supports: Int[Array, "*batch hops"]) -> Float[Array, ""]:
    """−log of the probability of the slot that a hop should read, the mean over the hops.

    The probabilities are the softmax of the slots' scores and of 0, the score of nothing.

    Args:
      scores: as in `Answer`.
      supports: as for `answer_by_slot`; −1 where a hop is to read nothing.

    >>> float(jnp.exp(-support_loss(jnp.zeros((2, 1, 3)), jnp.array([[2, -1]]))))
    0.25

    References: Weston, Chopra & Bordes 2015, §3.1.
    """
    slots = jnp.moveaxis(jnp.asarray(supports), -1, 0)
    with_nothing = jnp.concatenate([scores, jnp.zeros_like(scores[..., :1])], axis=-1)
    return cross_entropy(with_nothing, jnp.where(slots < 0, scores.shape[-1], slots))
