"""Dropout and zoneout: which bits are drawn, when they change, their mean, and how to turn them off."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrnn import GRU, LSTM, Bidirectional, Dropout, Elman, Stack, quiet, unroll, unroll_bptt, with_noise
from jaxrnn.cells import ElmanParams
from jaxrnn.cells.wrappers import ExpectedZoneout, Zoneout
from jaxrnn.core import Noisy
from jaxrnn.directions import Directions
from jaxrnn.testing.host_trees import host
from tests.random_params import random_params

TIME, BATCH, SIZE = 6, 4, 5
KEY = jax.random.key(7)
COPY = Elman(SIZE, SIZE, "identity")
COPY_PARAMS = jax.device_put(ElmanParams(np.eye(SIZE), np.zeros((SIZE, SIZE)), np.zeros(SIZE)))
"""y = x: what a wrapper does to x is what comes out."""


def equal_to_rounding(got, want):
    """Two programs compiled separately may add in another order."""
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-13, atol=1e-14), got, want)


every_mask = pytest.mark.parametrize("per", ["sequence", "step"])


def ones(*shape):
    return jax.device_put(np.ones(shape))


@jax.jit
def noise(key, xs, reset):
    return with_noise(key, xs, reset=reset)


def dropped(per, xs, *, key=KEY, rate=0.5, reset=None):
    return np.asarray(unroll(Dropout(COPY, rate, per), COPY_PARAMS, noise(key, xs, reset))[1])


@every_mask
def test_the_same_key_gives_the_same_bits_and_another_key_others(per):
    xs = ones(TIME, BATCH, SIZE)
    first = dropped(per, xs)
    np.testing.assert_array_equal(dropped(per, xs), first)
    cell = Dropout(COPY, 0.5, per)
    jitted = jax.jit(lambda xs: unroll(cell, COPY_PARAMS, noise(KEY, xs, None))[1])
    np.testing.assert_array_equal(jitted(xs), first)
    assert (dropped(per, xs, key=jax.random.key(8)) != first).any()


@every_mask
def test_the_bits_do_not_depend_on_the_precision(per):
    def mask():
        cell, xs = Dropout(COPY, 0.5, per), jax.device_put(np.ones((TIME, BATCH, SIZE), np.float32))
        params = jax.device_put(jax.tree.map(lambda a: np.asarray(a, jnp.result_type(float)), COPY_PARAMS))
        return np.asarray(unroll(cell, params, with_noise(jax.random.key(7), xs))[1]) > 0

    wide = mask()
    with jax.enable_x64(False):
        np.testing.assert_array_equal(mask(), wide)


@every_mask
def test_the_bits_of_a_row_do_not_depend_on_how_many_rows_and_steps_there_are(per):
    whole = dropped(per, ones(TIME, BATCH, SIZE))
    np.testing.assert_array_equal(dropped(per, ones(3, 2, SIZE)), whole[:3, :2])


@every_mask
def test_a_block_of_a_noisy_sequence_goes_on_with_the_same_noise(per):
    noisy = noise(KEY, ones(TIME, BATCH, SIZE), None)
    cell = Dropout(COPY, 0.5, per)
    halves = [jax.device_put(jax.tree.map(lambda a, s=s: np.asarray(a)[s], noisy)) for s in (slice(2), slice(2, None))]
    parts = [unroll(cell, COPY_PARAMS, half)[1] for half in halves]
    np.testing.assert_array_equal(np.concatenate(parts), unroll(cell, COPY_PARAMS, noisy)[1])


@pytest.mark.parametrize("key_type", ["threefry2x32", "rbg"])
def test_any_kind_of_key_will_do(key_type):
    ys = dropped("step", ones(TIME, BATCH, SIZE), key=jax.random.key(0, impl=key_type))
    assert set(np.unique(ys)) == {0.0, 2.0}


def test_a_mask_per_sequence_is_constant_over_time_and_a_mask_per_step_is_not():
    xs = ones(TIME, BATCH, SIZE)
    sequence, step = dropped("sequence", xs), dropped("step", xs)
    assert (sequence == sequence[0]).all()
    assert all((step[t] != step[t - 1]).any() for t in range(1, TIME))
    assert all((mask[:, b] != mask[:, 0]).any() for mask in (sequence, step) for b in range(1, BATCH))


def test_with_resets_each_episode_has_a_mask_of_its_own():
    reset = jax.device_put(np.arange(TIME * BATCH).reshape(TIME, BATCH) == 3 * BATCH)
    ys = dropped("sequence", ones(TIME, BATCH, SIZE), reset=reset)
    assert (ys[:3] == ys[0]).all() and (ys[3:] == ys[3]).all()
    assert (ys[3, 0] != ys[0, 0]).any()
    np.testing.assert_array_equal(ys[3, 1:], ys[0, 1:])


@every_mask
@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_dropout_keeps_the_expectation(per, rate):
    """The mean over n independent draws lies within 5 standard deviations of x, √(p/((1−p)n)) each."""
    rows = 4000
    means = dropped(per, ones(2, rows, SIZE), rate=rate).mean(axis=1)
    assert (abs(means - 1) < 5 * np.sqrt(rate / (1 - rate) / rows)).all()


def test_units_and_steps_are_dropped_independently():
    masks = np.asarray(dropped("step", ones(2, 4000, SIZE))) > 0
    drawn = masks.transpose(1, 0, 2).reshape(4000, -1)
    correlations = np.corrcoef(drawn.T) - np.eye(2 * SIZE)
    assert abs(correlations).max() < 5 / np.sqrt(4000)


@every_mask
def test_dropout_at_rate_zero_is_the_cell_itself(per):
    cell, xs = LSTM(SIZE, 3), jax.device_put(np.random.default_rng(0).normal(size=(TIME, BATCH, SIZE)))
    params = random_params(cell)
    got = unroll(Dropout(cell, 0.0, per), params, noise(KEY, xs, None))
    equal_to_rounding(got, unroll(cell, params, xs))


def test_zoneout_at_rate_zero_is_the_cell_itself():
    cell, xs = LSTM(SIZE, 3), jax.device_put(np.random.default_rng(0).normal(size=(TIME, BATCH, SIZE)))
    params = random_params(cell)
    for wrapped, x in ((Zoneout(cell, 0.0), noise(KEY, xs, None)), (ExpectedZoneout(cell, 0.0), xs)):
        equal_to_rounding(unroll(wrapped, params, x), unroll(cell, params, xs))


def test_the_gradient_of_what_was_dropped_is_0_and_of_what_was_kept_is_the_scale():
    noisy = noise(KEY, ones(TIME, BATCH, SIZE), None)
    cell = Dropout(COPY, 0.75)
    for run in (unroll, unroll_bptt):
        dx = jax.jit(jax.grad(lambda x, run=run: run(cell, COPY_PARAMS, noisy._replace(x=x))[1].sum()))(noisy.x)
        np.testing.assert_array_equal(dx, unroll(cell, COPY_PARAMS, noisy)[1])


def test_nan_in_a_dropped_unit_is_gone():
    noisy = noise(KEY, ones(TIME, BATCH, SIZE), None)
    ys = np.asarray(unroll(Dropout(COPY, 0.5), COPY_PARAMS, noisy)[1])
    poisoned = noisy._replace(x=jax.device_put(np.where(ys == 0, np.nan, 1.0)))
    np.testing.assert_array_equal(unroll(Dropout(COPY, 0.5), COPY_PARAMS, poisoned)[1], ys)


def test_a_zoned_out_unit_keeps_its_value_and_the_others_take_the_new_one():
    cell, xs = LSTM(SIZE, 3), jax.device_put(np.random.default_rng(0).normal(size=(TIME, BATCH, SIZE)))
    params, zoned, noisy = random_params(cell), Zoneout(cell, (0.3, 0.6)), noise(KEY, xs, None)
    carry, held, noisy = cell.initial_carry(params, (BATCH,)), [], host(noisy)

    @jax.jit
    def both(carry, x, one):
        return cell.step(params, carry, cell.project(params, x))[0], unroll(zoned, params, one, carry)

    for t in range(TIME):
        one = jax.tree.map(lambda a, t=t: a[t : t + 1], noisy)
        candidate, (after, ys) = host(both(carry, noisy.x[t], one))
        for old, new, got in zip(carry, candidate, after, strict=True):
            assert ((got == old) | np.isclose(got, new, rtol=1e-12)).all()
        held.append([(a == b).mean() for a, b in zip(after, carry, strict=True)])
        np.testing.assert_array_equal(ys[0], after.h)
        carry = after
    assert (np.ptp(np.array(held), axis=0) > 0).all()  # another d at every t


def test_zoneout_holds_each_array_of_the_carry_at_its_own_rate_and_evaluation_is_the_expectation():
    rows, rates = 4000, (0.25, 0.6)
    cell = LSTM(2, 3)
    params, x = random_params(cell), np.random.default_rng(0).normal(size=(1, 1, 2))
    start = jax.device_put(jax.tree.map(lambda a: a + 0.5, host(cell.initial_carry(params, (rows,)))))
    xs = jax.device_put(np.broadcast_to(x, (1, rows, 2)))
    drawn, _ = unroll(Zoneout(cell, rates), params, noise(KEY, xs, None), start)
    expected, ys = unroll(quiet(Zoneout(cell, rates)), params, xs, start)
    new, _ = unroll(cell, params, xs, start)
    drawn, expected, ys, new, start = host((drawn, expected, ys, new, start))
    for i, rate in enumerate(rates):
        held = (drawn[i] == start[i]).mean(axis=0)
        assert (abs(held - rate) < 5 * np.sqrt(rate * (1 - rate) / rows)).all()
        np.testing.assert_allclose(expected[i], rate * start[i] + (1 - rate) * new[i], rtol=1e-12)
        spread = abs(new[i] - start[i])[0] * np.sqrt(rate * (1 - rate) / rows)
        assert (abs(drawn[i].mean(axis=0) - expected[i][0]) < 5 * spread).all()
    np.testing.assert_array_equal(ys[0], expected.h)


def test_quiet_takes_the_noise_out_wherever_it_is_and_leaves_the_parameters():
    noisy = Stack((Dropout(LSTM(3, 4), 0.5), Dropout(Zoneout(GRU(4, 5), 0.1), 0.2, "step")))
    still = Stack((LSTM(3, 4), ExpectedZoneout(GRU(4, 5), 0.1)))
    assert quiet(noisy) == still
    assert quiet(Bidirectional(noisy, LSTM(3, 5))) == Bidirectional(still, LSTM(3, 5))
    assert quiet(still) == still
    jax.tree.map(np.testing.assert_array_equal, noisy.init(KEY), still.init(KEY))
    params, xs = random_params(noisy), ones(TIME, BATCH, 3)
    assert jax.eval_shape(lambda: unroll(quiet(noisy), params, xs)) == jax.eval_shape(
        lambda: unroll(noisy, params, with_noise(KEY, xs))
    )


def test_the_parts_of_a_network_draw_apart():
    noisy = noise(KEY, ones(TIME, BATCH, SIZE), None)
    once = dropped("sequence", noisy.x)
    twice = np.asarray(unroll(Dropout(Dropout(COPY, 0.5), 0.5), COPY_PARAMS, noisy)[1])
    assert set(np.unique(twice)) == {0.0, 4.0} and (twice == 0).sum() > (once == 0).sum()
    stacked = np.asarray(unroll(Stack((Dropout(COPY, 0.5),) * 2), (COPY_PARAMS,) * 2, noisy)[1])
    assert set(np.unique(stacked)) == {0.0, 4.0}  # where both layers drop alike there is nothing but 0 and 4 …
    assert 0.1 < (stacked > 0).mean() < 0.4  # … but then half of the units are kept, and not a quarter
    both = Bidirectional(Dropout(COPY, 0.5), Dropout(COPY, 0.5))
    h, g = np.split(np.asarray(both.apply(Directions(COPY_PARAMS, COPY_PARAMS), noisy)[1]), 2, axis=-1)
    assert (h != g).any()


def test_a_plain_layer_of_a_noisy_stack_reads_x_alone():
    noisy = noise(KEY, ones(TIME, BATCH, SIZE), None)
    below = Stack((COPY, Dropout(COPY, 0.5)))
    ys = unroll(below, (COPY_PARAMS,) * 2, noisy)[1]
    assert set(np.unique(ys)) == {0.0, 2.0}
    plain = unroll(Stack((COPY, COPY)), (COPY_PARAMS,) * 2, noisy)[1]
    np.testing.assert_array_equal(plain, noisy.x)


@pytest.mark.parametrize(
    "cell",
    [Dropout(COPY, 0.5), Zoneout(COPY, 0.5), Stack((COPY, Dropout(COPY, 0.5))), Stack((Dropout(COPY, 0.5), COPY))],
)
def test_plain_inputs_to_a_cell_that_draws_are_an_error_that_says_what_to_do(cell, without_beartype):
    with pytest.raises(TypeError, match=r"`xs` must be with_noise\(key, xs\).*quiet"):
        unroll(cell, random_params(cell), ones(TIME, BATCH, SIZE))


@pytest.mark.parametrize("rate", [-0.1, 1.0, 1.5, float("nan"), True, "0.5"])
def test_a_rate_outside_of_its_range_is_named(rate, without_beartype):
    for wrapper in (Dropout, Zoneout, ExpectedZoneout):
        with pytest.raises(ValueError, match="`rate` must lie in"):
            wrapper(COPY, rate)


def test_other_bad_arguments_are_named(without_beartype):
    with pytest.raises(ValueError, match="`per` must be one of 'sequence', 'step'"):
        Dropout(COPY, 0.5, "batch")
    noisy = noise(KEY, ones(TIME, BATCH, SIZE), None)
    with pytest.raises(ValueError, match="`rate` must have one entry for each of the 1 arrays"):
        unroll(Zoneout(COPY, (0.1, 0.2)), COPY_PARAMS, noisy)
    with pytest.raises(ValueError, match=r"`xs` must have shape \[time, \*batch, features\]"):
        with_noise(KEY, ones(3))
    with pytest.raises(ValueError, match="`reset` must have shape"):
        with_noise(KEY, noisy.x, reset=np.ones((TIME, 1), bool))
    with pytest.raises(TypeError, match="one floating array"):
        unroll(Dropout(COPY, 0.5), COPY_PARAMS, Noisy((noisy.x, noisy.x), noisy.key, noisy.t))
    with pytest.raises(TypeError, match="`network` must be a cell"):
        quiet("LSTM")


def test_a_cell_whose_output_is_not_its_state_cannot_be_zoned_out():
    from jaxrnn.cells.wrappers import DeepOutput

    cell = Zoneout(DeepOutput(COPY, (SIZE, 2)), 0.5)
    with pytest.raises(TypeError, match="`cell` must output one array of its carry"):
        unroll(cell, random_params(cell), with_noise(KEY, ones(TIME, BATCH, SIZE)))
