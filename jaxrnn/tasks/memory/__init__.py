"""Tasks that need an explicit memory: copying and its kin, questions about stories."""

from jaxrnn.tasks.memory.algorithms import (
    PROBLEMS,
    Episode,
    Problem,
    associative_recall,
    copy,
    n_grams,
    priority_sort,
    repeat_copy,
)
from jaxrnn.tasks.memory.copy import Copy
from jaxrnn.tasks.memory.figures import draw_attention, draw_heads
from jaxrnn.tasks.memory.stories import Stories
from jaxrnn.tasks.memory.story_world import Question, Story, World, story

__all__ = [
    "PROBLEMS",
    "Copy",
    "Episode",
    "Problem",
    "Question",
    "Stories",
    "Story",
    "World",
    "associative_recall",
    "copy",
    "draw_attention",
    "draw_heads",
    "n_grams",
    "priority_sort",
    "repeat_copy",
    "story",
]
