"""The linear recurrent unit: a diagonal complex recurrence, stable by its parametrization.

    λ = exp(−exp(ν) + i exp(θ))                   |λ| < 1 whatever ν is
    h⁽ᵗ⁾ = λ ⊙ h⁽ᵗ⁻¹⁾ + exp(γ) ⊙ (B x⁽ᵗ⁾)           h complex, kept as a pair of real arrays
    y⁽ᵗ⁾ = Re(C h⁽ᵗ⁾) + D x⁽ᵗ⁾

Section 3.1 of the chapter gives the reason: in h⁽ᵗ⁾ = Wᵗ h⁽⁰⁾ only the eigenvalues of W matter, and the state vanishes
along those inside the unit circle and explodes along those outside.  Here the eigenvalues are the parameters, drawn in
a ring, and they cannot leave the circle.  Initially exp(γ) = √(1 − |λ|²), so that h has the variance of B x.

ν → `params.nu`, θ → `params.theta`, γ → `params.gamma`, (Re B, Im B)ᵀ → `params.b`, (Re C, −Im C)ᵀ → `params.c`,
Dᵀ → `params.d`.  Deviation: D is a matrix, as input and output may differ in size; the paper's is diagonal.

References: Orvieto et al. 2023, "Resurrecting recurrent neural networks for long sequences", §3.2 to §3.4.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxrnn.core.arguments import check_key
from jaxrnn.core.checks import check_features, check_positive
from jaxrnn.core.precision import accumulator, in_rank, matmul
from jaxrnn.core.types import Key
from jaxrnn.linear.protocol import ComplexPair, linear_step


class LRUParams(NamedTuple):
    """Real arrays only; a complex matrix is stored as its real part beside its imaginary part.

    >>> LRU(2, 3, 4).init(jax.random.key(0)).c.shape
    (6, 4)
    """

    nu: Float[Array, " hidden"]
    """ν: log of −log |λ|."""
    theta: Float[Array, " hidden"]
    """θ: log of the phase of λ."""
    gamma: Float[Array, " hidden"]
    """γ: log of the scale of the input."""
    b: Float[Array, "input two_hidden"]
    """(Re B, Im B)ᵀ: `[input, 2·hidden]`."""
    c: Float[Array, "two_hidden output"]
    """(Re C, −Im C)ᵀ: `[2·hidden, output]`."""
    d: Float[Array, "input output"]
    """Dᵀ."""


class LRUInput(NamedTuple):
    """The result of `project`."""

    drive: ComplexPair
    """exp(γ) ⊙ (B x): each `[..., hidden]`."""
    skip: Array
    """D x: `[..., output]`."""


@jax.tree_util.register_static
@dataclass(frozen=True)
class LRU:
    """h⁽ᵗ⁾ = λ ⊙ h⁽ᵗ⁻¹⁾ + exp(γ) ⊙ (B x⁽ᵗ⁾), y⁽ᵗ⁾ = Re(C h⁽ᵗ⁾) + D x⁽ᵗ⁾.

    Args:
      input_size: the size of x.
      hidden_size: the number of complex numbers in h.
      output_size: the size of y.
      least_radius, largest_radius: the ring in which λ is drawn, 0 ≤ least < largest ≤ 1; near 1 for long memories.
      largest_phase: λ's phase is drawn between 0 and this; small for long, slow sequences.

    Raises:
      ValueError: a size below 1, or an empty ring.

    >>> cell = LRU(input_size=3, hidden_size=5, output_size=2)
    >>> params = cell.init(jax.random.key(0))
    >>> h, y = cell.step(params, cell.initial_carry(params), cell.project(params, jnp.ones(3)))
    >>> h.re.shape, y.shape
    ((5,), (2,))

    References: Orvieto et al. 2023.
    """

    input_size: int
    hidden_size: int
    output_size: int
    least_radius: float = 0.0
    largest_radius: float = 1.0
    largest_phase: float = 2 * math.pi

    def __post_init__(self):
        check_positive(input_size=self.input_size, hidden_size=self.hidden_size, output_size=self.output_size)
        if not 0 <= self.least_radius < self.largest_radius <= 1:
            ring = self.least_radius, self.largest_radius
            raise ValueError(f"`least_radius` and `largest_radius` must be 0 ≤ least < largest ≤ 1, got {ring}.")
        if not 0 < self.largest_phase <= 2 * math.pi:
            raise ValueError(f"`largest_phase` must lie above 0 and be at most 2π, got {self.largest_phase}.")

    def init(self, key: Key) -> LRUParams:
        """Draw λ evenly over the ring; B, C and D normal, of variance 1 / fan-in."""
        check_key(key=key)
        radius, phase, b, c, d = jax.random.split(key, 5)
        n, inside = self.hidden_size, {"minval": 1e-6, "maxval": 1 - 1e-6}  # neither λ = 0 nor |λ| = 1
        low, high = self.least_radius**2, self.largest_radius**2
        squared = low + (high - low) * jax.random.uniform(radius, (n,), **inside)  # |λ|²
        return LRUParams(
            nu=jnp.log(-0.5 * jnp.log(squared)),
            theta=jnp.log(self.largest_phase * jax.random.uniform(phase, (n,), **inside)),
            gamma=0.5 * jnp.log1p(-squared),
            b=jax.random.normal(b, (self.input_size, 2 * n)) / math.sqrt(2 * self.input_size),
            c=jax.random.normal(c, (2 * n, self.output_size)) / math.sqrt(n),
            d=jax.random.normal(d, (self.input_size, self.output_size)) / math.sqrt(self.input_size),
        )

    def initial_carry(self, params: LRUParams, batch_shape: tuple[int, ...] = ()) -> ComplexPair:
        """Return h⁽⁰⁾ = 0, each part `[*batch, hidden]`."""
        shape, dtype = (*batch_shape, self.hidden_size), accumulator(params.b.dtype)
        return ComplexPair(jnp.zeros(shape, dtype), jnp.zeros(shape, dtype))

    def project(self, params: LRUParams, xs: Array) -> LRUInput:
        """Return exp(γ) ⊙ (B x⁽ᵗ⁾) and D x⁽ᵗ⁾."""
        check_features("xs", xs, input_size=self.input_size)
        re, im = jnp.split(matmul(xs, params.b), 2, axis=-1)
        scale = in_rank(jnp.exp(params.gamma.astype(accumulator(params.gamma.dtype))), re)
        return LRUInput(ComplexPair(scale * re, scale * im), matmul(xs, params.d))

    def coefficients(self, params: LRUParams, z: LRUInput) -> tuple[ComplexPair, ComplexPair]:
        """Return a = λ, the same at every t; b = exp(γ) ⊙ (B x)."""
        nu, theta = (p.astype(accumulator(p.dtype)) for p in (params.nu, params.theta))
        radius, phase = jnp.exp(-jnp.exp(nu)), jnp.exp(theta)
        return ComplexPair(radius * jnp.cos(phase), radius * jnp.sin(phase)), z.drive

    def read(self, params: LRUParams, carry: ComplexPair, z: LRUInput) -> Array:
        """Return y⁽ᵗ⁾ = Re(C h⁽ᵗ⁾) + D x⁽ᵗ⁾."""
        return matmul(jnp.concatenate([carry.re, carry.im], axis=-1), params.c) + z.skip

    step = linear_step
