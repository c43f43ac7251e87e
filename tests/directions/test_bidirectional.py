"""Two directions: what y(t) depends on, where each row's final states are, and every way to run them."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrnn import GRU, LSTM, Bidirectional, Elman, Stack, unroll, unroll_bptt, unroll_python
from jaxrnn.cells.wrappers import DeepOutput
from jaxrnn.directions import Directions
from jaxrnn.testing.host_trees import host
from jaxrnn.testing.problem import initial_carry
from tests.random_params import random_params

TIME, INPUT, HIDDEN = 6, 3, 4
LENGTHS = np.array([6, 4, 1, 0])
INPUTS = np.random.default_rng(0).normal(size=(TIME, 4, INPUT))
THERE = np.arange(TIME)[:, None] < LENGTHS
MASK, XS = jax.device_put((THERE, INPUTS))
NETWORKS = {
    "same": Bidirectional(LSTM(INPUT, HIDDEN), LSTM(INPUT, HIDDEN)),
    "mixed": Bidirectional(GRU(INPUT, HIDDEN), Elman(INPUT, 2)),
    "sum": Bidirectional(LSTM(INPUT, HIDDEN, "previous"), GRU(INPUT, HIDDEN, "after"), merge="sum"),
    "stacks": Bidirectional(Stack((GRU(INPUT, 2), GRU(2, HIDDEN))), Elman(INPUT, HIDDEN), merge="sum"),
}


@pytest.fixture(params=NETWORKS)
def case(request):
    network = NETWORKS[request.param]
    return network, random_params(network, 1)


def halves(network, ys):
    return np.split(np.asarray(ys), [ys.shape[-1] - network.backward_cell.hidden_size], axis=-1)


@partial(jax.jit, static_argnums=0)
def step(cell, params, carry, x):
    return cell.step(params, carry, cell.project(params, x))


def one_by_one(cell, params, xs):
    """Run the definition: one step after another, all by one compiled program."""
    carry, ys = initial_carry(cell, params, ()), []
    for x in xs:
        carry, y = step(cell, params, carry, x)
        ys.append(np.asarray(y))
    return carry, np.array(ys)


def test_each_row_is_its_own_two_runs_without_any_padding(case):
    """Values at every step, and final states: h at L − 1, g at 0; for length 0 the initial carry."""
    network, params = case
    carry, ys = jax.device_get(network.apply(params, XS, mask=MASK))
    for b, length in enumerate(LENGTHS.tolist()):
        forward = one_by_one(network.forward_cell, params.forward, INPUTS[:length, b])
        flipped = one_by_one(network.backward_cell, params.backward, INPUTS[:length, b][::-1])
        h, g = forward[1], flipped[1][::-1]
        want = h + g if network.merge == "sum" else np.concatenate([h, g], axis=-1)
        if length:
            np.testing.assert_allclose(ys[:length, b], want, atol=1e-12)
        assert (ys[length:, b] == 0).all()
        for got, alone in zip(carry, (forward[0], flipped[0]), strict=True):
            jax.tree.map(lambda a, w, b=b: np.testing.assert_allclose(a[b], w, atol=1e-12), got, alone)


@pytest.mark.parametrize("name", ["same", "mixed"])
def test_the_final_states_are_h_at_the_last_step_and_g_at_the_first(name):
    network = NETWORKS[name]
    carry, ys = network.apply(random_params(network, 1), XS, mask=MASK)
    h, g = halves(network, ys)
    carry = host(carry)
    for b, length in enumerate(LENGTHS.tolist()[:3]):
        np.testing.assert_array_equal(h[length - 1, b], jax.tree.leaves(carry.forward)[0][b])
        np.testing.assert_array_equal(g[0, b], jax.tree.leaves(carry.backward)[0][b])


def test_every_output_depends_on_every_valid_input_and_on_no_padding(case):
    network, params = case
    jacobian = np.asarray(jax.jit(jax.jacrev(lambda xs: network.apply(params, xs, mask=MASK)[1].sum(axis=-1)))(XS))
    for b, length in enumerate(LENGTHS.tolist()):
        depends = jacobian[:, b, :, b]
        strength = abs(depends).sum(axis=-1)
        assert (strength[:length, :length] > 0).all()
        assert (strength[length:] == 0).all() and (strength[:, length:] == 0).all()


@pytest.mark.parametrize(("name", "run"), [("same", unroll_bptt), ("stacks", unroll_bptt), ("mixed", unroll_python)])
def test_every_member_of_the_unroll_family_gives_the_same_values_and_gradients(name, run):
    network = NETWORKS[name]
    params = random_params(network, 1)
    reset = jax.device_put(np.arange(TIME * 4).reshape(TIME, 4) == 12)
    carry = jax.tree.map(lambda a: a + 0.3, host(network.initial_carry(params, (4,))))

    @partial(jax.jit, static_argnums=1)
    @jax.value_and_grad
    def loss(arguments, run):
        params, xs, carry = arguments
        carry, ys = network.apply(params, xs, carry, mask=MASK, reset=reset, run=run)
        return sum(jnp.sin(leaf).sum() for leaf in jax.tree.leaves((carry, ys)))

    got, want = loss((params, XS, carry), run), loss((params, XS, carry), unroll)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-10), got, want)


@pytest.mark.parametrize("padding", [1e6, jnp.nan, jnp.inf])
def test_nothing_in_the_padding_reaches_a_value_or_a_gradient(padding):
    network = NETWORKS["same"]
    params = random_params(network, 1)

    @jax.jit
    @partial(jax.value_and_grad, argnums=(0, 1), has_aux=True)
    def loss(params, xs):
        carry, ys = network.apply(params, xs, mask=MASK)
        return ys.sum() + carry.backward.c.sum(), ys

    clean, dirty = loss(params, XS), loss(params, np.where(THERE[..., None], INPUTS, padding))
    jax.tree.map(np.testing.assert_array_equal, dirty, clean)


def test_joined_episodes_are_the_episodes_run_apart(case):
    network, params = case
    reset, run = np.broadcast_to(np.arange(TIME)[:, None] == 2, (TIME, 4)), jax.jit(network.apply)
    _, joined = run(params, XS, reset=reset)
    apart = [run(params, xs)[1] for xs in (INPUTS[:2], INPUTS[2:])]
    np.testing.assert_allclose(joined, np.concatenate(apart), atol=1e-12)


def test_reversed_it_is_the_network_on_the_flipped_sequence(case):
    network, params = case
    carry, ys = host(jax.jit(partial(network.apply, reverse=True))(params, XS))
    want_carry, want = jax.jit(network.apply)(params, INPUTS[::-1])
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-12), (carry, ys[::-1]), (want_carry, want))


def test_vmap_over_rows_is_the_batch_axis_and_t_may_be_zero():
    network = NETWORKS["sum"]
    params = random_params(network, 1)
    _, want = network.apply(params, XS, mask=MASK)
    got = jax.jit(jax.vmap(lambda x, m: network.apply(params, x, mask=m)[1], in_axes=1, out_axes=1))(XS, MASK)
    np.testing.assert_allclose(got, want, atol=1e-12)
    carry, ys = jax.jit(network.apply)(params, INPUTS[:0])
    assert ys.shape == (0, 4, HIDDEN)
    jax.tree.map(np.testing.assert_array_equal, carry, network.initial_carry(params, (4,)))


def test_bad_arguments_are_named(without_beartype):
    with pytest.raises(TypeError, match="`backward_cell` must be a cell"):
        Bidirectional(GRU(3, 4), "GRU")
    with pytest.raises(ValueError, match="`merge` must be one of 'concat', 'sum'"):
        Bidirectional(GRU(3, 4), GRU(3, 4), "mean")
    with pytest.raises(ValueError, match=r'`merge` must be "concat" for outputs of several sizes \(4, 2\)'):
        Bidirectional(GRU(INPUT, 4), GRU(INPUT, 2), "sum")
    uneven = Bidirectional(DeepOutput(GRU(INPUT, 4), (4, 6)), GRU(INPUT, 2), "sum")  # known as it runs
    with pytest.raises(ValueError, match=r'`merge` must be "concat" for outputs of several sizes \(6, 2\)'):
        uneven.apply(random_params(uneven), XS)
    network = NETWORKS["same"]
    params = random_params(network)
    with pytest.raises(ValueError, match=r"`params` must be Directions"):
        network.apply(params.forward, XS)
    with pytest.raises(ValueError, match="`carry"):
        network.apply(params, XS, Directions(*network.initial_carry(params, (3,))))
    with pytest.raises(ValueError, match="`xs` must have trailing size input_size=3"):
        network.apply(params, INPUTS[..., :2])
    with pytest.raises(ValueError, match="`mask` must have shape"):
        network.apply(params, XS, mask=THERE[:3])


def test_an_output_may_be_deeper_than_the_state():
    network = Bidirectional(DeepOutput(GRU(INPUT, 4), (4, 6)), GRU(INPUT, 4))
    assert network.apply(random_params(network), XS)[1].shape == (TIME, 4, 10)
