"""Gradients computed forward: exact, partial, unbiased, and within units."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from jaxrnn import GRU, LSTM, Elman, Leaky, Stack, squared_error, unroll, unroll_loss
from jaxrnn.cells.wrappers import Zoneout
from jaxrnn.online import RTRL, UORO, CutProducts, EProp, SnAp, run_online
from jaxrnn.online.snap import pattern
from jaxrnn.testing import must_agree, random_problem
from jaxrnn.testing.host_trees import add, host, zeros
from jaxrnn.testing.problem import quick_jit
from tests.laws.cells import Own
from tests.random_params import random_params

LEARNED_START = Own(2, 3)


@partial(quick_jit, static_argnums=0)
def online(algorithm, p):
    state = algorithm.init(p.params, p.xs[0])
    return run_online(algorithm, p.params, state, p.xs, p.dys, jnp.vdot, mask=p.mask, reset=p.reset)


@partial(quick_jit, static_argnums=0)
def backwards(cell, p):
    def loss(params):
        _, ys = unroll(cell, params, p.xs, mask=p.mask, reset=p.reset)
        return jnp.vdot(ys, p.dys) / p.mask.sum()

    return jax.value_and_grad(loss)(p.params)


@pytest.mark.parametrize(
    "cell", [LSTM(2, 3, "current"), GRU(2, 3), Stack((Elman(2, 2), Elman(2, 2, "relu")))], ids=repr
)
def test_snap_n_becomes_rtrl(cell):
    p = random_problem(cell)
    got = online(SnAp(cell, 9), p)
    must_agree(cell, "SnAp-n with n large = RTRL", got[1:], backwards(cell, p))


@pytest.mark.parametrize("algorithm", [RTRL(LEARNED_START), SnAp(LEARNED_START, 9)], ids=["rtrl", "snap"])
def test_a_learned_start_gets_its_gradient_behind_every_reset(algorithm):
    p = random_problem(LEARNED_START)
    assert (p.reset & ~p.mask).any() and p.reset[1:].any()
    must_agree(LEARNED_START, "exact, learned start", online(algorithm, p)[1:], backwards(LEARNED_START, p))


def test_snap_1_keeps_of_the_influence_what_one_step_fills():
    """Against the definition, P ⊙ (D J + I) with whole matrices, for one row."""
    cell = LSTM(2, 3)
    p = random_problem(cell, batch=(1,), mask=np.ones((6, 1), bool), reset=np.zeros((6, 1), bool))
    theta, unravel = ravel_pytree(p.params)

    def step(theta, h, x):
        carry = cell.initial_carry(p.params)
        carry, y = cell.step(unravel(theta), type(carry)(h[:3], h[3:]), cell.project(unravel(theta), x))
        return jnp.concatenate(carry), y

    @quick_jit
    def at(theta, h, x):
        return step(theta, h, x)[0], jax.jacrev(step, (0, 1))(theta, h, x)

    h, j, want = np.zeros(6), np.zeros((6, theta.size)), 0
    for x, dy in zip(np.asarray(p.xs)[:, 0], np.asarray(p.dys)[:, 0], strict=True):
        h, ((i, d), (y_i, y_d)) = host(at(theta, h, x))
        want = want + dy @ (y_i + y_d @ j) / 6
        j = (i != 0) * (d @ j + i)
    got = online(SnAp(cell), p).gradient
    np.testing.assert_allclose(ravel_pytree(got)[0], want, atol=1e-12)
    assert np.abs(want - ravel_pytree(backwards(cell, p)[1])[0]).max() > 1e-4


def test_snap_1_of_a_gated_cell_stores_an_entry_for_each_number_of_the_unit():
    assert pattern(LSTM(2, 3), 1, (((2,), "float64"),), jax.tree.structure(0)).rows.shape == (4 * (2 + 3 + 1) * 3, 2)
    at = pattern(Elman(2, 3, "relu"), 1, (((2,), "float64"),), jax.tree.structure(0))
    assert at.kept.all() and at.rows.shape == ((2 + 3 + 1) * 3, 1) and set(at.color) == {0}


def test_the_entries_of_a_cell_that_draws_are_those_that_any_draw_fills():
    cell = Zoneout(Elman(2, 3), (0.8,))
    x = jax.tree.map(lambda a: np.asarray(a)[0], random_problem(cell).xs)
    shapes = tuple((leaf.shape[-1:], str(leaf.dtype)) for leaf in x)
    assert pattern(cell, 2, shapes, jax.tree.structure(x)).kept.sum() == (2 + 3 + 1) * 3 * 3


BOUNDARY_ON_PADDING = np.array([[1, 1], [1, 0], [1, 1], [1, 1]], bool), np.array([[0, 0], [0, 1], [1, 0], [0, 0]], bool)


@pytest.mark.parametrize("mask, reset", [(np.ones((4, 2), bool), None), BOUNDARY_ON_PADDING], ids=["full", "padded"])
def test_the_mean_of_uoro_over_its_signs_is_the_exact_gradient(mask, reset):
    cell = Elman(2, 2)
    p = random_problem(cell, time=4, batch=(2,), mask=mask, reset=reset)

    @quick_jit
    def guesses(keys, p):
        def one(key):
            state = UORO(cell).init(key, p.params, p.xs[0])
            run = run_online(UORO(cell), p.params, state, p.xs, p.dys, jnp.vdot, mask=p.mask, reset=p.reset)
            return ravel_pytree(run.gradient)[0]

        return jax.vmap(one)(keys)

    guessed = np.asarray(guesses(jax.random.split(jax.random.key(0), 20_000), p))
    exact = np.asarray(ravel_pytree(backwards(cell, p)[1])[0])
    error = guessed.std(0) / np.sqrt(len(guessed))
    assert (np.abs(guessed.mean(0) - exact) < 4.5 * error + 1e-12).all()
    assert (guessed.std(0) > 1e-3).any() and error.max() < 0.02


@pytest.mark.parametrize("cell", [Elman(2, 3), LSTM(2, 3, "previous"), GRU(2, 3, "after")], ids=repr)
def test_e_prop_is_the_gradient_with_the_recurrent_products_cut(cell):
    p = random_problem(cell)
    cut, exact = host((backwards(CutProducts(cell), p), backwards(cell, p)))
    must_agree(cell, "e-prop = BPTT of the cut cell", online(EProp(cell), p)[1:], cut)
    np.testing.assert_allclose(cut[0], exact[0], atol=1e-12)
    assert max(np.abs(a - b).max() for a, b in zip(*map(jax.tree.leaves, (cut[1], exact[1])), strict=True)) > 1e-3


def test_a_loss_that_is_undefined_on_padding_sends_nothing_back_from_there():
    cell = Elman(2, 3)
    p = random_problem(cell)

    def direction(v, y, target):
        o = v * y
        return 1 - jnp.dot(o / jnp.linalg.norm(o), target)

    def run(v, p):
        state = RTRL(cell).init(p.params, p.xs[0])
        loss = partial(direction, v)
        done = run_online(RTRL(cell), p.params, state, p.xs, p.dys, loss, mask=p.mask, reset=p.reset)
        return done.loss, done.gradient

    def backwards(v, params):
        return unroll_loss(cell, params, p.xs, p.dys, partial(direction, v), mask=p.mask, reset=p.reset)[1]

    assert not p.mask.all()
    v = np.arange(1.0, 4.0)
    (value, online_gradient), of_v = quick_jit(run)(v, p), quick_jit(jax.grad(lambda v: run(v, p)[0]))(v)
    want, (want_of_v, gradient) = quick_jit(jax.value_and_grad(backwards, (0, 1)))(v, p.params)
    must_agree(cell, "run_online = unroll_loss", (value, online_gradient, of_v), (want, gradient, want_of_v))
    assert np.isfinite(np.asarray(want_of_v)).all() and np.abs(np.asarray(want_of_v)).max() > 1e-3


def test_a_control_loop_gives_the_gradients_of_the_scan():
    cell = GRU(2, 3)
    p = random_problem(cell)
    algorithm = RTRL(cell)

    @quick_jit
    def learn(state, x, dy, mask, reset):
        return algorithm.step(p.params, state, x, lambda y: jnp.vdot(dy, y), mask=mask, reset=reset)

    xs, *others = host((p.xs, p.dys, p.mask, p.reset))
    state, total = jax.jit(algorithm.init)(p.params, xs[0]), zeros(p.params)
    for at in zip(xs, *others, strict=True):
        state, done = learn(state, *at)
        total = add(total, host(done.gradient))
    mean = jax.tree.map(lambda a: a / np.asarray(p.mask).sum(), total)
    must_agree(cell, "steps in a loop = run_online", (state, mean), online(algorithm, p)[::2])


def test_an_influence_that_cannot_fit_is_refused_with_its_size():
    cell = LSTM(2, 256)
    params = random_params(cell)
    with pytest.raises(MemoryError, match=r"10000 × 512 × 265,216 numbers .*GiB"):
        RTRL(cell).init(params, np.zeros((10_000, 2)))


def test_bad_algorithms_are_named(without_beartype):
    with pytest.raises(TypeError, match=r"e-prop is defined for Elman, LSTM and GRU"):
        EProp(GRU(2, 3, "before"))
    with pytest.raises(ValueError, match=r"`n` must be an integer of at least 1"):
        SnAp(GRU(2, 3), 0)
    algorithm = RTRL(GRU(2, 3))
    params = random_params(algorithm.cell)
    with pytest.raises(ValueError, match=r"`carry` must have shape \(4, 3\)"):
        algorithm.step(params, algorithm.init(params, np.ones(2)), np.ones((4, 2)), jnp.sum)
    for wrong in (None, "rtrl", RTRL, algorithm.cell, Leaky(algorithm.cell, 0.5)):
        with pytest.raises(TypeError, match=r"`algorithm` must be an online algorithm, such as RTRL\(cell\), got"):
            run_online(wrong, params, None, np.ones((4, 2)), np.ones((4, 3)), squared_error)
