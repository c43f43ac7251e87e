"""`unroll_newton` satisfies the laws of the unroll family; its report is correct; nothing fails silently."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrnn import GRU, LSTM, Elman, MinGRU, unroll, unroll_newton
from jaxrnn import testing as laws
from jaxrnn.testing.problem import quick_jit
from jaxrnn.unrolling.parallel import Newton, newton
from jaxrnn.unrolling.parallel.levenberg_marquardt import damped_recurrence
from jaxrnn.unrolling.parallel.packed_jacobians import LAYOUTS, Layout, jacobians
from tests.unrolling.laws_of_the_family import FAMILY

SOLVERS = (
    Newton("diagonal"),
    Newton("blocks", damping=0.5),
    Newton("blocks", trust=0.1),
    Newton("diagonal", gradient="associative"),
    Newton("diagonal", iterations=1),
    Newton(guess="step"),
)
LSTM_CELL, GRU_CELL = LSTM(3, 5), GRU(3, 5)


@pytest.mark.parametrize("law", FAMILY, ids=lambda law: law.__name__)
def test_a_law_of_the_family_holds(law, without_beartype):
    law(Elman(3, 5), unroll=unroll_newton)


@pytest.mark.parametrize("solver", SOLVERS, ids=repr)
def test_results_and_gradients_do_not_depend_on_how_the_updates_are_made(solver):
    laws.law_members_agree(LSTM_CELL, unroll=partial(unroll_newton, solver=solver))


@pytest.mark.parametrize("gradient", ["scan", "associative"])
def test_both_modes_and_second_derivatives_are_finite_differences(gradient):
    member = partial(unroll_newton, solver=Newton("diagonal", gradient=gradient))
    laws.law_derivatives_are_finite_differences(Elman(3, 2), unroll=member)


def run(cell, xs, solver, **options):
    params = cell.init(jax.random.key(0))
    return params, newton(cell, params, xs, solver=solver, **options)


XS = jax.random.normal(jax.random.key(1), (40, 3, 3), jnp.float64)


@pytest.mark.parametrize(
    ("cell", "jacobian"), [(Elman(3, 5, "identity"), "full"), (MinGRU(3, 5), "diagonal")], ids=["elman", "min_gru"]
)
def test_a_linear_cell_takes_one_update(cell, jacobian):
    _, (_, _, report) = run(cell, XS, Newton(jacobian))
    np.testing.assert_array_equal(report.iterations, [1, 1, 1])
    assert bool(report.converged.all())


def test_jacobi_s_updates_settle_one_step_each():
    """damping=1: J is 0, and h⁽ᵗ⁾ is right when h⁽ᵗ⁻¹⁾ is, so τ updates solve τ steps, and no fewer do.

    Up to rounding: the first residual is computed by another program than those in the loop.
    """
    _, (_, _, report) = run(LSTM_CELL, XS[:7], Newton(damping=1.0))
    np.testing.assert_array_equal(report.iterations, [7, 7, 7])


def test_better_jacobians_take_fewer_updates():
    def count(solver):
        return int(run(LSTM_CELL, XS, solver)[1][2].iterations.max())

    full, blocks, diagonal = map(count, (Newton(), Newton("blocks"), Newton("diagonal")))
    assert full < blocks < diagonal < 40


def test_the_residual_is_that_of_the_result():
    params, (_, ys, report) = run(GRU_CELL, XS, Newton())
    before = jnp.concatenate([jnp.zeros_like(ys[:1]), ys[:-1]])
    after, _ = GRU_CELL.step(params, before, GRU_CELL.project(params, XS))
    assert float(jnp.abs(after - ys).max()) <= float(report.residual.max()) + 1e-15 < 1e-13


def chaotic(gain):
    cell = Elman(3, 20)
    params = cell.init(jax.random.key(0))
    return cell, params._replace(w=gain * params.w)


def test_what_has_not_converged_is_the_scan_s_and_is_said():
    cell, params = chaotic(4.0)
    solver = Newton(iterations=5)
    report = newton(cell, params, XS, solver=solver)[2]
    assert not bool(report.converged.any()) and float(report.residual.min()) > 1e-3
    np.testing.assert_array_equal(report.iterations, [5, 5, 5])

    def gradient(member):
        return jax.grad(lambda p: jnp.sum(member(cell, p, XS)[1] ** 2))(params)

    got, want = gradient(partial(unroll_newton, solver=solver)), gradient(unroll)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-8), got, want)


def test_a_row_that_converges_keeps_its_solution_beside_one_that_does_not():
    cell, params = chaotic(1.5)
    mask = jnp.ones((40, 3), bool).at[2:, 0].set(False)
    report = newton(cell, params, XS, mask=mask, solver=Newton(iterations=3))[2]
    np.testing.assert_array_equal(report.converged, [True, False, False])


def test_the_jacobian_is_the_identity_where_no_step_happens_and_0_behind_a_boundary():
    """So a row of padding is solved by the first guess, and one of boundaries by one update, in the midst of chaos."""
    cell, params = chaotic(4.0)
    mask = jnp.ones((40, 3), bool).at[:, 0].set(False)
    reset = jnp.zeros((40, 3), bool).at[:, 1].set(True)
    _, ys, report = newton(cell, params, XS, mask=mask, reset=reset)
    assert report.iterations.tolist()[:2] == [0, 1] and int(report.iterations[2]) > 20
    np.testing.assert_allclose(ys, unroll(cell, params, XS, mask=mask, reset=reset)[1], atol=1e-12)


@pytest.mark.parametrize("value", [jnp.nan, jnp.inf])
def test_nan_and_inf_come_out_where_the_scan_has_them(value):
    xs = XS.at[7, 1, 0].set(value)
    params, (carry, ys, report) = run(Elman(3, 5, "identity"), xs, Newton())
    want = unroll(Elman(3, 5, "identity"), params, xs)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-12), (carry, ys), want)
    np.testing.assert_array_equal(report.converged, [True, False, True])
    assert not bool(jnp.isfinite(ys[7:, 1]).all(-1).any()) and bool(jnp.isfinite(ys[:, 0]).all())


def test_updates_that_overflow_are_jacobi_s_and_do_not_end_the_search():
    """Jacobians of 1e30 at the first guess overflow in 12 steps, though the states themselves stay small."""
    cell = Elman(1, 1)
    params = cell.init(jax.random.key(0))._replace(w=jnp.full((1, 1), -1e30), b=jnp.full(1, 0.5))
    _, ys, report = newton(cell, params, jnp.zeros((15, 1, 1)))
    assert bool(report.converged.all())
    np.testing.assert_allclose(ys, unroll(cell, params, jnp.zeros((15, 1, 1)))[1], atol=1e-14)


def test_no_time_is_reported_as_solved():
    _, (carry, ys, report) = run(GRU_CELL, XS[:0], Newton())
    assert ys.shape == (0, 3, 5) and bool((carry == 0).all())
    assert bool(report.converged.all()) and int(report.iterations.max()) == 0


def test_a_levenberg_marquardt_update_is_the_least_squares_solution():
    rng = np.random.default_rng(0)
    time, n, trust = 6, 3, 0.7
    j, r = rng.standard_normal((time, n, n)), rng.standard_normal((time, n))
    system = np.eye(time * n)
    for t in range(1, time):
        system[t * n : (t + 1) * n, (t - 1) * n : t * n] = -j[t]
    want = np.linalg.solve(system.T @ system + trust * np.eye(time * n), system.T @ r.ravel()).reshape(time, n)
    update = quick_jit(damped_recurrence, static_argnums=2)
    np.testing.assert_allclose(update(jnp.asarray(j), jnp.asarray(r), trust), want, atol=1e-12)
    one = update(jnp.asarray(j[:, :1, :1]), jnp.asarray(r[:, :1]), 1e-12)
    newton_s = np.linalg.solve(np.eye(time) - np.diag(j[1:, 0, 0], -1), r[:, 0])
    np.testing.assert_allclose(one[:, 0], newton_s, atol=1e-8)


def levenberg_marquardt(w, zs, trust, updates, *, adapts):
    """Dense algebra on h ← tanh(z + W h): the largest residual after every update, and which updates were not made."""
    time, n = zs.shape
    hs, growth, residuals, refused = np.zeros((time, n)), 2.0, [], []

    def residual(hs):
        return np.tanh(zs + np.concatenate([np.zeros((1, n)), hs[:-1]]) @ w) - hs

    for k in range(updates):
        r, system = residual(hs), np.eye(time * n)
        slope = 1 - (r + hs) ** 2
        for t in range(1, time):
            system[t * n : (t + 1) * n, (t - 1) * n : t * n] = -slope[t][:, None] * w.T
        delta = np.linalg.solve(system.T @ system + trust * np.eye(time * n), system.T @ r.ravel())
        was, now = np.sum(r**2), np.sum(residual(hs + delta.reshape(time, n)) ** 2)
        ratio = (was - now) / (was - np.sum((system @ delta - r.ravel()) ** 2))
        if now < was or not adapts:
            hs = hs + delta.reshape(time, n)
        if adapts and now < was:
            trust, growth = trust * max(1 / 3, 1 - (2 * ratio - 1) ** 3), 2.0
        elif adapts:
            trust, growth = trust * growth, 2 * growth
            refused.append(k)
        residuals.append(np.abs(residual(hs)).max())
    return residuals, refused


def edge_of_chaos(gain, time):
    cell = Elman(3, 6)
    params = cell.init(jax.random.key(0))
    w, xs = gain * jax.random.normal(jax.random.key(1), (6, 6), jnp.float64) / 6**0.5, 0.3 * XS[:time, :1]
    return cell, params._replace(w=w), xs, np.asarray(cell.project(params, xs))[:, 0]


def test_the_trust_grows_where_an_update_is_refused_and_shrinks_where_the_model_was_right():
    cell, params, xs, zs = edge_of_chaos(2.0, 40)
    residuals, refused = levenberg_marquardt(np.asarray(params.w), zs, 1e-3, 9, adapts=True)
    assert 0 < len(refused) < 8
    report = newton(cell, params, xs, solver=Newton(trust=1e-3, iterations=9, tolerance=0.0))[2]
    np.testing.assert_allclose(report.residual[0], residuals[-1], rtol=1e-6)


def test_an_adaptive_trust_solves_what_a_fixed_one_does_not():
    """Near the edge of chaos; 30 updates of a fixed λ leave an error that is seen."""
    cell, params, xs, zs = edge_of_chaos(1.2, 40)
    fixed = [levenberg_marquardt(np.asarray(params.w), zs, trust, 30, adapts=False)[0][-1] for trust in (1.0, 1e-2)]
    adaptive = newton(cell, params, xs, solver=Newton(trust=1.0))[2]
    assert min(fixed) > 1e-5
    assert bool(adaptive.converged[0]) and adaptive.iterations[0] < 20


def test_a_layout_keeps_these_entries_of_the_jacobian():
    p = laws.random_problem(LSTM_CELL, time=1, batch=(2,))
    z, leaves = LSTM_CELL.project(p.params, p.xs)[0], jax.tree.leaves(p.carry)

    def step(leaves, z=z):
        return jax.tree.leaves(LSTM_CELL.step(p.params, type(p.carry)(*leaves), z)[0])

    @quick_jit
    def entries(leaves):
        layouts = {kind: Layout(kind, ((5,), (5,)), (leaves[0].dtype,) * 2) for kind in LAYOUTS}
        kept = {kind: jacobians(layout, step, leaves)[0] for kind, layout in layouts.items()}
        return kept, jax.vmap(jax.jacobian(step))(leaves, z)

    kept, whole = entries(leaves)
    whole = np.block([list(row) for row in whole])  # [row, to, from]
    np.testing.assert_allclose(kept["full"][:, 0], whole, atol=1e-14)
    np.testing.assert_allclose(kept["diagonal"][..., 0, 0], np.diagonal(whole, axis1=1, axis2=2), atol=1e-14)
    for i in range(5):
        np.testing.assert_allclose(kept["blocks"][:, i], whole[:, i::5, i::5], atol=1e-14)


def test_arrays_of_many_shapes_are_laid_out_and_come_back():
    shapes = ((), (3,), (2, 2), (3,))
    leaves = [jnp.arange(7 * int(np.prod(s)), dtype=float).reshape(7, *s) for s in shapes]
    for kind, sizes in {"full": [(1, 11)], "diagonal": [(11, 1)], "blocks": [(1, 1), (3, 2), (4, 1)]}.items():
        layout = Layout(kind, shapes, tuple(leaf.dtype for leaf in leaves))
        packed = layout.pack(leaves)
        assert [array.shape[1:] for array in packed] == sizes
        jax.tree.map(np.testing.assert_array_equal, layout.unpack(packed), leaves)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"jacobian": "whole"}, "`jacobian` must be one of 'full', 'blocks', 'diagonal', got 'whole'"),
        ({"damping": 1.5}, "`damping` must lie in 0 … 1, got 1.5"),
        ({"trust": -1.0}, "`trust` must be finite and at least 0"),
        ({"iterations": 0}, "`iterations` must be an integer of at least 1"),
        ({"tolerance": float("nan")}, "`tolerance` must be finite and at least 0"),
        ({"gradient": "jacobi"}, "`gradient` must be one of"),
    ],
)
def test_a_wrong_option_is_named(wrong, message, without_beartype):
    with pytest.raises(ValueError, match=message):
        Newton(**wrong)


def test_a_wrong_solver_is_named(without_beartype):
    with pytest.raises(TypeError, match="`solver` must be a Newton, got 'full'"):
        unroll_newton(GRU_CELL, GRU_CELL.init(jax.random.key(0)), XS, solver="full")
