"""Layer normalization against the equations of its paper, and MLPs in the three transitions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrnn import GRU, LSTM, Elman, LayerNorm, Readout, Stack, unroll, unroll_bptt
from jaxrnn.cells import Jordan
from jaxrnn.cells.wrappers import DeepInput, DeepOutput, DeepTransition
from jaxrnn.cells.wrappers.layer_norm import normalize
from jaxrnn.patterns import Feedback
from jaxrnn.testing.host_trees import host, zeros
from jaxrnn.testing.problem import initial_carry
from jaxrnn.unrolling import unroll_python
from tests.random_params import random_params

TIME, BATCH, INPUT, HIDDEN = 5, 3, 2, 4
XS = jax.device_put(np.random.default_rng(0).normal(size=(TIME, BATCH, INPUT)))
NORMALIZED = {
    "elman": LayerNorm(Elman(INPUT, HIDDEN)),
    "relu": LayerNorm(Elman(INPUT, HIDDEN, "relu")),
    "lstm": LayerNorm(LSTM(INPUT, HIDDEN)),
    "gru": LayerNorm(GRU(INPUT, HIDDEN, "after")),
}


def ln(a, gain):
    return gain * (a - a.mean(-1, keepdims=True)) / np.sqrt(a.var(-1, keepdims=True) + 1e-5)


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def equations(name, p, x, state):
    """Ba, Kiros & Hinton 2016, eq. 4 and the supplementary material, in NumPy: state → state, output first."""
    u, w, b = p.cell.u, p.cell.w, p.cell.b
    h, n = state[0], HIDDEN
    if name in ("elman", "relu"):
        a = ln(x @ u + h @ w, p.gain_x) + b
        return (np.tanh(a) if name == "elman" else np.maximum(a, 0),)
    if name == "lstm":
        i, f, g, o = np.split(ln(h @ w, p.gain_h) + ln(x @ u, p.gain_x) + b, 4, axis=-1)
        c = sigmoid(f) * state[1] + sigmoid(i) * np.tanh(g)
        return sigmoid(o) * np.tanh(ln(c, p.gain_c) + p.bias_c), c
    rz, xn = x @ u[:, : 2 * n], x @ u[:, 2 * n :]
    gates = ln(h @ w[:, : 2 * n], p.gain_h[: 2 * n]) + ln(rz, p.gain_x[: 2 * n]) + b[: 2 * n]
    r, z = np.split(sigmoid(gates), 2, axis=-1)
    new = np.tanh(ln(xn, p.gain_x[2 * n :]) + b[2 * n :] + r * (ln(h @ w[:, 2 * n :], p.gain_h[2 * n :]) + p.cell.b_n))
    return (z * h + (1 - z) * new,)


@pytest.mark.parametrize("name", NORMALIZED)
def test_layer_norm_is_the_equations_of_the_paper(name):
    cell = NORMALIZED[name]
    params = random_params(cell)
    p = jax.tree.map(np.asarray, params)
    carry = jax.device_put(jax.tree.map(lambda a: a + 0.3, host(initial_carry(cell, params, (BATCH,)))))
    state, want = tuple(map(np.asarray, jax.tree.leaves(carry))), []
    for x in np.asarray(XS):
        state = equations(name, p, x, state)
        want.append(state[0])
    after, ys = unroll(cell, params, XS, carry)
    np.testing.assert_allclose(ys, want, atol=1e-12)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-12), tuple(jax.tree.leaves(after)), state)


def test_normalized_numbers_have_mean_0_and_variance_1():
    a = np.asarray(jax.jit(normalize)(3 + 7 * np.random.default_rng(0).normal(size=(5, 100)), np.ones(100)))
    np.testing.assert_allclose(a.mean(-1), 0, atol=1e-12)
    np.testing.assert_allclose(a.var(-1), 1, rtol=1e-5)
    assert (np.asarray(jax.jit(normalize)(np.full((3, 4), 2.0), np.ones(4))) == 0).all()  # no variance: 0, not 0/0


@pytest.mark.parametrize("name", ["lstm", "gru"])
def test_the_scale_of_the_weights_does_not_matter(name):
    """§5.1 of the paper: invariance under re-scaling of W and of U, each by its own factor."""
    cell = NORMALIZED[name]
    params = host(random_params(cell))
    large = params._replace(cell=params.cell._replace(u=params.cell.u * 1e4, w=params.cell.w * 1e4))
    larger = params._replace(cell=params.cell._replace(u=params.cell.u * 1e7, w=params.cell.w * 1e6))
    np.testing.assert_allclose(unroll(cell, larger, XS)[1], unroll(cell, large, XS)[1], atol=1e-6)


def test_other_cells_are_refused_with_the_reason(without_beartype):
    with pytest.raises(ValueError, match="`cell` must be an LSTM without peepholes"):
        LayerNorm(LSTM(INPUT, HIDDEN, "previous"))
    with pytest.raises(ValueError, match='`cell` must be a GRU with reset="after"'):
        LayerNorm(GRU(INPUT, HIDDEN))
    with pytest.raises(TypeError, match="`cell` must be an Elman, an LSTM or a GRU"):
        LayerNorm(Jordan(INPUT, HIDDEN, 2))


def mlp(layers, v):
    for w, b in layers:
        v = np.tanh(v @ w + b)
    return v


@pytest.mark.parametrize("skip", [False, True])
def test_the_three_transitions_are_the_plain_network_around_mlps(skip):
    inner = DeepTransition(Elman(4, HIDDEN), (6, 5), skip)
    cell = DeepOutput(DeepInput(inner, (INPUT, 3, 4)), (HIDDEN, 7))
    params = random_params(cell)
    p = jax.tree.map(np.asarray, params)
    output, into, between = p.layers, p.cell.layers, p.cell.cell.layers
    assert [len(layers) for layers in (into, between, output)] == [2, 3, 1]
    u, w, b = p.cell.cell.cell
    h, want = np.full((BATCH, HIDDEN), 0.3), []
    for x in np.asarray(XS):
        h = np.tanh(b + mlp(into, x) @ u + (mlp(between, h) + (h if skip else 0)) @ w)
        want.append(mlp(output, h))
    carry, ys = unroll(cell, params, XS, np.full((BATCH, HIDDEN), 0.3))
    np.testing.assert_allclose(ys, want, atol=1e-12)
    np.testing.assert_allclose(carry, h, atol=1e-12)


def test_the_skip_connection_is_the_identity_beside_the_mlp():
    """With V = 0 nothing comes through the MLP: the plain network is left with the skip, and no memory without."""
    plain = Elman(INPUT, HIDDEN)
    for skip in (True, False):
        cell = DeepTransition(plain, (6,), skip)
        params = random_params(cell)
        shut = params._replace(layers=zeros(params.layers))
        jacobian = np.asarray(
            jax.jit(jax.jacobian(lambda h, cell=cell, shut=shut: unroll(cell, shut, XS, h)[0].sum(0)))(
                np.full((BATCH, HIDDEN), 0.1)
            )
        )
        if skip:
            np.testing.assert_allclose(unroll(cell, shut, XS)[1], unroll(plain, params.cell, XS)[1], atol=1e-12)
            assert (abs(jacobian).max() > 1e-3).all()
        else:
            assert (jacobian == 0).all()


def test_the_skip_connection_keeps_the_gradient_that_a_deep_transition_loses():
    """‖∂h(T)/∂h(0)‖ over 60 steps with three more layers in each: the paths without the skip are four times as long."""
    xs = jax.device_put(np.zeros((60, INPUT)))

    def gradient(skip):
        cell = DeepTransition(Elman(INPUT, 16), (16, 16), skip)
        params = jax.jit(cell.init)(jax.random.key(0))
        return np.linalg.norm(jax.jit(jax.jacobian(lambda h: unroll(cell, params, xs, h)[0]))(np.full(16, 0.1)))

    assert gradient(True) > 100 * gradient(False)


def test_in_an_lstm_the_memory_goes_past_the_mlp():
    cell = DeepTransition(LSTM(INPUT, HIDDEN), (6,))
    params = random_params(cell)
    carry = jax.tree.map(lambda a: a + 0.3, host(initial_carry(cell, params, (BATCH,))))
    p = jax.tree.map(np.asarray, params.layers)
    x = jax.device_put(np.asarray(XS)[:1])
    moved = carry._replace(h=mlp(p, carry.h))
    got, want = unroll(cell, params, x, carry)[0], unroll(LSTM(INPUT, HIDDEN), params.cell, x, moved)[0]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-12), got, want)


def test_the_mlp_of_the_input_is_not_in_the_loop():
    from jaxrnn.testing import loops

    cell = DeepInput(Elman(4, HIDDEN), (INPUT, 3, 4))
    assert [loop.dots for loop in loops(lambda p: unroll(cell, p, XS), random_params(cell))] == [1]


def test_bad_sizes_are_named(without_beartype):
    for wrapper in (DeepInput, DeepOutput):
        for sizes in ((3,), (), [3, 4]):
            with pytest.raises(ValueError, match="`sizes` must be a tuple of 2 or more"):
                wrapper(Elman(INPUT, HIDDEN), sizes)
    with pytest.raises(ValueError, match="`sizes` must be an integer of at least 1, got 0"):
        DeepTransition(Elman(INPUT, HIDDEN), (3, 0))
    with pytest.raises(ValueError, match="trailing size input_size=2"):
        DeepInput(Elman(INPUT, HIDDEN), (INPUT, 3))
    with pytest.raises(ValueError, match=r"`sizes\[0\]` must be 4, the size of the output of `cell`, got 3"):
        DeepOutput(Elman(INPUT, HIDDEN), (3, 5))


def test_a_stack_names_the_layers_whose_sizes_do_not_fit():
    said = r"^`cells\[1\]`, which reads the output of `cells\[0\]`: `xs` .* input_size=5, got shape \(4,\)"
    with pytest.raises(ValueError, match=said):
        Stack((Elman(2, 3), Stack((Elman(3, 4), Elman(5, 4)))))


@pytest.mark.parametrize("run", [unroll, unroll_bptt, unroll_python])
def test_a_stack_in_a_stack_names_both_when_it_runs(run):
    inner = Stack((Feedback(Elman(6, 5), Readout(5, 3)), Elman(4, 4)))  # what a Feedback reads and outputs: as it runs
    stack = Stack((Feedback(Elman(6, 5), Readout(5, 3)), inner))
    said = r"^`cells\[1\]`, which reads the output of `cells\[0\]`: `cells\[1\]`, which .*: `xs` .* input_size=4, got"
    with pytest.raises(ValueError, match=said):
        run(stack, stack.init(jax.random.key(0)), jnp.ones((4, 3)))
