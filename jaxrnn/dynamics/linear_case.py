"""The linear case, which can be solved exactly: chapter 3.1, items 3 and 5, and 6.2.

    h⁽ᵗ⁾ = W h⁽ᵗ⁻¹⁾,      h⁽ᵗ⁾ = Wᵗ h⁽⁰⁾,      ∇_{h⁽⁰⁾}L = (Wᵀ)ᵗ ∇_{h⁽ᵗ⁾}L

For W = Q Λ Qᵀ, Q orthogonal, both grow along every column of Q as λᵗ.  More generally, for a *normal* W
(W Wᵀ = Wᵀ W) the singular values of Wᵗ are |λ|ᵗ, and a vector grows alike forwards and backwards.  For any other W
the eigenvalues determine the growth of Wᵗ only as t → ∞: with a spectral radius below 1 it can grow for a long time
before it fades, and forward growth, ‖Wᵗ v‖, need not imply backward growth, ‖(Wᵀ)ᵗ v‖.

Without recurrence, each of n steps has its own weight.  If the w⁽ᵗ⁾ are independent with mean 0 and variance v, the
product Π w⁽ᵗ⁾ has variance vⁿ exactly, so v = ⁿ√target gives the desired variance.

Corrections to the chapter: its ∇_{h⁽⁰⁾} lacks the transpose; its Λ is diagonal, not triangular; and its O(vⁿ) is vⁿ.

W acts on columns here, as in the chapter: it is the transpose of a cell's `params.w`.  The spectral radius, the rate
at which Wᵗ grows as t → ∞, is `jaxrnn.reservoirs.spectral_radius`.

References: Trefethen & Embree 2005, §14 (non-normal growth); Henrici 1962 (departure from normality);
Goodfellow, Bengio & Courville 2016, §10.7.
"""

import numbers
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxrnn.core.arguments import known_values
from jaxrnn.core.checks import check_shape, check_square
from jaxrnn.core.types import Key


class Growth(NamedTuple):
    """The growth of Wᵗ for t = 0 … steps.

    >>> Growth._fields[:2]
    ('forward', 'backward')
    """

    forward: Float[Array, "*batch steps"]
    """‖Wᵗ v‖."""
    backward: Float[Array, "*batch steps"]
    """‖(Wᵀ)ᵗ v‖."""
    singular_values: Float[Array, "*batch steps n"]
    """The singular values of Wᵗ, largest first."""
    eigenvalues: Float[Array, "*batch steps n"]
    """|λ|ᵗ, largest first, which are the singular values of a normal W."""


def growth(w: Float[Array, "*batch n n"], v: Float[Array, "*batch n"], steps: int) -> Growth:
    """Compute how Wᵗ amplifies signals and gradients.

    Args:
      w: W, `[*batch, n, n]`.
      v: the forward state and the backward gradient, `[*batch, n]`.
      steps: the largest t.

    Returns:
      `Growth`.

    Raises:
      ValueError: a W that is not square, a v of another shape, a number of steps below 0.

    >>> w = jnp.array([[0.5, 4.0], [0.0, 0.5]])  # not normal
    >>> g = growth(w, jnp.array([0.0, 1.0]), steps=2)
    >>> [[round(float(norm), 2) for norm in norms] for norms in (g.forward, g.backward)]  # only one grows at first
    [[1.0, 4.03, 4.01], [1.0, 0.5, 0.25]]

    References: chapter 3.1, item 3; Trefethen & Embree 2005.
    """
    check_square("w", w)
    check_shape("v", v, jnp.shape(w)[:-1], "[*batch, n], a vector for each `w`")
    _check_count(steps=steps)

    def powers(m):
        eye = jnp.broadcast_to(jnp.eye(m.shape[-1], dtype=m.dtype), m.shape)
        _, rest = jax.lax.scan(lambda p, _: (m @ p, m @ p), eye, length=steps)
        return jnp.concatenate([eye[None], rest])

    forward = powers(w)
    norms = [jnp.linalg.norm(jnp.einsum("t...ij,...j->t...i", p, v), axis=-1) for p in (forward, powers(w.mT))]
    magnitudes = jnp.sort(jnp.abs(jnp.linalg.eigvals(w)), axis=-1, descending=True)
    eigenvalues = magnitudes ** jnp.arange(steps + 1).reshape(-1, *[1] * magnitudes.ndim)
    singular = jnp.linalg.svd(forward, compute_uv=False)
    steps_last = [jnp.moveaxis(n, 0, -1) for n in norms]
    return Growth(*steps_last, *(jnp.moveaxis(a, 0, -2) for a in (singular, eigenvalues)))


def symmetric_power(w: Float[Array, "*batch n n"], t: int) -> Float[Array, "*batch n n"]:
    """Return Wᵗ = Q Λᵗ Qᵀ for a symmetric W.

    Args:
      w: W, `[*batch, n, n]`.
      t: the exponent.

    Returns:
      `[*batch, n, n]`.

    Raises:
      ValueError: a W that is not square, or not symmetric (checked outside `jit`).

    >>> symmetric_power(jnp.array([[0.0, 2.0], [2.0, 0.0]]), 2).round(4).tolist()
    [[4.0, 0.0], [0.0, 4.0]]

    References: chapter 3.1, item 3.
    """
    check_square("w", w)
    values = known_values(w)
    if values is not None and abs(values - values.swapaxes(-1, -2)).max(initial=0) > 1e-5 * abs(values).max(initial=0):
        raise ValueError("`w` must be symmetric, as W = Q Λ Qᵀ is; for another use `growth`.")
    eigenvalues, q = jnp.linalg.eigh(w)
    return (q * eigenvalues[..., None, :] ** t) @ q.mT


def departure_from_normality(w: Float[Array, "*batch n n"]) -> Float[Array, "*batch"]:
    """Return √(‖W‖_F² − Σ|λ|²) / ‖W‖_F: 0 for a normal W, near 1 if the eigenvalues say little.

    Args:
      w: W, `[*batch, n, n]`.

    Returns:
      `[*batch]`; 0 for W = 0.

    Raises:
      ValueError: a W that is not square.

    >>> rotation, shift = jnp.array([[0.0, 1.0], [-1.0, 0.0]]), jnp.array([[0.0, 1.0], [0.0, 0.0]])
    >>> [round(float(departure_from_normality(w)), 3) for w in (rotation, shift)]
    [0.0, 1.0]

    References: Henrici 1962.
    """
    check_square("w", w)
    frobenius = jnp.sum(w**2, axis=(-2, -1))
    missing = jnp.maximum(frobenius - jnp.sum(jnp.abs(jnp.linalg.eigvals(w)) ** 2, axis=-1), 0)
    return jnp.sqrt(missing / jnp.where(frobenius > 0, frobenius, 1))


def product_variance(v: Float[Array, "..."] | float, n: int | Int[Array, "..."]) -> Float[Array, "..."]:
    """Return vⁿ, the variance of a product of n independent weights with mean 0 and variance v.

    Args:
      v: the variance of a weight.
      n: the number of weights.

    Returns:
      A number.

    >>> float(product_variance(0.5, 4))
    0.0625

    References: chapter 3.1, item 5.
    """
    return jnp.asarray(v, float) ** n


def weight_variance(target: Float[Array, "..."] | float, n: int | Int[Array, "..."]) -> Float[Array, "..."]:
    """Return ⁿ√target, the variance of each of n weights whose product has variance `target`.

    Args:
      target: the variance of the product.
      n: the number of weights.

    Returns:
      A number.

    >>> float(weight_variance(0.0625, 4))
    0.5
    """
    return jnp.asarray(target, float) ** (1 / n)


def sample_products(key: Key, v: float, n: int, samples: int) -> Float[Array, "samples n"]:
    """Draw products Π w⁽ᵗ⁾ of normal weights with variance v, after 1, 2, … n factors.

    Args:
      key: a key.
      v: the variance of a weight.
      n: the number of factors.
      samples: the number of draws.

    Returns:
      `[samples, n]`.

    Raises:
      ValueError: a number below 0.

    >>> sample_products(jax.random.key(0), 1.0, 5, 100).shape
    (100, 5)
    """
    _check_count(n=n, samples=samples)
    return jnp.cumprod(jnp.sqrt(v) * jax.random.normal(key, (samples, n)), axis=-1)


def _check_count(**counts: int) -> None:
    for name, count in counts.items():
        if not isinstance(count, numbers.Integral) or count < 0:
            raise ValueError(f"`{name}` must be an integer of at least 0, got {count!r}.")
