"""A user's step or loss that is undefined at 0: no value of the padding reaches a gradient, not even NaN."""

from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array

from jaxrnn import (
    Readout,
    unroll,
    unroll_bptt,
    unroll_checkpointed,
    unroll_loss,
    unroll_newton,
    unroll_python,
    unroll_truncated,
)
from jaxrnn.online import RTRL, SnAp, run_online
from jaxrnn.testing import must_agree, random_problem
from jaxrnn.testing.problem import quick_jit
from jaxrnn.trees import Nodes, balanced_tree, pack, unroll_tree, unroll_tree_bpts


class UnitParams(NamedTuple):
    u: Array
    w: Array


@jax.tree_util.register_static
@dataclass(frozen=True)
class OfUnitInputs:
    """h = tanh(U x / |U x| + W h): undefined at x = 0."""

    input_size: int
    hidden_size: int

    def init(self, key):
        u, w = jax.random.split(key)
        shapes = (self.input_size, self.hidden_size), (self.hidden_size, self.hidden_size)
        return UnitParams(*(jax.random.normal(k, shape) for k, shape in zip((u, w), shapes, strict=True)))

    def initial_carry(self, params, batch_shape=()):
        return jnp.zeros((*batch_shape, self.hidden_size), params.w.dtype)

    def project(self, params, xs):
        z = xs @ params.u
        return z / jnp.linalg.norm(z, axis=-1, keepdims=True)

    def step(self, params, carry, z):
        h = jnp.tanh(z + carry @ params.w)
        return h, h


CELL = OfUnitInputs(3, 4)
LENGTHS = np.array([5, 3, 0])
MASK = np.arange(5)[:, None] < LENGTHS
MEMBERS = [
    unroll,
    unroll_bptt,
    unroll_checkpointed,
    unroll_newton,
    unroll_python,
    partial(unroll_truncated, k1=2, k2=4),
]


def problem():
    return random_problem(CELL, mask=MASK, reset=np.zeros_like(MASK), time=5, batch=(3,))


@pytest.mark.parametrize("member", MEMBERS, ids=lambda m: getattr(m, "__name__", "unroll_truncated"))
def test_a_step_that_is_undefined_at_zero_sends_nothing_back_from_padding(member):
    p = problem()

    @partial(quick_jit, static_argnames="member")
    def gradient(params, xs, mask, member):
        return jax.grad(lambda params, xs: jnp.vdot(member(CELL, params, xs, mask=mask)[1], p.dys), (0, 1))(params, xs)

    def row(b):
        length = LENGTHS[b]
        return gradient_of_row(p.params, p.xs[:length, b], p.dys[:length, b])

    @quick_jit
    def gradient_of_row(params, xs, dys):
        return jax.grad(lambda params, xs: jnp.vdot(unroll(CELL, params, xs)[1], dys), (0, 1))(params, xs)

    got = gradient(p.params, p.xs, MASK, member)
    if member in MEMBERS[:-1]:  # what truncation cuts is another gradient
        want = [row(b) for b in range(2)]
        dparams = jax.tree.map(lambda a, b: np.asarray(a) + np.asarray(b), want[0][0], want[1][0])
        dxs = np.zeros(p.xs.shape)
        for b in range(2):
            dxs[: LENGTHS[b], b] = want[b][1]
        must_agree(CELL, "padded = row by row", got, (dparams, dxs))
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(got))


@pytest.mark.parametrize("algorithm", [RTRL(CELL), SnAp(CELL, 9)], ids=["rtrl", "snap"])
def test_online_algorithms_keep_the_rule(algorithm):
    p = problem()

    @quick_jit
    def both(params):
        state = algorithm.init(params, p.xs[0])
        forwards = run_online(algorithm, params, state, p.xs, p.dys, jnp.vdot, mask=jnp.asarray(MASK)).gradient
        return forwards, jax.grad(lambda q: unroll_loss(CELL, q, p.xs, p.dys, jnp.vdot, mask=jnp.asarray(MASK))[1])(
            params
        )

    must_agree(CELL, "online = unroll_loss", *both(p.params))


@pytest.mark.parametrize("targets", ["floating", "integers"])
def test_a_loss_that_is_undefined_at_zero_sends_nothing_back_from_padding(targets):
    p, readout = problem(), Readout(4, 2)
    v = readout.init(jax.random.key(1))._replace(c=jnp.zeros(2))
    aims = p.dys[..., :2] if targets == "floating" else np.arange(15).reshape(5, 3) % 2

    def direction(v, y, target):
        o = readout.apply(v, y)
        o = o / jnp.linalg.norm(o)
        return -jnp.log(1.5 + o[target]) if targets == "integers" else 1 - jnp.dot(o, target)

    def padded(v, xs, aims, mask):
        return unroll_loss(CELL, p.params, xs, aims, partial(direction, v), mask=mask)[1]

    got = quick_jit(jax.grad(padded))(v, p.xs, aims, MASK)
    whole = [quick_jit(jax.grad(padded))(v, p.xs[:n, b], aims[:n, b], None) for b, n in enumerate(LENGTHS[:2])]
    want = jax.tree.map(lambda a, b: (5 * np.asarray(a) + 3 * np.asarray(b)) / 8, *whole)
    must_agree(CELL, "padded = row by row", got, want)
    none = quick_jit(jax.grad(padded))(v, p.xs, aims, np.zeros_like(MASK))
    assert all((np.asarray(leaf) == 0).all() for leaf in jax.tree.leaves(none))


@jax.tree_util.register_static
@dataclass(frozen=True)
class MeanOfChildren(OfUnitInputs):
    """h = tanh(U x / |U x| + W mean of the children): undefined without children, too."""

    arity = None

    def leaf(self, params, z):
        return z, z

    def step_tree(self, params, children, present, z):
        count = jnp.sum(present, axis=-1, keepdims=True)
        h = jnp.tanh(z + jnp.sum(jnp.where(present[..., None], children, 0), axis=-2) / count @ params.w)
        return h, h


@pytest.mark.parametrize("member", [unroll_tree, unroll_tree_bpts], ids=lambda m: m.__name__)
def test_a_tree_cell_that_is_undefined_at_zero_and_without_children_keeps_the_rule(member):
    cell, rng = MeanOfChildren(3, 4), np.random.default_rng(0)
    params = random_problem(CELL).params
    leaves, inner = rng.standard_normal((2, 4, 2, 3))
    trees = [balanced_tree(4), balanced_tree(2)]

    @quick_jit
    def gradient(params, forest, leaves, inner):
        return jax.grad(lambda params: jnp.sum(member(cell, params, forest, Nodes(leaves, inner))[0] ** 2))(params)

    got = gradient(params, pack(trees), leaves, inner)
    first = gradient(params, pack(trees[:1]), leaves[:, :1], inner[:, :1])
    second = gradient(params, pack(trees[1:]), leaves[:2, 1:], inner[:2, 1:])
    must_agree(cell, "a forest = tree by tree", got, jax.tree.map(lambda a, b: np.asarray(a) + b, first, second))
