"""Attention scores, and the masked softmax.

    additive    wᵀ tanh(q + k_j)                    Bahdanau, Cho & Bengio 2015
    location    wᵀ tanh(q + k_j + Σ_i F_i α⁻_{j+i})      Chorowski et al. 2015
    dot         qᵀ k_j                              Luong, Pham & Manning 2015
    scaled      qᵀ k_j / √size                      Vaswani et al. 2017
    α = softmax(e) over the positions that exist

q and k_j are already projected; `Attention` has the matrices.  The chapter gives no equations for attention; these are
from the papers.

w → `v`, q → `query`, k → `keys`, e → `scores`, α → `weights`, F → `filters`.

References: Bahdanau, Cho & Bengio 2015, §3.1; Luong, Pham & Manning 2015, §3.1; Chorowski et al. 2015, §2.1;
Vaswani et al. 2017, §3.2; chapter 4.1, item 5; Goodfellow et al. 2016, §10.4.
"""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxrnn.core.arguments import as_array, check_boolean
from jaxrnn.core.checks import check_positive, check_rows

SCORES = ("additive", "location", "dot", "general", "scaled")


def additive_score(
    query: Float[Array, "*#rows size"],
    keys: Float[Array, "*#rows source size"],
    v: Float[Array, "*#rows size"],
    shift: Float[Array, "*#rows source size"] | None = None,
) -> Float[Array, "*rows source"]:
    """Return wᵀ tanh(q + k_j), or wᵀ tanh(q + k_j + shift_j), for every position.

    Args:
      query: W q, already projected, `[*batch, size]`.
      keys: V h_j + b, already projected, `[*batch, source, size]`.
      v: w, `[size]`.
      shift: the term of the location, `[*batch, source, size]`.

    Returns:
      `[*batch, source]`.

    >>> additive_score(jnp.zeros(2), jnp.ones((3, 2)), jnp.ones(2)).shape
    (3,)

    References: Bahdanau, Cho & Bengio 2015, §3.1 and A.1.2.
    """
    a = query[..., None, :] + keys
    return _products(jnp.tanh(a if shift is None else a + shift), v)


def dot_score(
    query: Float[Array, "*#rows size"], keys: Float[Array, "*#rows source size"]
) -> Float[Array, "*rows source"]:
    """Return qᵀ k_j; with keys W h_j it is Luong's "general" score.

    Args:
      query: `[*batch, size]`.
      keys: `[*batch, source, size]`.

    Returns:
      `[*batch, source]`.

    Raises:
      ValueError: keys of another size, or with rows that do not broadcast with those of the query.

    >>> dot_score(jnp.array([1.0, 2.0]), jnp.eye(2))
    Array([1., 2.], dtype=float32)

    References: Luong, Pham & Manning 2015, §3.1.
    """
    check_rows("keys", keys, "source, size", "query", query, "size")
    return _products(keys, query)


def scaled_dot_score(
    query: Float[Array, "*#rows size"], keys: Float[Array, "*#rows source size"]
) -> Float[Array, "*rows source"]:
    """Return qᵀ k_j / √size, which has variance 1 if the entries of q and k are independent with variance 1.

    Args:
      query: `[*batch, size]`.
      keys: `[*batch, source, size]`.

    Returns:
      `[*batch, source]`.

    Raises:
      ValueError: as `dot_score`.

    >>> scaled_dot_score(jnp.ones(4), jnp.ones((3, 4)))
    Array([2., 2., 2.], dtype=float32)

    References: Vaswani et al. 2017, §3.2.1.
    """
    return dot_score(query / math.sqrt(query.shape[-1]), keys)


def masked_softmax(
    scores: Float[Array, "*rows source"], mask: Bool[Array, "*#rows source"] | None
) -> Float[Array, "..."]:
    """Return the softmax over the positions where `mask` is True, 0 elsewhere, and all 0 if there is none.

    Args:
      scores: e, `[..., source]`.
      mask: `[..., source]`; None if every position exists.

    Returns:
      α, of the shape of `scores`.

    Raises:
      TypeError: `mask` is not boolean.
      ValueError: a mask with another number of positions, or with rows that do not broadcast with those of `scores`.

    >>> masked_softmax(jnp.array([[0.0, 0.0, 9.0], [1.0, 2.0, jnp.nan]]), jnp.array([[1, 1, 0], [0, 0, 0]], bool))
    Array([[0.5, 0.5, 0. ],
           [0. , 0. , 0. ]], dtype=float32)
    """
    if mask is None:
        return jax.nn.softmax(as_array("scores", scores, "numbers"), axis=-1)
    check_boolean("mask", mask)
    check_rows("mask", mask, "source", "scores", scores, "source")
    return jax.nn.softmax(jnp.where(mask, scores, 0), axis=-1, where=mask)


def location_windows(weights: Float[Array, "*rows source"], width: int) -> Float[Array, "*rows source {width}"]:
    """Return α⁻_{j+i} for i from −⌊width/2⌋ on: the weights around each position, 0 beyond the ends.

    Args:
      weights: α⁻, `[..., source]`.
      width: the number of neighbors.

    Returns:
      `[..., source, width]`.

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
    """Return Σ_i F_i α⁻_{j+i}, the term of the location.

    >>> location_shift(jnp.array([[0.0, 1.0, 0.0]]), jnp.eye(3)).shape
    (1, 3, 3)

    References: Chorowski et al. 2015, eq. 9.
    """
    return jnp.matmul(location_windows(weights, filters.shape[-2]), filters[..., None, :, :])


def _products(rows: Array, v: Array) -> Array:
    """Return the product of v and each row, as a matrix product; in a sum XLA would compute the rows several times."""
    return jnp.matmul(rows, v[..., None])[..., 0]
