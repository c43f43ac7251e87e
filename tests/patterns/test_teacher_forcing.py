"""Teacher forcing equals the scan that reads the truth; scheduled sampling lies between it and running free."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrnn import GRU, LSTM, Elman, Readout, unroll
from jaxrnn.cells import Jordan
from jaxrnn.cells.jordan import FEEDBACKS
from jaxrnn.core.programs import equations, trace_program
from jaxrnn.patterns import Feedback, scheduled_sampling, teacher_forced
from jaxrnn.testing import loops
from jaxrnn.testing.host_trees import host
from jaxrnn.testing.problem import initial_carry
from tests.random_params import random_params

TIME, BATCH, INPUT, HIDDEN, OUTPUT = 6, 4, 2, 4, 3
CELLS = {
    **{f"jordan_{f}": Jordan(INPUT, HIDDEN, OUTPUT, f) for f in FEEDBACKS},
    "feedback_lstm": Feedback(LSTM(INPUT + OUTPUT, HIDDEN), Readout(HIDDEN, OUTPUT)),
    "feedback_sample": Feedback(Elman(INPUT + OUTPUT, HIDDEN), Readout(HIDDEN, OUTPUT), "sample"),
}
every_cell = pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS.keys())
two_cells = pytest.mark.parametrize(
    "cell", [CELLS["jordan_probabilities"], CELLS["feedback_lstm"]], ids=["jordan", "both"]
)
JORDAN = CELLS["jordan_probabilities"]
KEY = jax.random.key(7)

THERE = np.arange(TIME)[:, None] < [6, 4, 0, 6]
THERE[[2, 1], [3, 1]] = False
CROSSED = np.zeros((TIME, BATCH), bool)
CROSSED[[0, 2, 5, 3], [1, 3, 0, 2]] = True
MASK, RESET = jax.device_put((THERE, CROSSED))
WHICH = {"plain": {}, "mask": {"mask": MASK}, "reset": {"reset": RESET}, "both": {"mask": MASK, "reset": RESET}}


def problem(cell):
    rng, params = np.random.default_rng(0), random_params(cell)
    xs, targets = rng.normal(size=(TIME, BATCH, INPUT)), rng.integers(0, OUTPUT, (TIME, BATCH))
    carry = jax.tree.map(lambda leaf: leaf + 0.2, host(initial_carry(cell, params, (BATCH,))))
    if cell.feedback == "sample":
        xs = (xs, rng.gumbel(size=(TIME, BATCH, OUTPUT)))
    return params, *jax.device_put((xs, targets, carry))


def distributions(seed):
    return jax.device_put(np.random.default_rng(seed).dirichlet(np.ones(OUTPUT), (TIME, BATCH)))


def must_agree(got, want, atol=1e-13):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-10, atol=atol), got, want)


def by_loops(cell, params, xs, targets, carry, heads, mask=None, reset=None, reverse=False):
    """Run the definition row by row and step by step, with Python's `if`."""
    step = jax.jit(lambda carry, x: cell.step(params, carry, cell.project(params, x)))
    with_fed = jax.jit(cell.with_fed)
    initial, one_hot = initial_carry(cell, params, ()), np.eye(OUTPUT)[targets]
    xs, carry, mask, reset = host((xs, carry, mask, reset))
    os, carries = np.zeros((TIME, BATCH, OUTPUT)), []
    for b in range(BATCH):
        state = jax.tree.map(lambda leaf, b=b: leaf[b], carry)
        for t in reversed(range(TIME)) if reverse else range(TIME):
            crossed = t + 1 if reverse else t
            if reset is not None and crossed < TIME and reset[crossed, b]:
                state = initial
            if mask is not None and not mask[t, b]:
                continue
            state, os[t, b] = step(state, jax.tree.map(lambda x, t=t, b=b: x[t, b], xs))
            if heads[t, b]:
                state = with_fed(state, one_hot[t, b])
        carries.append(state)
    return jax.tree.map(lambda *rows: np.stack(rows), *carries), os


@pytest.mark.parametrize(
    ("cell", "which", "reverse"),
    [(JORDAN, which, reverse) for which in WHICH for reverse in (False, True) if reverse or which != "plain"]
    + [(CELLS["feedback_lstm"], "both", False), (CELLS["feedback_lstm"], "both", True)],
)
def test_teacher_forcing_reads_the_last_valid_truth(cell, which, reverse):
    params, xs, targets, carry = problem(cell)
    got = teacher_forced(cell, params, xs, targets, carry, **WHICH[which], reverse=reverse)
    heads = np.ones((TIME, BATCH), bool)
    must_agree(got, by_loops(cell, params, xs, targets, carry, heads, **WHICH[which], reverse=reverse))


@pytest.mark.parametrize(
    ("cell", "reverse"), [*[(cell, False) for cell in CELLS.values()], (JORDAN, True), (CELLS["feedback_lstm"], True)]
)
def test_teacher_forcing_equals_the_scan_in_values_and_every_gradient(cell, reverse):
    params, xs, _, carry = problem(cell)
    truth, weights = distributions(7), np.random.default_rng(8).normal(size=(TIME, BATCH, OUTPUT))

    def objective(run):
        def total(params, xs, truth, carry):
            after, os = run(cell, params, xs, truth, carry)
            return sum(jnp.sum(jnp.sin(leaf)) for leaf in jax.tree.leaves(after)) + jnp.sum(weights * os)

        return jax.jit(jax.value_and_grad(total, argnums=(0, 1, 2, 3)))(params, xs, truth, carry)

    def scan(cell, params, xs, truth, carry):
        return scheduled_sampling(KEY, cell, params, xs, truth, 1, carry, mask=MASK, reset=RESET, reverse=reverse)

    def parallel(cell, params, xs, truth, carry):
        return teacher_forced(cell, params, xs, truth, carry, mask=MASK, reset=RESET, reverse=reverse)

    got, want = objective(parallel), objective(scan)
    must_agree(got, want)
    assert all(np.any(np.asarray(leaf) != 0) for leaf in jax.tree.leaves(want[1][0]))


def has_loops(f, *arguments):
    return any(eqn.primitive.name in ("scan", "while") for eqn in equations(trace_program(f, *arguments)))


def test_teacher_forced_jordan_has_no_loop_forwards_or_backwards_and_its_scan_has():
    params, xs, targets, _ = problem(JORDAN)

    def forced(params, **which):
        return jnp.sum(teacher_forced(JORDAN, params, xs, targets, **which)[1] ** 2)

    def scanned(params):
        return jnp.sum(scheduled_sampling(KEY, JORDAN, params, xs, targets, 1)[1] ** 2)

    assert not has_loops(forced, params)
    for which in WHICH.values():
        assert not has_loops(jax.value_and_grad(lambda params, which=which: forced(params, **which)), params)
    assert len(loops(scanned, params)) == 1 and len(loops(jax.grad(scanned), params)) == 2


def test_with_hidden_edges_only_the_hidden_edges_are_left_in_the_loop():
    """Teacher forcing and BPTT together: one product with W a step; U, the feedback and V are outside."""
    cell = Feedback(Elman(INPUT + OUTPUT, HIDDEN), Readout(HIDDEN, OUTPUT))
    params, xs, targets, _ = problem(cell)
    assert [loop.dots for loop in loops(lambda p: teacher_forced(cell, p, xs, targets)[1], params)] == [1]
    assert [loop.dots for loop in loops(lambda p: unroll(cell, p, xs)[1], params)] == [3]
    assert len(loops(jax.grad(lambda p: teacher_forced(cell, p, xs, targets)[1].sum()), params)) == 2


@every_cell
def test_probability_1_is_teacher_forcing_and_0_is_free_running(cell):
    params, xs, targets, carry = problem(cell)
    which = WHICH["both"]
    one = scheduled_sampling(KEY, cell, params, xs, targets, 1.0, carry, **which)
    must_agree(one, teacher_forced(cell, params, xs, targets, carry, **which))
    zero = scheduled_sampling(KEY, cell, params, xs, targets, 0.0, carry, **which)
    must_agree(zero, unroll(cell, params, xs, carry, **which))
    assert not np.allclose(one[1], zero[1])


@two_cells
def test_the_probability_may_differ_from_step_to_step_and_from_row_to_row(cell):
    params, xs, targets, carry = problem(cell)
    by_step = np.array([1.0, 0.0, 0.0, 1.0, 0.0, 1.0])
    heads = np.broadcast_to(by_step[:, None] == 1, (TIME, BATCH))
    must_agree(
        scheduled_sampling(KEY, cell, params, xs, targets, jax.device_put(by_step), carry, mask=MASK),
        by_loops(cell, params, xs, targets, carry, heads, mask=MASK),
    )
    heads = np.random.default_rng(1).random((TIME, BATCH)) < 0.5
    must_agree(
        scheduled_sampling(KEY, cell, params, xs, targets, jax.device_put(heads.astype(float)), carry),
        by_loops(cell, params, xs, targets, carry, heads),
    )


def test_the_coin_falls_on_the_truth_as_often_as_it_should_in_each_row_anew():
    params, xs, targets, _ = problem(JORDAN)
    rows = 4000
    xs, targets = jax.device_put([np.repeat(np.asarray(a)[:2, :1], rows, axis=1) for a in (xs, targets)])
    _, mixed = scheduled_sampling(KEY, JORDAN, params, xs, targets, 0.3)
    forced, free = teacher_forced(JORDAN, params, xs, targets)[1], unroll(JORDAN, params, xs)[1]
    mixed, forced, free = host((mixed, forced, free))
    is_forced, is_free = (np.isclose(mixed[1], other[1]).all(axis=-1) for other in (forced, free))
    assert (is_forced ^ is_free).all()
    assert abs(is_forced.mean() - 0.3) < 4 * np.sqrt(0.3 * 0.7 / rows)
    _, again = scheduled_sampling(KEY, JORDAN, params, xs, targets, 0.3)
    np.testing.assert_array_equal(mixed, again)


@two_cells
@pytest.mark.parametrize("padding", [jnp.nan, 1e6, jnp.inf])
def test_nothing_on_padding_reaches_an_output_or_a_gradient(cell, padding):
    params, xs, _, carry = problem(cell)
    truth = distributions(7)

    @jax.jit
    @partial(jax.value_and_grad, argnums=(0, 1, 2, 3))
    def total(params, xs, truth, carry):
        after, os = teacher_forced(cell, params, xs, truth, carry, mask=MASK, reset=RESET)
        return sum(jnp.sum(jnp.sin(leaf)) for leaf in jax.tree.leaves((after, os)))

    wild = (np.where(THERE[..., None], a, padding) for a in (xs, truth))
    got, want = host((total(params, *wild, carry), total(params, xs, truth, carry)))
    jax.tree.map(np.testing.assert_array_equal, got, want)
    assert (got[1][1][~THERE] == 0).all() and (got[1][2][~THERE] == 0).all()


@two_cells
def test_a_sequence_cut_anywhere_goes_on_with_the_carry(cell):
    params, xs, targets, carry = problem(cell)
    run = jax.jit(partial(teacher_forced, cell))
    xs, targets, want = host((xs, targets, run(params, xs, targets, carry, mask=MASK)))
    for k in (0, 2, TIME):
        middle, first = run(params, xs[:k], targets[:k], carry, mask=THERE[:k])
        after, second = run(params, xs[k:], targets[k:], middle, mask=THERE[k:])
        must_agree((after, np.concatenate([first, second])), want)


@two_cells
def test_rows_are_independent_and_no_batch_axis_works(cell):
    params, xs, targets, carry = problem(cell)
    run = jax.jit(partial(teacher_forced, cell))
    xs, targets, carry, (after, os) = host((xs, targets, carry, run(params, xs, targets, carry, reset=RESET)))
    row = jax.tree.map(lambda leaf: leaf[1], carry)
    got = run(params, xs[:, 1], targets[:, 1], row, reset=CROSSED[:, 1])
    must_agree(got, (jax.tree.map(lambda leaf: leaf[1], after), os[:, 1]))
    two = lambda a: a.reshape(a.shape[0], 2, 2, *a.shape[2:])  # noqa: E731
    mapped = jax.jit(jax.vmap(lambda x, y: run(params, x, y)[1], in_axes=1, out_axes=1))(xs, targets)
    must_agree(run(params, two(xs), two(targets))[1], two(np.asarray(mapped)))


def test_teacher_forced_jordan_has_forward_derivatives():
    params, xs, targets, _ = problem(JORDAN)
    run = jax.jit(lambda params: teacher_forced(JORDAN, params, xs, targets, mask=MASK)[1])
    params = host(params)
    direction = jax.tree.map(np.cos, params)
    _, got = jax.jit(lambda p, d: jax.jvp(run, (p,), (d,)))(params, direction)
    step = jax.tree.map(lambda d: 1e-6 * d, direction)
    plus, minus = (run(jax.tree.map(lambda p, s, sign=sign: p + sign * s, params, step)) for sign in (1, -1))
    np.testing.assert_allclose(got, (np.asarray(plus) - np.asarray(minus)) / 2e-6, atol=1e-8)


def test_a_token_out_of_range_is_an_error_on_a_valid_step_and_nan_under_jit():
    params, xs, targets, _ = problem(JORDAN)
    bad = np.array(targets)
    jitted = jax.jit(lambda bad: teacher_forced(JORDAN, params, xs, bad)[1])
    for wrong in (-1, OUTPUT):
        bad[2, 0] = wrong
        with pytest.raises(ValueError, match=rf"`targets` must lie in 0 … 2, got {wrong}"):
            teacher_forced(JORDAN, params, xs, jax.device_put(bad.copy()))
        nan = np.isnan(jitted(bad))
        assert nan[3, 0].all() and nan.sum() == OUTPUT
    ignored = jax.device_put(np.where(THERE, targets, -100))
    want = teacher_forced(JORDAN, params, xs, targets, mask=MASK)
    must_agree(teacher_forced(JORDAN, params, xs, ignored, mask=MASK), want)
    must_agree(jax.jit(lambda y: teacher_forced(JORDAN, params, xs, y, mask=MASK))(ignored), want)


@pytest.mark.parametrize("wrong", [-0.1, 1.5, float("nan")])
def test_a_probability_outside_its_range_is_named(wrong):
    params, xs, targets, _ = problem(JORDAN)
    for p in (wrong, jax.device_put(np.where(np.arange(TIME) == 3, wrong, 0.5))):
        with pytest.raises(ValueError, match=rf"`probability` must lie in 0 … 1, got {wrong}"):
            scheduled_sampling(KEY, JORDAN, params, xs, targets, p)


def test_wrong_arguments_are_named(without_beartype):
    params, xs, targets, _ = problem(JORDAN)
    with pytest.raises(ValueError, match=r"`probability` must be a number, or have shape \(6,\)"):
        scheduled_sampling(KEY, JORDAN, params, xs, targets, np.ones(BATCH))
    with pytest.raises(ValueError, match=r"`targets` must have shape \(6, 4\)"):
        teacher_forced(JORDAN, params, xs, targets[:-1])
    with pytest.raises(ValueError, match=r"`targets` must have shape \(6, 4, 3\)"):
        teacher_forced(JORDAN, params, xs, np.ones((TIME, BATCH, OUTPUT + 1)))
    with pytest.raises(TypeError, match="`targets` must be integers"):
        teacher_forced(JORDAN, params, xs, np.ones((TIME, BATCH, OUTPUT), complex))
    with pytest.raises(ValueError, match="`mask` must have shape"):
        teacher_forced(JORDAN, params, xs, targets, mask=MASK[:, :1])
    gru = GRU(INPUT, HIDDEN)
    with pytest.raises(TypeError, match="`cell` must feed its output back"):
        teacher_forced(gru, random_params(gru), xs, targets)


def test_the_mean_alone_is_fed_back_and_fills_the_gaps_of_a_series():
    """With what is observed as the coin, a missing value is replaced by the network's own mean, by hand as by coin."""
    cell = Feedback(LSTM(INPUT + 1, HIDDEN), Readout(HIDDEN, 2), "logits", fed_size=1)
    params, rng = random_params(cell), np.random.default_rng(0)
    xs, y = jnp.asarray(rng.normal(size=(TIME, BATCH, INPUT))), rng.normal(size=(TIME, BATCH, 1))
    y[2:4, 1] = y[0, 2] = np.nan
    observed = ~np.isnan(y[..., 0])
    _, os = scheduled_sampling(KEY, cell, params, xs, jnp.asarray(y), jnp.asarray(observed, float))
    filled = y.copy()
    for t in range(TIME):
        _, means = teacher_forced(cell, params, xs, jnp.asarray(np.nan_to_num(filled)))
        filled[t] = np.where(observed[t][:, None], y[t], means[t, :, :1])
    np.testing.assert_allclose(os, means, atol=1e-12)
    assert np.isfinite(os).all() and cell.initial_carry(params, (2,)).fed.shape == (2, 1)


@pytest.mark.parametrize(("feedback", "fed_size"), [("probabilities", 1), ("logits", 0), ("logits", 3)])
def test_a_part_that_cannot_be_fed_back_is_named(feedback, fed_size):
    with pytest.raises(ValueError, match=r"`fed_size` must be None, or with feedback=.* got"):
        Feedback(LSTM(3, 4), Readout(4, 2), feedback, fed_size=fed_size)
