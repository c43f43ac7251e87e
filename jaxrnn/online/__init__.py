"""Gradients forward in time: learning at every step, without storing the past.

    M⁽ᵗ⁾ = J⁽ᵗ⁾ M⁽ᵗ⁻¹⁾ + ∂f/∂θ⁽ᵗ⁾,   ∇_θ L⁽ᵗ⁾ = ∇_{h⁽ᵗ⁾} L⁽ᵗ⁾ M⁽ᵗ⁾        M = dh/dθ, the influence matrix

    RTRL    the full recursion: exact, units² × parameters operations per step
    SnAp    the n-step sparse part of M
    UORO    an unbiased estimate of M of rank one
    EProp   M without the recurrent products: one trace for each weight

Start with `RTRL` on a small cell and `run_online`, which runs any of them over a sequence and sums the gradients;
`jaxrnn.unrolling.TruncatedBPTT` has the same interface.

Chapter 2.2; Williams & Zipser 1989; Tallec & Ollivier 2018 (UORO); Menick et al. 2021 (SnAp); Bellec et al. 2020.
"""

from jaxrnn.machines.plain_trees import register_records
from jaxrnn.online.eprop import CutProducts, EProp
from jaxrnn.online.influence import OnlineRun, OnlineState, OnlineStep, run_online
from jaxrnn.online.rtrl import RTRL
from jaxrnn.online.snap import SnAp
from jaxrnn.online.uoro import UORO

__all__ = ["RTRL", "UORO", "CutProducts", "EProp", "OnlineRun", "OnlineState", "OnlineStep", "SnAp", "run_online"]

register_records(__name__)
