"""Flax nnx in float32, to 1e-6: SimpleCell, LSTMCell, OptimizedLSTMCell and GRUCell, in and out."""

import jax
import numpy as np
import pytest
from flax import nnx

from jaxrnn import unroll
from jaxrnn.cells import LSTMCarry
from jaxrnn.convert import from_nnx, to_nnx, to_nnx_optimized
from tests.conformance.random_cases import BATCH, HIDDEN, INPUT, TIME, normal, random_like

CELLS = {
    "SimpleCell": (nnx.SimpleCell, to_nnx),
    "LSTMCell": (nnx.LSTMCell, to_nnx),
    "OptimizedLSTMCell": (nnx.OptimizedLSTMCell, to_nnx_optimized),
    "GRUCell": (nnx.GRUCell, to_nnx),
}
XS, H, C = (
    normal(k, *shape, dtype=np.float32) for k, shape in enumerate([(TIME, BATCH, INPUT)] + 2 * [(BATCH, HIDDEN)])
)


@pytest.mark.parametrize(("kind", "writer"), CELLS.values(), ids=CELLS)
def test_a_cell_is_ours_and_comes_back_bit_for_bit(kind, writer):
    cell = kind(INPUT, HIDDEN, rngs=nnx.Rngs(0))
    nnx.update(cell, random_like(nnx.state(cell, nnx.Param), seed=0))
    state = nnx.to_pure_dict(nnx.state(cell, nnx.Param))
    ours, params = from_nnx(state)
    two = "LSTM" in kind.__name__
    carry, ys = (C, H) if two else H, []
    for x in XS:
        carry, y = cell(carry, x)
        ys.append(y)
    found = unroll(ours, params, XS, LSTMCarry(H, C) if two else H)[1]
    np.testing.assert_allclose(found, np.stack(ys), rtol=0, atol=1e-6)
    other = kind(INPUT, HIDDEN, rngs=nnx.Rngs(1))
    nnx.update(other, writer(ours, params))
    back = nnx.to_pure_dict(nnx.state(other, nnx.Param))
    assert jax.tree.all(jax.tree.map(lambda a, b: np.array_equal(a, b), back, state))
