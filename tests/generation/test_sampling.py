"""The distributions after temperature, top-k and top-p, against NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxrnn.generation import Greedy, Sampling, keep_top_k, keep_top_p, with_temperature

logits = st.lists(st.floats(-8, 8), min_size=7, max_size=7).map(np.array)


def softmax(o):
    e = np.exp(o - o.max())
    return e / e.sum()


@given(logits, st.floats(0.05, 20))
def test_temperature_raises_probabilities_to_a_power(o, temperature):
    want = softmax(o) ** (1 / temperature)
    got = softmax(np.asarray(with_temperature(jax.device_put(o), temperature)))
    np.testing.assert_allclose(got, want / want.sum(), rtol=1e-9, atol=1e-15)


@given(logits, st.integers(1, 9))
def test_top_k_keeps_the_k_likeliest_and_what_is_as_likely_as_the_last(o, k):
    kept = np.isfinite(keep_top_k(jax.device_put(o), k))
    np.testing.assert_array_equal(kept, o >= np.sort(o)[::-1][min(k, 7) - 1])


@given(logits, st.floats(0.01, 1))
def test_top_p_keeps_the_fewest_likeliest_whose_mass_reaches_p(o, p):
    kept = np.isfinite(keep_top_p(jax.device_put(o), p))
    probabilities = softmax(o)
    assert kept[o.argmax()]
    assert probabilities[kept].min() >= probabilities[~kept].max(initial=0)  # the likeliest
    assert probabilities[kept].sum() >= p - 1e-12  # enough
    least = o == o[kept].min()
    assert probabilities[kept & ~least].sum() < p + 1e-12 or p == 1  # the fewest, ties together


@pytest.mark.parametrize("filtered", [lambda o: keep_top_k(o, 7), lambda o: keep_top_p(o, 1.0)])
def test_what_keeps_all_changes_nothing(filtered):
    o = jax.device_put(
        np.array([0.0, -50.0, 3.0, -800.0])
    )  # the last two sum to 1 without the others, in floating point
    np.testing.assert_array_equal(filtered(o), o)


@jax.jit
def draw(sampling, keys, o):
    return jax.vmap(sampling.symbol, (0, None))(keys, o)


def test_symbols_that_were_left_out_are_never_drawn():
    o, keys = np.array([2.0, 1.0, 1.5, -1.0]), jax.random.split(jax.random.key(0), 5000)
    for sampling, want in [(Sampling(top_k=2), {0, 2}), (Sampling(top_p=0.7), {0, 2}), (Sampling(), {0, 1, 2, 3})]:
        assert set(draw(sampling, keys, o).tolist()) == want


def test_temperature_then_top_k_then_top_p():
    """At T = 2 the nucleus of ½ has two symbols of the three that top-k leaves; in another order it has one."""
    o, keys = np.log([0.64, 0.16, 0.16, 0.04]), jax.random.split(jax.random.key(0), 2000)
    drawn = draw(Sampling(2.0, top_k=1, top_p=0.5), keys, o)
    assert set(drawn.tolist()) == {0}
    drawn = draw(Sampling(2.0, top_k=3, top_p=0.55), keys, o)
    assert set(drawn.tolist()) == {0, 1, 2}


@pytest.mark.parametrize("temperature", [1e-300, 1e-30, 1e-3])
@pytest.mark.parametrize("dtype", [jnp.float16, jnp.float32, jnp.float64])
def test_however_cold_no_logit_is_nan(temperature, dtype):
    o = np.asarray(with_temperature(jax.device_put(np.array([1.0, 3.0, -2.0], dtype)), temperature))
    assert not np.isnan(o).any() and np.argmax(o) == 1 and o.dtype == dtype
    np.testing.assert_allclose(softmax(o.astype(float)), [0, 1, 0], atol=1e-3)


def test_a_stop_that_is_certain_is_certain():
    keys = jax.random.split(jax.random.key(0), 1000)
    for choice in (Sampling(), Greedy()):
        stops = jax.jit(jax.vmap(choice.stops, (0, None)))
        assert np.asarray(stops(keys, np.inf)).all() and not np.asarray(stops(keys, -np.inf)).any()


def test_a_sampling_is_a_pytree_whose_top_k_is_static(without_beartype):
    leaves, structure = jax.tree.flatten(Sampling(0.5, top_k=3, top_p=0.9))
    assert leaves == [0.5, 0.9]
    assert jax.tree.unflatten(structure, leaves) == Sampling(0.5, top_k=3, top_p=0.9)
    jax.tree.unflatten(structure, [object(), object()])  # a leaf may be anything
