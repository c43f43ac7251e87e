"""Cells that are linear in their carry, which is what a sequence can be computed by in parallel.

    h⁽ᵗ⁾ = a⁽ᵗ⁾ ⊙ h⁽ᵗ⁻¹⁾ + b⁽ᵗ⁾,        y⁽ᵗ⁾ = read(h⁽ᵗ⁾, z⁽ᵗ⁾)

with a and b functions of z⁽ᵗ⁾ = project(x⁽ᵗ⁾) and of θ, not of h.  Two such steps are again one,

    (a₂, b₂) ∘ (a₁, b₁) = (a₂ a₁, a₂ b₁ + b₂),

and ∘ is associative, so all h⁽ᵗ⁾ are had in ⌈log₂ τ⌉ rounds (`jaxrnn.unroll_associative`).

⊙ is element-wise.  A carry may also hold complex numbers, as `ComplexPair`s of real arrays: then ⊙ is the
product of complex numbers, which is that of the real 2×2 matrices [[re, −im], [im, re]].  No array is complex,
so optimizers, checkpoints and norms of gradients need not know.

References: Blelloch 1990, §1.4; Martin & Cundy 2018, §2.
"""

from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree

from jaxrnn.core.types import Carry, Cell, Inputs, Params


class ComplexPair(NamedTuple):
    """Complex numbers as two real arrays of one shape."""

    re: Array
    """The real parts."""
    im: Array
    """The imaginary parts."""


@runtime_checkable
class LinearCell(Cell, Protocol):
    """A cell whose step is h ← a ⊙ h + b, y = read(h, z), with a and b that do not depend on h."""

    def coefficients(self, params: Params, z: Inputs) -> tuple[Carry, Carry]:
        """z⁽ᵗ⁾ → (a⁽ᵗ⁾, b⁽ᵗ⁾), any leading axes: trees as the carry; a may lack the leading axes."""
        ...

    def read(self, params: Params, carry: Carry, z: Inputs) -> Any:
        """(h⁽ᵗ⁾, z⁽ᵗ⁾) → y⁽ᵗ⁾, any leading axes."""
        ...


def linear_step(cell: LinearCell, params: Params, carry: Carry, z: Inputs) -> tuple[Carry, Any]:
    """The `step` of a linear cell, from its `coefficients` and its `read`."""
    a, b = cell.coefficients(params, z)
    carry = jax.tree.map(jnp.add, times(a, carry), b)
    return carry, cell.read(params, carry, z)


def times(a: PyTree, h: PyTree) -> PyTree:
    """a ⊙ h: element by element, and as complex numbers where there are `ComplexPair`s.

    >>> i = ComplexPair(jnp.array(0.0), jnp.array(1.0))
    >>> times(i, i)
    ComplexPair(re=Array(-1., dtype=float32, weak_type=True), im=Array(0., dtype=float32, weak_type=True))
    """

    def leaf(a, h):
        if isinstance(a, ComplexPair):
            return ComplexPair(a.re * h.re - a.im * h.im, a.re * h.im + a.im * h.re)
        return a * h

    return jax.tree.map(leaf, a, h, is_leaf=_is_pair)


def conjugate(a: PyTree) -> PyTree:
    """What `times(a, ·)` is transposed to: a itself, conjugate where it is complex."""
    return jax.tree.map(lambda a: ComplexPair(a.re, -a.im) if _is_pair(a) else a, a, is_leaf=_is_pair)


def ones(a: PyTree) -> PyTree:
    """The 1 of `times`, like a."""

    def leaf(a):
        return ComplexPair(jnp.ones_like(a.re), jnp.zeros_like(a.im)) if _is_pair(a) else jnp.ones_like(a)

    return jax.tree.map(leaf, a, is_leaf=_is_pair)


def _is_pair(tree) -> bool:
    return isinstance(tree, ComplexPair)
