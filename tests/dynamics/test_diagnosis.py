"""3.1: Jacobians, the linear case, Lyapunov exponents, and the report."""

from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from matplotlib.figure import Figure

from jaxrnn import LSTM, Elman, diagnose, unroll
from jaxrnn.cells import Clockwork, ElmanParams, Jordan
from jaxrnn.dynamics import (
    departure_from_normality,
    growth,
    hidden_gradients,
    jacobian_product,
    lyapunov_spectrum,
    memory_length,
    omega,
    pascanu_omega,
    product_variance,
    sample_products,
    step_jacobians,
    symmetric_power,
    weight_variance,
)
from jaxrnn.reservoirs import spectral_radius
from jaxrnn.testing import random_problem
from jaxrnn.testing.host_trees import host
from jaxrnn.testing.problem import quick_jit
from tests.random_params import random_params


def orthogonal(n, seed=0):
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(n, n)))[0]


def linear(w):
    """Return the network whose J is w, everywhere."""
    n = w.shape[0]
    return Elman(1, n, "identity"), jax.device_put(ElmanParams(np.zeros((1, n)), w.T, np.zeros(n)))


# Jacobians


def test_the_plain_network_s_jacobian_is_diag_1_minus_h_squared_times_w():
    p = random_problem(Elman(3, 4))
    js = step_jacobians(Elman(3, 4), p.params, p.xs, p.carry)
    hs = np.asarray(unroll(Elman(3, 4), p.params, p.xs, p.carry)[1])
    np.testing.assert_allclose(js, (1 - hs**2)[..., None] * np.asarray(p.params.w).T, atol=1e-14)


@pytest.mark.parametrize("cell", [LSTM(3, 4), Clockwork(3, 4, (1, 2))], ids=lambda c: type(c).__name__)
def test_the_product_of_the_jacobians_is_the_jacobian_of_the_run_with_masks_and_resets(cell):
    p = random_problem(cell)
    reset = jax.device_put(np.asarray(p.reset) & (np.arange(6)[:, None] == 4))

    def floats(carry):
        return jnp.concatenate([a for a in jax.tree.leaves(carry) if jnp.issubdtype(a.dtype, jnp.floating)], axis=-1)

    js = quick_jit(lambda c: step_jacobians(cell, p.params, p.xs, c, mask=p.mask, reset=reset))(p.carry)
    moved = [a for a in jax.tree.leaves(p.carry) if jnp.issubdtype(a.dtype, jnp.floating)]
    push = [np.random.default_rng(i).normal(size=a.shape) for i, a in enumerate(moved)]

    def along(arrays):
        leaves = iter(arrays)
        carry = jax.tree.map(lambda a: next(leaves) if jnp.issubdtype(a.dtype, jnp.floating) else a, p.carry)
        return floats(unroll(cell, p.params, p.xs, carry, mask=p.mask, reset=reset)[0])

    want = quick_jit(lambda moved, push: jax.jvp(along, (moved,), (push,))[1])(moved, push)
    got = np.einsum("bij,bj->bi", jacobian_product(js), np.concatenate(push, axis=-1))
    np.testing.assert_allclose(got, want, atol=1e-12)


def test_hidden_gradients_are_the_last_one_times_the_jacobians():
    p = random_problem(LSTM(3, 4))

    @quick_jit
    def both(params, xs):
        js = step_jacobians(LSTM(3, 4), params, xs)
        ds = hidden_gradients(LSTM(3, 4), params, xs, lambda carry, ys: jnp.sum(jnp.sin(carry.h)))
        return [jacobian_product(js[s + 1 :]) for s in range(5)], ds

    products, ds = host(both(p.params, p.xs))
    for s in range(5):
        want = np.einsum("bij,bi->bj", products[s], ds[-1])
        np.testing.assert_allclose(ds[s], want, atol=1e-14)


def test_memory_length_is_the_step_at_which_1_over_e_is_left():
    for c in (0.5, 0.8, 0.95):
        norms = jax.device_put(c ** np.arange(100.0)[::-1])
        assert int(memory_length(norms)) == np.ceil(1 / np.log(1 / c))
    assert memory_length(jax.device_put(np.ones((7, 2)))).tolist() == [7, 7]
    for fraction in (-1.0, 1.5, float("nan")):
        with pytest.raises(ValueError, match=f"`fraction` must lie in 0 … 1, got {fraction}"):
            memory_length(jax.device_put(np.ones(7)), fraction)


def test_a_state_read_through_a_step_function_has_no_derivative_and_is_named():
    cell = Jordan(3, 4, 2, "symbol")
    params, xs = random_params(cell), jax.device_put(np.ones((3, 3)))
    needs_loss = [partial(call, loss=lambda carry, ys: jnp.sum(ys)) for call in (diagnose, omega, pascanu_omega)]
    for call in (step_jacobians, lyapunov_spectrum, *needs_loss):
        with pytest.raises(TypeError, match=r"`cell` must have a derivative from h⁽ᵗ⁻¹⁾ to h⁽ᵗ⁾; in .*Jordan"):
            call(cell, params, xs)
    step_jacobians(Jordan(3, 4, 2), params, xs)


# The linear case


def grown(w, v, steps):
    return host(quick_jit(partial(growth, steps=steps))(w, v))


def test_a_normal_w_grows_alike_forwards_and_backwards_and_as_its_eigenvalues():
    """W = c Q: singular values of Wᵗ are |λ|ᵗ = cᵗ."""
    g = grown(0.9 * orthogonal(4), np.random.default_rng(1).normal(size=4), 8)
    np.testing.assert_allclose(g.forward, g.backward, rtol=1e-12)
    np.testing.assert_allclose(g.singular_values, g.eigenvalues, rtol=1e-12)
    np.testing.assert_allclose(g.eigenvalues[:, 0], 0.9 ** np.arange(9), rtol=1e-12)


def test_a_non_normal_w_tells_forward_from_backward_growth():
    """The same spectral radius 1/2: one vector grows 16-fold on its way forwards, and only shrinks backwards."""
    w = np.array([[0.5, 32.0], [0.0, 0.5]])
    g = grown(w, np.array([0.0, 1.0]), 6)
    assert g.forward.max() > 16 and (g.backward <= 0.5 ** np.arange(7) + 1e-15).all()
    normal, not_normal = (float(quick_jit(departure_from_normality)(a)) for a in (orthogonal(4), w))
    assert not_normal > 0.99 and normal < 1e-7
    np.testing.assert_allclose(g.eigenvalues[:, 0], 0.5 ** np.arange(7), rtol=1e-6)
    assert g.singular_values[1, 0] > 32


def test_growth_is_what_the_linear_network_does():
    w, v = np.random.default_rng(0).normal(size=(4, 4)), np.arange(1.0, 5)
    g = grown(w, v, 5)
    cell, params = linear(w)

    @quick_jit
    def there_and_back(v):
        h, vjp = jax.vjp(lambda h: unroll(cell, params, jnp.zeros((5, 1)), h)[0], v)
        return h, vjp(v)[0]

    h, back = there_and_back(v)
    np.testing.assert_allclose(g.forward[-1], np.linalg.norm(h), rtol=1e-12)
    np.testing.assert_allclose(g.backward[-1], np.linalg.norm(back), rtol=1e-12)


def test_a_symmetric_power_is_q_lambda_t_q():
    w = np.random.default_rng(0).normal(size=(4, 4))
    w = w + w.T
    np.testing.assert_allclose(symmetric_power(jax.device_put(w), 5), np.linalg.matrix_power(w, 5), rtol=1e-10)
    with pytest.raises(ValueError, match="`w` must be symmetric"):
        symmetric_power(jax.device_put(np.array([[0.0, 1.0], [0.0, 0.0]])), 2)


def test_the_spectral_radius_is_the_rate_at_the_end():
    ws = np.random.default_rng(0).normal(size=(3, 4, 4))
    powers = [
        np.linalg.matrix_power(w / radius, 512)
        for w, radius in zip(ws, np.asarray(quick_jit(jax.vmap(spectral_radius))(ws)), strict=True)
    ]
    np.testing.assert_allclose(np.linalg.norm(powers, axis=(1, 2)) ** (1 / 512), 1, rtol=0.01)


def test_the_product_of_n_independent_weights_has_the_variance_v_to_the_n():
    products = sample_products(jax.random.key(0), 0.8, 4, 400_000)
    variances = product_variance(0.8, jax.device_put(np.arange(1, 5)))
    np.testing.assert_allclose(np.var(products, axis=0), variances, rtol=0.03)
    np.testing.assert_allclose(product_variance(weight_variance(0.3, 7), 7), 0.3, rtol=1e-12)


# Dynamical systems


@jax.tree_util.register_static
@dataclass(frozen=True)
class Map:
    """A map of n numbers, as a cell: "henon" or "logistic"."""

    name: str

    def init(self, key):
        return jnp.ones(())

    def initial_carry(self, params, batch_shape=()):
        return jnp.full((*batch_shape, 2 if self.name == "henon" else 1), 0.3) * params

    def project(self, params, xs):
        return xs * params

    def step(self, params, h, z):
        if self.name == "logistic":
            h = z * h * (1 - h)
        else:
            h = jnp.stack([1 - 1.4 * h[..., 0] ** 2 + h[..., 1], 0.3 * h[..., 0]], axis=-1)
        return h, h


def test_lyapunov_exponents_of_the_henon_map_are_the_known_ones():
    """0.419 and −1.623 (Sprott 2003, table A.2); their sum is log 0.3 at every step."""
    exponents = lyapunov_spectrum(Map("henon"), *jax.device_put((np.ones(()), np.zeros((20_000, 1)))), skip=100)
    np.testing.assert_allclose(exponents, [0.419, -1.623], atol=0.005)
    assert np.sum(exponents) == pytest.approx(np.log(0.3))


def test_the_lyapunov_exponent_of_the_logistic_map_at_4_is_log_2():
    exponents = lyapunov_spectrum(Map("logistic"), *jax.device_put((np.ones(()), np.full((20_000, 1), 4.0))))
    np.testing.assert_allclose(exponents, [np.log(2)], atol=0.01)


def test_lyapunov_exponents_of_the_linear_network_are_the_log_eigenvalues():
    w = orthogonal(4) @ np.diag([1.5, 1.0, 0.5, 0.1]) @ orthogonal(4).T
    exponents = lyapunov_spectrum(*linear(w), jax.device_put(np.zeros((60, 2, 1))), count=3, skip=40)
    np.testing.assert_allclose(exponents, np.log([[1.5, 1.0, 0.5]] * 2), atol=1e-3)


def test_lyapunov_names_a_wrong_count_and_skip():
    for options in ({"count": 5}, {"skip": 3}, {"skip": -1}):
        with pytest.raises(ValueError, match=r"`count` must lie in 1 … 4 and `skip` in 0 … 2"):
            lyapunov_spectrum(*linear(np.eye(4)), jax.device_put(np.zeros((3, 1))), **options)


# The report


TIME, ROWS, N = 40, 5, 6
INPUTS = np.random.default_rng(3).normal(size=(TIME, ROWS, 3))
XS = jax.device_put(INPUTS)


def at_the_end(carry, ys):
    return jnp.mean(ys[-1] ** 2)


def plain(w, scale=0.3, activation="tanh"):
    u = scale * np.random.default_rng(4).normal(size=(3, N))
    return Elman(3, N, activation), jax.device_put(ElmanParams(u, w, np.zeros(N)))


CASES = {
    "vanishing": plain(0.5 * orthogonal(N), activation="identity"),
    "exploding": plain(1.3 * orthogonal(N), activation="identity"),
    "healthy": plain(orthogonal(N), activation="identity"),
    "saturated": plain(orthogonal(N), scale=20.0),
}


@pytest.mark.parametrize("verdict", CASES)
def test_the_verdict_is_right_on_a_constructed_case(verdict):
    cell, params = CASES[verdict]
    diagnosis = diagnose(cell, params, XS, at_the_end)
    assert diagnosis.verdict == verdict
    rates = {"vanishing": 0.5, "exploding": 1.3, "healthy": 1.0}
    if verdict in rates:
        assert diagnosis.rate == pytest.approx(rates[verdict])
        np.testing.assert_allclose(np.exp(diagnosis.lyapunov), rates[verdict], rtol=1e-9)
        np.testing.assert_allclose(diagnosis.eigenvalues, rates[verdict], rtol=1e-9)
        np.testing.assert_allclose(diagnosis.flow, rates[verdict] ** np.arange(TIME), rtol=1e-9)
        assert diagnosis.saturation == 0
    else:
        assert diagnosis.saturation > 0.5
    assert diagnosis.memory == {"vanishing": 2, "saturated": 1}.get(verdict, TIME)


def test_small_tanh_weights_vanish_and_are_not_called_saturated():
    cell, params = plain(0.5 * orthogonal(N))
    diagnosis = diagnose(cell, params, XS, at_the_end)
    assert diagnosis.verdict == "vanishing" and diagnosis.saturation < 0.1


def test_dead_relus_are_saturated_and_a_gradient_that_is_not_finite_explodes():
    cell, params = plain(orthogonal(N), activation="relu")
    dead = params._replace(b=jax.device_put(np.full(N, -50.0)))
    assert diagnose(cell, dead, XS, lambda carry, ys: jnp.mean(carry)).verdict == "saturated"
    overflows = plain(1e200 * np.eye(N), activation="identity")
    told = [diagnose(*overflows, XS, loss) for loss in (at_the_end, lambda carry, ys: jnp.mean(carry))]
    spoilt = INPUTS.copy()
    spoilt[3, 0, 0] = np.nan
    told += [diagnose(*CASES["healthy"], jax.device_put(spoilt), at_the_end)]
    for diagnosis in told:
        assert diagnosis.verdict == "exploding" and diagnosis.advice.startswith("The gradient is not finite")
        assert diagnosis.figure().axes


def test_the_clipping_rate_is_the_part_of_the_rows_whose_own_gradient_is_longer_than_v():
    cell, params = plain(0.5 * orthogonal(N))

    @quick_jit
    @jax.grad
    def own(params, xs):
        return jnp.mean(unroll(cell, params, xs)[1][-1] ** 2)

    norms = [np.sqrt(sum(np.sum(np.square(g)) for g in own(params, INPUTS[:, row]))) for row in range(ROWS)]
    diagnosis = diagnose(cell, params, XS, at_the_end, clip=float(np.mean(np.sort(norms)[2:4])))
    np.testing.assert_allclose(diagnosis.row_norms, norms, rtol=1e-9)
    assert diagnosis.clipping == pytest.approx(2 / 5)


def test_it_reports_on_a_cell_with_an_integer_in_its_carry_and_a_mask_and_draws_one_page(tmp_path):
    cell = Clockwork(3, 4, (1, 2))
    params = random_params(cell, scale=0.3)
    xs, mask = jax.device_put((INPUTS[:12, :3], np.arange(12)[:, None] < [12, 5, 8]))
    diagnosis = diagnose(cell, params, xs, at_the_end, mask=mask)
    assert diagnosis.verdict in ("vanishing", "healthy") and diagnosis.flat.shape == (4,)
    figure = diagnosis.figure()
    assert isinstance(figure, Figure) and len(figure.axes) == 4
    figure.savefig(tmp_path / "page.png")
    assert (tmp_path / "page.png").stat().st_size > 10_000


def test_padding_does_not_change_the_report():
    cell, params = plain(0.8 * orthogonal(N))
    there = np.arange(TIME)[:, None] < [TIME, TIME, 20, 10, TIME]
    mask, spoilt = jax.device_put((there, np.where(there[..., None], INPUTS, np.nan)))
    clean = diagnose(cell, params, XS, lambda c, ys: jnp.mean(c**2), mask=mask)
    dirty = diagnose(cell, params, spoilt, lambda c, ys: jnp.mean(c**2), mask=mask)
    jax.tree.map(np.testing.assert_array_equal, dirty, clean)


@pytest.mark.parametrize("clip", [-1.0, 0.0, float("nan")])
def test_a_size_that_no_gradient_can_be_clipped_at_is_named(clip):
    cell, params = plain(orthogonal(N))
    with pytest.raises(ValueError, match=f"`clip` must be above 0, .* got {clip}"):
        diagnose(cell, params, jax.device_put(INPUTS), at_the_end, clip=clip)


def test_one_step_tells_nothing_and_is_named():
    cell, params = plain(orthogonal(N))
    with pytest.raises(ValueError, match="`xs` must have at least 2 steps"):
        diagnose(cell, params, jax.device_put(INPUTS[:1]), at_the_end)


def test_the_flow_starts_at_each_row_s_last_valid_step_and_a_loss_without_one_is_named():
    cell, params = CASES["vanishing"]
    lengths = np.array([TIME, 30, 3, 0, 20])
    mask = jax.device_put(np.arange(TIME)[:, None] < lengths)

    def at_each_end(carry, ys):
        return jnp.sum(jnp.take_along_axis(ys, np.maximum(lengths - 1, 0)[None, :, None], axis=0))

    diagnosis = diagnose(cell, params, XS, at_each_end, mask=mask)
    np.testing.assert_allclose(diagnosis.flow, 0.5 ** np.arange(TIME), rtol=1e-9)
    assert diagnosis.verdict == "vanishing" and diagnosis.rate == pytest.approx(0.5) and diagnosis.memory == 2
    with pytest.raises(ValueError, match="`loss` must depend on the last valid step of a row"):
        diagnose(cell, params, XS, lambda carry, ys: jnp.sum(ys[0]))
