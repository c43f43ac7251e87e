"""Means over the valid steps: what every loss shares.

    L = (1/n) Σ_{t valid} L⁽ᵗ⁾,          n the number of valid steps

Outputs and targets are set to 0 on padding before the loss is computed, and the loss is after it.
"""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec
from jaxtyping import Array

from jaxrnn.core.arguments import as_array
from jaxrnn.core.checks import check_steps
from jaxrnn.core.masks import valid_steps
from jaxrnn.core.precision import accumulator
from jaxrnn.machines.meshes import spread

at_once = partial(jax.jit, inline=True)
"""One program where the values are known, not one for each operation; nothing in a program around it."""


def scalar(loss: Callable, *arguments: Array | None) -> Array:
    """Compute a scalar, which lies on every device of a mesh."""
    return spread(loss, lambda _: PartitionSpec(), *arguments)


def checked_outputs(name: str, outputs: Array, mask) -> tuple[Array, Array | None]:
    """Check the outputs and their mask, and return them as arrays."""
    outputs = as_array(name, outputs, "floating numbers")
    if not jnp.issubdtype(outputs.dtype, jnp.floating) or outputs.ndim < 1:
        raise TypeError(f"`{name}` must be floating, [time, *batch, size], got {outputs.dtype}{outputs.shape}.")
    return outputs, check_steps("mask", mask, outputs.shape[:-1], of=name)


def in_full_precision(outputs: Array, targets: Array, mask: Array | None) -> tuple[Array, Array]:
    """Cast both to the accumulating dtype and set padding to 0."""
    dtype = accumulator(outputs.dtype)
    return clean(outputs.astype(dtype), mask), clean(targets.astype(dtype), mask)


def clean(array: Array, mask: Array | None) -> Array:
    """Return the array with 0 where `mask` is False; None masks nothing."""
    return array if mask is None else jnp.where(mask[..., None], array, 0)


def mean_over_steps(losses: Array, mask: Array | None) -> Array:
    """Return the mean over valid steps; 0 if there is none."""
    total = jnp.sum(losses if mask is None else jnp.where(mask, losses, 0))
    return total / valid_steps(mask, losses.shape)
