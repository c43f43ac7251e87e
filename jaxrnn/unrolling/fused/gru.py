"""The GRU gate by gate: chapter 7.2, as `jaxrnn.cells.gru` has it."""

import jax.numpy as jnp

from jaxrnn.cells.gru import GRU
from jaxrnn.unrolling.fused.gates import Blocks, Gates, Weights, product, product_transposed, sigmoid


def gru_gates(cell: GRU) -> Gates:
    """Return the gates r, z, n; the record is (h⁽ᵗ⁻¹⁾, r, z, n), and W h⁽ᵗ⁻¹⁾ + bₙ for a reset after the product."""
    return _after() if cell.reset == "after" else _before()


def _before() -> Gates:
    def step(weights: Weights, carry: Blocks, z: Blocks):
        (h,), (w_r, w_z, w_n) = carry, weights.w
        r, keep = sigmoid(z[0] + product(h, w_r)), sigmoid(z[1] + product(h, w_z))
        n = jnp.tanh(z[2] + product(r * h, w_n))
        return (keep * h + (1 - keep) * n,), (h, r, keep, n)

    def step_bwd(weights: Weights, record, dcarry: Blocks, dy):
        (h, r, keep, n), (w_r, w_z, w_n) = record, weights.w
        dh, dan, dak = _candidate_and_update(h, keep, n, dcarry[0] + dy)
        drh = product_transposed(dan, w_n)
        dar = drh * h * r * (1 - r)
        dh = dh + drh * r + product_transposed(dar, w_r) + product_transposed(dak, w_z)
        return (dh,), (dar, dak, dan)

    return Gates(3, 4, lambda params: None, step, step_bwd)


def _after() -> Gates:
    def step(weights: Weights, carry: Blocks, z: Blocks):
        (h,), (w_r, w_z, w_n), (b_n,) = carry, weights.w, weights.v
        r, keep = sigmoid(z[0] + product(h, w_r)), sigmoid(z[1] + product(h, w_z))
        hidden = product(h, w_n) + b_n
        n = jnp.tanh(z[2] + r * hidden)
        return (keep * h + (1 - keep) * n,), (h, r, keep, n, hidden)

    def step_bwd(weights: Weights, record, dcarry: Blocks, dy):
        (h, r, keep, n, hidden), (w_r, w_z, w_n) = record, weights.w
        dh, dan, dak = _candidate_and_update(h, keep, n, dcarry[0] + dy)
        dar = dan * hidden * r * (1 - r)
        dh = dh + product_transposed(dar, w_r) + product_transposed(dak, w_z) + product_transposed(dan * r, w_n)
        return (dh,), (dar, dak, dan)

    return Gates(3, 5, lambda params: params.b_n[None], step, step_bwd)


def _candidate_and_update(h, keep, n, dh):
    """Return ∇ of h⁽ᵗ⁻¹⁾ and of the pre-activations of n and z, through h⁽ᵗ⁾ = z ⊙ h⁽ᵗ⁻¹⁾ + (1 − z) ⊙ n."""
    return dh * keep, dh * (1 - keep) * (1 - n * n), dh * (h - n) * keep * (1 - keep)
