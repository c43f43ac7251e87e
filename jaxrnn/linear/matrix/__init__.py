"""Cells whose state is a matrix: linear attention with decay and with the delta rule.

Per head S ∈ R^{K×V}, a memory of associations between keys and values:

    S⁽ᵗ⁾ = diag(d) S⁽ᵗ⁻¹⁾ − w (uᵀ S⁽ᵗ⁻¹⁾) + k vᵀ,        r⁽ᵗ⁾ = S⁽ᵗ⁾ᵀ q

| cell | d | u | w | k, v |
|---|---|---|---|---|
| `GatedDelta(decay=None, erase=False)`: linear attention | 1 | 0 | 0 | k, v |
| `Retention`: RetNet | γ, fixed | 0 | 0 | rotated k, v |
| `GLA` | α ∈ R^K | 0 | 0 | k, v |
| `HGRN2` | α ∈ R^K | 0 | 0 | 1 − α, v |
| `Mamba2` | exp(Δ A), scalar | 0 | 0 | B, Δ x |
| `MLSTM` | f, scalar | 0 | 0 | i k, v |
| `GatedDelta(decay=None)`: DeltaNet | 1 | k | β k | k, β v |
| `GatedDelta` | α, scalar | α k | β k | k, β v |
| `GatedDelta(decay="unit")`: Kimi delta attention | α ∈ R^K | α ⊙ k | β k | k, β v |
| `RWKV7` | d ∈ R^K | κ̂ | a ⊙ κ̂ | k̃, v |
| `DeltaProduct`: n updates for each step | α, then 1 | kⱼ | βⱼ kⱼ | kⱼ, βⱼ vⱼ |

A cell defines d, u, w, k, v and q as functions of the input (`jaxrnn.linear.matrix_state`).  It then runs step by step
(`jaxrnn.unroll`) or in chunks of matrix products (`jaxrnn.unrolling.parallel.unroll_chunkwise`), with equal results
and gradients.
"""

from jaxrnn.linear.matrix.delta_product import DeltaProduct, DeltaProductParams
from jaxrnn.linear.matrix.gated_delta import GatedDelta, GatedDeltaParams
from jaxrnn.linear.matrix.gla import GLA, GLAParams
from jaxrnn.linear.matrix.hgrn2 import HGRN2, HGRN2Params
from jaxrnn.linear.matrix.mamba2 import Mamba2, Mamba2Params
from jaxrnn.linear.matrix.mlstm import MLSTM, MLSTMParams
from jaxrnn.linear.matrix.retention import Retention, RetentionParams
from jaxrnn.linear.matrix.rwkv7 import RWKV7, RWKV7Params
from jaxrnn.machines.plain_trees import register_records

__all__ = [
    "GLA",
    "HGRN2",
    "MLSTM",
    "RWKV7",
    "DeltaProduct",
    "DeltaProductParams",
    "GLAParams",
    "GatedDelta",
    "GatedDeltaParams",
    "HGRN2Params",
    "MLSTMParams",
    "Mamba2",
    "Mamba2Params",
    "RWKV7Params",
    "Retention",
    "RetentionParams",
]

register_records(__name__)
