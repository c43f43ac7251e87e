"""Tasks about time and memory of signs: the flip-flop, ready-set-go, the sine-wave generator.

    flip_flop        pulses of ±1 in n channels           → the sign of the last pulse of each
    ready_set_go     two pulses, an interval apart        → a ramp that reaches 1 after the same interval again
    sine_wave        a constant input                     → a sine wave of the frequency that it encodes

References: Sussillo & Barak 2013, "Opening the black box", §§3 and 4 (flip-flop, sine waves); Jazayeri & Shadlen 2010;
Sohn, Narain, Meirhaeghe & Jazayeri 2019 (ready, set, go); chapter 3.1.
"""

import jax
import jax.numpy as jnp
from jax import lax

from jaxrnn.core.checks import check_positive
from jaxrnn.core.types import Key
from jaxrnn.tasks.cognitive.trials import Trials, during, pick, steps


def flip_flop(key: Key, trials: int, *, bits: int = 3, time: int = 100, pulses: float = 0.03) -> Trials:
    """Draw trials of the n-bit flip-flop: remember the sign of the last pulse of every channel.

    The first step has a pulse in every channel, so that the target is ±1 throughout.

    Args:
      key: a key.
      trials: the number of trials.
      bits: the number of channels; a network that solves it has 2ⁿ attractors.
      time: the number of steps.
      pulses: the probability of a pulse, for each step and channel.

    Returns:
      The trials; `conditions["state"]` is the final state, as a number of n bits.

    Raises:
      ValueError: a number below 1.

    >>> trials = flip_flop(jax.random.key(0), 2, bits=2, time=6, pulses=0.3)
    >>> bool((trials.targets == jnp.where(trials.inputs == 0, jnp.roll(trials.targets, 1, 0), trials.inputs)).all())
    True

    References: Sussillo & Barak 2013, §3.
    """
    check_positive(trials=trials, bits=bits, time=time)
    when, which = jax.random.split(key)
    on = jax.random.bernoulli(when, pulses, (time, trials, bits)).at[0].set(True)
    signs = jax.random.rademacher(which, (time, trials, bits), float)
    last = lax.cummax(jnp.where(on, jnp.arange(time)[:, None, None], 0), axis=0)
    targets = jnp.take_along_axis(signs, last, axis=0)
    state = jnp.sum((targets[-1] > 0) * 2 ** jnp.arange(bits), axis=-1)
    return Trials(jnp.where(on, signs, 0.0), targets, jnp.ones((time, trials), bool), {"state": state})


def ready_set_go(
    key: Key,
    trials: int,
    *,
    dt: float = 20.0,
    intervals: tuple[float, ...] = (400.0, 500.0, 600.0, 700.0, 800.0),
    wait: float = 300.0,
) -> Trials:
    """Draw trials of ready-set-go: measure the interval between two pulses, and reproduce it.

    Args:
      key: a key.
      trials: the number of trials.
      dt: the length of a step in milliseconds.
      intervals: the intervals between ready and set, in milliseconds.
      wait: the latest time of ready in milliseconds; the time is random.

    Returns:
      The trials: one input with both pulses, a target that rises from 0 at set to 1 when it is time to go.
      `conditions` has "interval" and, as the number of a step, "set".

    >>> trials = ready_set_go(jax.random.key(0), 50)
    >>> reached = jnp.argmax(trials.targets[..., 0] >= 1, axis=0) - trials.conditions["set"]
    >>> bool((reached * 20 == trials.conditions["interval"]).all())
    True

    References: Jazayeri & Shadlen 2010; Sohn, Narain, Meirhaeghe & Jazayeri 2019.
    """
    which, when = jax.random.split(key)
    interval = pick(which, intervals, trials)
    length = jnp.round(interval / dt).astype(int)
    ready = jax.random.randint(when, (trials,), 1, steps(wait, dt) + 1)
    set_ = ready + length
    time = steps(wait, dt) + 2 * steps(max(intervals), dt) + steps(200.0, dt)
    pulses = during(time, ready, ready + 1) | during(time, set_, set_ + 1)
    ramp = jnp.clip((jnp.arange(time)[:, None] - set_) / length, 0, 1)
    mask = during(time, 0, set_ + length + steps(100.0, dt))
    conditions = {"interval": interval, "set": set_}
    return Trials(jnp.where(pulses, 1.0, 0.0)[..., None], ramp[..., None], mask, conditions)


def produced_intervals(outputs, trials: Trials, dt: float = 20.0):
    """Return the intervals that a network produced in ready-set-go, in milliseconds.

    Args:
      outputs: the outputs of the network, `[time, trials, 1]`.
      trials: the trials of these outputs.
      dt: the length of a step in milliseconds.

    Returns:
      The time from set to the first step at which the output reaches 0.9, divided by 0.9; NaN if it never does.

    >>> trials = ready_set_go(jax.random.key(0), 50)
    >>> bool((abs(produced_intervals(trials.targets, trials) - trials.conditions["interval"]) < 25).all())
    True

    References: Sohn, Narain, Meirhaeghe & Jazayeri 2019 (a threshold on a ramp).
    """
    late = jnp.arange(outputs.shape[0])[:, None] > trials.conditions["set"]
    there = late & (outputs[..., 0] >= 0.9)
    taken = (jnp.argmax(there, axis=0) - trials.conditions["set"]) * dt / 0.9
    return jnp.where(there.any(axis=0), taken, jnp.nan)


def sine_wave(
    key: Key,
    trials: int,
    *,
    dt: float = 20.0,
    frequencies: tuple[float, ...] = (0.5, 1.0, 1.5, 2.0),
    duration: float = 3000.0,
) -> Trials:
    """Draw trials of the sine-wave generator: a constant input encodes a frequency.

    Args:
      key: a key.
      trials: the number of trials.
      dt: the length of a step in milliseconds.
      frequencies: the frequencies in hertz; the input is the frequency divided by the largest.
      duration: the length of a trial in milliseconds.

    Returns:
      The trials; the target is sin(2π f t).  `conditions` has "frequency".

    >>> trials = sine_wave(jax.random.key(0), 3, frequencies=(1.0,))
    >>> [round(float(y), 4) for y in trials.targets[:13:4, 0, 0]]  # a quarter of a period is 250 ms
    [0.0, 0.4818, 0.8443, 0.998]

    References: Sussillo & Barak 2013, §4.
    """
    time, frequency = steps(duration, dt), pick(key, frequencies, trials)
    inputs = jnp.broadcast_to(frequency / max(frequencies), (time, trials))[..., None]
    targets = jnp.sin(2 * jnp.pi * frequency * jnp.arange(time)[:, None] * dt / 1000)[..., None]
    return Trials(inputs, targets, jnp.ones((time, trials), bool), {"frequency": frequency})
