"""Attention to a sequence of vectors.

The source gives one vector per position, h⁽¹⁾ … h⁽ˢ⁾, and each step of the decoder reads a weighted mean of them,

    e_j = score(q, k_j),      α = softmax(e) over the positions that exist,      c = Σ_j α_j v_j

where q is a vector of the decoder, and k_j and v_j are the *key* and the *value* of h⁽ʲ⁾.  The scores are

    additive    wᵀ tanh(W q + V h_j + b)                    Bahdanau, Cho & Bengio 2015
    location    wᵀ tanh(W q + V h_j + b + Σ_i F_i α⁻_{j+i})       Chorowski et al. 2015; α⁻ is the previous α
    dot         qᵀ h_j                                      Luong, Pham & Manning 2015
    general     qᵀ W h_j                                    the same
    scaled      qᵀ h_j / √size                              Vaswani et al. 2017

A key holds the part of the score that depends on h_j alone (V h_j + b, W h_j), so it is computed once per sequence.
With several heads, q, keys and values are projected and split into equal parts; each part attends separately, and c
concatenates their contexts.  Coverage adds u Σ_{t′<t} α_j⁽ᵗ′⁾ to e_j, so the score depends on what has been read.

A row without any position has α = 0, c = 0 and finite gradients.

q → `query`, h → `states`, k → `memory.keys`, v → `memory.values`, w → `params.v`, W → `params.query`,
V → `params.keys`, F → `params.location`, u → `params.coverage`.

Deviations: the filters of Chorowski et al. and the map U on them are one linear map, so here they are one matrix F
`[width, size]`.  Coverage enters e_j instead of the tanh (See, Liu & Manning 2017, eq. 11), so it works with every
score.  The chapter gives no equations for attention; these are from the papers.

References: Bahdanau, Cho & Bengio 2015, §3.1; Luong, Pham & Manning 2015, §3.1; Chorowski et al. 2015, §2.1;
Vaswani et al. 2017, §3.2; Tu et al. 2016, §3 and See, Liu & Manning 2017, §2.3 (coverage); chapter 4.1, item 5;
Goodfellow et al. 2016, §10.4.
"""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float

from jaxrnn.core.arguments import check_key
from jaxrnn.core.checks import check_choice, check_features, check_positive, check_shape, check_steps
from jaxrnn.core.initializers import input_weights
from jaxrnn.core.precision import accumulator, add_bias, in_rank, matmul
from jaxrnn.core.types import Key
from jaxrnn.seq2seq.scores import SCORES, additive_score, dot_score, location_shift, masked_softmax, scaled_dot_score
from jaxrnn.unrolling.scan import select, zeros


class Memory(NamedTuple):
    """Keys, values and mask of a sequence; the batch axes lead, as in a carry.

    >>> Attention(4, 3).no_memory(jnp.float32, source=7, batch_shape=(2,)).mask.shape
    (2, 7)
    """

    keys: Float[Array, "*batch heads source size"]
    """k_j for each head."""
    values: Float[Array, "*batch heads source value"]
    """v_j for each head."""
    mask: Bool[Array, "*batch source"]
    """True where a position exists."""


class Reading(NamedTuple):
    """The result of one step of attention: context and weights.

    >>> attention = Attention(4, 3)
    >>> attention.no_reading(attention.no_memory(jnp.float32, 7, (2,))).context.shape
    (2, 3)
    """

    context: Float[Array, "*batch context"]
    """c."""
    weights: Float[Array, "*batch heads source"]
    """α for each head."""
    coverage: Float[Array, "*batch heads source"] | None = None
    """Σ α over all steps so far, with coverage."""


class ScoreParams(NamedTuple):
    """The small parameters of a score, which no matrix product reads; None if the score lacks them."""

    v: Float[Array, "heads size"] | None = None
    """w."""
    location: Float[Array, "width size"] | None = None
    """F, shared by all heads."""
    coverage: Float[Array, " heads"] | None = None
    """u."""


class AttentionParams(NamedTuple):
    """The parameters; None if the score lacks them.

    >>> Attention(4, 3, score="additive").init(jax.random.key(0)).query.shape
    (4, 4)
    """

    query: Float[Array, "query units"] | None
    """Wᵀ."""
    keys: Float[Array, "memory units"] | None
    """Vᵀ."""
    bias: Float[Array, " units"] | None
    """b."""
    values: Float[Array, "memory units"] | None
    """The map from h_j to the values, with several heads."""
    score: ScoreParams
    """w, F and u."""


@jax.tree_util.register_static
@dataclass(frozen=True)
class Attention:
    """Attention of a vector q to a sequence of vectors h_j.

    Args:
      query_size: the size of q.
      memory_size: the size of h_j.
      score: "additive", "location", "dot", "general" or "scaled".
      units: the size in which q and h_j are compared, over all heads; None for `query_size`.  With one head, "dot"
        and "scaled" compare q and h_j themselves, and "general" compares in the size of q.
      heads: the number of parts into which q, keys and values are projected and split.
      coverage: True to add the sum of previous weights to the score.
      width: the number of neighbors that "location" reads.

    Raises:
      ValueError: a size below 1; an unknown score; units that the heads do not divide; q and h_j of different sizes
        for "dot" or "scaled" with one head; units for a score without them.

    >>> attention = Attention(query_size=5, memory_size=4, score="additive", units=8)
    >>> params = attention.init(jax.random.key(0))
    >>> memory = attention.memory(params, jnp.ones((7, 2, 4)))  # 7 positions, 2 rows
    >>> reading = attention.read(params, jnp.ones((2, 5)), memory, attention.no_reading(memory))
    >>> reading.context.shape, reading.weights.shape
    ((2, 4), (2, 1, 7))

    References: chapter 4.1, item 5; Bahdanau, Cho & Bengio 2015, §3.1.
    """

    query_size: int
    memory_size: int
    score: str = "additive"
    units: int | None = None
    heads: int = 1
    coverage: bool = False
    width: int = 5

    def __post_init__(self):
        check_positive(query_size=self.query_size, memory_size=self.memory_size, heads=self.heads, width=self.width)
        check_choice("score", self.score, SCORES)
        if self.units is not None:
            check_positive(units=self.units)
        if self.compared % self.heads:
            raise ValueError(f"`heads` must divide units={self.compared}, got {self.heads}.")
        if self._as_they_are and self.query_size != self.memory_size:
            raise ValueError(
                f'`score` must be "general" or "additive" for query_size={self.query_size} and '
                f"memory_size={self.memory_size}, got {self.score!r}, which needs one size."
            )
        if self.units not in (None, self.query_size) and not self._projects_query:
            raise ValueError(f"`units` must be None for {self.score!r} with one head, got {self.units}.")

    @property
    def compared(self) -> int:
        """The size in which q and h_j are compared."""
        return self.query_size if self.units is None else self.units

    @property
    def context_size(self) -> int:
        """The size of c."""
        return self.memory_size if self.heads == 1 else self.compared

    @property
    def _tanh(self) -> bool:
        return self.score in ("additive", "location")

    @property
    def _projects_query(self) -> bool:
        return self._tanh or self.heads > 1

    @property
    def _as_they_are(self) -> bool:
        return self.score in ("dot", "scaled") and self.heads == 1

    def init(self, key: Key) -> AttentionParams:
        """Draw the matrices and w by Glorot's uniform rule; b, F and u are 0."""
        check_key(key=key)
        q_key, k_key, v_key, w_key = jax.random.split(key, 4)
        units, size = self.compared, self.compared // self.heads
        score = ScoreParams(
            v=input_weights(w_key, (size, self.heads)).T if self._tanh else None,
            location=jnp.zeros((self.width, size)) if self.score == "location" else None,
            coverage=jnp.zeros(self.heads) if self.coverage else None,
        )
        return AttentionParams(
            query=input_weights(q_key, (self.query_size, units)) if self._projects_query else None,
            keys=None if self._as_they_are else input_weights(k_key, (self.memory_size, units)),
            bias=jnp.zeros(units) if self._tanh else None,
            values=input_weights(v_key, (self.memory_size, units)) if self.heads > 1 else None,
            score=score,
        )

    def memory(
        self,
        params: AttentionParams,
        states: Float[Array, "source *batch memory"],
        *,
        mask: Bool[Array, "source *batch"] | None = None,
    ) -> Memory:
        """Return the keys and values of every position, computed once per sequence.

        Args:
          params: as from `init`.
          states: h_j, `[source, *batch, memory]`, as an encoder returns them.
          mask: True where a position exists.  Values elsewhere, NaN included, are never read.

        Raises:
          TypeError, ValueError: `states` not floating or of another size, `mask` of another shape.
        """
        check_features("states", states, memory_size=self.memory_size)
        mask = check_steps("mask", mask, states.shape[:-1], of="states")
        mask = jnp.ones(states.shape[:-1], bool) if mask is None else mask
        states = select(mask, states, zeros(states))
        keys = states if params.keys is None else matmul(states, params.keys)
        keys = keys if params.bias is None else add_bias(keys, params.bias)
        values = states if params.values is None else matmul(states, params.values)
        return Memory(self._cut(keys), self._cut(values), jnp.moveaxis(mask, 0, -1))

    def no_memory(self, dtype, source: int, batch_shape: tuple[int, ...] = ()) -> Memory:
        """Return a memory of `source` positions, all masked; `dtype` is that of the parameters."""
        sizes = (self.compared if not self._as_they_are else self.memory_size), self.context_size
        shapes = [(*batch_shape, self.heads, source, size // self.heads) for size in sizes]
        keys, values = (jnp.zeros(shape, accumulator(dtype)) for shape in shapes)
        return Memory(keys, values, jnp.zeros((*batch_shape, source), bool))

    def no_reading(self, memory: Memory) -> Reading:
        """Return an empty reading: c, α and the coverage are 0."""
        weights = jnp.zeros(memory.keys.shape[:-1], memory.keys.dtype)
        context = jnp.zeros((*memory.mask.shape[:-1], self.context_size), memory.values.dtype)
        return Reading(context, weights, jnp.zeros_like(weights) if self.coverage else None)

    def read(self, params: AttentionParams, query: Float[Array, "*batch query"], memory: Memory, before: Reading):
        """Attend once, with one q per row.

        Args:
          params: as from `init`.
          query: q.
          memory: as from `memory`.
          before: the reading of the previous step.

        Returns:
          The `Reading` of this step.

        Raises:
          TypeError, ValueError: `query` is not floating, of another size or batch.
        """
        check_features("query", query, query_size=self.query_size)
        check_shape("query", query, (*memory.mask.shape[:-1], self.query_size), "[*batch, query], the memory's batch")
        q = query if params.query is None else matmul(query, params.query)
        return self.compare(params.score, q, memory, before.weights, before.coverage)

    def compare(
        self,
        params: ScoreParams,
        q: Float[Array, "*batch units"],
        memory: Memory,
        weights: Float[Array, "*batch heads source"],
        coverage: Float[Array, "*batch heads source"] | None,
    ) -> Reading:
        """Attend with a query that is already projected: score, softmax and weighted mean."""
        q = q.reshape(*q.shape[:-1], self.heads, q.shape[-1] // self.heads)
        scores = self._scores(params, q, memory.keys, weights)
        if params.coverage is not None and coverage is not None:
            scores = scores + in_rank(params.coverage[..., None], coverage) * coverage
        weights = masked_softmax(scores, memory.mask[..., None, :])
        context = jnp.matmul(weights[..., None, :], memory.values)[..., 0, :]
        coverage = None if coverage is None else coverage + weights
        return Reading(lax.collapse(context, -2), weights, coverage)

    def _scores(self, params: ScoreParams, q: Array, keys: Array, weights: Array) -> Array:
        if params.v is None:
            return scaled_dot_score(q, keys) if self.score == "scaled" else dot_score(q, keys)
        if params.location is None:
            return additive_score(q, keys, params.v)
        return additive_score(q, keys, params.v, location_shift(weights, params.location))

    def _cut(self, array: Array) -> Array:
        """Split heads: `[source, *batch, units]` → `[*batch, heads, source, units/heads]`."""
        parts = array.reshape(*array.shape[:-1], self.heads, array.shape[-1] // self.heads)
        return jnp.moveaxis(parts.astype(accumulator(array.dtype)), 0, -2)
