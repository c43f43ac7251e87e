"""The three patterns: what their outputs depend on, and the effect of padding."""

import itertools
from functools import partial

import jax
import numpy as np
import pytest

from jaxrnn import (
    GRU,
    LSTM,
    Elman,
    ManyToMany,
    ManyToOne,
    Readout,
    bernoulli,
    cross_entropy,
    last_valid,
    squared_error,
    unroll,
)
from jaxrnn.cells import Jordan
from jaxrnn.objectives import sequence_log_probability
from jaxrnn.patterns import Feedback, OutputToHidden
from jaxrnn.testing.host_trees import host
from tests.random_params import random_params

TIME, BATCH, INPUT, HIDDEN, OUTPUT = 5, 4, 2, 4, 3
RNG = np.random.default_rng(0)
THERE = np.arange(TIME)[:, None] < [5, 2, 0, 3]
THERE[1, 0] = False
INPUTS, CLASSES = RNG.normal(size=(TIME, BATCH, INPUT)), RNG.integers(0, OUTPUT, (TIME, BATCH))
MASK, XS, Y = jax.device_put((THERE, INPUTS, CLASSES))

HIDDEN_TO_HIDDEN = ManyToMany(GRU(INPUT, HIDDEN), Readout(HIDDEN, OUTPUT))
OUTPUT_TO_HIDDEN = OutputToHidden(Jordan(INPUT, HIDDEN, OUTPUT))
BOTH = OutputToHidden(Feedback(Elman(INPUT + OUTPUT, HIDDEN), Readout(HIDDEN, OUTPUT)))
READING = pytest.mark.parametrize("model", [OUTPUT_TO_HIDDEN, BOTH], ids=["output_to_hidden", "both"])


def init(model, seed=6):
    """Large random parameters, so that what depends on what is plain to see."""
    return random_params(model, seed, scale=1.2)


# The two likelihoods of section 2.4, over every sequence that there is


STEPS = 3
SEQUENCES = np.array(list(itertools.product(range(OUTPUT), repeat=STEPS))).T
"""All of them: `[steps, 27]`, one a row of a batch, each with the same inputs."""
SAME_XS = np.broadcast_to(INPUTS[:STEPS, :1], (STEPS, SEQUENCES.shape[1], INPUT))


@partial(jax.jit, static_argnums=0)
def log_probabilities(model, params, xs, ys):
    truth = () if isinstance(model, ManyToMany) else (ys,)
    return sequence_log_probability(model.logits(params, xs, *truth), ys)


def joint(model, params):
    """P(y⁽¹⁾, y⁽²⁾, y⁽³⁾ | x) as a table `[output, output, output]`."""
    return np.exp(log_probabilities(model, params, SAME_XS, SEQUENCES)).reshape([OUTPUT] * STEPS)


def softmax(logits):
    p = np.exp(np.asarray(logits))
    return p / p.sum(-1, keepdims=True)


def product_of_marginals(table):
    one, two, three = table.sum((1, 2)), table.sum((0, 2)), table.sum((0, 1))
    return one[:, None, None] * two[:, None] * three


@pytest.mark.parametrize("model", [HIDDEN_TO_HIDDEN, OUTPUT_TO_HIDDEN, BOTH], ids=["hidden", "output", "both"])
def test_the_probabilities_of_all_sequences_sum_to_1(model):
    np.testing.assert_allclose(joint(model, init(model)).sum(), 1, rtol=1e-12)


def test_hidden_to_hidden_outputs_are_independent_given_the_inputs():
    """2.1.2: P(y⁽¹⁾ … y⁽τ⁾ | x) = ∏ P(y⁽ᵗ⁾ | x)."""
    params = init(HIDDEN_TO_HIDDEN)
    table = joint(HIDDEN_TO_HIDDEN, params)
    np.testing.assert_allclose(table, product_of_marginals(table), rtol=1e-12)
    alone = softmax(HIDDEN_TO_HIDDEN.logits(params, jax.device_put(INPUTS[:STEPS, 0])))
    np.testing.assert_allclose(table.sum((0, 2)), alone[1], rtol=1e-12)


@READING
def test_output_to_hidden_outputs_are_not_independent_given_the_inputs(model):
    table = joint(model, init(model))
    assert np.abs(table - product_of_marginals(table)).sum() > 0.05
    given = table.sum(2) / table.sum((1, 2))[:, None]  # P(y⁽²⁾ | y⁽¹⁾, x), a row for each y⁽¹⁾
    assert np.abs(given[0] - given[1]).sum() > 0.1


def test_without_its_output_edges_the_second_is_the_first():
    params = init(OUTPUT_TO_HIDDEN)._replace(w=np.zeros((OUTPUT, HIDDEN)))
    table = joint(OUTPUT_TO_HIDDEN, params)
    np.testing.assert_allclose(table, product_of_marginals(table), rtol=1e-12)


@READING
def test_the_chain_rule_of_two_steps_is_the_log_likelihood(model):
    """2.3, item 3: log p(y⁽¹⁾, y⁽²⁾ | x) = log p(y⁽²⁾ | y⁽¹⁾, x) + log p(y⁽¹⁾ | x)."""
    params = init(model)
    table = joint(model, params)
    y = (2, 0, 1)
    first = np.log(table.sum((1, 2))[y[0]])
    second = np.log(table.sum(2)[y[0], y[1]] / table.sum((1, 2))[y[0]])
    logits = model.logits(params, *jax.device_put((INPUTS[:2, 0], np.array(y[:2]))))
    np.testing.assert_allclose(np.log(softmax(logits))[[0, 1], y[:2]], [first, second], rtol=1e-10)


@READING
def test_a_sample_is_drawn_from_the_joint_distribution_that_teacher_forcing_trains(model):
    params, rows = init(model), 20_000
    xs = jax.device_put(np.broadcast_to(INPUTS[:STEPS, :1], (STEPS, rows, INPUT)))
    drawn = model.sample(jax.random.key(5), params, xs)
    counts = np.bincount(np.ravel_multi_index(tuple(np.asarray(drawn)), [OUTPUT] * STEPS), minlength=OUTPUT**STEPS)
    p = joint(model, params).ravel()
    assert (np.abs(counts / rows - p) < 4.5 * np.sqrt(p * (1 - p) / rows) + 1e-12).all()
    held = np.asarray(model.sample(jax.random.key(5), params, XS, mask=MASK))
    assert (held[~THERE] == -1).all() and (held[THERE] >= 0).all()


# Logits, loss and prediction


def test_the_two_losses_are_minus_the_mean_log_conditionals_on_the_same_data():
    for model in (HIDDEN_TO_HIDDEN, OUTPUT_TO_HIDDEN, BOTH):
        params = init(model)
        extra = () if model is HIDDEN_TO_HIDDEN else (Y,)

        @jax.jit
        def both(params, model=model, extra=extra):
            log_p = sequence_log_probability(model.logits(params, XS, *extra, mask=MASK), Y, mask=MASK)
            return log_p, model.loss(params, XS, Y, mask=MASK)

        log_p, loss = host(both(params))
        np.testing.assert_allclose(loss, -log_p.sum() / THERE.sum(), rtol=1e-12)
        assert log_p[2] == 0  # the row without a valid step


def test_many_to_many_is_a_read_out_of_every_state():
    params = init(HIDDEN_TO_HIDDEN)
    reset = jax.device_put(np.broadcast_to(np.arange(TIME)[:, None] == 2, (TIME, BATCH)))
    _, ys = unroll(HIDDEN_TO_HIDDEN.cell, params.cell, XS, mask=MASK, reset=reset)
    want = np.asarray(ys) @ np.asarray(params.readout.v) + np.asarray(params.readout.c)
    logits = np.asarray(HIDDEN_TO_HIDDEN.logits(params, XS, mask=MASK, reset=reset))
    np.testing.assert_allclose(logits[THERE], want[THERE], rtol=1e-10)
    assert (logits[~THERE] == 0).all()
    prediction = HIDDEN_TO_HIDDEN.predict(params, XS, mask=MASK, reset=reset)
    np.testing.assert_array_equal(prediction, np.where(THERE, np.argmax(want, axis=-1), -1))


@READING
def test_scheduled_sampling_lies_between_teacher_forcing_and_free_running(model):
    params, key = init(model), jax.random.key(3)
    forced, free = model.loss(params, XS, Y, mask=MASK), model.free_loss(params, XS, Y, mask=MASK)
    assert abs(forced - free) > 0.01
    scheduled = [model.scheduled_loss(key, params, XS, Y, p, mask=MASK) for p in (1, 0)]
    np.testing.assert_allclose(scheduled, [forced, free], rtol=1e-12)
    gradient, want = (
        jax.jit(jax.grad(lambda p: model.scheduled_loss(key, p, XS, Y, 1.0, mask=MASK)))(params),
        jax.jit(jax.grad(lambda p: model.loss(p, XS, Y, mask=MASK)))(params),
    )
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-13), gradient, want)


@READING
def test_a_prediction_reads_its_own_outputs_not_the_truth(model):
    params = init(model)
    _, os = unroll(model.cell, params, XS, mask=MASK)
    np.testing.assert_array_equal(model.predict(params, XS, mask=MASK), np.where(THERE, np.argmax(os, axis=-1), -1))


@pytest.mark.parametrize("kind", ["values", "bits"])
def test_targets_other_than_classes_have_their_own_loss_and_prediction(kind):
    loss, truth = {
        "values": (squared_error, RNG.normal(size=(TIME, BATCH, OUTPUT))),
        "bits": (bernoulli, RNG.random((TIME, BATCH, OUTPUT)) < 0.5),
    }[kind]
    truth, start = jax.device_put((truth, truth[0]))
    first = ManyToMany(GRU(INPUT, HIDDEN), Readout(HIDDEN, OUTPUT), kind)
    second = OutputToHidden(Jordan(INPUT, HIDDEN, OUTPUT, "logits"), kind)
    last = ManyToOne(GRU(INPUT, HIDDEN), Readout(HIDDEN, OUTPUT), kind)
    params = init(first)
    os = first.logits(params, XS, mask=MASK)
    np.testing.assert_allclose(first.loss(params, XS, truth, mask=MASK), loss(os, truth, mask=MASK), rtol=1e-12)
    want = {"values": os, "bits": (np.asarray(os) > 0) & THERE[..., None]}[kind]
    np.testing.assert_array_equal(first.predict(params, XS, mask=MASK), want)
    p = init(second)
    os = second.logits(p, XS, truth, mask=MASK)
    np.testing.assert_allclose(second.loss(p, XS, truth, mask=MASK), loss(os, truth, mask=MASK), rtol=1e-12)
    assert last.predict(params, XS).shape == (BATCH, OUTPUT) and np.isfinite(last.loss(params, XS, start))


def test_another_target_is_named():
    for make in (
        lambda: ManyToMany(GRU(2, 3), Readout(3, 2), "classes"),
        lambda: ManyToOne(GRU(2, 3), Readout(3, 2), "classes"),
        lambda: OutputToHidden(Jordan(2, 3, 2), "classes"),
    ):
        with pytest.raises(ValueError, match="`target` must be one of 'class', 'values', 'bits', got 'classes'"):
            make()


def test_wrong_shapes_and_classes_are_named(without_beartype):
    for model in (HIDDEN_TO_HIDDEN, OUTPUT_TO_HIDDEN, BOTH):
        params = init(model)
        with pytest.raises(ValueError, match="`targets` must have shape"):
            model.loss(params, XS, CLASSES[:-1])
        with pytest.raises(ValueError, match="`targets` must lie in 0 … 2, got 3"):
            model.loss(params, XS, jax.device_put(np.where(np.arange(BATCH) == 0, OUTPUT, CLASSES)))
        with pytest.raises(ValueError, match="`mask` must have shape"):
            model.loss(params, XS, Y, mask=THERE[:-1])
    with pytest.raises(ValueError, match="`targets` must lie in 0 … 2, got -1"):
        sequence_log_probability(np.zeros((TIME, BATCH, OUTPUT)), np.full((TIME, BATCH), -1))
    with pytest.raises(TypeError, match="`targets` must be integers"):
        sequence_log_probability(np.zeros((TIME, BATCH, OUTPUT)), np.zeros((TIME, BATCH, OUTPUT)))
    with pytest.raises(ValueError, match="`mask` must have shape"):
        last_valid(XS, mask=THERE[:-1])


# Many to one


@pytest.mark.parametrize("cell", [Elman(INPUT, HIDDEN), LSTM(INPUT, HIDDEN)], ids=["elman", "lstm"])
def test_many_to_one_reads_the_last_valid_state_of_each_row(cell):
    model = ManyToOne(cell, Readout(HIDDEN, OUTPUT))
    params = init(model)
    (held, _), os = host((unroll(cell, params.cell, XS, mask=MASK), model.logits(params, XS, mask=MASK)))
    readout = host(params.readout)
    want = (held if isinstance(cell, Elman) else held.h) @ readout.v + readout.c
    np.testing.assert_allclose(os, want, rtol=1e-10)
    for b in (0, 1, 3):
        row = INPUTS[:, b][THERE[:, b]]
        np.testing.assert_allclose(os[b], model.logits(params, jax.device_put(row)), rtol=1e-10)
    np.testing.assert_array_equal(model.predict(params, XS, mask=MASK), np.argmax(os, axis=-1))


def test_a_row_without_a_valid_step_has_the_bias_for_logits_and_no_part_in_the_loss():
    model = ManyToOne(LSTM(INPUT, HIDDEN), Readout(HIDDEN, OUTPUT))
    params, rows = init(model), np.array([0, 1, 3])
    wild = jax.device_put(np.where(THERE[..., None], INPUTS, np.nan))
    np.testing.assert_allclose(np.asarray(model.logits(params, wild, mask=MASK))[2], params.readout.c, rtol=1e-12)
    loss_and_gradient = jax.jit(jax.value_and_grad(model.loss))
    value, gradient = loss_and_gradient(params, wild, CLASSES[0], mask=MASK)
    want, want_gradient = loss_and_gradient(params, INPUTS[:, rows], CLASSES[0, rows], mask=THERE[:, rows])
    np.testing.assert_allclose(value, want, rtol=1e-12)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-13), gradient, want_gradient)
    nothing = host(loss_and_gradient(params, wild, CLASSES[0], mask=np.zeros_like(THERE)))
    assert all((leaf == 0).all() for leaf in jax.tree.leaves(nothing))
    logits = model.logits(params, jax.device_put(INPUTS[:0]))
    np.testing.assert_allclose(logits, np.broadcast_to(params.readout.c, (BATCH, OUTPUT)))


def test_the_last_valid_step_is_found_behind_holes_and_passes_its_gradient_there_alone():
    mask = jax.device_put(np.array([[1, 0], [1, 1], [0, 0], [0, 0]], bool))
    ys = jax.device_put(np.arange(8.0).reshape(4, 2, 1))
    np.testing.assert_array_equal(np.asarray(last_valid(ys, mask=mask))[:, 0], [2, 3])
    gradient = np.asarray(jax.jit(jax.grad(lambda ys: last_valid(ys, mask=mask).sum()))(ys))[..., 0]
    np.testing.assert_array_equal(gradient, [[0, 0], [1, 1], [0, 0], [0, 0]])


@pytest.mark.parametrize("model", [HIDDEN_TO_HIDDEN, OUTPUT_TO_HIDDEN, BOTH], ids=["hidden", "output", "both"])
def test_nothing_on_padding_reaches_a_loss_or_a_gradient(model):
    params = init(model)
    wild, tokens = np.where(THERE[..., None], INPUTS, np.nan), np.where(THERE, CLASSES, -100)
    loss_and_gradients = jax.jit(jax.value_and_grad(model.loss, argnums=(0, 1)))
    got, want = loss_and_gradients(params, wild, tokens, mask=MASK), loss_and_gradients(params, XS, Y, mask=MASK)
    got, want = host((got, want))
    jax.tree.map(np.testing.assert_array_equal, got, want)
    assert (got[1][1][~THERE] == 0).all()


def test_no_steps_at_all_is_a_loss_of_0():
    for model in (HIDDEN_TO_HIDDEN, OUTPUT_TO_HIDDEN, BOTH):
        value, gradient = host(jax.jit(jax.value_and_grad(model.loss))(init(model), INPUTS[:0], CLASSES[:0]))
        assert value == 0 and all((leaf == 0).all() for leaf in jax.tree.leaves(gradient))


def test_sequence_log_probability_is_the_sum_whose_mean_is_the_cross_entropy():
    given = RNG.normal(size=(TIME, BATCH, OUTPUT))
    logits = jax.device_put(given)
    total = np.asarray(sequence_log_probability(logits, Y, mask=MASK))
    np.testing.assert_allclose(-total.sum() / THERE.sum(), cross_entropy(logits, Y, mask=MASK), rtol=1e-12)
    assert sequence_log_probability(*jax.device_put((given[:, 0], CLASSES[:, 0]))).shape == ()
