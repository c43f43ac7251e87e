"""Decisions about noisy evidence, with and without a context, and several such tasks in one network.

    u⁽ᵗ⁾ = c + σ ξ⁽ᵗ⁾            evidence of signed coherence c, for some time;        y = sign c

    perceptual_decision    one modality
    context_decision       two modalities at once; a context says which one counts
    multi_task             a rule says which modality counts, whether the answer is inverted, and whether it is delayed

References: Mante, Sussillo, Shenoy & Newsome 2013 (context); Yang, Joglekar, Song, Newsome & Wang 2019 (one network,
many rules); Gold & Shadlen 2007; chapter 2.1.1.
"""

import jax
import jax.numpy as jnp

from jaxrnn.core.types import Key
from jaxrnn.tasks.cognitive.trials import Trials, during, pick, report, steps

COHERENCES = (0.02, 0.04, 0.08, 0.16, 0.32)
"""The strengths of the evidence; each comes with either sign."""
RULES = tuple(f"{when}{how}modality {which}" for which in (1, 2) for how in ("", "anti ") for when in ("", "delayed "))
"""The rules of `multi_task`, in the order of their inputs."""


def perceptual_decision(
    key: Key,
    trials: int,
    *,
    dt: float = 20.0,
    coherences: tuple[float, ...] = COHERENCES,
    noise: float = 0.4,
    fixation: float = 200.0,
    stimulus: float = 800.0,
    decision: float = 300.0,
) -> Trials:
    """Draw trials in which the network reports the sign of noisy evidence after the evidence has ended.

    Args:
      key: a key.
      trials: the number of trials.
      dt: the length of a step in milliseconds.
      coherences: the strengths of the evidence.
      noise: σ of the evidence in each step.
      fixation: the length of the fixation in milliseconds.
      stimulus: the length of the stimulus in milliseconds.
      decision: the length of the decision in milliseconds.

    Returns:
      The trials.  Inputs: a fixation cue, which ends with the evidence, and the evidence.  `conditions` has
      "coherence", signed, and "choice", the right answer ±1.

    >>> trials = perceptual_decision(jax.random.key(0), 200)
    >>> bool((jnp.sign(trials.conditions["coherence"]) == trials.conditions["choice"]).all())
    True

    References: Gold & Shadlen 2007; Song, Yang & Wang 2016.
    """
    start, stop = steps(fixation, dt), steps(fixation, dt) + steps(stimulus, dt)
    time = stop + steps(decision, dt)
    c_key, noise_key = jax.random.split(key)
    coherence = _signed(c_key, coherences, trials)
    evidence = _evidence(noise_key, during(time, start, stop), coherence, noise)
    inputs = jnp.stack([jnp.broadcast_to(during(time, 0, stop), (time, trials)).astype(float), evidence], axis=-1)
    targets, mask = report(time, trials, stop, jnp.sign(coherence), steps(100.0, dt))
    return Trials(inputs, targets, mask, {"coherence": coherence, "choice": jnp.sign(coherence)})


def context_decision(
    key: Key,
    trials: int,
    *,
    dt: float = 20.0,
    coherences: tuple[float, ...] = COHERENCES,
    noise: float = 0.4,
    fixation: float = 200.0,
    stimulus: float = 800.0,
    decision: float = 300.0,
) -> Trials:
    """Draw trials with evidence in two modalities, motion and color; a context says which one counts.

    The loss ignores the output during the stimulus, so the network may integrate along any direction.  The context
    inputs are on during the whole trial.

    Args:
      key: a key.
      trials: the number of trials.
      dt: the length of a step in milliseconds.
      coherences: the strengths of the evidence, drawn independently for each modality.
      noise: σ of the evidence in each step.
      fixation: the length of the fixation in milliseconds.
      stimulus: the length of the stimulus in milliseconds.
      decision: the length of the decision in milliseconds.

    Returns:
      The trials.  Inputs: motion, color, the context "motion", the context "color".  `conditions` has "motion",
      "color", "context" (0 for motion, 1 for color), "choice".

    >>> trials = context_decision(jax.random.key(0), 200)
    >>> c = trials.conditions
    >>> bool((c["choice"] == jnp.sign(jnp.where(c["context"] == 0, c["motion"], c["color"]))).all())
    True

    References: Mante, Sussillo, Shenoy & Newsome 2013.
    """
    start, stop = steps(fixation, dt), steps(fixation, dt) + steps(stimulus, dt)
    time, keys = stop + steps(decision, dt), jax.random.split(key, 5)
    motion, color = (_signed(k, coherences, trials) for k in keys[:2])
    context = jax.random.bernoulli(keys[2], 0.5, (trials,)).astype(int)
    on = during(time, start, stop)
    seen = [_evidence(k, on, c, noise) for k, c in zip(keys[3:], (motion, color), strict=True)]
    cues = [jnp.broadcast_to(context == k, (time, trials)).astype(float) for k in (0, 1)]
    choice = jnp.sign(jnp.where(context == 0, motion, color))
    targets, mask = report(time, trials, stop, choice, steps(100.0, dt))
    conditions = {"motion": motion, "color": color, "context": context, "choice": choice}
    return Trials(jnp.stack([*seen, *cues], axis=-1), targets, mask & ~on, conditions)


def multi_task(
    key: Key,
    trials: int,
    *,
    dt: float = 20.0,
    coherences: tuple[float, ...] = (0.08, 0.16, 0.32),
    noise: float = 0.2,
    fixation: float = 200.0,
    stimulus: float = 500.0,
    delay: float = 300.0,
    decision: float = 300.0,
) -> Trials:
    """Draw trials of eight tasks, with one input for each rule.

    A rule has three parts: the modality that counts; whether the answer is the sign of the evidence or the opposite
    ("anti"); and whether to answer from the middle of the evidence on, or after a delay.

    Args:
      key: a key.
      trials: the number of trials.
      dt: the length of a step in milliseconds.
      coherences: the strengths of the evidence, independent for each modality.
      noise: σ of the evidence in each step.
      fixation: the length of the fixation in milliseconds.
      stimulus: the length of the stimulus in milliseconds.
      delay: the length of the delay in milliseconds.
      decision: the length of the decision in milliseconds.

    Returns:
      The trials.  Inputs: a fixation cue, two modalities, and eight rules.  `conditions` has "rule", an index into
      `RULES`, "coherence" of the modality that counts, and "choice".

    >>> trials = multi_task(jax.random.key(0), 16)
    >>> trials.inputs.shape, RULES[3]
    ((65, 16, 11), 'delayed anti modality 1')

    References: Yang, Joglekar, Song, Newsome & Wang 2019.
    """
    start, stop = steps(fixation, dt), steps(fixation, dt) + steps(stimulus, dt)
    late = stop + steps(delay, dt)
    time, keys = late + steps(decision, dt), jax.random.split(key, 5)
    rule = jax.random.randint(keys[0], (trials,), 0, len(RULES))
    delayed, anti, second = rule % 2 == 1, rule // 2 % 2 == 1, rule // 4 == 1
    both = [_signed(k, coherences, trials) for k in keys[1:3]]
    go = jnp.where(delayed, late, (start + stop) // 2)
    on = during(time, start, jnp.where(delayed, stop, time))
    seen = [_evidence(k, on, c, noise) for k, c in zip(keys[3:], both, strict=True)]
    coherence = jnp.where(second, both[1], both[0])
    choice = jnp.where(anti, -1, 1) * jnp.sign(coherence)
    cues = jnp.broadcast_to(jax.nn.one_hot(rule, len(RULES)), (time, trials, len(RULES)))
    shown = jnp.stack([during(time, 0, go).astype(float), *seen], axis=-1)
    targets, mask = report(time, trials, go, choice, steps(100.0, dt))
    conditions = {"rule": rule, "coherence": coherence, "choice": choice}
    return Trials(jnp.concatenate([shown, cues], axis=-1), targets, mask, conditions)


def _signed(key: Key, coherences: tuple[float, ...], trials: int):
    return pick(key, (*(-c for c in coherences), *coherences), trials)


def _evidence(key: Key, on, coherence, noise: float):
    """Return the coherence plus noise while the stimulus is on and 0 otherwise, `[time, trials]`."""
    drawn = jax.random.normal(key, (on.shape[0], coherence.shape[0]))
    return jnp.where(on, coherence + noise * drawn, 0.0)
