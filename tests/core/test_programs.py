"""Programs are read correctly, whatever form JAX gives them."""

import jax
import jax.numpy as jnp
from jax import lax

from jaxrnn.core.programs import arguments_read, equations, trace_program
from jaxrnn.testing import Loop, dots, loops

W = jnp.ones((3, 3))


def step(h, x):
    return jnp.tanh(x + h @ W), (h, jnp.sum(x))


def run(h, xs):
    return lax.scan(step, h, xs)


def names(function, *args):
    return [eqn.primitive.name for eqn in equations(trace_program(function, *args))]


def test_a_loop_carries_what_it_hands_on_and_not_what_it_stacks():
    h, xs = jnp.ones((4, 3)), jnp.ones((4, 4, 3))  # as many steps as rows
    assert loops(run, h, xs) == [Loop(length=4, reverse=False, dots=1, carried=((4, 3),))]
    forward, backward = loops(jax.grad(lambda h: jnp.sum(run(h, xs)[0])), h)
    assert (forward.length, backward.length) == (4, 4) and (forward.reverse, backward.reverse) == (False, True)
    assert (forward.dots, backward.dots) == (1, 1) and backward.carried == ((4, 3),)


def test_a_gradient_with_respect_to_a_weight_is_carried():
    def loss(w):
        return jnp.sum(lax.scan(lambda h, _: (jnp.tanh(h @ w), None), jnp.ones((4, 3)), length=5)[0])

    _, backward = loops(jax.grad(loss), W)
    assert sorted(backward.carried) == [(3, 3), (4, 3)] and backward.dots == 2


def test_loops_and_products_in_loops_branches_and_calls_are_found():
    inner = jax.jit(lambda h: lax.cond(h[0] > 0, lambda h: h @ W, lambda h: run(h, jnp.ones((2, 3)))[0], h))

    def outer(h):
        return lax.fori_loop(0, 3, lambda _, h: jax.checkpoint(inner)(h), h)

    assert [(loop.length, loop.dots) for loop in loops(outer, jnp.ones(3))] == [(3, 2), (2, 1)]
    assert dots(outer, jnp.ones(3)) == 2


def test_custom_rules_are_looked_into():
    @jax.custom_vjp
    def square(x):
        return x @ x

    square.defvjp(lambda x: (square(x), x), lambda x, d: (d * x,))
    assert dots(square, jnp.ones(3)) == 1


def test_what_nobody_reads_is_not_in_the_program():
    assert names(lambda x: (jnp.sin(x), jnp.cos(x))[0], 1.0) == ["sin"]
    assert loops(lambda h: run(h, jnp.ones((2, 3)))[0] * 0 + h, jnp.ones(3)) != []
    assert loops(lambda h: (run(h, jnp.ones((2, 3))), h)[1], jnp.ones(3)) == []


def test_an_argument_is_read_if_a_result_depends_on_it_through_a_loop_too():
    xs, other = jnp.ones((2, 3)), jnp.ones(3)
    assert arguments_read(lambda h, xs, other: run(h, xs)[0], jnp.ones(3), xs, other) == [True, True, False]
    assert arguments_read(lambda h, xs, other: run(h, xs * other)[1][1], jnp.ones(3), xs, other) == [False, True, True]
