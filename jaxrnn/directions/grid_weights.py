"""The weights of a cell on a grid, which reads the pixel, the state above and the state to the left.

    a_ij = b + U x_ij + W₁ h_{i−1,j} + W₂ h_{i,j−1}

References: Graves, Fernández & Schmidhuber 2007, §2; chapter 2.7.
"""

from typing import NamedTuple

from jaxtyping import Array, Float

from jaxrnn.core.checks import check_features
from jaxrnn.core.precision import add_bias, matmul


class GridParams(NamedTuple):
    """The matrices, transposed, because inputs are row vectors; gates side by side in the order that the cell states.

    >>> import jax
    >>> from jaxrnn.directions import Elman2D
    >>> Elman2D(3, 5).init(jax.random.key(0)).w_above.shape
    (5, 5)
    """

    u: Float[Array, "input gates_hidden"]
    """Uᵀ: from the pixel, `[input, gates·hidden]`."""
    w_above: Float[Array, "hidden gates_hidden"]
    """W₁ᵀ: from the state above."""
    w_left: Float[Array, "hidden gates_hidden"]
    """W₂ᵀ: from the state to the left."""
    b: Float[Array, " gates_hidden"]
    """b: `[gates·hidden]`."""


def project_pixels(params: GridParams, xs: Array, input_size: int) -> Array:
    """Return b + U x for every pixel: `[..., input]` → `[..., gates·hidden]`."""
    check_features("xs", xs, input_size=input_size)
    return add_bias(matmul(xs, params.u), params.b)


def summed_inputs(params: GridParams, above: Array, left: Array, z: Array) -> Array:
    """Return a_ij of the projected pixel and the states above and to the left."""
    return z + matmul(above, params.w_above) + matmul(left, params.w_left)
