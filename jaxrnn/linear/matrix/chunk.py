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
attention transformers", §4.3 (a decay for each unit in products of matrices, from the boundaries of blocks).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

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
    if u is None or w is None:
        ((qk,),), (q,), (k,), kept = _decayed(log_d, (q,), (k,), segment)
        return _repeated(kept, state) * state + _outer(k, v), _dot(q, state) + _dot(qk, v)
    ((qk, qw), (uk, uw)), (q, u), (k, w), kept = _decayed(log_d, (q, u), (k, w), segment)
    rho = solve_unit_triangular(uw, _dot(u, state) + _dot(uk, v))
    return _repeated(kept, state) * state + _outer(k, v) - _outer(w, rho), _dot(q, state) + _dot(qk, v) - _dot(qw, rho)


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


def _decayed(log_d, rows, columns, segment):
    """Return the products of rows and columns, the rows, the columns, and the factor of S₀, all decayed.

    For each row x and column y the product is Σ_c x_ic y_jc e^{Gᵢ − Gⱼ}, j ≤ i.  The rows come decayed from the start
    of the chunk, the columns to its end.  The second row is u, which reads the state before the decay: e^{Gᵢ₋₁ − Gⱼ}.
    """
    products = _products_of_one_decay if log_d.shape[-1] == 1 else _products_of_unit_decays
    pairs, rows, columns, total = products(log_d, rows, columns)
    kept = jnp.swapaxes(total, -1, -2)
    if segment is None:
        return pairs, rows, columns, kept
    alive, to_end, same = _segments(segment, log_d.dtype)
    pairs = jax.tree.map(lambda a: a * same, pairs)
    return pairs, tuple(x * alive for x in rows), tuple(y * to_end for y in columns), kept * alive[..., -1:, :]


def _products_of_one_decay(log_d, rows, columns):
    """Compute the results of `_decayed` for one segment, where all units share a decay: one factor for each pair."""
    decay = jnp.exp(_sums_between(log_d[..., 0]))
    decays = _inside(decay), _inside(_one_step_earlier(decay), -1)
    *entering, after = (jnp.exp(sums)[..., None] for sums in _prefix_sums(log_d[..., 0]))
    pairs = tuple(
        tuple(_dot(x, jnp.swapaxes(y, -1, -2)) * decay for y in columns) for x, decay in zip(rows, decays, strict=False)
    )
    rows = tuple(x * factor for x, factor in zip(rows, entering, strict=False))
    return pairs, rows, tuple(y * after for y in columns), entering[0][..., -1:, :]


def _products_of_unit_decays(log_d, rows, columns):
    """Compute the same where each unit has its own decay, by recursion from blocks of one step up.

    A step i in the second half of a block sees a step j in the first half across the boundary b between them, and
    e^{Gᵢ − Gⱼ} = e^{Gᵢ − G_b} e^{G_b − Gⱼ} is a factor of the row times a factor of the column, both at most 1.
    """
    total, count = jnp.exp(log_d)[..., None, :], len(rows)
    same_step = [jnp.sum(rows[0] * column, axis=-1, keepdims=True) for column in columns]
    blocks = [jnp.stack([a, jnp.zeros_like(a)][:count], axis=-2) for a in same_step]
    x = jnp.stack([rows[0] * total[..., 0, :], *rows[1:]], axis=-2)  # [..., block, time · row, unit]
    y = [column[..., None, :] for column in columns]
    while x.shape[-3] > 1:
        (x1, x2), (total1, total2) = _halves(x), _halves(total)
        halves = [_halves(column) for column in y]
        blocks = [
            _block(*_halves(a), _dot(x2, jnp.swapaxes(y1, -1, -2))) for a, (y1, _) in zip(blocks, halves, strict=True)
        ]
        x = jnp.concatenate([x1, x2 * _repeated(total1, x2)], axis=-2)
        y = [jnp.concatenate([y1 * _repeated(total2, y1), y2], axis=-2) for y1, y2 in halves]
        total = total1 * total2
    pairs = tuple(zip(*(_split_rows(a, count) for a in blocks), strict=True))
    return pairs, _split_rows(x, count), tuple(column[..., 0, :, :] for column in y), total[..., 0, :, :]


def _repeated(decay, like):
    """Return the decay in the shape of `like`, which it multiplies; its gradient is then a plain sum.

    Without the barrier the products are computed inside the sum, for which XLA's CPU takes up to ten times as long.
    """
    return lax.optimization_barrier(jnp.broadcast_to(decay, like.shape))


def _halves(blocks):
    """Return the first and the second block of each pair."""
    return blocks[..., 0::2, :, :], blocks[..., 1::2, :, :]


def _block(first, second, corner):
    """Return [[first, 0], [corner, second]]."""
    upper = jnp.concatenate([first, jnp.zeros_like(first)], axis=-1)
    return jnp.concatenate([upper, jnp.concatenate([corner, second], axis=-1)], axis=-2)


def _split_rows(x, count):
    """Cut `[..., 1, time · row, features]` into `[..., time, features]` for each row."""
    x = x.reshape(*x.shape[:-3], x.shape[-2] // count, count, x.shape[-1])
    return tuple(x[..., i, :] for i in range(count))


def _sums_between(g):
    """Sum g, `[..., C]`, over each interval (j, i] without taking a difference: `[..., C, C]`."""
    steps = np.arange(g.shape[-1])
    sums = _dot(jnp.where(steps > steps[:, None], g[..., None, :], 0), _triangle(steps, 0, g.dtype).T)
    return jnp.swapaxes(sums, -1, -2)


def _prefix_sums(g):
    """Sum g up to and including each step, before it, and after it, along the last axis."""
    steps = np.arange(g.shape[-1])
    through, before = (_dot(g, _triangle(steps, shift, g.dtype).T) for shift in (0, -1))
    return through, before, _dot(g, _triangle(steps, -1, g.dtype))


def _triangle(steps, shift, dtype):
    return (steps <= steps[:, None] + shift).astype(dtype)


def _one_step_earlier(decay):
    """Return e^{Gᵢ₋₁ − Gⱼ} from e^{Gᵢ − Gⱼ}."""
    return jnp.concatenate([jnp.zeros_like(decay[..., :1, :]), decay[..., :-1, :]], axis=-2)


def _inside(decay, shift=0):
    """Set the entries at j > i + shift to 0 by `where`; a minimum would halve the gradient at a tie."""
    steps = np.arange(decay.shape[-1])
    return jnp.where(steps <= steps[:, None] + shift, decay, 0)


def _segments(segment, dtype):
    """Return 1 or 0 for the steps that see the entering state, reach the end, and see one another."""
    alive, to_end = segment == 0, segment == segment[..., -1:]
    same = segment[..., :, None] == segment[..., None, :]
    return alive.astype(dtype)[..., None], to_end.astype(dtype)[..., None], same.astype(dtype)


def _dot(a, b):
    return jnp.matmul(a, b, precision="highest")


def _outer(k, v):
    """Return Σₜ kₜ vₜᵀ."""
    return _dot(jnp.swapaxes(k, -1, -2), v)
