"""How one symbol is chosen from its logits: chapter, section 2.5.1.

    p ∝ exp(o / T),    then only the k likeliest,    then only the nucleus:

the fewest likeliest symbols whose probabilities sum to at least p.  What is left is drawn from as it
stands, by argmax(o + Gumbel noise), so a symbol that was left out cannot be drawn.

Each piece is a function from logits to logits; `Sampling` and `Greedy` are the values that the loops of
`jaxrnn.generation.decoding` take.

T → `temperature`, k → `top_k`, p → `top_p`.

References: Ackley, Hinton & Sejnowski 1985, §2 (temperature); Fan, Lewis & Dauphin 2018, §5 (top-k);
Holtzman et al. 2020, §3 (nucleus, top-p); Maddison, Tarlow & Minka 2014, §2 (the Gumbel trick).
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
    """(o − max o)/T: the distribution ∝ pᵀ⁻¹, with finite logits however small T is.

    Args:
      logits: o.
      temperature: T > 0.  T → 0 draws from the likeliest symbols alone, and that is also what a T ≤ 0
        gives whose value is not known (under `jit`).

    Raises:
      TypeError: T is text.
      ValueError: T ≤ 0 or not a number, where the value is known.

    >>> p = jax.nn.softmax(with_temperature(jnp.log(jnp.array([0.8, 0.2])), 0.5))  # ∝ p²
    >>> round(float(p[0]), 4)
    0.9412
    """
    _check_temperature(temperature)
    temperature = jnp.maximum(jnp.asarray(temperature, logits.dtype), jnp.finfo(logits.dtype).tiny)
    return (logits - jnp.max(logits, axis=-1, keepdims=True)) / temperature


def keep_top_k(logits: Float[Array, "... n"], k: int) -> Float[Array, "... n"]:
    """−∞ for all but the k likeliest, and those that are as likely as the k-th; k ≥ n keeps all.

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
    """−∞ for all but the fewest likeliest whose probabilities sum to at least p, and those as likely as the last.

    The likeliest symbol is always kept; p = 1 keeps all.

    Raises:
      TypeError: p is text.
      ValueError: p outside (0, 1], where the value is known.

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
    """Draw: y ~ softmax(keep_top_p(keep_top_k(o / T, k), p)).

    A stop unit and a predicted length are drawn from their own probabilities: temperature, top-k and top-p
    are for symbols.

    Args:
      temperature: T > 0; 1 is the model's own distribution.  For T = 0 there is `greedy`.
      top_k: k ≥ 1; None is all.
      top_p: p in (0, 1]; None is 1.

    Raises:
      TypeError: text in the place of a number.
      ValueError: a value out of its range.

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
        """One draw from the symbols' logits."""
        logits = with_temperature(logits, self.temperature)
        logits = logits if self.top_k is None else keep_top_k(logits, self.top_k)
        logits = logits if self.top_p is None else keep_top_p(logits, self.top_p)
        return jax.random.categorical(key, logits).astype(jnp.int32)

    def stops(self, key: Key, logit: Float[Array, ""]) -> Bool[Array, ""]:
        """True with probability σ(logit): always at +∞, never at −∞."""
        return jax.random.uniform(key, dtype=logit.dtype) < jax.nn.sigmoid(logit)

    def length(self, key: Key, logits: Float[Array, " longest"]) -> Int[Array, ""]:
        """τ ~ softmax(logits), from 1."""
        return jax.random.categorical(key, logits).astype(jnp.int32) + 1


@jax.tree_util.register_static
@dataclass(frozen=True)
class Greedy:
    """The likeliest, at every choice: `Sampling` at T → 0.  The key is not looked at.

    >>> int(Greedy().symbol(jax.random.key(0), jnp.array([0.0, 3.0, 1.0])))
    1
    """

    def symbol(self, key: Key, logits: Float[Array, " n"]) -> Int[Array, ""]:
        """argmax o."""
        return jnp.argmax(logits).astype(jnp.int32)

    def stops(self, key: Key, logit: Float[Array, ""]) -> Bool[Array, ""]:
        """σ(logit) > ½."""
        return logit > 0

    def length(self, key: Key, logits: Float[Array, " longest"]) -> Int[Array, ""]:
        """The likeliest τ, from 1."""
        return jnp.argmax(logits).astype(jnp.int32) + 1


def _known(name: str, value) -> float | None:
    """A number, where it is one: a pytree's leaf may be a tracer, or anything that stands for a leaf, but no text."""
    if isinstance(value, str):
        raise TypeError(f"`{name}` must be a number, got {value!r}. Turn it into one: float(text).")
    if isinstance(value, jax.core.Tracer) or not isinstance(value, numbers.Real | np.ndarray | jax.Array):
        return None
    return float(value)


def _check_temperature(temperature) -> None:
    known = _known("temperature", temperature)
    if known is not None and not known > 0:
        raise ValueError(f"`temperature` must be above 0, got {known}. For the likeliest symbol at every step: greedy.")


def _check_top_p(top_p) -> None:
    known = _known("top_p", top_p)
    if known is not None and not 0 < known <= 1:
        raise ValueError(f"`top_p` must lie in (0, 1], got {known}.")
