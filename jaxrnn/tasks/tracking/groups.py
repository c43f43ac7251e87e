"""Permutation groups as tables: the word problem, the purest task of keeping track of a state.

    p⁽ᵗ⁾ = x⁽ᵗ⁾ ∘ p⁽ᵗ⁻¹⁾,     p⁽⁰⁾ = 1,     x⁽ᵗ⁾ an element of the group

A word is a sequence of elements, and the state after t steps is the product of the first t of them.  S₂ is parity.
S₃ and S₄ do not commute but are solvable; A₅ and S₅ are not, and their word problem is complete for NC¹ (Barrington
1989), beyond what a fixed number of layers with diagonal transitions can compute.

References: Barrington 1989; Merrill, Petty & Sabharwal 2024, "The illusion of state in state-space models", §5;
Goodfellow et al. 2016, §10.7 (long-term dependencies).
"""

import itertools
from functools import lru_cache

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from jaxrnn.core.checks import check_choice

GROUPS = {"parity": (2, False), "s3": (3, False), "s4": (4, False), "a5": (5, True), "s5": (5, False)}
"""name → the number of permuted items, and whether only even permutations count."""


@lru_cache
def multiplication_table(group: str) -> Int[np.ndarray, "order order"]:
    """Return the table of a permutation group.

    Args:
      group: "parity", "s3", "s4", "a5" or "s5".

    Returns:
      `table[g, h]`, the number of the element that does g and then h; 0 is the identity.

    Raises:
      ValueError: there is no such group.

    >>> multiplication_table("parity").tolist()
    [[0, 1], [1, 0]]
    >>> [len(multiplication_table(group)) for group in GROUPS]
    [2, 6, 24, 60, 120]

    References: Merrill, Petty & Sabharwal 2024, §5.
    """
    check_choice("group", group, tuple(GROUPS))
    degree, even = GROUPS[group]
    elements = [p for p in itertools.permutations(range(degree)) if not even or _is_even(p)]
    number = {p: i for i, p in enumerate(elements)}
    return np.array([[number[tuple(h[i] for i in g)] for h in elements] for g in elements], np.int32)


def products(table: Int[np.ndarray, "order order"], elements: Int[Array, "time *batch"]) -> Int[Array, "time *batch"]:
    """Return the product of all elements up to each step.

    Args:
      table: `multiplication_table` of the group.
      elements: the words, as numbers of elements.

    Returns:
      The products, as numbers of elements.

    >>> products(multiplication_table("parity"), jnp.array([1, 1, 0, 1])).tolist()
    [1, 0, 0, 1]

    References: Merrill, Petty & Sabharwal 2024, §5.
    """
    lookup = jnp.asarray(table)

    def step(product, element):
        product = lookup[product, element]
        return product, product

    return jax.lax.scan(step, jnp.zeros(elements.shape[1:], lookup.dtype), elements)[1]


def _is_even(permutation: tuple[int, ...]) -> bool:
    pairs = itertools.combinations(permutation, 2)
    return sum(a > b for a, b in pairs) % 2 == 0
