"""A linear recurrence held near 0: one Levenberg–Marquardt step of Newton's method over a whole sequence (ELK).

Newton's update solves δ⁽ᵗ⁾ = J⁽ᵗ⁾ δ⁽ᵗ⁻¹⁾ + r⁽ᵗ⁾, which explodes where the J⁽ᵗ⁾ do.  The damped update makes

    Σₜ ‖δ⁽ᵗ⁾ − J⁽ᵗ⁾ δ⁽ᵗ⁻¹⁾ − r⁽ᵗ⁾‖² + λ Σₜ ‖δ⁽ᵗ⁾‖²,        δ⁽⁰⁾ = 0

least.  That is the smoothed mean of a linear model with Gaussian noise: the first term is a transition with covariance
I, the second an observation of 0 with covariance I/λ.  So it is a Kalman filter and a Rauch–Tung–Striebel smoother, and
both are associative scans: the filter over the five quantities of the reference, the smoother, for the means alone,
over a linear recurrence from the end.

References: Gonzalez et al. 2024, §4.2 (ELK); Särkkä & García-Fernández 2021, §III and §IV (parallel filter, smoother).
"""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxrnn.unrolling.parallel.associative import solve_recurrence
from jaxrnn.unrolling.parallel.packed_jacobians import MATRICES
from jaxrnn.unrolling.parallel.time_axis import WHOLE, Time


class _Filter(NamedTuple):
    """A stretch of steps.

    The last state has the distribution N(A x + b, C), given the state x before the first step.  The observations in the
    stretch give the likelihood of x, with information matrix J and information vector η.
    """

    a: Array
    b: Array
    c: Array
    eta: Array
    j: Array


def damped_recurrence(
    jacobian: Float[Array, "time *rows slots slots"],
    r: Float[Array, "time *rows slots"],
    trust: float | Float[Array, "*#rows"],
    *,
    time: Time = WHOLE,
) -> Float[Array, "time *rows slots"]:
    """Find the δ that minimizes Σₜ ‖δ⁽ᵗ⁾ − J⁽ᵗ⁾ δ⁽ᵗ⁻¹⁾ − r⁽ᵗ⁾‖² + λ Σₜ ‖δ⁽ᵗ⁾‖², for all t in parallel.

    Args:
      jacobian: J, at least one step.
      r: the right-hand side.
      trust: λ > 0, one for all rows or one for each.
      time: where the steps lie, and their order.

    >>> damped_recurrence(jnp.ones((2, 1, 1)), jnp.ones((2, 1)), 1e-6).round(3).tolist()
    [[1.0], [2.0]]

    References: Gonzalez et al. 2024, §4.2.
    """
    f = time.begin(jacobian, jnp.zeros_like(jacobian[0]))  # δ⁽⁰⁾ = 0 is known
    eye = jnp.broadcast_to(jnp.eye(r.shape[-1], dtype=r.dtype), f.shape)
    gain = jnp.asarray(trust / (1 + trust), r.dtype)[..., None]
    each, ft = gain[..., None], MATRICES.adjoint(f)
    steps = _Filter(
        (1 - each) * f, (1 - gain) * r, (1 - each) * eye, -gain * MATRICES.apply(ft, r), each * MATRICES.compose(ft, f)
    )
    filtered = time.prefix(_combine, steps)
    mean, covariance = filtered.b, filtered.c
    # E⁽ᵗ⁾ = C⁽ᵗ⁾ Fᵀ (F C⁽ᵗ⁾ Fᵀ + I)⁻¹ with the F and r of t + 1, and δ⁽ᵗ⁾ = E⁽ᵗ⁾ δ⁽ᵗ⁺¹⁾ + (m⁽ᵗ⁾ − E⁽ᵗ⁾ (F m⁽ᵗ⁾ + r))
    back_in_time = time.backwards()
    f, r = (back_in_time.shift(a, jnp.zeros_like(a[0])) for a in (f, r))
    fc = MATRICES.compose(f, covariance)
    predicted = MATRICES.compose(fc, MATRICES.adjoint(f)) + eye
    back = MATRICES.adjoint(_solve(predicted, fc))
    inwards = mean - MATRICES.apply(back, MATRICES.apply(f, mean) + r)
    zero = jnp.zeros_like(r[0])
    return solve_recurrence(back_in_time, MATRICES, back, inwards, zero)


def _combine(first: _Filter, second: _Filter) -> _Filter:
    """Combine two stretches into one; `first` is the earlier."""
    apply, compose, transpose = MATRICES
    eye = jnp.eye(first.b.shape[-1], dtype=first.b.dtype)
    # (I + C₁ J₂)⁻ᵀ, put behind A₂: (A₂ (I + C₁ J₂)⁻¹)ᵀ = (I + J₂ C₁)⁻¹ A₂ᵀ
    a2 = transpose(_solve(eye + compose(second.j, first.c), transpose(second.a)))
    a1 = _solve(eye + compose(first.c, second.j), first.a)  # (I + C₁ J₂)⁻¹ A₁
    return _Filter(
        a=compose(a2, first.a),
        b=apply(a2, first.b + apply(first.c, second.eta)) + second.b,
        c=compose(compose(a2, first.c), transpose(second.a)) + second.c,
        eta=apply(transpose(a1), second.eta - apply(second.j, first.b)) + first.eta,
        j=compose(compose(transpose(a1), second.j), first.a) + first.j,
    )


def _solve(a: Array, b: Array) -> Array:
    """Return a⁻¹ b."""
    return b / a if a.shape[-1] == 1 else jnp.linalg.solve(a, b)
