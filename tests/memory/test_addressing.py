"""The identities of a head at the limits of its parameters."""

from functools import partial

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from jaxrnn.memory.addressing import by_content, interpolate, read, rotate, sharpen, similarity, write
from jaxrnn.testing.host_trees import host

BATCH, HEADS, SLOTS, WIDTH = 2, 3, 5, 4


def normal(seed, *shape):
    return jax.device_put(np.random.default_rng(seed).normal(size=shape))


def softmax(a):
    powers = np.exp(np.asarray(a) - np.max(a, axis=-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def weighting(seed, *shape):
    return jax.device_put(softmax(normal(seed, *shape)))


def ones(*shape):
    return jax.device_put(np.ones(shape))


MEMORY, KEYS = normal(0, BATCH, WIDTH, SLOTS), normal(1, BATCH, HEADS, WIDTH)
WEIGHTING = weighting(2, BATCH, HEADS, SLOTS)


def one_hot(index, size):
    return jax.device_put(np.eye(size)[np.asarray(index)])


def test_similarity_is_the_cosine():
    expected = np.stack([1 - cdist(k, m.T, "cosine") for k, m in zip(*host((KEYS, MEMORY)), strict=True)])
    np.testing.assert_allclose(similarity(KEYS, MEMORY), expected, atol=1e-11)


def test_with_infinite_strength_content_is_one_hot_at_the_slot_most_like_the_key():
    w = by_content(KEYS, 1e4 * ones(BATCH, HEADS), MEMORY)
    best = np.argmax(similarity(KEYS, MEMORY), axis=-1)
    np.testing.assert_allclose(w, one_hot(best, SLOTS), atol=1e-12)


def test_with_strength_0_content_is_everywhere():
    w = by_content(KEYS, 0 * ones(BATCH, HEADS), MEMORY)
    np.testing.assert_allclose(w, np.full(w.shape, 1 / SLOTS), atol=1e-15)


@pytest.mark.parametrize("zero", ["key", "memory", "both"])
def test_zero_keys_and_empty_slots_give_finite_gradients(zero):
    keys = KEYS if zero == "memory" else np.zeros_like(KEYS)
    memory = MEMORY if zero == "key" else np.zeros_like(MEMORY)

    @jax.jit
    @partial(jax.value_and_grad, argnums=(0, 1))
    def loss(keys, memory):
        return (by_content(keys, ones(BATCH, HEADS), memory) * WEIGHTING).sum()

    assert all(np.isfinite(a).all() for a in jax.tree.leaves(loss(keys, memory)))


def test_gate_0_keeps_the_weighting_and_gate_1_takes_the_content():
    content = weighting(3, BATCH, HEADS, SLOTS)
    np.testing.assert_array_equal(interpolate(0 * ones(BATCH, HEADS), content, WEIGHTING), WEIGHTING)
    np.testing.assert_array_equal(interpolate(ones(BATCH, HEADS), content, WEIGHTING), content)


@pytest.mark.parametrize("reach", [0, 1, 2])
def test_a_one_hot_shift_rotates_around_the_end(reach):
    for j in range(-reach, reach + 1):
        shift = one_hot(np.full((BATCH, HEADS), j + reach), 2 * reach + 1)
        np.testing.assert_array_equal(rotate(WEIGHTING, shift), np.roll(WEIGHTING, j, axis=-1))


@given(seed=st.integers(0, 2**32 - 1))
def test_a_shift_is_the_circular_convolution_of_equation_8(seed):
    w, s = host((weighting(seed, SLOTS), weighting(seed + 1, 3)))
    expected = [sum(w[(i - j) % SLOTS] * s[j + 1] for j in (-1, 0, 1)) for i in range(SLOTS)]
    got = np.asarray(rotate(*jax.device_put((w[None], s[None]))))[0]
    np.testing.assert_allclose(got, expected, atol=1e-15)
    np.testing.assert_allclose(got.sum(), 1, atol=1e-14)


@pytest.mark.parametrize("offsets", [2, 7])
def test_a_shift_of_an_even_number_of_offsets_or_wider_than_the_memory_is_an_error(offsets):
    with pytest.raises(ValueError, match=rf"`shift` must have an odd number.*at most slots=5, got {offsets}"):
        rotate(WEIGHTING, jax.device_put(np.full((BATCH, HEADS, offsets), 1 / offsets)))


def test_sharpness_1_changes_nothing_and_infinite_sharpness_is_one_hot():
    sharpened = softmax(sharpen(WEIGHTING, ones(BATCH, HEADS)))
    np.testing.assert_allclose(sharpened, WEIGHTING, atol=1e-15)
    sharpened = softmax(sharpen(WEIGHTING, 1e4 * ones(BATCH, HEADS)))
    np.testing.assert_allclose(sharpened, one_hot(np.argmax(WEIGHTING, axis=-1), SLOTS), atol=1e-12)


def test_sharpening_is_equation_9():
    sharpness = 1 + np.abs(normal(4, BATCH, HEADS))
    powers = np.asarray(WEIGHTING) ** sharpness[..., None]
    sharpened = softmax(sharpen(WEIGHTING, jax.device_put(sharpness)))
    np.testing.assert_allclose(sharpened, powers / powers.sum(-1, keepdims=True), atol=1e-14)


def test_sharpening_weights_of_0_gives_finite_gradients():
    @jax.jit
    @partial(jax.grad, argnums=(0, 1))
    def gradient(w, sharpness):
        return (jax.nn.softmax(sharpen(w, sharpness), axis=-1) * WEIGHTING[0, :1]).sum()

    for w in (one_hot([2], SLOTS), np.zeros((1, SLOTS))):
        assert all(np.isfinite(g).all() for g in gradient(w, np.array([50.0])))


def test_reading_with_a_one_hot_weighting_gives_the_slot():
    got = read(one_hot([[4, 0, 2], [1, 1, 3]], SLOTS), MEMORY)
    np.testing.assert_array_equal(got, np.asarray(MEMORY).mT[np.arange(2)[:, None], [[4, 0, 2], [1, 1, 3]]])


def test_erase_1_and_add_on_a_one_hot_weighting_replaces_the_slot():
    new = normal(5, BATCH, 1, WIDTH)
    got = write(one_hot([[3], [0]], SLOTS), ones(BATCH, 1, WIDTH), new, MEMORY)
    expected = np.array(MEMORY)
    expected[[0, 1], :, [3, 0]] = np.asarray(new)[:, 0]
    np.testing.assert_array_equal(got, expected)


def test_a_weight_of_0_copies_the_slot_and_its_gradient():
    """Chapter, section 8, item 3."""
    w, new = one_hot([[3], [0]], SLOTS), normal(5, BATCH, 1, WIDTH)
    sent, memory = host((normal(6, BATCH, WIDTH, SLOTS), MEMORY))

    @jax.jit
    def after_and_gradient(memory, sent):
        after, vjp = jax.vjp(lambda m: write(w, 0.3 * ones(BATCH, 1, WIDTH), new, m), memory)
        return after, vjp(sent)[0]

    after, gradient = host(after_and_gradient(memory, sent))
    others = np.asarray(w)[:, 0] == 0
    np.testing.assert_array_equal(after.mT[others], memory.mT[others])
    np.testing.assert_array_equal(gradient.mT[others], sent.mT[others])


def test_the_order_of_the_heads_does_not_matter_when_writing():
    e, a = 1 / (1 + np.exp(normal(7, BATCH, HEADS, WIDTH))), normal(8, BATCH, HEADS, WIDTH)
    heads = host((WEIGHTING, e, a))
    got = write(*jax.device_put([head[:, [2, 0, 1]] for head in heads]), MEMORY)
    np.testing.assert_allclose(got, write(*jax.device_put(heads), MEMORY), atol=1e-14)
