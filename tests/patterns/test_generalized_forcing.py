"""Generalized teacher forcing: between running free and teacher forcing, and parallel where a free run is not."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrnn import LSTM, Elman, unroll, unroll_newton
from jaxrnn.dynamics import jacobian_product, step_jacobians
from jaxrnn.patterns import Forced, least_forcing
from jaxrnn.unrolling.parallel import Newton, newton

CHAOTIC = Elman(1, 12)
PARAMS = CHAOTIC.init(jax.random.key(0))._replace(w=5 * jax.random.normal(jax.random.key(1), (12, 12)) / 12**0.5)
DRIVE = jax.random.normal(jax.random.key(2), (151, 1))
SERIES = unroll(CHAOTIC, PARAMS, DRIVE)[1]
XS = jnp.concatenate([DRIVE[1:], SERIES[:-1]], axis=-1)


def forced(alpha):
    cell = Forced(CHAOTIC, observed=12, alpha=alpha)
    return cell, cell.init(jax.random.key(0))._replace(cell=PARAMS)


def test_without_forcing_it_is_the_free_run_and_with_all_of_it_teacher_forcing():
    start = 0.3 * jnp.ones(12)
    free = unroll(CHAOTIC, PARAMS, DRIVE[1:], start)[1]
    np.testing.assert_allclose(unroll(*forced(0.0), XS, start)[1], free, atol=1e-12)
    steps = CHAOTIC.step(PARAMS, SERIES[:-1], CHAOTIC.project(PARAMS, DRIVE[1:]))[1]
    np.testing.assert_allclose(unroll(*forced(1.0), XS, start)[1], steps, atol=1e-12)


def test_the_least_forcing_keeps_products_of_jacobians_from_growing():
    alpha = float(least_forcing(step_jacobians(CHAOTIC, PARAMS, DRIVE[1:], SERIES[0])))
    assert 0.5 < alpha < 1
    of_run = [step_jacobians(*forced(a), XS, SERIES[0]) for a in (0.0, alpha)]
    norms = [float(jnp.linalg.norm(jacobian_product(js), 2)) for js in of_run]
    assert norms[0] > 10 and norms[1] <= 1


def test_the_forced_run_is_parallel_with_few_updates_where_the_free_one_is_not():
    solver = Newton(iterations=150)
    free, drawn = (newton(*forced(alpha), XS, solver=solver)[2] for alpha in (0.0, 0.7))
    assert int(drawn.iterations) <= 12 and int(free.iterations) > 40
    np.testing.assert_allclose(unroll_newton(*forced(0.7), XS)[1], unroll(*forced(0.7), XS)[1], atol=1e-9)


def test_units_that_are_not_observed_are_left_alone():
    cell = Forced(CHAOTIC, observed=3, alpha=1.0)
    params = cell.init(jax.random.key(0))._replace(cell=PARAMS)
    h, d = jnp.ones(12), jnp.zeros(3)
    after, _ = cell.step(params, h, cell.project(params, jnp.concatenate([jnp.zeros(1), d])))
    expected, _ = CHAOTIC.step(PARAMS, h.at[:3].set(0), CHAOTIC.project(PARAMS, jnp.zeros(1)))
    np.testing.assert_allclose(after, expected, atol=1e-12)


def test_what_cannot_be_forced_is_named(without_beartype):
    key = jax.random.key(0)
    with pytest.raises(ValueError, match="`alpha` must lie in 0 … 1"):
        Forced(CHAOTIC, 2, 1.5)
    with pytest.raises(ValueError, match="`observed` must be at most the 12 units, got 13"):
        Forced(CHAOTIC, 13).init(key)
    with pytest.raises(TypeError, match="`cell` must carry one array h"):
        Forced(LSTM(1, 3), 2).init(key)
    with pytest.raises(ValueError, match="`jacobians` must be square"):
        least_forcing(jnp.ones((2, 3)))
