"""The liquid state machine of integrate-and-fire neurons, against closed forms."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from jaxrnn import unroll
from jaxrnn.reservoirs import LIF
from jaxrnn.reservoirs.spiking import CONNECTION, connection_probability
from jaxrnn.testing.host_trees import host
from jaxrnn.testing.problem import quick_jit

KEY = jax.random.key(0)
PAIR = LIF(1, (2,), refractory=2)
BEGUN = host(quick_jit(PAIR.init)(KEY))


def pair(background=0.0, weight=0.0, start=0.0):
    """Neuron 0 reads the input and reaches neuron 1."""
    return BEGUN._replace(
        u=np.array([[40.0, 0.0]]),
        w=np.array([[0.0, weight], [0.0, 0.0]]),
        b=np.full(2, background),
        start=np.full(2, start),
    )


@partial(quick_jit, static_argnums=0)
def after_every_step(cell, params, xs):
    def step(carry, x):
        carry, _ = cell.step(params, carry, cell.project(params, x))
        return carry, carry

    return jax.lax.scan(step, cell.initial_carry(params), xs)[1]


def carries(params, xs):
    """Return the carry after every step."""
    return host(after_every_step(PAIR, params, xs))


SILENCE = np.zeros((12, 1))
SPIKE = np.where(np.arange(12)[:, None] == 0, 20.0, 0.0)


def test_a_membrane_without_spikes_goes_to_its_current_exponentially():
    history = carries(pair(background=10.0, start=2.0), SILENCE)
    expected = 10 + (2 - 10) * np.exp(-np.arange(1, 13) / 30)
    np.testing.assert_allclose(history.v[:, 0], expected, rtol=0, atol=1e-12)
    assert not history.spikes.any()


def test_a_neuron_fires_at_the_threshold_is_set_back_and_is_dead_for_the_refractory_time():
    history = carries(pair(background=600.0), SILENCE)  # from 0 and from 13.5 one step suffices
    assert history.spikes[:, 0].tolist() == [1, 0, 0] * 4
    np.testing.assert_array_equal(history.v[:, 0], 13.5)
    assert history.refractory[:, 0].tolist() == [2, 1, 0] * 4
    trace = sum(np.exp(-(11 - t) / 30) for t in (0, 3, 6, 9))
    assert float(history.trace[-1, 0]) == pytest.approx(trace, abs=1e-12)


@pytest.mark.parametrize(("weight", "tau"), [(5.0, 3.0), (-5.0, 6.0)])
def test_a_spike_opens_a_synapse_that_decays_with_its_own_time_constant(weight, tau):
    history = carries(pair(weight=weight, start=14.99), SPIKE)
    first = int(np.argmax(history.spikes[:, 0]))
    current = (history.excitatory + history.inhibitory)[first + 1 : first + 3, 1]
    np.testing.assert_allclose(current, weight * np.exp(-np.arange(2) / tau), rtol=1e-12)
    assert (history.excitatory[:, 1] == 0).all() == (weight < 0)


def test_neurons_are_connected_by_kind_and_distance_and_are_of_one_sign():
    cell = LIF(40, (10, 10), inhibitory=0.3, strength=2.0)
    params = host(quick_jit(cell.init)(KEY))
    signs = np.sign(params.w)
    assert (abs(signs.sum(axis=1)) == abs(signs).sum(axis=1)).all() and (np.diag(params.w) == 0).all()
    kinds = jax.device_put((signs.sum(axis=1) < 0).astype(int))
    probability = np.asarray(connection_probability((10, 10), kinds, 2.0))
    found, expected = (params.w != 0).sum(), probability.sum()
    assert abs(found - expected) < 4 * np.sqrt((probability * (1 - probability)).sum())
    assert probability[0, 1] == pytest.approx(CONNECTION[kinds[0], kinds[1]] * np.exp(-1 / 4))
    assert float((params.u != 0).mean()) == pytest.approx(0.3, abs=4 * np.sqrt(0.3 * 0.7 / 4000))


FREE = LIF(1, (2,), refractory=0)


def surrogate(v, slope=0.7):
    """σ′ with respect to v, at the threshold 15."""
    s = 1 / (1 + np.exp(-slope * (v - 15)))
    return slope * s * (1 - s)


@pytest.mark.parametrize("first", [True, False])  # whether neuron 0 fires at the first step
def test_the_surrogate_gradient_is_the_one_derived_by_hand(first):
    """Two steps, hard spikes: neuron 0 reads the input and reaches neuron 1; σ′ stands wherever Θ′ would."""
    start, x, m, trace = 14.5, 1.0 if first else 0.1, np.exp(-1 / 30), np.exp(-1 / 30)
    params = pair(background=13.5, weight=5.0, start=start)._replace(slope=np.asarray(0.7))

    @quick_jit
    @jax.jacrev
    def filtered(params):
        return unroll(FREE, params, jax.device_put(np.array([[x], [0.0]])))[1][-1]

    v0 = m * start + (1 - m) * (13.5 + 40 * x)
    s0 = float(v0 >= 15)
    assert s0 == first
    after = v0 + s0 * (13.5 - v0)
    v0_2 = m * after + (1 - m) * (13.5 + np.exp(-1 / 3) * 40 * x)
    v1_2 = m * (m * start + (1 - m) * 13.5) + (1 - m) * (13.5 + 5.0 * s0)
    dafter = (1 - s0) + (13.5 - v0) * surrogate(v0)  # through what stays of v, and through the reset
    both = host(filtered(params))
    of_0, of_1 = (jax.tree.map(lambda g, i=i: g[i], both) for i in (0, 1))
    assert float(of_1.w[0, 1]) == pytest.approx(surrogate(v1_2) * (1 - m) * s0, abs=1e-12)
    through = surrogate(v1_2) * (1 - m) * 5.0 * surrogate(v0)
    assert float(of_1.u[0, 0]) == pytest.approx(through * (1 - m) * x, rel=1e-12)
    assert float(of_1.start[0]) == pytest.approx(through * m, rel=1e-12)
    want = trace * surrogate(v0) * m + surrogate(v0_2) * m * dafter * m
    assert float(of_0.start[0]) == pytest.approx(want, rel=1e-12)


def test_gradients_of_smooth_spikes_are_finite_differences_where_spikes_are_sparse_and_in_doubt():
    """Every neuron is near its threshold, none saturated, and each hears others: no derivative is 0."""
    smooth = LIF(2, (2, 2), refractory=2, strength=1.0, input_density=1.0, spike="smooth")
    signs, rng = np.array([[1.0], [1.0], [-1.0], [1.0]]), np.random.default_rng(0)
    params = quick_jit(smooth.init)(KEY)
    params = params._replace(
        w=signs * np.abs(3 + rng.normal(size=(4, 4))), u=np.full((2, 4), 4.0), slope=np.asarray(1.0)
    )
    xs = rng.random((5, 2))

    def history(params, xs):
        def step(carry, x):
            carry, q = smooth.step(params, carry, smooth.project(params, x))
            return carry, (carry, q)

        return jax.lax.scan(step, smooth.initial_carry(params), xs)[1]

    seen, _ = host(quick_jit(history)(params, xs))
    assert seen.spikes.min() > 0.05 and seen.spikes.max() < 0.5 and not seen.refractory.any()
    arrays = partial(jax.tree.map, jnp.asarray)  # the check hands NumPy's arrays on
    outputs = jax.jit(lambda p, xs: history(arrays(p), arrays(xs))[1])
    check_grads(outputs, (params, xs), order=1, atol=1e-6, rtol=1e-6)
    gradient = quick_jit(jax.grad(lambda p: history(p, xs)[1].sum()))(params)._replace(rest=1.0)
    assert all(np.abs(g).min() > 1e-3 for g in gradient)


def test_hard_spikes_are_0_or_1_sparse_and_have_the_smooth_liquid_s_derivative_in_their_first_step():
    hard, smooth = (LIF(2, (15, 3, 3), refractory=3, spike=spike) for spike in ("hard", "smooth"))
    params = quick_jit(smooth.init)(KEY)._replace(slope=np.asarray(0.7))
    xs = (np.random.default_rng(0).random((100, 2)) < 0.1).astype(float)
    fired = np.asarray(after_every_step(hard, params, xs).spikes)
    assert np.isin(fired, [0.0, 1.0]).all() and 0.005 < fired.mean() < 0.1 and (fired.sum(axis=0) > 0).mean() > 0.3
    one = jax.device_put(
        np.ones((1, 2))
    )  # one step has the same inputs in both, so the gradients of its spikes are the same
    gradients = [
        np.asarray(jax.jit(jax.grad(lambda p, cell=cell: unroll(cell, p, one)[1].sum()))(params).u)
        for cell in (hard, smooth)
    ]
    np.testing.assert_allclose(gradients[0], gradients[1], rtol=1e-12)
    assert np.abs(gradients[0]).max() > 1e-3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"input_size": 0}, "`input_size`"),
        ({"grid": (3, 0)}, r"`grid\[1\]`"),
        ({"dt": 0.0}, "`dt` must be above 0"),
        ({"reach": -1.0}, "`reach` must be above 0"),
        ({"inhibitory": 1.5}, r"`inhibitory` must lie in \[0, 1\]"),
        ({"refractory": -1}, "`refractory` must be at least 0"),
        ({"strength": -1.0}, "`strength` must be at least 0"),
        ({"spike": "loud"}, "`spike` must be one of"),
    ],
)
def test_a_liquid_that_cannot_be_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        LIF(**{"input_size": 2, "grid": (3,), **changes})
