"""Comparisons of a stimulus with an earlier one: delayed match to sample, parametric working memory.

    delayed_match      sample, a delay, test      → +1 if they match, −1 if not
    working_memory     f₁, a delay, f₂            → the sign of f₁ − f₂

The delay is drawn anew for every trial, so a network cannot predict when it ends.

References: Miyashita & Chang 1988; Romo, Brody, Hernández & Lemus 1999; Barak, Sussillo, Romo, Tsodyks & Abbott 2013;
chapter 3.1 (holding a value over time).
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array

from jaxrnn.core.checks import check_positive
from jaxrnn.core.types import Key
from jaxrnn.tasks.cognitive.trials import Trials, during, pick, report, steps


def delayed_match(
    key: Key,
    trials: int,
    *,
    dt: float = 20.0,
    stimuli: int = 2,
    noise: float = 0.1,
    fixation: float = 200.0,
    stimulus: float = 300.0,
    delays: tuple[float, float] = (200.0, 800.0),
    decision: float = 300.0,
) -> Trials:
    """Draw trials of delayed match to sample: tell whether two stimuli match, as they do in half of the trials.

    Args:
      key: a key.
      trials: the number of trials.
      dt: the length of a step in milliseconds.
      stimuli: the number of stimuli, at least 2; each has an input.
      noise: σ of these inputs in each step.
      fixation: the length of the fixation in milliseconds.
      stimulus: the length of each stimulus in milliseconds.
      delays: the shortest and the longest delay in milliseconds.
      decision: the length of the decision in milliseconds.

    Returns:
      The trials.  Inputs: a fixation cue, and one for each stimulus.  `conditions` has "sample", "test", "delay" in
      milliseconds, "choice" (1 for a match).

    Raises:
      ValueError: fewer than two stimuli.

    >>> c = delayed_match(jax.random.key(0), 200, stimuli=4).conditions
    >>> bool(((c["sample"] == c["test"]) == (c["choice"] > 0)).all())
    True

    References: Miyashita & Chang 1988.
    """
    check_positive(stimuli=stimuli - 1)
    keys = jax.random.split(key, 5)
    sample = jax.random.randint(keys[0], (trials,), 0, stimuli)
    match = jax.random.bernoulli(keys[1], 0.5, (trials,))
    other = jax.random.randint(keys[2], (trials,), 1, stimuli)
    test = jnp.where(match, sample, (sample + other) % stimuli)
    time, first, second, go, delay = _timeline(keys[3], trials, dt, fixation, stimulus, delays, decision)
    shown = first[..., None] * jax.nn.one_hot(sample, stimuli) + second[..., None] * jax.nn.one_hot(test, stimuli)
    shown = shown + noise * jax.random.normal(keys[4], shown.shape)
    choice = jnp.where(match, 1.0, -1.0)
    inputs = jnp.concatenate([during(time, 0, go).astype(float)[..., None], shown], axis=-1)
    targets, mask = report(time, trials, go, choice, steps(100.0, dt))
    conditions = {"sample": sample, "test": test, "delay": delay, "choice": choice}
    return Trials(inputs, targets, mask, conditions)


def working_memory(
    key: Key,
    trials: int,
    *,
    dt: float = 20.0,
    frequencies: tuple[float, ...] = (10.0, 14.0, 18.0, 22.0, 26.0, 30.0),
    difference: float = 8.0,
    noise: float = 0.1,
    fixation: float = 200.0,
    stimulus: float = 300.0,
    delays: tuple[float, float] = (200.0, 800.0),
    decision: float = 300.0,
) -> Trials:
    """Draw trials of parametric working memory: tell which of two frequencies, a delay apart, was higher.

    Args:
      key: a key.
      trials: the number of trials.
      dt: the length of a step in milliseconds.
      frequencies: the possible values of f₁, in hertz.
      difference: the absolute difference of f₁ and f₂.
      noise: σ of the inputs in each step.
      fixation: the length of the fixation in milliseconds.
      stimulus: the length of each stimulus in milliseconds.
      delays: the shortest and the longest delay in milliseconds.
      decision: the length of the decision in milliseconds.

    Returns:
      The trials.  Inputs: a fixation cue, and the frequency in two channels, one of which increases and one of which
      decreases with it, as in two kinds of neurons.  `conditions` has "first", "second", "delay", "choice" (1 where the
      first is higher).

    >>> c = working_memory(jax.random.key(0), 200).conditions
    >>> bool((jnp.sign(c["first"] - c["second"]) == c["choice"]).all())
    True

    References: Romo, Brody, Hernández & Lemus 1999; Barak, Sussillo, Romo, Tsodyks & Abbott 2013.
    """
    keys = jax.random.split(key, 4)
    first, choice = pick(keys[0], frequencies, trials), jax.random.rademacher(keys[1], (trials,), float)
    second = first - difference * choice
    time, at_first, at_second, go, delay = _timeline(keys[2], trials, dt, fixation, stimulus, delays, decision)
    low, high = min(frequencies) - difference, max(frequencies) + difference
    coded = [(f - low) / (high - low) for f in (first, second)]
    rising = at_first * coded[0] + at_second * coded[1]
    falling = at_first * (1 - coded[0]) + at_second * (1 - coded[1])
    shown = jnp.stack([rising, falling], axis=-1)
    shown = shown + noise * jax.random.normal(keys[3], shown.shape)
    inputs = jnp.concatenate([during(time, 0, go).astype(float)[..., None], shown], axis=-1)
    targets, mask = report(time, trials, go, choice, steps(100.0, dt))
    return Trials(inputs, targets, mask, {"first": first, "second": second, "delay": delay, "choice": choice})


def _timeline(
    key: Key, trials: int, dt, fixation, stimulus, delays, decision
) -> tuple[int, Array, Array, Array, Array]:
    """Return the length of all trials, when each stimulus is on, the first step of the decision, and the delay."""
    low, high = (steps(delay, dt) for delay in delays)
    gap = jax.random.randint(key, (trials,), low, high + 1)
    on, width = steps(fixation, dt), steps(stimulus, dt)
    test = on + width + gap
    time = on + 2 * width + high + steps(decision, dt)
    first = jnp.broadcast_to(during(time, on, on + width), (time, trials))
    return time, first, during(time, test, test + width), test + width, gap * dt
