"""`unroll_associative` satisfies the laws of the unroll family; `linear_recurrence` is a bidiagonal solve."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from jaxrnn import GRU, LRU, MinGRU, unroll, unroll_associative
from jaxrnn import testing as laws
from jaxrnn.linear import ComplexPair, LinearCell, LinearUnit, MinLSTM
from jaxrnn.testing.host_trees import host
from jaxrnn.unrolling.parallel import Algebra, linear_recurrence, linear_recurrence_sharded
from jaxrnn.unrolling.parallel.time_axis import Cut, Whole
from tests.random_params import random_params
from tests.unrolling.laws_of_the_family import FAMILY

CELLS = {
    "min_gru": MinGRU(3, 5, "positive"),
    "min_lstm": MinLSTM(3, 5),
    "lru": LRU(3, 5, 4),
    "linear_unit": LinearUnit(3, 5),
}
linear_cell = pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS.keys())
LAWS = (laws.law_members_agree, laws.law_causality, *FAMILY)
CORE = (laws.law_members_agree, laws.law_padding_is_invisible, laws.law_episodes_are_independent)


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
def test_a_law_of_the_family_holds_for_complex_coefficients(law, without_beartype):
    law(CELLS["lru"], unroll=unroll_associative)


@linear_cell
@pytest.mark.parametrize("law", CORE, ids=lambda law: law.__name__)
def test_in_parallel_is_step_by_step(cell, law):
    law(cell, unroll=unroll_associative)


@pytest.fixture
def in_rounds(monkeypatch):
    """Solve recurrences by the associative scan, as every platform but the CPU does."""
    jax.clear_caches()
    monkeypatch.setattr(Whole, "recur", Cut.recur)
    yield
    jax.clear_caches()


@pytest.mark.parametrize("name", ["min_gru", "lru"])
@pytest.mark.parametrize("law", CORE, ids=lambda law: law.__name__)
def test_in_rounds_is_step_by_step(name, law, in_rounds):
    law(CELLS[name], unroll=unroll_associative)


def test_derivatives_in_rounds_are_finite_differences(in_rounds):
    laws.law_derivatives_are_finite_differences(CELLS["lru"], unroll=unroll_associative)


def test_a_cpu_solves_a_recurrence_by_a_loop_and_other_platforms_in_rounds():
    a, b = jnp.ones((64, 3)), jnp.ones((64, 3))
    for platform, loops in (("cpu", 1), ("tpu", 0)):
        program = jax.jit(lambda a, b: linear_recurrence(a, b, b[0])).trace(a, b).lower(lowering_platforms=(platform,))
        assert program.as_text().count("stablehlo.while") == loops


@pytest.mark.parametrize("name", ["min_gru", "lru"])
def test_both_modes_and_second_derivatives_are_finite_differences(name):
    laws.law_derivatives_are_finite_differences(CELLS[name], unroll=unroll_associative)


@linear_cell
def test_the_coefficients_do_not_depend_on_the_carry_and_make_the_step(cell):
    assert isinstance(cell, LinearCell)
    p = laws.random_problem(cell)
    x, carry = np.asarray(p.xs)[0], host(p.carry)
    once = jax.jit(lambda h, x: cell.step(p.params, h, cell.project(p.params, x))[0])
    at_zero, at_one, at_two = (host(once(jax.tree.map(lambda h, k=k: k * h, carry), x)) for k in (0, 1, 2))
    jax.tree.map(
        lambda o, a, b: np.testing.assert_allclose(b - a, a - o, atol=1e-14), at_zero, at_one, at_two
    )  # affine in h


def test_the_recurrence_is_the_solution_of_a_linear_system_of_matrices():
    """A NumPy loop is the oracle; matrices do not commute, so the order of the product shows."""
    rng = np.random.default_rng(0)
    a, b, start = rng.standard_normal((7, 2, 2)), rng.standard_normal((7, 2)), rng.standard_normal(2)
    matrices = Algebra(
        apply=lambda a, h: jnp.einsum("...ij,...j->...i", a, h),
        compose=jnp.matmul,
        adjoint=lambda a: jnp.swapaxes(a, -1, -2),
    )
    for reverse in (False, True):
        want, h = np.zeros_like(b), start
        for t in reversed(range(7)) if reverse else range(7):
            h = a[t] @ h + b[t]
            want[t] = h
        solve = partial(linear_recurrence, reverse=reverse, algebra=matrices)
        solve = jax.jit(solve)
        np.testing.assert_allclose(solve(a, b, start), want, atol=1e-12)
        check_grads(solve, (a, b, start), order=2, atol=1e-5, rtol=1e-5)


def test_no_round_of_the_scan_is_stored_for_the_gradient():
    """The backward pass stores a, h and their inputs, so its memory does not grow with log τ."""
    cell = CELLS["min_gru"]

    def kept(time):
        p = laws.random_problem(cell, time=time)
        _, vjp = jax.vjp(lambda params: unroll_associative(cell, params, p.xs)[1], p.params)
        return sum(leaf.size for leaf in jax.tree.leaves(vjp)) / time

    assert kept(512) < 1.05 * kept(64)


def test_a_gate_of_minlstm_far_from_zero_gives_no_nan():
    cell = CELLS["min_lstm"]
    p = laws.random_problem(cell)
    shut = p.params._replace(u=np.zeros_like(p.params.u), b=np.full(15, -1e4))
    gradient = jax.jit(jax.grad(lambda params: jnp.sum(unroll_associative(cell, params, p.xs)[1] ** 2)))(shut)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))


def test_the_eigenvalues_of_a_new_lru_lie_in_its_ring():
    cell = LRU(3, 200, 2, least_radius=0.4, largest_radius=0.7, largest_phase=1.0)
    params = jax.jit(cell.init)(jax.random.key(0))
    lam, _ = host(jax.jit(lambda params, x: cell.coefficients(params, cell.project(params, x)))(params, np.ones(3)))
    radius, phase = np.hypot(lam.re, lam.im), np.arctan2(lam.im, lam.re)
    assert ((radius > 0.4) & (radius < 0.7)).all() and radius.max() - radius.min() > 0.25
    assert ((phase > 0) & (phase < 1)).all()
    np.testing.assert_allclose(np.exp(params.gamma) ** 2, 1 - radius**2, atol=1e-6)


def test_the_lru_is_its_complex_equation():
    cell = CELLS["lru"]
    p = laws.random_problem(cell)
    params, n = jax.tree.map(np.asarray, p.params), 5
    lam = np.exp(-np.exp(params.nu) + 1j * np.exp(params.theta))
    b = params.b[:, :n] + 1j * params.b[:, n:]
    c = params.c[:n] - 1j * params.c[n:]
    h, want = np.asarray(p.carry.re) + 1j * np.asarray(p.carry.im), []
    for x in np.asarray(p.xs):
        h = lam * h + np.exp(params.gamma) * (x @ b)
        want.append((h @ c).real + x @ params.d)
    got, ys = host(unroll_associative(cell, p.params, p.xs, p.carry))
    np.testing.assert_allclose(ys, np.stack(want), atol=1e-12)
    np.testing.assert_allclose(got.re + 1j * got.im, h, atol=1e-12)


def test_in_float32_a_thousand_steps_round_no_worse_than_the_loop_does():
    cell = LRU(3, 5, 4, least_radius=0.99)
    p = laws.random_problem(cell, time=1000, batch=(2,))
    single = jax.tree.map(lambda a: a.astype(np.float32), host((p.params, p.xs)))
    exact = np.asarray(unroll(cell, *jax.device_put(jax.tree.map(lambda a: a.astype(np.float64), single)))[1])
    parallel, loop = (np.asarray(run(cell, *jax.device_put(single))[1]) for run in (unroll_associative, unroll))
    assert parallel.dtype == np.float32
    assert np.abs(parallel - exact).max() < 2 * np.abs(loop - exact).max() < 1e-2


@pytest.mark.parametrize(
    ("a", "b", "start", "message"),
    [
        ((3, 2), (4, 2), (2,), "`a` and `b` must be arrays .*with equal times"),
        ((), (), (), "`a` and `b` must be arrays"),
        ((4, 3), (4, 2), (2,), r"`a` must multiply `b`, of shapes \[\(4, 2\)\], .*got shapes \[\(4, 3\)\]"),
        ((4, 2, 2), (4, 2), (2,), "`a` must multiply `b`"),
        ((4, 2), (4, 2), (3,), r"`start` must have shape \(2,\), .*got \(3,\)"),
        ((4, 2), (4, 2), (), r"`start` must have shape \(2,\)"),
    ],
)
def test_a_recurrence_names_shapes_that_do_not_go_together(a, b, start, message, without_beartype):
    a, b, start = (np.ones(shape) for shape in (a, b, start))
    sharded = partial(linear_recurrence_sharded, mesh=jax.make_mesh((1,), ("time",)), axis="time")
    for solve in (linear_recurrence, sharded):
        with pytest.raises(ValueError, match=message):
            solve(a, b, start)
    with pytest.raises(ValueError, match="`start` must have the structure"):
        linear_recurrence(np.ones(4), np.ones(4), (0.0,))
    with pytest.raises(ValueError, match="`a` and `b` must be arrays"):
        linear_recurrence(None, None, None)


@pytest.mark.parametrize("of_mesh", [jax.sharding.AxisType.Auto, jax.sharding.AxisType.Explicit], ids=str)
def test_a_recurrence_on_a_mesh_is_the_recurrence_wherever_its_arrays_lie(of_mesh):
    mesh = jax.make_mesh((1,), ("time",), axis_types=(of_mesh,))
    a, b = np.random.default_rng(0).normal(size=(2, 6, 2))
    spread = jax.device_put((a, b), jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("time")))
    for steps in (jax.device_put((a, b)), spread):
        for reverse in (False, True):
            got = linear_recurrence_sharded(*steps, b[0], mesh=mesh, axis="time", reverse=reverse)
            want = linear_recurrence(a, b, b[0], reverse=reverse)
            np.testing.assert_allclose(np.asarray(got), want, rtol=0, atol=1e-12)


def test_bad_arguments_are_named(without_beartype):
    gru = GRU(3, 5)
    with pytest.raises(TypeError, match=r"`cell` must be linear in its carry.*got GRU.*unroll_newton"):
        unroll_associative(gru, random_params(gru), np.ones((4, 3)))
    with pytest.raises(ValueError, match="`least_radius` and `largest_radius` must be 0 ≤ least < largest ≤ 1"):
        LRU(3, 5, 4, least_radius=0.9, largest_radius=0.5)
    with pytest.raises(ValueError, match="`largest_phase` must lie above 0"):
        LRU(3, 5, 4, largest_phase=0.0)
    with pytest.raises(ValueError, match="`candidate` must be one of"):
        MinGRU(3, 5, "tanh")
    with pytest.raises(ValueError, match="`candidate` must be one of"):
        MinLSTM(3, 5, "tanh")
    with pytest.raises(ValueError, match="`hidden_size` must be an integer of at least 1"):
        LinearUnit(3, 0)


def test_a_pair_is_a_complex_number():
    a, h = (ComplexPair(*np.random.default_rng(i).normal(size=(2, 9, 5))) for i in (0, 1))
    got = host(jax.jit(linear_recurrence)(a, h, ComplexPair(np.ones(5), np.ones(5))))
    want, last = [], 1 + 1j
    for t in range(9):
        last = (a.re[t] + 1j * a.im[t]) * last + h.re[t] + 1j * h.im[t]
        want.append(last)
    np.testing.assert_allclose(got.re + 1j * got.im, np.stack(want), atol=1e-5)
