"""Residual blocks around a cell, from which a deep sequence model is stacked.

    x ← x + W_o (RMSNorm(cell(RMSNorm(x))) ⊙ SiLU(W_g RMSNorm(x)))           `ResidualBlock`
    x ← x + W_d (SiLU(W_u RMSNorm(x)) ⊙ W_v RMSNorm(x))                       its gated MLP

A linear recurrence does not mix its states through a nonlinearity; the gates and the MLP around it do.  A block is a
cell: it runs step by step, and `jaxrnn.unroll_layers` runs it part by part.
`jaxrnn.unrolling.parallel.unroll_by_structure` runs each part by the fastest member of the family that it permits.  For
a convolution in front of the cell, use `Stack((ShortConv(size), cell))`.  `Normalize` after the last block gives the
read-out inputs of unit scale.

    Stack((ResidualBlock(cell, size, mlp=2 * size), ..., Normalize(size)))

Gu & Dao 2023, §3.4; De et al. 2024, "Griffin", §2; Beck et al. 2024, "xLSTM", §2.4.
"""

from jaxrnn.linear.blocks.normalization import Normalize, NormalizeParams
from jaxrnn.linear.blocks.residual import MLPParams, ResidualBlock, ResidualBlockParams
from jaxrnn.machines.plain_trees import register_records

__all__ = ["MLPParams", "Normalize", "NormalizeParams", "ResidualBlock", "ResidualBlockParams"]

register_records(__name__)
