"""Recurrent weights of low rank: W = m nᵀ / N.

    W x = Σ_k m⁽ᵏ⁾ (n⁽ᵏ⁾ · x) / N,            k = 1 … R

The output vectors m⁽ᵏ⁾ span the space of the recurrent input, and the input-selection vectors n⁽ᵏ⁾ say which patterns
of rates drive it.  The R × R matrix of overlaps

    J = nᵀ m / N

has the nonzero eigenvalues of W, and determines the dynamics of a linear network.

m, n → `Factors.m`, `.n`; w = Wᵀ = n mᵀ / N, because inputs are row vectors.

References: Mastrogiuseppe & Ostojic 2018, "Linking connectivity, dynamics, and computations in low-rank recurrent
neural networks"; Dubreuil, Valente, Beiran, Mastrogiuseppe & Ostojic 2022; chapter 3.1 (powers of W).
"""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxrnn.core.arguments import as_array
from jaxrnn.core.checks import check_positive, check_square
from jaxrnn.core.types import Key


class Factors(NamedTuple):
    """The raw value of a weight of low rank.

    >>> factors = Factors(m=jnp.array([[1.0], [1.0]]), n=jnp.array([[2.0], [0.0]]))
    >>> factors.overlaps.tolist()
    [[1.0]]
    """

    m: Float[Array, "to rank"]
    """The output vectors."""
    n: Float[Array, "from rank"]
    """The input-selection vectors."""

    @property
    def overlaps(self) -> Float[Array, "rank rank"]:
        """nᵀ m / N, whose eigenvalues are the nonzero eigenvalues of W."""
        return self.n.T @ self.m / self.n.shape[-2]


@jax.tree_util.register_static
@dataclass(frozen=True)
class LowRank:
    """The weight n mᵀ / N with learned m and n.  It must be the first constraint on its parameter.

    Args:
      rank: R.
      at: the parameter.

    Raises:
      ValueError: a rank below 1; when it is used, one above the size of the weight.

    >>> from jaxrnn.cells.continuous import RateNetwork
    >>> from jaxrnn.constraints import Constraints
    >>> constraints, key = Constraints((LowRank(2),)), jax.random.key(0)
    >>> raw = constraints.init(key, RateNetwork(3, 100).init(key))
    >>> int(jnp.linalg.matrix_rank(constraints.apply(raw).w)), raw.w.overlaps.shape
    (2, (2, 2))

    References: Mastrogiuseppe & Ostojic 2018.
    """

    rank: int
    at: str = "w"

    def __post_init__(self):
        check_positive(rank=self.rank)

    def init(self, key: Key, weight: Array) -> Factors:
        """Draw m and n independently from N(0, 1); the overlaps are of the order 1/√N."""
        if self.rank > min(weight.shape[-2:]):
            raise ValueError(
                f"`rank` must be at most {min(weight.shape[-2:])}, the size of `{self.at}`, got {self.rank}."
            )
        m_key, n_key = jax.random.split(key)
        (*batch, rows, columns), dtype = weight.shape, weight.dtype
        m = jax.random.normal(m_key, (*batch, columns, self.rank), dtype)
        return Factors(m, jax.random.normal(n_key, (*batch, rows, self.rank), dtype))

    def apply(self, raw: Factors) -> Array:
        """Return n mᵀ / N."""
        if not isinstance(raw, Factors):
            raise TypeError(
                f"`{self.at}` must hold Factors(m, n), as `init` returns it, got {type(raw).__name__}. "
                "LowRank is the first of the constraints on its parameter."
            )
        return raw.n @ jnp.swapaxes(raw.m, -1, -2) / raw.n.shape[-2]

    def scaled(self, raw: Factors, columns: Array) -> Factors:
        """Return the factors whose product has its columns multiplied by these numbers."""
        return raw._replace(m=raw.m * jnp.swapaxes(columns, -1, -2))


def gaussian_factors(key: Key, units: int, overlaps: Float[Array, "rank rank"] | float) -> Factors:
    """Draw m and n with the given overlaps nᵀ m / N, exactly.

    m has independent standard normal entries; n = m Jᵀ plus a standard normal part orthogonal to m.

    Args:
      key: a key.
      units: N.
      overlaps: J, `[rank, rank]`, or a number for rank 1.

    Returns:
      The factors, to use as a raw weight.

    Raises:
      ValueError: overlaps that are not square; more of them than half the units.

    >>> factors = gaussian_factors(jax.random.key(0), 100, jnp.array([[1.5, 0.5], [-0.5, 1.5]]))
    >>> bool(jnp.allclose(factors.overlaps, jnp.array([[1.5, 0.5], [-0.5, 1.5]]), atol=1e-5))
    True

    References: Mastrogiuseppe & Ostojic 2018; Beiran, Dubreuil, Valente, Mastrogiuseppe & Ostojic 2021.
    """
    asked = jnp.atleast_2d(as_array("overlaps", overlaps, "numbers"))
    check_square("overlaps", asked)
    check_positive(units=units)
    rank = asked.shape[-1]
    if 2 * rank > units:
        raise ValueError(f"`overlaps` must be of at most {units // 2} vectors for {units} units, got {rank}.")
    m_key, n_key = jax.random.split(key)
    m = jax.random.normal(m_key, (units, rank))
    free = jax.random.normal(n_key, (units, rank))
    gram = m.T @ m
    inside = jnp.linalg.solve(gram, units * asked.T - m.T @ free)
    return Factors(m, free + m @ inside)
