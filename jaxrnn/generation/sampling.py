"""Choosing one symbol from its logits.

    p ∝ exp(o / T),    restricted to the k likeliest,    then to the nucleus

The nucleus is the smallest set of likeliest symbols whose probabilities sum to at least p.  A symbol is drawn from the
rest by argmax(o + Gumbel noise), so an excluded symbol cannot be drawn.

Each restriction is a function from logits to logits.  `Sampling` and `Greedy` are values that `jaxrnn.sample` and its
kin take.

T → `temperature`, k → `top_k`, p → `top_p`.

References: Ackley, Hinton & Sejnowski 1985, §2 (temperature); Fan, Lewis & Dauphin 2018, §5 (top-k);
Holtzman et al. 2020, §3 (nucleus, top-p); Maddison, Tarlow & Minka 2014, §2 (the Gumbel trick);
chapter 2.5.1.
"""

import numbers
from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from jaxrnn.core.checks import check_positive
from jaxrnn.core.types import Key


def with_temperature(logits: Float[Array, "... n"], temperature: float | Float[Array, ""]) -> Float[Array, "... n"]:
    """Return (o − max o)/T, the logits of the distribution ∝ p^(1/T), finite for any small T.

    Args:
      logits: o, `[..., symbols]`.
      temperature: T > 0.  As T → 0 only the likeliest symbols remain; under `jit`, where T cannot be checked, T ≤ 0
        does the same.

    Returns:
      Logits of the same shape.

    Raises:
      TypeError: T is text.
      ValueError: T ≤ 0 or not a number (checked outside `jit`).

    >>> p = jax.nn.softmax(with_temperature(jnp.log(jnp.array([0.8, 0.2])), 0.5))  # ∝ p²
    >>> round(float(p[0]), 4)
    0.9412
    """
    _check_temperature(temperature)
    temperature = jnp.maximum(jnp.asarray(temperature, logits.dtype), jnp.finfo(logits.dtype).tiny)
    return (logits - jnp.max(logits, axis=-1, keepdims=True)) / temperature


def keep_top_k(logits: Float[Array, "... n"], k: int) -> Float[Array, "... n"]:
    """Set all logits to −∞ except the k largest and those equal to the k-th.

    Args:
      logits: o, `[..., symbols]`.
      k: the number of symbols to keep; a k beyond the number of symbols keeps all.

    Returns:
      Logits of the same shape.

    Raises:
      ValueError: k is not an integer of at least 1.

    >>> keep_top_k(jnp.array([3.0, 1.0, 2.0]), 2)
    Array([  3., -inf,   2.], dtype=float32)
    """
    check_positive(top_k=k)
    if k >= logits.shape[-1]:
        return logits
    return jnp.where(logits < jax.lax.top_k(logits, k)[0][..., -1:], -jnp.inf, logits)


def keep_top_p(logits: Float[Array, "... n"], p: float | Float[Array, ""]) -> Float[Array, "... n"]:
    """Set all logits to −∞ except those of the nucleus and those equal to its least likely symbol.

    The likeliest symbol is always kept, and p = 1 keeps all.

    Args:
      logits: o, `[..., symbols]`.
      p: the least probability of the nucleus, in (0, 1].

    Returns:
      Logits of the same shape.

    Raises:
      TypeError: p is text.
      ValueError: p outside (0, 1] (checked outside `jit`).

    >>> jnp.exp(keep_top_p(jnp.log(jnp.array([0.5, 0.125, 0.25])), 0.6)).round(3)
    Array([0.5 , 0.  , 0.25], dtype=float32)
    """
    _check_top_p(p)
    ordered = -jnp.sort(-logits, axis=-1)
    probabilities = jax.nn.softmax(ordered, axis=-1)
    before = jnp.cumsum(probabilities, axis=-1) - probabilities
    kept = (before < p).at[..., 0].set(True)
    least = jnp.min(jnp.where(kept, ordered, jnp.inf), axis=-1, keepdims=True)
    return jnp.where((logits >= least) | (jnp.asarray(p) >= 1), logits, -jnp.inf)  # 1: rounding must not cut the tail


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Sampling:
    """Random choice: y ~ softmax(keep_top_p(keep_top_k(o / T, k), p)).

    Temperature, top-k and top-p apply to symbols; a stop unit and a predicted length are drawn from their own
    probabilities.

    Args:
      temperature: T > 0; 1 is the distribution of the model.  For T = 0 use `greedy`.
      top_k: k ≥ 1; None keeps all.
      top_p: p in (0, 1]; None keeps all.

    Raises:
      TypeError: text instead of a number.
      ValueError: a value out of range.

    >>> int(Sampling(top_k=1).symbol(jax.random.key(0), jnp.array([0.0, 3.0, 1.0])))
    1

    References: Holtzman et al. 2020.
    """

    temperature: float | Float[Array, ""] = 1.0
    top_k: int | None = field(default=None, metadata={"static": True})
    top_p: float | Float[Array, ""] | None = None

    def __post_init__(self):
        if self.top_k is not None:
            check_positive(top_k=self.top_k)
        _check_temperature(self.temperature)
        _check_top_p(self.top_p)

    def symbol(self, key: Key, logits: Float[Array, " n"]) -> Int[Array, ""]:
        """Draw a symbol from its logits."""
        logits = with_temperature(logits, self.temperature)
        logits = logits if self.top_k is None else keep_top_k(logits, self.top_k)
        logits = logits if self.top_p is None else keep_top_p(logits, self.top_p)
        return jax.random.categorical(key, logits).astype(jnp.int32)

    def stops(self, key: Key, logit: Float[Array, ""]) -> Bool[Array, ""]:
        """Return True with probability σ(logit): always at +∞, never at −∞."""
        return jax.random.uniform(key, dtype=logit.dtype) < jax.nn.sigmoid(logit)

    def length(self, key: Key, logits: Float[Array, " longest"]) -> Int[Array, ""]:
        """Draw τ ~ softmax(logits), counted from 1."""
        return jax.random.categorical(key, logits).astype(jnp.int32) + 1


@jax.tree_util.register_static
@dataclass(frozen=True)
class Greedy:
    """Deterministic choice of the likeliest: the limit of `Sampling` for T → 0.  The key is ignored.

    >>> int(Greedy().symbol(jax.random.key(0), jnp.array([0.0, 3.0, 1.0])))
    1
    """

    def symbol(self, key: Key, logits: Float[Array, " n"]) -> Int[Array, ""]:
        """Return argmax o."""
        return jnp.argmax(logits).astype(jnp.int32)

    def stops(self, key: Key, logit: Float[Array, ""]) -> Bool[Array, ""]:
        """Return whether σ(logit) > ½."""
        return logit > 0

    def length(self, key: Key, logits: Float[Array, " longest"]) -> Int[Array, ""]:
        """Return the likeliest τ, counted from 1."""
        return jnp.argmax(logits).astype(jnp.int32) + 1


def _known(name: str, value) -> float | None:
    """Return a known number as a float, None for a tracer or another leaf of a pytree; raise TypeError for text."""
    if isinstance(value, str):
        raise TypeError(f"`{name}` must be a number, got {value!r}. Turn it into one: float(text).")
    if isinstance(value, jax.core.Tracer) or not isinstance(value, numbers.Real | np.ndarray | jax.Array):
        return None
    return float(value)


def _check_temperature(temperature) -> None:
    known = _known("temperature", temperature)
    if known is not None and not known > 0:
        raise ValueError(f"`temperature` must be above 0, got {known}. For the likeliest symbols use greedy.")


def _check_top_p(top_p) -> None:
    known = _known("top_p", top_p)
    if known is not None and not 0 < known <= 1:
        raise ValueError(f"`top_p` must lie in (0, 1], got {known}.")
