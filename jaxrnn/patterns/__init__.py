"""The wirings of 2.1 and 2.3: which outputs a network has, and what it feeds back.

    ManyToMany       an output at every step, recurrence between hidden units
    ManyToOne        one output after the last valid step
    OutputToHidden   recurrence only from the output, which can be trained in parallel
    Feedback         hidden recurrence, and the previous output as an input

Start with `ManyToMany(cell, readout)`: it has `init`, `logits`, `loss` and `predict`.  `teacher_forced` runs a network
with feedback on the true previous outputs, `scheduled_sampling` on a random mixture of the true ones and its own.
`Forced` pulls the state of any cell toward data, to reconstruct chaotic systems.

Chapter 2.1 and 2.3; Goodfellow et al. 2016, §10.2 and §10.2.1; Bengio et al. 2015; Hess et al. 2023.
"""

from jaxrnn.machines.plain_trees import register_records
from jaxrnn.patterns.feedback import Feedback, FeedbackCarry, FeedbackParams
from jaxrnn.patterns.generalized_forcing import Forced, ForcedParams, least_forcing
from jaxrnn.patterns.hidden_to_hidden import ManyToMany, ManyToOne, PatternParams, last_valid
from jaxrnn.patterns.output_to_hidden import OutputToHidden
from jaxrnn.patterns.teacher_forcing import FeedbackCell, scheduled_sampling, teacher_forced

__all__ = [
    "Feedback",
    "FeedbackCarry",
    "FeedbackCell",
    "FeedbackParams",
    "Forced",
    "ForcedParams",
    "ManyToMany",
    "ManyToOne",
    "OutputToHidden",
    "PatternParams",
    "last_valid",
    "least_forcing",
    "scheduled_sampling",
    "teacher_forced",
]

register_records(__name__)
