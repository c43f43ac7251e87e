"""Names for the integers in an array."""

import operator
from enum import IntEnum


class Code(IntEnum):
    """An integer with a name, which can be looked up by an element of an array.

    >>> import jax.numpy as jnp
    >>> from jaxrnn.dynamics.fixed_points import Stability
    >>> [Stability(k).name for k in jnp.array([0, 2])]
    ['STABLE', 'SADDLE']
    """

    @classmethod
    def _missing_(cls, value):
        # Python 3.12 and later find a member only by a value that has a hash, and JAX's arrays have none
        return None if isinstance(value, int) else cls(operator.index(value))
