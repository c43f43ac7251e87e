"""The composition of children as a set, against its equations one child at a time."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrnn.testing.problem import quick_jit
from jaxrnn.trees import Nodes, TreeDeepSet, from_nested, pack, unroll_tree
from tests.random_params import random_params

INPUT, HIDDEN, INNER = 2, 3, 4
CELL = TreeDeepSet(INPUT, HIDDEN, INNER)
PARAMS = random_params(CELL)
RNG = np.random.default_rng(0)


def by_hand(params, children: list, x):
    """Compute h of one node from h of its children."""
    u, b = np.split(params.u, 2, axis=1), np.split(params.b, 2)
    total = np.zeros(INNER)
    for h in children:
        total += np.maximum(b[0] + x @ u[0] + h @ params.from_child, 0)
    v = np.maximum(b[1] + x @ u[1] + total @ params.from_set, 0) @ params.to_state
    return params.gain * (v - v.mean()) / np.sqrt(v.var() + 1e-5) + params.bias


@pytest.mark.parametrize("count", [0, 1, 2, 5])
def test_a_node_is_that_of_the_equations(count):
    children, x = jax.device_put((RNG.normal(size=(count, HIDDEN)), RNG.normal(size=INPUT)))
    params = jax.tree.map(np.asarray, PARAMS)
    z = CELL.project(PARAMS, x)
    h, y = CELL.step_tree(PARAMS, children, jnp.ones(count, bool), z) if count else CELL.leaf(PARAMS, z)
    np.testing.assert_allclose(h, by_hand(params, list(np.asarray(children)), np.asarray(x)), atol=1e-12)
    np.testing.assert_array_equal(h, y)


def test_the_order_of_the_children_changes_nothing():
    trees = [from_nested(((0, 1, 2), 3)), from_nested((3, (2, 0, 1)))]
    forest = pack(trees, inner=2)
    leaves = RNG.normal(size=(4, INPUT))
    inner = np.tile(RNG.normal(size=(2, 1, INPUT)), (1, 2, 1))
    xs = jax.device_put(Nodes(np.stack([leaves, leaves[[3, 2, 0, 1]]], axis=1), inner))
    roots, _ = quick_jit(lambda params, xs: unroll_tree(CELL, params, forest, xs))(PARAMS, xs)
    np.testing.assert_allclose(roots[0], roots[1], atol=1e-12)
