"""S5: a diagonal state space with many inputs, discretized by zero-order hold.

    h′(t) = Λ h(t) + B x(t),       y(t) = 2 Re(C h(t)) + D ⊙ x(t)            h complex, one of each conjugate pair
    λ̄ = exp(Λ Δ),   B̄ = Λ⁻¹ (λ̄ − 1) B                                      Δ a step size for each unit
    h⁽ᵗ⁾ = λ̄ ⊙ h⁽ᵗ⁻¹⁾ + B̄ x⁽ᵗ⁾,    y⁽ᵗ⁾ = 2 Re(C h⁽ᵗ⁾) + D x⁽ᵗ⁾

Λ begins as the eigenvalues of the normal part of HiPPO-LegS, S = −½ I + a skew matrix, in whose eigenvectors V the
matrices are written too: B = Vᴴ B₀, C = C₀ V.  So the state approximates the past by Legendre polynomials.

log(−Re Λ) → `params.log_re`, Im Λ → `params.im`, (Re B, Im B)ᵀ → `params.b`, (Re C, −Im C)ᵀ → `params.c`, D →
`params.d`, log Δ → `params.log_dt`.  Deviation: −exp keeps Re Λ below 0; D is a matrix, as y may differ from x in size.

References: Smith, Warrington & Linderman 2023, "Simplified state space layers for sequence modeling", §3 and
appendix B.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxrnn.core.checks import check_features, check_positive
from jaxrnn.core.precision import accumulator, matmul
from jaxrnn.core.types import Key
from jaxrnn.linear.protocol import ComplexPair, linear_step, times


class S5Params(NamedTuple):
    """Real arrays only; a complex matrix is stored as its real part beside its imaginary part.

    >>> S5(input_size=3, hidden_size=5, output_size=2).init(jax.random.key(0))._fields
    ('log_re', 'im', 'b', 'c', 'd', 'log_dt')
    """

    log_re: Float[Array, " hidden"]
    """log(−Re Λ)."""
    im: Float[Array, " hidden"]
    """Im Λ."""
    b: Float[Array, "input two_hidden"]
    """(Re B, Im B)ᵀ: `[input, 2·hidden]`."""
    c: Float[Array, "two_hidden output"]
    """(Re C, −Im C)ᵀ: `[2·hidden, output]`."""
    d: Float[Array, "input output"]
    """Dᵀ."""
    log_dt: Float[Array, " hidden"]
    """log Δ."""


class S5Input(NamedTuple):
    """The result of `project`."""

    drive: ComplexPair
    """B x: each `[..., hidden]`."""
    skip: Array
    """D x: `[..., output]`."""


@jax.tree_util.register_static
@dataclass(frozen=True)
class S5:
    """h⁽ᵗ⁾ = λ̄ ⊙ h⁽ᵗ⁻¹⁾ + B̄ x⁽ᵗ⁾, y⁽ᵗ⁾ = 2 Re(C h⁽ᵗ⁾) + D x⁽ᵗ⁾.

    Args:
      input_size: the size of x.
      hidden_size: the number of complex numbers in h; with their conjugates the state has twice that size.
      output_size: the size of y.
      least_step: the lower bound of Δ, which is log-uniform in a new cell.
      largest_step: the upper bound of Δ.

    Raises:
      ValueError: a size below 1, or step sizes that are not 0 < least < largest.

    >>> cell = S5(input_size=3, hidden_size=5, output_size=2)
    >>> params = cell.init(jax.random.key(0))
    >>> h, y = cell.step(params, cell.initial_carry(params), cell.project(params, jnp.ones(3)))
    >>> h.re.shape, y.shape
    ((5,), (2,))

    References: Smith, Warrington & Linderman 2023.
    """

    input_size: int
    hidden_size: int
    output_size: int
    least_step: float = 1e-3
    largest_step: float = 0.1

    def __post_init__(self):
        check_positive(input_size=self.input_size, hidden_size=self.hidden_size, output_size=self.output_size)
        if not 0 < self.least_step < self.largest_step:
            steps = self.least_step, self.largest_step
            raise ValueError(f"`least_step` and `largest_step` must be 0 < least < largest, got {steps}.")

    def init(self, key: Key) -> S5Params:
        """Set Λ by HiPPO-LegS; draw B₀, C₀ and D normal with variance 1/fan-in, and Δ log-uniform."""
        b_key, c_key, d_key, dt_key = jax.random.split(key, 4)
        n, (lam, v) = self.hidden_size, hippo_normal(2 * self.hidden_size)
        lam, v = lam[:n], v[:, :n]  # of each pair the one above the real axis
        b = jax.random.normal(b_key, (self.input_size, 2 * n)) / math.sqrt(self.input_size)
        c = jax.random.normal(c_key, (2 * n, self.output_size)) / math.sqrt(2 * n)
        low, high = math.log(self.least_step), math.log(self.largest_step)
        return S5Params(
            log_re=jnp.log(-jnp.asarray(lam.real, b.dtype)),
            im=jnp.asarray(lam.imag, b.dtype),
            b=jnp.concatenate([b @ v.real, -(b @ v.imag)], axis=1),
            c=jnp.concatenate([v.real.T @ c, -(v.imag.T @ c)], axis=0),
            d=jax.random.normal(d_key, (self.input_size, self.output_size)) / math.sqrt(self.input_size),
            log_dt=jax.random.uniform(dt_key, (n,), minval=low, maxval=high),
        )

    def initial_carry(self, params: S5Params, batch_shape: tuple[int, ...] = ()) -> ComplexPair:
        """Return h⁽⁰⁾ = 0, as two real arrays `[*batch, hidden]`."""
        shape, dtype = (*batch_shape, self.hidden_size), accumulator(params.b.dtype)
        return ComplexPair(jnp.zeros(shape, dtype), jnp.zeros(shape, dtype))

    def project(self, params: S5Params, xs: Array) -> S5Input:
        """Return B x⁽ᵗ⁾ and D x⁽ᵗ⁾."""
        check_features("xs", xs, input_size=self.input_size)
        re, im = jnp.split(matmul(xs, params.b), 2, axis=-1)
        return S5Input(ComplexPair(re, im), matmul(xs, params.d))

    def coefficients(self, params: S5Params, z: S5Input) -> tuple[ComplexPair, ComplexPair]:
        """Return a = λ̄, the same at every t; b = B̄ x."""
        wide = accumulator(params.b.dtype)
        re, im, dt = (a.astype(wide) for a in (-jnp.exp(params.log_re.astype(wide)), params.im, jnp.exp(params.log_dt)))
        radius, angle = jnp.exp(re * dt), im * dt
        bar = ComplexPair(radius * jnp.cos(angle), radius * jnp.sin(angle))
        # λ̄ − 1 without cancellation: e^{iφ} − 1 = −2 sin²(φ/2) + i sin φ
        less_one = ComplexPair(jnp.expm1(re * dt) * jnp.cos(angle) - 2 * jnp.sin(angle / 2) ** 2, bar.im)
        inverse = ComplexPair(re / (re**2 + im**2), -im / (re**2 + im**2))
        return bar, times(_like(times(inverse, less_one), z.drive), z.drive)

    def read(self, params: S5Params, carry: ComplexPair, z: S5Input) -> Array:
        """Return y⁽ᵗ⁾ = 2 Re(C h⁽ᵗ⁾) + D x⁽ᵗ⁾."""
        return 2 * matmul(jnp.concatenate([carry.re, carry.im], axis=-1), params.c) + z.skip

    step = linear_step


def hippo_normal(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Compute the eigenvalues of the normal part of HiPPO-LegS, those with Im > 0 first, and eigenvectors as columns.

    >>> lam, v = hippo_normal(4)
    >>> bool(np.allclose(lam.real, -0.5)), bool((lam.imag[:2] > 0).all())
    (True, True)

    References: Gu et al. 2022, "On the parameterization and initialization of diagonal state space models", §4.2.
    """
    root = np.sqrt(2 * np.arange(size) + 1)
    lower = np.tril(np.outer(root, root), -1)
    skew = (lower.T - lower) / 2  # of A + P Pᵀ, which is −½ I beside it
    angles, vectors = np.linalg.eigh(-1j * skew)
    order = np.argsort(-angles)
    return -0.5 + 1j * angles[order], vectors[:, order]


def _like(a: ComplexPair, z: ComplexPair) -> ComplexPair:
    """Broadcast a to the shape of z."""
    return ComplexPair(*(jnp.broadcast_to(part, z.re.shape) for part in a))
