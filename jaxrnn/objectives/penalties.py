"""Penalties of firing rates and of weights, to be added to a loss.

    L_r = mean over valid steps and units of |r|ᵖ,            L_w = mean over the entries of all weights of |w|ᵖ

p = 2 keeps rates and weights small; p = 1 makes them sparse.  They are means, so that their factor does not depend on
the length of the trials or on the size of the network.  A penalty pulls; what must hold exactly is a constraint
(`jaxrnn.constraints`).

References: Sussillo, Churchland, Kaufman & Shenoy 2015 (penalties of rates and weights); Yang, Joglekar, Song, Newsome
& Wang 2019, §"Regularization"; Goodfellow et al. 2016, §7.1.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PyTree

from jaxrnn.core.arguments import as_array
from jaxrnn.core.checks import check_choice, check_steps
from jaxrnn.core.masks import valid_steps
from jaxrnn.core.precision import accumulator


def activity_penalty(
    rs: Float[Array, "..."], *, power: int = 2, mask: Bool[Array, "..."] | None = None
) -> Float[Array, ""]:
    """Return |r|ᵖ, averaged over units and valid steps.

    Args:
      rs: firing rates, or any activity, `[time, *batch, units]`.
      power: p, 1 or 2.
      mask: `[time, *batch]`, True on valid steps.

    Returns:
      A scalar, 0 if no step is valid.

    Raises:
      TypeError, ValueError: rates that are not a floating array, a mask of a wrong shape, another power.

    >>> float(activity_penalty(jnp.array([[1.0, -3.0]]))), float(activity_penalty(jnp.array([[1.0, -3.0]]), power=1))
    (5.0, 2.0)

    References: Sussillo, Churchland, Kaufman & Shenoy 2015.
    """
    rs = as_array("rs", rs, "firing rates")
    if not jnp.issubdtype(rs.dtype, jnp.floating) or rs.ndim < 1:
        raise TypeError(f"`rs` must be floating, [time, *batch, units], got {rs.dtype} of shape {rs.shape}.")
    check_choice("power", power, (1, 2))
    mask = check_steps("mask", mask, rs.shape[:-1], of="rs")
    rs = rs.astype(accumulator(rs.dtype))
    clean = rs if mask is None else jnp.where(mask[..., None], rs, 0)
    return jnp.sum(jnp.mean(jnp.abs(clean) ** power, axis=-1)) / valid_steps(mask, rs.shape[:-1])


def weight_penalty(params: PyTree, *, power: int = 2) -> Float[Array, ""]:
    """Return |w|ᵖ, averaged over the entries of all weights: of all arrays with two axes or more.

    Args:
      params: parameters, or a part of them, such as `params.w`.
      power: p, 1 or 2.

    Returns:
      A scalar, 0 if there are no weights.

    Raises:
      ValueError: another power.

    >>> from jaxrnn.cells import ElmanParams
    >>> params = ElmanParams(u=jnp.ones((1, 2)), w=3 * jnp.ones((2, 2)), b=jnp.ones(2))
    >>> round(float(weight_penalty(params)), 4), float(weight_penalty(params.w, power=1))
    (6.3333, 3.0)

    References: Yang, Joglekar, Song, Newsome & Wang 2019.
    """
    check_choice("power", power, (1, 2))
    weights = [leaf for leaf in jax.tree.leaves(params) if leaf.ndim >= 2]
    sums = [jnp.sum(jnp.abs(w.astype(accumulator(w.dtype))) ** power) for w in weights]
    return sum(sums, jnp.zeros(())) / max(1, sum(w.size for w in weights))
