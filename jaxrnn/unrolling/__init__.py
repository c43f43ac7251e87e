"""unrolling."""

from jaxrnn.unrolling.backpropagation import Gradients, bptt, unroll_bptt
from jaxrnn.unrolling.checkpointing import unroll_checkpointed
from jaxrnn.unrolling.layer_by_layer import unroll_layers
from jaxrnn.unrolling.scan import unroll, unroll_python
from jaxrnn.unrolling.summed_loss import unroll_loss
from jaxrnn.unrolling.truncation import TruncatedBPTT, TruncatedState, unroll_truncated

__all__ = [
    "Gradients",
    "TruncatedBPTT",
    "TruncatedState",
    "bptt",
    "unroll",
    "unroll_bptt",
    "unroll_checkpointed",
    "unroll_layers",
    "unroll_loss",
    "unroll_python",
    "unroll_truncated",
]
