"""Trials of Gymnasium-style environments, such as NeuroGym's: collect whole trials, or let a network act.

NeuroGym's environments draw a whole trial at once with `env.new_trial()`.  `env.ob` then holds the observations,
`[time, features]`, and `env.gt` the right action of every step.  `trials_from` collects such trials, padded to the
longest, as `Trials`.  In any environment with Gymnasium's `reset` and `step`, `run_episode` lets a network act.

This module imports neither Gymnasium nor NeuroGym; any object with these methods is an environment.

References: Molano-Mazón et al. 2022, "NeuroGym: An open resource for developing and sharing neuroscience tasks"; Towers
et al. 2024, "Gymnasium"; chapter 2.5 (sequences of different lengths).
"""

from collections.abc import Callable, Sequence
from numbers import Real
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jaxrnn.core.checks import check_positive
from jaxrnn.tasks.cognitive.trials import Trials


class RecordedEpisode(NamedTuple):
    """The record of an episode.

    >>> float(RecordedEpisode(np.zeros((3, 2)), np.zeros(3, int), np.ones(3)).rewards.sum())
    3.0
    """

    observations: Float[np.ndarray, "time features"]
    """The observation at each step."""
    actions: Int[np.ndarray, " time"]
    """The action at each step."""
    rewards: Float[np.ndarray, " time"]
    """The reward of each action."""


def trials_from(env: Any, trials: int, *, seed: int | None = None) -> Trials:
    """Draw trials of an environment with NeuroGym's `new_trial`, `ob` and `gt`.

    Args:
      env: the environment, or a wrapper of one.
      trials: the number of trials.
      seed: passed to `env.reset`; None continues with the environment's own random numbers.

    Returns:
      The trials, padded to the longest with `mask` False.  Integer targets become one-hot, `[time, trials, actions]`,
      so that `cross_entropy` accepts them.  `conditions` has the numbers of the dictionary that `new_trial` returns,
      and "length".

    Raises:
      TypeError: the environment has no `new_trial`, `ob` and `gt`.
      ValueError: observations and targets of different lengths.

    >>> class Env:  # a trial of NeuroGym's kind: say what was seen
    ...     def reset(self, seed=None):
    ...         self.rng = np.random.default_rng(seed)
    ...     def new_trial(self):
    ...         side = self.rng.integers(2)
    ...         self.ob, self.gt = np.eye(2)[[side] * 4], np.full(4, side)
    ...         return {"side": side}
    >>> trials = trials_from(Env(), 5, seed=0)
    >>> trials.inputs.shape, trials.targets.shape, trials.conditions["side"].shape
    ((4, 5, 2), (4, 5, 2), (5,))

    References: Molano-Mazón et al. 2022.
    """
    check_positive(trials=trials)
    env = env if hasattr(env, "new_trial") else getattr(env, "unwrapped", env)
    if not hasattr(env, "new_trial"):
        raise TypeError(f"`env` must have NeuroGym's new_trial, ob and gt, got {env!r}. Others work with run_episode.")
    if seed is not None:
        env.reset(seed=seed)
    drawn = [_one(env) for _ in range(trials)]
    obs, gts, infos = zip(*drawn, strict=True)
    lengths = np.array([len(ob) for ob in obs])
    time = int(lengths.max())
    actions = _actions(env, gts)
    targets = [np.eye(actions)[gt] if actions else np.reshape(gt, (len(gt), -1)) for gt in gts]
    mask = np.arange(time)[:, None] < lengths
    names = [name for name in infos[0] if all(isinstance(info.get(name), Real | np.number) for info in infos)]
    conditions = {name: jnp.array([info[name] for info in infos]) for name in names}
    inputs, outputs = (_padded(parts, time) for parts in (obs, targets))
    return Trials(inputs, outputs, jnp.asarray(mask), conditions | {"length": jnp.asarray(lengths)})


def run_episode(
    env: Any, act: Callable[[Any, Array], tuple[Any, Any]], state: Any, *, seed: int | None = None, limit: int = 1000
) -> RecordedEpisode:
    """Let a network act in an environment with Gymnasium's `reset` and `step`, until the episode ends.

    Args:
      env: the environment.
      act: `(state, observation) -> (state, action)`: a jitted step of a cell, its read-out, and a choice.
      state: the state before the first observation, such as `cell.initial_carry(params)`.
      seed: passed to `env.reset`.
      limit: the largest number of steps.

    Returns:
      The observations, the actions and the rewards.

    >>> class Env:  # three steps, a reward for action 1
    ...     def reset(self, seed=None):
    ...         self.t = 0
    ...         return np.zeros(2), {}
    ...     def step(self, action):
    ...         self.t += 1
    ...         return np.full(2, self.t), float(action == 1), self.t == 3, False, {}
    >>> run_episode(Env(), lambda h, ob: (h + 1, h % 2), 0).rewards.tolist()
    [0.0, 1.0, 0.0]

    References: Towers et al. 2024.
    """
    check_positive(limit=limit)
    observation, _ = env.reset(seed=seed)
    observations, actions, rewards = [], [], []
    for _ in range(limit):
        state, action = act(state, jnp.asarray(observation, float))
        observations.append(np.asarray(observation, float))
        actions.append(int(action))
        observation, reward, terminated, truncated, _ = env.step(actions[-1])
        rewards.append(float(reward))
        if terminated or truncated:
            break
    return RecordedEpisode(np.stack(observations), np.array(actions), np.array(rewards))


def _one(env: Any) -> tuple[np.ndarray, np.ndarray, dict]:
    info = env.new_trial()
    ob, gt = np.asarray(env.ob, float), np.asarray(env.gt)
    if len(ob) != len(gt):
        raise ValueError(f"`env` must have as many targets gt as observations ob, got {len(gt)} and {len(ob)}.")
    return ob.reshape(len(ob), -1), gt, info if isinstance(info, dict) else {}


def _actions(env: Any, gts: tuple[np.ndarray, ...]) -> int:
    """Return the number of actions; 0 if the targets are real numbers."""
    if not all(np.issubdtype(gt.dtype, np.integer) for gt in gts):
        return 0
    seen = 1 + max(int(gt.max()) for gt in gts)
    return max(seen, int(getattr(getattr(env, "action_space", None), "n", 0)))


def _padded(parts: Sequence[np.ndarray], time: int) -> Array:
    """Pad arrays `[length, features]` to `[time, trials, features]`."""
    return jnp.stack([jnp.asarray(np.pad(part, [(0, time - len(part)), (0, 0)])) for part in parts], axis=1)
