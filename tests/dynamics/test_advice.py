"""The advice follows the largest Lyapunov exponent, which is the rate at which a perturbation grows."""

import math

import jax
import jax.numpy as jnp
import pytest

from jaxrnn import GRU, LRU, LSTM, Elman, MinGRU, choose_method, unroll_associative, unroll_bptt, unroll_newton
from jaxrnn.cells import Jordan
from jaxrnn.dynamics.advice import UPDATES
from jaxrnn.linear.matrix import GatedDelta
from jaxrnn.testing import random_problem
from jaxrnn.unrolling.parallel import Newton, newton, unroll_chunkwise

XS = jax.random.normal(jax.random.key(1), (200, 2, 3), jnp.float64)


def linear(factor):
    cell = Elman(3, 5, "identity")
    return cell, cell.init(jax.random.key(0))._replace(w=factor * jnp.eye(5))


@pytest.mark.parametrize("factor", [0.5, 1.5])
def test_the_exponent_of_a_multiple_of_the_identity_is_its_logarithm(factor):
    advice = choose_method(*linear(factor), XS)
    assert advice.exponent == pytest.approx(math.log(factor), abs=1e-12)
    assert advice.horizon == pytest.approx(1 / abs(math.log(factor)))
    assert advice.method is (unroll_newton if factor < 1 else unroll_bptt)


def test_a_push_that_dies_at_once_has_exponent_minus_infinity():
    advice = choose_method(*linear(0.0), XS)
    assert (advice.exponent, advice.horizon, advice.method) == (-math.inf, 0.0, unroll_newton)
    assert advice.updates == 3


def test_steps_that_do_not_happen_do_not_count():
    mask = jnp.ones((200, 2), bool).at[5:, 0].set(False)
    xs = XS.at[5:, 0].set(jnp.nan)
    assert choose_method(*linear(0.5), xs, mask=mask).exponent == pytest.approx(math.log(0.5), abs=1e-12)


def test_a_short_sequence_is_not_worth_it():
    cell, params = linear(0.5)
    assert choose_method(cell, params, XS[:4]).method is unroll_bptt


def test_a_cell_that_is_linear_in_its_carry_runs_by_the_associative_scan():
    cell = LRU(3, 5, 4)
    advice = choose_method(cell, cell.init(jax.random.key(0)), XS)
    assert advice.method is unroll_associative and advice.updates == 0


def test_a_matrix_state_runs_in_chunks_where_there_are_steps_for_one():
    cell = GatedDelta(3, 1, 2, 2)
    params = cell.init(jax.random.key(0))
    assert choose_method(cell, params, XS).method is unroll_chunkwise
    assert choose_method(cell, params, XS[:8]).method is unroll_bptt


def test_a_carry_may_hold_several_arrays_and_no_batch():
    cell = GRU(3, 5)
    p = random_problem(cell, time=200, batch=())
    advice = choose_method(cell, p.params, p.xs, p.carry)
    assert advice.method is unroll_newton and advice.exponent < 0


def test_more_updates_the_larger_the_exponent():
    """The law that the advice stands on, at three gains of a random network."""
    cell = Elman(3, 20)
    params = cell.init(jax.random.key(0))

    def at(gain):
        params_at = params._replace(w=gain * jax.random.normal(jax.random.key(2), (20, 20)) / 20**0.5)
        report = newton(cell, params_at, XS, solver=Newton(iterations=200))[2]
        return choose_method(cell, params_at, XS), int(report.iterations.max())

    (low, few), (middle, more), (high, most) = measured = list(map(at, (0.5, 1.5, 4.0)))
    assert low.exponent < middle.exponent < high.exponent and low.exponent < 0 < high.exponent
    assert few < more < most and few <= UPDATES and most > 100
    assert all(updates / 4 <= advice.updates <= 4 * updates for advice, updates in measured)


def test_a_run_that_forgets_is_not_enough_where_the_first_guess_explodes():
    """An LSTM whose gates close on the way: λ < 0, and yet the first update is a recurrence that grows."""
    cell = LSTM(3, 16)
    params = cell.init(jax.random.key(0))
    params = params._replace(w=jax.random.normal(jax.random.key(5), params.w.shape) / 2)
    advice = choose_method(cell, params, 0.3 * XS)
    assert advice.exponent < -0.02 and advice.first_exponent > 0.1 and advice.method is unroll_bptt
    assert int(newton(cell, params, 0.3 * XS, solver=Newton(iterations=3 * UPDATES))[2].converged.sum()) == 0


def test_where_no_unit_meets_another_the_exponent_is_that_of_the_slowest():
    cell = MinGRU(3, 5)
    params = cell.init(jax.random.key(0))._replace(u=jnp.zeros((3, 10)), b=jnp.log(jnp.arange(1.0, 11.0)))
    assert choose_method(cell, params, XS).exponent == pytest.approx(math.log(1 / 2), abs=0.02)  # 1 − σ(log 1)


def test_it_needs_a_derivative(without_beartype):
    cell = Jordan(3, 4, 2, "symbol")
    with pytest.raises(TypeError, match="`cell` must have a derivative"):
        choose_method(cell, cell.init(jax.random.key(0)), XS)


def test_it_needs_a_step(without_beartype):
    cell, params = linear(0.5)
    with pytest.raises(ValueError, match="`xs` must have at least one valid step"):
        choose_method(cell, params, XS[:0])
    with pytest.raises(ValueError, match="`xs` must have at least one valid step"):
        choose_method(cell, params, XS, mask=jnp.zeros((200, 2), bool))
