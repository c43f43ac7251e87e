"""Constraints hold exactly: at initialization, after updates, combined, for every cell with a recurrent weight."""

import jax
import jax.numpy as jnp
import jax.test_util
import numpy as np
import optax
import pytest

from jaxrnn import GRU, LSTM, Elman, Leaky, Readout, Stack, unroll
from jaxrnn.cells import Jordan, ProjectedLSTM
from jaxrnn.cells.continuous import RateNetwork
from jaxrnn.constraints import (
    Areas,
    Bounded,
    Constraints,
    Dale,
    Factors,
    Fixed,
    LowRank,
    Mask,
    NoSelfConnections,
    Orthogonal,
    Sparse,
    gaussian_factors,
)
from jaxrnn.objectives import activity_penalty, weight_penalty
from jaxrnn.patterns import ManyToMany
from jaxrnn.reservoirs import spectral_radius

N, KEY = 10, jax.random.key(0)
CELLS = {
    "rate": RateNetwork(3, N, "relu"),
    "lstm": LSTM(3, N),
    "gru": GRU(3, N),
    "leaky": Leaky(Elman(3, N), 0.5),
}
AREAS = Areas((6, 4), ((1.0, 0.5), (0.2, 1.0)))


def recurrent(params):
    """Return the gates of the recurrent weight, `[gates, n, n]`."""
    w = getattr(params, "cell", params).w
    return np.stack(np.split(np.asarray(w), w.shape[-1] // N, axis=-1))


def updated(constraints, cell, raw, steps=3):
    """Return the raw parameters after a few steps of AdamW, with a large learning rate and decay."""
    optimizer, xs = optax.adamw(0.3, weight_decay=0.1), jax.random.normal(KEY, (5, 3))

    @jax.jit
    def step(raw, state):
        grads = jax.grad(lambda raw: jnp.sum(unroll(cell, constraints.apply(raw), xs)[1] ** 2))(raw)
        updates, state = optimizer.update(grads, state, raw)
        return optax.apply_updates(raw, updates), state, grads

    state = optimizer.init(raw)
    for _ in range(steps):
        raw, state, grads = step(raw, state)
    assert all(bool(jnp.isfinite(g).all()) for g in jax.tree.leaves(grads))
    return raw


@pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS)
def test_signs_masks_and_areas_hold_exactly_after_updates(cell):
    constraints = Constraints((Dale(0.8), NoSelfConnections(), AREAS))
    raw = constraints.init(KEY, cell.init(KEY))
    after = updated(constraints, cell, raw)
    for params in map(constraints.apply, (raw, after)):
        for w in recurrent(params):
            assert (w[:8] >= 0).all() and (w[8:] <= 0).all()
            assert (w[~AREAS.mask] == 0).all() and (np.diag(w) == 0).all()
            assert (w != 0).sum() == (AREAS.mask & ~np.eye(N, dtype=bool)).sum()
    assert not np.allclose(recurrent(constraints.apply(raw)), recurrent(constraints.apply(after)))


@pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS)
def test_the_start_is_balanced_and_has_the_radius_that_was_asked_for(cell):
    with jax.enable_x64(True):
        constraints = Constraints((Dale(0.8), NoSelfConnections(), Sparse(0.9)))
        raw = constraints.init(KEY, cell.init(KEY), radius=0.9)
        for w in recurrent(constraints.apply(raw)):
            assert abs(float(spectral_radius(jnp.asarray(w))) - 0.9) < 1e-10
            both = (w > 0).any(axis=0) & (w < 0).any(axis=0)
            np.testing.assert_allclose(w.sum(axis=0)[both], 0, atol=1e-12)
            assert both.sum() >= 7


@pytest.mark.parametrize("cell", [CELLS["rate"], CELLS["gru"]], ids=["rate", "gru"])
def test_low_rank_stays_low_rank_beside_other_constraints(cell):
    constraints = Constraints((LowRank(2), Bounded(-2.0, 3.0, at="b")))
    raw = updated(constraints, cell, constraints.init(KEY, cell.init(KEY), radius=0.7))
    params = constraints.apply(raw)
    assert np.linalg.matrix_rank(params.w) == 2 and isinstance(raw.w, Factors)
    assert ((params.b > -2) & (params.b < 3)).all()


def test_low_rank_has_the_radius_that_was_asked_for_and_the_eigenvalues_of_its_overlaps():
    with jax.enable_x64(True):
        constraints = Constraints((LowRank(2),))
        raw = constraints.init(KEY, CELLS["rate"].init(KEY), radius=0.7)
        w = constraints.apply(raw).w
        assert abs(float(spectral_radius(w)) - 0.7) < 1e-10
        largest = np.sort_complex(np.linalg.eigvals(w)[np.argsort(-np.abs(np.linalg.eigvals(w)))[:2]])
        np.testing.assert_allclose(largest, np.sort_complex(np.linalg.eigvals(raw.w.overlaps)), atol=1e-10)
        asked = jnp.array([[1.5, 0.5], [-0.5, 1.5]])
        factors = gaussian_factors(KEY, 40, asked)
        np.testing.assert_allclose(factors.overlaps, asked, atol=1e-12)


@pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS)
def test_orthogonal_weights_are_rotations_after_updates_in_every_gate(cell):
    constraints = Constraints((Orthogonal(),))
    raw = constraints.init(KEY, cell.init(KEY), radius=1.0)
    after = updated(constraints, cell, raw)
    for params in map(constraints.apply, (raw, after)):
        for w in recurrent(params).astype(np.float64):
            np.testing.assert_allclose(w @ w.T, np.eye(N), atol=1e-6)
            assert np.linalg.det(w) > 0
    assert not np.allclose(recurrent(constraints.apply(raw)), recurrent(constraints.apply(after)), atol=0.1)


def test_an_orthogonal_weight_is_orthogonal_to_1e_6_after_1000_updates_of_adam_in_float32():
    with jax.enable_x64(False):
        units, optimizer = 60, optax.adam(1e-2)
        constraints, target = Constraints((Orthogonal(),)), jax.random.normal(KEY, (units, units))

        def update(pair, _):
            raw, state = pair
            grads = jax.grad(lambda raw: jnp.sum((constraints.apply(raw).w - target) ** 2))(raw)
            updates, state = optimizer.update(grads, state, raw)
            return (optax.apply_updates(raw, updates), state), None

        raw = constraints.init(KEY, Elman(3, units).init(KEY))
        (after, _), _ = jax.lax.scan(update, (raw, optimizer.init(raw)), length=1000)
        before, w = (np.asarray(constraints.apply(each).w) for each in (raw, after))
        assert w.dtype == np.float32 and np.trace(w.T @ target) > np.trace(before.T @ target) + 100  # it learned
        np.testing.assert_allclose(w.T.astype(float) @ w, np.eye(units), atol=1e-6)


@pytest.mark.parametrize("angle", [0.0, 0.5])
def test_the_first_angles_of_an_orthogonal_weight_are_within_the_one_that_was_asked_for(angle):
    with jax.enable_x64(True):
        cell = Elman(3, 7)
        w = Constraints((Orthogonal(angle),)).apply(Constraints((Orthogonal(angle),)).init(KEY, cell.init(KEY))).w
        found = np.abs(np.angle(np.linalg.eigvals(w)))
        assert found.max() <= angle and (found > 1e-3).sum() == (6 if angle else 0)
        if angle == 0:
            np.testing.assert_array_equal(w, np.eye(7))


def test_the_gradient_through_the_exponential_is_that_of_finite_differences():
    with jax.enable_x64(True):
        raw, c = jax.random.normal(KEY, (3, 6)), jax.random.normal(jax.random.key(1), (3, 6))
        jax.test_util.check_grads(lambda raw: jnp.sum(c * Orthogonal().apply(jnp.asarray(raw))), (raw,), 2)


def test_time_constants_are_fixed_or_bounded_under_weight_decay():
    cell = RateNetwork(3, N, tau=(50.0, 100.0))
    for map_, within in ((Fixed((50.0, 100.0), "tau"), None), (Bounded(20.0, 200.0, "tau"), (20.0, 200.0))):
        constraints = Constraints((map_,))
        raw = constraints.init(KEY, cell.init(KEY))
        np.testing.assert_allclose(constraints.apply(raw).tau, [50.0, 100.0], rtol=1e-5)
        tau = constraints.apply(updated(constraints, cell, raw)).tau
        if within is None:
            assert tau.tolist() == [50.0, 100.0]
        else:
            assert tau.tolist() != [50.0, 100.0] and ((tau >= 20) & (tau <= 200)).all()


def test_whole_models_and_stacks_are_constrained_by_paths():
    model = ManyToMany(Stack((RateNetwork(3, 6), RateNetwork(6, N))), Readout(N, 2), "values")
    only_excitatory = np.repeat(np.arange(N)[:, None] < 8, 2, axis=1)
    maps = (Dale(0.8), Dale(1.0, at="cell.0.u"), Dale(1.0, at="v"), Mask.of(only_excitatory, at="readout.v"))
    constraints = Constraints(maps)
    params = constraints.apply(constraints.init(KEY, model.init(KEY)))
    lower, upper = params.cell
    assert (lower.w[:5] >= 0).all() and (lower.w[5:] <= 0).all() and (upper.w[8:] <= 0).all()
    assert (lower.u >= 0).all() and (upper.u < 0).any()
    assert (params.readout.v[8:] == 0).all() and (params.readout.v[:8] > 0).all()


def test_constraints_are_values():
    def count():
        return Constraints((Dale(0.8), Mask.of(np.eye(3, dtype=bool)), AREAS, Orthogonal(0.5)))

    assert count() == count() and hash(count()) == hash(count())
    assert "Mask.of(3×3, 33% connected" in repr(count())
    assert (AREAS.mask == Areas((6, 4), AREAS.densities).mask).all()


@pytest.mark.parametrize(
    "maps, cell, named",
    [
        (
            (Dale((1, 1, -1)),),
            CELLS["rate"],
            "`signs` must have one entry for each of the 10 rows of the weight, got 3",
        ),
        ((Dale(0.8, at="weight"),), CELLS["rate"], "must name a parameter, got 'weight'; there are u, w, b, tau"),
        ((Areas((3, 3), ((1.0, 1.0), (1.0, 1.0))),), CELLS["gru"], r"`w` must have shape \[6, gates·6\]"),
        ((LowRank(11),), CELLS["rate"], "`rank` must be at most 10"),
        ((Orthogonal(at="u"),), CELLS["rate"], r"`u` must have shape \[hidden, gates·hidden\], got \(3, 10\)"),
        ((Fixed((1.0, 2.0), "tau"),), CELLS["rate"], r"`value` must have the shape of `tau`, \(1,\), got 2"),
    ],
)
def test_constraints_that_do_not_fit_are_named(maps, cell, named):
    with pytest.raises(ValueError, match=named):
        Constraints(maps).init(KEY, cell.init(KEY))


@pytest.mark.parametrize(
    "make, named",
    [
        (lambda: Dale(1.2), "`signs` must be the fraction"),
        (lambda: Dale((1, 0)), "`signs` must be 1 or −1"),
        (lambda: Sparse(-0.1), "`density` must be a probability"),
        (lambda: Areas((3, 2), ((1.0,),)), "`densities` must be a table of 2 × 2"),
        (lambda: Bounded(2.0, 1.0, "tau"), "`low` must be below `high`"),
        (lambda: Orthogonal(3.2), "`angle` must be in"),
        (lambda: Mask.of(np.ones((2, 2))), "`mask` must be boolean"),
    ],
)
def test_fields_that_make_no_constraint_are_named(make, named):
    with pytest.raises(ValueError, match=named):
        make()


def test_a_radius_needs_a_square_weight_with_a_cycle():
    cell = RateNetwork(3, 4)
    upper = Mask.of(np.triu(np.ones((4, 4), bool), 1))
    with pytest.raises(ValueError, match="`radius` needs a network with a cycle"):
        Constraints((upper,)).init(KEY, cell.init(KEY), radius=1.0)
    with pytest.raises(ValueError, match="`radius` must be 1 or None for the orthogonal weight `w`"):
        Constraints((Orthogonal(),)).init(KEY, cell.init(KEY), radius=0.9)
    with pytest.raises(TypeError, match="raw"):
        Constraints((Dale(0.5), LowRank(1))).apply(cell.init(KEY))


def test_other_weights_are_constrained_too():
    for cell in (Jordan(3, N, 4), ProjectedLSTM(3, N, 4)):
        constraints = Constraints((Dale(0.5),))
        w = constraints.apply(constraints.init(KEY, cell.init(KEY))).w
        half = w.shape[0] // 2
        assert (w[:half] >= 0).all() and (w[half:] <= 0).all()


def test_penalties_ignore_padding_and_scale_as_means():
    rs = jnp.array([[[1.0, 3.0]], [[jnp.nan, 5.0]]])
    mask = jnp.array([[True], [False]])
    assert float(activity_penalty(rs, mask=mask)) == 5.0
    assert bool(jnp.isfinite(jax.grad(lambda r: activity_penalty(r, mask=mask))(rs)).all())
    assert float(weight_penalty((jnp.ones((2, 3)), jnp.full(4, 9.0)), power=1)) == 1.0
