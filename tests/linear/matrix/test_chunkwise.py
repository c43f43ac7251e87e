"""Chunkwise = scan = associative = a loop in NumPy, in values and in every gradient; and what it costs."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrnn import GRU, LRU, MinGRU, unroll, unroll_associative
from jaxrnn import testing as laws
from jaxrnn.linear import ShortConv
from jaxrnn.linear.matrix import GatedDelta
from jaxrnn.testing.host_trees import host
from jaxrnn.testing.problem import quick_jit
from jaxrnn.unrolling.parallel import unroll_chunkwise
from tests.unrolling.laws_of_the_family import FAMILY

from .rows import Mixed, Row, loop

KINDS = {
    "one_decay": Row(5, 4),
    "unit_decays": Row(5, 4, decays=5),
    "no_erasure": Row(5, 4, erases=False),
    "unit_decays_no_erasure": Row(5, 4, decays=5, erases=False),
    "one_key": Row(1, 1),
}
every_kind = pytest.mark.parametrize("cell", KINDS.values(), ids=KINDS.keys())
CHUNKS = {n: partial(unroll_chunkwise, chunk=n) for n in (1, 2, 8, 32, 64)}


def extreme_problem(cell, time=21, seed=0):
    """Decays from 1 to e^{−1000}, unit keys with β up to 2."""
    p = laws.random_problem(cell, seed, time=time, batch=(4,), x=jax.ShapeDtypeStruct((sum(cell.sizes),), np.float64))
    rng = np.random.default_rng(seed)
    k = rng.normal(size=(time, 4, cell.key_size))
    k /= np.linalg.norm(k, axis=-1, keepdims=True)
    log_d = -rng.exponential(size=(time, 4, cell.decays)) * rng.choice([0, 0.1, 1, 1000], (time, 4, cell.decays))
    beta = rng.choice([0.5, 1, 2], (time, 4, 1))
    v, q = rng.normal(size=(time, 4, cell.value_size)), rng.normal(size=(time, 4, cell.key_size))
    xs = np.concatenate([log_d, np.exp(log_d) * k, beta * k, k, beta * v, q], axis=-1)
    return p._replace(xs=jax.device_put(xs), params=jnp.ones(6))


@every_kind
@pytest.mark.parametrize("reverse", [False, True], ids=["forwards", "backwards"])
def test_chunks_are_a_loop_in_numpy(cell, reverse):
    p, sizes = extreme_problem(cell), cell.sizes
    kept = np.repeat([1, cell.erases, cell.erases, 1, 1, 1], sizes)
    xs, starts, mask, reset = host((p.xs * kept, p.carry, p.mask, p.reset))
    for run in (CHUNKS[1], CHUNKS[8], unroll_associative):
        state, ys = host(run(cell, *p[:3], mask=p.mask, reset=p.reset, reverse=reverse))
        for row in range(4):
            want = loop(xs[:, row], sizes, starts[row], mask[:, row], reset[:, row], reverse)
            np.testing.assert_allclose(state[row], want[0], atol=1e-12)
            np.testing.assert_allclose(ys[:, row], want[1], atol=1e-12)


@every_kind
def test_every_gradient_is_the_scan_s_at_decays_to_e_to_the_minus_1000(cell):
    for run in (CHUNKS[8], unroll_associative):
        laws.law_members_agree(cell, extreme_problem(cell), unroll=run)


@pytest.mark.parametrize("chunk", [1, 2, 32, 64])
@pytest.mark.parametrize("name", ["one_decay", "unit_decays"])
def test_chunks_of_any_size_are_the_scan(name, chunk):
    laws.law_members_agree(KINDS[name], extreme_problem(KINDS[name], time=70), unroll=CHUNKS[chunk])


@pytest.mark.parametrize("law", FAMILY, ids=lambda law: law.__name__)
def test_a_law_of_the_family_holds_in_chunks(law, without_beartype):
    law(GatedDelta(3, 2, 4, 5, decay="unit"), unroll=CHUNKS[2])


def test_a_matrix_beside_other_states_runs_in_every_way(without_beartype):
    laws.check_cell(Mixed())


def test_a_cell_without_a_matrix_runs_in_chunks():
    for cell in (MinGRU(3, 5), LRU(3, 5, 4), ShortConv(3, 3)):
        laws.law_members_agree(cell, unroll=CHUNKS[2])


@pytest.mark.parametrize("name", ["one_decay", "unit_decays"])
def test_both_modes_and_second_derivatives_are_finite_differences(name):
    problem = laws.random_problem(KINDS[name], time=4, batch=(2,))
    laws.law_derivatives_are_finite_differences(KINDS[name], problem, unroll=CHUNKS[2])


@pytest.mark.parametrize("name", ["one_decay", "unit_decays"])
@pytest.mark.parametrize("beta", [0.5, 1.0, 1.9])
def test_equal_keys_and_strong_decays_in_float32_are_float64(name, beta):
    """128 equal keys; among mild decays some of −30, −300, −3000."""
    cell, rng, time = KINDS[name], np.random.default_rng(0), 128
    k = np.broadcast_to(np.ones(5) / np.sqrt(5), (time, 1, 5))
    log_d = -rng.uniform(0, 0.05, (time, 1, cell.decays))
    log_d[rng.choice(time, 6, replace=False)] = np.array([-30, -300, -3000] * 2).reshape(6, 1, 1)
    for g in (log_d, np.zeros_like(log_d)):
        v, q = rng.normal(size=(time, 1, 4)), rng.normal(size=(time, 1, 5))
        xs = np.concatenate([g, np.exp(g) * k, beta * k, k, beta * v, q], axis=-1).astype(np.float32)
        weights = rng.normal(size=(time, 1, 4))

        def loss(member, params, xs, weights=weights):
            return jnp.sum(member(cell, params, xs)[1] * weights.astype(xs.dtype))

        def run(member, dtype, loss=loss, xs=xs):
            params, xs = jnp.ones(6, dtype), jnp.asarray(xs, dtype)
            ys = quick_jit(lambda *args: member(cell, *args)[1])(params, xs)
            return host((ys, quick_jit(jax.grad(partial(loss, member), argnums=(0, 1)))(params, xs)))

        got, want = run(CHUNKS[64], jnp.float32), run(unroll, jnp.float64)
        for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
            assert a.dtype == np.float32
            assert np.abs(a - b).max() < 1e-4 * max(1, np.abs(b).max())


def test_memory_grows_with_the_values_and_not_with_the_states():
    """Four times the steps: less than K V more numbers for each further step, of a state of K V."""
    cell = GatedDelta(8, 1, 32, 32, conv=None)

    def temporary(time, member):
        params = jax.eval_shape(cell.init, jax.random.key(0))
        xs = jax.ShapeDtypeStruct((time, 1, 8), jnp.float32)
        gradient = jax.grad(lambda params, xs: jnp.sum(member(cell, params, xs)[1] ** 2))
        return quick_jit(gradient).lower(params, xs).compile().memory_analysis().temp_size_in_bytes

    def each_step(member):
        return (temporary(2048, member) - temporary(512, member)) / 1536 / 8

    assert each_step(CHUNKS[64]) < 32 * 32 / 2 < 32 * 32 < each_step(unroll)


def test_bad_arguments_are_named(without_beartype):
    cell = GatedDelta(3, 2, 4, 5)
    params, xs = cell.init(jax.random.key(0)), np.ones((4, 2, 3))
    for chunk in (0, 3, 48, -4, 2.0, True):
        with pytest.raises(ValueError, match=r"`chunk` must be a power of two.*got"):
            unroll_chunkwise(cell, params, xs, chunk=chunk)
    gru = GRU(3, 5)
    with pytest.raises(TypeError, match=r"`cell` must be linear in its carry.*got GRU.*unroll_newton"):
        unroll_chunkwise(gru, gru.init(jax.random.key(0)), xs)


@jax.tree_util.register_static
class Growing(Row):
    """d = e, written as a constant."""

    def coefficients(self, params, z):
        a, b = super().coefficients(params, z)
        return a._replace(log_d=np.ones(1)), b


def test_a_known_decay_that_lets_the_state_grow_is_named(without_beartype):
    with pytest.raises(ValueError, match=r"`log_d` must be at most 0.*got 1\.0"):
        unroll_chunkwise(Growing(2, 2), jnp.ones(6), np.ones((4, sum(Row(2, 2).sizes))))


@jax.tree_util.register_static
class Learned(Row):
    """A start that is learned."""

    def initial_carry(self, params, batch_shape=()):
        return jnp.broadcast_to(params[0], (*batch_shape, self.key_size, self.value_size))


def test_a_reset_to_a_matrix_that_is_not_zero_is_refused_and_runs_elsewhere(without_beartype):
    cell = Learned(2, 2)
    p = laws.random_problem(cell, x=jax.ShapeDtypeStruct((sum(cell.sizes),), np.float64))
    for run in (unroll_chunkwise, jax.jit(unroll_chunkwise)):
        with pytest.raises(ValueError, match=r"`reset` goes back to the initial carry.*must be 0.*unroll_associative"):
            run(cell, *p[:3], mask=p.mask, reset=p.reset)
    laws.law_members_agree(cell, p, unroll=unroll_associative)
    laws.law_members_agree(cell, p._replace(reset=None), unroll=CHUNKS[8])


def test_a_batch_may_have_no_rows():
    cell = GatedDelta(3, 2, 4, 5)
    p = laws.random_problem(cell, batch=(0,))
    _, ys = jax.eval_shape(partial(CHUNKS[2], cell), *p[:3], mask=p.mask, reset=p.reset)
    assert ys.shape == (6, 0, 10)
