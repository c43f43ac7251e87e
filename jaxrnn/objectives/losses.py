"""Masked losses of logits.

    L = (1/n) Σ_{t valid} L⁽ᵗ⁾,          n the number of valid steps

    cross-entropy   L⁽ᵗ⁾ = −Σᵢ yᵢ⁽ᵗ⁾ log ŷᵢ⁽ᵗ⁾ = −log ŷ⁽ᵗ⁾_{l_t},   ŷ = softmax(o)
    squared error   L⁽ᵗ⁾ = Σᵢ (oᵢ⁽ᵗ⁾ − yᵢ⁽ᵗ⁾)² / features
    Bernoulli       L⁽ᵗ⁾ = −Σᵢ [yᵢ log σ(oᵢ) + (1 − yᵢ) log(1 − σ(oᵢ))]

`jax.grad` computes 2.2.1, ∇_{o⁽ᵗ⁾}L = (ŷ⁽ᵗ⁾ − y⁽ᵗ⁾)/n.  The chapter's L is the sum over t.  The mean over valid steps
has the same direction, with a step size that does not depend on the lengths.  Without any valid step the loss and its
gradient are 0.

Every loss takes logits and is masked by `where` before and after: values on padding, NaN included, reach neither the
loss nor a gradient.

Correction to the chapter: its 2.2 says that L⁽ᵗ⁾ *is* the component of ŷ; it is −log of it.

o → `logits` (or `outputs`), y, l → `targets`.

References: Goodfellow, Bengio & Courville 2016, §10.2; chapter 2.2 and 2.4.
"""

import jax
import jax.numpy as jnp
import optax
from jax.sharding import PartitionSpec
from jaxtyping import Array, Bool, Float, Shaped

from jaxrnn.core.arguments import as_array
from jaxrnn.core.checks import check_range, check_shape
from jaxrnn.core.precision import accumulator
from jaxrnn.machines.meshes import spec_of, spread
from jaxrnn.objectives.valid_means import at_once, checked_outputs, clean, in_full_precision, mean_over_steps, scalar


def cross_entropy(
    logits: Float[Array, "..."], targets: Shaped[Array, "..."], *, mask: Bool[Array, "..."] | None = None
) -> Float[Array, ""]:
    """Return the cross-entropy −log ŷ_l, or −Σᵢ yᵢ log ŷᵢ, in nats, averaged over valid steps.

    Args:
      logits: o, `[time, *batch, classes]`.
      targets: either the true classes l, integers `[time, *batch]` in 0 … classes − 1, or
        distributions y, floating `[time, *batch, classes]`.
      mask: `[time, *batch]`, True on valid steps.

    Returns:
      The mean over the valid steps, 0 if there is none, in at least float32.

    Raises:
      TypeError: logits that are not floating, a mask that is not boolean.
      ValueError: a wrong shape; a class out of range on a valid step (where the values are known; under
        `jit` such a step makes the loss NaN, it is never clamped).

    >>> logits = jnp.log(jnp.array([[0.25, 0.75], [0.5, 0.5]]))
    >>> round(float(cross_entropy(logits, jnp.array([1, 0]))), 4)  # −(log 0.75 + log 0.5)/2
    0.4904

    References: chapter 2.2.1 and 2.4.
    """
    logits, valid = checked_outputs("logits", logits, mask)
    targets = as_array("targets", targets, "classes or probabilities")
    if jnp.issubdtype(targets.dtype, jnp.integer):
        _check_classes(logits, targets, mask)
        return scalar(_mean_of_classes, logits, targets, valid)
    check_shape("targets", targets, logits.shape, "that of `logits`; or integers without its last axis")
    return scalar(_mean_of_distributions, logits, targets, valid)


@at_once
def _mean_of_classes(logits, targets, mask):
    return mean_over_steps(-_at_classes(logits, targets, mask), mask)


@at_once
def _mean_of_distributions(logits, targets, mask):
    logits, y = in_full_precision(logits, targets, mask)
    products = jnp.where(y == 0, 0, y * jax.nn.log_softmax(logits, axis=-1))
    return mean_over_steps(-jnp.sum(products, axis=-1), mask)


def sequence_log_probability(
    logits: Float[Array, "..."], targets: Shaped[Array, "..."], *, mask: Bool[Array, "..."] | None = None
) -> Float[Array, "..."]:
    """Return log P(y⁽¹⁾ … y⁽τ⁾ | x) = Σₜ log ŷ⁽ᵗ⁾ at y⁽ᵗ⁾ for each row.

    The network that produced the logits determines whether this is Σ log p(y⁽ᵗ⁾ | x⁽¹⁾ … x⁽ᵗ⁾) or
    Σ log p(y⁽ᵗ⁾ | x⁽¹⁾ … x⁽ᵗ⁾, y⁽¹⁾ … y⁽ᵗ⁻¹⁾).

    Args:
      logits: o, `[time, *batch, classes]`.
      targets: the true classes y, integers `[time, *batch]`.
      mask: `[time, *batch]`, True on valid steps.

    Returns:
      The sum over the valid steps of each row, `[*batch]`, in nats; 0 for a row that has none.

    Raises:
      TypeError, ValueError: as `cross_entropy`; and for targets that are not integers.

    >>> float(jnp.exp(sequence_log_probability(jnp.zeros((3, 2)), jnp.array([0, 1, 1]))))
    0.125

    References: chapter 2.3, item 3, and 2.4, item 3.
    """
    logits, valid = checked_outputs("logits", logits, mask)
    targets = as_array("targets", targets, "classes")
    if not jnp.issubdtype(targets.dtype, jnp.integer):
        raise TypeError(f"`targets` must be integers, the true classes, got {targets.dtype}.")
    _check_classes(logits, targets, mask)
    rows = PartitionSpec(*spec_of(logits)[1:-1])
    return spread(_sum_of_classes, lambda _: rows, logits, targets, valid)


@at_once
def _sum_of_classes(logits, targets, mask):
    log_p = _at_classes(logits, targets, mask)
    return jnp.sum(log_p if mask is None else jnp.where(mask, log_p, 0), axis=0)


def squared_error(
    outputs: Float[Array, "..."], targets: Float[Array, "..."], *, mask: Bool[Array, "..."] | None = None
) -> Float[Array, ""]:
    """Return (o − y)², averaged over features and valid steps: the Gaussian log-likelihood of unit variance.

    Args:
      outputs: o, `[time, *batch, features]`.
      targets: y, of the same shape.
      mask: `[time, *batch]`, True on valid steps.

    Returns:
      The mean over the valid steps and the features, 0 if no step is valid, in at least float32.

    Raises:
      TypeError: outputs that are not floating, a mask that is not boolean.
      ValueError: shapes that differ: `[n, 1]` against `[n]` is an error, not an n × n table.

    >>> float(squared_error(jnp.array([[1.0], [3.0]]), jnp.array([[1.0], [1.0]])))
    2.0

    References: chapter 2.4, item 2.
    """
    outputs, valid = checked_outputs("outputs", outputs, mask)
    check_shape("targets", targets, outputs.shape, "that of `outputs`")
    return scalar(_squared_error, outputs, jnp.asarray(targets), valid)


@at_once
def _squared_error(outputs, targets, mask):
    outputs, targets = in_full_precision(outputs, targets, mask)
    return mean_over_steps(jnp.mean((outputs - targets) ** 2, axis=-1), mask)


def bernoulli(
    logits: Float[Array, "..."], targets: Shaped[Array, "..."], *, mask: Bool[Array, "..."] | None = None
) -> Float[Array, ""]:
    """Return −log p of independent binary features, p = σ(o), summed over features and averaged over valid steps.

    Args:
      logits: o, `[time, *batch, features]`.
      targets: y in [0, 1] (or booleans), of the same shape.
      mask: `[time, *batch]`, True on valid steps.

    Returns:
      The mean over the valid steps of the sum over features, in nats, 0 if no step is valid.

    Raises:
      TypeError: logits that are not floating, a mask that is not boolean.
      ValueError: shapes that differ; a target outside [0, 1] on a valid step, where the values are known.

    >>> round(float(bernoulli(jnp.zeros((4, 3)), jnp.ones((4, 3)))), 4)  # 3 log 2
    2.0794

    References: chapter 2.6 (the stop unit); Boulanger-Lewandowski, Bengio & Vincent 2012, §2.
    """
    logits, valid = checked_outputs("logits", logits, mask)
    check_shape("targets", targets, logits.shape, "that of `logits`")
    check_range("targets", targets, 0, 1, mask)
    return scalar(_bernoulli, logits, jnp.asarray(targets), valid)


@at_once
def _bernoulli(logits, targets, mask):
    logits, y = in_full_precision(logits, targets, mask)
    return mean_over_steps(jnp.sum(optax.sigmoid_binary_cross_entropy(logits, y), axis=-1), mask)


def perplexity(nats: Float[Array, ""]) -> Float[Array, ""]:
    """Return the perplexity e^L: the number of equally likely choices with the same uncertainty.

    Args:
      nats: a cross-entropy L in nats.

    Returns:
      A scalar.

    >>> round(float(perplexity(cross_entropy(jnp.zeros((5, 8)), jnp.arange(5)))), 4)
    8.0
    """
    return jnp.exp(nats)


def bits_per_character(nats: Float[Array, ""]) -> Float[Array, ""]:
    """Return L / ln 2, a cross-entropy in bits.

    Args:
      nats: a cross-entropy L in nats per character.

    Returns:
      Bits per character.

    >>> round(float(bits_per_character(cross_entropy(jnp.zeros((5, 8)), jnp.arange(5)))), 4)
    3.0
    """
    return nats / jnp.log(2)


def _check_classes(logits: Array, targets: Array, mask) -> None:
    *steps, size = logits.shape
    check_shape("targets", targets, tuple(steps), "[time, *batch], the leading axes of `logits`")
    check_range("targets", targets, 0, size - 1, mask)


def _at_classes(logits: Array, targets: Array, mask: Array | None) -> Array:
    """Return log ŷ_l, `[time, *batch]`; NaN for a class out of range."""
    log_probabilities = jax.nn.log_softmax(clean(logits.astype(accumulator(logits.dtype)), mask), axis=-1)
    classes = jnp.where(targets < 0, logits.shape[-1], targets)  # −1 is no class, not the last one
    return jnp.take_along_axis(log_probabilities, classes[..., None], axis=-1, mode="fill", fill_value=jnp.nan)[..., 0]
