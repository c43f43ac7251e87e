"""The losses against their closed forms, and unaffected by padding."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxrnn import Readout, bernoulli, cross_entropy, squared_error
from jaxrnn.objectives import bits_per_character, perplexity
from tests.random_params import random_params

TIME, BATCH, SIZE = 5, 3, 4
THERE = np.arange(TIME)[:, None] < [5, 2, 0]
MASK = jax.device_put(THERE)
RNG = np.random.default_rng(0)
GIVEN, CLASSES = RNG.normal(size=(TIME, BATCH, SIZE)), RNG.integers(0, SIZE, (TIME, BATCH))
LOGITS, LABELS = jax.device_put((GIVEN, CLASSES))
LOSSES = {
    "cross_entropy": (cross_entropy, CLASSES),
    "cross_entropy_soft": (cross_entropy, RNG.dirichlet(np.ones(SIZE), (TIME, BATCH))),
    "squared_error": (squared_error, RNG.normal(size=(TIME, BATCH, SIZE))),
    "bernoulli": (bernoulli, RNG.integers(0, 2, (TIME, BATCH, SIZE)).astype(float)),
}


@pytest.fixture(params=LOSSES)
def case(request):
    loss, targets = LOSSES[request.param]
    return loss, GIVEN, targets


def test_cross_entropy_is_optax_mean():
    want = np.mean(jax.jit(optax.softmax_cross_entropy_with_integer_labels)(GIVEN, CLASSES))
    np.testing.assert_allclose(cross_entropy(LOGITS, LABELS), want, rtol=1e-12)
    np.testing.assert_allclose(cross_entropy(LOGITS, jax.device_put(np.eye(SIZE)[CLASSES])), want, rtol=1e-12)


def test_the_gradient_of_cross_entropy_is_prediction_minus_truth():
    """2.2.1: ∇_o L = (ŷ − 1_l)/n."""
    got = jax.jit(jax.grad(cross_entropy))(GIVEN, CLASSES)
    softmax = np.exp(GIVEN) / np.exp(GIVEN).sum(-1, keepdims=True)
    want = (softmax - np.eye(SIZE)[CLASSES]) / (TIME * BATCH)
    np.testing.assert_allclose(got, want, atol=1e-15)


def test_a_masked_loss_is_the_mean_over_the_valid_steps_alone(case):
    loss, outputs, targets = case
    valid = [(t, b) for b, n in enumerate([5, 2, 0]) for t in range(n)]
    index = tuple(np.array(valid).T)
    masked, alone = jax.jit(loss)(outputs, targets, mask=THERE), jax.jit(loss)(outputs[index], targets[index])
    np.testing.assert_allclose(masked, alone, rtol=1e-12)


@functools.cache
def value_and_grad(loss):
    return jax.jit(jax.value_and_grad(loss))


@pytest.mark.parametrize("padding", [1e6, np.nan, np.inf, -np.inf])
def test_nothing_on_padding_reaches_a_loss_or_its_gradient(case, padding):
    loss, outputs, targets = case
    run = value_and_grad(loss)
    want = run(outputs, targets, mask=THERE)
    wild = np.where(THERE[..., None], outputs, padding)
    if np.issubdtype(targets.dtype, np.floating):
        targets = np.where(THERE[..., None], targets, padding)
    else:
        targets = np.where(THERE, targets, -100)
    got = run(wild, targets, mask=THERE)
    np.testing.assert_array_equal(got[0], want[0])
    np.testing.assert_array_equal(got[1], want[1])
    assert (np.asarray(got[1])[~THERE] == 0).all()


def test_no_valid_step_gives_zero_and_a_zero_gradient(case):
    loss, outputs, targets = case
    value, gradient = value_and_grad(loss)(outputs * np.nan, targets, mask=np.zeros((TIME, BATCH), bool))
    assert value == 0 and (np.asarray(gradient) == 0).all()
    assert float(loss(*jax.device_put((outputs[:0], targets[:0])))) == 0


def test_infinite_logits_of_a_class_without_probability_cost_nothing():
    assert float(cross_entropy(*jax.device_put((np.array([[0.0, -np.inf]]), np.array([[1.0, 0.0]]))))) == 0


def test_losses_of_half_precision_are_summed_in_float32(case):
    loss, outputs, targets = case
    for dtype, summed in ((jnp.bfloat16, jnp.float32), (jnp.float16, jnp.float32), (jnp.float64, jnp.float64)):
        assert jax.eval_shape(loss, outputs.astype(dtype), targets).dtype == summed


def test_a_class_out_of_range_is_an_error_and_under_jit_a_nan():
    logits = jax.device_put(np.zeros((TIME, SIZE)))
    for wrong in (-1, SIZE):
        labels = jax.device_put(np.full(TIME, wrong))
        with pytest.raises(ValueError, match=rf"`targets` must lie in 0 … 3, got {wrong}"):
            cross_entropy(logits, labels)
        assert np.isnan(jax.jit(cross_entropy)(logits, labels))
        # known, though the logits are not
        with pytest.raises(ValueError, match="`targets` must lie in"):
            jax.jit(lambda logits, labels=labels: cross_entropy(logits, labels))(logits)


def test_wrong_shapes_and_dtypes_are_named(case, without_beartype):
    loss, outputs, targets = case
    with pytest.raises(ValueError, match="`targets` must have shape"):
        loss(outputs, targets[:, :1])
    with pytest.raises(ValueError, match="`mask` must have shape"):
        loss(outputs, targets, mask=THERE[:, :1])
    with pytest.raises(TypeError, match="`mask` must be boolean"):
        loss(outputs, targets, mask=THERE.astype(int))
    with pytest.raises(TypeError, match="must be floating"):
        loss(outputs.astype(int), targets)


def test_a_column_against_a_row_is_an_error_not_a_table():
    with pytest.raises(ValueError, match=r"`targets` must have shape \(5, 1\).*got \(5,\)"):
        squared_error(*jax.device_put((np.ones((5, 1)), np.ones(5))))


def test_a_probability_outside_its_range_is_named():
    with pytest.raises(ValueError, match=r"`targets` must lie in 0 … 1, got 1.5"):
        bernoulli(*jax.device_put((np.zeros((2, 1)), np.array([[0.5], [1.5]]))))


def test_perplexity_and_bits_of_a_uniform_guess_are_the_number_of_classes_and_its_logarithm():
    nats = cross_entropy(*jax.device_put((np.zeros((7, 16)), np.arange(7))))
    np.testing.assert_allclose(perplexity(nats), 16, rtol=1e-12)
    np.testing.assert_allclose(bits_per_character(nats), 4, rtol=1e-12)


def test_the_readout_is_affine_and_its_gradients_are_the_sums_of_the_chapter():
    """2.2.3, items 3 and 5: ∇_c = Σ ∇_o, ∇_V = Σ ∇_o hᵀ; and ∇_h = Vᵀ ∇_o."""
    readout = Readout(input_size=6, output_size=SIZE)
    params = random_params(readout)._replace(c=np.arange(4.0))
    hs, do = RNG.normal(size=(TIME, BATCH, 6)), RNG.normal(size=(TIME, BATCH, SIZE))

    @jax.jit
    def outputs_and_gradients(params, hs, do):
        os, vjp = jax.vjp(readout.apply, params, hs)
        return os, vjp(do)

    os, (dparams, dhs) = outputs_and_gradients(params, hs, do)
    np.testing.assert_allclose(os, hs @ np.asarray(params.v) + np.arange(4.0), rtol=1e-12)
    np.testing.assert_allclose(dparams.c, np.einsum("tbo->o", do), rtol=1e-12)
    np.testing.assert_allclose(dparams.v, np.einsum("tbh,tbo->ho", hs, do), rtol=1e-12)
    np.testing.assert_allclose(dhs, np.einsum("ho,tbo->tbh", params.v, do), rtol=1e-12)
    with pytest.raises(ValueError, match="`ys` must have trailing size input_size=6"):
        readout.apply(params, jax.device_put(hs[..., :5]))
    with pytest.raises(ValueError, match="`output_size` must be an integer of at least 1, got 0"):
        Readout(3, 0)
