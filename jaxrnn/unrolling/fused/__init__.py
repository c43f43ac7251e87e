"""Fused kernels: all steps of an LSTM or a GRU over a block of rows in one GPU kernel.

`unroll_fused` is a member of the unroll family.  It uses Pallas kernels where the cell, the sizes and the device allow
them and the scan elsewhere, with the same values and first derivatives.
"""

from jaxrnn.machines.plain_trees import register_records
from jaxrnn.unrolling.fused.dispatch import unroll_fused

__all__ = ["unroll_fused"]

register_records(__name__)
