"""memory."""

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
