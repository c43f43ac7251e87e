"""3.2: delays, leaky units, clockwork groups, and the optimizer's time scales."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxrnn import LSTM, Elman, Leaky, Stack, unroll
from jaxrnn.cells import Clockwork, Delays, DelaysParams, ElmanParams, Jordan
from jaxrnn.cells.wrappers import LeakyParams
from jaxrnn.testing import random_problem
from jaxrnn.testing.problem import quick_jit
from jaxrnn.training import alphas, bound_alphas, update_every


@pytest.fixture(scope="module")
def p():
    return random_problem(Elman(3, 4), time=6)


def orthogonal(seed, n):
    return jnp.linalg.qr(jax.random.normal(jax.random.key(seed), (n, n)))[0]


def linear_delays(delays, scale, time, n=4):
    """‖∂h⁽ᵗ⁾/∂h⁽⁰⁾‖₂ for t = 1 … time of a linear network with W_d = scale · Q for the last delay, 0 for others."""
    cell = Delays(1, n, delays, "identity")
    w = jnp.zeros((len(delays), n, n)).at[-1].set(scale * orthogonal(0, n))
    params, xs = DelaysParams(jnp.zeros((1, n)), w, jnp.zeros(n)), jnp.zeros((time, 1))
    start = cell.initial_carry(params)

    def run(h):
        return unroll(cell, params, xs, start._replace(h=h))[1]

    return jnp.linalg.norm(quick_jit(jax.jacobian(run))(start.h), ord=2, axis=(1, 2))


# Delays


def test_a_delay_of_1_alone_is_the_plain_network(p):
    w = p.params.w[None]
    got = unroll(Delays(3, 4, (1,)), DelaysParams(p.params.u, w, p.params.b), p.xs)[1]
    np.testing.assert_allclose(got, unroll(Elman(3, 4), p.params, p.xs)[1], atol=1e-14)


def test_without_the_step_1_connection_d_networks_run_in_turns(p):
    """3.2.2: with D = {d} the steps t, t + d, t + 2d, … never hear of the others."""
    _, got = unroll(Delays(3, 4, (3,)), DelaysParams(p.params.u, p.params.w[None], p.params.b), p.xs)
    for i in range(3):
        np.testing.assert_allclose(got[i::3], unroll(Elman(3, 4), p.params, p.xs[i::3])[1], atol=1e-14)


def test_the_order_of_the_delays_is_the_order_of_w(p):
    params = Delays(3, 4, (1, 3)).init(jax.random.key(0))
    _, want = unroll(Delays(3, 4, (1, 3)), params, p.xs)
    _, got = unroll(Delays(3, 4, (3, 1)), params._replace(w=params.w[::-1]), p.xs)
    np.testing.assert_allclose(got, want, atol=1e-14)


@pytest.mark.parametrize("scale", [0.5, 2.0])
def test_a_gradient_decays_and_explodes_with_tau_over_d(scale):
    """λ^{τ/d} in place of λ^τ; the explosion is not cured, as the chapter says."""
    for d in (1, 2, 5):
        taus = np.arange(1, 11)
        want = np.where(taus % d == 0, scale ** (taus / d), 0)
        np.testing.assert_allclose(linear_delays((d,), scale, 10), want, atol=1e-12)


def test_added_connections_hold_a_gradient_that_the_plain_network_loses():
    norms = linear_delays((1, 5), 0.5, 10)
    assert norms[9] == pytest.approx(0.5**2) and norms[9] > 100 * 0.5**10


def test_delays_below_1_and_other_wrong_delays_are_named(without_beartype):
    for bad in ((0,), (1, -3), (1.5,), (True,)):
        with pytest.raises(ValueError, match=r"`delays\[\d\]` must be an integer of at least 1"):
            Delays(3, 4, bad)
    for bad in ((), (2, 2), [1, 2], 3):
        with pytest.raises(ValueError, match="`delays` must be a tuple of different integers"):
            Delays(3, 4, bad)


@pytest.mark.parametrize("make", [partial(Delays, 3, 4, (1,)), partial(Clockwork, 3, 4, (1,))])
def test_an_activation_without_a_known_derivative_is_named(make):
    with pytest.raises(ValueError, match=r"`activation` must be one of 'tanh', 'relu', 'identity', got 'step'"):
        make("step")


# Leaky units


@pytest.mark.parametrize("cell", [Elman(3, 4), LSTM(3, 4), Delays(3, 4, (1, 2))], ids=lambda c: type(c).__name__)
def test_alpha_0_is_the_cell_itself_and_alpha_1_never_moves(cell):
    p = random_problem(cell)
    for groups in (1, 4):
        start = p.carry if isinstance(p.carry, jax.Array) else p.carry.h
        _, plain = unroll(cell, p.params, p.xs, p.carry)
        _, same = unroll(Leaky(cell, (0.0,) * groups), LeakyParams(p.params, jnp.zeros(groups)), p.xs, p.carry)
        _, held = unroll(Leaky(cell, (1.0,) * groups), LeakyParams(p.params, jnp.ones(groups)), p.xs, p.carry)
        np.testing.assert_array_equal(same, plain)
        np.testing.assert_array_equal(held, jnp.broadcast_to(start, held.shape))


def test_a_leaky_unit_is_a_running_mean_and_its_gradient_decays_as_alpha_to_the_tau():
    """μ⁽ᵗ⁾ = α μ⁽ᵗ⁻¹⁾ + (1 − α) v⁽ᵗ⁾: the chapter's own example, without recurrence in v."""
    cell, alpha = Leaky(Elman(2, 2, "identity"), (0.5, 0.9)), jnp.array([0.5, 0.9])
    params = LeakyParams(ElmanParams(jnp.eye(2), jnp.zeros((2, 2)), jnp.zeros(2)), alpha)
    xs = jax.random.normal(jax.random.key(0), (6, 2))
    jacobian = jax.jacobian(lambda xs: unroll(cell, params, xs)[0])(xs)  # ∂μ⁽⁶⁾/∂v⁽ᵗ⁾
    want = (1 - alpha) * alpha ** np.arange(5, -1, -1)[:, None]
    np.testing.assert_allclose(jnp.einsum("iti->ti", jacobian), want, atol=1e-14)


def test_every_group_has_its_own_alpha():
    cell = Leaky(Elman(3, 4), (0.0, 1.0))
    params = cell.init(jax.random.key(0))
    _, ys = unroll(cell, params, jnp.ones((3, 3)))
    assert params.alpha.shape == (2,) and not ys[:, 2:].any() and ys[:, :2].all()


@pytest.mark.parametrize("alpha", [-0.1, 1.1, float("nan"), (0.5, 2.0), (), "0.5", None, np.array(0.5)], ids=repr)
def test_alpha_outside_0_to_1_is_named(alpha, without_beartype):
    with pytest.raises(ValueError, match=r"`alpha` must be a number in \[0, 1\]"):
        Leaky(Elman(3, 4), alpha)


def test_groups_that_do_not_divide_the_units_are_named():
    with pytest.raises(ValueError, match="`alpha` must have a number of entries that divides the 4 units, got 3"):
        Leaky(Elman(3, 4), (0.1, 0.2, 0.3)).init(jax.random.key(0))
    with pytest.raises(ValueError, match="`periods` must have a number of entries that divides the 4 units, got 3"):
        Clockwork(3, 4, (1, 2, 3))


def test_a_cell_that_does_not_put_out_its_state_cannot_leak():
    cell = Leaky(Jordan(3, 4, 2), 0.5)
    with pytest.raises(TypeError, match=r"`cell` must output the first array of its carry"):
        unroll(cell, cell.init(jax.random.key(0)), jnp.ones((2, 3)))


# Clockwork


def test_periods_of_1_are_the_plain_network(p):
    _, got = unroll(Clockwork(3, 4, (1, 1)), p.params, p.xs)
    np.testing.assert_array_equal(got, unroll(Elman(3, 4), p.params, p.xs)[1])


def test_a_group_moves_at_multiples_of_its_period_and_a_reset_starts_its_clock():
    cell = Clockwork(3, 4, (1, 3))
    params, xs = cell.init(jax.random.key(0)), jax.random.normal(jax.random.key(1), (8, 3))
    _, ys = unroll(cell, params, xs, reset=jnp.arange(8) == 4)
    moved = np.any(ys[1:, 2:] != ys[:-1, 2:], axis=-1)
    assert np.flatnonzero(moved).tolist() == [2, 3, 6]  # into t = 3, 4 (the reset) and 7


def test_a_slow_group_does_not_hear_a_faster_one():
    cell = Clockwork(3, 4, (1, 2))
    p = random_problem(cell)
    jacobian = jax.jacobian(lambda h: unroll(cell, p.params, p.xs[:5, 0], p.carry._replace(h=h, clock=0))[0].h)(
        jnp.ones(4)
    )
    assert not jacobian[2:, :2].any() and jacobian[:2].all() and jacobian[2:, 2:].all()


def test_periods_below_1_are_named(without_beartype):
    with pytest.raises(ValueError, match=r"`periods\[1\]` must be an integer of at least 1, got 0"):
        Clockwork(3, 4, (1, 0))
    with pytest.raises(ValueError, match="`periods` must be a tuple"):
        Clockwork(3, 4, [1, 2])


# The optimizer


def descend(optimizer, params, gradient, steps):
    state = optimizer.init(params)
    for _ in range(steps):
        updates, state = optimizer.update(gradient(params), state, params)
        params = optax.apply_updates(params, updates)
    return params


def test_an_optax_mask_fixes_alpha_and_nothing_else():
    cell = Stack((Leaky(Elman(3, 4), (0.2, 0.9)), Elman(4, 2)))
    params = cell.init(jax.random.key(0))
    optimizer = optax.chain(optax.adam(0.1), optax.masked(optax.set_to_zero(), alphas))
    after = descend(optimizer, params, lambda p: jax.tree.map(jnp.ones_like, p), 2)
    same = jax.tree.map(lambda a, b: bool((a == b).all()), after, params)
    assert same == alphas(params)


@pytest.mark.parametrize("push", [5.0, -5.0])
def test_a_learned_alpha_stays_in_0_to_1(push):
    params = Leaky(Elman(3, 4), tuple(np.linspace(0, 1, 4))).init(jax.random.key(0))
    optimizer = optax.chain(optax.sgd(1.0), bound_alphas())
    after = descend(optimizer, params, lambda p: jax.tree.map(lambda x: jnp.full_like(x, -push), p), 3)
    np.testing.assert_array_equal(after.alpha, np.full(4, float(push > 0)))
    np.testing.assert_allclose(after.cell.b, 3 * push)


def test_one_period_for_all_is_optax_multi_steps():
    params = {"w": jnp.arange(6.0).reshape(2, 3), "b": jnp.ones(3)}

    def gradient(p):
        return jax.tree.map(lambda x: jnp.sin(3 * x), p)

    got = descend(optax.chain(update_every({"w": 3, "b": 3}), optax.sgd(0.1)), params, gradient, 7)
    state = (multi := optax.MultiSteps(optax.sgd(0.1), 3)).init(params)
    for _ in range(7):
        updates, state = multi.update(gradient(params), state, params)
        params = optax.apply_updates(params, updates)
    jax.tree.map(partial(np.testing.assert_allclose, atol=1e-14), got, params)


def test_units_of_one_matrix_move_at_their_own_frequencies():
    pace = np.array([1, 2, 3])
    got = descend(optax.chain(optax.sgd(1.0), update_every(pace)), jnp.zeros((2, 3)), lambda p: -jnp.ones((2, 3)), 5)
    np.testing.assert_array_equal(got, np.broadcast_to([5.0, 4.0, 3.0], (2, 3)) / [1, 1, 1] - [0, 2, 2])


def test_wrong_periods_are_named(without_beartype):
    for bad in (0, 1.5, np.array([1, -1])):
        with pytest.raises(ValueError, match="`periods` must hold integers of at least 1"):
            update_every({"w": bad})
    with pytest.raises(ValueError, match=r"`periods` of shape \(2,\) must fit a parameter of shape \(3,\)"):
        update_every({"b": np.array([1, 2])}).init({"b": jnp.ones(3)})
