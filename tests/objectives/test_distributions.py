"""Losses of probabilistic forecasts: SciPy's densities, quantiles of a sample, and padding."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from jaxrnn.objectives import as_gaussian, as_student_t, gaussian, quantile, student_t

RNG = np.random.default_rng(0)
SHAPE, FEATURES, LEVELS = (5, 3), 2, (0.1, 0.5, 0.9)
TARGETS = jnp.asarray(RNG.normal(size=(*SHAPE, FEATURES)))
MASK = jnp.arange(5)[:, None] < jnp.array([5, 2, 0])


def by_levels(outputs, targets, *, mask=None):
    return quantile(outputs, targets, LEVELS, mask=mask)


LOSSES = {"gaussian": (gaussian, 2), "student_t": (student_t, 3), "quantile": (by_levels, 3)}
OUTPUTS = {name: jnp.asarray(RNG.normal(size=(*SHAPE, count * FEATURES))) for name, (_, count) in LOSSES.items()}
every = pytest.mark.parametrize("name", LOSSES)


def softplus(a):
    return np.log1p(np.exp(a))


def test_the_densities_are_scipys():
    mean, s = np.split(OUTPUTS["gaussian"], 2, axis=-1)
    want = -scipy.stats.norm.logpdf(TARGETS, mean, softplus(s)).sum(-1).mean()
    np.testing.assert_allclose(gaussian(OUTPUTS["gaussian"], TARGETS), want, rtol=1e-12)
    mean, s, d = np.split(OUTPUTS["student_t"], 3, axis=-1)
    want = -scipy.stats.t.logpdf(TARGETS, 2 + softplus(d), mean, softplus(s)).sum(-1).mean()
    np.testing.assert_allclose(student_t(OUTPUTS["student_t"], TARGETS), want, rtol=1e-12)
    np.testing.assert_allclose(
        as_gaussian(OUTPUTS["gaussian"]).scale, softplus(np.split(OUTPUTS["gaussian"], 2, -1)[1])
    )
    np.testing.assert_allclose(as_student_t(OUTPUTS["student_t"]).df, 2 + softplus(d))


def test_the_minimum_of_the_pinball_loss_is_the_quantile():
    sample = jnp.asarray(RNG.normal(size=(1001, 1)))
    grid = np.linspace(-2, 2, 401)
    losses = jax.vmap(lambda y: quantile(jnp.full((1001, 1), y), sample, (0.8,)))(grid)
    assert abs(grid[np.argmin(losses)] - np.quantile(sample, 0.8)) < 0.02


def test_the_levels_come_one_after_the_other():
    outputs = jnp.concatenate([jnp.full((1, FEATURES), level) for level in (1.0, 2.0, 4.0)], axis=-1)
    errors = 3.0 - np.array([1.0, 2.0, 4.0])
    want = np.mean([max(q * e, (q - 1) * e) for q, e in zip(LEVELS, errors, strict=True)])
    np.testing.assert_allclose(by_levels(outputs, jnp.full((1, FEATURES), 3.0)), want)


@every
def test_nothing_on_padding_reaches_a_loss_or_its_gradient(name):
    loss, _ = LOSSES[name]
    run = jax.jit(jax.value_and_grad(loss))
    index = jnp.nonzero(MASK)
    value, gradient = run(OUTPUTS[name], TARGETS, mask=MASK)
    np.testing.assert_allclose(value, loss(OUTPUTS[name][index], TARGETS[index]), rtol=1e-12)
    wild = [jnp.where(MASK[..., None], a, np.nan) for a in (OUTPUTS[name], TARGETS)]
    again = run(*wild, mask=MASK)
    np.testing.assert_array_equal(again[0], value)
    np.testing.assert_array_equal(again[1], gradient)
    assert (np.asarray(gradient)[~MASK] == 0).all()


@every
def test_a_series_that_is_masked_everywhere_is_named(name, without_beartype):
    loss, count = LOSSES[name]
    nothing = jnp.zeros(SHAPE, bool)
    with pytest.raises(ValueError, match="`mask` must be True on at least one step"):
        loss(OUTPUTS[name], TARGETS, mask=nothing)
    assert jax.jit(loss)(OUTPUTS[name], TARGETS, mask=nothing) == 0
    with pytest.raises(ValueError, match=rf"`outputs` must have {count} numbers for every feature"):
        loss(OUTPUTS[name][..., 1:], TARGETS)
    with pytest.raises(ValueError, match="`targets` must have shape"):
        loss(OUTPUTS[name], TARGETS[..., :1])


@pytest.mark.parametrize("levels", [(), (0.0,), (0.5, 1.0), (np.nan,)])
def test_a_level_outside_of_0_and_1_is_named(levels):
    with pytest.raises(ValueError, match=r"`levels` must lie in \(0, 1\)"):
        quantile(jnp.ones((3, max(len(levels), 1))), jnp.ones((3, 1)), levels)
