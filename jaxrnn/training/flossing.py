"""Gradient flossing: Lyapunov exponents in the loss.

    F = (1/k) Σᵢ λᵢ²,        i = 1 … k,  λᵢ as in `jaxrnn.dynamics.lyapunov`

λᵢ is the mean of log |Rᵢᵢ⁽ᵗ⁾| along a run, with J⁽ᵗ⁾ Q⁽ᵗ⁻¹⁾ = Q⁽ᵗ⁾ R⁽ᵗ⁾, so it has a gradient through the run, the
Jacobians and the QR decompositions.  If the first k exponents are near 0, gradients neither vanish nor explode in k
directions over the length of the run.  Minimize F for some updates before training, and for a few more during training.

The gradient of a QR decomposition contains R⁻¹, so an exponent of −∞ has no gradient.  In that case use fewer
exponents, or weights that do not erase directions.

References: Engelken 2023, "Gradient flossing: improving gradient descent through dynamic control of Jacobians"
(2312.17306), equations 5 to 8.
"""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PyTree, Shaped

from jaxrnn.core.types import Carry, Cell, Params
from jaxrnn.dynamics.lyapunov import lyapunov_spectrum


def flossing_loss(
    cell: Cell,
    params: Params,
    xs: PyTree[Shaped[Array, "..."]],
    carry: Carry | None = None,
    *,
    count: int,
    target: float = 0.0,
    mask: Bool[Array, "..."] | None = None,
    skip: int = 0,
) -> Float[Array, ""]:
    """Return the mean square distance of the first Lyapunov exponents from a target.

    Args:
      cell: any cell.
      params: its parameters.
      xs: inputs `[time, *batch, input]`.
      carry: h⁽⁰⁾; None is the cell's initial carry.
      count: k, the number of exponents.
      target: the target of the exponents; 0 keeps the norm of gradients.
      mask: `[time, *batch]`; False where the step does not happen.
      skip: the number of steps at the start to ignore.

    Returns:
      The mean over the exponents and rows, which can be differentiated for `params`.

    Raises:
      TypeError, ValueError: as `lyapunov_spectrum`.

    >>> from jaxrnn import Elman
    >>> from jaxrnn.cells import ElmanParams
    >>> params = ElmanParams(jnp.zeros((1, 2)), jnp.diag(jnp.array([0.5, 0.5])), jnp.zeros(2))
    >>> loss = flossing_loss(Elman(1, 2, "identity"), params, jnp.zeros((50, 1)), count=2)
    >>> round(float(loss), 3), round(float(jnp.log(0.5) ** 2), 3)
    (0.48, 0.48)

    References: Engelken 2023, equation 5.
    """
    exponents = lyapunov_spectrum(cell, params, xs, carry, mask=mask, count=count, skip=skip)
    return jnp.mean((exponents - target) ** 2)
