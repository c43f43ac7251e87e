"""Ridge regression: the read-out as the solution of a least-squares problem.

    V, c = argmin Σₜ ‖y⁽ᵗ⁾ − c − V h⁽ᵗ⁾‖² + β ‖V‖²           over every valid step of every series

c is not penalized.  After subtracting the means, X = H − h̄ and Y = Y − ȳ, it is one least-squares problem,

    V = (XᵀX + βI)⁻¹ XᵀY,      c = ȳ − V h̄,

which can be solved in three ways:

    ridge                   all steps at once, by QR of [X; √β I], whose condition number is that of X, not its square
    add_equations, solve    one pass over data that does not fit in memory: sums of XᵀX and XᵀY, then Cholesky
    track                   after every step, by recursive least squares, which can also forget

All of them compute in float64, for any setting of `jax_enable_x64`, and return `ReadoutParams`.
`ridge` and `solve` are differentiable, by the implicit function theorem:

    (XᵀX + βI) dV = dXᵀ (Y − XV) + Xᵀ (dY − dX V) − dβ V

so a leak, a spectral radius or a scaling can be trained by gradient *through* the solution.

β → `penalty`, H → `hs`, Y → `targets`.

The module is longer than 300 lines so that `ridge` and `solve`, which share the centering, the checks and the error for
a singular system, stand side by side.

References: Hoerl & Kennard 1970; Golub & Van Loan 2013, §5.3 and §6.1; Haykin 2002, ch. 9 (recursive least
squares); Lukoševičius 2012, §4; chapter 6.1, items 2 and 3.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.scipy.linalg import cho_solve, solve_triangular
from jaxtyping import Array, Bool, Float

from jaxrnn.core.arguments import as_array, as_numbers, known_values
from jaxrnn.core.checks import check_features, check_positive, check_shape, check_steps
from jaxrnn.objectives.readout import ReadoutParams
from jaxrnn.reservoirs.float64 import Double, in_float64, product
from jaxrnn.unrolling.checkpointing import nested

ROWS = 128
"""The number of steps summed together; their float64 copy stays in the cache."""


class Equations(NamedTuple):
    """The normal equations of a ridge regression: sums over the steps so far.

    >>> float(no_equations(2, 1).count.high)
    0.0
    """

    count: Double
    """The number of steps."""
    moments: Double
    """Σ [1, h, y]ᵀ [1, h]: `[1 + hidden + output, 1 + hidden]`."""


def ridge(
    hs: Float[Array, "..."],
    targets: Float[Array, "..."],
    penalty: float | Float[Array, ""],
    *,
    mask: Bool[Array, "..."] | None = None,
) -> ReadoutParams:
    """Return V and c that minimize Σ ‖y − c − V h‖² + β ‖V‖².

    Args:
      hs: h, `[time, *batch, hidden]`.
      targets: y, `[time, *batch, output]`.
      penalty: β ≥ 0.  Under `vmap` over many, the data are factorized once.
      mask: `[time, *batch]`; False where a step does not count, as in padding or in the washout.

    Returns:
      `ReadoutParams(v, c)`, for `Readout(hidden, output)`.

    Solve many problems by one `vmap` over all of them: two batched factorizations that one program runs in parallel on
    two cores can deadlock (jaxlib 0.10).

    Raises:
      TypeError: `hs` or `targets` not floating, `mask` not boolean.
      ValueError: wrong shapes, a negative penalty; no solution, because `hs` or `targets` has NaN on a valid step,
        or because β = 0 and the columns of `hs` are linearly dependent.  Under `jit` the result is NaN instead.

    >>> hs = jax.random.normal(jax.random.key(0), (50, 4, 3))
    >>> v = jnp.array([[1.0, 0.0], [2.0, 0.0], [0.0, 3.0]])
    >>> params = ridge(hs, hs @ v + 5.0, penalty=0.0)
    >>> bool(jnp.allclose(params.v, v, atol=1e-6)), bool(jnp.allclose(params.c, 5.0, atol=1e-6))
    (True, True)

    References: Golub & Van Loan 2013, §6.1.4.
    """
    hs, targets, mask = check_regression(hs, targets, mask)
    penalty = _check_penalty(penalty)
    if mask.size == 0:
        raise _no_solution("`hs`")
    return _solved(_ridge(hs, targets, mask, penalty), "`hs`")


def no_equations(hidden_size: int, output_size: int) -> Equations:
    """Return the normal equations of no steps.

    Args:
      hidden_size: the size of h.
      output_size: the size of y.

    Returns:
      `Equations`, all 0.

    Raises:
      ValueError: a size below 1.

    >>> equations = add_equations(no_equations(3, 2), jnp.ones((7, 3)), jnp.ones((7, 2)))
    >>> float(equations.count.high)
    7.0
    """
    check_positive(hidden_size=hidden_size, output_size=output_size)
    shape = 1 + hidden_size + output_size, 1 + hidden_size
    return Equations(Double(jnp.zeros(()), jnp.zeros(())), Double(jnp.zeros(shape), jnp.zeros(shape)))


def add_equations(
    equations: Equations,
    hs: Float[Array, "..."],
    targets: Float[Array, "..."],
    *,
    mask: Bool[Array, "..."] | None = None,
) -> Equations:
    """Add a block of steps to the normal equations.

    Equations of several machines are added leaf by leaf (`jax.lax.psum`).

    Args:
      equations: the sums so far; `no_equations(hidden, output)` to start.
      hs: h, `[time, *batch, hidden]`.
      targets: y, `[time, *batch, output]`.
      mask: `[time, *batch]`; False where a step does not count.

    Returns:
      `Equations`.

    Raises:
      TypeError: `equations` is not an `Equations`.
      TypeError, ValueError: as `ridge`; or sizes that differ from those of `equations`.

    >>> hs = jax.random.normal(jax.random.key(0), (60, 3))
    >>> equations = no_equations(3, 1)
    >>> for block in jnp.split(hs, 4):
    ...     equations = add_equations(equations, block, block[:, :1] - 2.0)
    >>> params = solve(equations, penalty=0.0)
    >>> bool(jnp.allclose(params.v[:, 0], jnp.array([1.0, 0.0, 0.0]), atol=1e-5)), round(params.c.item(), 4)
    (True, -2.0)
    """
    _check_equations(equations)
    hs, targets, mask = check_regression(hs, targets, mask)
    rows = 1 + hs.shape[-1] + targets.shape[-1]
    check_shape("equations.moments.high", equations.moments.high, (rows, 1 + hs.shape[-1]), "for these sizes")
    return _add(equations, hs, targets, mask)


def solve(equations: Equations, penalty: float | Float[Array, ""]) -> ReadoutParams:
    """Solve the normal equations for V and c: the result of `ridge` over all steps.

    XᵀX holds the squares of the singular values of X, so it loses singular values below 10⁻⁷ times the largest.  If β
    is smaller than that and Cholesky breaks down, β is raised to the rounding error of XᵀX.

    Args:
      equations: the result of `add_equations`.
      penalty: β ≥ 0; `vmap` over many needs no further pass over the data.

    Returns:
      `ReadoutParams(v, c)`.

    Raises:
      TypeError: `equations` is not an `Equations`.
      ValueError: a negative penalty; no solution, as for `ridge`.

    >>> hs = jax.random.normal(jax.random.key(0), (60, 3))
    >>> equations = add_equations(no_equations(3, 1), hs, hs[:, :1])
    >>> params = jax.vmap(lambda penalty: solve(equations, penalty))(jnp.array([0.0, 10.0, 1000.0]))
    >>> [round(x, 2) for x in params.v[:, 0, 0].tolist()]
    [1.0, 0.82, 0.04]
    """
    _check_equations(equations)
    return _solved(_solve(equations, _check_penalty(penalty)), "`equations`")


@jax.jit
@in_float64
def _ridge(hs, targets, mask, penalty):
    rows = mask.reshape(-1, 1)
    x, y = (jnp.where(rows, a.reshape(len(rows), -1), 0) for a in (hs, targets))
    h, t = (a.sum(axis=0) / rows.sum() for a in (x, y))
    v = _least_squares(jnp.where(rows, x - h, 0), jnp.where(rows, y - t, 0), penalty)
    v = jnp.where(rows.any(), v, jnp.nan)  # without a valid step, 0 is no solution
    return ReadoutParams(v, t - product(h, v))


@jax.custom_jvp
def _least_squares(x, y, penalty):
    """Return (XᵀX + βI)⁻¹ XᵀY from R and QᵀY of [X; √β I]; NaN if R is singular."""
    r, z = _triangular(x, y, penalty)
    pivots = jnp.abs(jnp.diagonal(r))
    singular = pivots.min() <= 4 * max(x.shape) * jnp.finfo(r.dtype).eps * pivots.max()
    return jnp.where(singular, jnp.nan, solve_triangular(r, z))


@_least_squares.defjvp
def _least_squares_jvp(primals, tangents):
    (x, y, penalty), (dx, dy, dpenalty) = primals, tangents
    v = _least_squares(x, y, penalty)
    r, _ = _triangular(x, y, penalty)
    dv = product(dx.T, y - product(x, v)) + product(x.T, dy - product(dx, v)) - dpenalty * v
    return v, solve_triangular(r, solve_triangular(r, dv, trans=1))


def _triangular(x, y, penalty):
    """Return R and QᵀY of [X; √β I] from those of X alone, which `vmap` over β computes once."""
    root = jnp.where(penalty > 0, jnp.sqrt(jnp.where(penalty > 0, penalty, 1)), 0)  # √0 has no derivative
    n = x.shape[-1]
    below = jnp.concatenate([root * jnp.eye(n), jnp.zeros((n, y.shape[-1]))], axis=1)
    above = jnp.linalg.qr(jnp.concatenate([x, y], axis=1), mode="r")
    r = jnp.linalg.qr(jnp.concatenate([above, below]), mode="r")
    return r[:n, :n], r[:n, n:]


@jax.jit
def _add(equations, hs, targets, mask):
    rows = [a.reshape(mask.size, a.shape[-1]) for a in (hs, targets, mask[..., None])]
    equations, _ = nested(lambda e, at: (_add_block(e, *at), ()), lambda *_: (), (ROWS,), equations, rows, False)
    return equations


@in_float64
def _add_block(equations, x, y, mask):
    one, x, y = mask.astype(x.dtype), jnp.where(mask, x, 0), jnp.where(mask, y, 0)
    beside = jnp.concatenate([one, y], axis=1).T
    own, cross = product(beside, one), product(beside, x)
    moments = jnp.block([[own[:1], cross[:1]], [cross[:1].T, _squares(x)], [own[1:], cross[1:]]])
    count, moments = equations.count + mask.sum(), equations.moments + moments
    return Equations(Double(count, jnp.zeros_like(count)), Double(moments, jnp.zeros_like(moments)))


def _squares(rows):
    """Return Σₜ rₜ rₜᵀ, in up to 4 × 4 blocks with those above the diagonal mirrored."""
    parts = jnp.array_split(rows, min(4, 1 + rows.shape[1] // 64), axis=1)
    products = {(i, j): product(a.T, b) for i, a in enumerate(parts) for j, b in enumerate(parts[: i + 1])}
    every = range(len(parts))
    return jnp.block([[products[i, j] if i >= j else products[j, i].T for j in every] for i in every])


@jax.jit
@in_float64
def _solve(equations, penalty):
    n = equations.moments.shape[-1] - 1
    means, products = equations.moments[1:, 0] / equations.count, equations.moments[1:, 1:]
    centered = products - equations.count * jnp.outer(means, means[:n])
    v = _positive_solve(centered[:n], centered[n:].T, penalty)
    return ReadoutParams(v, means[n:] - product(means[:n], v))


@jax.custom_jvp
def _positive_solve(gram, cross, penalty):
    """Return (A + βI)⁻¹ C, with β raised by the rounding error of A if Cholesky needs it.

    β = 0 is not raised: the result is NaN if it does not suffice.
    """
    n = len(gram)
    rounding = jnp.finfo(gram.dtype).eps * jnp.trace(gram)
    lower = lax.linalg.cholesky(gram + penalty * jnp.eye(n))
    broken = ~(jnp.diagonal(lower).min() ** 2 > rounding)  # NaN included
    shift = jnp.where(broken, jnp.where(penalty > 0, penalty + n * rounding, jnp.nan), penalty)
    return cho_solve((lax.linalg.cholesky(gram + shift * jnp.eye(n)), True), cross)


@_positive_solve.defjvp
def _positive_solve_jvp(primals, tangents):
    (gram, _, penalty), (dgram, dcross, dpenalty) = primals, tangents
    v = _positive_solve(*primals)
    return v, _positive_solve(gram, dcross - product(dgram, v) - dpenalty * v, penalty)


def check_regression(hs, targets, mask):
    """Check `hs`, `targets` and the mask as `ridge` documents, and return them as arrays."""
    hs, targets = as_array("hs", hs, "numbers"), as_array("targets", targets, "numbers")
    for name, array in (("hs", hs), ("targets", targets)):
        if array.ndim < 2:
            raise ValueError(f"`{name}` must have shape [time, *batch, features], got {array.shape}.")
        check_features(name, array, size=array.shape[-1])
    check_shape("targets", targets, (*hs.shape[:-1], targets.shape[-1]), "[time, *batch, output], the axes of `hs`")
    mask = check_steps("mask", mask, hs.shape[:-1], "hs")
    return hs, targets, jnp.ones(hs.shape[:-1], bool) if mask is None else mask


def _check_equations(equations: Equations) -> None:
    if not isinstance(equations, Equations):
        raise TypeError(f"`equations` must be those of no_equations and add_equations, got {equations!r}.")


def _check_penalty(penalty) -> Array:
    number = as_numbers("penalty", penalty)
    known = known_values(number)
    if known is not None and not (np.ndim(known) == 0 and 0 <= known < np.inf):
        raise ValueError(f"`penalty` must be one number of at least 0, got {penalty}.")
    return number


def _solved(params: ReadoutParams, source: str) -> ReadoutParams:
    """Return the result, or raise if it is known not to be finite."""
    known = [known_values(leaf) for leaf in params]
    if all(leaf is None or np.isfinite(leaf).all() for leaf in known):
        return params
    raise _no_solution(source)


def _no_solution(source: str) -> ValueError:
    return ValueError(
        f"{source} must be finite on at least one valid step, and so must the targets, and without a penalty no column "
        "may be a combination of the others: there is no solution. Look for NaN, mask it, or give a `penalty` above 0."
    )
