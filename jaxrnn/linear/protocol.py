"""Cells that are linear in their carry, the property that allows a sequence to be computed in parallel.

    h⁽ᵗ⁾ = a⁽ᵗ⁾ h⁽ᵗ⁻¹⁾ + b⁽ᵗ⁾,        y⁽ᵗ⁾ = read(h⁽ᵗ⁾, z⁽ᵗ⁾)

with a and b functions of z⁽ᵗ⁾ = project(x⁽ᵗ⁾) and of θ, not of h.  Two such steps are again one,

    (a₂, b₂) ∘ (a₁, b₁) = (a₂ a₁, a₂ b₁ + b₂),

and ∘ is associative, so all h⁽ᵗ⁾ can be computed in O(log τ) rounds (`jaxrnn.unroll_associative`).

The carry is a tree, and each leaf of it has a coefficient of one of three kinds:

| leaf h | a | b | a h + b |
|---|---|---|---|
| an array | an array | an array | element by element |
| a `ComplexPair` | a `ComplexPair` | a `ComplexPair` | as complex numbers, which are two real arrays each |
| a matrix S | an `Erase` | an `Outer` | diag(d) S − w (uᵀ S) + k vᵀ (`jaxrnn.linear.matrix_state`) |

No array is complex, so optimizers, checkpoints and gradient norms need no support for complex numbers.

References: Blelloch 1990, §1.4; Martin & Cundy 2018, §2.
"""

from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree

from jaxrnn.core.precision import in_rank
from jaxrnn.core.types import Carry, Cell, Inputs, Params
from jaxrnn.linear.matrix_state import Dense, Erase, InTurn, MatrixCell, Outer, densify, erase, in_turn, recall, write
from jaxrnn.linear.stages import ONE_STEP, Staged


class ComplexPair(NamedTuple):
    """Complex numbers as two real arrays of one shape.

    >>> import jax.numpy as jnp
    >>> ComplexPair(re=jnp.zeros(2), im=jnp.ones(2)).im.tolist()
    [1.0, 1.0]
    """

    re: Array
    """The real parts."""
    im: Array
    """The imaginary parts."""


@runtime_checkable
class LinearCell(Cell, Protocol):
    """A cell whose step is h ← a h + b, y = read(h, z), with a and b that do not depend on h."""

    def coefficients(self, params: Params, z: Inputs) -> tuple[Carry, Carry]:
        """Map z⁽ᵗ⁾ to (a⁽ᵗ⁾, b⁽ᵗ⁾): trees like the carry; any leading axes, which a may lack."""
        ...

    def read(self, params: Params, carry: Carry, z: Inputs) -> Any:
        """Map (h⁽ᵗ⁾, z⁽ᵗ⁾) to y⁽ᵗ⁾; any leading axes."""
        ...


def linear_step(cell: Any, params: Params, carry: Carry, z: Inputs) -> tuple[Carry, Any]:
    """Run one step of a linear cell, from its `coefficients` and its `read`, or its `query` and `answer`.

    `step = linear_step` in the class of a cell is its whole step.

    Args:
      cell: the cell, with `coefficients` and `read`, or `query` and `answer`.
      params: its parameters.
      carry: h⁽ᵗ⁻¹⁾.
      z: z⁽ᵗ⁾, one step of what `project` returns.

    Returns:
      The new carry and the output.

    >>> import jax, jax.numpy as jnp
    >>> from jaxrnn.linear import MinGRU
    >>> cell = MinGRU(3, 5)
    >>> params = cell.init(jax.random.key(0))
    >>> z = cell.project(params, jnp.ones(3))
    >>> linear_step(cell, params, jnp.zeros(5), z)[1].shape
    (5,)
    """
    if isinstance(carry, Staged):
        first, z = cell.lead(params, carry.first, z, ONE_STEP)
        state, y = _linear_step(cell, params, carry.state, z)
        return Staged(first, state), y
    return _linear_step(cell, params, carry, z)


def _linear_step(cell, params, state, z):
    a, b = cell.coefficients(params, z)
    state = advance(a, b, state)
    return state, read_state(cell, params, state, z)


def read_state(cell: LinearCell | MatrixCell, params: Params, state: PyTree, z: Inputs) -> Any:
    """Return y⁽ᵗ⁾, given the state after the step; any leading axes."""
    if not isinstance(cell, MatrixCell):
        return cell.read(params, state, z)
    q = cell.query(params, z)
    r = jax.tree.map(lambda q, s: s if q is None else recall(s, q), q, state, is_leaf=lambda leaf: leaf is None)
    return cell.answer(params, r, z)


def advance(a: PyTree, b: PyTree, state: PyTree) -> PyTree:
    """Return a h + b, leaf by leaf; apply the updates of an `InTurn` one after the other."""

    def leaf(a, b, h):
        if isinstance(a, InTurn):
            for pair in in_turn(a, b):
                h = leaf(*pair, h)
            return h
        return plus(times(a, h), b)

    return jax.tree.map(leaf, a, b, state, is_leaf=is_coefficient)


def times(a: PyTree, h: PyTree) -> PyTree:
    """Return a h: elementwise, as complex numbers for a `ComplexPair`, and as a matrix product if a is a matrix.

    >>> i = ComplexPair(jnp.array(0.0), jnp.array(1.0))
    >>> times(i, i)
    ComplexPair(re=Array(-1., dtype=float32, weak_type=True), im=Array(0., dtype=float32, weak_type=True))
    """

    def leaf(a, h):
        if isinstance(a, ComplexPair):
            re, im = in_rank(a.re, h.re), in_rank(a.im, h.im)
            return ComplexPair(re * h.re - im * h.im, re * h.im + im * h.re)
        if isinstance(a, Erase):
            return erase(a, h)
        if isinstance(a, Dense):
            return Dense(_product(a.matrix, h.matrix)) if isinstance(h, Dense) else _product(a.matrix, h)
        return a * h

    return jax.tree.map(leaf, a, h, is_leaf=is_coefficient)


def _product(a: Array, b: Array) -> Array:
    return jnp.matmul(a, b, precision="highest")


def plus(h: PyTree, b: PyTree) -> PyTree:
    """Return h + b, where b may have an `Outer` for a matrix of h.

    >>> plus(jnp.zeros((2, 1)), Outer(jnp.array([1.0, 2.0]), jnp.array([3.0]))).tolist()
    [[3.0], [6.0]]
    """

    def leaf(b, h):
        return write(h, b) if isinstance(b, Outer) else jax.tree.map(jnp.add, h, b)

    return jax.tree.map(leaf, b, h, is_leaf=is_coefficient)


def dense(a: PyTree, b: PyTree) -> tuple[PyTree, PyTree]:
    """Return (a, b) with every `Erase` and `Outer` replaced by its matrix."""
    kinds, structure = jax.tree.flatten(a, is_leaf=is_coefficient)
    pairs = [
        densify(a, b) if isinstance(a, Erase | InTurn) else (a, b)
        for a, b in zip(kinds, structure.flatten_up_to(b), strict=True)
    ]
    return tuple(structure.unflatten([pair[i] for pair in pairs]) for i in (0, 1))


def conjugate(a: PyTree) -> PyTree:
    """Return the adjoint of a: a itself, its conjugate, or its transpose."""

    def leaf(a):
        if isinstance(a, ComplexPair):
            return ComplexPair(a.re, -a.im)
        return Dense(jnp.swapaxes(a.matrix, -1, -2)) if isinstance(a, Dense) else a

    return jax.tree.map(leaf, a, is_leaf=is_coefficient)


def ones(a: PyTree) -> PyTree:
    """Return the identity of `times` with the structure of a."""

    def leaf(a):
        if isinstance(a, ComplexPair):
            return ComplexPair(jnp.ones_like(a.re), jnp.zeros_like(a.im))
        if isinstance(a, Dense):
            return Dense(jnp.broadcast_to(jnp.eye(a.matrix.shape[-1], dtype=a.matrix.dtype), a.matrix.shape))
        return jax.tree.map(jnp.zeros_like if isinstance(a, Erase | InTurn) else jnp.ones_like, a)

    return jax.tree.map(leaf, a, is_leaf=is_coefficient)


def is_coefficient(tree) -> bool:
    """Return whether a value is one coefficient made of several arrays."""
    return isinstance(tree, ComplexPair | Erase | Outer | InTurn | Dense)
