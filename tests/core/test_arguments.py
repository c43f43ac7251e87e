"""Errors name arguments of the wrong kind and what was probably meant; numbers of every type are accepted."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrnn import (
    GRU,
    Bidirectional,
    Dropout,
    EndSymbol,
    Readout,
    Stack,
    cross_entropy,
    last_valid,
    mask_from_lengths,
    squared_error,
    unroll,
    with_noise,
)
from jaxrnn.cells import LSTMCarry
from jaxrnn.cells.wrappers import DeepInput
from jaxrnn.patterns import Feedback
from jaxrnn.reservoirs import ridge
from jaxrnn.unrolling.fused import unroll_fused
from jaxrnn.unrolling.parallel import linear_recurrence
from tests.random_params import random_params

pytestmark = pytest.mark.usefixtures("without_beartype")

CELL = GRU(3, 4)
PARAMS = random_params(CELL)
XS = np.ones((5, 2, 3))
CARRY = LSTMCarry(np.ones((5, 2, 4)), np.ones((5, 2, 4)))
READOUT = Readout(4, 2)


@dataclass(frozen=True)
class Unregistered:
    def init(self, key):
        return ()

    def initial_carry(self, params, batch_shape=()):
        return jnp.zeros((*batch_shape, 3))

    def project(self, params, xs):
        return xs

    def step(self, params, carry, z):
        return z, z


@jax.tree_util.register_static
@dataclass(frozen=True)
class WithoutBatch(Unregistered):
    def initial_carry(self, params, batch_shape=()):
        return jnp.zeros(3)


WRONG = {
    "a carry for y": (lambda: READOUT.apply(random_params(READOUT), CARRY), "`ys` must be one array.*`ys.h` is meant"),
    "a pair for y": (lambda: READOUT.apply(random_params(READOUT), tuple(CARRY)), r"`ys` must be one array.*`ys\[0\]`"),
    "a carry for logits": (lambda: cross_entropy(CARRY, np.zeros((5, 2), int)), r"`logits.h` is meant"),
    "a carry for targets": (lambda: squared_error(CARRY.h, CARRY), r"`targets.h` is meant"),
    "a carry for xs": (lambda: unroll(GRU(4, 2), random_params(GRU(4, 2)), CARRY), r"`xs.h` is meant"),
    "a carry for hs": (lambda: ridge(CARRY, CARRY.h, 0.1), r"`hs.h` is meant"),
    "a carry for the outputs": (lambda: last_valid(CARRY), r"`ys.h` is meant"),
    "lengths for a mask": (lambda: unroll(CELL, PARAMS, XS, mask=np.array([3, 5])), "mask_from_lengths"),
    "a number for a key": (lambda: Stack((CELL, GRU(4, 2))).init(0), "`key` must come from jax.random.key"),
    "noise for a quiet cell": (lambda: unroll(CELL, PARAMS, with_noise(jax.random.key(0), XS)), "draws no noise"),
    "one step for a sequence": (lambda: unroll(CELL, PARAMS, XS[0], np.zeros((2, 4))), r"`xs` must have shape \[time"),
    "text for numbers": (lambda: linear_recurrence("a", np.ones(3), np.ones(())), "`a` must be an array of numbers"),
    "text for a penalty": (lambda: ridge(CARRY.h, CARRY.h, "1"), "`penalty` must be an array of numbers"),
    "no steps": (lambda: ridge(CARRY.h[:0], CARRY.h[:0], 0.1), "there is no solution"),
    "no valid step": (lambda: ridge(CARRY.h, CARRY.h, 0.1, mask=np.zeros((5, 2), bool)), "there is no solution"),
    "an unregistered cell": (lambda: unroll(Unregistered(), (), XS), "jax.tree_util.register_static"),
    "a carry without rows": (lambda: unroll(WithoutBatch(), (), XS), "`initial_carry` of .* batch_shape=\\(2,\\)"),
    "both directions in a stack": (lambda: Stack((Bidirectional(CELL, CELL),)), "BidirectionalStack"),
}


@pytest.mark.parametrize("act, said", WRONG.values(), ids=WRONG.keys())
def test_what_is_wrong_is_named_with_its_remedy(act, said):
    with pytest.raises((TypeError, ValueError), match=said):
        act()


def test_second_derivatives_of_the_kernels_name_the_members_that_have_them():
    def total(w):
        return unroll_fused(CELL, PARAMS._replace(w=w), jnp.asarray(XS, PARAMS.w.dtype))[1].sum()

    with pytest.raises(TypeError, match="`unroll_bptt` or `unroll`"):
        jax.grad(lambda w: jax.grad(total)(w).sum())(jnp.asarray(PARAMS.w, jnp.float32))


@pytest.mark.parametrize("number", [np.int64(2), jnp.int32(2), np.uint8(2)])
def test_integers_of_every_origin_are_taken(number):
    assert EndSymbol(number) == EndSymbol(2)
    np.testing.assert_array_equal(mask_from_lengths([1], number), [[True], [False]])


@pytest.mark.parametrize(
    "cell",
    [DeepInput(Dropout(GRU(4, 4), 0.2), (3, 4)), Feedback(Dropout(GRU(3 + 2, 4), 0.2), Readout(4, 2))],
    ids=["deep_input", "feedback"],
)
def test_a_cell_that_draws_does_so_inside_other_cells(cell):
    drawn = [unroll(cell, random_params(cell), with_noise(jax.random.key(k), XS))[1] for k in (0, 0, 1)]
    np.testing.assert_array_equal(drawn[0], drawn[1])
    assert (np.asarray(drawn[0]) != np.asarray(drawn[2])).any()
