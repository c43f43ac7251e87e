"""Masks of connections: sparse, by areas, without self-connections, or your own.

    w_ij = m_ij raw_ij,          m_ij ∈ {0, 1}

m is drawn from a seed, which is a field, as with the wiring of a `Reservoir`.  Equal constraints therefore have equal
connections in every process, and an optimizer cannot change the mask.  A mask `[a, b]` applies to a weight
`[a, gates·b]`, with one copy for each gate.

References: Song, Yang & Wang 2016, equation 12; Kim, Li & Sejnowski 2019; Kleinman, Chandrasekaran & Kao 2021 (areas);
chapter 6.2 (sparse connections).
"""

from dataclasses import dataclass
from numbers import Real

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool

from jaxrnn.core.checks import check_positive
from jaxrnn.core.types import Key


@jax.tree_util.register_static
@dataclass(frozen=True)
class Sparse:
    """Connections that exist with equal probability.

    Args:
      density: the probability.
      seed: another number gives other connections.
      at: the parameter.

    Raises:
      ValueError: a probability outside [0, 1].

    >>> w = Sparse(0.1).apply(jnp.ones((100, 100)))
    >>> bool(abs(w.mean() - 0.1) < 0.01)
    True

    References: Song, Yang & Wang 2016.
    """

    density: float
    seed: int = 0
    at: str = "w"

    def __post_init__(self):
        _check_probability("density", self.density)

    def init(self, key: Key, weight: Array) -> Array:
        """Return the weight that was drawn, without the connections that do not exist."""
        return self.apply(weight)

    def apply(self, raw: Array) -> Array:
        """Return the weight with 0 where no connection is; each gate has its own connections."""
        kept = np.random.default_rng(self.seed).random(raw.shape[-2:]) < self.density
        return jnp.where(kept, raw, 0)


@jax.tree_util.register_static
@dataclass(frozen=True)
class NoSelfConnections:
    """A weight without self-connections: w_ii = 0, in every gate.

    Args:
      at: the parameter.

    >>> NoSelfConnections().apply(jnp.ones((2, 2))).tolist()
    [[0.0, 1.0], [1.0, 0.0]]

    References: Song, Yang & Wang 2016, equation 12.
    """

    at: str = "w"

    def init(self, key: Key, weight: Array) -> Array:
        """Return the weight that was drawn, without the connections that do not exist."""
        return self.apply(weight)

    def apply(self, raw: Array) -> Array:
        """Return the weight with 0 on the diagonal of each gate."""
        n = raw.shape[-2]
        return jnp.where(_per_gate(~np.eye(n, dtype=bool), raw, self.at), raw, 0)


@jax.tree_util.register_static
@dataclass(frozen=True)
class Areas:
    """Groups of units with their own density of connections inside and between them.

    Args:
      sizes: the number of units of each area.
      densities: `densities[a][b]` is the probability of a connection from a unit of area a to one of area b.
      seed: another number gives other connections.
      at: the parameter.

    Raises:
      ValueError: a size below 1; a table that is not areas × areas; a probability outside [0, 1]; when it is used,
        sizes that do not add up to the number of units.

    >>> areas = Areas(sizes=(3, 2), densities=((1.0, 0.0), (0.5, 1.0)))  # nothing goes from the first to the second
    >>> areas.apply(jnp.ones((5, 5)))[:3].astype(int).tolist()
    [[1, 1, 1, 0, 0], [1, 1, 1, 0, 0], [1, 1, 1, 0, 0]]

    References: Song, Yang & Wang 2016 (several areas); Kleinman, Chandrasekaran & Kao 2021.
    """

    sizes: tuple[int, ...]
    densities: tuple[tuple[float, ...], ...]
    seed: int = 0
    at: str = "w"

    def __post_init__(self):
        for size in self.sizes:
            check_positive(sizes=size)
        n = len(self.sizes)
        if len(self.densities) != n or any(len(row) != n for row in self.densities):
            raise ValueError(f"`densities` must be a table of {n} × {n}, one row per area, got {self.densities!r}.")
        for density in sum(self.densities, ()):
            _check_probability("densities", density)

    def init(self, key: Key, weight: Array) -> Array:
        """Return the weight that was drawn, without the connections that do not exist."""
        return self.apply(weight)

    def apply(self, raw: Array) -> Array:
        """Return the weight with 0 where no connection is."""
        return jnp.where(_per_gate(self.mask, raw, self.at), raw, 0)

    @property
    def mask(self) -> Bool[np.ndarray, "units units"]:
        """True where a connection is."""
        of_unit = np.repeat(np.arange(len(self.sizes)), self.sizes)
        density = np.asarray(self.densities)[of_unit[:, None], of_unit]
        return np.random.default_rng(self.seed).random(density.shape) < density


@jax.tree_util.register_static
@dataclass(frozen=True)
class Mask:
    """A given mask: `Mask.of(array)`.

    Args:
      shape: the shape of the mask.
      bits: its entries, packed as `numpy.packbits` does it, in hexadecimal digits.
      at: the parameter.

    >>> readable = Mask.of(np.array([[True, False], [True, True]]))
    >>> readable.apply(jnp.full((2, 2), 3.0)).tolist()
    [[3.0, 0.0], [3.0, 3.0]]
    >>> readable == Mask.of(np.array([[True, False], [True, True]]))  # a value: no new compilation
    True

    References: Song, Yang & Wang 2016, equation 12.
    """

    shape: tuple[int, ...]
    bits: str
    at: str = "w"

    @classmethod
    def of(cls, mask: np.ndarray | Array, at: str = "w") -> "Mask":
        """Return the constraint with this mask, `[from, to]`, True where a connection is.

        Raises:
          ValueError: an array that is not boolean with two axes.
        """
        array = np.asarray(mask)
        if array.dtype != bool or array.ndim != 2:
            raise ValueError(f"`mask` must be boolean, [from, to], got {array.dtype} of shape {array.shape}.")
        return cls(array.shape, np.packbits(array).tobytes().hex(), at)

    def __repr__(self) -> str:
        return f"Mask.of({'×'.join(map(str, self.shape))}, {self.mask.mean():.0%} connected, at={self.at!r})"

    @property
    def mask(self) -> Bool[np.ndarray, "a b"]:
        """The mask as an array."""
        count = int(np.prod(self.shape))
        return (
            np.unpackbits(np.frombuffer(bytes.fromhex(self.bits), np.uint8), count=count)
            .astype(bool)
            .reshape(self.shape)
        )

    def init(self, key: Key, weight: Array) -> Array:
        """Return the weight that was drawn, without the connections that do not exist."""
        return self.apply(weight)

    def apply(self, raw: Array) -> Array:
        """Return the weight with 0 where the mask is False."""
        return jnp.where(_per_gate(self.mask, raw, self.at), raw, 0)


def _per_gate(mask: np.ndarray, weight: Array, at: str) -> np.ndarray:
    """Return the mask, repeated for each gate of the weight."""
    (a, b), (rows, columns) = mask.shape, weight.shape[-2:]
    if rows != a or columns % b:
        raise ValueError(f"`{at}` must have shape [{a}, gates·{b}] for the mask of {a} × {b}, got {weight.shape}.")
    return np.tile(mask, columns // b)


def _check_probability(name: str, value: float) -> None:
    if not isinstance(value, Real) or not 0 <= value <= 1:
        raise ValueError(f"`{name}` must be a probability, in [0, 1], got {value!r}.")
