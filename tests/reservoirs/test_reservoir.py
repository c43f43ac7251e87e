"""Reservoirs, read-outs, and networks of both, against their definitions."""

import re
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from jaxrnn import ESN, Readout, Stack, quiet, unroll, with_noise
from jaxrnn.cells.wrappers import EveryLayer, StateNoise
from jaxrnn.patterns import Feedback
from jaxrnn.reservoirs import (
    Reservoir,
    add_equations,
    no_equations,
    recurrent_matrix,
    ridge,
    solve,
    spectral_radius,
    track,
    tracker,
    washout_mask,
    with_spectral_radius,
)
from jaxrnn.reservoirs.recursive_least_squares import BIAS_PENALTY
from jaxrnn.reservoirs.ridge_regression import ROWS
from jaxrnn.testing.host_trees import host
from jaxrnn.testing.problem import quick_jit

KEY = jax.random.key(0)
RNG = np.random.default_rng(0)
DATA = RNG.normal(size=(12, 3, 4)), RNG.normal(size=(12, 3, 2)), RNG.random((12, 3)) < 0.8
HS, TARGETS, MASK = jax.device_put(DATA)
VALID = DATA[2]


def numpy_ridge(hs, targets, penalty, mask):
    """Solve the normal equations with the bias as an unpenalized column."""
    rows, n = np.asarray(mask).ravel(), hs.shape[-1]
    x = np.hstack([np.asarray(hs).reshape(len(rows), -1)[rows], np.ones((rows.sum(), 1))])
    y = np.asarray(targets).reshape(len(rows), -1)[rows]
    v = np.linalg.solve(x.T @ x + penalty * np.diag([1.0] * n + [0.0]), x.T @ y)
    return v[:-1], v[-1]


# --- the reservoir


@pytest.mark.parametrize("connections", [1, 3, 7, None])
def test_a_sparse_step_is_the_dense_one_with_the_recurrent_matrix(connections):
    cell = Reservoir(2, 7, connections, retention=0.3, gain=0.6, bias_scaling=0.5, input_scaling=2.0)
    params = cell.init(KEY)
    rng = np.random.default_rng(0)
    h, x = rng.normal(size=(5, 7)), rng.normal(size=(5, 2))
    w, after = quick_jit(lambda p, h, x: (recurrent_matrix(cell, p), cell.step(p, h, cell.project(p, x))[0]))(
        params, h, x
    )
    expected = 0.3 * h + 0.6 * np.tanh(np.asarray(params.b) + h @ np.asarray(w) + 2.0 * x @ np.asarray(params.u))
    np.testing.assert_allclose(after, expected, rtol=0, atol=1e-14)


def test_every_unit_has_as_many_inputs_and_outputs_as_there_are_connections():
    cell = Reservoir(1, 11, connections=4, wiring=5)
    edges = np.asarray(quick_jit(recurrent_matrix)(cell, cell.init(KEY))) != 0
    assert (edges.sum(0) == 4).all() and (edges.sum(1) == 4).all()
    assert cell.offsets != Reservoir(1, 11, connections=4, wiring=6).offsets


@pytest.mark.parametrize("connections", [2, None])
def test_the_spectral_radius_is_exactly_the_parameter(connections):
    cell = Reservoir(1, 9, connections, radius=1.25)
    params = cell.init(KEY)
    matrix = quick_jit(recurrent_matrix)
    eigenvalues = np.linalg.eigvals(matrix(cell, params._replace(radius=np.asarray(0.7))))
    assert abs(eigenvalues).max() == pytest.approx(0.7, abs=1e-12)
    assert float(spectral_radius(matrix(cell, params))) == pytest.approx(1.25, abs=1e-12)


def test_a_nilpotent_matrix_has_no_spectral_radius_to_set(without_beartype):
    with pytest.raises(ValueError, match=r"`w` must have a nonzero eigenvalue.*nilpotent"):
        order = [2, 0, 3, 1]
        with_spectral_radius(jax.device_put(np.triu(np.ones((4, 4)), 1)[order][:, order]), 0.9)
    assert not np.isfinite(jax.jit(with_spectral_radius)(np.zeros((3, 3)), 0.9)).any()
    with pytest.raises(ValueError, match="square"):
        spectral_radius(np.ones((2, 3)))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hidden_size": 0}, "`hidden_size`"),
        ({"connections": 0}, "`connections`"),
        ({"connections": 6}, "at most hidden_size=5"),
        ({"activation": "cos"}, "`activation`"),
        ({"radius": -1.0}, "`radius` must be at least 0"),
        ({"retention": float("nan")}, "`retention` must be at least 0"),
    ],
)
def test_a_reservoir_that_cannot_be_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        Reservoir(**{"input_size": 1, "hidden_size": 5, "connections": 2, **changes})


def test_noise_is_bounded_by_its_scale_and_fills_it():
    cell = StateNoise(Reservoir(1, 50, 3, "identity", radius=0.0), scale=0.2)
    params = cell.init(KEY)
    _, ys = unroll(cell, params, with_noise(KEY, jax.device_put(np.zeros((200, 2, 1)))))
    ys = np.asarray(ys)
    assert 0.199 < ys.max() <= 0.2 and -0.2 <= ys.min() < -0.199
    assert abs(ys.mean()) < 0.005 and ys.var() == pytest.approx(0.04 / 3, rel=0.03)
    assert not np.array_equal(ys[0], ys[1]) and not np.array_equal(ys[:, 0], ys[:, 1])
    assert not np.asarray(unroll(quiet(cell), params, jax.device_put(np.zeros((3, 1))))[1]).any()
    with pytest.raises(ValueError, match="`scale`"):
        StateNoise(quiet(cell), -0.1)


# --- the read-out


@pytest.mark.parametrize("penalty", [0.0, 0.3])
def test_ridge_is_the_solution_of_the_normal_equations_with_a_free_bias(penalty):
    expected = numpy_ridge(HS, TARGETS, penalty, MASK)
    for got in (ridge(HS, TARGETS, penalty, mask=MASK), solve(blocks(), penalty)):
        np.testing.assert_allclose(got.v, expected[0], rtol=0, atol=1e-12)
        np.testing.assert_allclose(got.c, expected[1], rtol=0, atol=1e-12)


def test_many_penalties_are_single_solutions_by_one_factorization_of_the_data():
    fit, penalties = partial(ridge, HS, TARGETS, mask=MASK), np.array([0.0, 0.3, 2.0])
    together = host(quick_jit(jax.vmap(fit))(penalties))
    for n, penalty in enumerate(penalties):
        np.testing.assert_allclose(together.v[n], fit(float(penalty)).v, rtol=0, atol=1e-14)
    rows, columns = MASK.size, HS.shape[-1] + TARGETS.shape[-1]
    factored = re.findall(r":f64\[([\d,]+)\] \S+ = qr\[", str(jax.make_jaxpr(jax.vmap(fit))(penalties)))
    assert factored == [f"{rows},{columns}", f"3,{columns + HS.shape[-1]},{columns}"]


def stretches():
    """Return the data in two parts."""
    return [jax.device_put([a[t] for a in DATA]) for t in (slice(0, 5), slice(5, 12))]


def blocks():
    equations = no_equations(4, 2)
    for hs, targets, mask in stretches():
        equations = add_equations(equations, hs, targets, mask=mask)
    return equations


def test_what_is_masked_is_never_looked_at():
    spoilt = jax.device_put([np.where(VALID[..., None], a, np.nan) for a in DATA[:2]])
    for got, want in zip(ridge(*spoilt, 0.1, mask=MASK), ridge(HS, TARGETS, 0.1, mask=MASK), strict=True):
        np.testing.assert_array_equal(got, want)
    equations = add_equations(no_equations(4, 2), *spoilt, mask=MASK)
    np.testing.assert_allclose(solve(equations, 0.1).v, solve(blocks(), 0.1).v, rtol=0, atol=1e-13)
    gradient = np.asarray(quick_jit(jax.grad(lambda hs: ridge(hs, spoilt[1], 0.1, mask=MASK).v.sum()))(spoilt[0]))
    assert np.isfinite(gradient).all() and (gradient[~VALID] == 0).all()


def test_the_gradient_goes_through_the_solution(without_beartype):
    def fit(hs, targets, penalty):
        return ridge(hs, targets, penalty, mask=MASK)

    def fit_by_sums(hs, targets, penalty):
        return solve(add_equations(no_equations(4, 2), hs, targets, mask=MASK), penalty)

    for function in (fit, fit_by_sums):
        arguments = HS, TARGETS, jax.device_put(0.3)
        check_grads(jax.jit(function), arguments, order=1, modes=("fwd", "rev"), atol=1e-6, rtol=1e-6)


def test_the_answer_has_float64_quality_with_x64_off():
    wide = np.random.default_rng(1).normal(size=(40, 6)) @ np.diag(10.0 ** -np.arange(6))  # condition 10⁵
    exact = np.arange(1.0, 7)[:, None] * 10.0 ** np.arange(6)[:, None]
    with jax.enable_x64(False):
        hs = wide.astype(np.float32)
        targets64 = (hs.astype(np.float64) @ exact).astype(np.float32)
        given, target = jax.device_put((hs, targets64))
        got = ridge(given, target, 0.0)
        half = add_equations(no_equations(6, 1), *jax.device_put((hs[:20], targets64[:20])))
        summed = solve(add_equations(half, *jax.device_put((hs[20:], targets64[20:]))), 0.0)
        gradient = jax.jit(jax.grad(lambda hs: ridge(hs, target, 0.0).v.sum()))(given)
        mapped = np.asarray(jax.vmap(jax.jit(lambda hs: ridge(hs, target, 0.0).v))(hs[None]))[0]
    assert got.v.dtype == gradient.dtype == jnp.float32
    want = numpy_ridge(np.asarray(hs, np.float64), targets64.astype(np.float64), 0.0, np.ones(40, bool))[0]
    for v, tolerance in ((got.v, 1e-6), (mapped, 1e-6), (summed.v, 1e-4)):
        np.testing.assert_allclose(v, want, rtol=tolerance)
    target = jax.device_put(targets64.astype(float))
    want = np.asarray(jax.jit(jax.grad(lambda hs: ridge(hs, target, 0.0).v.sum()))(hs.astype(float)))
    np.testing.assert_allclose(gradient, want, rtol=1e-5, atol=1e-5 * abs(want).max())


def test_sums_over_blocks_and_mirrored_parts_keep_48_bits_with_x64_off():
    rows, n, m = 2 * ROWS + 40, 130, 2
    hs, targets = RNG.normal(size=(rows, n)).astype(np.float32), RNG.normal(size=(rows, m)).astype(np.float32)
    with jax.enable_x64(False):
        sums = add_equations(no_equations(n, m), *jax.device_put((hs, targets)))
    every = np.hstack([np.ones((rows, 1)), hs, targets]).astype(np.float64)
    got = np.asarray(sums.moments.high, np.float64) + np.asarray(sums.moments.low, np.float64)
    assert sums.moments.high.dtype == np.float32 and float(sums.count.high) == rows
    np.testing.assert_allclose(got, (every.T @ every)[:, : 1 + n], rtol=0, atol=rows * 2.0**-48)


def test_a_penalty_below_the_rounding_of_the_sums_is_raised_to_it():
    one, targets, _ = DATA
    hs = np.concatenate([one, one[..., :1] + 1e-9 * one[..., 1:2]], axis=-1)
    params = host(solve(add_equations(no_equations(5, 2), jax.device_put(hs), TARGETS), 1e-300))
    without = host(ridge(HS, TARGETS, 0.0))
    least = np.linalg.norm(targets - without.c - one @ without.v)
    assert np.linalg.norm(targets - params.c - hs @ params.v) == pytest.approx(least, rel=1e-6)


@pytest.mark.parametrize("bad", ["nan", "inf", "dependent columns", "no step"])
def test_where_there_is_no_solution_the_error_says_so(bad):
    hs, mask = DATA[0].copy(), np.full(VALID.shape, bad != "no step")
    if bad in ("nan", "inf"):
        hs[3, 1, 2] = float(bad)
    elif bad == "dependent columns":
        hs[..., 3] = 2 * hs[..., 0] - hs[..., 1] + 5
    hs, mask = jax.device_put((hs, mask))
    with pytest.raises(ValueError, match=r"`hs` must be finite.*no solution"):
        ridge(hs, TARGETS, 0.0, mask=mask)
    with pytest.raises(ValueError, match=r"`equations` must be finite.*no solution"):
        solve(add_equations(no_equations(4, 2), hs, TARGETS, mask=mask), 0.0)
    assert np.isnan(jax.jit(lambda hs, mask: ridge(hs, TARGETS, 0.0, mask=mask).v)(hs, mask)).any()


def test_arguments_of_a_regression_are_checked(without_beartype):
    for penalty in (-1e-9, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="`penalty` must be one number of at least 0"):
            ridge(HS, TARGETS, penalty)
        with pytest.raises(ValueError, match="`penalty`"):
            solve(blocks(), penalty)
    with pytest.raises(ValueError, match=r"`targets` must have shape \(12, 3, 2\)"):
        ridge(HS, DATA[1][:, :1], 0.0)
    with pytest.raises(TypeError, match="`targets` must have a floating dtype"):
        ridge(HS, DATA[1].astype(int), 0.0)
    with pytest.raises(TypeError, match="`mask` must be boolean"):
        ridge(HS, TARGETS, 0.0, mask=VALID.astype(int))
    with pytest.raises(ValueError, match=r"`equations.moments.high` must have shape \(7, 5\)"):
        add_equations(no_equations(3, 2), HS, TARGETS)
    for equations in (None, (1.0, np.ones((7, 5)))):
        with pytest.raises(TypeError, match="`equations` must be those of no_equations and add_equations, got"):
            solve(equations, 0.0)
        with pytest.raises(TypeError, match="`equations` must be"):
            add_equations(equations, HS, TARGETS)
    with pytest.raises(ValueError, match="`penalty` must be above 0"):
        tracker(4, 2, 0.0)
    for forgetting in (0.0, 1.1):
        with pytest.raises(ValueError, match="`forgetting` must lie in"):
            track(tracker(4, 2, 1.0), HS, TARGETS, forgetting=forgetting)
    with pytest.raises(ValueError, match=r"`state\.v\.high`"):
        track(tracker(3, 2, 1.0), HS, TARGETS)


# --- online


def test_recursive_least_squares_is_ridge_after_every_block():
    state = tracker(4, 2, penalty=1e-3)
    for hs, targets, mask in stretches():
        state, os = track(state, hs, targets, mask=mask)
    want = ridge(HS, TARGETS, 1e-3, mask=MASK)
    np.testing.assert_allclose(state.readout.v, want.v, rtol=0, atol=1e-8)
    np.testing.assert_allclose(state.readout.c, want.c, rtol=0, atol=1e-8)
    assert (np.asarray(os)[~VALID[5:]] == 0).all()


def test_a_forgetting_factor_weighs_the_past_by_its_powers():
    x, y, forgetting = DATA[0][:, 0], DATA[1][:, 0], 0.8
    state, _ = track(tracker(4, 2, penalty=0.1), *jax.device_put((x, y)), forgetting=forgetting)
    weights, rows = forgetting ** np.arange(11, -1, -1), np.hstack([np.ones((12, 1)), x])
    prior = forgetting**12 * 0.1 * np.diag([BIAS_PENALTY, 1, 1, 1, 1])
    want = np.linalg.solve((rows.T * weights) @ rows + prior, (rows.T * weights) @ y)
    np.testing.assert_allclose(state.v.high, want, rtol=0, atol=1e-8)


# --- washout


def test_each_series_loses_its_own_washout_and_each_episode_too():
    mask = jax.device_put(np.array([[1, 1], [0, 1], [1, 1], [1, 1], [1, 0]], bool))
    kept = washout_mask(mask, jax.device_put(np.array([1, 3])))
    assert np.asarray(kept).astype(int).tolist() == [[0, 0], [0, 0], [1, 0], [1, 1], [1, 0]]
    reset = jax.device_put(np.arange(10).reshape(5, 2) == 5)
    kept = np.asarray(washout_mask(mask, 1, reset=reset))
    assert kept[:, 1].astype(int).tolist() == [0, 1, 0, 1, 0]


def test_a_washout_as_long_as_the_series_is_an_error(without_beartype):
    mask = jax.device_put(np.array([[1, 1], [0, 1], [1, 1]], bool))
    with pytest.raises(ValueError, match="`washout` must be shorter than each series, got 2 for one of 2 valid steps"):
        washout_mask(mask, 2)
    with pytest.raises(ValueError, match="`washout` must be at least 0, got -1"):
        washout_mask(mask, -1)
    with pytest.raises(TypeError, match="`washout` must be integers"):
        washout_mask(mask, 0.5)
    with pytest.raises(ValueError, match=r"`washout` must have shape \(2,\)"):
        washout_mask(mask, np.array([1, 1, 1]))


# --- the network

INPUTS, OUTPUTS = RNG.normal(size=(30, 2, 3)), RNG.normal(size=(30, 2, 1))
XS, YS = jax.device_put((INPUTS, OUTPUTS))


def ridge_behind(washout, hs):
    return host(ridge(*jax.device_put((np.asarray(hs)[washout:], OUTPUTS[washout:])), 0.1))


def test_a_network_without_feedback_is_its_reservoir_and_a_ridge_regression():
    esn = ESN(Stack((Reservoir(3, 6, 2), Reservoir(6, 5, 2))), Readout(5, 1))
    _, params = esn.fit(esn.init(KEY), XS, YS, penalty=0.1, washout=4)
    hs = np.asarray(unroll(esn.cell, params.cell, XS)[1])
    want = ridge_behind(4, hs)
    np.testing.assert_allclose(params.readout.v, want.v, rtol=0, atol=1e-12)
    np.testing.assert_allclose(esn.apply(params, XS)[1], hs @ want.v + want.c, rtol=0, atol=1e-12)


def test_a_deep_reservoir_is_read_in_every_layer(without_beartype):
    cells = Reservoir(3, 6, 2), StateNoise(Reservoir(6, 5, 2), 0.1)
    esn = ESN(EveryLayer(quiet(Stack(cells))), Readout(11, 1))
    _, params = esn.fit(esn.init(KEY), XS, YS, penalty=0.1, washout=4)
    lower = unroll(cells[0], params.cell[0], XS)[1]
    hs = np.concatenate([lower, unroll(quiet(cells[1]), params.cell[1], lower)[1]], axis=-1)
    want = ridge_behind(4, hs)
    np.testing.assert_allclose(params.readout.v, want.v, rtol=0, atol=1e-12)
    np.testing.assert_allclose(esn.apply(params, XS)[1], hs @ want.v + want.c, rtol=0, atol=1e-12)
    assert quiet(EveryLayer(Stack(cells))) == esn.cell
    with pytest.raises(TypeError, match="`stack` must be a Stack"):
        EveryLayer(cells[0])


def test_with_feedback_the_reservoir_is_driven_by_the_truth_and_then_runs_free():
    cell = Reservoir(3 + 1, 6, 2, retention=0.4)
    esn = ESN(cell, Readout(6, 1), feedback=True)
    mask = np.ones((30, 2), bool)
    mask[20:, 1] = mask[7, 0] = False
    ys, mask = jax.device_put((np.where(mask[..., None], OUTPUTS, np.nan), mask))
    (h, fed), params = esn.fit(esn.init(KEY), XS, ys, penalty=0.1, mask=mask)
    row = 1  # without holes, so that what stood before is the target before
    both = np.concatenate([INPUTS[:20, row], np.concatenate([np.zeros((1, 1)), OUTPUTS[:19, row]])], axis=-1)
    after, _ = unroll(cell, params.cell, jax.device_put(both))
    np.testing.assert_allclose(np.asarray(h)[row], after, rtol=0, atol=1e-14)
    np.testing.assert_array_equal(np.asarray(fed)[row], OUTPUTS[19, row])
    free = Feedback(cell, esn.readout, "logits")
    want, _ = unroll(free, params, XS, (h, fed) and type(free.initial_carry(params, (2,)))(h, fed))
    got, _ = esn.apply(params, XS, type(want)(h, fed))
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-14)


def test_the_sums_of_stretches_are_those_of_the_states_of_all():
    steps, late = ROWS + 7, ROWS // 2 + 30
    mask, reset = np.ones((steps, 2), bool), np.zeros((steps, 2), bool)
    mask[late + 20 :, 1] = mask[7, 0] = False
    reset[late, 0] = True
    data = (
        RNG.normal(size=(steps, 2, 3)),
        np.where(mask[..., None], RNG.normal(size=(steps, 2, 1)), np.nan),
        mask,
        reset,
    )
    xs, ys, mask, reset = jax.device_put(data)
    esn = ESN(StateNoise(Reservoir(3 + 1, 4, 2, retention=0.4), 0.1), Readout(4, 1), feedback=True)
    params, nothing = esn.init(KEY), no_equations(4, 1)

    def by_states(esn, **options):
        carry, hs = esn.states(params, xs, ys, mask=mask, reset=reset, **options)
        return carry, add_equations(nothing, hs, ys, mask=washout_mask(mask, 5, reset=reset))

    noisy = esn.accumulate(params, nothing, xs, ys, washout=5, mask=mask, reset=reset, key=KEY)
    still, sums, carry = quiet(esn), nothing, None
    for t, lost in (
        (slice(0, late), 5),
        (slice(late, None), jax.device_put(np.array([5, 0]))),
    ):  # one row goes on, the other begins
        x, y, m, r = jax.device_put([a[t] for a in data])
        carry, sums = still.accumulate(params, sums, x, y, carry, washout=lost, mask=m, reset=r)
    for got, want in ((noisy, by_states(esn, key=KEY)), ((carry, sums), by_states(still))):
        for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
            np.testing.assert_allclose(a, b, rtol=0, atol=1e-11)
    with pytest.raises(TypeError, match="`key` must be given"):
        esn.accumulate(params, nothing, xs, ys)


def test_noise_asks_for_a_key_and_leaves_with_quiet():
    esn = ESN(StateNoise(Reservoir(4, 6, 2), 0.1), Readout(6, 1), feedback=True)
    params = esn.init(KEY)
    with pytest.raises(TypeError, match="`key` must be given"):
        esn.fit(params, XS, YS, penalty=0.1)
    one, two = (esn.fit(params, XS, YS, penalty=0.1, key=jax.random.key(k))[1].readout.v for k in (0, 1))
    assert abs(np.asarray(one) - np.asarray(two)).max() > 1e-3
    none, still = (e.fit(params, XS, YS, penalty=0.1, key=KEY)[1].readout.v for e in (quiet(esn), quiet(esn)))
    np.testing.assert_array_equal(none, still)


def test_a_search_over_reservoirs_is_one_program_and_its_gradient_trains_the_leak():
    esn = ESN(Reservoir(3, 6, 2), Readout(6, 1))

    def error(params, radius, retention, penalty):
        leaky = params.cell._replace(radius=radius, retention=jnp.full(6, retention), gain=jnp.full(6, 1 - retention))
        _, params = esn.fit(params._replace(cell=leaky), XS[:20], YS[:20], penalty=penalty, washout=3)
        return jnp.mean((esn.apply(params, XS)[1][20:] - YS[20:]) ** 2)

    params = host(quick_jit(jax.vmap(esn.init))(jax.random.split(KEY, 3)))
    radii, retentions, penalties = np.array([0.5, 0.9, 1.2]), np.array([0.1, 0.0, 0.5]), np.array([1.0, 0.1, 0.01])
    errors = np.asarray(quick_jit(jax.vmap(error))(params, radii, retentions, penalties))
    one_by_one = quick_jit(error)
    for i in range(3):
        alone = one_by_one(jax.tree.map(lambda p, i=i: p[i], params), radii[i], retentions[i], penalties[i])
        np.testing.assert_allclose(errors[i], alone, rtol=0, atol=1e-10)
    first = jax.tree.map(lambda p: p[0], params)
    slope = quick_jit(jax.grad(error, 2))(first, radii[0], retentions[0], penalties[0])
    step = 1e-5
    ends = [one_by_one(first, radii[0], retentions[0] + d, penalties[0]) for d in (step, -step)]
    assert float(slope) == pytest.approx(float((ends[0] - ends[1]) / (2 * step)), rel=1e-5)
