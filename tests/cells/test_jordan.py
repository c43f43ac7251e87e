"""Jordan's network: its feedback, its backward rules, and the source of its noise."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrnn import AutodiffRules, unroll, unroll_bptt
from jaxrnn.cells import Jordan
from jaxrnn.cells.jordan import FEEDBACKS, feed_back

TIME, BATCH, INPUT, HIDDEN, OUTPUT = 5, 3, 2, 4, 3
every_feedback = pytest.mark.parametrize("feedback", FEEDBACKS)


def problem(feedback):
    cell = Jordan(INPUT, HIDDEN, OUTPUT, feedback)
    keys = jax.random.split(jax.random.key(0), 8)
    params = cell.init(keys[0])
    params = params._replace(b=jax.random.normal(keys[1], (HIDDEN,)), c=jax.random.normal(keys[2], (OUTPUT,)))
    xs = jax.random.normal(keys[3], (TIME, BATCH, INPUT))
    noise = jax.random.gumbel(keys[4], (TIME, BATCH, OUTPUT))
    carry = jax.nn.softmax(jax.random.normal(keys[5], (BATCH, OUTPUT)))
    return cell, params, (xs, noise) if feedback == "sample" else xs, carry


@every_feedback
def test_a_run_is_the_equations_of_the_chapter(feedback):
    cell, params, xs, carry = problem(feedback)
    p = jax.tree.map(np.asarray, params)
    (xs_, noise), fed = xs if feedback == "sample" else (xs, np.zeros((TIME, BATCH, OUTPUT))), np.asarray(carry)
    want = []
    for x, g in zip(np.asarray(xs_), np.asarray(noise), strict=True):
        o = p.c + np.tanh(p.b + fed @ p.w + x @ p.u) @ p.v
        one_hot = np.eye(OUTPUT)[np.argmax(o + g, axis=-1)]
        fed = {"logits": o, "probabilities": np.exp(o) / np.exp(o).sum(-1, keepdims=True)}.get(feedback, one_hot)
        want.append(o)
    got_fed, os = unroll(cell, params, xs, carry)
    np.testing.assert_allclose(os, want, rtol=1e-12)
    np.testing.assert_allclose(got_fed, fed, rtol=1e-12)


@every_feedback
def test_the_hand_written_rules_are_the_derivatives_of_the_step(feedback):
    cell, params, xs, carry = problem(feedback)
    mask = jax.random.bernoulli(jax.random.key(1), 0.7, (TIME, BATCH))
    reset = jax.random.bernoulli(jax.random.key(2), 0.3, (TIME, BATCH))
    dcarry, dos = jax.random.normal(jax.random.key(3), (BATCH, OUTPUT)), jnp.cos(jnp.arange(TIME * BATCH * OUTPUT))

    def gradient(run, cell):
        def objective(params, xs, carry):
            fed, os = run(cell, params, xs, carry, mask=mask, reset=reset)
            return jnp.sum(fed * dcarry) + jnp.sum(os * dos.reshape(os.shape))

        return jax.jit(jax.grad(objective, argnums=(0, 1, 2)))(params, xs, carry)

    want = gradient(unroll, cell)
    for got in (gradient(unroll_bptt, cell), gradient(unroll_bptt, AutodiffRules(cell))):
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-13), got, want)
    assert all(jnp.any(leaf != 0) for leaf in want[0])


def test_no_gradient_comes_through_a_symbol_and_one_comes_through_a_probability():
    for feedback, passes in (("logits", True), ("probabilities", True), ("symbol", False)):
        cell, params, xs, _ = problem(feedback)
        jacobian = jax.jit(jax.jacobian(lambda xs, cell=cell, params=params: unroll(cell, params, xs)[1]))(xs)
        assert bool((jacobian[1, 0, :, 0] != 0).any()) is passes
        assert (jacobian[1, 0, :, 1] != 0).any()  # a step's own input


def test_the_noise_of_a_sample_makes_it_a_draw_from_the_softmax():
    o = jnp.array([0.3, -1.0, 1.2])
    noise = jax.random.gumbel(jax.random.key(0), (40_000, OUTPUT))
    frequencies = feed_back("sample", jnp.broadcast_to(o, noise.shape), noise).mean(axis=0)
    p = jax.nn.softmax(o)
    assert (jnp.abs(frequencies - p) < 4 * jnp.sqrt(p * (1 - p) / 40_000)).all()


def test_before_the_first_output_nothing_is_fed_back():
    cell, params, xs, _ = problem("symbol")
    want = jnp.tanh(params.b + xs[0] @ params.u) @ params.v + params.c
    np.testing.assert_allclose(unroll(cell, params, xs)[1][0], want, rtol=1e-12)


def test_wrong_fields_and_inputs_are_named(without_beartype):
    with pytest.raises(ValueError, match=r"`feedback` must be one of 'logits', .*got 'output'"):
        Jordan(1, 1, 1, "output")
    with pytest.raises(ValueError, match="`output_size` must be an integer of at least 1, got 0"):
        Jordan(1, 1, 0)
    cell, params, (xs, noise), _ = problem("sample")
    for wrong in (xs, (xs, noise, noise)):
        with pytest.raises(TypeError, match=r"`xs` must be a pair \(xs, noise\)"):
            unroll(cell, params, wrong)
    with pytest.raises(ValueError, match="`noise` must have trailing size output_size=3"):
        unroll(cell, params, (xs, noise[..., :2]))
    with pytest.raises(ValueError, match=r"must share their axes \[time, \*batch\]"):
        unroll(cell, params, (xs, noise[:, :1]))
    with pytest.raises(TypeError, match='`xs` must be one array with feedback="logits"'):
        unroll(Jordan(INPUT, HIDDEN, OUTPUT, "logits"), params, (xs, noise))
    with pytest.raises(ValueError, match="`xs` must have trailing size input_size=2"):
        unroll(cell, params, (noise, noise))
