"""A stack run by layers equals the stack run as one cell, with the projections outside the loop."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrnn import (
    GRU,
    LSTM,
    Dropout,
    Elman,
    MinGRU,
    Stack,
    mask_from_lengths,
    unroll,
    unroll_bptt,
    unroll_layers,
    with_noise,
)
from jaxrnn.cells.wrappers import Zoneout
from jaxrnn.linear import ShortConv
from jaxrnn.linear.blocks import Normalize, ResidualBlock
from jaxrnn.testing import loops
from jaxrnn.unrolling.parallel import unroll_by_structure

TIME, BATCH, INPUT = 5, 3, 3
XS = jax.random.normal(jax.random.key(0), (TIME, BATCH, INPUT))
NOISY = with_noise(jax.random.key(5), XS)
STACKS = {
    "three": (Stack((LSTM(INPUT, 4, "current"), Elman(4, 5), GRU(5, 2))), XS),
    "blocks": (
        Stack((ResidualBlock(Stack((ShortConv(INPUT, 2), MinGRU(INPUT, 4))), INPUT, mlp=2), Normalize(INPUT))),
        XS,
    ),
    "noisy": (Stack((Dropout(LSTM(INPUT, 4), 0.3), Elman(4, 5), Dropout(Zoneout(GRU(5, 2), 0.4), 0.5, "step"))), NOISY),
}


@pytest.mark.parametrize(
    ("name", "reverse", "run"),
    [
        ("three", False, unroll),
        ("three", True, unroll_bptt),
        ("noisy", True, unroll),
        ("noisy", False, unroll_bptt),
        ("blocks", False, unroll_by_structure),
        ("blocks", True, unroll),
    ],
)
def test_by_layers_is_as_one_cell_in_values_and_gradients(name, reverse, run):
    cell, _ = STACKS[name]
    params = cell.init(jax.random.key(1))
    carry = jax.tree.map(lambda a: a + 0.3, cell.initial_carry(params, (BATCH,)))
    mask = mask_from_lengths(jnp.array([5, 3, 0]), TIME)
    reset = jnp.zeros((TIME, BATCH), bool).at[2, :2].set(True)

    @jax.jit
    def both(params, x, carry):
        def loss(arguments, by_layers):
            params, x, carry = arguments
            x = NOISY._replace(x=x) if name == "noisy" else x
            options = {"mask": mask, "reset": reset, "reverse": reverse}
            if by_layers:
                out = unroll_layers(cell, params, x, carry, run=run, **options)
            else:
                out = unroll(cell, params, x, carry, **options)
            return sum(jnp.sin(leaf).sum() for leaf in jax.tree.leaves(out)), out

        return [jax.value_and_grad(loss, has_aux=True)((params, x, carry), by_layers) for by_layers in (True, False)]

    got, want = both(params, XS, carry)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-10), got, want)


def test_without_a_carry_each_layer_starts_from_its_own():
    cell, xs = STACKS["three"]
    params = cell.init(jax.random.key(1))
    got, want = unroll_layers(cell, params, xs), unroll(cell, params, xs)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-12), got, want)


def test_by_layers_only_the_product_with_h_is_left_in_each_loop():
    cell = Stack((GRU(INPUT, 4, "after"), GRU(4, 4, "after")))
    params = cell.init(jax.random.key(1))
    as_one_cell = loops(lambda p: unroll(cell, p, XS), params)
    by_layers = loops(lambda p: unroll_layers(cell, p, XS), params)
    assert [loop.dots for loop in as_one_cell] == [3 * 3]  # W₁h, U₂y, W₂h, each for r, z, n
    assert [loop.dots for loop in by_layers] == [3, 3]


def test_bad_arguments_are_named(without_beartype):
    cell = GRU(INPUT, 4)
    with pytest.raises(TypeError, match="`cell` must be a Stack"):
        unroll_layers(cell, cell.init(jax.random.key(0)), XS)
    stack = Stack((cell,))
    with pytest.raises(ValueError, match="`carry"):
        unroll_layers(stack, stack.init(jax.random.key(0)), XS, (jnp.zeros((2, 4)),))
    with pytest.raises(ValueError, match="`mask` must have shape"):
        unroll_layers(stack, stack.init(jax.random.key(0)), XS, mask=jnp.ones((TIME, 1), bool))
