"""Read-outs and losses: from the states of a network to one number.

    o⁽ᵗ⁾ = c + V h⁽ᵗ⁾          `Readout`
    L = Σₜ L⁽ᵗ⁾,   L⁽ᵗ⁾ = −log ŷ⁽ᵗ⁾[y⁽ᵗ⁾],   ŷ = softmax(o)          `cross_entropy`

Every loss takes the logits o, never probabilities, and a mask; a masked step adds 0 to the loss and 0 to every
gradient.  Sums run in float32 at least.  Start with `cross_entropy` for symbols, `squared_error` for real numbers and
`bernoulli` for independent bits.  `gaussian`, `student_t` and `quantile` are losses for forecasts with uncertainty, and
`as_gaussian` and `as_student_t` read such outputs.  `activity_penalty` and `weight_penalty` are terms to add to a loss;
`bits_per_character` and `perplexity` convert a cross-entropy for reports.

Chapter 2.2 and 2.4; Goodfellow et al. 2016, §10.2.
"""

from jaxrnn.machines.plain_trees import register_records
from jaxrnn.objectives.distributions import Gaussian, StudentT, as_gaussian, as_student_t, gaussian, quantile, student_t
from jaxrnn.objectives.losses import (
    bernoulli,
    bits_per_character,
    cross_entropy,
    perplexity,
    sequence_log_probability,
    squared_error,
)
from jaxrnn.objectives.penalties import activity_penalty, weight_penalty
from jaxrnn.objectives.readout import Readout, ReadoutParams

__all__ = [
    "Gaussian",
    "Readout",
    "ReadoutParams",
    "StudentT",
    "activity_penalty",
    "as_gaussian",
    "as_student_t",
    "bernoulli",
    "bits_per_character",
    "cross_entropy",
    "gaussian",
    "perplexity",
    "quantile",
    "sequence_log_probability",
    "squared_error",
    "student_t",
    "weight_penalty",
]

register_records(__name__)
