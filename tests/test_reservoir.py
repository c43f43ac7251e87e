"""Reservoirs, their read-outs and the networks of both, against their definitions."""

import re
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from jaxrnn import (
    ESN,
    EveryLayer,
    Feedback,
    Readout,
    Reservoir,
    Stack,
    StateNoise,
    add_equations,
    no_equations,
    quiet,
    recurrent_matrix,
    ridge,
    solve,
    spectral_radius,
    track,
    tracker,
    unroll,
    washout_mask,
    with_noise,
    with_spectral_radius,
)
from jaxrnn.least_squares import BIAS_PENALTY
from jaxrnn.ridge import ROWS
from jaxrnn.testing.problem import quick_jit

KEY = jax.random.key(0)
RNG = np.random.default_rng(0)
HS, TARGETS = jnp.asarray(RNG.normal(size=(12, 3, 4))), jnp.asarray(RNG.normal(size=(12, 3, 2)))
MASK = jnp.asarray(RNG.random((12, 3)) < 0.8)


def numpy_ridge(hs, targets, penalty, mask):
    """The normal equations with the bias as an unpenalised column."""
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
    h, x = jax.random.normal(KEY, (5, 7)), jax.random.normal(KEY, (5, 2))
    expected = 0.3 * h + 0.6 * jnp.tanh(params.b + h @ recurrent_matrix(cell, params) + 2.0 * x @ params.u)
    np.testing.assert_allclose(cell.step(params, h, cell.project(params, x))[0], expected, rtol=0, atol=1e-14)


def test_every_unit_has_as_many_inputs_and_outputs_as_there_are_connections():
    cell = Reservoir(1, 11, connections=4, wiring=5)
    edges = np.asarray(recurrent_matrix(cell, cell.init(KEY))) != 0
    assert (edges.sum(0) == 4).all() and (edges.sum(1) == 4).all()
    assert cell.offsets != Reservoir(1, 11, connections=4, wiring=6).offsets


@pytest.mark.parametrize("connections", [2, None])
def test_the_spectral_radius_is_exactly_the_parameter(connections):
    cell = Reservoir(1, 9, connections, radius=1.25)
    params = cell.init(KEY)
    eigenvalues = np.linalg.eigvals(recurrent_matrix(cell, params._replace(radius=jnp.asarray(0.7))))
    assert abs(eigenvalues).max() == pytest.approx(0.7, abs=1e-12)
    assert float(spectral_radius(recurrent_matrix(cell, params))) == pytest.approx(1.25, abs=1e-12)


def test_a_nilpotent_matrix_has_no_spectral_radius_to_set(without_beartype):
    with pytest.raises(ValueError, match=r"`w` must have an eigenvalue other than 0.*nilpotent"):
        with_spectral_radius(jnp.triu(jnp.ones((4, 4)), 1)[jnp.array([2, 0, 3, 1])][:, jnp.array([2, 0, 3, 1])], 0.9)
    assert not jnp.isfinite(jax.jit(with_spectral_radius)(jnp.zeros((3, 3)), 0.9)).any()
    with pytest.raises(ValueError, match="square"):
        spectral_radius(jnp.ones((2, 3)))


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
    _, ys = unroll(cell, params, with_noise(KEY, jnp.zeros((200, 2, 1))))
    assert 0.199 < ys.max() <= 0.2 and -0.2 <= ys.min() < -0.199
    assert abs(ys.mean()) < 0.005 and ys.var() == pytest.approx(0.04 / 3, rel=0.03)
    assert not jnp.array_equal(ys[0], ys[1]) and not jnp.array_equal(ys[:, 0], ys[:, 1])
    assert not unroll(quiet(cell), params, jnp.zeros((3, 1)))[1].any()
    with pytest.raises(ValueError, match="`scale`"):
        StateNoise(quiet(cell), -0.1)


# --- the read-out


@pytest.mark.parametrize("penalty", [0.0, 0.3])
def test_ridge_is_the_solution_of_the_normal_equations_with_a_free_bias(penalty):
    expected = numpy_ridge(HS, TARGETS, penalty, MASK)
    for got in (ridge(HS, TARGETS, penalty, mask=MASK), solve(blocks(MASK), penalty)):
        np.testing.assert_allclose(got.v, expected[0], rtol=0, atol=1e-12)
        np.testing.assert_allclose(got.c, expected[1], rtol=0, atol=1e-12)


def test_many_penalties_are_single_solutions_by_one_factorisation_of_the_data():
    fit, penalties = partial(ridge, HS, TARGETS, mask=MASK), jnp.array([0.0, 0.3, 2.0])
    together = jax.vmap(fit)(penalties)
    for n, penalty in enumerate(penalties):
        np.testing.assert_allclose(together.v[n], fit(penalty).v, rtol=0, atol=1e-14)
    rows, columns = MASK.size, HS.shape[-1] + TARGETS.shape[-1]
    factored = re.findall(r":f64\[([\d,]+)\] \S+ = qr\[", str(jax.make_jaxpr(jax.vmap(fit))(penalties)))
    assert factored == [f"{rows},{columns}", f"3,{columns + HS.shape[-1]},{columns}"]


def blocks(mask):
    equations = no_equations(4, 2)
    for t in (slice(0, 5), slice(5, 12)):
        equations = add_equations(equations, HS[t], TARGETS[t], mask=mask[t])
    return equations


def test_what_is_masked_is_never_looked_at():
    spoilt = [jnp.where(MASK[..., None], a, jnp.nan) for a in (HS, TARGETS)]
    for got, want in zip(ridge(*spoilt, 0.1, mask=MASK), ridge(HS, TARGETS, 0.1, mask=MASK), strict=True):
        np.testing.assert_array_equal(got, want)
    equations = add_equations(no_equations(4, 2), *spoilt, mask=MASK)
    np.testing.assert_allclose(solve(equations, 0.1).v, solve(blocks(MASK), 0.1).v, rtol=0, atol=1e-13)
    gradient = jax.grad(lambda hs: ridge(hs, spoilt[1], 0.1, mask=MASK).v.sum())(spoilt[0])
    assert jnp.isfinite(gradient).all() and (gradient[~MASK] == 0).all()


def test_the_gradient_goes_through_the_solution(without_beartype):
    def fit(hs, targets, penalty):
        return ridge(hs, targets, penalty, mask=MASK)

    def fit_by_sums(hs, targets, penalty):
        return solve(add_equations(no_equations(4, 2), hs, targets, mask=MASK), penalty)

    for function in (fit, fit_by_sums):
        arguments = HS, TARGETS, jnp.asarray(0.3)
        check_grads(function, arguments, order=1, modes=("fwd", "rev"), atol=1e-6, rtol=1e-6)


def test_the_answer_has_float64_quality_with_x64_off():
    wide = np.random.default_rng(1).normal(size=(40, 6)) @ np.diag(10.0 ** -np.arange(6))  # condition 10⁵
    exact = np.arange(1.0, 7)[:, None] * 10.0 ** np.arange(6)[:, None]
    with jax.enable_x64(False):
        hs = jnp.asarray(wide, jnp.float32)
        targets = np.asarray(hs, np.float64) @ exact
        targets64 = targets.astype(np.float32)
        got = ridge(hs, jnp.asarray(targets64), 0.0)
        half = add_equations(no_equations(6, 1), hs[:20], jnp.asarray(targets64[:20]))
        summed = solve(add_equations(half, hs[20:], jnp.asarray(targets64[20:])), 0.0)
        gradient = jax.jit(jax.grad(lambda hs: ridge(hs, jnp.asarray(targets64), 0.0).v.sum()))(hs)
        mapped = jax.vmap(jax.jit(lambda hs: ridge(hs, jnp.asarray(targets64), 0.0).v))(hs[None])[0]
    assert got.v.dtype == gradient.dtype == jnp.float32
    want = numpy_ridge(np.asarray(hs, np.float64), targets64.astype(np.float64), 0.0, np.ones(40, bool))[0]
    for v, tolerance in ((got.v, 1e-6), (mapped, 1e-6), (summed.v, 1e-4)):
        np.testing.assert_allclose(v, want, rtol=tolerance)
    want = jax.grad(lambda hs: ridge(hs, jnp.asarray(targets64, float), 0.0).v.sum())(jnp.asarray(hs, float))
    np.testing.assert_allclose(gradient, want, rtol=1e-5, atol=1e-5 * float(abs(want).max()))


def test_sums_over_blocks_and_mirrored_parts_keep_48_bits_with_x64_off():
    rows, n, m = 2 * ROWS + 40, 130, 2
    hs, targets = RNG.normal(size=(rows, n)).astype(np.float32), RNG.normal(size=(rows, m)).astype(np.float32)
    with jax.enable_x64(False):
        sums = add_equations(no_equations(n, m), jnp.asarray(hs), jnp.asarray(targets))
    every = np.hstack([np.ones((rows, 1)), hs, targets]).astype(np.float64)
    got = np.asarray(sums.moments.high, np.float64) + np.asarray(sums.moments.low, np.float64)
    assert sums.moments.high.dtype == np.float32 and float(sums.count.high) == rows
    np.testing.assert_allclose(got, (every.T @ every)[:, : 1 + n], rtol=0, atol=rows * 2.0**-48)


def test_a_penalty_below_the_rounding_of_the_sums_is_raised_to_it():
    hs = jnp.concatenate([HS, HS[..., :1] + 1e-9 * HS[..., 1:2]], axis=-1)
    params = solve(add_equations(no_equations(5, 2), hs, TARGETS), 1e-300)
    least = jnp.linalg.norm(TARGETS - ridge(HS, TARGETS, 0.0).c - HS @ ridge(HS, TARGETS, 0.0).v)
    assert jnp.linalg.norm(TARGETS - params.c - hs @ params.v) == pytest.approx(float(least), rel=1e-6)


@pytest.mark.parametrize("bad", ["nan", "inf", "dependent columns", "no step"])
def test_where_there_is_no_solution_the_error_says_so(bad):
    hs, mask = HS, jnp.ones_like(MASK)
    if bad in ("nan", "inf"):
        hs = hs.at[3, 1, 2].set(float(bad))
    elif bad == "no step":
        mask = jnp.zeros_like(mask)
    else:
        hs = hs.at[..., 3].set(2 * hs[..., 0] - hs[..., 1] + 5)
    with pytest.raises(ValueError, match=r"`hs` must be finite.*no solution"):
        ridge(hs, TARGETS, 0.0, mask=mask)
    with pytest.raises(ValueError, match=r"`equations` must be finite.*no solution"):
        solve(add_equations(no_equations(4, 2), hs, TARGETS, mask=mask), 0.0)
    assert jnp.isnan(jax.jit(lambda hs: ridge(hs, TARGETS, 0.0, mask=mask).v)(hs)).any()


def test_arguments_of_a_regression_are_checked(without_beartype):
    for penalty in (-1e-9, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="`penalty` must be one number of at least 0"):
            ridge(HS, TARGETS, penalty)
        with pytest.raises(ValueError, match="`penalty`"):
            solve(blocks(MASK), penalty)
    with pytest.raises(ValueError, match=r"`targets` must have shape \(12, 3, 2\)"):
        ridge(HS, TARGETS[:, :1], 0.0)
    with pytest.raises(TypeError, match="`targets` must have a floating dtype"):
        ridge(HS, TARGETS.astype(int), 0.0)
    with pytest.raises(TypeError, match="`mask` must be boolean"):
        ridge(HS, TARGETS, 0.0, mask=MASK.astype(int))
    with pytest.raises(ValueError, match=r"`equations.moments.high` must have shape \(7, 5\)"):
        add_equations(no_equations(3, 2), HS, TARGETS)
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
    for t in (slice(0, 5), slice(5, 12)):
        state, os = track(state, HS[t], TARGETS[t], mask=MASK[t])
    want = ridge(HS, TARGETS, 1e-3, mask=MASK)
    np.testing.assert_allclose(state.readout.v, want.v, rtol=0, atol=1e-8)
    np.testing.assert_allclose(state.readout.c, want.c, rtol=0, atol=1e-8)
    assert (os[~MASK[5:]] == 0).all()


def test_a_forgetting_factor_weighs_the_past_by_its_powers():
    x, y, forgetting = HS[:, 0], TARGETS[:, 0], 0.8
    state, _ = track(tracker(4, 2, penalty=0.1), x, y, forgetting=forgetting)
    weights, rows = forgetting ** np.arange(11, -1, -1), np.hstack([np.ones((12, 1)), x])
    prior = forgetting**12 * 0.1 * np.diag([BIAS_PENALTY, 1, 1, 1, 1])
    want = np.linalg.solve((rows.T * weights) @ rows + prior, (rows.T * weights) @ np.asarray(y))
    np.testing.assert_allclose(state.v.high, want, rtol=0, atol=1e-8)


# --- washout


def test_each_series_loses_its_own_washout_and_each_episode_too():
    mask = jnp.array([[1, 1], [0, 1], [1, 1], [1, 1], [1, 0]], bool)
    kept = washout_mask(mask, jnp.array([1, 3]))
    assert kept.astype(int).tolist() == [[0, 0], [0, 0], [1, 0], [1, 1], [1, 0]]
    reset = jnp.zeros((5, 2), bool).at[2, 1].set(True)
    assert washout_mask(mask, 1, reset=reset)[:, 1].astype(int).tolist() == [0, 1, 0, 1, 0]


def test_a_washout_as_long_as_the_series_is_an_error(without_beartype):
    mask = jnp.array([[1, 1], [0, 1], [1, 1]], bool)
    with pytest.raises(ValueError, match="`washout` must be shorter than each series, got 2 for one of 2 valid steps"):
        washout_mask(mask, 2)
    with pytest.raises(ValueError, match="`washout` must be at least 0, got -1"):
        washout_mask(mask, -1)
    with pytest.raises(TypeError, match="`washout` must be integers"):
        washout_mask(mask, 0.5)
    with pytest.raises(ValueError, match=r"`washout` must have shape \(2,\)"):
        washout_mask(mask, jnp.array([1, 1, 1]))


# --- the network

XS = jnp.asarray(RNG.normal(size=(30, 2, 3)))
YS = jnp.asarray(RNG.normal(size=(30, 2, 1)))


def test_a_network_without_feedback_is_its_reservoir_and_a_ridge_regression():
    esn = ESN(Stack((Reservoir(3, 6, 2), Reservoir(6, 5, 2))), Readout(5, 1))
    _, params = esn.fit(esn.init(KEY), XS, YS, penalty=0.1, washout=4)
    _, hs = unroll(esn.cell, params.cell, XS)
    want = ridge(hs[4:], YS[4:], 0.1)
    np.testing.assert_allclose(params.readout.v, want.v, rtol=0, atol=1e-12)
    np.testing.assert_allclose(esn.apply(params, XS)[1], hs @ want.v + want.c, rtol=0, atol=1e-12)


def test_a_deep_reservoir_is_read_in_every_layer(without_beartype):
    cells = Reservoir(3, 6, 2), StateNoise(Reservoir(6, 5, 2), 0.1)
    esn = ESN(EveryLayer(quiet(Stack(cells))), Readout(11, 1))
    _, params = esn.fit(esn.init(KEY), XS, YS, penalty=0.1, washout=4)
    lower = unroll(cells[0], params.cell[0], XS)[1]
    hs = jnp.concatenate([lower, unroll(quiet(cells[1]), params.cell[1], lower)[1]], axis=-1)
    want = ridge(hs[4:], YS[4:], 0.1)
    np.testing.assert_allclose(params.readout.v, want.v, rtol=0, atol=1e-12)
    np.testing.assert_allclose(esn.apply(params, XS)[1], hs @ want.v + want.c, rtol=0, atol=1e-12)
    assert quiet(EveryLayer(Stack(cells))) == esn.cell
    with pytest.raises(TypeError, match="`stack` must be a Stack"):
        EveryLayer(cells[0])


def test_with_feedback_the_reservoir_is_driven_by_the_truth_and_then_runs_free():
    cell = Reservoir(3 + 1, 6, 2, retention=0.4)
    esn = ESN(cell, Readout(6, 1), feedback=True)
    mask = jnp.ones((30, 2), bool).at[20:, 1].set(False).at[7, 0].set(False)
    (h, fed), params = esn.fit(esn.init(KEY), XS, jnp.where(mask[..., None], YS, jnp.nan), penalty=0.1, mask=mask)
    row = 1  # without holes, so that what stood before is the target before
    both = jnp.concatenate([XS[:20, row], jnp.concatenate([jnp.zeros((1, 1)), YS[:19, row]])], axis=-1)
    after, _ = unroll(cell, params.cell, both)
    np.testing.assert_allclose(h[row], after, rtol=0, atol=1e-14)
    np.testing.assert_array_equal(fed[row], YS[19, row])
    free = Feedback(cell, esn.readout, "logits")
    want, _ = unroll(free, params, XS, (h, fed) and type(free.initial_carry(params, (2,)))(h, fed))
    got, _ = esn.apply(params, XS, type(want)(h, fed))
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-14)


def test_the_sums_of_stretches_are_those_of_the_states_of_all():
    steps, late = ROWS + 7, ROWS // 2 + 30
    xs, ys = jnp.asarray(RNG.normal(size=(steps, 2, 3))), jnp.asarray(RNG.normal(size=(steps, 2, 1)))
    mask = jnp.ones((steps, 2), bool).at[late + 20 :, 1].set(False).at[7, 0].set(False)
    reset = jnp.zeros((steps, 2), bool).at[late, 0].set(True)
    ys = jnp.where(mask[..., None], ys, jnp.nan)
    esn = ESN(StateNoise(Reservoir(3 + 1, 4, 2, retention=0.4), 0.1), Readout(4, 1), feedback=True)
    params, nothing = esn.init(KEY), no_equations(4, 1)

    def by_states(esn, **options):
        carry, hs = esn.states(params, xs, ys, mask=mask, reset=reset, **options)
        return carry, add_equations(nothing, hs, ys, mask=washout_mask(mask, 5, reset=reset))

    noisy = esn.accumulate(params, nothing, xs, ys, washout=5, mask=mask, reset=reset, key=KEY)
    still, sums, carry = quiet(esn), nothing, None
    for t, lost in ((slice(0, late), 5), (slice(late, None), jnp.array([5, 0]))):  # one row goes on, the other begins
        carry, sums = still.accumulate(params, sums, xs[t], ys[t], carry, washout=lost, mask=mask[t], reset=reset[t])
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
    assert abs(one - two).max() > 1e-3
    none, still = (e.fit(params, XS, YS, penalty=0.1, key=KEY)[1].readout.v for e in (quiet(esn), quiet(esn)))
    np.testing.assert_array_equal(none, still)


def test_a_search_over_reservoirs_is_one_program_and_its_gradient_trains_the_leak():
    esn = ESN(Reservoir(3, 6, 2), Readout(6, 1))

    def error(params, radius, retention, penalty):
        leaky = params.cell._replace(radius=radius, retention=jnp.full(6, retention), gain=jnp.full(6, 1 - retention))
        _, params = esn.fit(params._replace(cell=leaky), XS[:20], YS[:20], penalty=penalty, washout=3)
        return jnp.mean((esn.apply(params, XS)[1][20:] - YS[20:]) ** 2)

    params = jax.vmap(esn.init)(jax.random.split(KEY, 3))
    radii, retentions, penalties = jnp.array([0.5, 0.9, 1.2]), jnp.array([0.1, 0.0, 0.5]), jnp.array([1.0, 0.1, 0.01])
    errors = quick_jit(jax.vmap(error))(params, radii, retentions, penalties)
    one_by_one = quick_jit(error)
    for i in range(3):
        alone = one_by_one(jax.tree.map(lambda p, i=i: p[i], params), radii[i], retentions[i], penalties[i])
        np.testing.assert_allclose(errors[i], alone, rtol=0, atol=1e-10)
    first = jax.tree.map(lambda p: p[0], params)
    slope = quick_jit(jax.grad(error, 2))(first, radii[0], retentions[0], penalties[0])
    step = 1e-5
    ends = [one_by_one(first, radii[0], retentions[0] + d, penalties[0]) for d in (step, -step)]
    assert float(slope) == pytest.approx(float((ends[0] - ends[1]) / (2 * step)), rel=1e-5)
