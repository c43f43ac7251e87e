"""Random numbers for every leaf, and the comparison of two trees.

All sizes differ, so that a transposed matrix is an error; every weight, bias and initial state is random, so that
a swapped gate or a lost bias changes the result; and gradients are those of a random linear function of all
outputs and final states, so that no path through the network has weight 0 or 1.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from jaxrnn import unroll, unroll_bptt

TIME, BATCH, INPUT, HIDDEN = 5, 3, 4, 6
LENGTHS = jnp.array([3, 5, 1])
"""One length a row, unsorted; 1 is the shortest that every library accepts."""


def random_like(tree, seed: int):
    """Draw normal numbers of standard deviation 1/2 for every leaf of a tree of arrays or shapes."""
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda leaf: jnp.asarray(rng.normal(0, 0.5, leaf.shape), leaf.dtype), tree)


def normal(seed: int, *shape: int, dtype=jnp.float64):
    """One such array."""
    return random_like(jax.ShapeDtypeStruct(shape, dtype), seed)


def random_params(cell, seed: int, dtype=jnp.float64):
    """Random parameters of one of our cells, biases and peepholes too."""
    shapes = jax.eval_shape(cell.init, jax.random.key(0))
    return random_like(jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, dtype), shapes), seed)


def results_and_gradients(run, *args):
    """`run(*args)`, and the gradient of a random linear function of it with respect to every argument."""

    @jax.jit
    def compiled(*args):
        results, vjp = jax.vjp(run, *args)
        return results, vjp(random_like(results, seed=99))

    return compiled(*args)


def assert_close(ours, theirs, tolerance: float):
    """Assert equal structures and shapes, and all numbers within `tolerance`, absolute or relative; no NaN."""
    assert jax.tree.structure(ours) == jax.tree.structure(theirs)
    for (path, a), b in zip(jax.tree_util.tree_leaves_with_path(ours), jax.tree.leaves(theirs), strict=True):
        assert a.shape == b.shape, jax.tree_util.keystr(path)
        np.testing.assert_allclose(
            a, b, rtol=tolerance, atol=tolerance, equal_nan=False, err_msg=jax.tree_util.keystr(path)
        )


def assert_both_unrolls_agree(ours, theirs, problem, tolerance: float):
    """`ours(run, *problem)` has the values and the gradients of `theirs(*problem)`, by either unroll."""
    expected = results_and_gradients(theirs, *problem)
    for run in (unroll, unroll_bptt):
        assert_close(results_and_gradients(partial(ours, run), *problem), expected, tolerance)


def with_padding(xs, lengths, value: float):
    """`xs` with every step behind a row's length replaced by `value`."""
    return jnp.where((jnp.arange(xs.shape[0])[:, None] < lengths)[..., None], xs, value)


def any_nan(tree) -> bool:
    """Return whether any leaf has a NaN."""
    return any(bool(jnp.isnan(leaf).any()) for leaf in jax.tree.leaves(tree))
