"""One chunk of a linear recurrence with a matrix state, in matrix products.

    S⁽ᵗ⁾ = diag(d⁽ᵗ⁾) S⁽ᵗ⁻¹⁾ − w⁽ᵗ⁾ (u⁽ᵗ⁾ᵀ S⁽ᵗ⁻¹⁾) + k⁽ᵗ⁾ v⁽ᵗ⁾ᵀ,        r⁽ᵗ⁾ = S⁽ᵗ⁾ᵀ q⁽ᵗ⁾

Write ρ⁽ᵗ⁾ = S⁽ᵗ⁻¹⁾ᵀ u⁽ᵗ⁾ for what step t erases.  Then S⁽ⁱ⁾ is a sum over the steps before it, each term decayed by
the product of the d between,

    S⁽ⁱ⁾ = e^{Gᵢ} S₀ + Σ_{j ≤ i} e^{Gᵢ − Gⱼ} ⊙ (kⱼ vⱼᵀ − wⱼ ρⱼᵀ),        G = cumsum log d,

and the ρ solve a unit lower triangular system.  With E_ij = e^{Gᵢ − Gⱼ} and E⁻_ij = e^{Gᵢ₋₁ − Gⱼ} inside A,

    (I + A_uw) ρ = (u e^{G⁻}) S₀ + A_uk V                 A_uw, A_uk: j < i, with E⁻
    r            = (q e^{G}) S₀ + A_qk V − A_qw ρ         A_qk, A_qw: j ≤ i, with E
    S′           = e^{G_C} S₀ + (k τ)ᵀ V − (w τ)ᵀ ρ        τⱼ = e^{G_C − Gⱼ}

Three details decide the accuracy:

* Gᵢ − Gⱼ is summed within the stretch (j, i].  A difference of two prefix sums loses its digits once any step of the
  chunk decays strongly.
* (I + A)⁻¹ is computed by block recursion.  The Neumann product (I − A)(I + A²)(I + A⁴)… has intermediate terms that
  exceed the result by orders of magnitude where keys repeat.
* A reset is a change of segment, not a decay of log d = −∞, whose differences would be ∞ − ∞.

References: Yang et al. 2024, "Parallelizing linear transformers with the delta rule over sequence length", §3;
Yang, Kautz & Hatamizadeh 2025, "Gated delta networks", §3.3; Yang et al. 2024, "Gated linear
attention transformers", §4.3 (secondary chunks).
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

SECONDARY = 8
"""Steps of the blocks inside a chunk for which a decay for each unit is multiplied out step by step."""
SMALL_BLOCK = 8
"""Size up to which the inverse of a triangular matrix is computed in products of the whole matrix."""


class ChunkInputs(NamedTuple):
    """The coefficients of C steps, time in front of the features: `[*batch, C, ·]`."""

    log_d: Float[Array, "*batch time decay"]
    """log d; `decay` is K, or 1 if all units share it."""
    u: Float[Array, "*batch time key"] | None
    """The key at which the old value is read before the write; None without erasure, as is w."""
    w: Float[Array, "*batch time key"] | None
    """The key at which the old value is subtracted."""
    k: Float[Array, "*batch time key"]
    """The key at which v is added."""
    v: Float[Array, "*batch time value"]
    """The value that is added."""
    q: Float[Array, "*batch time key"]
    """The query that reads the state after the write."""


def solve_chunk(
    state: Float[Array, "*batch key value"], steps: ChunkInputs, segment: Array | None = None
) -> tuple[Float[Array, "*batch key value"], Float[Array, "*batch time value"]]:
    """Run C steps from `state`.

    Args:
      state: S₀.
      steps: the coefficients; log_d = 0 and u = w = k = 0 where a step does not happen.
      segment: how many resets lie at or before each step of the chunk, integers that broadcast to `[*batch, C]`.

    Returns:
      (S′, r), r of shape `[*batch, C, V]`.

    >>> one = jnp.ones((1, 2, 1))
    >>> state, r = solve_chunk(jnp.zeros((1, 1, 1)), ChunkInputs(jnp.log(one / 2), None, None, one, one, one))
    >>> r.ravel().tolist(), state.ravel().tolist()
    ([1.0, 1.5], [1.5])
    """
    log_d, u, w, k, v, q = steps
    through, before, after = (jnp.exp(sums) for sums in _prefix_sums(log_d))
    alive, to_end, same = _segments(segment, state.dtype)
    kept = alive[..., -1:, :] * jnp.swapaxes(through[..., -1:, :], -1, -2)
    products = _products_of_one_decay if log_d.shape[-1] == 1 else _products_of_unit_decays
    if u is None or w is None:
        ((qk,),) = products(log_d, (q,), (k,), same)
        r = _dot(q * through * alive, state) + _dot(qk, v)
        return kept * state + _outer(k * after * to_end, v), r
    (qk, qw), (uk, uw) = products(log_d, (q, u), (k, w), same)
    rho = solve_unit_triangular(uw, _dot(u * before * alive, state) + _dot(uk, v))
    r = _dot(q * through * alive, state) + _dot(qk, v) - _dot(qw, rho)
    return kept * state + _outer(k * after * to_end, v) - _outer(w * after * to_end, rho), r


def solve_unit_triangular(
    a: Float[Array, "*batch time time"], b: Float[Array, "*batch time value"]
) -> Float[Array, "*batch time value"]:
    """Solve (I + a) x = b, where `a` is 0 on and above its diagonal; the size is a power of two.

    It is differentiated as the solution of a linear system, in both modes and to any order.

    >>> solve_unit_triangular(jnp.array([[0.0, 0.0], [2.0, 0.0]]), jnp.array([[1.0], [5.0]])).ravel().tolist()
    [1.0, 3.0]
    """
    inverse = invert_unit_triangular(lax.stop_gradient(a))
    return lax.custom_linear_solve(
        lambda x: x + _dot(a, x),
        b,
        lambda _, b: _dot(inverse, b),
        lambda _, b: _dot(jnp.swapaxes(inverse, -1, -2), b),
    )


def invert_unit_triangular(a: Float[Array, "*batch time time"]) -> Float[Array, "*batch time time"]:
    """Return (I + a)⁻¹ by block recursion, where `a` is 0 on and above its diagonal; the size is a power of two.

        [[P, 0], [B, Q]]⁻¹ = [[P⁻¹, 0], [−Q⁻¹ B P⁻¹, Q⁻¹]]

    >>> invert_unit_triangular(jnp.array([[0.0, 0.0], [2.0, 0.0]])).tolist()
    [[1.0, 0.0], [-2.0, 1.0]]
    """
    half = a.shape[-1] // 2
    if half <= SMALL_BLOCK // 2:
        return _invert_small(a)
    p, q = invert_unit_triangular(jnp.stack([a[..., :half, :half], a[..., half:, half:]]))
    corner = -_dot(q, _dot(a[..., half:, :half], p))
    return jnp.block([[p, jnp.zeros_like(p)], [corner, q]])


def _invert_small(a):
    """Recurse from 1 × 1 blocks up, all blocks of a size in one product: X − X B X, X = diag(P⁻¹, Q⁻¹)."""
    steps, size = np.arange(a.shape[-1]), 1
    inverse = jnp.eye(len(steps), dtype=a.dtype)
    while size < len(steps):
        block = steps // size
        corner = jnp.where((block[:, None] % 2 == 1) & (block[:, None] == block + 1), a, 0)
        inverse = inverse - (corner if size == 1 else _dot(inverse, _dot(corner, inverse)))
        size *= 2
    return jnp.broadcast_to(inverse, a.shape)


def _products_of_one_decay(log_d, rows, columns, same):
    """Return Σ_c x_ic y_jc e^{Gᵢ − Gⱼ}, j ≤ i, for each row x and column y; for the second row, u, e^{Gᵢ₋₁ − Gⱼ}."""
    decay = jnp.exp(_sums_between(log_d[..., 0]))
    decays = (_inside(decay, same), _inside(_one_step_earlier(decay), same, -1))
    return tuple(
        tuple(_dot(x, jnp.swapaxes(y, -1, -2)) * decay for y in columns) for x, decay in zip(rows, decays, strict=False)
    )


def _products_of_unit_decays(log_d, rows, columns, same):
    """Return these products with a decay per unit: step by step inside secondary blocks, factored between them."""
    inner = jnp.exp(_sums_between(jnp.swapaxes(_cut(log_d), -1, -2)))  # [..., block, unit, i, j]
    near = (_inside(inner), _inside(_one_step_earlier(inner), None, -1))
    through, before, after = (jnp.exp(sums) for sums in _prefix_sums(_cut(log_d)))
    totals = jnp.swapaxes(jnp.sum(_cut(log_d), axis=-2), -1, -2)  # [..., unit, block]
    between = _inside(_one_step_earlier(jnp.exp(_sums_between(totals))), None, -1)

    def product(x, y, near, entering):
        x, y = _cut(x), _cut(y)
        inside = jnp.sum(jnp.swapaxes(x, -1, -2)[..., None] * near * jnp.swapaxes(y, -1, -2)[..., None, :], axis=-3)
        decayed = jnp.einsum("...cij,...jsc->...ijsc", between, y * after)
        across = jnp.einsum("...itc,...ijsc->...itjs", x * entering, decayed, precision="highest")
        blocks = np.eye(x.shape[-3])[:, None, :, None].astype(x.dtype)
        whole = across + blocks * inside[..., :, :, None, :]
        whole = whole.reshape(*whole.shape[:-4], log_d.shape[-2], log_d.shape[-2])
        return whole if same is None else whole * same

    factors = zip(rows, near, (through, before), strict=False)
    return tuple(tuple(product(x, y, near, entering) for y in columns) for x, near, entering in factors)


def _cut(x):
    """Reshape `[..., C, features]` to `[..., blocks, steps, features]`."""
    steps = min(SECONDARY, x.shape[-2])
    return x.reshape(*x.shape[:-2], x.shape[-2] // steps, steps, x.shape[-1])


def _sums_between(g):
    """Sum g, `[..., C]`, over each interval (j, i] without taking a difference: `[..., C, C]`."""
    steps = np.arange(g.shape[-1])
    return _dot(_triangle(steps, 0, g.dtype), jnp.where(steps[:, None] > steps, g[..., None], 0))


def _prefix_sums(g):
    """Sum g up to and including each step, before it, and after it, along the axis before the last."""
    steps = np.arange(g.shape[-2])
    through, before = (_dot(_triangle(steps, shift, g.dtype), g) for shift in (0, -1))
    return through, before, _dot(_triangle(steps, -1, g.dtype).T, g)


def _triangle(steps, shift, dtype):
    return (steps <= steps[:, None] + shift).astype(dtype)


def _one_step_earlier(decay):
    """Return e^{Gᵢ₋₁ − Gⱼ} from e^{Gᵢ − Gⱼ}."""
    return jnp.concatenate([jnp.zeros_like(decay[..., :1, :]), decay[..., :-1, :]], axis=-2)


def _inside(decay, same=None, shift=0):
    """Set the entries at j > i + shift to 0 by `where`; a minimum would halve the gradient at a tie."""
    steps = np.arange(decay.shape[-1])
    decay = jnp.where(steps <= steps[:, None] + shift, decay, 0)
    return decay if same is None else decay * same


def _segments(segment, dtype):
    """Return 1 or 0 for the steps that see the entering state, reach the end, and see one another."""
    if segment is None:
        return jnp.ones((1, 1), dtype), jnp.ones((1, 1), dtype), None
    alive, to_end = segment == 0, segment == segment[..., -1:]
    same = segment[..., :, None] == segment[..., None, :]
    return alive.astype(dtype)[..., None], to_end.astype(dtype)[..., None], same.astype(dtype)


def _dot(a, b):
    return jnp.matmul(a, b, precision="highest")


def _outer(k, v):
    """Return Σₜ kₜ vₜᵀ."""
    return _dot(jnp.swapaxes(k, -1, -2), v)
