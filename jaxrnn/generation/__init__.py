"""generation."""

from jaxrnn.generation.beams import Beams, beam_search
from jaxrnn.generation.captioner import Captioner, CaptionerCarry, CaptionerParams
from jaxrnn.generation.decoding import PADDING, Sequences, greedy, sample, sample_scan
from jaxrnn.generation.generator import Generator, forced_outputs
from jaxrnn.generation.language_model import LanguageModel, LanguageModelParams, generate
from jaxrnn.generation.sampling import Greedy, Sampling, keep_top_k, keep_top_p, with_temperature
from jaxrnn.generation.stopping import Countdown, EndSymbol, PredictedLength, StopRule, StopUnit, log_likelihood
from jaxrnn.generation.symbol_model import SymbolModel, SymbolModelParams

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
    "LanguageModel",
    "LanguageModelParams",
    "PredictedLength",
    "Sampling",
    "Sequences",
    "StopRule",
    "StopUnit",
    "SymbolModel",
    "SymbolModelParams",
    "beam_search",
    "forced_outputs",
    "generate",
    "greedy",
    "keep_top_k",
    "keep_top_p",
    "log_likelihood",
    "sample",
    "sample_scan",
    "with_temperature",
]
