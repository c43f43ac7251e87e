"""Cells that read the time between two steps: the papers' equations in NumPy, and Δt as an input."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrnn import Elman, Stack, unroll, unroll_layers, with_noise
from jaxrnn.cells.continuous import GRUD, LEM, CfC, CoRNN, RateNetwork, with_dt
from jaxrnn.core import Timed
from jaxrnn.testing import random_problem

TIME, BATCH, INPUT, HIDDEN = 5, 3, 2, 4
CELLS = {
    "cfc": CfC(INPUT, HIDDEN, backbone_size=6),
    "cornn": CoRNN(INPUT, HIDDEN),
    "gru_d": GRUD(INPUT, HIDDEN),
    "lem": LEM(INPUT, HIDDEN),
    "rate": RateNetwork(INPUT, HIDDEN, dt=0.5, tau=(1.0, 2.0)),
}
every = pytest.mark.parametrize("name", CELLS)


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def cfc(p, xs, dts):
    h, hs = np.zeros((BATCH, HIDDEN)), []
    for x, dt in zip(xs, dts, strict=True):
        a = 1.7159 * np.tanh(2 / 3 * (x @ p.u + h @ p.w + p.b))
        g, k, f, c = np.split(a @ p.v + p.c, 4, axis=1)
        s = sigmoid(-f * dt - c)
        h = s * np.tanh(g) + (1 - s) * np.tanh(k)
        hs.append(h)
    return np.stack(hs)


def cornn(p, xs, dts):
    y, z, ys = np.zeros((BATCH, HIDDEN)), np.zeros((BATCH, HIDDEN)), []
    for x, dt in zip(xs, dts, strict=True):
        z = z + dt * (np.tanh(y @ p.w + z @ p.v + x @ p.u + p.b) - p.gamma * y - p.epsilon * z)
        y = y + dt * z
        ys.append(y)
    return np.stack(ys)


def lem(p, xs, dts):
    y, z, ys = np.zeros((BATCH, HIDDEN)), np.zeros((BATCH, HIDDEN)), []
    (w1, w2, wz), (u1, u2, uz, uy), (b1, b2, bz, by) = (
        np.split(a, n, axis=-1) for a, n in ((p.w, 3), (p.u, 4), (p.b, 4))
    )
    for x, dt in zip(xs, dts, strict=True):
        fast, slow = dt * sigmoid(y @ w1 + x @ u1 + b1), dt * sigmoid(y @ w2 + x @ u2 + b2)
        z = (1 - fast) * z + fast * np.tanh(y @ wz + x @ uz + bz)
        y = (1 - slow) * y + slow * np.tanh(z @ p.w_y + x @ uy + by)
        ys.append(y)
    return np.stack(ys)


def rate(p, xs, dts):
    x, rs = np.zeros((BATCH, HIDDEN)), []
    for u, dt in zip(xs, dts, strict=True):
        x = x + dt / np.repeat(p.tau, HIDDEN // 2) * (-x + np.tanh(x) @ p.w + u @ p.u + p.b)
        rs.append(np.tanh(x))
    return np.stack(rs)


def gru_d(p, xs, dts):
    """With δ as the paper defines it, from the times of all observations and not from step to step."""
    times, h, hs = np.cumsum(dts, axis=0)[..., 0], np.zeros((BATCH, HIDDEN)), []
    (ur, uz, u), (wr, wz, w), (vr, vz, v), (br, bz, b) = (np.split(a, 3, axis=-1) for a in (p.u, p.w, p.v, p.b))
    for t, x in enumerate(xs):
        m, filled, delta = ~np.isnan(x), np.empty_like(x), np.empty_like(x)
        for row, d in np.ndindex(*x.shape):
            seen = [s for s in range(t) if not np.isnan(xs[s, row, d])]
            delta[row, d] = times[t, row] - (times[seen[-1], row] if seen else 0)
            last = xs[seen[-1], row, d] if seen else p.mean[d]
            decay = np.exp(-max(0, p.w_x[d] * delta[row, d] + p.b_x[d]))
            filled[row, d] = x[row, d] if m[row, d] else decay * last + (1 - decay) * p.mean[d]
        h = np.exp(-np.maximum(0, delta @ p.w_h + p.b_h)) * h
        r = sigmoid(filled @ ur + h @ wr + m @ vr + br)
        z = sigmoid(filled @ uz + h @ wz + m @ vz + bz)
        h = (1 - z) * h + z * np.tanh(filled @ u + (r * h) @ w + m @ v + b)
        hs.append(h)
    return np.stack(hs)


def problem(name):
    """Parameters, inputs and Δt; a third of GRU-D's inputs is missing."""
    p = random_problem(CELLS[name], time=TIME, batch=(BATCH,))
    missing = np.random.default_rng(1).random(p.xs.x.shape) < (1 / 3 if name == "gru_d" else 0)
    return p.params, p.xs._replace(x=jnp.where(missing, jnp.nan, p.xs.x)), missing


@every
def test_it_is_the_formula_of_the_paper(name):
    params, xs, _ = problem(name)
    _, ys = unroll(CELLS[name], params, xs)
    expected = globals()[name](jax.tree.map(np.asarray, params), *map(np.asarray, xs))
    np.testing.assert_allclose(ys, expected, rtol=0, atol=1e-12)


@every
def test_an_array_has_equal_steps_of_the_cells_own_length(name):
    cell, (params, xs, _) = CELLS[name], problem(name)
    timed = with_dt(xs.x, cell.dt)
    np.testing.assert_array_equal(unroll(cell, params, xs.x)[1], unroll(cell, params, timed)[1])
    assert not np.allclose(unroll(cell, params, xs.x)[1], unroll(cell, params, with_dt(xs.x, 2 * cell.dt))[1])


def test_missing_values_have_no_gradient_and_make_none_nan():
    params, xs, missing = problem("gru_d")
    dparams, dx = jax.grad(lambda p, x: unroll(CELLS["gru_d"], p, xs._replace(x=x))[1].sum(), (0, 1))(params, xs.x)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(dparams))
    assert np.array_equal(dx == 0, missing)


def test_a_free_oscillator_turns_and_fades_as_its_equation_says():
    cell = CoRNN(1, 1, dt=1e-3, gamma=4.0, epsilon=0.2)
    params = jax.tree.map(jnp.zeros_like, cell.init(jax.random.key(0)))._replace(
        gamma=jnp.array([4.0]), epsilon=jnp.array([0.2])
    )
    start = cell.initial_carry(params)._replace(y=jnp.ones(1))
    _, ys = unroll(cell, params, jnp.zeros((3000, 1)), start)
    t, rate = 1e-3 * np.arange(1, 3001), np.sqrt(4 - 0.01)
    exact = np.exp(-0.1 * t) * (np.cos(rate * t) + 0.1 / rate * np.sin(rate * t))
    np.testing.assert_allclose(ys[:, 0], exact, atol=3e-3)


def test_every_layer_of_a_stack_that_reads_time_is_given_it():
    cell = Stack((LEM(2, 3), Elman(3, 3), CfC(3, 4, 5)))
    params, xs = cell.init(jax.random.key(0)), with_dt(jnp.ones((5, 2)), jnp.array([1, 0.5, 0.2, 0.9, 0.4]))
    _, ys = unroll(cell, params, xs)
    below, (first, second, third) = xs.x, params
    below = unroll(cell.cells[0], first, xs)[1]
    below = unroll(cell.cells[1], second, below)[1]
    np.testing.assert_allclose(ys, unroll(cell.cells[2], third, Timed(below, xs.dt))[1], atol=1e-12)
    np.testing.assert_allclose(ys, unroll_layers(cell, params, xs)[1], atol=1e-12)
    np.testing.assert_allclose(unroll(cell, params, xs.x)[1], unroll(cell, params, with_dt(xs.x, 1.0))[1], atol=1e-12)


@pytest.mark.parametrize("wrong", [0.0, -1.0, np.nan, np.inf])
def test_time_that_does_not_go_forwards_is_named_except_on_padding(wrong):
    xs, dt = jnp.ones((4, 2, INPUT)), np.ones((4, 2))
    dt[2, 1] = wrong
    with pytest.raises(ValueError, match=r"`dt` must be finite and above 0, .* at dt\[2, 1\]"):
        with_dt(xs, jnp.asarray(dt))
    timed, params = Timed(xs, jnp.asarray(dt)[..., None]), CELLS["lem"].init(jax.random.key(0))
    with pytest.raises(ValueError, match=r"`xs.dt` must be finite and above 0, .* at xs.dt\[2, 1, 0\]"):
        unroll(CELLS["lem"], params, timed)
    with pytest.raises(ValueError, match=r"`xs.dt` must be finite"):
        unroll(Elman(INPUT, 3), Elman(INPUT, 3).init(jax.random.key(0)), with_noise(jax.random.key(0), timed))
    mask = jnp.ones((4, 2), bool).at[2, 1].set(False)
    with_dt(xs, jnp.asarray(dt), mask=mask)
    assert np.isfinite(unroll(CELLS["lem"], params, timed, mask=mask)[1]).all()


@pytest.mark.usefixtures("without_beartype")
@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: with_dt(jnp.ones((4, 2, 3)), jnp.ones(2)), r"`dt` must be a number, or have shape \(4,\)"),
        (lambda: with_dt(jnp.ones((4, 2, 3)), "soon"), "`dt` must be"),
        (lambda: LEM(3, 4, dt=0.0), "`dt` must be a finite number above 0, got 0.0"),
        (lambda: CoRNN(3, 4, dt=np.nan), "`dt` must be a finite number above 0, got nan"),
        (lambda: CoRNN(3, 4, gamma=-1.0), "`gamma` must be above 0, got -1.0"),
        (lambda: LEM(3, 4).timed(Timed(jnp.ones((5, 3)), jnp.ones((5, 2)))), r"`xs.dt` must have trailing size one=1"),
        (lambda: CfC(3, 4).timed(jnp.ones((5, 2))), "`xs` must have trailing size input_size=3"),
    ],
)
def test_a_wrong_argument_is_named(call, message):
    with pytest.raises((TypeError, ValueError), match=message):
        call()
