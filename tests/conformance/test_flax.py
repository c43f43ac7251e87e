"""Flax linen in float64, to 1e-10: SimpleCell, LSTMCell, OptimizedLSTMCell and GRUCell under `nn.RNN`.

`nn.RNN(seq_lengths=...)` differs in two points: it keeps every step's carry and picks the last valid one
afterward, so a row of length 0 gets the carry at index −1, and a NaN in the padding comes back from the discarded
steps as 0 · NaN.  `nnx.RNN` does the same.
"""

from functools import partial
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import pytest
from flax import nnx

from jaxrnn import mask_from_lengths, unroll, unroll_bptt
from jaxrnn.cells import LSTMCarry
from jaxrnn.convert import from_flax
from tests.conformance.random_cases import (
    BATCH,
    HIDDEN,
    INPUT,
    LENGTHS,
    TIME,
    any_nan,
    assert_both_unrolls_agree,
    assert_close,
    normal,
    random_like,
    results_and_gradients,
    with_padding,
)

TOLERANCE = 1e-10


class Pair(NamedTuple):
    """One of Flax' cells, and the activation that its variables do not tell."""

    theirs: nn.RNNCellBase
    activation: str | None = None

    def to_ours(self, carry):
        """Flax' LSTM carries (c, h)."""
        return LSTMCarry(carry[1], carry[0]) if isinstance(carry, tuple) else carry


PAIRS = {
    "SimpleCell": Pair(nn.SimpleCell(HIDDEN, param_dtype=jnp.float64)),
    "SimpleCell relu": Pair(nn.SimpleCell(HIDDEN, param_dtype=jnp.float64, activation_fn=nn.relu), "relu"),
    "LSTMCell": Pair(nn.LSTMCell(HIDDEN, param_dtype=jnp.float64)),
    "OptimizedLSTMCell": Pair(nn.OptimizedLSTMCell(HIDDEN, param_dtype=jnp.float64)),
    "GRUCell": Pair(nn.GRUCell(HIDDEN, param_dtype=jnp.float64)),
}
pairs = pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS)


def random_problem(pair):
    """Random Flax variables, inputs and initial carry."""
    xs = normal(1, TIME, BATCH, INPUT)
    shapes = jax.eval_shape(nn.RNN(pair.theirs, time_major=True).init, jax.random.key(0), xs)
    carry = jax.eval_shape(lambda: pair.theirs.initialize_carry(jax.random.key(0), (BATCH, INPUT)))
    return random_like(shapes, seed=0), xs, random_like(carry, seed=2)


def theirs(pair, lengths, reverse, variables, xs, carry):
    """`nn.RNN`, its outputs on padding, which it leaves to the caller, set to 0."""
    rnn = nn.RNN(pair.theirs, time_major=True, return_carry=True, reverse=reverse, keep_order=True)
    carry, ys = rnn.apply(variables, xs, initial_carry=carry, seq_lengths=lengths)
    return pair.to_ours(carry), with_padding(ys, lengths, 0.0)


def ours(pair, lengths, reverse, run, variables, xs, carry):
    """Run the converted cell by `run`."""
    cell, params = from_flax(variables, activation=pair.activation)
    return run(cell, params, xs, pair.to_ours(carry), mask=mask_from_lengths(lengths, TIME), reverse=reverse)


@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
@pairs
def test_values_and_gradients_agree_with_flax(pair, reverse):
    run_ours, run_theirs = (partial(run, pair, LENGTHS, reverse) for run in (ours, theirs))
    assert_both_unrolls_agree(run_ours, run_theirs, random_problem(pair), TOLERANCE)


def test_nan_in_the_padding_reaches_the_gradients_of_flax_and_not_ours():
    pair = PAIRS["LSTMCell"]
    variables, xs, carry = random_problem(pair)
    problem = variables, with_padding(xs, LENGTHS, jnp.nan), carry
    results, (dvariables, _, _) = results_and_gradients(partial(theirs, pair, LENGTHS, False), *problem)
    assert not any_nan(results)
    assert any_nan(dvariables)
    for run in (unroll, unroll_bptt):
        assert not any_nan(results_and_gradients(partial(ours, pair, LENGTHS, False, run), *problem))


def test_a_row_of_length_0_keeps_its_carry_in_ours_and_not_in_flax():
    pair, lengths = PAIRS["GRUCell"], jnp.array([3, 0, 1])
    variables, xs, carry = random_problem(pair)
    (wrong, _), (kept, ys) = (
        theirs(pair, lengths, False, variables, xs, carry),
        ours(pair, lengths, False, unroll, variables, xs, carry),
    )
    assert (kept[1] == carry[1]).all()
    assert (ys[:, 1] == 0).all()
    assert abs(wrong[1] - carry[1]).max() > 1e-2
    assert_close(kept[::2], wrong[::2], TOLERANCE)


def test_the_rnn_of_nnx_has_both_of_these_too():
    graph, state = nnx.split(nnx.RNN(nnx.GRUCell(INPUT, HIDDEN, rngs=nnx.Rngs(0))))
    xs, carry = (normal(k, BATCH, *shape, dtype=jnp.float32) for k, shape in ((1, (TIME, INPUT)), (2, (HIDDEN,))))

    def last_carry(state, xs, lengths):
        rnn = nnx.merge(graph, state)
        return rnn(xs, initial_carry=carry, seq_lengths=lengths, return_carry=True, rngs=nnx.Rngs(0))[0]

    padded = jnp.swapaxes(with_padding(jnp.swapaxes(xs, 0, 1), LENGTHS, jnp.nan), 0, 1)
    value, gradient = jax.value_and_grad(lambda s: last_carry(s, padded, LENGTHS).sum(), allow_int=True)(state)
    assert not any_nan(value)
    assert any_nan([leaf for leaf in jax.tree.leaves(gradient) if leaf.dtype == jnp.float32])
    assert abs(last_carry(state, xs, jnp.array([3, 0, 1]))[1] - carry[1]).max() > 1e-2
