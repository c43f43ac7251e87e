"""Hessian-vector products, forward mode and per-row gradients, against their definitions."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from jaxrnn import Elman, unroll, unroll_bptt
from jaxrnn.testing import random_problem
from jaxrnn.testing.problem import quick_jit
from jaxrnn.trees import TreeElman, balanced_tree, pack, right_comb, unroll_tree, unroll_tree_bpts
from tests.random_params import random_params

CELL = Elman(2, 3)
P = random_problem(CELL, time=4, batch=(3,))
THETA, UNRAVEL = ravel_pytree(P.params)


def loss(theta, xs=P.xs, mask=P.mask, dys=P.dys, run=unroll):
    _, ys = run(CELL, UNRAVEL(theta), xs, mask=mask)
    return jnp.sum(dys * ys**2)


def test_a_hessian_vector_product_is_the_hessian_times_the_vector_whichever_mode_comes_first():
    v = jnp.linspace(-1, 1, THETA.size)

    @quick_jit
    def both(theta):
        forward_over_reverse = jax.jvp(jax.grad(loss), (theta,), (v,))[1]
        reverse_over_reverse = jax.grad(lambda t: jnp.vdot(jax.grad(loss)(t), v))(theta)
        return forward_over_reverse, reverse_over_reverse, jax.hessian(loss)(theta) @ v

    first, second, product = both(THETA)
    np.testing.assert_allclose(first, product, atol=1e-12)
    np.testing.assert_allclose(second, product, atol=1e-12)
    assert np.abs(product).max() > 0.1


def test_the_explicit_pass_has_every_derivative_of_the_scan_but_its_own_forward_mode():
    v = jnp.linspace(-1, 1, THETA.size)

    def three(theta, run):
        def slope(function):
            return lambda t: jnp.vdot(jax.grad(function)(t), v)

        of = partial(loss, run=run)
        return jax.grad(slope(of))(theta), jax.grad(slope(slope(of)))(theta), jax.jvp(jax.grad(of), (theta,), (v,))[1]

    got, want = (quick_jit(partial(three, run=run))(THETA) for run in (unroll_bptt, unroll))
    for a, b in zip(got, want, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-12)
        assert np.abs(b).max() > 0.1
    with pytest.raises(TypeError, match=r"^`unroll_bptt` has no forward mode .* Use `unroll`, which"):
        jax.jvp(partial(loss, run=unroll_bptt), (THETA,), (v,))
    with pytest.raises(TypeError, match="`unroll_bptt` has no forward mode"):
        jax.jacfwd(partial(loss, run=unroll_bptt))(THETA)


def test_forward_mode_gives_the_slope_along_any_direction():
    gradient = quick_jit(jax.grad(loss))(THETA)
    slopes = quick_jit(jax.vmap(lambda v: jax.jvp(loss, (THETA,), (v,))[1]))(jnp.eye(THETA.size))
    np.testing.assert_allclose(slopes, gradient, atol=1e-12)


def test_vmap_gives_the_gradient_of_each_row_through_the_explicit_rules_too():
    def of_row(theta, xs, mask, dys):
        return jax.grad(loss)(theta, xs, mask, dys, unroll_bptt)

    rows = quick_jit(jax.vmap(of_row, in_axes=(None, 1, 1, 1)))(THETA, P.xs, P.mask, P.dys)
    one = quick_jit(of_row)
    for b, row in enumerate(rows):
        np.testing.assert_allclose(row, one(THETA, P.xs[:, b], P.mask[:, b], P.dys[:, b]), atol=1e-12)
    np.testing.assert_allclose(rows.sum(0), quick_jit(jax.grad(loss))(THETA), atol=1e-12)


def test_so_has_the_explicit_pass_through_trees():
    cell, forest = TreeElman(2, 3), pack([balanced_tree(4), right_comb(3)])
    theta, unravel = ravel_pytree(random_params(cell))
    xs, v = jax.device_put(np.random.default_rng(0).normal(size=(4, 2, 2))), jnp.linspace(-1, 1, theta.size)

    def of(theta, run):
        return jnp.sum(run(cell, unravel(theta), forest, xs)[0] ** 2)

    def twice(theta, run):
        return jax.grad(lambda t: jnp.vdot(jax.grad(of)(t, run), v))(theta)

    got, want = (quick_jit(partial(twice, run=run))(theta) for run in (unroll_tree_bpts, unroll_tree))
    np.testing.assert_allclose(got, want, atol=1e-12)
    assert np.abs(want).max() > 0.1
    with pytest.raises(TypeError, match=r"^`unroll_tree_bpts` has no forward mode .* Use `unroll_tree`"):
        jax.jvp(partial(of, run=unroll_tree_bpts), (theta,), (v,))
