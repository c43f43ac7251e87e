"""Every cell, the read-out and the losses run under `jax.numpy_rank_promotion("raise")`."""

import jax
import jax.numpy as jnp
import pytest

from jaxrnn import Readout, bernoulli, cross_entropy, squared_error, unroll, unroll_bptt
from jaxrnn.testing.problem import example_input
from tests.laws.cells import every_cell

TIME, BATCH = 4, 3
every_rank = pytest.mark.parametrize("batch", [(BATCH,), ()], ids=["batch", "one_row"])


def total(tree):
    """Return the sum of every floating array in a tree."""
    return sum(jnp.sum(leaf) for leaf in jax.tree.leaves(tree) if jnp.issubdtype(leaf.dtype, jnp.floating))


@every_cell
@every_rank
def test_every_cell_and_its_gradient_trace(cell, batch):
    x = example_input(cell)
    xs = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((TIME, *batch, *leaf.shape), leaf.dtype), x)
    steps = jax.ShapeDtypeStruct((TIME, *batch), bool)

    def loss(params, xs, mask, reset):
        return total(unroll_bptt(cell, params, xs, mask=mask, reset=reset))

    with jax.numpy_rank_promotion("raise"):
        params = jax.eval_shape(cell.init, jax.random.key(0))
        jax.eval_shape(lambda p, x, mask, reset: unroll(cell, p, x, mask=mask, reset=reset), params, xs, steps, steps)
        jax.eval_shape(jax.grad(loss), params, xs, steps, steps)


@pytest.mark.parametrize("loss", [cross_entropy, squared_error, bernoulli])
@every_rank
def test_the_read_out_and_every_loss_trace(loss, batch):
    readout, mask = Readout(5, 2), jax.ShapeDtypeStruct((TIME, *batch), bool)
    ys, targets = (jax.ShapeDtypeStruct((TIME, *batch, size), float) for size in (5, 2))

    def mean(params, ys, targets, mask):
        return loss(readout.apply(params, ys), targets, mask=mask)

    with jax.numpy_rank_promotion("raise"):
        params = jax.eval_shape(readout.init, jax.random.key(0))
        jax.eval_shape(jax.grad(mean), params, ys, targets, mask)


@every_rank
def test_the_cross_entropy_of_classes_traces(batch):
    logits, classes = jax.ShapeDtypeStruct((TIME, *batch, 2), float), jax.ShapeDtypeStruct((TIME, *batch), int)
    mask = jax.ShapeDtypeStruct((TIME, *batch), bool)
    with jax.numpy_rank_promotion("raise"):
        jax.eval_shape(jax.grad(lambda *args: cross_entropy(*args[:2], mask=args[2])), logits, classes, mask)
