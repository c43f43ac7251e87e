"""Units in groups of equal size, each group with one number of its own: chapter, section 3.2.3, item 6.

    unit i of n, in g groups:  group ⌊i g / n⌋

g = 1 is one number for all units, g = n one for each.
"""

import jax.numpy as jnp
from jaxtyping import Array, Shaped


def check_groups(name: str, groups: int, size: int) -> None:
    """Raises ValueError unless `size` units make `groups` groups of one size."""
    if groups < 1 or size % groups:
        raise ValueError(f"`{name}` must have a number of entries that divides the {size} units, got {groups}.")


def spread(values: Shaped[Array, " groups"], size: int) -> Shaped[Array, " units"]:
    """The number of every unit's group: `[groups]` → `[size]`.

    >>> spread(jnp.array([0.0, 0.9]), 4).tolist()
    [0.0, 0.0, 0.8999999761581421, 0.8999999761581421]
    """
    return jnp.repeat(values, size // values.shape[0], total_repeat_length=size)
