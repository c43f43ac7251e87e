"""Cognitive tasks: their properties beyond the doctests, and the adapter for environments."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrnn import Elman, Readout, cross_entropy, unroll
from jaxrnn.tasks import cognitive
from jaxrnn.tasks.data import InputError

TASKS = {
    name: jax.jit(partial(getattr(cognitive, name), trials=16))
    for name in (
        "flip_flop",
        "perceptual_decision",
        "context_decision",
        "delayed_match",
        "working_memory",
        "ready_set_go",
        "sine_wave",
        "multi_task",
    )
}


@pytest.mark.parametrize("draw", TASKS.values(), ids=TASKS)
def test_trials_are_a_function_of_the_key_and_fit_each_other(draw):
    one, again, other = (jax.tree.map(np.asarray, draw(jax.random.key(k))) for k in (0, 0, 1))
    assert all(map(np.array_equal, jax.tree.leaves(one), jax.tree.leaves(again)))
    assert not np.array_equal(one.inputs, other.inputs)
    time, trials = one.mask.shape
    assert one.inputs.shape[:2] == one.targets.shape[:2] == (time, trials) == (time, 16)
    assert all(condition.shape == (16,) for condition in one.conditions.values())
    assert one.mask.any(axis=0).all() and np.isfinite(one.inputs).all() and np.isfinite(one.targets).all()


@pytest.mark.parametrize("name", [name for name in TASKS if name not in ("flip_flop", "ready_set_go", "sine_wave")])
def test_a_decision_is_asked_for_and_silence_before_it(name):
    trials = TASKS[name](jax.random.key(0))
    choice, asked = trials.conditions["choice"], trials.targets[..., 0] != 0
    assert bool((jnp.where(asked, jnp.sign(trials.targets[..., 0]), choice) == choice).all())
    assert bool((asked & trials.mask).any(axis=0).all()) and bool((~asked & trials.mask).any(axis=0).all())
    assert not bool(asked[0].any()) and bool(asked[-1].all())


class Environment:
    """NeuroGym's way of drawing trials, and Gymnasium's of acting: say on which side the light was."""

    class action_space:
        n = 3

    def reset(self, seed=None):
        if seed is not None:
            self.rng = np.random.default_rng(seed)
        self.t, self.trial = 0, self.new_trial()
        return self.ob[0], {}

    def new_trial(self):
        side, self.time = int(self.rng.integers(2)), int(self.rng.integers(4, 8))
        self.ob, self.gt = np.zeros((self.time, 3)), np.zeros(self.time, int)
        self.ob[:-1, 0], self.ob[1, 1 + side], self.gt[-1] = 1, 1, 1 + side
        return {"side": side, "name": "light"}

    def step(self, action):
        reward = float(action == self.gt[self.t])
        self.t += 1
        done = self.t == self.time
        return self.ob[min(self.t, self.time - 1)], reward, done, False, {"gt": self.gt[-1]}


class Wrapped:
    """A wrapper, as Gymnasium's since 1.0: attributes of what is inside are reached through `unwrapped`."""

    def __init__(self, env):
        self.unwrapped = env


def test_trials_of_an_environment_are_padded_and_can_be_learned_from():
    trials = cognitive.trials_from(Wrapped(Environment()), 20, seed=3)
    lengths = trials.conditions["length"]
    assert trials.inputs.shape == trials.targets.shape == (lengths.max(), 20, 3)
    assert sorted(trials.conditions) == ["length", "side"]
    np.testing.assert_array_equal(trials.mask.sum(axis=0), lengths)
    last = trials.targets[lengths - 1, jnp.arange(20)]
    np.testing.assert_array_equal(last.argmax(axis=-1), trials.conditions["side"] + 1)
    cell, readout = Elman(3, 4), Readout(4, 3)
    _, ys = unroll(cell, cell.init(jax.random.key(0)), trials.inputs, mask=trials.mask)
    os = readout.apply(readout.init(jax.random.key(1)), ys)
    assert bool(jnp.isfinite(cross_entropy(os, trials.targets, mask=trials.mask)))


def test_a_network_acts_in_an_environment():
    env, cell = Environment(), Elman(3, 4)
    params = cell.init(jax.random.key(0))

    def act(h, observation):
        h, y = cell.step(params, h, cell.project(params, observation))
        return h, jnp.argmax(y[:3])

    episode = cognitive.run_episode(env, act, cell.initial_carry(params), seed=0)
    assert len(episode.actions) == len(episode.rewards) == len(episode.observations) == env.time
    np.testing.assert_array_equal(episode.observations, env.ob)
    np.testing.assert_array_equal(episode.rewards, episode.actions == env.gt)


def test_what_is_no_environment_of_trials_is_named():
    with pytest.raises(TypeError, match="`env` must have NeuroGym's new_trial, ob and gt"):
        cognitive.trials_from(object(), 3)


@pytest.mark.parametrize(
    "fields, named",
    [
        ({"excitatory": 1.5}, "--excitatory must be a fraction"),
        ({"excitatory": 0.8, "cell": "gru"}, "--excitatory goes with --cell rate"),
        ({"noise": -1.0}, "--noise must be at least 0"),
        ({"bits": 0}, "--bits must be an integer of at least 1"),
    ],
)
def test_options_that_make_no_network_are_named(fields, named):
    with pytest.raises(InputError, match=named):
        cognitive.FlipFlop(**fields)
