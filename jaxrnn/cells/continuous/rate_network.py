"""The rate network: the continuous-time recurrent network of theoretical neuroscience.

    τ ẋ = −x + W φ(x) + U u + b + noise,            r = φ(x)

in steps of Δt by Euler's rule, with α = Δt/τ:

    x⁽ᵗ⁾ = (1 − α) ⊙ x⁽ᵗ⁻¹⁾ + α ⊙ (W r⁽ᵗ⁻¹⁾ + U u⁽ᵗ⁾ + b),            y⁽ᵗ⁾ = r⁽ᵗ⁾ = φ(x⁽ᵗ⁾)

x is the carry ("current", "membrane potential"), and r are the firing rates, which the other units and the read-out
see. In other words, it is a leaky unit whose leak acts before φ (in `Leaky(Elman(…), alpha)` it acts after φ).

In the backward pass, with g⁽ᵗ⁾ = ∇_{x⁽ᵗ⁾}L + φ′(x⁽ᵗ⁾) ⊙ ∇_{r⁽ᵗ⁾}L and δ⁽ᵗ⁾ = α ⊙ g⁽ᵗ⁾:

    ∇_{x⁽ᵗ⁻¹⁾}L = (1 − α) ⊙ g⁽ᵗ⁾ + φ′(x⁽ᵗ⁻¹⁾) ⊙ Wᵀ δ⁽ᵗ⁾
    ∇_W L = Σₜ δ⁽ᵗ⁾ r⁽ᵗ⁻¹⁾ᵀ,       ∇_τ L = −Σₜ g⁽ᵗ⁾ ⊙ (x⁽ᵗ⁾ − x⁽ᵗ⁻¹⁾) / τ
    ∇_{Δt} L = Σ over units of g⁽ᵗ⁾ ⊙ (x⁽ᵗ⁾ − x⁽ᵗ⁻¹⁾) / Δt

A `Timed` input has a Δt for each step.  For Euler's rule, it too must be below the shortest τ; split longer steps into
several.

U, W, b, τ → `params.u`, `.w`, `.b`, `.tau`; Δt → `dt`.  φ′ is computed from r: 1 − r² for tanh, 1 − e⁻ʳ for softplus,
r (1 − r) for the sigmoid.

Noise comes with the input: `RateNoise`.  Dale's principle, masks and low rank are maps of the parameters:
`jaxrnn.constraints`.

References: Sompolinsky, Crisanti & Sommers 1988, "Chaos in random neural networks"; Sussillo & Abbott 2009; Song, Yang
& Wang 2016, "Training excitatory-inhibitory recurrent neural networks for cognitive tasks", equations 1 to 10; chapter
3.2.3 (leaky units).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Real
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxrnn.cells.continuous.timed_inputs import as_timed
from jaxrnn.cells.unit_groups import check_groups, spread
from jaxrnn.core.arguments import check_key
from jaxrnn.core.checks import check_choice, check_features, check_positive
from jaxrnn.core.initializers import input_weights
from jaxrnn.core.precision import (
    accumulator,
    add_bias,
    in_rank,
    matmul,
    matmul_in_loop,
    matmul_transposed,
    outer_sum,
    row_sum,
)
from jaxrnn.core.types import Inputs, Key, Timed

RATES = {
    # name: (φ, φ′ as a function of r = φ(x))
    "tanh": (jnp.tanh, lambda r: 1 - r**2),
    "relu": (jax.nn.relu, lambda r: (r > 0).astype(r.dtype)),
    "softplus": (jax.nn.softplus, lambda r: -jnp.expm1(-r)),
    "sigmoid": (jax.nn.sigmoid, lambda r: r * (1 - r)),
    "identity": (lambda x: x, jnp.ones_like),
}
"""The choices of φ, by name."""


class RateParams(NamedTuple):
    """The matrices of the equation, transposed, because inputs are row vectors.

    >>> RateNetwork(2, 3).init(jax.random.key(0)).tau.tolist()
    [100.0]
    """

    u: Float[Array, "input hidden"]
    """Uᵀ: input to hidden."""
    w: Float[Array, "hidden hidden"]
    """Wᵀ: `w[i, j]` is the weight from unit i to unit j, so a row holds the outgoing weights of a unit."""
    b: Float[Array, " hidden"]
    """b."""
    tau: Float[Array, " groups"]
    """τ: one entry for all units, one per unit, or one per group of units."""


class RateResidual(NamedTuple):
    """The record of a step for the backward pass."""

    before: Float[Array, "*batch hidden"]
    """x⁽ᵗ⁻¹⁾."""
    x: Float[Array, "*batch hidden"]
    """x⁽ᵗ⁾."""
    dt: Float[Array, "*batch 1"] | None
    """Δt; None if it is the cell's own."""


class RateLocals(NamedTuple):
    """The contribution of a step to the sums over t."""

    g: Float[Array, "*batch hidden"]
    """g⁽ᵗ⁾, ∇ of x⁽ᵗ⁾."""
    dz: Float[Array, "*batch hidden"]
    """δ⁽ᵗ⁾, ∇ of the incoming current."""


@jax.tree_util.register_static
@dataclass(frozen=True)
class RateNetwork:
    """τ ẋ = −x + W φ(x) + U u + b in steps of Δt; the output is r = φ(x).

    Args:
      input_size: the size of u.
      hidden_size: the number of units.
      activation: φ: "tanh", "relu", "softplus", "sigmoid", or "identity" for a linear network.
      dt: Δt, in the unit of τ (here milliseconds), at most τ, where the input is an array and not `Timed`.
      tau: the initial τ: one number, or a tuple with one number per group of units of equal size, up to one per unit.
        They are parameters: `params.tau`.
      gain: g: W is drawn from N(0, g²/N), whose spectral radius is close to g.  A tanh network without an input is
        chaotic for g > 1.

    Raises:
      ValueError: a size below 1; an unknown activation; a Δt, τ or g that is not a positive number; Δt above τ; a
        number of time constants that does not divide the number of units.

    >>> from jaxrnn import Readout, unroll
    >>> cell = RateNetwork(input_size=3, hidden_size=50, tau=100.0, dt=20.0)
    >>> params = cell.init(jax.random.key(0))
    >>> x, rs = unroll(cell, params, jnp.ones((30, 8, 3)))
    >>> x.shape, rs.shape, bool(jnp.allclose(rs[-1], jnp.tanh(x)))
    ((8, 50), (30, 8, 50), True)

    References: Sompolinsky, Crisanti & Sommers 1988; Song, Yang & Wang 2016.
    """

    input_size: int
    hidden_size: int
    activation: str = "tanh"
    dt: float = 20.0
    tau: float | tuple[float, ...] = 100.0
    gain: float = 1.0

    def __post_init__(self):
        check_positive(input_size=self.input_size, hidden_size=self.hidden_size)
        check_choice("activation", self.activation, tuple(RATES))
        for name, value in (("dt", self.dt), ("gain", self.gain), *(("tau", tau) for tau in self.taus)):
            if not isinstance(value, Real) or not 0 < value < math.inf:
                raise ValueError(f"`{name}` must be a positive number, got {value!r}.")
        check_groups("tau", len(self.taus), self.hidden_size)
        if self.dt > min(self.taus):
            raise ValueError(
                f"`dt` must be at most the shortest time constant, {min(self.taus)}, got {self.dt}: "
                "Euler's rule oscillates with longer steps. Use shorter steps."
            )

    @property
    def taus(self) -> tuple[float, ...]:
        """The initial time constants as a tuple."""
        return self.tau if isinstance(self.tau, tuple) else (self.tau,)

    def init(self, key: Key) -> RateParams:
        """Draw U by Glorot's uniform rule and W from N(0, g²/N); set b = 0, and τ from the field."""
        check_key(key=key)
        n, (u_key, w_key) = self.hidden_size, jax.random.split(key)
        w = self.gain / math.sqrt(n) * jax.random.normal(w_key, (n, n))
        u = input_weights(u_key, (self.input_size, n))
        return RateParams(u, w, b=jnp.zeros(n), tau=jnp.array(self.taus, float))

    def initial_carry(self, params: RateParams, batch_shape: tuple[int, ...] = ()) -> Array:
        """Return x⁽⁰⁾ = 0, `[*batch, hidden]`."""
        return jnp.zeros((*batch_shape, self.hidden_size), accumulator(params.w.dtype))

    def rates(self, x: Array) -> Array:
        """Return r = φ(x)."""
        return RATES[self.activation][0](x)

    def timed(self, xs: Inputs) -> Timed:
        """Return the inputs with Δt: `Timed` as it is, an array with equal steps `dt`."""
        return as_timed(xs, self.dt, input_size=self.input_size)

    def project(self, params: RateParams, xs: Inputs) -> Array | tuple[Array, Array]:
        """Return z⁽ᵗ⁾ = b + U u⁽ᵗ⁾ for every t, `[..., hidden]`; for `Timed` inputs, together with Δt."""
        if isinstance(xs, Timed):
            xs = self.timed(xs)
            return self._current(params, xs.x), xs.dt.astype(accumulator(params.w.dtype))
        return self._current(params, xs)

    def step(self, params: RateParams, carry: Array, z: Array | tuple[Array, Array]) -> tuple[Array, Array]:
        """Return x⁽ᵗ⁾ and r⁽ᵗ⁾."""
        x = self._step(matmul, params, carry, *_with_dt(z))
        return x, self.rates(x)

    def step_fwd(self, params: RateParams, carry: Array, z: Array | tuple[Array, Array]):
        """Run the step and return it with its residual."""
        x = self._step(matmul_in_loop, params, carry, *_with_dt(z))
        return (x, self.rates(x)), RateResidual(before=carry, x=x, dt=_with_dt(z)[1])

    def step_bwd(self, params: RateParams, residual: RateResidual, dcarry: Array, dy: Array):
        """Return (1 − α) g⁽ᵗ⁾ + φ′(x⁽ᵗ⁻¹⁾) ⊙ Wᵀ δ⁽ᵗ⁾ for step t − 1, and δ⁽ᵗ⁾ = α g⁽ᵗ⁾."""
        phi, slope = RATES[self.activation]
        alpha = self._alpha(params, dcarry, residual.dt)
        g = dcarry + slope(phi(residual.x)) * dy
        dz = alpha * g
        back = slope(phi(residual.before)) * matmul_transposed(dz, params.w)
        locals_ = RateLocals(g, dz)
        if residual.dt is not None:
            dz = dz, jnp.sum(g * (residual.x - residual.before), axis=-1, keepdims=True) / residual.dt
        return (1 - alpha) * g + back, dz, locals_

    def weight_bwd(self, params: RateParams, residuals: RateResidual, locals: RateLocals) -> RateParams:
        """Sum the gradients of W and τ over time; those of U and b come from `project`."""
        dw = outer_sum(self.rates(residuals.before), locals.dz, params.w)
        changes, (n,) = locals.g * (residuals.before - residuals.x), params.tau.shape
        groups = changes.reshape(*changes.shape[:-1], n, self.hidden_size // n).sum(-1)
        dtau = (row_sum(groups, params.tau) / params.tau).astype(params.tau.dtype)
        return RateParams(u=jnp.zeros_like(params.u), w=dw, b=jnp.zeros_like(params.b), tau=dtau)

    def _current(self, params: RateParams, us: Array) -> Array:
        """Return b + U u."""
        check_features("xs", us, input_size=self.input_size)
        return add_bias(matmul(us, params.u), params.b)

    def _alpha(self, params: RateParams, like: Array, dt: Array | None) -> Array:
        """Return Δt/τ of every unit, in the rank and the dtype of a carry."""
        tau = params.tau.astype(accumulator(params.tau.dtype))
        if dt is not None:
            return (dt / in_rank(spread(tau, self.hidden_size), like)).astype(like.dtype)
        return in_rank(spread(self.dt / tau, self.hidden_size), like).astype(like.dtype)

    def _step(self, matmul: Callable, params: RateParams, carry: Array, z: Array, dt: Array | None) -> Array:
        alpha = self._alpha(params, carry, dt)
        return (1 - alpha) * carry + alpha * (z + matmul(self.rates(carry), params.w))


def _with_dt(z: Array | tuple[Array, Array]) -> tuple[Array, Array | None]:
    """Return z⁽ᵗ⁾ and Δt, which is None if the Δt of the cell applies."""
    return z if isinstance(z, tuple) else (z, None)
