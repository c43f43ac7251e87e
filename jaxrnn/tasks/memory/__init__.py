"""Tasks that need an explicit memory: copying and related algorithms, and questions about stories.

Start with `Copy`.  Chapter 八; Goodfellow et al. 2016, §10.12.
"""

from jaxrnn.tasks.memory.algorithms import PROBLEMS
from jaxrnn.tasks.memory.copy import Copy
from jaxrnn.tasks.memory.figures import draw_heads
from jaxrnn.tasks.memory.stories import Stories

__all__ = ["PROBLEMS", "Copy", "Stories", "draw_heads"]
