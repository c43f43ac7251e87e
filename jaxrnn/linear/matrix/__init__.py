"""Cells whose state is a matrix: linear attention with decay and with the delta rule.

Per head S ∈ R^{K×V}, a memory of associations between keys and values:

    S⁽ᵗ⁾ = diag(d) S⁽ᵗ⁻¹⁾ − w (uᵀ S⁽ᵗ⁻¹⁾) + k vᵀ,        r⁽ᵗ⁾ = S⁽ᵗ⁾ᵀ q

A cell here states d, u, w, k, v and q as functions of the input (`jaxrnn.linear.matrix_state`).  It then runs step by
step (`jaxrnn.unroll`), and in chunks of matrix products (`jaxrnn.unrolling.parallel.unroll_chunkwise`), with equal
results and gradients.
"""

from jaxrnn.linear.matrix.gated_delta import GatedDelta, GatedDeltaParams

__all__ = [
    "GatedDelta",
    "GatedDeltaParams",
]
