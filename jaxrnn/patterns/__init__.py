"""patterns."""

from jaxrnn.patterns.feedback import Feedback, FeedbackCarry, FeedbackParams
from jaxrnn.patterns.hidden_to_hidden import ManyToMany, ManyToOne, PatternParams, last_valid
from jaxrnn.patterns.output_to_hidden import OutputToHidden
from jaxrnn.patterns.teacher_forcing import FeedbackCell, scheduled_sampling, teacher_forced

__all__ = [
    "Feedback",
    "FeedbackCarry",
    "FeedbackCell",
    "FeedbackParams",
    "ManyToMany",
    "ManyToOne",
    "OutputToHidden",
    "PatternParams",
    "last_valid",
    "scheduled_sampling",
    "teacher_forced",
]
