"""The problems of benchmarks/reproduce agree with the papers."""

import json
import pickle
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import benchmarks.reproduce
from benchmarks.reproduce import (
    gradient_distance,
    machine_starts,
    memory_tasks,
    results,
    state_tracking,
    turing_machine,
)
from benchmarks.reproduce.__main__ import PROGRAMS, plan
from benchmarks.reproduce.chaotic_flows import kuramoto_sivashinsky
from benchmarks.reproduce.networks import networks
from benchmarks.reproduce.problems import adding, copy, copy_baseline, temporal_order
from benchmarks.reproduce.reservoir_rings import ring_of
from benchmarks.reproduce.temporal_order import guard, init, mean_omega
from benchmarks.reproduce.temporal_order import measure as measure_order
from jaxrnn.dynamics.information_flow import Flow
from jaxrnn.reservoirs import spectral_radius
from jaxrnn.tasks.memory import Copy

KEY = jax.random.key(0)


def test_temporal_order_has_two_letters_in_their_places_and_the_class_tells_which():
    xs, classes = jax.device_get(temporal_order(KEY, 40, 200))
    letters = xs[..., :2].sum(-1)
    assert (letters.sum(0) == 2).all() and (xs.sum(-1) == 1).all()
    at = np.stack([np.flatnonzero(row) for row in letters.T])
    assert set(at[:, 0]) == {4, 5, 6, 7} and set(at[:, 1]) == {20, 21, 22, 23}
    which = xs[at, np.arange(200)[:, None], 1]  # 0: A, 1: B
    np.testing.assert_array_equal(classes, which @ [1, 2])


def test_always_answering_1_to_adding_has_the_error_1_over_6():
    xs, targets = jax.device_get(adding(KEY, 50, 20_000))
    np.testing.assert_allclose((xs[..., 0] * xs[..., 1]).sum(0), targets, rtol=1e-6)
    assert (xs[:25, :, 1].sum(0) == 1).all() and (xs[25:, :, 1].sum(0) == 1).all()
    assert np.mean((targets - 1) ** 2) == pytest.approx(1 / 6, rel=0.03)


def test_copy_asks_for_the_word_after_the_sign_and_its_baseline_is_that_of_no_memory():
    xs, targets = jax.device_get(copy(KEY, 30, 5))
    read = xs.argmax(axis=-1)
    assert read.shape == targets.shape == (50, 5)
    np.testing.assert_array_equal(read[:10], targets[40:])
    assert (targets[:40] == 8).all() and (read[10:39] == 8).all() and (read[39] == 9).all() and (read[40:] == 8).all()
    assert copy_baseline(30) == pytest.approx(10 * np.log(8) / 50)


def test_the_smart_start_is_sparse_with_the_spectral_radius_0_95():
    cell, _ = init(KEY)
    assert ((cell.w != 0).sum(1) == 15).all() and float(spectral_radius(cell.w)) == pytest.approx(0.95)


def test_the_mean_omega_of_c_i_is_c_minus_1_squared_or_c_squared_minus_1_squared_whatever_has_no_gradient():
    flow = Flow(jnp.zeros(()), jnp.full((4, 3), 0.5).at[0].set(9), jnp.ones((4, 3)).at[0].set(0))
    assert [float(mean_omega(flow, power)) for power in (1, 2)] == pytest.approx([(0.5 - 1) ** 2, (0.25 - 1) ** 2])


def test_networks_of_temporal_order_are_scored_at_other_lengths():
    figures = measure_order("clipped", (10,), 20, 10, range(2), (10, 40))
    assert figures["after"] == [0, 0] and list(figures["beyond"]) == ["10", "40"]
    assert all(0.6 < error < 0.9 for errors in figures["beyond"].values() for error in errors)  # a guess: 75 %


def test_one_network_learns_temporal_order_at_every_length_of_a_mixture():
    figures = measure_order("clipped, Ω squared", (10, 20), 6000, 500, range(1), (10, 20))
    assert 0 < figures["after"][0] <= 6000
    assert all(error < 0.03 for errors in figures["beyond"].values() for error in errors)


@pytest.mark.parametrize("bad", [jnp.nan, jnp.inf, 1e11])
def test_where_the_gradient_is_no_number_or_huge_w_shrinks_and_nothing_else_moves(bad):
    params = init(KEY)
    sound = jax.tree.map(jnp.ones_like, params)
    jax.tree.map(np.testing.assert_array_equal, guard(sound, params), sound)
    cell, out = guard((sound[0]._replace(b=sound[0].b.at[3].set(bad)), sound[1]), params)
    np.testing.assert_allclose(cell.w, 0.02 * params[0].w)
    assert not any(leaf.any() for leaf in (cell.u, cell.b, *out))


def test_make_reproduce_runs_every_program_of_the_folder():
    folder = Path(benchmarks.reproduce.__file__).parent
    programs = {path.stem for path in folder.glob("*.py") if "\ndef plan(" in path.read_text()} - {"__main__"}
    assert len(programs) >= 4 and programs == {program.__name__.split(".")[-1] for program in PROGRAMS}


@pytest.mark.parametrize("full", [False, True])
def test_every_case_has_settings_of_its_own_that_go_through_json(full):
    cases = plan(full=full).cases
    assert all(json.loads(json.dumps(case.settings)) == case.settings for case in cases)
    assert len({(case.experiment, json.dumps(case.settings)) for case in cases}) == len(cases)


@pytest.mark.parametrize("full", [False, True])
def test_every_case_can_be_sent_to_a_process(full):
    assert all(pickle.loads(pickle.dumps(case)).settings == case.settings for case in plan(full=full).cases)


def test_every_network_starts():
    for network in networks(3, 12).values():
        params = network.params(network.init(KEY))
        assert jax.tree.structure(params) == jax.tree.structure(network.cell.init(KEY))


def test_the_gradient_keeps_its_norm_in_a_network_that_is_kept_orthogonal():
    norms = gradient_distance.measure("modReLU, orthogonal", 30, 0)["norms"]
    np.testing.assert_allclose(norms, 1, rtol=1e-6)


def test_modrelu_moves_towards_0_by_its_bias_and_the_network_keeps_its_norm_without_inputs_and_bias():
    cell, init, params_of, _ = networks(3, 12)["modReLU, orthogonal"]
    params, h = params_of(init(KEY)), jax.random.normal(KEY, (12,))
    _, same = cell.step(params, h, jnp.zeros(12))
    np.testing.assert_allclose(jnp.linalg.norm(same), jnp.linalg.norm(h), rtol=1e-6)
    _, ys = cell.step(params._replace(w=jnp.eye(12), b=jnp.full(12, -0.5)), jnp.zeros(12), h)
    np.testing.assert_allclose(ys, [np.sign(x) * max(abs(x) - 0.5, 0) for x in np.asarray(h)], rtol=1e-6)


def test_a_case_of_the_memory_tasks_has_a_curve_of_each_seed_and_ends_when_it_has_learned(monkeypatch):
    monkeypatch.setattr(memory_tasks, "EVERY", 5)
    figures = memory_tasks.measure("copy", "modReLU, orthogonal", 5, 12, range(2))
    assert [len(curve) for curve in figures["curves"]] == [3, 3] and memory_tasks.learned_after(figures) == [None] * 2
    curve = [figures["no_memory"], figures["no_memory"] / 11, figures["no_memory"] / 60]
    assert memory_tasks.learned_after(figures | {"curves": [curve, curve[:1], [None, *curve]]}) == [10, None, 15]
    monkeypatch.setitem(memory_tasks.PROBLEMS, "copy", (*memory_tasks.PROBLEMS["copy"][:3], lambda length: 1e3))
    assert len(memory_tasks.measure("copy", "tanh", 5, 12, range(1))["curves"][0]) == 1


def test_the_rate_of_w_is_that_of_the_network(monkeypatch):
    (raw, _), state = memory_tasks.start("copy", "modReLU, orthogonal", KEY, KEY)
    pair, _ = memory_tasks.train("copy", "modReLU, orthogonal", 5, ((raw, _), state), jax.random.split(KEY, 1))
    steps = [float(jnp.abs(new - old).max()) for new, old in zip(pair[0][0], raw, strict=True)]
    assert steps[:2] == pytest.approx([1e-3, 1e-4], rel=0.01)  # the first step of Adam is its rate


def test_a_twice_finer_step_gives_the_same_flow_for_five_lyapunov_times():
    series = kuramoto_sivashinsky(4000)
    assert series.std() == pytest.approx(1.19, abs=0.03) and abs(series.mean()) < 1e-12
    for start in series[::1000]:
        coarse, fine = (kuramoto_sivashinsky(420, start, finer=n) for n in (4, 8))
        errors = np.linalg.norm(coarse - fine, axis=-1) / np.sqrt((series**2).sum(-1).mean())
        assert errors[0] < 1e-5 and errors.max() < 0.1


def test_reservoirs_that_share_their_weights_go_on_the_same_way_wherever_on_the_ring():
    ring = ring_of(group=4, units=20, scaling=0.3, radius=0.3, margin=2)
    us = jax.random.normal(KEY, (10, 3, 12))
    np.testing.assert_array_equal(ring.seen(us)[0, 0, 0], us[0, 0, jnp.array([10, 11, 0, 1, 2, 3, 4, 5])])
    params = ring.network.init(KEY)
    params = params._replace(readout=ring.network.readout.init(KEY))
    here, there = ring.go_on(params, us, 6), ring.go_on(params, jnp.roll(us, 4, axis=-1), 6)
    assert here.shape == (6, 3, 12) and float(jnp.abs(here - jnp.roll(here, 4, axis=-1)).max()) > 0.01
    np.testing.assert_allclose(jnp.roll(here, 4, axis=-1), there, rtol=1e-12)


def test_words_are_learned_from_short_prefixes_on():
    questions = state_tracking.TRIALS["s3"].make().draw(KEY, 40, 3)
    for steps, asked in ((0, 2), (7, 7), (60, 40)):
        shorter = state_tracking.shortened(questions, jnp.asarray(steps))
        assert shorter.asked.sum(0).tolist() == [asked] * 3
        assert shorter.asked[:asked].all()


def test_a_case_of_state_tracking_has_an_accuracy_of_each_seed_at_each_length():
    figures = state_tracking.measure("parity", "min-gru", 2, range(2))
    assert list(figures["accuracy"]) == ["40", "256", "2048"] and figures["chance"] == 0.5
    assert all(len(scores) == 2 and min(scores) > 0 for scores in figures["accuracy"].values())
    assert state_tracking.show(figures).startswith("40: ")


def test_a_turing_machine_trains_on_episodes_without_most_of_their_padding():
    task = Copy(problem="repeat-copy", hidden=8, slots=9, width=4, batch=3)
    model, episodes = task.model({}), task.batch_at(None, 0, 0)
    short, params = turing_machine.cropped(episodes), model.init(KEY)
    assert len(short.xs) < len(episodes.xs) and short.scored.sum() == episodes.scored.sum()
    losses = [task.loss(model, params, None, each, KEY)[0] for each in (short, episodes)]
    np.testing.assert_allclose(*losses, rtol=1e-6)


def test_a_case_of_the_turing_machine_scores_what_it_was_trained_on_and_what_is_longer():
    figures = turing_machine.measure(turing_machine.TRIALS[0]._replace(episodes=2), seed=0)
    assert list(figures["beyond"]) == ["30 vectors", "60 vectors", "120 vectors"]
    assert all(0.3 < scores["wrong"] < 0.7 and scores["perfect"] == 0 for scores in figures["beyond"].values())
    assert turing_machine.show(figures).endswith("% at 120 vectors")


def test_every_stored_case_of_the_turing_machine_can_be_asked_for_by_its_settings():
    for record in results.read("turing_machine"):
        s = dict(record.settings)
        plan = turing_machine.plan(
            full=True, problems=(s["problem"],), controllers=(s["controller"],), seeds=1, first_seed=s["seed"],
            episodes=s["episodes"], optimizer=s["optimizer"], batch_size=s["batch"], learning_rate=s["learning_rate"],
            start=s.get("start", "constant"), short=s.get("short", 0),
        )  # fmt: skip
        assert [case.settings for case in plan.cases] == [s]


def test_a_machine_that_starts_by_content_has_a_learned_memory_in_which_no_two_slots_are_equal():
    task = Copy(problem="n-grams", controller="lstm", hidden=8, slots=9, width=4, batch=3, longest=12)
    model, xs = task.model({}), jnp.asarray(task.batch_at(None, 0, 0).xs)
    plain, params = (machine_starts.init(model, start, KEY) for start in ("constant", "content"))
    assert len(np.unique(params.memory.round(3), axis=1).T) == 9 and plain.memory is None
    np.testing.assert_array_equal(machine_starts.logits(model, plain, xs), model.logits(plain.network, xs))
    gradient = jax.grad(lambda p: jnp.sum(machine_starts.logits(model, p, xs) ** 2))(params)
    assert (np.abs(gradient.memory).sum(axis=0) > 0).all()
    controls = model.cell.controls(params.network.cell.b)
    assert (controls.strength > 4.9).all() and (controls.gate > 0.95).all()
    assert not params.network.cell.b[: 2 * 4].any() and not params.network.cell.b[2 * 4 + 4 :].any()


def test_short_episodes_come_first(monkeypatch):
    lengths = []

    def update(task, rule, params, state, episodes):
        lengths.append(len(episodes.xs))
        return params, state, 0.0

    monkeypatch.setattr(turing_machine, "_update", update)
    monkeypatch.setattr(turing_machine, "cropped", lambda episodes: episodes)
    trial = turing_machine.TRIALS[0]._replace(episodes=10, batch=2, short=4)
    turing_machine.train(Copy(hidden=8, slots=9, width=4, batch=2), trial, seed=0)
    assert lengths == [2 * 5 + 1, 2 * 5 + 1, 2 * 10 + 1, 2 * 20 + 1, 2 * 20 + 1]
