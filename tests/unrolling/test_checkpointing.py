"""Recomputation: the same numbers with less memory, and a loss that is summed inside the loop."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrnn import GRU, LSTM, Readout, cross_entropy, unroll, unroll_bptt, unroll_checkpointed, unroll_loss
from jaxrnn.testing import law_members_agree, random_problem
from jaxrnn.testing.problem import quick_jit
from jaxrnn.unrolling.checkpointing import segment_lengths

CELL = GRU(3, 5)
CLASSES = 4
READOUT = Readout(5, CLASSES)


def label_loss(v, y, label):
    return cross_entropy(READOUT.apply(v, y), label)


@partial(quick_jit, static_argnames=("memory", "run", "reverse"))
def streamed(p, v, labels, memory, run, reverse):
    def loss(params, v, xs, carry):
        carry, mean = unroll_loss(
            CELL, params, xs, labels, partial(label_loss, v), carry,
            mask=p.mask, reset=p.reset, reverse=reverse, memory=memory, run=run,
        )  # fmt: skip
        return mean + (carry * p.dcarry).sum()

    return jax.value_and_grad(loss, argnums=(0, 1, 2, 3))(p.params, v, p.xs, p.carry)


@partial(quick_jit, static_argnames="reverse")
def whole(p, v, labels, reverse):
    def loss(params, v, xs, carry):
        carry, ys = unroll(CELL, params, xs, carry, mask=p.mask, reset=p.reset, reverse=reverse)
        return cross_entropy(READOUT.apply(v, ys), labels, mask=p.mask) + (carry * p.dcarry).sum()

    return jax.value_and_grad(loss, argnums=(0, 1, 2, 3))(p.params, v, p.xs, p.carry)


def labels_of(mask):
    labels = jax.random.randint(jax.random.key(1), mask.shape, 0, CLASSES)
    return jnp.where(mask, labels, -7)  # no class: padding is not looked at


def close(got, want, tolerance=1e-12):
    jax.tree.map(partial(np.testing.assert_allclose, atol=tolerance, rtol=tolerance), got, want)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize(
    ("time", "memory", "run"),
    [(7, "sqrt", unroll), (40, "log", unroll_bptt)],
)
def test_a_loss_inside_the_loop_is_the_loss_of_all_outputs(time, memory, run, reverse):
    p = random_problem(CELL, time=time)
    v, labels = READOUT.init(jax.random.key(0)), labels_of(p.mask)
    close(streamed(p, v, labels, memory, run, reverse), whole(p, v, labels, reverse))


@pytest.mark.parametrize(("time", "memory"), [(40, "log"), (7, 3), (0, "log")])
def test_any_length_and_any_number_of_segments_give_the_numbers_of_unroll(time, memory):
    problem = random_problem(CELL, time=time)
    law_members_agree(CELL, problem, unroll=partial(unroll_checkpointed, memory=memory))


def test_second_derivatives_and_forward_mode_go_through_recomputation():
    p = random_problem(CELL)

    @partial(quick_jit, static_argnums=0)
    def products(member, w):
        def loss(w):
            return (member(CELL, p.params._replace(w=w), p.xs, mask=p.mask, reset=p.reset)[1] * p.dys).sum()

        return jax.jvp(jax.grad(loss), (w,), (w,)), jax.jvp(loss, (w,), (w,))

    recomputed = partial(unroll_checkpointed, memory=2, run=unroll)
    close(products(recomputed, p.params.w), products(unroll, p.params.w))


def test_the_lengths_of_segments_are_what_the_memory_asks_for():
    assert segment_lengths(1_000_000, "sqrt") == (1000,)
    assert segment_lengths(1_000_000, 10) == (100_000,)
    assert segment_lengths(16**4, "log") == (16**3, 16**2, 16)
    assert segment_lengths(10_007, "sqrt") == (101,)  # a prime: the last segment is shorter
    assert segment_lengths(7, 1) == segment_lengths(1, "sqrt") == segment_lengths(0, "log") == ()


@pytest.mark.parametrize("memory", ["sqrt", "log"])
def test_the_memory_of_the_gradient_grows_as_it_says(memory):
    cell = LSTM(2, 16)

    def temporary(time, run):
        xs = jax.ShapeDtypeStruct((time, 2), jnp.float32)
        params = jax.eval_shape(cell.init, jax.random.key(0))

        def loss(params, xs):
            return run(cell, params, xs)[0].h.sum()

        compiled = quick_jit(jax.grad(loss, argnums=(0, 1))).lower(params, xs).compile()
        return compiled.memory_analysis().temp_size_in_bytes

    little = [temporary(time, partial(unroll_checkpointed, memory=memory)) for time in (4096, 65536)]
    assert little[1] < {"sqrt": 5, "log": 8}[memory] * little[0]  # 16 times the steps
    assert 20 * little[1] < temporary(65536, unroll_bptt)


def test_nothing_over_all_steps_is_made_for_a_large_vocabulary():
    cell, readout, time = GRU(2, 4), Readout(4, 5000), 64

    def loss(params, v, xs, labels):
        return unroll_loss(cell, params, xs, labels, lambda y, k: cross_entropy(readout.apply(v, y), k), memory=8)[1]

    arguments = jax.eval_shape(lambda k: (cell.init(k), readout.init(k)), jax.random.key(0))
    xs, labels = jax.ShapeDtypeStruct((time, 32, 2), jnp.float32), jax.ShapeDtypeStruct((time, 32), jnp.int32)
    compiled = quick_jit(jax.grad(loss, argnums=(0, 1))).lower(*arguments, xs, labels).compile()
    assert compiled.memory_analysis().temp_size_in_bytes < time * 32 * 5000 * 4 / 2


def test_bad_arguments_are_named(without_beartype):
    p = random_problem(CELL)
    for memory in ("cube", 0, 1.5, True):
        with pytest.raises(ValueError, match=r'`memory` must be "sqrt", "log" or a number of segments'):
            unroll_checkpointed(CELL, p.params, p.xs, memory=memory)
    with pytest.raises(ValueError, match=r"`targets` must have shape \(6, 4\) \+ "):
        unroll_loss(CELL, p.params, p.xs, p.xs[1:], lambda y, t: y.sum())
    with pytest.raises(ValueError, match=r"`loss` must give a scalar"):
        unroll_loss(CELL, p.params, p.xs, p.xs, lambda y, t: y)
