"""The losses against their closed forms, and what padding may do to them: nothing."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxrnn import (
    Readout,
    bernoulli,
    bits_per_character,
    cross_entropy,
    mask_from_lengths,
    perplexity,
    squared_error,
)

TIME, BATCH, SIZE = 5, 3, 4
MASK = mask_from_lengths(jnp.array([5, 2, 0]), TIME)
LOSSES = {
    "cross_entropy": (cross_entropy, lambda key: jax.random.randint(key, (TIME, BATCH), 0, SIZE)),
    "cross_entropy_soft": (cross_entropy, lambda key: jax.nn.softmax(jax.random.normal(key, (TIME, BATCH, SIZE)))),
    "squared_error": (squared_error, lambda key: jax.random.normal(key, (TIME, BATCH, SIZE))),
    "bernoulli": (bernoulli, lambda key: jax.random.bernoulli(key, 0.5, (TIME, BATCH, SIZE)).astype(float)),
}


@pytest.fixture(params=LOSSES)
def case(request):
    loss, targets = LOSSES[request.param]
    return loss, jax.random.normal(jax.random.key(0), (TIME, BATCH, SIZE)), targets(jax.random.key(1))


def test_cross_entropy_is_optax_mean():
    logits = jax.random.normal(jax.random.key(0), (TIME, BATCH, SIZE))
    labels = jax.random.randint(jax.random.key(1), (TIME, BATCH), 0, SIZE)
    want = optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()
    np.testing.assert_allclose(cross_entropy(logits, labels), want, rtol=1e-12)
    np.testing.assert_allclose(cross_entropy(logits, jax.nn.one_hot(labels, SIZE)), want, rtol=1e-12)


def test_the_gradient_of_cross_entropy_is_prediction_minus_truth():
    """2.2.1: ∇_o L = (ŷ − 1_l)/n."""
    logits = jax.random.normal(jax.random.key(0), (TIME, BATCH, SIZE))
    labels = jax.random.randint(jax.random.key(1), (TIME, BATCH), 0, SIZE)
    got = jax.grad(cross_entropy)(logits, labels)
    want = (jax.nn.softmax(logits) - jax.nn.one_hot(labels, SIZE)) / (TIME * BATCH)
    np.testing.assert_allclose(got, want, atol=1e-15)


def test_a_masked_loss_is_the_mean_over_the_valid_steps_alone(case):
    loss, outputs, targets = case
    valid = [(t, b) for b, n in enumerate([5, 2, 0]) for t in range(n)]
    index = tuple(np.array(valid).T)
    np.testing.assert_allclose(loss(outputs, targets, mask=MASK), loss(outputs[index], targets[index]), rtol=1e-12)


@pytest.mark.parametrize("padding", [1e6, jnp.nan, jnp.inf, -jnp.inf])
def test_nothing_on_padding_reaches_a_loss_or_its_gradient(case, padding):
    loss, outputs, targets = case
    want = jax.value_and_grad(loss)(outputs, targets, mask=MASK)
    wild = jnp.where(MASK[..., None], outputs, padding)
    if jnp.issubdtype(targets.dtype, jnp.floating):
        targets = jnp.where(MASK[..., None], targets, padding)
    else:
        targets = jnp.where(MASK, targets, -100)
    got = jax.value_and_grad(loss)(wild, targets, mask=MASK)
    np.testing.assert_array_equal(got[0], want[0])
    np.testing.assert_array_equal(got[1], want[1])
    assert (got[1][~MASK] == 0).all()


def test_no_valid_step_gives_zero_and_a_zero_gradient(case):
    loss, outputs, targets = case
    value, gradient = jax.value_and_grad(loss)(outputs * jnp.nan, targets, mask=jnp.zeros((TIME, BATCH), bool))
    assert value == 0 and (gradient == 0).all()
    assert loss(outputs[:0], targets[:0]) == 0


def test_infinite_logits_of_a_class_without_probability_cost_nothing():
    assert cross_entropy(jnp.array([[0.0, -jnp.inf]]), jnp.array([[1.0, 0.0]])) == 0


def test_losses_of_half_precision_are_summed_in_float32(case):
    loss, outputs, targets = case
    assert loss(outputs.astype(jnp.bfloat16), targets).dtype == jnp.float32
    assert loss(outputs.astype(jnp.float16), targets).dtype == jnp.float32
    assert loss(outputs.astype(jnp.float64), targets).dtype == jnp.float64


def test_a_class_out_of_range_is_an_error_and_under_jit_a_nan():
    logits = jnp.zeros((TIME, SIZE))
    for wrong in (-1, SIZE):
        with pytest.raises(ValueError, match=rf"`targets` must lie in 0 … 3, got {wrong}"):
            cross_entropy(logits, jnp.full(TIME, wrong))
        assert jnp.isnan(jax.jit(cross_entropy)(logits, jnp.full(TIME, wrong)))
        labels = jnp.full(TIME, wrong)  # known, though the logits are not
        with pytest.raises(ValueError, match="`targets` must lie in"):
            jax.jit(lambda logits, labels=labels: cross_entropy(logits, labels))(logits)


def test_wrong_shapes_and_dtypes_are_named(case, without_beartype):
    loss, outputs, targets = case
    with pytest.raises(ValueError, match="`targets` must have shape"):
        loss(outputs, targets[:, :1])
    with pytest.raises(ValueError, match="`mask` must have shape"):
        loss(outputs, targets, mask=MASK[:, :1])
    with pytest.raises(TypeError, match="`mask` must be boolean"):
        loss(outputs, targets, mask=MASK.astype(int))
    with pytest.raises(TypeError, match="must be floating"):
        loss(outputs.astype(int), targets)


def test_a_column_against_a_row_is_an_error_not_a_table():
    with pytest.raises(ValueError, match=r"`targets` must have shape \(5, 1\).*got \(5,\)"):
        squared_error(jnp.ones((5, 1)), jnp.ones(5))


def test_a_probability_outside_its_range_is_named():
    with pytest.raises(ValueError, match=r"`targets` must lie in 0 … 1, got 1.5"):
        bernoulli(jnp.zeros((2, 1)), jnp.array([[0.5], [1.5]]))


def test_perplexity_and_bits_of_a_uniform_guess_are_the_number_of_classes_and_its_logarithm():
    nats = cross_entropy(jnp.zeros((7, 16)), jnp.arange(7))
    np.testing.assert_allclose(perplexity(nats), 16, rtol=1e-12)
    np.testing.assert_allclose(bits_per_character(nats), 4, rtol=1e-12)


def test_the_readout_is_affine_and_its_gradients_are_the_sums_of_the_chapter():
    """2.2.3, items 3 and 5: ∇_c = Σ ∇_o, ∇_V = Σ ∇_o hᵀ; and ∇_h = Vᵀ ∇_o."""
    readout = Readout(input_size=6, output_size=SIZE)
    params = readout.init(jax.random.key(0))
    params = params._replace(c=jnp.arange(4.0))
    hs, do = (
        jax.random.normal(jax.random.key(1), (TIME, BATCH, 6)),
        jax.random.normal(jax.random.key(2), (TIME, BATCH, SIZE)),
    )
    os, vjp = jax.vjp(readout.apply, params, hs)
    np.testing.assert_allclose(os, np.asarray(hs) @ np.asarray(params.v) + np.arange(4.0), rtol=1e-12)
    dparams, dhs = vjp(do)
    np.testing.assert_allclose(dparams.c, np.einsum("tbo->o", do), rtol=1e-12)
    np.testing.assert_allclose(dparams.v, np.einsum("tbh,tbo->ho", hs, do), rtol=1e-12)
    np.testing.assert_allclose(dhs, np.einsum("ho,tbo->tbh", params.v, do), rtol=1e-12)
    with pytest.raises(ValueError, match="`ys` must have trailing size input_size=6"):
        readout.apply(params, hs[..., :5])
    with pytest.raises(ValueError, match="`output_size` must be an integer of at least 1, got 0"):
        Readout(3, 0)
