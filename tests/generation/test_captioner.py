"""One vector, described by symbols: where x enters, and that the model learns it."""

import jax
import numpy as np
import optax
import pytest

from jaxrnn import GRU, LSTM, Elman, EndSymbol, Stack, SymbolModel, beam_search, greedy
from jaxrnn.generation import Captioner, StopUnit, forced_outputs, log_likelihood
from jaxrnn.testing.host_trees import host
from tests.random_params import random_params

ENTERS = ("every step", "initial state", "both")
START, END, BOUND = 3, 0, 4
WORDS = np.array([[1, 0, 0, 0], [2, 1, 0, 0], [1, 2, 0, 0], [2, 2, 1, 0]]).T
IMAGES, NAMES, LENGTHS = jax.device_put((np.eye(4, 6), WORDS, np.array([2, 3, 3, 4])))
"""With the end symbol; the other two rules have the same names without it."""


def captioner(x_enters="both", rule="end symbol", cell=None):
    cell = cell or GRU(5, 12)
    model = SymbolModel(
        cell, 4, 5, 12, stop_unit=rule == "stop unit", longest=BOUND if rule == "predicted length" else None
    )
    return Captioner(model, 6, x_enters)


def rule_of(rule, model, params):
    if rule == "predicted length":
        return model.predicted_length(params, IMAGES)
    return EndSymbol(END) if rule == "end symbol" else StopUnit()


@pytest.mark.parametrize("x_enters", ENTERS)
def test_x_enters_where_the_chapter_says(x_enters):
    """Elman's equation written out, with P x in every input, or d + B x as h⁽⁰⁾, or both."""
    model = captioner(x_enters, cell=Elman(5, 12))
    params = host(random_params(model))
    x = np.random.default_rng(1).normal(size=6)
    h, before = np.zeros(12), START
    if x_enters != "every step":
        h = x @ params.initial_state.v + params.initial_state.c
    got = np.asarray(jax.jit(model.apply, static_argnames="start")(params, x, WORDS[:, 3], np.array(4), start=START))
    p = params.model
    for t in range(4):
        entered = p.embedding[before] + (0 if x_enters == "initial state" else x @ params.every_step)
        h = np.tanh(entered @ p.cell.u + h @ p.cell.w + p.cell.b)
        np.testing.assert_allclose(got[t], h @ p.readout.v + p.readout.c, atol=1e-12)
        before = WORDS[t, 3]
    assert (params.every_step is None) == (x_enters == "initial state")
    assert (params.initial_state is None) == (x_enters == "every step")


@pytest.mark.parametrize(
    ("x_enters", "cell"),
    [("every step", GRU(5, 12)), ("initial state", Stack((GRU(5, 7), LSTM(7, 12)))), ("both", LSTM(5, 12))],
)
def test_one_step_at_a_time_gives_the_outputs_of_the_parallel_pass(x_enters, cell):
    model = captioner(x_enters, cell=cell)

    @jax.jit
    def both(params):
        carry = model.initial_carry(params, IMAGES)
        steps = forced_outputs(model, params, carry, NAMES, LENGTHS, start=START, stop=EndSymbol(END))
        return steps, model.apply(params, IMAGES, NAMES, LENGTHS, start=START)

    steps, parallel = host(both(random_params(model)))
    valid = np.arange(4)[:, None] < np.asarray(LENGTHS)
    np.testing.assert_allclose(steps[valid], parallel[valid], atol=1e-12)


@pytest.mark.parametrize(
    ("x_enters", "rule"),
    [("every step", "end symbol"), ("initial state", "stop unit"), ("both", "predicted length")],
)
def test_maximum_likelihood_learns_the_names_of_images(x_enters, rule):
    model = captioner(x_enters, rule)
    params = random_params(model, scale=0.3)
    lengths = LENGTHS if rule == "end symbol" else jax.device_put(np.asarray(LENGTHS) - 1)
    optimizer = optax.adam(0.05)

    def loss(params):
        outputs = model.apply(params, IMAGES, NAMES, lengths, start=START)
        return -log_likelihood(rule_of(rule, model, params), outputs, NAMES, lengths).mean()

    def step(state, _):
        value, gradient = jax.value_and_grad(loss)(state[0])
        updates, optimizer_state = optimizer.update(gradient, state[1])
        return (optax.apply_updates(state[0], updates), optimizer_state), value

    state = (params, jax.jit(optimizer.init)(params))
    (params, _), losses = jax.jit(lambda s: jax.lax.scan(step, s, length=80))(state)
    losses = np.asarray(losses)
    assert losses[-1] < 0.2 < 1 < losses[0]
    stop, carry = rule_of(rule, model, params), model.initial_carry(params, IMAGES)
    options = {"start": jax.device_put(np.full(4, START)), "stop": stop, "bound": BOUND}
    made = greedy(model, params, carry, **options)
    np.testing.assert_array_equal(made.lengths, lengths)
    np.testing.assert_array_equal(np.where(made.mask, made.symbols, 0), np.where(made.mask, WORDS, 0))
    best = beam_search(model, params, carry, **options, width=3)
    np.testing.assert_array_equal(np.asarray(best.symbols)[..., 0], made.symbols)


BAD = {
    "x_enters": (lambda: captioner("never"), ValueError, "`x_enters` must be one of 'every step'"),
    "input_size": (lambda: Captioner(captioner().model, 0), ValueError, "`input_size` must be an integer"),
    "x's size": (lambda: start(np.ones((4, 5))), ValueError, "`x` must have trailing size input_size=6"),
    "x's dtype": (lambda: start(np.ones((4, 6), int)), TypeError, "`x` must have a floating dtype"),
    "a symbol": (lambda: apply(np.where(WORDS == 2, 4, WORDS)), ValueError, "`symbols` must lie in 0 … 3, got 4"),
    "symbols' shape": (lambda: apply(WORDS[:, 0]), ValueError, "`symbols` must have shape (4, 4)"),
    "no length": (
        lambda: captioner().predicted_length(random_params(captioner()), IMAGES),
        ValueError,
        "`longest` must be given",
    ),
}


def start(x):
    model = captioner()
    return model.initial_carry(random_params(model), x)


def apply(symbols):
    model = captioner()
    return model.apply(random_params(model), IMAGES, symbols, LENGTHS, start=START)


@pytest.mark.parametrize("bad", BAD)
def test_bad_input_is_an_error_that_names_the_argument(bad, without_beartype):
    call, kind, message = BAD[bad]
    with pytest.raises(kind) as error:
        call()
    assert message in str(error.value)
