"""The tasks of Hochreiter & Schmidhuber 1997 are the paper's, and so are the networks."""

import re
from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxrnn
from benchmarks.reproduce import lstm_problems as problems
from benchmarks.reproduce.lstm_criteria import Stage, Task, judge, passed
from benchmarks.reproduce.lstm_of_1997 import LSTM1997, AddedCell, Params1997
from benchmarks.reproduce.lstm_tasks import TASKS, outcome, show, two_sequences
from benchmarks.reproduce.lstm_training import fixed_sets, grow, held, learn_every_step, logits, run, start

KEY = jax.random.key(0)
LOOP = "T*V(PXT*V)*(PSE|VE)"
INNER = f"B(TS*X(SE|X{LOOP})|P{LOOP})"
EMBEDDED = re.compile(f"B(T{INNER}T|P{INNER}P)E")


def drawn(problem, batch=300) -> problems.Sequences:
    return jax.device_get(problem(KEY, batch))


def test_strings_are_of_the_embedded_reber_grammar_and_its_possible_symbols_contain_the_next_one():
    s = drawn(problems.embedded_reber)
    ends = s.trained.sum(axis=0)
    strings = [
        "".join(problems.REBER[k] for k in [*x[:n].argmax(-1), y[n - 1].argmax()])
        for x, y, n in zip(s.xs.swapaxes(0, 1), s.targets.swapaxes(0, 1), ends, strict=True)
    ]
    assert all(map(EMBEDDED.fullmatch, strings))
    assert min(map(len, strings)) == 9 and 11 < np.mean([len(string) for string in strings]) < 13
    assert (s.truth[s.trained] >= s.targets[s.trained]).all()
    assert set(s.truth[s.trained].sum(axis=-1)) == {1, 2} and len(set(strings)) > 50
    second = s.xs[1].argmax(-1)
    np.testing.assert_array_equal(s.truth[ends - 2, np.arange(300)].argmax(-1), second)


@pytest.mark.parametrize("regular", [True, False])
def test_the_last_symbol_of_a_long_lag_is_its_first(regular):
    s = drawn(partial(problems.long_lag, symbols=20, regular=regular))
    first, last = s.xs[0].argmax(-1), s.targets[-1].argmax(-1)
    np.testing.assert_array_equal(first, last)
    assert set(first) == {19, 20} and (s.xs[1:, :, :19].sum(-1) == 1).all() and s.xs.shape == (20, 300, 21)
    np.testing.assert_array_equal(s.xs[1:], s.targets[:-1])
    assert len({tuple(row) for row in s.xs.argmax(-1).T}) == (2 if regular else 300)
    assert s.judged.sum() == (20 * 300 if regular else 300) and s.judged[-1].all()


def test_the_trigger_asks_for_the_second_symbol_after_at_least_q_distractors():
    s = drawn(partial(problems.very_long_lag, symbols=7, lag=30), 2000)
    symbols, ends = s.xs.argmax(-1), s.judged.argmax(axis=0)
    assert (s.judged.sum(0) == 1).all() and (symbols[0] == 8).all() and ends.min() == 32
    assert ends.mean() - 32 == pytest.approx(9, abs=1)  # 0.9 / 0.1
    assert (symbols[ends, np.arange(2000)] == 7).all() and (symbols[2:32] < 7).all()
    np.testing.assert_array_equal(symbols[1] - 9, s.truth[0].argmax(-1))


@pytest.mark.parametrize("noise", ["after", "everywhere", "targets"])
def test_the_first_elements_of_a_two_sequence_problem_tell_the_class(noise):
    s = drawn(partial(problems.two_sequences, length=40, informative=3, noise=noise), 3000)
    positive = s.truth[0, :, 0] == (0.2 if noise == "targets" else 1)
    clean = s.xs[:3, :, 0] - np.where(positive, 1, -1)
    assert clean.var() == pytest.approx(0.2 if noise == "everywhere" else 0, abs=0.02)
    assert s.xs[3:].var() == pytest.approx(0.2, rel=0.05) and abs(positive.mean() - 0.5) < 0.05
    assert (s.targets - s.truth).var() == pytest.approx(0.1 if noise == "targets" else 0, abs=0.01)
    ends = s.judged.argmax(axis=0)
    assert ends.min() == 39 and ends.max() == 43


@pytest.mark.parametrize("product", [True, False])
def test_two_numbers_are_marked_and_the_answer_is_their_scaled_sum_or_their_product(product):
    s = drawn(partial(problems.marked_numbers, length=40, product=product), 500)
    values, marks, ends = s.xs[..., 0], s.xs[..., 1], s.judged.argmax(axis=0)
    for row, (x, mark, end) in enumerate(zip(values.T, marks.T, ends, strict=True)):
        at = np.flatnonzero(mark == 1)
        numbers = x[at] if len(at) == 2 else [*x[at], 1.0 if product else 0.0]  # the first step has −1 instead
        assert (
            (at.min() < 10 or len(at) == 1)
            and at.max() < 20
            and mark[0] == mark[end] == -1
            and (mark != 0).sum() == len(at) + 2
        )
        answer = numbers[0] * numbers[1] if product else 0.5 + sum(numbers) / 4
        np.testing.assert_allclose(s.truth[end, row, 0], answer, rtol=1e-6)
    assert values.max() > 0.9 and (values.min() > 0) == product


@pytest.mark.parametrize("letters", [2, 3])
def test_the_class_of_temporal_order_is_told_by_its_letters(letters):
    s = drawn(partial(problems.order, letters=letters))
    ends, symbols = s.judged.argmax(axis=0), s.xs.argmax(-1)
    assert ends.min() == 99 and ends.max() == 109 and (symbols[0] == 0).all()
    for row, end in zip(symbols.T, ends, strict=True):
        at = np.flatnonzero(row >= 6)
        assert row[end] == 1 and len(at) == letters
        assert all(a <= t <= b for t, (a, b) in zip(at, problems.WINDOWS[letters], strict=True))
    which = np.array([row[row >= 6] - 6 for row in symbols.T])
    np.testing.assert_array_equal(s.truth[0].argmax(-1), which @ 2 ** np.arange(letters))


def test_without_recurrent_weights_of_the_gates_the_cell_of_1997_is_an_lstm_that_forgets_nothing():
    cell, library = LSTM1997(3, 2, 2), jaxrnn.LSTM(3, 4)
    u, w, b = (jax.random.normal(k, s) for k, s in zip(jax.random.split(KEY, 3), [(3, 8), (8, 8), (8,)], strict=True))
    params = Params1997(u, w.at[:4].set(0), b)

    def spread(rows):  # i, i, o, o, g, g, g, g → i, f, g, o, each of four
        i, o = (jnp.repeat(rows[..., k : k + 2], 2, axis=-1) for k in (0, 2))
        return jnp.concatenate([i, jnp.zeros_like(i), rows[..., 4:] / 2, o], axis=-1)

    same = library.init(KEY)._replace(u=spread(u), w=spread(w[4:]), b=spread(b).at[4:8].set(40))
    xs = jax.random.normal(KEY, (20, 5, 3))
    np.testing.assert_allclose(jaxrnn.unroll(cell, params, xs)[1], jaxrnn.unroll(library, same, xs)[1], rtol=1e-5)


def test_the_truncated_gradient_goes_back_along_s_alone():
    cell, xs = LSTM1997(3, 2, 2), jax.random.normal(KEY, (6, 5, 3))
    params = cell.init(KEY)
    carry = jax.tree.map(lambda a: a + 0.1, cell.initial_carry(params, (5,)))
    gradient = jax.grad(lambda carry: jnp.sum(jaxrnn.unroll_bptt(cell, params, xs, carry)[1][-1]))(carry)
    assert not gradient.units.any() and (jnp.abs(gradient.s) > 0.01).all()


@pytest.mark.parametrize(
    "name, weights",
    [("1 Reber", 276), ("2c, p 50, q 50", 364), ("3a, N 1", 102), ("4, T 100", 93), ("6a", 156), ("6b", 308)],
)
def test_the_networks_have_as_many_weights_as_those_of_the_paper(name, weights):
    task = TASKS[name][0]
    ones = jax.tree.map(jnp.ones_like, start(task, "as in 1997", KEY).params)
    assert sum(int(leaf.sum()) for leaf in jax.tree.leaves(held(task, "as in 1997", ones))) == weights


def test_gates_start_at_the_biases_of_the_paper_and_the_other_weights_within_its_range():
    cell, readout = start(TASKS["3a, N 3"][0], "as in 1997", KEY).params
    np.testing.assert_allclose(cell.b[:6], [-1, -3, -5, -2, -4, -6])
    assert all(0 < float(jnp.abs(leaf).max()) < 0.1 for leaf in (cell.u, cell.w, cell.b[6:], readout.v))
    assert float(cell.w.max()) > 0.09 and float(cell.w.min()) < -0.09


def test_the_gates_of_task_4_start_closed_and_those_of_task_5_at_random_as_in_the_papers_table_10():
    biases = {n: start(TASKS[f"{n}, T 100"][0], "as in 1997", KEY).params[0].b for n in (4, 5)}
    np.testing.assert_allclose(biases[4][:2], [-3, -6])
    assert float(jnp.abs(biases[5]).min()) > 0 and float(jnp.abs(biases[5]).max()) < 0.1


def test_strings_of_the_test_are_not_among_those_of_the_training():
    sets = fixed_sets(TASKS["1 Reber"][0], jax.random.split(KEY, 3))
    for known, others in zip(*(s.xs.argmax(-1).swapaxes(1, 2) for s in sets), strict=True):
        known, others = ({tuple(map(int, string)) for string in strings} for strings in (known, others))
        assert not known & others and len(others) > 100


def test_a_cell_is_added_once_the_error_has_stopped_falling_and_the_network_then_has_the_papers_weights():
    task, how = TASKS["2a, p 100"][0], "as in 1997"
    states = jax.vmap(lambda key: start(task, how, key))(jax.random.split(KEY, 2))
    xs = problems.long_lag(KEY, 1, symbols=100, regular=True).xs
    before, after = (
        logits(task, how, jax.tree.map(lambda a: a[1], s.params), xs)
        for s in (states, grow(states, np.array([False, True])))
    )
    readout = states.params[1].v[1]
    np.testing.assert_allclose(before, xs @ readout[1:], atol=1e-5)
    assert float(jnp.abs(after - before).max()) > 1
    assert grow(grow(states, np.array([False, True])), np.array([False, False])).params[0].there.tolist() == [0, 1]
    ones = held(task, how, jax.tree.map(jnp.ones_like, start(task, how, KEY).params))
    assert sum(int(leaf.sum()) for leaf in jax.tree.leaves((ones[0].u, ones[0].b, ones[1]))) == 10_504


def test_the_cell_that_is_added_sums_what_its_input_gate_lets_in():
    cell, xs = AddedCell(3), jax.random.normal(KEY, (7, 2, 3))
    params = cell.init(KEY)._replace(b=jnp.array([0.3, -0.2]), there=jnp.ones(()))
    sums = jnp.cumsum(jax.nn.sigmoid(xs @ params.u + params.b).prod(axis=-1), axis=0)
    np.testing.assert_allclose(jaxrnn.unroll(cell, params, xs)[1][..., 0], sums, rtol=1e-5)


def test_a_linear_output_is_judged_as_it_is():
    task = TASKS["4, T 100, linear"][0]
    truth, judged = jnp.full((1, 2, 1), 0.9), jnp.ones((1, 2), bool)
    s = problems.Sequences(truth, truth, judged, truth, judged)
    o = jnp.array([[[0.91], [2.2]]])  # σ(2.2) = 0.9
    np.testing.assert_allclose(judge(task, s, o), [[0, 0.01], [1, 1.3]], atol=1e-5)
    assert judge(TASKS["4, T 100"][0], s, o)[:, 0].tolist() == [1, 0]


def test_a_sequence_is_wrong_if_one_judged_output_is():
    truth = jnp.array([[[0.0, 1.0]], [[1.0, 1.0]]])
    judged = jnp.array([[False], [True]])
    s = problems.Sequences(truth, truth, judged, truth, judged)
    exact = TASKS["2a, p 100"][0]
    o = jnp.array([[[9.0, -9.0]], [[9.0, 1.0]]])  # the first step is not judged; σ(1) errs by 0.27
    np.testing.assert_allclose(judge(exact, s, o), [[1, (1 - jax.nn.sigmoid(1.0)) / 2]], atol=1e-4)
    assert judge(exact, s, o.at[1, 0, 1].set(2.0))[0, 0] == 0
    ranked = TASKS["1 Reber"][0]
    assert judge(ranked, s._replace(truth=truth.at[1, 0, 1].set(0)), o)[0, 0] == 0
    assert judge(ranked, s._replace(truth=truth.at[1, 0, 0].set(0)), o)[0, 0] == 1
    assert judge(exact, s, jnp.full_like(o, jnp.nan))[0, 0] == 1


def test_at_a_rate_near_zero_updates_at_every_step_add_up_to_the_gradient_of_the_whole_string():
    task, how = replace(TASKS["1 Reber"][0], rate=1e-3), "as in 1997"
    params, s = start(task, how, KEY).params, problems.embedded_reber(KEY, 1)

    def loss(params):
        y = jax.nn.sigmoid(logits(task, how, params, s.xs))
        return jnp.sum((y - s.targets) ** 2 * s.trained[..., None]) / 2

    moved, o = learn_every_step(task, how, params, s)
    whole = jax.tree.map(lambda p, g: p - task.rate * g, params, jax.grad(loss)(params))
    np.testing.assert_allclose(o, logits(task, how, params, s.xs), atol=0.05)
    for here, there, before in zip(*map(jax.tree.leaves, (moved, whole, params)), strict=True):
        scale = float(jnp.abs(there - before).max())
        np.testing.assert_allclose(here, there, atol=0.03 * scale + 1e-8)


def by_the_appendix(params, s, rate):
    """Update after each step by equations 19 to 28 of appendix A.1; return (U, W, b, V)."""
    (u, w, b), v = (np.array(a, dtype=float) for a in params[0]), np.array(params[1].v, dtype=float)

    def sigmoid(a):
        return 1 / (1 + np.exp(-a))

    m, block = np.concatenate([u, w, b[None]]), np.arange(6) // 2
    units, state = np.zeros(12), np.zeros(6)
    of_gate, of_cell = np.zeros((6, 20)), np.zeros((6, 20))
    for x, target in zip(s.xs[:, 0], s.targets[:, 0], strict=True):
        read = np.concatenate([x, units, [1.0]])
        a = read @ m
        i, o, g = sigmoid(a[:3])[block], sigmoid(a[3:6])[block], 4 * sigmoid(a[6:]) - 2
        state = state + i * g
        h = 2 * sigmoid(state) - 1
        of_gate += np.outer(g * i * (1 - i), read)
        of_cell += np.outer(i * (4 - g**2) / 4, read)
        y = sigmoid(o * h @ v)
        e = (target - y) * y * (1 - y)
        back = v @ e
        e_state, e_o = o * (1 - h**2) / 2 * back, h * back * o * (1 - o)
        v = v + rate * np.outer(o * h, e)
        for c in range(6):
            m[:, block[c]] += rate * e_state[c] * of_gate[c]
            m[:, 3 + block[c]] += rate * e_o[c] * read
            m[:-1, 6 + c] += rate * e_state[c] * of_cell[c][:-1]  # cells have no biases
        units = np.concatenate([sigmoid(a[:6]), o * h])
    return m[:7], m[7:19], m[19], v


def test_updates_at_every_step_are_those_of_the_papers_appendix():
    task, how = TASKS["1 Reber"][0], "as in 1997"
    params, s = start(task, how, KEY).params, problems.embedded_reber(KEY, 1)
    params = held(task, how, jax.tree.map(lambda a: 3 * a, params))  # further from 0 than at the start
    n = int(s.trained.sum())
    s = jax.device_get(jax.tree.map(lambda a: a[:n], s))
    moved, _ = learn_every_step(task, how, params, s)
    expected = by_the_appendix(params, s, task.rate)
    for here, there, before in zip((*moved[0], moved[1].v), expected, (*params[0], params[1].v), strict=True):
        assert float(jnp.abs(here - before).max()) > 1e-3
        np.testing.assert_allclose(here, there, rtol=1e-6, atol=1e-9)


def test_a_stage_bounds_the_wrong_sequences_and_the_mean_error():
    found = np.zeros((2, 10, 2))
    found[1, :6, 0], found[:, :, 1] = 1, [[0.02], [0.005]]
    task = Task(
        problems.embedded_reber,
        7,
        7,
        1,
        1,
        1.0,
        0.1,
        9,
        stages=(Stage("a", 5), Stage("b", 6, 0.01), Stage("c", 0, 0.03)),
    )
    assert passed(task, found) == {"a": [True, False], "b": [False, True], "c": [True, False]}


def test_a_short_two_sequence_problem_is_learned_by_both_trainings_and_not_before_it_is():
    task = two_sequences(12, 3, "after")
    for training in ("as in 1997", "modern"):
        figures = run(task, training, 40_000, range(2))
        (st1, st2), wrong = figures["after"].values(), figures["wrong"]
        assert all(0 < a <= b <= figures["ran"] < 40_000 for a, b in zip(st1, st2, strict=True)) and max(wrong) < 30
        assert max(figures["error"]) < 0.02 and "ST1 2 / 2 after" in show(figures)
    never = run(replace(task, rate=0.0), "as in 1997", 1, range(1))
    assert never["after"] == {"ST1": [0], "ST2": [0]} and never["ran"] == 1024 and never["wrong"][0] > 2000
    assert outcome([0, 30, 10]) == (2, 3, " after 20")
