"""Generalized teacher forcing: a state that is pulled a little toward the data at every step.

    h̃⁽ᵗ⁻¹⁾ = (1 − α) h⁽ᵗ⁻¹⁾ + α d⁽ᵗ⁻¹⁾        for the first units, which represent the observed variables
    h⁽ᵗ⁾ = f(h̃⁽ᵗ⁻¹⁾, x⁽ᵗ⁾)

A network that reconstructs a chaotic system has to be chaotic, and its gradients then explode in the backward pass.
Every Jacobian of the forced run has the factor 1 − α in the observed units: with α = 1 − 1/σ, σ the largest singular
value of the free Jacobians, no product of them grows (`least_forcing`).  α = 1 is teacher forcing, where the network
never sees the effect of its own errors.  Lower α toward 0 during training.

A forced cell is a cell: `unroll_bptt` trains it.  Because its runs forget errors, `unroll_newton` computes all of its
steps in parallel with few updates, where the free chaotic run needs about one for each step.

References: Hess, Monfared, Brenner & Durstewitz 2023, "Generalized teacher forcing for learning chaotic dynamics"
(2306.04406), §3; chapter 2.3.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxrnn.core.arguments import check_key
from jaxrnn.core.carry_facts import CarryParts, carry_parts
from jaxrnn.core.checks import check_features, check_is_cell, check_positive, check_square
from jaxrnn.core.forwarding import forwarded
from jaxrnn.core.types import Carry, Cell, Key, Params


class ForcedParams(NamedTuple):
    """The cell's parameters, and α.

    >>> ForcedParams._fields
    ('cell', 'alpha')
    """

    cell: Params
    """The cell's own."""
    alpha: Float[Array, ""]
    """α: set it, and keep it out of the optimizer."""


@jax.tree_util.register_static
@dataclass(frozen=True)
class Forced:
    """A cell whose first units are pulled toward data before every step.

    Its inputs are the cell's own, followed by d⁽ᵗ⁻¹⁾: `jnp.concatenate([xs, series[:-1]], -1)` for a series to
    reconstruct, with `series[1:]` as the targets of the first units.

    Args:
      cell: a cell whose carry is one array h, with an `input_size`.
      observed: the number of observed units, which come first.
      alpha: the initial α, from 0, the free cell, to 1, teacher forcing; a parameter, `params.alpha`.

    Raises:
      TypeError: not a cell, or a cell with another carry.
      ValueError: an α outside 0 … 1; more observed units than units.

    >>> from jaxrnn import Elman, unroll
    >>> cell = Forced(Elman(1, 5), observed=2, alpha=1.0)
    >>> params, data = cell.init(jax.random.key(0)), jax.random.normal(jax.random.key(1), (7, 2))
    >>> xs = jnp.concatenate([jnp.zeros((7, 1)), data], axis=-1)
    >>> unroll(cell, params, xs)[1].shape
    (7, 5)

    References: Hess et al. 2023, equation 6.
    """

    cell: Any
    observed: int
    alpha: float = 0.1

    def __post_init__(self):
        check_is_cell(cell=self.cell)
        check_positive(observed=self.observed)
        if not 0 <= self.alpha <= 1:
            raise ValueError(f"`alpha` must lie in 0 … 1, 0 the free cell and 1 teacher forcing, got {self.alpha}.")

    @property
    def input_size(self) -> int:
        """The size of x and of d together."""
        return self.cell.input_size + self.observed

    def init(self, key: Key) -> ForcedParams:
        """Draw the parameters of the cell, and set α from the field."""
        check_key(key=key)
        params = self.cell.init(key)
        leaves = jax.tree.leaves(jax.eval_shape(self.cell.initial_carry, params))
        if len(leaves) != 1:
            raise TypeError(f"`cell` must carry one array h, which forcing pulls toward data, got {self.cell}.")
        if leaves[0].shape[-1] < self.observed:
            raise ValueError(f"`observed` must be at most the {leaves[0].shape[-1]} units, got {self.observed}.")
        return ForcedParams(params, jnp.asarray(self.alpha, float))

    initial_carry = forwarded(Cell.initial_carry, params="cell")

    def carry_parts(self, carry: Carry) -> CarryParts:
        """State what the cell states about its output; no array of the carry is constant."""
        return carry_parts(self.cell, carry)._replace(constants=())

    def project(self, params: ForcedParams, xs: Array) -> tuple[Any, Array]:
        """Return z⁽ᵗ⁾ of the cell, and d⁽ᵗ⁾, for every t."""
        check_features("xs", xs, input_size=self.input_size)
        own = self.cell.input_size
        return self.cell.project(params.cell, xs[..., :own]), xs[..., own:]

    def step(self, params: ForcedParams, carry: Carry, z: tuple[Any, Array]) -> tuple[Carry, Any]:
        """Pull h toward d, and run the cell's step."""
        (h,), structure = jax.tree.flatten(carry)
        z, d = z
        alpha = params.alpha.astype(h.dtype)
        drawn = (1 - alpha) * h[..., : self.observed] + alpha * d.astype(h.dtype)
        forced = jnp.concatenate([drawn, h[..., self.observed :]], axis=-1)
        return self.cell.step(params.cell, structure.unflatten([forced]), z)


def least_forcing(jacobians: Float[Array, "*any n n"]) -> Float[Array, ""]:
    """Return the least α with which no product of Jacobians of a run forced in all its units grows.

    Args:
      jacobians: of free steps along the data, such as `jaxrnn.dynamics.step_jacobians` of a run with α = 1.

    Returns:
      max(0, 1 − 1/σ), σ the largest singular value of all of them.

    Raises:
      ValueError: the matrices are not square.

    >>> round(float(least_forcing(jnp.diag(jnp.array([4.0, 0.5])))), 3)
    0.75

    References: Hess et al. 2023, proposition 2.
    """
    check_square("jacobians", jacobians)
    largest = jnp.max(jnp.linalg.svd(jacobians, compute_uv=False))
    return jnp.maximum(0, 1 - 1 / largest)
