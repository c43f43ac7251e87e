"""3.4: Ω in closed form, its two gradients, masks and resets."""

from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrnn import LSTM, Elman, Readout, cross_entropy, unroll
from jaxrnn.cells import Clockwork, ElmanParams
from jaxrnn.core.local_rules import storable
from jaxrnn.dynamics import hidden_gradients, loss_and_flow, omega, omega_terms, pascanu_omega
from jaxrnn.dynamics.states import as_vectors
from jaxrnn.testing import loops, must_agree, random_problem
from jaxrnn.testing.problem import quick_jit


def pascanu_omega_terms(*arguments, **options):
    return (loss_and_flow(*arguments, **options).ratios - 1) ** 2


both = pytest.mark.parametrize("terms", [omega_terms, pascanu_omega_terms])
TIME, ROWS = 5, 3


def loss(carry, ys):
    return jnp.sum(jnp.sin(ys + 0.1))


def run(terms, cell, params, xs, **options):
    return quick_jit(lambda params, xs: terms(cell, params, xs, loss, **options))(params, xs)


@pytest.fixture(scope="module")
def p():
    return random_problem(Elman(3, 4), time=TIME, batch=(ROWS,))


def linear(w):
    n = w.shape[0]
    return Elman(1, n, "identity"), ElmanParams(jnp.zeros((1, n)), w, jnp.zeros(n)), jnp.ones((TIME, ROWS, 1))


@both
@pytest.mark.parametrize("c", [0.0, 0.5, 3.0])
def test_w_equal_to_c_i_gives_c_minus_1_squared_a_term(terms, c):
    got = run(terms, *linear(c * jnp.eye(4)))
    np.testing.assert_allclose(got, np.full((TIME, ROWS), (c - 1) ** 2), atol=1e-14)


@both
def test_an_orthogonal_w_gives_0(terms):
    w = jnp.linalg.qr(jax.random.normal(jax.random.key(0), (4, 4)))[0]
    np.testing.assert_allclose(run(terms, *linear(w)), np.zeros((TIME, ROWS)), atol=1e-14)


def by_hand(w, hs, deltas):
    """Σₜ (‖Wᵀ diag(1 − h²) δ‖/‖δ‖ − 1)², the mean over rows; w is Wᵀ."""
    back = ((1 - hs**2) * deltas) @ w.T
    return jnp.mean(jnp.sum((jnp.linalg.norm(back, axis=-1) / jnp.linalg.norm(deltas, axis=-1) - 1) ** 2, axis=0))


def states(p, params, loss):
    """h⁽ᵗ⁾ and δ⁽ᵗ⁾ of the plain network by `jax.grad` of pushes, with none of the library's code."""

    def run(pushes):
        h, hs = jnp.zeros((ROWS, 4)), []
        for x, push in zip(p.xs, pushes, strict=True):
            h = jnp.tanh(x @ params.u + h @ params.w + params.b) + push
            hs.append(h)
        return loss(h, jnp.stack(hs)), jnp.stack(hs)

    pushes = jnp.zeros((TIME, ROWS, 4))
    return run(pushes)[1], jax.grad(lambda e: run(e)[0])(pushes)


def weighted_by(p):
    return lambda carry, ys: jnp.vdot(ys, p.dys)


def weighted(carry, ys):
    return jnp.sum(ys**2 * jnp.arange(1, TIME + 1)[:, None, None])


def test_the_value_and_both_gradients_are_those_of_the_formulas(p):
    """Exactly: the formula as a function of θ.  In Pascanu's approximation: of W alone, h and δ held."""
    cell, params = Elman(3, 4), p.params

    def exact(params):
        return by_hand(params.w, *states(p, params, weighted))

    @quick_jit
    def everything(params):
        held = states(p, params, weighted)
        return (
            [jax.value_and_grad(f)(params) for f in (exact, lambda q: omega(cell, q, p.xs, weighted))],
            [
                jax.value_and_grad(lambda q: by_hand(q.w, *held))(params),
                jax.value_and_grad(lambda q: pascanu_omega(cell, q, p.xs, weighted))(params),
            ],
        )

    exact_pair, pascanu_pair = everything(params)
    for want, got in (exact_pair, pascanu_pair):
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-10), got, want)
    assert np.abs(exact_pair[0][1].w - pascanu_pair[0][1].w).max() > 1e-3
    assert not pascanu_pair[1][1].u.any() and not pascanu_pair[1][1].b.any() and exact_pair[1][1].u.any()


@pytest.mark.parametrize("cell", [LSTM(3, 4), Clockwork(3, 4, (1, 2))], ids=lambda c: type(c).__name__)
@pytest.mark.parametrize("given", [False, True])
def test_the_loss_beside_omega_has_the_value_and_the_gradient_of_unroll(cell, given):
    """With respect to θ, xs, the first carry and what the loss closes over; a mask and resets in it."""
    p = random_problem(cell)
    inputs = p.params, p.xs, p.carry if given else None, jnp.ones(4)

    def loss(scale, carry, ys):
        return jnp.vdot(ys * scale, p.dys) + jnp.sum(jnp.sin(as_vectors(carry, 1)))

    def beside(params, xs, start, scale):
        return loss_and_flow(cell, params, xs, partial(loss, scale), start, mask=p.mask, reset=p.reset).loss

    def alone(params, xs, start, scale):
        return loss(scale, *unroll(cell, params, xs, start, mask=p.mask, reset=p.reset))

    @quick_jit
    def both(*inputs):
        pairs = [jax.value_and_grad(f, (0, 1, 2, 3), allow_int=True)(*inputs) for f in (beside, alone)]
        return [(value, storable(inputs, gradient)) for value, gradient in pairs]

    must_agree(cell, "the loss beside Ω = the loss", *both(*inputs))


def test_the_loss_omega_and_both_gradients_take_one_loop_forward_and_one_back():
    cell, p = LSTM(3, 4), random_problem(LSTM(3, 4))

    def objective(params):
        flow = loss_and_flow(cell, params, p.xs, weighted_by(p))
        return flow.loss + jnp.sum((flow.ratios - 1) ** 2)

    forward, backward = loops(jax.value_and_grad(objective), p.params)
    assert (forward.reverse, backward.reverse) == (False, True)


def test_the_flow_s_norms_are_those_of_the_hidden_gradients_and_0_where_nothing_counts():
    cell, p = LSTM(3, 4), random_problem(LSTM(3, 4))

    @quick_jit
    def both_ways(params):
        args = cell, params, p.xs, weighted_by(p)
        flow = loss_and_flow(*args, mask=p.mask, reset=p.reset)
        return flow, jnp.linalg.norm(hidden_gradients(*args, mask=p.mask, reset=p.reset), axis=-1)

    flow, norms = both_ways(p.params)
    counts = p.mask & ~p.reset & (norms > 0)
    assert counts.any() and not counts.all()
    np.testing.assert_allclose(flow.norms, np.where(counts, norms, 0), atol=1e-13)
    np.testing.assert_array_equal(flow.ratios == 1, ~counts)


@pytest.mark.parametrize("cell", [LSTM(3, 4), Clockwork(3, 4, (1, 2))], ids=lambda c: type(c).__name__)
def test_the_exact_gradient_is_the_finite_difference_for_any_cell_and_of_the_read_out_too(cell):
    p = random_problem(cell, time=3, batch=(2,))
    readout = Readout(4, 3)
    out = readout.init(jax.random.key(0))

    def function(weights):
        params, out = weights

        def loss(carry, ys):
            return cross_entropy(readout.apply(out, ys), jnp.ones((3, 2), int))

        return omega(cell, params, p.xs, loss, p.carry, mask=p.mask.at[0].set(True))

    flat, rebuild = jax.flatten_util.ravel_pytree((p.params, out))
    along, step = jax.random.normal(jax.random.key(1), flat.shape), 1e-5

    @quick_jit
    def slopes(flat):
        ahead, behind = (function(rebuild(x)) for x in (flat + step * along, flat - step * along))
        return jax.grad(lambda x: function(rebuild(x)))(flat) @ along, (ahead - behind) / (2 * step)

    got, want = slopes(flat)
    np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-8)


@both
def test_masked_steps_and_steps_without_a_gradient_count_as_0_and_padding_is_invisible(terms, p):
    cell, lengths = Elman(3, 4), jnp.array([5, 2, 0])
    mask = jnp.arange(TIME)[:, None] < lengths

    @quick_jit
    def value_and_grad(xs, mask, seen):
        def total(params):
            got = terms(cell, params, xs, lambda carry, ys: jnp.sum(seen * ys**2), mask=mask)
            return got.sum(), got

        return jax.value_and_grad(total, has_aux=True)(p.params)

    everywhere = jnp.ones((TIME, 1, 1))
    (_, got), gradient = value_and_grad(p.xs, mask, everywhere)
    np.testing.assert_array_equal(got != 0, mask)
    padded = jnp.where(mask[..., None], p.xs, jnp.nan)
    again = value_and_grad(padded, mask, everywhere)
    jax.tree.map(np.testing.assert_array_equal, again, ((got.sum(), got), gradient))
    (_, early), gradient = value_and_grad(p.xs, jnp.ones_like(mask), everywhere.at[2:].set(0))  # the loss ends at t = 2
    np.testing.assert_array_equal(early != 0, np.broadcast_to(np.arange(TIME)[:, None] < 2, early.shape))
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))


@both
def test_the_way_across_a_reset_does_not_count_and_episodes_joined_are_episodes_apart(terms, p):
    cell = Elman(3, 4)
    joined = run(terms, cell, p.params, p.xs, reset=jnp.zeros((TIME, ROWS), bool).at[3].set(True))
    apart = [run(terms, cell, p.params, xs) for xs in (p.xs[:3], p.xs[3:])]
    np.testing.assert_allclose(joined, np.concatenate([apart[0], apart[1].at[0].set(0)]), atol=1e-14)


@both
def test_a_gradient_that_has_faded_keeps_its_direction(terms):
    with jax.enable_x64(False):
        cell, params, xs = linear(0.5 * jnp.eye(3, dtype=jnp.float32))
        got = quick_jit(lambda q: terms(cell, q, xs, lambda carry, ys: 1e-30 * jnp.sum(carry)))(params)
        np.testing.assert_allclose(got, np.full((TIME, ROWS), 0.25), rtol=1e-5)


@both
def test_a_dead_unit_s_gradient_is_finite(terms):
    """‖v‖ at v = 0."""
    params = ElmanParams(jnp.zeros((1, 2)), jnp.eye(2), -jnp.ones(2))
    xs = jnp.ones((TIME, ROWS, 1))
    total = quick_jit(jax.value_and_grad(lambda q: terms(Elman(1, 2, "relu"), q, xs, loss).sum()))
    value, gradient = total(params)
    assert value == TIME * ROWS and all(np.isfinite(leaf).all() for leaf in gradient)


@jax.tree_util.register_static
@dataclass(frozen=True)
class Counter:
    """Nothing but an integer."""

    def init(self, key):
        return jnp.ones((1,))

    def initial_carry(self, params, batch_shape=()):
        return jnp.zeros(batch_shape, int)

    def project(self, params, xs):
        return xs * params

    def step(self, params, carry, z):
        return carry + 1, z


@both
def test_a_state_without_a_derivative_is_named(terms):
    with pytest.raises(TypeError, match="`cell` must have a carry with a floating array, to have a derivative"):
        terms(Counter(), jnp.ones((1,)), jnp.ones((TIME, ROWS, 1)), lambda carry, ys: jnp.sum(ys))
