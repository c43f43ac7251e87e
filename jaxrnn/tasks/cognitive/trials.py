"""Trials: the inputs, the targets, a mask that says when a target counts, and the conditions.

    Trials(inputs, targets, mask, conditions),            `[time, trials, …]`

Every task of this folder is a pure function `draw(key, trials, …) -> Trials`: the same key gives the same trials, and
it runs under `jit` and `vmap`.  Times are in milliseconds, steps last `dt`; all trials of a call have the same length,
and `mask` is False where the target does not count.  `conditions` holds one entry per trial, to sort the trials by.

The sign of an output reports a decision: its target is ±1 in the decision period, and 0 before it.

References: Molano-Mazón et al. 2022, "NeuroGym"; Yang, Joglekar, Song, Newsome & Wang 2019; chapter 2.1.1 (an output at
every step).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Shaped

from jaxrnn.core.checks import check_shape
from jaxrnn.core.types import Key


class Trials(NamedTuple):
    """A batch of trials.

    >>> from jaxrnn.tasks.cognitive import flip_flop
    >>> trials = flip_flop(jax.random.key(0), 4, bits=3, time=20)
    >>> trials.inputs.shape, trials.targets.shape, trials.mask.shape, sorted(trials.conditions)
    ((20, 4, 3), (20, 4, 3), (20, 4), ['state'])
    """

    inputs: Float[Array, "time trials inputs"]
    """The inputs of the network."""
    targets: Float[Array, "time trials outputs"]
    """The outputs that the network should produce."""
    mask: Bool[Array, "time trials"]
    """True where the target counts."""
    conditions: dict[str, Shaped[Array, " trials"]]
    """One array for each property of the trials, `[trials]`."""


def steps(milliseconds: float, dt: float) -> int:
    """Return a duration in steps, at least one.

    >>> steps(500.0, 20.0)
    25
    """
    return max(1, round(milliseconds / dt))


def pick(key: Key, values, trials: int) -> Array:
    """Draw one of the values for each trial."""
    return jax.random.choice(key, jnp.asarray(values, float), (trials,))


def during(time: int, start, stop) -> Bool[Array, "time trials"]:
    """Return whether start ≤ t < stop, for each trial's own start and stop."""
    t = jnp.arange(time)[:, None]
    return (t >= jnp.atleast_1d(jnp.asarray(start))) & (t < jnp.atleast_1d(jnp.asarray(stop)))


def report(time: int, trials: int, start, choice: Array, grace: int) -> tuple[Array, Array]:
    """Return targets that are `choice` from `start` on and 0 before, and a mask without `grace` steps from there on."""
    start = jnp.broadcast_to(jnp.asarray(start), (trials,))
    on = during(time, start, time)
    return jnp.where(on, choice, 0.0)[..., None], ~during(time, start, start + grace)


def decisions(outputs: Float[Array, "time trials outputs"], trials: Trials) -> Float[Array, "trials outputs"]:
    """Return the reported decision of each trial: the mean output where it counts and the target is not 0.

    Args:
      outputs: the outputs of a network.
      trials: the trials of these outputs.

    Returns:
      One number for each trial and output; its sign is the choice.

    Raises:
      ValueError: outputs of another shape than the targets.

    >>> from jaxrnn.tasks.cognitive import perceptual_decision
    >>> trials = perceptual_decision(jax.random.key(0), 100)
    >>> bool((jnp.sign(decisions(trials.targets, trials))[:, 0] == trials.conditions["choice"]).all())
    True

    References: Song, Yang & Wang 2016 (choices as signs of an output).
    """
    check_shape("outputs", outputs, trials.targets.shape, "that of the targets")
    asked = trials.mask[..., None] & (trials.targets != 0)
    return jnp.sum(jnp.where(asked, outputs, 0), axis=0) / jnp.maximum(jnp.sum(asked, axis=0), 1)
