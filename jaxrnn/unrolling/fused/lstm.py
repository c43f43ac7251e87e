"""The LSTM gate by gate: chapter 7.1, as `jaxrnn.cells.lstm` has it."""

import jax.numpy as jnp

from jaxrnn.cells.lstm import LSTM
from jaxrnn.unrolling.fused.gates import Blocks, Gates, Weights, product, product_transposed, sigmoid


def lstm_gates(cell: LSTM) -> Gates:
    """Return the gates i, f, g, o; the record is (h⁽ᵗ⁻¹⁾, C⁽ᵗ⁻¹⁾, i, f, g, o)."""
    previous, current = (cell.peephole == kind for kind in ("previous", "current"))

    def step(weights: Weights, carry: Blocks, z: Blocks):
        h, c = carry
        i, f, g, o = (a + product(h, w) for a, w in zip(z, weights.w, strict=True))
        if weights.v:
            i, f = i + weights.v[0] * c, f + weights.v[1] * c
        if previous:
            o = o + weights.v[2] * c
        i, f, g = sigmoid(i), sigmoid(f), jnp.tanh(g)
        new_c = f * c + i * g
        if current:
            o = o + weights.v[2] * new_c
        o = sigmoid(o)
        return (o * jnp.tanh(new_c), new_c), (h, c, i, f, g, o)

    def step_bwd(weights: Weights, record, dcarry: Blocks, dy):
        _, c, i, f, g, o = record
        tanh_c = jnp.tanh(f * c + i * g)
        dh, dc = dcarry
        dh = dh + dy
        dao = dh * tanh_c * o * (1 - o)
        dc = dc + dh * o * (1 - tanh_c * tanh_c)
        if current:
            dc = dc + dao * weights.v[2]
        dz = dc * g * i * (1 - i), dc * c * f * (1 - f), dc * i * (1 - g * g), dao
        dc = dc * f
        if weights.v:
            dc = dc + dz[0] * weights.v[0] + dz[1] * weights.v[1]
        if previous:
            dc = dc + dao * weights.v[2]
        dh = sum(product_transposed(da, w) for da, w in zip(dz, weights.w, strict=True))
        return (dh, dc), dz

    return Gates(4, 6, lambda params: params.peephole, step, step_bwd)
