"""FORCE and full-FORCE: learning in the closed loop, the recursion that they share with `track`, their errors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrnn import Elman, Readout, unroll
from jaxrnn.cells.continuous import RateNetwork
from jaxrnn.patterns import Feedback
from jaxrnn.reservoirs import force, force_params, full_force, track, tracker

N, KEY = 20, jax.random.key(0)
CELL = Feedback(RateNetwork(1, N, dt=1.0, tau=10.0, gain=1.5), Readout(N, 1), "logits")
NOTHING, TARGETS = jnp.zeros((40, 0)), jnp.sin(jnp.arange(40.0) / 5)[:, None]


def started(cell, params):
    return cell.initial_carry(params)._replace(cell=jax.random.normal(KEY, (N,)))


def test_the_read_out_is_that_of_track_on_the_same_states():
    params = force_params(KEY, CELL)
    start, state = started(CELL, params), tracker(N, 1, penalty=0.1, bias=False)
    _, learned, after, zs = force(CELL, params, state, NOTHING, TARGETS, start, every=1)
    fed = jnp.concatenate([jnp.zeros((1, 1)), zs[:-1]])
    _, rs = unroll(CELL.cell, params.cell, fed, start.cell)  # the states that the closed loop went through
    tracked, os = track(state, rs, TARGETS)
    np.testing.assert_allclose(zs, os, atol=1e-9)
    np.testing.assert_allclose(learned.readout.v, tracked.readout.v, atol=1e-8)
    np.testing.assert_allclose(after.p.high, tracked.p.high, atol=1e-8)
    assert float(learned.readout.c[0]) == 0.0


def test_blocks_in_a_row_are_one_run():
    params = force_params(KEY, CELL)
    start, state = started(CELL, params), tracker(N, 1, penalty=0.1, bias=False)
    whole = force(CELL, params, state, NOTHING, TARGETS, start)
    carry, half, state, first = force(CELL, params, state, NOTHING[:20], TARGETS[:20], start)
    parts = force(CELL, half, state, NOTHING[20:], TARGETS[20:], carry)
    np.testing.assert_allclose(jnp.concatenate([first, parts[3]]), whole[3], atol=1e-9)
    np.testing.assert_allclose(parts[1].readout.v, whole[1].readout.v, atol=1e-9)


def test_nothing_is_learned_between_two_updates():
    params = force_params(KEY, CELL)
    start, state = started(CELL, params), tracker(N, 1, penalty=0.1, bias=False)
    once = force(CELL, params, state, NOTHING, TARGETS, start, every=40)
    first = force(CELL, params, state, NOTHING[:1], TARGETS[:1], start)
    np.testing.assert_allclose(once[1].readout.v, first[1].readout.v, atol=1e-12)


@pytest.mark.parametrize(
    "change, named",
    [
        ({"xs": jnp.zeros((40, 3, 1))}, "`xs` must have shape"),
        ({"targets": TARGETS[:7]}, "`targets` must have shape"),
        ({"state": tracker(N, 2, penalty=0.1)}, "`state.v.high` must have shape"),
        ({"every": 0}, "`every` must be an integer of at least 1"),
    ],
)
def test_arguments_of_force_that_do_not_fit_are_named(change, named):
    arguments = {"state": tracker(N, 1, penalty=0.1), "xs": NOTHING, "targets": TARGETS} | change
    with pytest.raises((ValueError, TypeError), match=named.split("`")[1]):
        force(CELL, force_params(KEY, CELL), **arguments)


def test_networks_without_their_own_output_are_refused():
    other = Feedback(Elman(1, N), Readout(N, 1), "probabilities")
    with pytest.raises(TypeError, match="logits"):
        force_params(KEY, other)
    with pytest.raises(TypeError, match="logits"):
        force(other, other.init(KEY), tracker(N, 1, penalty=0.1), NOTHING, TARGETS)


def test_a_driver_of_another_size_is_refused():
    cell = RateNetwork(1, N, dt=1.0, tau=10.0)
    state = tracker(N, N + 1, penalty=0.1, bias=False)
    with pytest.raises(ValueError, match="`driver` must have shape"):
        full_force(cell, cell.init(KEY), state, jnp.zeros((40, 1)), TARGETS, jnp.zeros((2, N)))
