"""Explicit memory: networks that read and write a memory by content and by position.

    w = softmax(β cos(k, M)),   interpolate, rotate, sharpen;   r = wᵀ M,   M ← M ⊙ (1 − w eᵀ) + w aᵀ

`NTM` is a cell: a controller and a memory with soft read and write heads.  `addressing` has the steps of its addressing
as functions, and `head_positions` shows where its heads were.  `MemoryNetwork` answers questions about a list of
sentences in several hops.

Chapter 八; Goodfellow et al. 2016, §10.12; Graves, Wayne & Danihelka 2014; Weston et al. 2015; Sukhbaatar et al. 2015.
"""

from jaxrnn.machines.plain_trees import register_records
from jaxrnn.memory.heads import head_positions
from jaxrnn.memory.memory_network import Answer, MemoryNetwork, MemoryNetworkParams, support_loss
from jaxrnn.memory.ntm import NTM, NTMCarry, NTMParams

__all__ = [
    "NTM",
    "Answer",
    "MemoryNetwork",
    "MemoryNetworkParams",
    "NTMCarry",
    "NTMParams",
    "head_positions",
    "support_loss",
]

register_records(__name__)
