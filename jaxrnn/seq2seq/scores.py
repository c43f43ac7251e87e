"""How well a query and a key go together, and what is made of it: chapter, section 4.1, item 5.

    additive    wᵀ tanh(q + k_j)                    Bahdanau, Cho & Bengio 2015
    location    wᵀ tanh(q + k_j + Σ_i F_i α⁻_{j+i})      Chorowski et al. 2015
    dot         qᵀ k_j                              Luong, Pham & Manning 2015
    scaled      qᵀ k_j / √size                      Vaswani et al. 2017
    α = softmax(e) over the positions that exist

q and k_j are already projected: `jaxrnn.seq2seq.attention` has the matrices.  The chapter gives no equations for
attention; these are the papers'.

w → `v`, q → `query`, k → `keys`, e → `scores`, α → `weights`, F → `filters`.

References: Bahdanau, Cho & Bengio 2015, §3.1; Luong, Pham & Manning 2015, §3.1; Chorowski et al. 2015, §2.1;
Vaswani et al. 2017, §3.2.
"""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxrnn.core.checks import check_positive, check_rows

SCORES = ("additive", "location", "dot", "general", "scaled")


def additive_score(
    query: Float[Array, "*#rows size"],
    keys: Float[Array, "*#rows source size"],
    v: Float[Array, "*#rows size"],
    shift: Float[Array, "*#rows source size"] | None = None,
) -> Float[Array, "*rows source"]:
    """wᵀ tanh(q + k_j), or wᵀ tanh(q + k_j + shift_j): one score a position.

    Args:
      query: W q, already projected.
      keys: V h_j + b, already projected.
      v: w.
      shift: what the location adds.

    >>> additive_score(jnp.zeros(2), jnp.ones((3, 2)), jnp.ones(2)).shape
    (3,)

    References: Bahdanau, Cho & Bengio 2015, §3.1 and A.1.2.
    """
    a = query[..., None, :] + keys
    return _products(jnp.tanh(a if shift is None else a + shift), v)


def dot_score(
    query: Float[Array, "*#rows size"], keys: Float[Array, "*#rows source size"]
) -> Float[Array, "*rows source"]:
    """qᵀ k_j; with keys W h_j it is Luong's "general".

    Raises:
      ValueError: keys of another size, or of rows that do not broadcast with the query's.

    >>> dot_score(jnp.array([1.0, 2.0]), jnp.eye(2))
    Array([1., 2.], dtype=float32)

    References: Luong, Pham & Manning 2015, §3.1.
    """
    check_rows("keys", keys, "source, size", "query", query, "size")
    return _products(keys, query)


def scaled_dot_score(
    query: Float[Array, "*#rows size"], keys: Float[Array, "*#rows source size"]
) -> Float[Array, "*rows source"]:
    """qᵀ k_j / √size: of variance 1 where the entries of q and k are independent and of variance 1.

    >>> scaled_dot_score(jnp.ones(4), jnp.ones((3, 4)))
    Array([2., 2., 2.], dtype=float32)

    References: Vaswani et al. 2017, §3.2.1.
    """
    return dot_score(query / math.sqrt(query.shape[-1]), keys)


def masked_softmax(scores: Float[Array, "*rows source"], mask: Bool[Array, "*#rows source"]) -> Float[Array, "..."]:
    """α: softmax over the positions where `mask` is True, 0 elsewhere; all 0 where there is none.

    Raises:
      TypeError: `mask` is not boolean.
      ValueError: a mask of another number of positions, or of rows that do not broadcast with those of `scores`.

    >>> masked_softmax(jnp.array([[0.0, 0.0, 9.0], [1.0, 2.0, jnp.nan]]), jnp.array([[1, 1, 0], [0, 0, 0]], bool))
    Array([[0.5, 0.5, 0. ],
           [0. , 0. , 0. ]], dtype=float32)
    """
    if not jnp.issubdtype(jnp.result_type(mask), jnp.bool_):
        raise TypeError(f"`mask` must be boolean, got {jnp.result_type(mask)}. Write `mask != 0` if that is meant.")
    check_rows("mask", mask, "source", "scores", scores, "source")
    return jax.nn.softmax(jnp.where(mask, scores, 0), axis=-1, where=mask)


def location_windows(weights: Float[Array, "*rows source"], width: int) -> Float[Array, "*rows source {width}"]:
    """α⁻_{j+i} for i from −⌊width/2⌋ on: what stood around each position, 0 beyond the ends.

    Raises:
      ValueError: a width below 1.

    >>> location_windows(jnp.array([0.0, 1.0, 0.0]), width=3).tolist()
    [[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]]

    References: Chorowski et al. 2015, eq. 8.
    """
    check_positive(width=width)
    source, left = weights.shape[-1], width // 2
    padded = jnp.pad(weights, [(0, 0)] * (weights.ndim - 1) + [(left, width - 1 - left)])
    return jnp.stack([padded[..., i : i + source] for i in range(width)], axis=-1)


def location_shift(
    weights: Float[Array, "*rows heads source"], filters: Float[Array, "*#rows width size"]
) -> Float[Array, "*rows heads source size"]:
    """Σ_i F_i α⁻_{j+i}: what the location adds to q + k_j.

    >>> location_shift(jnp.array([[0.0, 1.0, 0.0]]), jnp.eye(3)).shape
    (1, 3, 3)

    References: Chorowski et al. 2015, eq. 9.
    """
    return jnp.matmul(location_windows(weights, filters.shape[-2]), filters[..., None, :, :])


def _products(rows: Array, v: Array) -> Array:
    """The product of v and each of the rows, as a matrix product: in a sum XLA would compute the rows several times."""
    return jnp.matmul(rows, v[..., None])[..., 0]
