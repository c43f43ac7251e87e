"""Running a cell over a sequence, and the gradient through time.

    (h⁽ᵗ⁾, y⁽ᵗ⁾) = f(h⁽ᵗ⁻¹⁾, x⁽ᵗ⁾; θ),        t = 1, …, τ

Every member of the family has one signature, `(cell, params, xs, carry=None, *, mask, reset, reverse)`, returns
`(carry, ys)`, and agrees with every other in values and gradients.  They differ in how the gradient is computed:

    unroll                `lax.scan`: the reference, differentiable to any order
    unroll_python         a Python loop, easy to read, the oracle of the others
    unroll_bptt           the explicit backward recursion of 2.2.2: the fast way to train
    unroll_checkpointed   recomputation: little memory on long sequences
    unroll_truncated      gradients cut every k steps
    unroll_loss           a summed loss whose outputs are never stored
    unroll_layers         a stack, layer after layer

Start with `unroll`; train with `unroll_bptt`.  `bptt` is the explicit pass itself, and returns ∇_{h⁽ᵗ⁾} L for every t.
`unrolling.parallel` computes all steps at once, `unrolling.fused` runs LSTM and GRU in one GPU kernel.

Chapter 一 and 2.2; Goodfellow et al. 2016, §10.1 and §10.2.2.
"""

from importlib import import_module

from jaxrnn.machines.plain_trees import register_records
from jaxrnn.unrolling.backpropagation import Gradients, bptt, unroll_bptt
from jaxrnn.unrolling.backpropagation_loop import bptt_python
from jaxrnn.unrolling.checkpointing import unroll_checkpointed
from jaxrnn.unrolling.layer_by_layer import unroll_layers
from jaxrnn.unrolling.scan import unroll, unroll_python
from jaxrnn.unrolling.summed_loss import unroll_loss
from jaxrnn.unrolling.truncation import TruncatedBPTT, TruncatedState, unroll_truncated


def __getattr__(name: str):
    """Import a nested namespace at its first use."""
    if name in ("fused", "parallel"):
        return import_module(f"jaxrnn.unrolling.{name}")
    raise AttributeError(f"module 'jaxrnn.unrolling' has no attribute {name!r}")


__all__ = [
    "Gradients",
    "TruncatedBPTT",
    "TruncatedState",
    "bptt",
    "bptt_python",
    "unroll",
    "unroll_bptt",
    "unroll_checkpointed",
    "unroll_layers",
    "unroll_loss",
    "unroll_python",
    "unroll_truncated",
]

register_records(__name__)
