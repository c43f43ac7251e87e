"""Cells that are linear in their carry, and can therefore run in parallel over time.

    h⁽ᵗ⁾ = a⁽ᵗ⁾ ⊙ h⁽ᵗ⁻¹⁾ + b⁽ᵗ⁾,        a, b functions of x⁽ᵗ⁾ alone

The composition of two such steps is a step of the same kind, so all h⁽ᵗ⁾ are prefix products, and
`jaxrnn.unroll_associative` computes them in O(log τ) rounds.  `LinearCell` is the protocol: `coefficients` returns (a,
b) for all steps, `read` returns y.  Start with `MinGRU`, a gated cell, or with `LRU`, whose a are complex eigenvalues
inside the unit circle.  `LinearUnit` is an LSTM without its recurrent products.

In a `MatrixCell` (`jaxrnn.linear.matrix`) the state is a matrix S, a memory of associations.  Its a = diag(d) − w uᵀ
and b = k vᵀ are stored as vectors, and `jaxrnn.unrolling.parallel.unroll_chunkwise` computes the run by matrix
products.

`jaxrnn.linear.blocks` has residual blocks, from which deep models are stacked.

Chapter 3.1 (powers of one matrix); Feng et al. 2024 (minimal gates); Orvieto et al. 2023 (LRU).
"""

from importlib import import_module

from jaxrnn.linear.input_gates import InputGates
from jaxrnn.linear.linear_unit import LinearUnit
from jaxrnn.linear.lru import LRU, LRUParams
from jaxrnn.linear.mamba import Mamba, MambaParams
from jaxrnn.linear.matrix_state import Erase, InTurn, MatrixCell, Outer
from jaxrnn.linear.min_gru import MinGRU
from jaxrnn.linear.min_lstm import MinLSTM
from jaxrnn.linear.protocol import ComplexPair, LinearCell, linear_step
from jaxrnn.linear.rg_lru import RGLRU, RGLRUParams
from jaxrnn.linear.s5 import S5, S5Params
from jaxrnn.linear.short_conv import ShortConv, ShortConvParams
from jaxrnn.linear.stages import Staged, StagedCell
from jaxrnn.machines.plain_trees import register_records


def __getattr__(name: str):
    """Import a nested namespace at its first use."""
    if name in ("blocks", "matrix"):
        return import_module(f"jaxrnn.linear.{name}")
    raise AttributeError(f"module 'jaxrnn.linear' has no attribute {name!r}")


__all__ = [
    "LRU",
    "RGLRU",
    "S5",
    "ComplexPair",
    "Erase",
    "InTurn",
    "InputGates",
    "LRUParams",
    "LinearCell",
    "LinearUnit",
    "Mamba",
    "MambaParams",
    "MatrixCell",
    "MinGRU",
    "MinLSTM",
    "Outer",
    "RGLRUParams",
    "S5Params",
    "ShortConv",
    "ShortConvParams",
    "Staged",
    "StagedCell",
    "linear_step",
]

register_records(__name__)
