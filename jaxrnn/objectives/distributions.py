"""Losses of probabilistic forecasts: a density, or some of its quantiles.

    Gaussian    L⁽ᵗ⁾ = Σᵢ [½ log 2π + log σᵢ + ½ ((yᵢ − μᵢ)/σᵢ)²]
    Student-t   L⁽ᵗ⁾ = −Σᵢ log t(yᵢ; μᵢ, σᵢ, νᵢ),   heavier tails, Gaussian as ν → ∞
    quantiles   L⁽ᵗ⁾ = mean over i and q of max(q e, (q − 1) e),   e = yᵢ − ŷᵢ(q)

The outputs of a network are unconstrained, so the parameters are functions of them, side by side along the last axis:

    Gaussian    o = (μ, s)           σ = softplus(s)
    Student-t   o = (μ, s, d)        σ = softplus(s),  ν = 2 + softplus(d), which has a variance
    quantiles   o = (ŷ(q₁), ŷ(q₂), …), the features of each level side by side

`as_gaussian` and `as_student_t` compute them.  `Feedback(cell, readout, "logits", fed_size=features)` feeds back μ
alone.  The mean is over the valid steps; a mask without a valid step is an error where it is known, and gives 0 under
`jit`.

References: Salinas, Flunkert, Gasthaus & Januschowski 2020, "DeepAR", §3.1 (softplus); Lange, Little & Taylor 1989
(Student-t errors); Koenker & Bassett 1978 (quantiles); Goodfellow et al. 2016, §6.2.2.
"""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from jaxrnn.core.arguments import known_values
from jaxrnn.core.checks import check_shape
from jaxrnn.objectives.valid_means import at_once, checked_outputs, in_full_precision, mean_over_steps, scalar


class Gaussian(NamedTuple):
    """Normal distributions, one for each feature of each step.

    >>> as_gaussian(jnp.zeros((7, 2, 6))).mean.shape
    (7, 2, 3)
    """

    mean: Float[Array, "..."]
    """μ, `[..., features]`."""
    scale: Float[Array, "..."]
    """σ, above 0."""


class StudentT(NamedTuple):
    """Student's t-distributions, one for each feature of each step.

    >>> as_student_t(jnp.zeros((7, 2, 9))).df.shape
    (7, 2, 3)
    """

    mean: Float[Array, "..."]
    """μ, `[..., features]`."""
    scale: Float[Array, "..."]
    """σ, above 0; the standard deviation is σ √(ν/(ν − 2))."""
    df: Float[Array, "..."]
    """ν, the degrees of freedom, above 2."""


def as_gaussian(outputs: Float[Array, "..."]) -> Gaussian:
    """Return the distributions of outputs (μ, s): σ = softplus(s).

    Args:
      outputs: `[..., 2·features]`, means first.

    Returns:
      `Gaussian(mean, scale)`, each `[..., features]`.

    Raises:
      ValueError: an odd number of outputs.

    >>> mean, scale = as_gaussian(jnp.array([5.0, 0.0]))
    >>> mean.tolist(), round(float(scale[0]), 3)  # log 2
    ([5.0], 0.693)

    References: Salinas et al. 2020, §3.1.
    """
    mean, scale = _parts(outputs, 2)
    return Gaussian(mean, jax.nn.softplus(scale))


def as_student_t(outputs: Float[Array, "..."]) -> StudentT:
    """Return the distributions of outputs (μ, s, d): σ = softplus(s), ν = 2 + softplus(d).

    Args:
      outputs: `[..., 3·features]`, means first.

    Returns:
      `StudentT(mean, scale, df)`, each `[..., features]`.

    Raises:
      ValueError: a number of outputs that three does not divide.

    >>> round(float(as_student_t(jnp.zeros(3)).df[0]), 3)
    2.693

    References: Salinas et al. 2020, §3.1.
    """
    mean, scale, df = _parts(outputs, 3)
    return StudentT(mean, jax.nn.softplus(scale), 2 + jax.nn.softplus(df))


def gaussian(
    outputs: Float[Array, "..."], targets: Float[Array, "..."], *, mask: Bool[Array, "..."] | None = None
) -> Float[Array, ""]:
    """Return −log N(y; μ, σ²), summed over features and averaged over valid steps.

    Args:
      outputs: (μ, s), `[time, *batch, 2·features]`; `as_gaussian` says how they are read.
      targets: y, `[time, *batch, features]`.
      mask: `[time, *batch]`, True on valid steps.

    Returns:
      The mean over the valid steps, in nats, in at least float32.

    Raises:
      TypeError: outputs that are not floating, a mask that is not boolean.
      ValueError: shapes that do not fit; a mask without a valid step, where it is known.

    >>> exact = jnp.array([[2.0, jnp.log(jnp.e - 1)]])  # σ = 1
    >>> round(float(gaussian(exact, jnp.array([[2.0]]))), 4)  # ½ log 2π
    0.9189

    References: Goodfellow et al. 2016, §6.2.2; Salinas et al. 2020.
    """
    outputs, targets, valid = _checked(outputs, targets, mask, 2)
    return scalar(_gaussian, outputs, targets, valid)


@at_once
def _gaussian(outputs, targets, mask):
    outputs, targets = in_full_precision(outputs, targets, mask)
    mean, scale = as_gaussian(outputs)
    return mean_over_steps(-jnp.sum(jax.scipy.stats.norm.logpdf(targets, mean, scale), axis=-1), mask)


def student_t(
    outputs: Float[Array, "..."], targets: Float[Array, "..."], *, mask: Bool[Array, "..."] | None = None
) -> Float[Array, ""]:
    """Return −log t(y; μ, σ, ν), summed over features and averaged over valid steps: outliers cost log |y|, not y².

    Args:
      outputs: (μ, s, d), `[time, *batch, 3·features]`; `as_student_t` says how they are read.
      targets: y, `[time, *batch, features]`.
      mask: `[time, *batch]`, True on valid steps.

    Returns:
      The mean over the valid steps, in nats, in at least float32.

    Raises:
      TypeError, ValueError: as `gaussian`.

    >>> outputs = jnp.array([[0.0, 0.0, 0.0]])
    >>> [round(float(student_t(outputs, jnp.array([[y]]))), 2) for y in (0.0, 10.0, 100.0)]
    [0.64, 8.7, 17.18]

    References: Lange, Little & Taylor 1989.
    """
    outputs, targets, valid = _checked(outputs, targets, mask, 3)
    return scalar(_student_t, outputs, targets, valid)


@at_once
def _student_t(outputs, targets, mask):
    outputs, targets = in_full_precision(outputs, targets, mask)
    mean, scale, df = as_student_t(outputs)
    return mean_over_steps(-jnp.sum(jax.scipy.stats.t.logpdf(targets, df, mean, scale), axis=-1), mask)


def quantile(
    outputs: Float[Array, "..."],
    targets: Float[Array, "..."],
    levels: Sequence[float],
    *,
    mask: Bool[Array, "..."] | None = None,
) -> Float[Array, ""]:
    """Return the pinball loss max(q e, (q − 1) e), e = y − ŷ(q), averaged over levels, features and valid steps.

    Its minimum over ŷ(q) is the q-quantile of y: the median for ½, where the loss is ½ |e|.

    Args:
      outputs: ŷ, `[time, *batch, levels·features]`: all features at the first level, then at the second, ….
      targets: y, `[time, *batch, features]`.
      levels: q, each in (0, 1).
      mask: `[time, *batch]`, True on valid steps.

    Returns:
      The mean over the valid steps, in at least float32.

    Raises:
      TypeError: outputs that are not floating, a mask that is not boolean.
      ValueError: a level outside (0, 1); shapes that do not fit; a mask without a valid step, where it is known.

    >>> outputs = jnp.array([[1.0, 1.0]])  # one feature at two levels
    >>> round(float(quantile(outputs, jnp.array([[2.0]]), (0.1, 0.9))), 3)  # (0.1 + 0.9)/2
    0.5

    References: Koenker & Bassett 1978.
    """
    levels = tuple(float(level) for level in levels)
    if not levels or not all(0 < level < 1 for level in levels):
        raise ValueError(f"`levels` must lie in (0, 1), at least one of them, got {levels}.")
    outputs, targets, valid = _checked(outputs, targets, mask, len(levels))
    return scalar(partial(_quantile, levels=levels), outputs, targets, valid)


@partial(jax.jit, inline=True, static_argnames="levels")
def _quantile(outputs, targets, mask, *, levels):
    outputs, targets = in_full_precision(outputs, targets, mask)
    losses = [
        jnp.maximum(q * (targets - y), (q - 1) * (targets - y))
        for q, y in zip(levels, _parts(outputs, len(levels)), strict=True)
    ]
    return mean_over_steps(jnp.mean(jnp.stack(losses), axis=(0, -1)), mask)


def _parts(outputs: Array, count: int) -> list[Array]:
    """Return the outputs in `count` equal parts."""
    outputs = jnp.asarray(outputs)
    if not outputs.ndim or outputs.shape[-1] % count:
        raise ValueError(
            f"`outputs` must have {count} numbers for every feature along the last axis, got shape {outputs.shape}."
        )
    return jnp.split(outputs, count, axis=-1)


def _checked(outputs: Array, targets: Array, mask, count: int) -> tuple[Array, Array, Array | None]:
    """Check the arguments of a loss with `count` outputs for every feature, and return them as arrays."""
    outputs, valid = checked_outputs("outputs", outputs, mask)
    size = _parts(outputs, count)[0].shape
    check_shape("targets", targets, size, f"[time, *batch, features], with {count} outputs for every feature")
    known = None if valid is None else known_values(valid)
    if known is not None and known.size and not np.any(known):
        raise ValueError("`mask` must be True on at least one step, got a series that is masked everywhere.")
    return outputs, jnp.asarray(targets), valid
