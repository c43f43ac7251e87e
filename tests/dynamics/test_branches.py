"""Branches over a swept input, where the bifurcations are known; and the figures."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from matplotlib.figure import Figure

from jaxrnn import Elman
from jaxrnn.cells import ElmanParams
from jaxrnn.dynamics import trajectory
from jaxrnn.dynamics.fixed_points import (
    Bifurcation,
    distinct,
    draw_branches,
    draw_phase_portrait,
    draw_trajectories,
    find,
    follow,
    linearize,
)

CELL = Elman(1, 1)
PARAMS = ElmanParams(jnp.ones((1, 1)), jnp.array([[2.0]]), jnp.zeros(1))  # h ← tanh(2h + x)


@jax.tree_util.register_static
@dataclass(frozen=True)
class Map:
    """Maps of the text books, with their parameter as the input."""

    name: str

    def init(self, key):
        return jnp.ones(())

    def initial_carry(self, params, batch_shape=()):
        return jnp.full((*batch_shape, 2 if self.name == "delayed" else 1), 0.3)

    def project(self, params, xs):
        return xs

    def step(self, params, h, r):
        a, r = h[..., :1], r[..., :1]
        if self.name == "delayed":
            h = jnp.concatenate([r * a * (1 - h[..., 1:]), a], axis=-1)
        else:
            h = r * a * (1 - a) if self.name == "logistic" else a + r * a - a**3
        return h, h


def at(branches, kind):
    return branches.s[0][branches.bifurcation[0] == kind]


def test_a_branch_turns_back_at_both_folds_and_changes_its_stability_there():
    branches = follow(CELL, PARAMS, jnp.array([-1.0]), jnp.array([1.0]), jnp.array([[-0.995]]))
    fold = np.sqrt(2) - np.arctanh(np.sqrt(0.5))
    np.testing.assert_allclose(2 * at(branches, Bifurcation.FOLD) - 1, [fold, -fold], atol=2e-3)
    h, s, valid = branches.h[0, :, 0], branches.s[0], branches.valid[0]
    np.testing.assert_allclose(h[valid], jnp.tanh(2 * h + 2 * s - 1)[valid], atol=1e-9)
    np.testing.assert_array_equal(branches.unstable[0][valid], (jnp.abs(h) < np.sqrt(0.5))[valid])
    assert s[valid].max() > 0.95 and h[valid][-1] > 0.99 and not valid[-1]
    steps = np.hypot(np.diff(h[valid]), np.diff(s[valid]))
    assert steps.max() < 0.021


@pytest.mark.parametrize(
    ("name", "start", "end", "point", "kind", "expected"),
    [
        ("logistic", 2.5, 3.4, [0.6], Bifurcation.FLIP, 3.0),
        ("pitchfork", -0.5, 0.4, [0.0], Bifurcation.CROSSING, 0.0),
        ("delayed", 1.5, 2.2, [1 / 3, 1 / 3], Bifurcation.CIRCLE, 2.0),
    ],
)
def test_a_bifurcation_is_named_and_lies_where_it_must(name, start, end, point, kind, expected):
    branches = follow(Map(name), jnp.ones(()), jnp.array([start]), jnp.array([end]), jnp.array([point]), steps=80)
    (s,) = at(branches, kind)
    assert start + float(s) * (end - start) == pytest.approx(expected, abs=0.02)
    assert int((branches.bifurcation > 0).sum()) == 1


def test_what_is_no_fixed_point_begins_no_branch():
    branches = follow(CELL, PARAMS, jnp.array([-1.0]), jnp.array([1.0]), jnp.array([[np.nan], [-0.995]]), steps=5)
    assert branches.valid.tolist() == [[False] * 5, [True] * 5]


def test_wrong_arguments_are_named(without_beartype):
    call = (CELL, PARAMS, jnp.zeros(1), jnp.ones(1), jnp.zeros((1, 1)))
    for options, message in (
        ({"steps": 0}, "`steps` must be an integer"),
        ({"length": 0.0}, "`length` must be finite and above 0"),
        ({"tolerance": 1e-30}, "`tolerance` must be at least 2.2e-16, the rounding of float64"),
    ):
        with pytest.raises(ValueError, match=message):
            follow(*call, **options)
    with pytest.raises(ValueError, match="`cell` must have a state of 2 numbers"):
        draw_phase_portrait(CELL, PARAMS, jnp.zeros(1))
    with pytest.raises(ValueError, match="`low` must be below `high`"):
        draw_phase_portrait(Elman(1, 2), Elman(1, 2).init(jax.random.key(0)), jnp.zeros(1), low=(1, 0), high=(0, 1))


def test_the_figures_show_what_was_found():
    cell = Elman(2, 4)
    params = ElmanParams(jnp.ones((2, 4)), 2 * jnp.eye(4), jnp.zeros(4))
    run = trajectory(cell, params, jax.random.normal(jax.random.key(1), (20, 3, 2)))
    points = distinct(find(cell, params, jnp.zeros(2), run.after[-1]))
    modes = linearize(cell, params, points.x, points.h)
    assert len(points.h) and not len(linearize(cell, params, jnp.zeros(2), points.h[:0]).stability)
    for dimensions in (2, 3):
        figure = draw_trajectories(run.after, points, modes, dimensions=dimensions)
        assert isinstance(figure, Figure) and len(figure.axes[0].lines) >= 3
    with pytest.raises(ValueError, match="`trajectories` must have shape"):
        draw_trajectories(run.after[..., :3], points, modes)
    branches = follow(CELL, PARAMS, jnp.array([-1.0]), jnp.array([1.0]), jnp.array([[-0.995]]))
    figure = draw_branches(branches, jnp.ones(1))
    assert [text.get_text() for text in figure.axes[0].get_legend().get_texts()] == ["stable", "unstable", "fold"]
    for direction in (1, jnp.ones(2)):
        with pytest.raises(ValueError, match="`direction` must"):
            draw_branches(branches, direction)
