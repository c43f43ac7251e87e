"""Models of symbols, and sampling from them.

    P(y⁽¹⁾, …, y⁽τ⁾) = Πₜ P(y⁽ᵗ⁾ | y⁽¹⁾, …, y⁽ᵗ⁻¹⁾)

Start with `SymbolModel` (embedding, cell, read-out) and `sample`.  `greedy` takes the likeliest symbol at every step,
`beam_search` keeps the few most likely prefixes, and `Sampling` sets temperature, top-k and top-p.  The rule to stop is
a part of the model: `EndSymbol`, `StopUnit` and `PredictedLength` are the three ways of 2.6.  `Captioner` generates
from one input vector.

Chapter 2.5 and 2.6; Goodfellow et al. 2016, §10.2.3 and §10.2.4.
"""

from jaxrnn.generation.beams import Beams, beam_search
from jaxrnn.generation.captioner import Captioner, CaptionerCarry, CaptionerParams
from jaxrnn.generation.continuation import continue_sequence
from jaxrnn.generation.decoding import PADDING, Sequences, greedy, sample, sample_scan
from jaxrnn.generation.generator import Generator, forced_outputs
from jaxrnn.generation.sampling import Greedy, Sampling, keep_top_k, keep_top_p, with_temperature
from jaxrnn.generation.stopping import (
    Countdown,
    EndSymbol,
    NeverStop,
    PredictedLength,
    StopRule,
    StopUnit,
    log_likelihood,
)
from jaxrnn.generation.symbol_model import SymbolModel, SymbolModelParams
from jaxrnn.machines.plain_trees import register_records

__all__ = [
    "PADDING",
    "Beams",
    "Captioner",
    "CaptionerCarry",
    "CaptionerParams",
    "Countdown",
    "EndSymbol",
    "Generator",
    "Greedy",
    "NeverStop",
    "PredictedLength",
    "Sampling",
    "Sequences",
    "StopRule",
    "StopUnit",
    "SymbolModel",
    "SymbolModelParams",
    "beam_search",
    "continue_sequence",
    "forced_outputs",
    "greedy",
    "keep_top_k",
    "keep_top_p",
    "log_likelihood",
    "sample",
    "sample_scan",
    "with_temperature",
]

register_records(__name__)
