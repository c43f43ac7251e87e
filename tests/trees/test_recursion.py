"""One loop over all trees equals the recursion over each tree; chains and combs equal sequences."""

from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads
from jaxtyping import Array

from jaxrnn import LSTM, Elman, unroll
from jaxrnn.cells import ElmanParams, LSTMParams
from jaxrnn.testing import loops
from jaxrnn.testing.host_trees import host
from jaxrnn.testing.problem import quick_jit
from jaxrnn.trees import (
    ChildSumTreeLSTM,
    NaryTreeLSTM,
    Nodes,
    Tree,
    TreeAutodiffRules,
    TreeDeepSet,
    TreeElman,
    TreeError,
    balanced_tree,
    from_nested,
    pack,
    right_comb,
    unroll_tree,
    unroll_tree_bpts,
    unroll_tree_python,
)
from tests.random_params import random_params
from tests.trees.random_trees import random_tree, random_xs

INPUT, HIDDEN, ARITY = 2, 3, 3


class OwnParams(NamedTuple):
    u: Array
    missing: Array


class OwnState(NamedTuple):
    h: Array
    size: Array
    """The number of nodes below: integers, without a gradient."""


@jax.tree_util.register_static
@dataclass(frozen=True)
class Own:
    """A user's cell: the largest child, what stands for a missing one is learned, y is not the state."""

    arity = 2

    def init(self, key):
        return OwnParams(jax.random.normal(key, (INPUT, HIDDEN)), jnp.ones(HIDDEN) / 2)

    def initial_carry(self, params, batch_shape=()):
        h = jnp.broadcast_to(params.missing, (*batch_shape, HIDDEN))
        return OwnState(h, jnp.zeros(batch_shape, jnp.int32))

    def project(self, params, xs):
        return xs @ params.u

    def leaf(self, params, z):
        return OwnState(jnp.tanh(z), jnp.ones(z.shape[:-1], jnp.int32)), z

    def step_tree(self, params, children, present, z):
        h = jnp.tanh(z + children.h.max(-2) + 2 * children.h.min(-2))
        state = OwnState(h, 1 + (children.size * present).sum(-1))
        return state, h * h / state.size[..., None]


CELLS = {
    "elman": TreeElman(INPUT, HIDDEN, ARITY),
    "child_sum": ChildSumTreeLSTM(INPUT, HIDDEN),
    "nary": NaryTreeLSTM(INPUT, HIDDEN, 1 + ARITY),
    "deep_set": TreeDeepSet(INPUT, HIDDEN, inner_size=4),
    "autodiff_rules": TreeAutodiffRules(NaryTreeLSTM(INPUT, HIDDEN, ARITY)),
}
every_cell = pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS.keys())


def some_trees(arity=ARITY):
    rng = np.random.default_rng(4)
    return [random_tree(rng, leaves, arity) for leaves in (4, 1, 0, 3)]


TREES = some_trees()
FOREST = pack(TREES, inner=max(len(tree.children) for tree in TREES), width=2)


def gradients(run, params, xs, where=None):
    """Return the results, and the gradients of a weighted sum of all of them."""

    def loss(params, xs):
        out = run(params, xs)
        floating = [a for a in jax.tree.leaves(out) if jnp.issubdtype(a.dtype, jnp.floating)]
        return sum((jnp.cos(jnp.arange(a.size) + i) * a.ravel()).sum() for i, a in enumerate(floating)), out

    return jax.value_and_grad(loss, argnums=(0, 1), has_aux=True)(params, xs)


def all_close(got, want, atol=1e-12):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=atol), got, want)


@pytest.mark.parametrize(
    ("cell", "inner"),
    [*((cell, True) for cell in CELLS.values()), (CELLS["elman"], False)],
    ids=[*CELLS, "elman_leaves_only"],
)
def test_one_loop_is_the_recursion_in_values_and_gradients(cell, inner):
    @quick_jit
    def all_three(params, xs):
        want = gradients(lambda *a: unroll_tree_python(cell, a[0], TREES, a[1]), params, xs)
        return want, [gradients(partial(_swap, run, cell), params, xs) for run in (unroll_tree, unroll_tree_bpts)]

    want, got = all_three(random_params(cell), random_xs(1, FOREST, INPUT, inner=inner))
    for one in got:
        all_close(one, want)


def _swap(run, cell, params, xs):
    return run(cell, params, FOREST, xs)


def test_a_user_s_cell_with_a_learned_missing_child_and_a_state_of_several_kinds():
    cell, full = Own(), [from_nested(((1, (2, 3)), 4)), balanced_tree(1), Tree((), (), ())]
    forest = pack(full, inner=4, width=2)
    lame = [from_nested(((1, (2,)), (4,))), from_nested(((5,),)), Tree((), (), ())]  # second children miss
    sizes = {k: v for k, v in forest.shape._asdict().items() if k not in ("batch", "width")}

    @quick_jit
    def both(forest, params, xs):
        return [
            gradients(lambda *a, r=r: r(cell, a[0], forest, a[1]), params, xs) for r in (unroll_tree, unroll_tree_bpts)
        ]

    params, xs = random_params(cell), random_xs(2, forest, INPUT)
    got = both(forest, params, xs)
    all_close(got[1], got[0])
    all_close(got[0][0][1], unroll_tree_python(cell, params, full, xs))
    got = both(pack(lame, **{**sizes, "steps": 3}, width=2), params, xs)
    all_close(got[1], got[0])
    assert (got[0][1][0].missing != 0).all()


def test_what_stands_where_there_is_no_node_is_never_seen():
    cell, params = CELLS["nary"], random_params(CELLS["nary"])
    xs = random_xs(1, FOREST, INPUT)
    there = Nodes(FOREST.leaf, FOREST.place < FOREST.node.size)

    @quick_jit
    def both(params, xs):
        return [gradients(partial(_swap, run, cell), params, xs) for run in (unroll_tree, unroll_tree_bpts)]

    clean, there = jax.device_get((both(params, xs), there))
    for padding in (0.0, 1e6, jnp.nan, jnp.inf):
        dirty = jax.tree.map(lambda x, t, p=padding: np.where(t[..., None], x, p), host(xs), there)
        jax.tree.map(np.testing.assert_array_equal, both(params, dirty), clean)
    for (_, (carry, ys)), (_, dxs) in clean:
        for array, mask in zip((*ys, *dxs), (*there, *there), strict=True):
            assert (array[~mask] == 0).all() and (array[mask] != 0).any()
        np.testing.assert_array_equal(carry.h[2], 0)  # the tree without nodes


def test_a_node_that_is_not_finite_is_its_own_tree_s_affair():
    cell, params = CELLS["child_sum"], random_params(CELLS["child_sum"])
    xs = random_xs(1, FOREST, INPUT)
    leaves = np.array(xs.leaves)
    leaves[0, 0] = np.nan
    run = jax.jit(partial(_swap, unroll_tree, cell))
    (clean, _), (carry, ys) = (host(run(params, xs._replace(leaves=a))) for a in (xs.leaves, leaves))
    np.testing.assert_array_equal(carry.h[1:], clean.h[1:])
    assert np.isnan(carry.h[0]).all() and not np.isnan(ys.leaves[:, 1:]).any()


def test_the_width_of_a_step_changes_nothing():
    cell, params = CELLS["nary"], random_params(CELLS["nary"])
    xs = random_xs(1, FOREST, INPUT)
    sizes = {"inner": FOREST.shape.inner, "leaves": FOREST.shape.leaves}
    wanted = unroll_tree(cell, params, FOREST, xs)
    for width in (1, 7):
        all_close(unroll_tree(cell, params, pack(TREES, width=width, **sizes), xs), wanted)
    roomy = pack(TREES, width=2, arity=4, steps=FOREST.shape.steps + 3, **sizes)
    all_close(unroll_tree(cell, params, roomy, xs), wanted)


def test_order_matters_to_the_n_ary_cell_and_not_to_the_child_sum():
    xs = jax.device_put(np.random.default_rng(0).normal(size=(3, 1, INPUT)))
    same, other = (pack([Tree((order,), (0, 1, 2), (None,))]) for order in ((0, 1, 2), (2, 0, 1)))
    for cell, wanted in ((CELLS["child_sum"], True), (CELLS["nary"], False)):
        a, b = (unroll_tree(cell, random_params(cell), forest, xs)[0].h for forest in (same, other))
        assert np.allclose(a, b, atol=1e-12) == wanted


def chain(time: int) -> Tree:
    """Every node has one child: node t hangs on node t + 1, and the leaf is the first step."""
    return Tree(tuple((t,) for t in range(time - 1)), (0,), tuple(range(1, time)))


@pytest.mark.parametrize("cell", [ChildSumTreeLSTM(INPUT, HIDDEN), NaryTreeLSTM(INPUT, HIDDEN, 1)])
def test_on_a_chain_a_tree_lstm_is_the_lstm(cell):
    """Law 15, values and gradients: a right comb whose left children are the inputs."""
    time, line = 5, LSTM(INPUT, HIDDEN)
    forest = pack([chain(time)] * 2, inner=time - 1)
    xs = np.random.default_rng(0).normal(size=(time, 2, INPUT))

    def as_line(params):
        if isinstance(params, LSTMParams):
            return params
        i, g, o, f = jnp.split(params.w[0], 4, axis=-1)
        return LSTMParams(params.u, jnp.concatenate([i, f, g, o], axis=-1), params.b)

    def on_tree(params, xs):
        carry, ys = unroll_tree_bpts(cell, params, forest, Nodes(xs[:1], xs[1:]))
        return carry, jnp.concatenate([ys.leaves, ys.inner])

    @quick_jit
    def both(params, xs):
        return gradients(on_tree, params, xs), gradients(lambda p, x: unroll(line, as_line(p), x), params, xs)

    all_close(*both(random_params(cell), xs))


def test_a_right_comb_is_the_sequential_network():
    """Law 15: with W₁ = I a comb is Elman's network, which reads from the end and starts at the last leaf."""
    time, cell, line = 6, TreeElman(INPUT, HIDDEN), Elman(INPUT, HIDDEN)
    forest = pack([right_comb(time)], inner=time - 1)
    xs = np.random.default_rng(0).normal(size=(time, 1, INPUT))
    given = random_params(cell)

    def on_tree(weights, xs):
        u, w, b = weights
        params = given._replace(u=u, w=jnp.stack([jnp.eye(HIDDEN), w]), b=b)
        return unroll_tree_bpts(cell, params, forest, xs)[0]

    def on_line(weights, xs):
        u, w, b = weights
        start = xs[-1] @ u + b
        return unroll(line, ElmanParams(u, w, 2 * b), xs[:-1], start, reverse=True)[0]

    @quick_jit
    def both(weights, xs):
        return gradients(on_tree, weights, xs), gradients(on_line, weights, xs)

    all_close(*both((given.u, np.asarray(given.w)[1], given.b), xs))


@pytest.mark.parametrize(("leaves", "steps"), [(2, 1), (8, 3), (100, 7), (1024, 10)])
def test_the_depth_of_a_balanced_tree_is_the_logarithm_of_its_length(leaves, steps):
    """Section 5, item 3, in the program: one loop forwards and one backwards, of ⌈log₂ τ⌉ steps."""
    cell = TreeElman(INPUT, HIDDEN)
    params, forest = random_params(cell), pack([balanced_tree(leaves)] * 3, width="level")
    xs = jax.device_put(np.ones((forest.shape.leaves, 3, INPUT)))

    def steps_of(run):
        return [loop.length for loop in loops(run, params)]

    def run(params):
        return unroll_tree_bpts(cell, params, forest, xs)[0].sum()

    assert steps_of(run) == [steps] and steps_of(jax.grad(run)) == [steps, steps]
    assert steps_of(lambda p: unroll_tree(cell, p, forest, xs)) == [steps]
    comb = pack([right_comb(leaves)] * 3, leaves=len(xs), steps=leaves - 1)
    assert steps_of(lambda p: unroll_tree(cell, p, comb, xs)) == [leaves - 1]


@every_cell
def test_the_explicit_loop_carries_no_weights_and_multiplies_as_often_as_a_step(cell):
    shapes = {leaf.shape for leaf in jax.tree.leaves(random_params(cell))}
    params, xs = random_params(cell), random_xs(0, FOREST, INPUT)

    def loss(params):
        return jax.tree.leaves(unroll_tree_bpts(cell, params, FOREST, xs)[0])[0].sum()

    forwards, backwards = loops(jax.grad(loss), params)
    products = {CELLS["child_sum"]: 2, CELLS["deep_set"]: 3}.get(cell, 1)
    assert forwards.dots == products and backwards.reverse
    assert backwards.dots <= 2 * products and not shapes & set(backwards.carried)


def test_higher_derivatives_and_forward_mode():
    cell, tree = TreeElman(1, 2), pack([right_comb(3)])
    params, xs = random_params(cell), np.random.default_rng(0).normal(size=(3, 1, 1))

    @jax.jit
    def run(params, xs):
        return unroll_tree(cell, *jax.tree.map(jnp.asarray, (params, tree, xs)))[0]

    check_grads(run, (params, xs), order=2, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("sizes", "most"), [({}, 20), ({"leaves": 64, "inner": 64, "arity": 2, "steps": 64, "width": 32}, 1)]
)
def test_hundreds_of_different_batches_compile_a_handful_of_times(sizes, most):
    rng, traced = np.random.default_rng(0), []
    cell = TreeElman(INPUT, HIDDEN)
    params, trees = random_params(cell), [random_tree(rng, int(n), unary=False) for n in rng.integers(1, 64, 40)]

    @jax.jit
    def run(forest, xs):
        traced.append(forest.shape)
        out = jax.eval_shape(partial(unroll_tree, cell, params), forest, xs)  # its program, without compiling it
        return jnp.zeros(out[0].shape)

    for _ in range(300):
        forest = pack([trees[i] for i in rng.integers(0, len(trees), 8)], **sizes)
        run(forest, np.zeros((*forest.leaf.shape, INPUT)))
    assert 0 < len(traced) <= most


def test_a_batch_is_its_trees_alone_and_vmap_over_inputs_is_a_loop():
    cell, params = CELLS["nary"], random_params(CELLS["nary"])
    xs = random_xs(1, FOREST, INPUT)
    several = jax.tree.map(lambda x: np.stack([x, -x, 2 * x]), host(xs))
    run = partial(_swap, unroll_tree_bpts, cell, params)
    together, alone = host(jax.jit(jax.vmap(run))(several)), jax.jit(run)
    for n in range(3):
        one = alone(jax.tree.map(lambda x, n=n: x[n], several))
        all_close(jax.tree.map(lambda a, n=n: a[n], together), one)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@every_cell
def test_states_are_at_least_float32_and_gradients_have_the_parameters_dtype(cell, dtype):
    params = jax.tree.map(lambda a: a.astype(dtype), host(random_params(cell)))
    xs = jax.device_put(jax.tree.map(lambda a: a.astype(dtype), host(random_xs(0, FOREST, INPUT))))

    def loss(run, params):
        carry, ys = run(cell, params, FOREST, xs)
        return sum(a.sum() for a in jax.tree.leaves((carry, ys))), (carry, ys)

    for run in (unroll_tree, unroll_tree_bpts):
        gradient, out = jax.eval_shape(jax.grad(partial(loss, run), has_aux=True), params)
        assert {a.dtype for a in jax.tree.leaves(gradient)} == {jnp.dtype(dtype)}
        assert {a.dtype for a in jax.tree.leaves(out)} == {jnp.dtype("float32")}


def test_bad_arguments_are_named(without_beartype):
    cell = CELLS["nary"]
    params, xs = random_params(cell), random_xs(0, FOREST, INPUT)
    for run in (unroll_tree, unroll_tree_bpts):
        with pytest.raises(TypeError, match="`cell` must have arity, init, initial_carry, project, leaf and step_tree"):
            run(LSTM(INPUT, HIDDEN), params, FOREST, xs)
        with pytest.raises(ValueError, match="`params` must have the structure"):
            run(cell, params[:2], FOREST, xs)
        with pytest.raises(TypeError, match="`forest` must be a Forest, got list"):
            run(cell, params, TREES, xs)
        with pytest.raises(ValueError, match=r"\[leaves, batch, features\], here \[4, 4, …\], got"):
            run(cell, params, FOREST, xs.leaves[:3])
        with pytest.raises(ValueError, match=r"`xs` must have shape \[inner, batch, features\]"):
            run(cell, params, FOREST, xs._replace(inner=xs.inner[..., 0]))
        with pytest.raises(ValueError, match="`xs` must have trailing size input_size=2"):
            run(cell, params, FOREST, xs.leaves[..., :1])
        with pytest.raises(TypeError, match="`xs` must have a floating dtype"):
            run(cell, params, FOREST, xs.leaves.astype(int))
        wide = pack([balanced_tree(5), from_nested((1, 2, 3, 4, 5))])
        with pytest.raises(TreeError, match=r"`forest`, tree 1, has 5 children at a node; Nary.* takes at most 4"):
            run(cell, params, wide, np.ones((5, 2, INPUT)))
        with pytest.raises(TreeError, match="`forest` has room for 5 children at a node"):
            jax.eval_shape(lambda f, run=run: run(cell, params, f, np.ones((5, 2, INPUT))), wide)
    for make in (TreeElman, NaryTreeLSTM):
        for sizes in ((0, 1, 1), (1, 0, 1), (1, 1, 0)):
            with pytest.raises(ValueError, match="must be an integer of at least 1"):
                make(*sizes)
    with pytest.raises(ValueError, match="`hidden_size` must be an integer of at least 1"):
        ChildSumTreeLSTM(1, 0)
    with pytest.raises(ValueError, match="`activation` must be one of"):
        TreeElman(1, 1, 1, "sin")
