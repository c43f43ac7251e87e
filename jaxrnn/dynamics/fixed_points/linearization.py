"""The network near its fixed points: modes, their time scales, and how an input drives them.

    f(h* + δ, x* + ε) ≈ h* + A δ + B ε,        A = ∂f/∂h,  B = ∂f/∂x at h*
    A R = R Λ,   L A = Λ L,   L R = I          right eigenvectors are columns of R, left ones rows of L

Along mode i a deviation evolves as λᵢᵗ in the direction Rᵢ.  An input moves mode i by Lᵢ B ε, so Lᵢ *selects* the part
of the input that the mode integrates.

    time constant    −1 / log |λᵢ| steps     negative where the mode grows, infinite on the unit circle
    frequency        |arg λᵢ| / 2π           cycles a step

A fixed point is *stable* if all |λ| < 1, *unstable* if all |λ| > 1, and a *saddle* if only some are.  It is *marginal*
if some |λ| is 1 within a margin and none is larger, as along a line of fixed points.

References: Sussillo & Barak 2013; Mante, Sussillo, Shenoy & Newsome 2013 (selection vectors); Strogatz 2015, §5.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Complex, Float, Int, PyTree, Shaped

from jaxrnn.core.pytrees import ravel_floating, unravel_floating
from jaxrnn.core.types import Carry, Cell, Params
from jaxrnn.dynamics.fixed_points.codes import Code
from jaxrnn.dynamics.fixed_points.search import checked_starts
from jaxrnn.dynamics.jacobians import next_state
from jaxrnn.dynamics.states import as_vectors


class Stability(Code):
    """The class of a fixed point.

    Args:
      value: 0 … 3.

    >>> Stability(2).name
    'SADDLE'

    References: Strogatz 2015, §5.2.
    """

    STABLE = 0
    MARGINAL = 1
    SADDLE = 2
    UNSTABLE = 3


class Modes(NamedTuple):
    """The linearization at each point, the largest |λ| first.

    >>> Modes._fields[:4]
    ('jacobian', 'input_jacobian', 'eigenvalues', 'right')
    """

    jacobian: Float[Array, "points n n"]
    """A[i, j] = ∂fᵢ/∂hⱼ."""
    input_jacobian: Float[Array, "points n inputs"]
    """B[i, j] = ∂fᵢ/∂xⱼ."""
    eigenvalues: Complex[Array, "points n"]
    """λ."""
    right: Complex[Array, "points n n"]
    """R: `right[p, :, i]` belongs to λᵢ and has length 1."""
    left: Complex[Array, "points n n"]
    """L = R⁻¹: `left[p, i]` belongs to λᵢ."""
    selection: Complex[Array, "points n inputs"]
    """L B: how much each input moves each mode."""
    time_constants: Float[Array, "points n"]
    """In steps."""
    frequencies: Float[Array, "points n"]
    """In cycles per step, from 0 to ½."""
    unstable: Int[Array, " points"]
    """The number of modes outside the unit circle."""
    stability: Int[Array, " points"]
    """A `Stability`."""


def linearize(
    cell: Cell,
    params: Params,
    x: PyTree[Shaped[Array, "..."]],
    points: Float[Array, "points n"],
    *,
    margin: float = 0.0,
) -> Modes:
    """Linearize a network at fixed points.

    Args:
      cell: any cell whose carry is all floating.
      params: its parameters.
      x: the constant input, `[features]`, or one for each point, such as `distinct(...).x`.
      points: states as vectors, such as `distinct(...).h`.
      margin: |λ| between 1 − margin and 1 + margin counts as 1.

    Returns:
      `Modes`.

    Raises:
      TypeError, ValueError: as `find`; points of another size; a margin outside 0 … 1.

    >>> from jaxrnn import Elman
    >>> from jaxrnn.cells import ElmanParams
    >>> turn = 0.9 * jnp.array([[0.0, 1.0], [-1.0, 0.0]])  # a quarter of a turn each step
    >>> cell, params = Elman(1, 2, "identity"), ElmanParams(jnp.ones((1, 2)), turn, jnp.zeros(2))
    >>> modes = linearize(cell, params, jnp.zeros(1), jnp.zeros((1, 2)))
    >>> modes.frequencies[0].tolist(), [round(t, 2) for t in modes.time_constants[0].tolist()]
    ([0.25, 0.25], [9.49, 9.49])

    References: Sussillo & Barak 2013; Mante et al. 2013.
    """
    if not 0 <= margin < 1:
        raise ValueError(f"`margin` must lie in 0 … 1, got {margin}.")
    carries = as_carries(cell, params, points)
    carries, x = checked_starts(cell, params, x, carries, least=0)
    return _linearize(cell, params, x, carries, margin)


def as_carries(cell: Cell, params: Params, points: Float[Array, "points n"]) -> Carry:
    """Return points as carries with a leading axis, or raise if the cell's state has another size.

    Args:
      cell: the cell.
      params: its parameters.
      points: states as vectors, `[points, n]`.

    Returns:
      Carries `[points, …]`; leaves that are not floating are those of the initial carry.

    Raises:
      ValueError: points of another size.

    >>> from jaxrnn import LSTM
    >>> cell = LSTM(input_size=3, hidden_size=5)
    >>> as_carries(cell, cell.init(jax.random.key(0)), jnp.ones((4, 10))).c.shape
    (4, 5)

    References: as `find`.
    """
    like = cell.initial_carry(params)
    size = as_vectors(like, 0).size
    if jnp.ndim(points) != 2 or jnp.shape(points)[-1] != size:
        raise ValueError(
            f"`points` must have shape [points, n] with the {size} numbers of a state, got {jnp.shape(points)}."
        )
    return jax.vmap(lambda h: unravel_floating(h, like))(points)


@partial(jax.jit, static_argnums=0)
def _linearize(cell, params, x, carries, margin) -> Modes:
    def at(carry, x):
        def f(h, inputs):
            return next_state(cell, params, carry, cell.project(params, unravel_floating(inputs, x)), h)

        a, b = jax.jacfwd(f, argnums=(0, 1))(as_vectors(carry, 0), ravel_floating(x))
        values, right = jnp.linalg.eig(a)
        order = jnp.argsort(-jnp.abs(values))
        values, right = values[order], right[:, order]
        left = jnp.linalg.inv(right)
        size = jnp.abs(values)
        grows, stays = size > 1 + margin, jnp.abs(size - 1) <= margin
        unstable = jnp.sum(grows)
        kind = jnp.where(
            unstable > 0, Stability.SADDLE, jnp.where(jnp.any(stays), Stability.MARGINAL, Stability.STABLE)
        )
        kind = jnp.where(jnp.all(grows), Stability.UNSTABLE, kind)
        frequencies = jnp.abs(jnp.angle(values)) / (2 * jnp.pi)
        return Modes(a, b, values, right, left, left @ b, -1 / jnp.log(size), frequencies, unstable, kind)

    return jax.vmap(at)(carries, x)


def selection_vectors(modes: Modes) -> Float[Array, "points n"]:
    """Return the selection vector of each point: the real part of the slowest mode's left eigenvector, of length 1.

    Args:
      modes: from `linearize`.

    Returns:
      The real part of the left eigenvector whose eigenvalue is nearest to 1, of length 1, `[points, n]`.  Its sign
      makes the largest entry of the right eigenvector positive.

    >>> from jaxrnn import Elman
    >>> from jaxrnn.cells import ElmanParams
    >>> w = jnp.array([[1.0, 0.0], [0.5, 0.2]])  # unit 1 is kept, and gets half of unit 2 (row vectors)
    >>> cell, params = Elman(2, 2, "identity"), ElmanParams(jnp.eye(2), w, jnp.zeros(2))
    >>> modes = linearize(cell, params, jnp.zeros(2), jnp.zeros((1, 2)))
    >>> [round(s, 3) for s in selection_vectors(modes)[0].tolist()]  # unit 2 counts 0.5 / (1 − 0.2) of unit 1
    [0.848, 0.53]

    References: Mante et al. 2013.
    """
    slowest = jnp.argmin(jnp.abs(modes.eigenvalues - 1), axis=-1)
    left = jnp.take_along_axis(modes.left, slowest[:, None, None], axis=1)[:, 0]
    right = jnp.take_along_axis(modes.right, slowest[:, None, None], axis=2)[:, :, 0]
    largest = jnp.argmax(jnp.abs(right), axis=-1)[:, None]
    # scaled so that the largest entry of the right eigenvector is real and positive
    vectors = jnp.real(left * jnp.take_along_axis(right, largest, axis=1))
    return vectors / jnp.linalg.norm(vectors, axis=-1, keepdims=True)
