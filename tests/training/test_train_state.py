"""The update: what it skips, what it passes on, and one dispatch of many steps against many dispatches."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxrnn import LSTM, Elman, cross_entropy, squared_error, unroll, unroll_bptt
from jaxrnn.generation import SymbolModel
from jaxrnn.training.train_state import cosine_adam, init_state, update, updates

KEY = jax.random.key(3)
MODEL = SymbolModel(LSTM(3, 4), vocabulary=5, features=3, hidden_size=4)
ADAM = cosine_adam(1e-2, 20, warmup=2)


def language_loss(params, carry, batch, key):
    carry, logits = MODEL.read(params, batch[:-1], carry)
    return cross_entropy(logits, batch[1:]), carry


def quadratic(params, carry, batch, key):
    return jnp.sum((params - batch) ** 2), carry


def noisy(params, carry, batch, key):
    return jnp.sum(params * jax.random.normal(key, params.shape)), carry


def begin():
    params = MODEL.init(jax.random.key(0))
    return init_state(params, ADAM, MODEL.initial_carry(params, (2,)))


def stream(steps):
    return jax.random.randint(jax.random.key(1), (steps, 7, 2), 0, 5)


def equal(a, b):
    a, b = jax.tree.leaves(a), jax.tree.leaves(b)
    return len(a) == len(b) and all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


def close(a, b, atol=1e-12):
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=0, atol=atol), a, b)


def test_one_dispatch_of_many_updates_is_many_dispatches_to_the_last_bits():
    many, losses = updates(language_loss, ADAM, begin(), stream(6), KEY)
    one, expected = begin(), []
    for batch in stream(6):
        one, loss = update(language_loss, ADAM, one, batch, KEY)
        expected.append(loss)
    close(many, one)
    np.testing.assert_allclose(losses, expected, rtol=0, atol=1e-12)
    assert int(many.step) == 6


def test_dispatches_of_any_cut_make_the_same_run():
    whole, _ = updates(language_loss, ADAM, begin(), stream(6), KEY)
    parts, _ = updates(language_loss, ADAM, begin(), stream(6)[:4], KEY)
    parts, _ = updates(language_loss, ADAM, parts, stream(6)[4:], KEY)
    close(whole, parts)


def test_the_same_dispatches_give_the_same_bits():
    first, second = (updates(language_loss, ADAM, begin(), stream(6), KEY)[0] for _ in range(2))
    assert equal(first, second)


@pytest.mark.parametrize("poison", [jnp.nan, jnp.inf, -jnp.inf])
def test_a_gradient_that_is_not_finite_skips_the_whole_step_and_is_counted(poison):
    state, _ = update(quadratic, ADAM, init_state(jnp.ones(3), ADAM, jnp.zeros(2)), jnp.zeros(3), KEY)
    after, _ = update(quadratic, ADAM, state, jnp.array([0.0, poison, 0.0]), KEY)
    assert equal(after.params, state.params) and equal(after.carry, state.carry)
    assert equal(after.optimizer.inner_state, state.optimizer.inner_state)
    assert int(after.skipped) == 1 and int(after.step) == 2


def test_no_number_of_bad_gradients_lets_one_through():
    adam = optax.adam(1e-2)
    state = init_state(jnp.ones(2), adam)
    state, _ = updates(quadratic, adam, state, jnp.full((300, 2), jnp.nan), KEY)
    # the count of consecutive ones saturates at the largest int32; there too the limit is not exceeded
    full = jnp.array(np.iinfo(np.int32).max, jnp.int32)
    state = state._replace(optimizer=state.optimizer._replace(notfinite_count=full))
    after, _ = update(quadratic, adam, state, jnp.full(2, jnp.nan), KEY)
    assert equal(after.params, jnp.ones(2)) and int(after.skipped) == 301
    after, _ = update(quadratic, adam, after, jnp.zeros(2), KEY)
    assert not equal(after.params, jnp.ones(2)) and int(after.skipped) == 301


def test_clipping_never_sees_a_gradient_that_is_not_finite():
    clipped = optax.chain(optax.clip_by_global_norm(1.0), optax.sgd(1.0))
    raw, _ = clipped.update(jnp.array([jnp.inf, 1.0]), clipped.init(jnp.zeros(2)))
    assert raw[1] == 0 and not jnp.isfinite(raw[0])  # what clipping makes of it
    state, _ = update(quadratic, clipped, init_state(jnp.zeros(2), clipped), jnp.array([jnp.inf, 1.0]), KEY)
    assert equal(state.params, jnp.zeros(2)) and int(state.skipped) == 1


def test_a_carry_that_is_not_finite_is_not_handed_on():
    def spoils(params, carry, batch, key):
        return jnp.sum(params**2), carry + batch

    state = init_state(jnp.ones(2), ADAM, jnp.zeros(2))
    for value, expected in ((1.0, 1.0), (jnp.nan, 1.0), (2.0, 3.0)):
        state, _ = update(spoils, ADAM, state, jnp.full(2, value), KEY)
        assert equal(state.carry, jnp.full(2, expected))


def test_the_carry_is_handed_on_as_if_the_stream_had_not_been_cut():
    still = optax.sgd(0.0)
    tokens = stream(1)[0]
    params = MODEL.init(jax.random.key(0))
    state = init_state(params, still, MODEL.initial_carry(params, (2,)))
    for t in (0, 2, 4):
        state, _ = update(language_loss, still, state, tokens[t : t + 3], KEY)
    close(state.carry, MODEL.read(params, tokens[:6])[0])


def test_no_gradient_crosses_the_cut():
    """Differentiating through the updates themselves, the carry that is handed on is a constant."""
    cell, sgd = Elman(1, 2), optax.sgd(0.1)
    params, xs = cell.init(jax.random.key(0)), jnp.ones((3, 1))

    def loss_fn(params, carry, batch, key):
        carry, ys = unroll(cell, params, batch, carry)
        return squared_error(ys, jnp.zeros_like(ys)), carry

    def after(carry):
        state, loss = update(loss_fn, sgd, init_state(params, sgd, carry), xs, KEY)
        return loss + jnp.sum(state.carry)

    start = jnp.array([0.3, -0.2])
    assert equal(jax.grad(after)(start), jnp.zeros(2))
    direct = jax.grad(lambda carry: loss_fn(params, carry, xs, KEY)[0])(start)
    assert float(jnp.abs(direct).min()) > 1e-4  # what the cut takes away is not nothing


def test_the_key_of_a_step_is_a_function_of_the_step():
    sgd = optax.sgd(1.0)
    state = init_state(jnp.zeros(3), sgd)
    state, _ = updates(noisy, sgd, state, jnp.zeros(2), KEY)
    resumed, _ = update(noisy, sgd, state, jnp.zeros(()), KEY)
    draws = [jax.random.normal(jax.random.fold_in(KEY, k), (3,)) for k in range(3)]
    close(resumed.params, -(draws[0] + draws[1] + draws[2]))


def test_a_task_without_a_stream_has_no_carry():
    sgd = optax.sgd(0.5)
    state, loss = update(quadratic, sgd, init_state(jnp.zeros(2), sgd), jnp.ones(2), KEY)
    assert state.carry is None and float(loss) == 2.0
    assert equal(state.params, jnp.ones(2))


def test_an_update_is_sgd_on_the_gradient_of_the_loss():
    sgd, tokens = optax.sgd(0.1), stream(1)[0]
    params = MODEL.init(jax.random.key(0))
    carry = MODEL.initial_carry(params, (2,))
    state, loss = update(language_loss, sgd, init_state(params, sgd, carry), tokens, KEY)

    def reference(params):  # the reference unroll, and the formula of the loss
        _, ys = unroll(MODEL.cell, params.cell, params.embedding[tokens[:-1]], carry)
        logp = jax.nn.log_softmax(ys @ params.readout.v + params.readout.c)
        return -jnp.take_along_axis(logp, tokens[1:, :, None], -1).mean()

    expected, gradient = jax.value_and_grad(reference)(params)
    close(loss, expected)
    close(state.params, jax.tree.map(lambda p, g: p - 0.1 * g, params, gradient))


def test_many_updates_compile_once():
    compiled = []

    def counted(params, carry, batch, key):
        compiled.append(1)
        return jnp.sum((params - batch) ** 2), carry

    state = init_state(jnp.ones(3), ADAM)
    for _ in range(3):
        state, _ = updates(counted, ADAM, state, jnp.zeros((4, 3)), KEY)
    traces = len(compiled)
    updates(counted, ADAM, state, jnp.ones((4, 3)), KEY)
    assert len(compiled) == traces


def test_the_rate_rises_falls_and_ends_at_zero():
    optimizer = cosine_adam(0.1, 10, warmup=2)
    state = init_state(jnp.array([1.0]), optimizer)
    moved = []
    for _ in range(11):
        after, _ = update(quadratic, optimizer, state, jnp.array([-5.0]), KEY)
        moved.append(float(jnp.abs(after.params - state.params)[0]))
        state = after
    assert moved[0] == 0 and moved[10] == 0  # the first of the warm-up, and the one past the end
    assert max(moved) == moved[2] == pytest.approx(0.1, abs=1e-6)
    assert sorted(moved[2:], reverse=True) == moved[2:]


def test_weight_decay_takes_the_rate_times_its_share_of_each_weight():
    params, plain, decayed = jnp.array([3.0, -2.0]), cosine_adam(0.1, 10), cosine_adam(0.1, 10, weight_decay=0.5)
    states = [init_state(params, optimizer) for optimizer in (plain, decayed)]
    without, with_decay = (
        update(quadratic, optimizer, state, jnp.zeros(2), KEY)[0].params
        for optimizer, state in zip((plain, decayed), states, strict=True)
    )
    np.testing.assert_allclose(without - with_decay, 0.1 * 0.5 * params, atol=1e-6)


def test_the_training_path_is_the_explicit_backward_pass():
    def plain(params, carry, batch, key):
        carry, ys = unroll_bptt(MODEL.cell, params.cell, MODEL.embed(params, batch[:-1]), carry)
        return cross_entropy(MODEL.readout.apply(params.readout, ys), batch[1:]), carry

    state, _ = update(language_loss, ADAM, begin(), stream(1)[0], KEY)
    expected, _ = update(plain, ADAM, begin(), stream(1)[0], KEY)
    assert equal(state.params, expected.params)
