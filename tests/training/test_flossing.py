"""Gradient flossing: the gradient of Lyapunov exponents, and the effect of descending on them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrnn import LSTM, Elman
from jaxrnn.dynamics import lyapunov_spectrum
from jaxrnn.testing import random_problem
from jaxrnn.training import flossing_loss


@pytest.mark.parametrize("cell", [Elman(3, 4), LSTM(3, 2)], ids=lambda c: type(c).__name__)
def test_its_gradient_is_that_of_finite_differences(cell):
    p = random_problem(cell)
    loss = jax.jit(lambda w: flossing_loss(cell, p.params._replace(w=w), p.xs, count=2, target=-0.1))
    push = jax.random.normal(jax.random.key(1), p.params.w.shape)
    slope = (loss(p.params.w + 1e-6 * push) - loss(p.params.w - 1e-6 * push)) / 2e-6
    assert float(jnp.vdot(jax.grad(loss)(p.params.w), push)) == pytest.approx(float(slope), rel=1e-5)


def test_descending_it_brings_the_exponents_to_zero():
    cell, xs = Elman(2, 8), jax.random.normal(jax.random.key(1), (30, 2, 2))
    params = cell.init(jax.random.key(0))
    grad = jax.grad(lambda params: flossing_loss(cell, params, xs, count=3))

    def update(params, _):
        return jax.tree.map(lambda p, g: p - 0.05 * g, params, grad(params)), None

    flossed = jax.jit(lambda params: jax.lax.scan(update, params, length=300)[0])(params)
    before, after = (np.abs(lyapunov_spectrum(cell, p, xs, count=3)).mean() for p in (params, flossed))
    assert after < 0.3 * before
