"""Groups of units of equal size, each with one number: chapter 3.2.3, item 6.

    unit i of n, in g groups:  group ⌊i g / n⌋

g = 1 gives all units the same number, g = n gives each its own.
"""

import jax.numpy as jnp
from jaxtyping import Array, Shaped


def check_groups(name: str, groups: int, size: int) -> None:
    """Raise ValueError unless `groups` divides `size`."""
    if groups < 1 or size % groups:
        raise ValueError(f"`{name}` must have a number of entries that divides the {size} units, got {groups}.")


def spread(values: Shaped[Array, " groups"], size: int) -> Shaped[Array, " units"]:
    """Repeat the number of each group for its units: `[groups]` → `[size]`.

    >>> spread(jnp.array([0.0, 0.9]), 4).tolist()
    [0.0, 0.0, 0.8999999761581421, 0.8999999761581421]
    """
    return jnp.repeat(values, size // values.shape[0], total_repeat_length=size)
