"""The Neural Turing machine against its equations in loops, and its errors."""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings

from jaxrnn import GRU, LSTM, Dropout, Elman, unroll
from jaxrnn.cells import FeedForward
from jaxrnn.memory import NTM, head_positions
from jaxrnn.testing import draws, law_hand_rules_agree_with_autodiff, random_problem
from jaxrnn.testing.problem import quick_jit

CELL = NTM(LSTM(3 + 2 * 4, 5), input_size=3, slots=6, width=4, read_heads=2, write_heads=2, reach=2)


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def softplus(a):
    return np.log1p(np.exp(a))


def softmax(a):
    return np.exp(a - a.max()) / np.exp(a - a.max()).sum()


def weighting(k, beta, g, s, gamma, memory, before):
    """Equations 5 to 9 of the paper, one number at a time."""
    n, reach = len(memory), len(s) // 2
    cosine = [k @ m / np.sqrt((k @ k) * (m @ m)) for m in memory]
    w = g * softmax(beta * np.array(cosine)) + (1 - g) * before
    w = np.array([sum(w[(i - j) % n] * s[j + reach] for j in range(-reach, reach + 1)) for i in range(n)])
    return w**gamma / (w**gamma).sum()


def turn(cell, raw, memory, address):
    """Apply the controls to the memory of one row: (memory, weightings, reads)."""
    h, m, r = cell.heads, cell.width, cell.read_heads
    sizes = [h * m, h, h, h * (2 * cell.reach + 1), h, cell.write_heads * m]
    k, beta, g, s, gamma, e, a = np.split(raw, np.cumsum(sizes))
    k, s, e, a = (v.reshape(-1, size) for v, size in ((k, m), (s, 2 * cell.reach + 1), (e, m), (a, m)))
    controls = zip(np.tanh(k), softplus(beta), sigmoid(g), map(softmax, s), 1 + softplus(gamma), address, strict=True)
    ws = np.array([weighting(*c[:5], memory, softmax(c[5])) for c in controls])
    after = memory.copy()
    for w, e_h in zip(ws[r:], sigmoid(e), strict=True):
        after *= 1 - np.outer(w, e_h)
    for w, a_h in zip(ws[r:], np.tanh(a), strict=True):
        after += np.outer(w, a_h)
    return after, ws, ws[:r] @ memory


def test_a_step_is_the_paper_s_equations():
    p = random_problem(CELL)
    carry, y = quick_jit(CELL.step)(p.params, p.carry, p.xs[0])
    both = jnp.concatenate([p.xs[0], p.carry.reads], axis=-1)
    controller, own = CELL.controller, p.params.controller
    inner, h = controller.step(own, p.carry.controller, controller.project(own, both))
    raw = np.asarray(h @ p.params.w + p.params.b)
    for row in range(len(raw)):
        memory, ws, reads = turn(CELL, raw[row], np.asarray(p.carry.memory[row]).T, np.asarray(p.carry.address[row]))
        np.testing.assert_allclose(carry.memory[row].T, memory, atol=1e-10)
        np.testing.assert_allclose(jax.nn.softmax(carry.address[row], axis=-1), ws, atol=1e-10)
        np.testing.assert_allclose(y[row], np.concatenate([h[row], reads.ravel()]), atol=1e-10)
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-13, atol=1e-14), carry.controller, inner)


@given(drawn=draws())
@settings(max_examples=3)
def test_the_way_back_through_several_heads_of_each_kind_is_what_autodiff_gives(drawn):
    law_hand_rules_agree_with_autodiff(CELL, random_problem(CELL, **drawn))


def test_it_begins_empty_with_every_head_at_slot_0():
    carry = CELL.initial_carry(CELL.init(jax.random.key(0)), (2,))
    assert len(np.unique(carry.memory)) == 1 and 0 < carry.memory[0, 0, 0] < 1e-3
    w = jax.nn.softmax(carry.address, axis=-1)
    np.testing.assert_allclose(w, np.broadcast_to(np.eye(6)[0], w.shape), atol=1e-8)


@pytest.mark.parametrize("make", [FeedForward, Elman, GRU, LSTM])
def test_any_cell_may_be_the_controller(make):
    cell = NTM(make(3 + 4, 5), input_size=3, slots=6, width=4)
    params = cell.init(jax.random.key(0))
    carry, ys = quick_jit(lambda p, xs: unroll(cell, p, xs))(params, jnp.ones((3, 2, 3)))
    assert ys.shape == (3, 2, cell.output_size) == (3, 2, 5 + 4)
    np.testing.assert_array_equal(ys[-1, :, 5:], carry.reads)


def test_the_same_parameters_serve_a_memory_of_more_slots():
    params, larger = CELL.init(jax.random.key(0)), dataclasses.replace(CELL, slots=20)
    carry, _ = jax.eval_shape(larger.step, params, larger.initial_carry(params), jnp.ones(3))
    assert carry.memory.shape == (4, 20)


def test_head_positions_are_the_weightings_of_every_step():
    p = random_problem(CELL)
    reads, writes = head_positions(CELL, p.params, p.xs)
    step, carry = quick_jit(CELL.step), CELL.initial_carry(p.params, (4,))
    for t, x in enumerate(p.xs):
        carry, _ = step(p.params, carry, x)
        w = jax.nn.softmax(carry.address, axis=-1)
        np.testing.assert_allclose(jnp.concatenate([reads[t], writes[t]], axis=-2), w, atol=1e-12)


WRONG = [
    ({"width": 0}, ValueError, "`width` must be an integer of at least 1, got 0"),
    ({"slots": 0}, ValueError, "`slots` must be an integer of at least 1, got 0"),
    ({"read_heads": 0}, ValueError, "`read_heads` must be an integer of at least 1, got 0"),
    ({"write_heads": -1}, ValueError, "`write_heads` must be an integer of at least 1, got -1"),
    ({"reach": 3}, ValueError, "`reach` must be .*slots=6, got 3: a wider reach would wrap onto the same slot twice"),
    ({"reach": -1}, ValueError, "`reach` must be an integer from 0"),
    ({"width": 3}, ValueError, r"`controller`, which reads .* input_size \+ read_heads·width = 9: `xs`"),
    ({"controller": LSTM}, TypeError, "`controller` must be a cell"),
    ({"controller": Dropout(LSTM(11, 5), 0.5)}, TypeError, r"`controller` must not draw noise.*Dropout\(NTM"),
]


@pytest.mark.parametrize(("fields", "error", "message"), WRONG)
def test_a_wrong_field_is_named(fields, error, message):
    with pytest.raises(error, match=message):
        dataclasses.replace(CELL, **fields)


def test_dropout_goes_around_the_machine():
    cell = Dropout(CELL, 0.5)
    assert cell.quiet() == CELL
