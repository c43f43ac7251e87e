"""Memory networks: they answer a question by attending to a list of sentences.

    mᵢᵏ = Σⱼ lⱼ ⊙ Eᵏ[xᵢⱼ] + Tᵏ[i],     cᵢᵏ = Σⱼ lⱼ ⊙ Eᵏ⁺¹[xᵢⱼ] + Tᵏ⁺¹[i],     u⁰ = Σⱼ lⱼ ⊙ E⁰[qⱼ]
    pᵏ = softmaxᵢ(uᵏ · mᵢᵏ),           uᵏ⁺¹ = uᵏ + Σᵢ pᵢᵏ cᵢᵏ,                 k = 0, …, K − 1
    P(answer) = softmax(uᴷ (Eᴷ)ᵀ)    or    softmax((uᴷ + u⁰ ⊙ Σₖ reads) (Eᴷ)ᵀ)

xᵢⱼ is word j of sentence i, with sentences counted back from the last one, and q is the question.  Every hop has its
own embedding, and the output embedding of a hop is the input embedding of the next ("adjacent" tying).  Without tying,
"none", it is one of its own:

    mᵢᵏ of E²ᵏ and T²ᵏ,     cᵢᵏ of E²ᵏ⁺¹ and T²ᵏ⁺¹,     u⁰ of E⁰,     P(answer) of E²ᴷ⁻¹.

With adjacent tying a sentence that a hop has read contributes |mᵢᵏ⁺¹|² to its own score in the next hop, which keeps
that hop from reading another sentence of the same kind, as the next thing to count; without tying it contributes
cᵢᵏ · mᵢᵏ⁺¹, which has either sign.

T encodes how long ago a sentence came (temporal encoding).  l weights a word by its position in the sentence (position
encoding), so that word order matters,

    lⱼ(d) = (1 − j/J) − (d/D)(1 − 2j/J),        j = 1, …, J,  d = 1, …, D,

or is 1 (a bag of words).

The first response adds the question to what was read, so each word contributes to every answer independently.  It
cannot answer "is mary in the park", which asks whether two words are equal.  The second response adds the product of
u⁰ and Σₖ Σᵢ pᵢᵏ cᵢᵏ, which compares them.  The papers use the first; the second is a deviation, the smallest change
that separates yes from no when one sentence is read.

The chapter distinguishes two ways to train the attention:

* `answer`: without supervision.  Every hop reads all slots, weighted by pᵏ, and the weights are learned end to end
  (Sukhbaatar et al. 2015).  With `rest`, a hop can also read nothing, which has score 0 as in `answer_by_slot`: its
  weights then need not sum to 1, so that what it reads can grow with the number of sentences that it reads.
* `answer_by_slot`: with supervision.  Each hop reads one slot: the true one in training, that with the highest score
  afterwards (Weston, Chopra & Bordes 2015; their margin loss for the slot is a cross-entropy here).  A question that
  needs fewer sentences than there are hops leaves some hops to read nothing, which has score 0.  Leave the first hops
  empty rather than the last, whose output is embedded as the answers are.

x, q → `sentences`, `question`, integers, 0 where there is no word; E, T → `params.words`, `.times`.

References: Weston, Chopra & Bordes 2015, §2 and §3; Sukhbaatar, Szlam, Weston & Fergus 2015, §2 and §4.1; chapter 八,
item 2; Goodfellow et al. 2016, §10.12.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jaxrnn.core.arguments import as_array, check_key
from jaxrnn.core.checks import check_choice, check_params, check_positive, check_range, check_shape
from jaxrnn.core.precision import accumulator
from jaxrnn.core.types import Key
from jaxrnn.objectives.losses import cross_entropy

NONE = -1e30
"""The score of an empty slot: its exponential is 0, and finite scores have finite gradients."""


class MemoryNetworkParams(NamedTuple):
    """The embeddings of all hops.

    >>> MemoryNetwork(vocabulary=12, width=8, slots=5, hops=2).init(jax.random.key(0)).times.shape
    (3, 5, 8)
    """

    words: Float[Array, "tables vocabulary width"]
    """E⁰ … Eᴷ, or E⁰ … E²ᴷ⁻¹ without tying; row 0 stands for "no word" and is not used."""
    times: Float[Array, "tables slots width"]
    """T⁰ … Tᴷ, or T⁰ … T²ᴷ⁻¹."""


class Answer(NamedTuple):
    """The answer, and the scores of the slots.

    >>> network = MemoryNetwork(vocabulary=12, width=8, slots=5, hops=2)
    >>> params = network.init(jax.random.key(0))
    >>> network.answer(params, jnp.ones((5, 6), int), jnp.ones(4, int)).scores.shape
    (2, 5)
    """

    logits: Float[Array, "*batch vocabulary"]
    """The logits of P(answer)."""
    scores: Float[Array, "hops *batch slots"]
    """uᵏ · mᵢᵏ, the logits of pᵏ; about −10³⁰ in an empty slot."""


@jax.tree_util.register_static
@dataclass(frozen=True)
class MemoryNetwork:
    """K hops of attention over sentences.

    Args:
      vocabulary: the number of words, "no word" (0) included; an answer is a word.
      width: the size of an embedding, D.
      slots: the largest number of sentences.
      hops: K, the number of hops.
      encoding: how words are weighted: "position", or "bag" for equal weights.
      response: "sum", or "product" to add the product as well.
      rest: whether `answer` can read nothing.
      tying: "adjacent" if the output embedding of a hop is the input embedding of the next, or "none".

    Raises:
      ValueError: a size below 1, or an unknown encoding, response or tying.

    >>> network = MemoryNetwork(vocabulary=12, width=8, slots=5, hops=2)
    >>> params = network.init(jax.random.key(0))
    >>> answer = network.answer(params, jnp.ones((3, 5, 6), int), jnp.ones((3, 4), int))
    >>> answer.logits.shape, answer.scores.shape
    ((3, 12), (2, 3, 5))
    >>> MemoryNetwork(vocabulary=12, width=8, slots=5, hops=2, tying="none").init(jax.random.key(0)).words.shape
    (4, 12, 8)

    References: Sukhbaatar et al. 2015, §2.
    """

    vocabulary: int
    width: int
    slots: int
    hops: int = 3
    encoding: str = "position"
    response: str = "sum"
    rest: bool = False
    tying: str = "adjacent"

    def __post_init__(self):
        check_positive(vocabulary=self.vocabulary, width=self.width, slots=self.slots, hops=self.hops)
        check_choice("encoding", self.encoding, ("position", "bag"))
        check_choice("response", self.response, ("sum", "product"))
        check_choice("tying", self.tying, ("adjacent", "none"))

    @property
    def _tables(self) -> int:
        """Return the number of embeddings."""
        return self.hops + 1 if self.tying == "adjacent" else 2 * self.hops

    def init(self, key: Key) -> MemoryNetworkParams:
        """Draw every embedding from a normal distribution with standard deviation 0.1."""
        check_key(key=key)
        e_key, t_key = jax.random.split(key)
        words = 0.1 * jax.random.normal(e_key, (self._tables, self.vocabulary, self.width))
        return MemoryNetworkParams(words, 0.1 * jax.random.normal(t_key, (self._tables, self.slots, self.width)))

    def answer(
        self, params: MemoryNetworkParams, sentences: Int[Array, "*batch slots words"], question: Int[Array, "..."]
    ) -> Answer:
        """Answer by reading all slots, weighted by pᵏ.

        Args:
          params: E and T.
          sentences: word numbers `[*batch, slots, words]`, oldest first, 0 for no word; a slot of zeros is empty.
            The newest sentence is the last slot that is not empty, so empty slots come after it.
          question: word numbers `[*batch, words]`, of its own length.

        Returns:
          The logits of the answer, and the scores of every hop.

        Raises:
          TypeError: words that are not integers.
          ValueError: parameters of another network; another number of slots; a word out of range (checked outside
            `jit`).
        """
        return self._hops(params, sentences, question, lambda k, scores: self._softmax(scores))

    def answer_by_slot(
        self,
        params: MemoryNetworkParams,
        sentences: Int[Array, "*batch slots words"],
        question: Int[Array, "..."],
        supports: Int[Array, "*batch hops"] | None = None,
    ) -> Answer:
        """Answer by reading one slot in each hop: the given one, or else the slot with the highest score.

        A hop whose scores are all at most 0 reads nothing.  The result and the errors are those of `answer`.

        Args:
          params: E and T.
          sentences: word numbers `[*batch, slots, words]`, as for `answer`.
          question: word numbers `[*batch, words]`.
          supports: the slot of each hop, `[*batch, hops]`; −1 to read nothing.
        """
        if supports is not None:
            sentences, supports = self._numbers("sentences", sentences), as_array("supports", supports, "integers")
            check_shape("supports", supports, (*sentences.shape[:-2], self.hops), "[*batch, hops]")
            check_range("supports", supports, -1, self.slots - 1)

        def one_slot(k: int, scores: Array) -> Array:
            best = jnp.where(jnp.max(scores, axis=-1) > 0, jnp.argmax(scores, axis=-1), -1)
            slot = best if supports is None else supports[..., k]
            return jax.nn.one_hot(slot, self.slots, dtype=scores.dtype)

        return self._hops(params, sentences, question, one_slot)

    def _hops(self, params: MemoryNetworkParams, sentences, question, weights: Callable) -> Answer:
        check_params(params, self)
        sentences, question = self._numbers("sentences", sentences), self._numbers("question", question)
        check_shape(
            "sentences", sentences, (*question.shape[:-1], self.slots, sentences.shape[-1]), "[*batch, slots, words]"
        )
        filled = jnp.any(sentences > 0, axis=-1)
        memories = [self._remember(params, n, sentences, filled) for n in range(self._tables)]
        asked, scores = self._embed(params.words[0], question), []
        u = asked
        for k in range(self.hops):
            n = k if self.tying == "adjacent" else 2 * k
            scores.append(jnp.where(filled, jnp.einsum("...d,...nd->...n", u, memories[n]), NONE))
            u = u + jnp.einsum("...n,...nd->...d", weights(k, scores[-1]), memories[n + 1])
        if self.response == "product":
            u = u + asked * (u - asked)
        return Answer(u @ params.words[-1].T.astype(u.dtype), jnp.stack(scores))

    def _softmax(self, scores: Array) -> Array:
        """Return pᵏ of the slots; their sum is below 1 if reading nothing has a share."""
        if not self.rest:
            return jax.nn.softmax(scores, axis=-1)
        return jax.nn.softmax(jnp.pad(scores, [(0, 0)] * (scores.ndim - 1) + [(0, 1)]), axis=-1)[..., :-1]

    def _remember(self, params: MemoryNetworkParams, k: int, sentences: Array, filled: Array) -> Array:
        """Return mᵢᵏ, 0 in an empty slot; times count back from the newest sentence."""
        ago = jnp.maximum(jnp.sum(filled, axis=-1, keepdims=True) - 1 - jnp.arange(self.slots), 0)
        memory = self._embed(params.words[k], sentences) + params.times[k][ago]
        return jnp.where(filled[..., None], memory, 0)

    def _embed(self, table: Array, words: Array) -> Array:
        """Return Σⱼ lⱼ ⊙ E[xⱼ] over the words that are present."""
        vectors = table[words].astype(accumulator(table.dtype))
        if self.encoding == "position":
            vectors = vectors * position_encoding(words.shape[-1], self.width).astype(vectors.dtype)
        return jnp.sum(jnp.where(words[..., None] > 0, vectors, 0), axis=-2)

    def _numbers(self, name: str, words) -> Array:
        words = as_array(name, words, "integers")
        if not words.ndim:
            raise ValueError(f"`{name}` must have an axis of words, got shape ().")
        if not jnp.issubdtype(words.dtype, jnp.integer):
            raise TypeError(f"`{name}` must be integers, got {words.dtype}.")
        check_range(name, words, 0, self.vocabulary - 1)
        return words


def position_encoding(words: int, width: int) -> np.ndarray:
    """Return l, the position encoding, `[words, width]`.

    >>> position_encoding(2, 2)
    array([[0.5, 0.5],
           [0.5, 1. ]])

    References: Sukhbaatar et al. 2015, §4.1.
    """
    j, d = np.arange(1, words + 1)[:, None] / words, np.arange(1, width + 1) / width
    return (1 - j) - d * (1 - 2 * j)


def support_loss(scores: Float[Array, "hops *batch slots"], supports: Int[Array, "*batch hops"]) -> Float[Array, ""]:
    """Return the cross-entropy of the slots that the hops should read, averaged over hops and rows.

    The probabilities are the softmax of the scores of the slots and of 0, the score of reading nothing.

    Args:
      scores: `[hops, *batch, slots]`, as in `Answer`.
      supports: `[*batch, hops]`, the slot that each hop should read; −1 for nothing.

    Returns:
      A scalar.

    Raises:
      TypeError, ValueError: a tuple instead of an array; a wrong shape; a slot that is not an integer.

    >>> float(jnp.exp(-support_loss(jnp.zeros((2, 1, 3)), jnp.array([[2, -1]]))))
    0.25

    References: Weston, Chopra & Bordes 2015, §3.1.
    """
    supports, scores = as_array("supports", supports, "integers"), as_array("scores", scores, "numbers")
    if scores.ndim < 2:
        raise ValueError(f"`scores` must have shape [hops, *batch, slots], got {scores.shape}.")
    check_shape("supports", supports, (*scores.shape[1:-1], scores.shape[0]), "[*batch, hops], as `scores`")
    slots = jnp.moveaxis(supports, -1, 0)
    with_nothing = jnp.concatenate([scores, jnp.zeros_like(scores[..., :1])], axis=-1)
    return cross_entropy(with_nothing, jnp.where(slots < 0, scores.shape[-1], slots))
