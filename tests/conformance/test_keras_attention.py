"""Keras' AdditiveAttention and Attention on JAX in float32, against ours in float64, to 1e-6, values and gradients.

Keras attends for all steps of a sequence of queries at once, and its caller projects queries and keys.  So the tests
compare our scores and our masked softmax, with the identity in place of the projections.
"""

from functools import partial

import jax.numpy as jnp
import keras
import pytest

from jaxrnn import Attention, mask_from_lengths
from jaxrnn.seq2seq.attention import AttentionParams, ScoreParams
from tests.conformance.random_cases import any_nan, assert_close, normal, results_and_gradients

TIME, BATCH, SOURCE, SIZE = 3, 4, 6, 5
LENGTHS = jnp.array([6, 1, 4, 3])
TOLERANCE = 1e-6
KINDS = {
    "AdditiveAttention": (partial(keras.layers.AdditiveAttention, use_scale=True), "additive"),
    "Attention, dot": (partial(keras.layers.Attention, use_scale=False), "dot"),
}
kinds = pytest.mark.parametrize(("make", "score"), KINDS.values(), ids=KINDS)


def problem():
    return (
        normal(0, SIZE, dtype=jnp.float32),
        normal(1, TIME, BATCH, SIZE, dtype=jnp.float32),
        normal(2, SOURCE, BATCH, SIZE, dtype=jnp.float32),
    )


def theirs(make, lengths, scale, queries, states):
    """`[time, batch, size]` and `[time, batch, source]`."""
    layer = make()
    rows = jnp.swapaxes(queries, 0, 1), jnp.swapaxes(states, 0, 1)
    layer.build([rows[0].shape, rows[1].shape])
    mask = None if lengths is None else [None, mask_from_lengths(lengths, SOURCE).T]
    weights = [scale] * len(layer.trainable_variables)
    fixed = [variable.value for variable in layer.non_trainable_variables]
    (context, alphas), _ = layer.stateless_call(weights, fixed, list(rows), mask=mask, return_attention_scores=True)
    return jnp.swapaxes(context, 0, 1), jnp.swapaxes(alphas, 0, 1)


def ours(score, lengths, scale, queries, states):
    """Attend by jaxrnn in float64, one query after the other."""
    scale, queries, states = (a.astype(jnp.float64) for a in (scale, queries, states))
    attention, eye, zeros = Attention(SIZE, SIZE, score), jnp.eye(SIZE), jnp.zeros(SIZE)
    params = AttentionParams(None, None, None, None, ScoreParams())
    if score == "additive":
        params = AttentionParams(eye, eye, zeros, None, ScoreParams(scale[None]))
    memory = attention.memory(params, states, mask=None if lengths is None else mask_from_lengths(lengths, SOURCE))
    readings = [attention.read(params, q, memory, attention.no_reading(memory)) for q in queries]
    contexts, alphas = (jnp.stack([r[i] for r in readings]) for i in (0, 1))
    return contexts.astype(jnp.float32), alphas[:, :, 0].astype(jnp.float32)


@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["whole", "masked"])
@kinds
def test_values_and_gradients_agree_with_keras(make, score, lengths):
    got = results_and_gradients(partial(ours, score, lengths), *problem())
    want = results_and_gradients(partial(theirs, make, lengths), *problem())
    assert_close(got, want, TOLERANCE)


@kinds
def test_an_all_masked_row_is_the_mean_of_its_padding_in_keras_and_0_in_ours(make, score):
    lengths = LENGTHS.at[1].set(0)
    (context, alphas), _ = results_and_gradients(partial(theirs, make, lengths), *problem())
    assert abs(alphas[:, 1] - 1 / SOURCE).max() < TOLERANCE and abs(context[:, 1]).max() > 0
    (context, alphas), gradients = results_and_gradients(partial(ours, score, lengths), *problem())
    assert (context[:, 1] == 0).all() and (alphas[:, 1] == 0).all() and not any_nan(gradients)
