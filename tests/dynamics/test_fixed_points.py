"""Fixed points of networks where closed forms are known."""

import math
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrnn import GRU, LSTM, Elman, unroll
from jaxrnn.cells import ElmanParams, Jordan, LSTMParams
from jaxrnn.dynamics.fixed_points import (
    Bifurcation,
    Outcome,
    Stability,
    as_carries,
    distinct,
    find,
    linearize,
    reasons,
    sample_starts,
    selection_vectors,
)
from jaxrnn.testing import random_problem

X = jnp.zeros(1)


def normal(seed, *shape):
    return jax.random.normal(jax.random.key(seed), shape)


def plain(w, u=None, b=None):
    """Return the parameters of h ← f(h w + x u + b), with row vectors."""
    n = w.shape[0]
    return ElmanParams(jnp.zeros((1, n)) if u is None else u, w, jnp.zeros(n) if b is None else b)


@jax.tree_util.register_static
@dataclass(frozen=True)
class Map:
    """A map of one number: the logistic one, or one that has just lost its two fixed points."""

    name: str

    def init(self, key):
        return jnp.ones(())

    def initial_carry(self, params, batch_shape=()):
        return jnp.full((*batch_shape, 1), 0.3)

    def project(self, params, xs):
        return xs

    def step(self, params, h, z):
        h = z * h * (1 - h) if self.name == "logistic" else h + h**2 + z
        return h, h


# The search


@pytest.mark.parametrize("method", ["newton", "gradient"])
def test_a_linear_network_has_one_fixed_point(method):
    w, b = 0.5 * normal(0, 4, 4), normal(1, 4)
    found = find(Elman(1, 4, "identity"), plain(w, b=b), X, normal(2, 9, 4), method=method, merge=1e-6)
    points = distinct(found)
    np.testing.assert_allclose(points.h, np.linalg.solve(np.eye(4) - w.T, b)[None], atol=1e-7)
    assert points.starts.tolist() == [9] and reasons(found)["DUPLICATE"] == 8


def test_two_units_that_do_not_meet_have_nine_fixed_points_of_three_classes():
    """H ← tanh 2h in each unit: ±h* is stable, 0 is not."""
    cell, params = Elman(1, 2), plain(2 * jnp.eye(2))
    starts = jnp.stack(jnp.meshgrid(*[jnp.linspace(-1, 1, 5)] * 2), -1).reshape(-1, 2)
    points = distinct(find(cell, params, X, starts))
    above = float(jnp.max(points.h))
    assert above == pytest.approx(math.tanh(2 * above))
    expected = {(i * above, j * above) for i in (-1, 0, 1) for j in (-1, 0, 1)}
    got = sorted(np.round(np.asarray(points.h), 6).tolist())
    np.testing.assert_allclose(got, sorted(expected), atol=1e-6)
    kinds = linearize(cell, params, points.x, points.h)
    at_zero = np.sum(np.abs(points.h) < 1e-6, axis=1)
    assert kinds.unstable.tolist() == at_zero.tolist()
    assert [Stability(k).name for k in kinds.stability] == [["STABLE", "SADDLE", "UNSTABLE"][n] for n in at_zero]
    slope = 2 * (1 - above**2)
    np.testing.assert_allclose(kinds.time_constants[at_zero == 0], -1 / np.log(slope), rtol=1e-6)


def test_a_ring_attractor_is_found_all_around_and_is_marginal():
    """tanh(g (2/N) Σⱼ cos(θᵢ − θⱼ) hⱼ): hᵢ = tanh(κ cos(θᵢ − φ)) for every φ, κ = g (2/N) Σ tanh(κ cos θ) cos θ."""
    n, gain = 64, 2.0
    theta = 2 * np.pi * np.arange(n) / n
    params = plain(jnp.asarray(gain * 2 / n * np.cos(theta[:, None] - theta)))
    kappa = gain
    for _ in range(200):
        kappa = gain * 2 / n * np.sum(np.tanh(kappa * np.cos(theta)) * np.cos(theta))
    phase = np.linspace(0, 2 * np.pi, 40, endpoint=False) + 0.05
    starts = jnp.asarray(1.2 * np.tanh(kappa * np.cos(theta - phase[:, None])))
    cell = Elman(1, n)
    points = distinct(find(cell, params, X, starts + 0.05 * normal(3, 40, n)))
    h = np.asarray(points.h)
    found = np.angle(h @ np.exp(1j * theta))
    np.testing.assert_allclose(h, np.tanh(kappa * np.cos(theta - found[:, None])), atol=1e-7)
    assert np.max(np.diff(np.sort(found))) < 1 and len(found) > 20
    modes = linearize(cell, params, points.x, points.h, margin=1e-4)
    assert (modes.stability == Stability.MARGINAL).all()
    np.testing.assert_allclose(modes.eigenvalues[:, 0], 1, atol=1e-6)
    around = np.gradient(np.tanh(kappa * np.cos(theta - (found[0] + np.array([-1e-5, 0, 1e-5])[:, None]))), axis=0)[1]
    along = np.real(np.asarray(modes.right[0, :, 0])) @ around / np.linalg.norm(around)
    assert abs(along) == pytest.approx(1, abs=1e-6)


def test_an_lstm_is_searched_in_h_and_c_together():
    """Without weights C = σ(f) C + σ(i) tanh(g), h = σ(o) tanh(C)."""
    cell, b = LSTM(1, 3), normal(4, 12)
    params = LSTMParams(jnp.zeros((1, 12)), jnp.zeros((3, 12)), b, None)
    params = cell.init(jax.random.key(0))._replace(u=params.u, w=params.w, b=b)
    starts = jax.tree.map(lambda a: a + normal(5, 6, 3), cell.initial_carry(params, (6,)))
    i, f, g, o = np.split(np.asarray(b), 4)
    sigmoid = lambda a: 1 / (1 + np.exp(-a))  # noqa: E731
    c = sigmoid(i) * np.tanh(g) / (1 - sigmoid(f))
    (point,) = distinct(find(cell, params, X, starts)).h
    np.testing.assert_allclose(point, np.concatenate([sigmoid(o) * np.tanh(c), c]), atol=1e-8)
    modes = linearize(cell, params, X, point[None])
    np.testing.assert_allclose(np.sort(np.abs(modes.eigenvalues[0]))[3:], np.sort(sigmoid(f)), atol=1e-8)


def test_the_logistic_map_at_many_inputs_at_once():
    """0 and 1 − 1/r, with the derivatives r and 2 − r."""
    rates = jnp.repeat(jnp.array([2.5, 3.2, 0.5]), 2)[:, None]
    starts = jnp.stack([jnp.full(6, 0.01), 1 - 1 / rates[:, 0] + 0.05])[jnp.arange(6) % 2, jnp.arange(6)][:, None]
    found = find(Map("logistic"), jnp.ones(()), rates, starts, reach=math.inf)
    modes = linearize(Map("logistic"), jnp.ones(()), rates, found.points)
    expected = np.stack([rates[:, 0], 2 - rates[:, 0]])[np.arange(6) % 2, np.arange(6)]
    np.testing.assert_allclose(modes.eigenvalues[:, 0], expected, atol=1e-6)
    assert reasons(found)["FIXED"] == 6  # 0 is a fixed point at every input, and is merged at none


def test_the_ghost_of_two_fixed_points_is_a_slow_point():
    """Search q = ½ (h² + ε)², whose minimum is at 0."""
    call = {"cell": Map("ghost"), "params": jnp.ones(()), "x": jnp.full(1, 1e-3), "starts": jnp.array([[-0.2], [0.1]])}
    for method in ("newton", "gradient"):
        found = find(**call, slow=1e-5, merge=1e-2, method=method)
        points = distinct(found)
        assert points.slow.tolist() == [True] and points.q[0] == pytest.approx(5e-7, rel=1e-2)
        assert abs(float(points.h[0, 0])) < 3e-3
    assert reasons(find(**call))["MOVING"] == 2


def test_what_lies_far_from_all_starts_and_what_is_not_finite_is_dropped_with_the_reason():
    cell, params = Elman(1, 1, "identity"), plain(jnp.array([[0.9]]), b=jnp.array([1.0]))
    starts = jnp.array([[0.0], [1.0], [jnp.nan]])
    counted = reasons(find(cell, params, X, starts[:2]))
    assert counted["OUTLIER"] == 2 and sum(counted.values()) == 2
    assert reasons(find(cell, params, X, starts[:2], reach=math.inf))["OUTLIER"] == 0
    found = find(cell, params, X, starts, reach=math.inf)
    assert found.outcome.tolist()[2] == Outcome.NOT_FINITE and found.merged_into.tolist()[2] == -1


def test_every_point_stays_where_it_is_and_no_two_are_the_same():
    cell = GRU(3, 6)
    params = jax.tree.map(lambda a: 3 * a, cell.init(jax.random.key(0)))
    starts = sample_starts(jax.random.key(1), cell, params, normal(2, 20, 5, 3), count=40, noise=0.5)
    points = distinct(find(cell, params, jnp.zeros(3), starts.carry))
    ys = unroll(cell, params, jnp.zeros((3, len(points.h), 3)), as_carries(cell, params, points.h))[1]
    np.testing.assert_allclose(ys, np.broadcast_to(points.h, ys.shape), atol=1e-6)
    apart = np.max(np.abs(points.h[:, None] - points.h), axis=-1) + np.eye(len(points.h))
    assert apart.min() >= 1e-3 and int(points.starts.sum()) <= 40


def test_it_runs_under_vmap_over_networks():
    cell, gains = Elman(1, 1), jnp.array([0.5, 2.0, 3.0])
    starts = jnp.array([[-0.5], [0.0], [0.5]])

    def of(gain):
        params = plain(gain[None, None])
        points = distinct(find(cell, params, X, starts), size=3)
        return points, linearize(cell, params, points.x, points.h).stability

    points, kinds = jax.jit(jax.vmap(of))(gains)
    for i, gain in enumerate(gains):
        alone = distinct(find(cell, plain(gain[None, None]), X, starts))
        count = len(alone.h)
        assert count == (1 if gain < 1 else 3) == int(jnp.sum(points.starts[i] > 0))
        np.testing.assert_allclose(np.sort(points.h[i, :count, 0]), np.sort(alone.h[:, 0]), atol=1e-8)
    assert kinds[0, 0] == Stability.STABLE


# Modes


def test_the_modes_are_those_of_the_jacobians():
    cell = GRU(3, 5)
    p = random_problem(cell, batch=())
    x, h = p.xs[0], normal(7, 2, 5)
    modes = linearize(cell, p.params, x, h)
    eye = np.broadcast_to(np.eye(5), (2, 5, 5))
    np.testing.assert_allclose(modes.left @ modes.right, eye, atol=1e-9)
    rebuilt = modes.right @ (modes.eigenvalues[..., None] * modes.left)
    np.testing.assert_allclose(rebuilt, modes.jacobian, atol=1e-9)
    np.testing.assert_allclose(modes.selection, modes.left @ modes.input_jacobian, atol=1e-12)
    assert (np.diff(np.abs(modes.eigenvalues)) <= 1e-12).all()

    def moved(x):
        return cell.step(p.params, h[0], cell.project(p.params, x))[0]

    np.testing.assert_allclose(modes.input_jacobian[0], jax.jacrev(moved)(x), atol=1e-10)


def test_a_push_grows_along_a_mode_as_its_time_constant_and_frequency_say():
    w = jnp.array([[0.0, 0.95, 0.0], [-0.95, 0.0, 0.0], [0.0, 0.0, 1.02]])
    modes = linearize(Elman(1, 3, "identity"), plain(w), X, jnp.zeros((1, 3)))
    np.testing.assert_allclose(modes.time_constants[0], -1 / np.log([1.02, 0.95, 0.95]))
    np.testing.assert_allclose(modes.frequencies[0], [0, 0.25, 0.25], atol=1e-12)
    assert modes.unstable.tolist() == [1] and modes.stability.tolist() == [Stability.SADDLE]


def test_a_selection_vector_is_what_the_line_attractor_keeps_of_a_push():
    """A line attractor with a decaying unit that feeds it: far later the push v is worth s·v along the line."""
    w = jnp.array([[1.0, 0.0, 0.0], [0.4, 0.5, 0.0], [-0.3, 0.1, 0.2]])
    cell, params = Elman(1, 3, "identity"), plain(w)
    modes = linearize(cell, params, X, jnp.zeros((1, 3)), margin=1e-9)
    kept = unroll(cell, params, jnp.zeros((200, 3, 1)), jnp.eye(3))[0][:, 0]
    (vector,) = selection_vectors(modes)
    np.testing.assert_allclose(vector, kept / jnp.linalg.norm(kept), atol=1e-9)
    assert modes.stability.tolist() == [Stability.MARGINAL]


# Starts


def test_starts_are_states_of_the_run_at_valid_steps():
    cell = LSTM(3, 4)
    p = random_problem(cell)
    starts = sample_starts(jax.random.key(0), cell, p.params, p.xs, count=200, mask=p.mask)
    mask = np.asarray(p.mask).reshape(len(p.mask), -1)
    assert mask[starts.steps, starts.rows].all()
    assert len(set(zip(starts.steps.tolist(), starts.rows.tolist(), strict=True))) == mask.sum()
    ys = np.asarray(unroll(cell, p.params, p.xs, mask=p.mask)[1]).reshape(*mask.shape, 4)
    np.testing.assert_allclose(starts.carry.h, ys[starts.steps, starts.rows], atol=1e-12)
    xs = np.asarray(p.xs).reshape(*mask.shape, 3)
    np.testing.assert_array_equal(starts.xs, xs[starts.steps, starts.rows])
    noisy = sample_starts(jax.random.key(0), cell, p.params, p.xs, count=200, mask=p.mask, noise=0.5)
    assert float(jnp.std(noisy.carry.c - starts.carry.c)) == pytest.approx(0.5, rel=0.1)


# Bad input


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"starts": jnp.zeros((5, 3))}, "`starts` must have shape"),
        ({"starts": (jnp.zeros((5, 4)), jnp.zeros((5, 4)))}, "`starts` must have the structure"),
        ({"starts": jnp.zeros(())}, "`starts` must be carries with a leading axis"),
        ({"params": Elman(2, 4).init(jax.random.key(0))}, "`params.u` must have shape"),
        ({"x": jnp.zeros((4, 1))}, r"`x` must have shape \[features\] or \[starts, features\] with 5 starts"),
        ({"tolerance": 1e-40}, "`tolerance` must be finite and at least 2.5e-32, the resolution of q"),
        ({"tolerance": math.nan}, "`tolerance` must be finite"),
        ({"slow": 1e-31}, "`slow` must be at least the tolerance"),
        ({"merge": -1.0}, "`merge` must be at least 0"),
        ({"reach": math.nan}, "`reach` must be at least 0"),
        ({"method": "adam"}, "`method` must be one of 'newton', 'gradient'"),
        ({"iterations": 0}, "`iterations` must be an integer of at least 1"),
    ],
)
def test_a_wrong_argument_is_named(change, message, without_beartype):
    call = {"cell": Elman(1, 4), "params": Elman(1, 4).init(jax.random.key(0)), "x": X, "starts": jnp.zeros((5, 4))}
    with pytest.raises(ValueError, match=message):
        find(**(call | change))


def test_wrong_points_margins_noise_and_cells_are_named(without_beartype):
    cell, params = Elman(1, 4), Elman(1, 4).init(jax.random.key(0))
    with pytest.raises(ValueError, match=r"`points` must have shape .* with the 4 numbers of a state"):
        linearize(cell, params, X, jnp.zeros((2, 5)))
    with pytest.raises(ValueError, match="`margin` must lie in 0 … 1"):
        linearize(cell, params, X, jnp.zeros((2, 4)), margin=-0.1)
    with pytest.raises(ValueError, match="`noise` must be finite and at least 0"):
        sample_starts(jax.random.key(0), cell, params, jnp.zeros((3, 1)), count=2, noise=-1.0)
    with pytest.raises(ValueError, match="`xs` must have at least one valid step"):
        sample_starts(jax.random.key(0), cell, params, jnp.zeros((3, 1)), count=2, mask=jnp.zeros(3, bool))
    cell = Jordan(1, 4, 2, "symbol")
    params = cell.init(jax.random.key(0))
    with pytest.raises(TypeError, match="`cell` must have a derivative"):
        find(cell, params, X, cell.initial_carry(params, (2,)))
    with pytest.raises(ValueError, match="`size` must be given under jit"):
        jax.jit(lambda s: distinct(find(Elman(1, 1), plain(jnp.eye(1)), X, s)))(jnp.zeros((2, 1)))


@pytest.mark.parametrize("names", [Stability, Outcome, Bifurcation])
def test_an_element_of_an_array_is_looked_up_and_another_number_is_refused(names):
    for array in (jnp.arange(len(names)), np.arange(len(names))):
        assert [names(k) for k in array] == list(names)
    for wrong in (len(names), jnp.array(len(names))):
        with pytest.raises(ValueError, match="is not a valid"):
            names(wrong)
