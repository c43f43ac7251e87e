"""3.3: clipping by value and by norm, the random step, and the bias of clipping."""

from functools import partial

import jax
import numpy as np
import optax
import pytest

from jaxrnn.training import clip_by_norm, clip_by_value, clipping_bias, random_step

KEY = jax.random.key(0)
every_way = pytest.mark.parametrize(
    "make", [clip_by_value, clip_by_norm, lambda v: random_step(v, KEY)], ids=["value", "norm", "random"]
)


def apply(transformation, gradient):
    return transformation.update(gradient, transformation.init(gradient))


@pytest.fixture(scope="module")
def gradient():
    return jax.device_put({"w": 3 * np.random.default_rng(0).normal(size=(4, 5)), "b": np.array([0.1, -7.0])})


def test_by_value_and_by_norm_are_optax_s(gradient):
    for v in (0.5, 100.0):
        for ours, theirs in ((clip_by_value(v), optax.clip(v)), (clip_by_norm(v), optax.clip_by_global_norm(v))):
            got, want = apply(ours, gradient)[0], apply(theirs, gradient)[0]
            jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-13), got, want)


@every_way
def test_a_gradient_that_is_short_enough_is_left_alone_bit_for_bit(make, gradient):
    got, state = apply(make(1e3), gradient)
    jax.tree.map(np.testing.assert_array_equal, got, gradient)
    assert (int(state.steps), int(state.clipped), int(state.nonfinite)) == (1, 0, 0)


@every_way
def test_a_long_one_is_made_as_long_as_allowed_and_counted(make, gradient):
    got, state = apply(make(0.5), gradient)
    size = max(np.abs(g).max() for g in got.values()) if make is clip_by_value else norm(got)
    assert size == pytest.approx(0.5)
    assert (int(state.steps), int(state.clipped), int(state.nonfinite)) == (1, 1, 0)


def flat(tree):
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(tree)])


def norm(tree):
    return np.linalg.norm(flat(tree))


def test_the_norm_keeps_the_direction_and_the_value_does_not_but_goes_downhill(gradient):
    def cosine(a, b):
        return flat(a) @ flat(b) / (norm(a) * norm(b))

    by_norm, by_value = (apply(t, gradient)[0] for t in (clip_by_norm(0.5), clip_by_value(0.5)))
    assert cosine(by_norm, gradient) == pytest.approx(1)
    assert 0 < cosine(by_value, gradient) < 0.99


def test_by_value_looks_at_the_magnitude():
    """The chapter's test gᵢ ≤ v would let −10⁹ through."""
    assert apply(clip_by_value(1.0), np.array([-1e9]))[0].tolist() == [-1]


def test_random_steps_go_everywhere_and_differ_from_call_to_call():
    t, g = random_step(1.0, KEY), np.array([30.0, 40.0])
    _, steps = jax.lax.scan(lambda state, _: t.update(g, state)[::-1], t.init(g), length=2000)
    steps = np.asarray(steps)
    np.testing.assert_allclose(np.linalg.norm(steps, axis=1), 1, rtol=1e-12)
    np.testing.assert_allclose(np.mean(steps, axis=0), 0, atol=0.05)
    np.testing.assert_allclose(np.cov(steps.T), np.eye(2) / 2, atol=0.03)


@every_way
@pytest.mark.parametrize("bad", [np.inf, -np.inf, np.nan])
def test_a_gradient_that_is_not_finite_never_becomes_a_finite_wrong_one(make, bad):
    gradient = {"w": np.array([[bad, 1.0]]), "b": np.ones(2)}
    got, state = apply(make(1.0), gradient)
    assert all(np.isnan(g).all() for g in got.values())
    assert (int(state.clipped), int(state.nonfinite)) == (0, 1)


@every_way
def test_inside_apply_if_finite_the_step_is_skipped(make):
    optimizer = optax.apply_if_finite(optax.chain(make(1.0), optax.adam(0.1)), max_consecutive_errors=10)
    params, gradient = np.ones(2), np.array([np.inf, 1.0])
    updates, state = jax.jit(lambda g, p: optimizer.update(g, optimizer.init(p), p))(gradient, params)
    assert updates.tolist() == [0, 0] and int(state.total_notfinite) == 1


@every_way
def test_squares_that_overflow_are_no_infinity(make):
    with jax.enable_x64(False):
        got, state = apply(make(1.0), np.array([3e30, 4e30], np.float32))
    assert np.isfinite(got).all() and np.abs(got).max() <= 1 and int(state.clipped) == 1


@every_way
def test_a_gradient_of_0_stays_0(make):
    assert apply(make(1.0), np.zeros(3))[0].tolist() == [0, 0, 0]


@every_way
def test_the_counts_and_the_result_are_the_same_under_jit(make, gradient):
    t = make(0.5)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-13),
        jax.jit(t.update)(gradient, t.init(gradient))[0],
        apply(t, gradient)[0],
    )


def test_the_mean_of_clipped_gradients_is_not_the_clipped_mean():
    """One long minibatch and one short: after clipping both have the same say, (1, 1)/2, not (10, 1) scaled."""
    bias = clipping_bias(jax.device_put(np.array([[10.0, 0.0], [0.0, 1.0]])), 1.0)
    np.testing.assert_allclose(bias.mean_of_clipped, [0.5, 0.5], atol=1e-15)
    np.testing.assert_allclose(bias.clipped_mean, np.array([10, 1]) / np.sqrt(101), atol=1e-15)
    angle = np.arccos(bias.cosine) - (np.pi / 4 - np.arctan2(1, 10))
    assert abs(angle) < 1e-7 and bias.difference == pytest.approx(
        np.linalg.norm([0.5 - 0.99504, 0.5 - 0.0995]), abs=1e-4
    )


def test_there_is_no_bias_where_nothing_is_clipped_nor_where_all_point_the_same_way():
    gradients = 0.1 * np.random.default_rng(0).normal(size=(8, 3))
    for case in (gradients, np.array([[2.0, 0.0], [5.0, 0.0]])):
        bias = jax.jit(partial(clipping_bias, v=1.0))(case)
        assert float(bias.difference) < 1e-15 and float(bias.cosine) == pytest.approx(1)


@every_way
@pytest.mark.parametrize("v", [0.0, -1.0, float("nan")])
def test_a_size_that_is_not_above_0_is_named(make, v):
    with pytest.raises(ValueError, match="`v` must be above 0"):
        make(v)
