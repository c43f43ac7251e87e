"""Teacher forcing is the scan that reads the truth, without the scan; scheduled sampling is the way between."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrnn import GRU, LSTM, Elman, Feedback, Jordan, Readout, scheduled_sampling, teacher_forced, unroll
from jaxrnn.cells.jordan import FEEDBACKS

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

LENGTHS = jnp.array([6, 4, 0, 6])
MASK = (jnp.arange(TIME)[:, None] < LENGTHS) & jnp.ones((TIME, BATCH), bool).at[2, 3].set(False).at[1, 1].set(False)
RESET = jnp.zeros((TIME, BATCH), bool).at[0, 1].set(True).at[2, 3].set(True).at[5, 0].set(True).at[3, 2].set(True)
WHICH = {"plain": {}, "mask": {"mask": MASK}, "reset": {"reset": RESET}, "both": {"mask": MASK, "reset": RESET}}


def problem(cell):
    keys = jax.random.split(jax.random.key(0), 5)
    params = jax.tree.map(lambda leaf: leaf + 0.1, cell.init(keys[0]))
    xs = jax.random.normal(keys[1], (TIME, BATCH, INPUT))
    targets = jax.random.randint(keys[2], (TIME, BATCH), 0, OUTPUT)
    carry = jax.tree.map(lambda leaf: leaf + 0.2, cell.initial_carry(params, (BATCH,)))
    if cell.feedback == "sample":
        xs = (xs, jax.random.gumbel(keys[3], (TIME, BATCH, OUTPUT)))
    return params, xs, targets, carry


def must_agree(got, want, atol=1e-13):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-10, atol=atol), got, want)


def by_loops(cell, params, xs, targets, carry, heads, mask=None, reset=None, reverse=False):
    """The definition, row by row and step by step, in Python's `if`."""
    step = jax.jit(lambda carry, x: cell.step(params, carry, cell.project(params, x)))
    initial, one_hot = cell.initial_carry(params), np.eye(OUTPUT)[targets]
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
                state = cell.with_fed(state, jnp.asarray(one_hot[t, b]))
        carries.append(state)
    return jax.tree.map(lambda *rows: jnp.stack(rows), *carries), os


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
    truth = jax.nn.softmax(jax.random.normal(KEY, (TIME, BATCH, OUTPUT)))
    weights = jax.random.normal(jax.random.key(8), (TIME, BATCH, OUTPUT))

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
    assert all(jnp.any(leaf != 0) for leaf in jax.tree.leaves(want[1][0]))


def loops(f, *arguments):
    """(name, products in the body) of every loop in the program of f."""

    def inner(eqn):
        values = [v for p in eqn.params.values() for v in (p if isinstance(p, (tuple, list)) else [p])]
        return [getattr(v, "jaxpr", v) for v in values if hasattr(v, "jaxpr") or hasattr(v, "eqns")]

    def walk(jaxpr):
        for eqn in jaxpr.eqns:
            if eqn.primitive.name in ("scan", "while"):
                yield eqn.primitive.name, sum(str(j).count("dot_general[") for j in inner(eqn))
            for j in inner(eqn):
                yield from walk(j)

    return list(walk(jax.make_jaxpr(f)(*arguments).jaxpr))


def test_teacher_forced_jordan_has_no_loop_forwards_or_backwards_and_its_scan_has():
    params, xs, targets, _ = problem(JORDAN)

    def forced(params, **which):
        return jnp.sum(teacher_forced(JORDAN, params, xs, targets, **which)[1] ** 2)

    def scanned(params):
        return jnp.sum(scheduled_sampling(KEY, JORDAN, params, xs, targets, 1)[1] ** 2)

    assert loops(forced, params) == []
    for which in WHICH.values():
        assert loops(jax.value_and_grad(lambda params, which=which: forced(params, **which)), params) == []
    assert len(loops(scanned, params)) == 1 and len(loops(jax.grad(scanned), params)) == 2


def test_with_hidden_edges_only_the_hidden_edges_are_left_in_the_loop():
    """Teacher forcing and BPTT together: one product with W a step; U, the feedback and V are outside."""
    cell = Feedback(Elman(INPUT + OUTPUT, HIDDEN), Readout(HIDDEN, OUTPUT))
    params, xs, targets, _ = problem(cell)
    assert loops(lambda p: teacher_forced(cell, p, xs, targets)[1], params) == [("scan", 1)]
    assert loops(lambda p: unroll(cell, p, xs)[1], params) == [("scan", 3)]
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
    by_step = jnp.array([1.0, 0.0, 0.0, 1.0, 0.0, 1.0])
    heads = np.broadcast_to(by_step[:, None] == 1, (TIME, BATCH))
    must_agree(
        scheduled_sampling(KEY, cell, params, xs, targets, by_step, carry, mask=MASK),
        by_loops(cell, params, xs, targets, carry, heads, mask=MASK),
    )
    heads = np.array(jax.random.bernoulli(jax.random.key(1), 0.5, (TIME, BATCH)))
    must_agree(
        scheduled_sampling(KEY, cell, params, xs, targets, jnp.asarray(heads, float), carry),
        by_loops(cell, params, xs, targets, carry, heads),
    )


def test_the_coin_falls_on_the_truth_as_often_as_it_should_in_each_row_anew():
    params, xs, targets, _ = problem(JORDAN)
    rows = 4000
    xs, targets = jnp.repeat(xs[:2, :1], rows, axis=1), jnp.repeat(targets[:2, :1], rows, axis=1)
    _, mixed = scheduled_sampling(KEY, JORDAN, params, xs, targets, 0.3)
    forced, free = teacher_forced(JORDAN, params, xs, targets)[1], unroll(JORDAN, params, xs)[1]
    is_forced, is_free = (jnp.isclose(mixed[1], other[1]).all(axis=-1) for other in (forced, free))
    assert (is_forced ^ is_free).all()
    assert abs(is_forced.mean() - 0.3) < 4 * np.sqrt(0.3 * 0.7 / rows)
    _, again = scheduled_sampling(KEY, JORDAN, params, xs, targets, 0.3)
    np.testing.assert_array_equal(mixed, again)


@two_cells
@pytest.mark.parametrize("padding", [jnp.nan, 1e6, jnp.inf])
def test_nothing_on_padding_reaches_an_output_or_a_gradient(cell, padding):
    params, xs, _, carry = problem(cell)
    truth = jax.nn.softmax(jax.random.normal(KEY, (TIME, BATCH, OUTPUT)))

    def results(xs, truth):
        def total(params, xs, truth, carry):
            after, os = teacher_forced(cell, params, xs, truth, carry, mask=MASK, reset=RESET)
            return sum(jnp.sum(jnp.sin(leaf)) for leaf in jax.tree.leaves((after, os)))

        return jax.jit(jax.value_and_grad(total, argnums=(0, 1, 2, 3)))(params, xs, truth, carry)

    wild = (jnp.where(MASK[..., None], a, padding) for a in (xs, truth))
    got, want = results(*wild), results(xs, truth)
    jax.tree.map(np.testing.assert_array_equal, got, want)
    assert (got[1][1][~MASK] == 0).all() and (got[1][2][~MASK] == 0).all()


@two_cells
def test_a_sequence_cut_anywhere_goes_on_with_the_carry(cell):
    params, xs, targets, carry = problem(cell)
    want = teacher_forced(cell, params, xs, targets, carry, mask=MASK)
    for k in (0, 2, TIME):
        middle, first = teacher_forced(cell, params, xs[:k], targets[:k], carry, mask=MASK[:k])
        after, second = teacher_forced(cell, params, xs[k:], targets[k:], middle, mask=MASK[k:])
        must_agree((after, jnp.concatenate([first, second])), want)


@two_cells
def test_rows_are_independent_and_no_batch_axis_works(cell):
    params, xs, targets, carry = problem(cell)
    after, os = teacher_forced(cell, params, xs, targets, carry, reset=RESET)
    row = jax.tree.map(lambda leaf: leaf[1], carry)
    got = teacher_forced(cell, params, xs[:, 1], targets[:, 1], row, reset=RESET[:, 1])
    must_agree(got, (jax.tree.map(lambda leaf: leaf[1], after), os[:, 1]))
    two = lambda a: a.reshape(a.shape[0], 2, 2, *a.shape[2:])  # noqa: E731
    mapped = jax.vmap(lambda x, y: teacher_forced(cell, params, x, y)[1], in_axes=1, out_axes=1)(xs, targets)
    must_agree(teacher_forced(cell, params, two(xs), two(targets))[1], two(mapped))


def test_teacher_forced_jordan_has_forward_derivatives():
    params, xs, targets, _ = problem(JORDAN)
    run = lambda params: teacher_forced(JORDAN, params, xs, targets, mask=MASK)[1]  # noqa: E731
    direction = jax.tree.map(jnp.cos, params)
    _, got = jax.jvp(run, (params,), (direction,))
    step = jax.tree.map(lambda d: 1e-6 * d, direction)
    plus, minus = (run(jax.tree.map(lambda p, s, sign=sign: p + sign * s, params, step)) for sign in (1, -1))
    np.testing.assert_allclose(got, (plus - minus) / 2e-6, atol=1e-8)


def test_a_token_out_of_range_is_an_error_on_a_valid_step_and_nan_under_jit():
    params, xs, targets, _ = problem(JORDAN)
    for wrong in (-1, OUTPUT):
        bad = targets.at[2, 0].set(wrong)
        with pytest.raises(ValueError, match=rf"`targets` must lie in 0 … 2, got {wrong}"):
            teacher_forced(JORDAN, params, xs, bad)
        os = jax.jit(lambda bad: teacher_forced(JORDAN, params, xs, bad)[1])(bad)
        assert jnp.isnan(os[3, 0]).all() and not jnp.isnan(os.at[3, 0].set(0)).any()
    ignored = jnp.where(MASK, targets, -100)
    want = teacher_forced(JORDAN, params, xs, targets, mask=MASK)
    must_agree(teacher_forced(JORDAN, params, xs, ignored, mask=MASK), want)
    must_agree(jax.jit(lambda y: teacher_forced(JORDAN, params, xs, y, mask=MASK))(ignored), want)


@pytest.mark.parametrize("wrong", [-0.1, 1.5, float("nan")])
def test_a_probability_outside_its_range_is_named(wrong):
    params, xs, targets, _ = problem(JORDAN)
    for p in (wrong, jnp.full(TIME, 0.5).at[3].set(wrong)):
        with pytest.raises(ValueError, match=rf"`probability` must lie in 0 … 1, got {wrong}"):
            scheduled_sampling(KEY, JORDAN, params, xs, targets, p)


def test_wrong_arguments_are_named(without_beartype):
    params, xs, targets, _ = problem(JORDAN)
    with pytest.raises(ValueError, match=r"`probability` must be a number, or have shape \(6,\)"):
        scheduled_sampling(KEY, JORDAN, params, xs, targets, jnp.ones(BATCH))
    with pytest.raises(ValueError, match=r"`targets` must have shape \(6, 4\)"):
        teacher_forced(JORDAN, params, xs, targets[:-1])
    with pytest.raises(ValueError, match=r"`targets` must have shape \(6, 4, 3\)"):
        teacher_forced(JORDAN, params, xs, jnp.ones((TIME, BATCH, OUTPUT + 1)))
    with pytest.raises(TypeError, match="`targets` must be integers"):
        teacher_forced(JORDAN, params, xs, jnp.ones((TIME, BATCH, OUTPUT), complex))
    with pytest.raises(ValueError, match="`mask` must have shape"):
        teacher_forced(JORDAN, params, xs, targets, mask=MASK[:, :1])
    gru = GRU(INPUT, HIDDEN)
    with pytest.raises(TypeError, match="`cell` must feed its output back"):
        teacher_forced(gru, gru.init(KEY), xs, targets)
