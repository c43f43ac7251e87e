"""From the ends of all descents to distinct points: drop outliers, merge duplicates, and record the reasons.

    outlier      ‖h − m‖ > reach · √⟨‖h₀ − m‖²⟩         m the mean of the starts h₀
    duplicate    maxᵢ |hᵢ − h′ᵢ| < merge                h′ a kept point of the same input with a smaller q

Points are kept greedily in the order of q; along a line of fixed points, the kept ones are at least `merge` apart.

References: Golub & Sussillo 2018 (FixedPointFinder).
"""

from typing import TYPE_CHECKING, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Int, PyTree

from jaxrnn.core.pytrees import ravel_floating
from jaxrnn.dynamics.fixed_points.codes import Code

if TYPE_CHECKING:
    from jaxrnn.dynamics.fixed_points.search import Found


class Outcome(Code):
    """The outcome of the search from one start.

    Args:
      value: 0 … 5.

    >>> Outcome(1).name
    'SLOW'

    References: Golub & Sussillo 2018.
    """

    FIXED = 0
    """A fixed point: q is at most the tolerance."""
    SLOW = 1
    """A slow point: q is above the tolerance and at most `slow`."""
    MOVING = 2
    """Dropped: q is larger."""
    NOT_FINITE = 3
    """Dropped: q is NaN or infinite."""
    OUTLIER = 4
    """Dropped: far from all starts."""
    DUPLICATE = 5
    """Merged into the same point with a smaller q."""


class Points(NamedTuple):
    """Distinct fixed points and slow points, least q first.

    >>> Points._fields
    ('h', 'q', 'x', 'slow', 'starts', 'indices')
    """

    h: Float[Array, "points n"]
    """The floating numbers of the carry as vectors."""
    q: Float[Array, " points"]
    """½‖f(h, x) − h‖²."""
    x: PyTree
    """The constant input, `[points, features]`."""
    slow: Array
    """True for slow points."""
    starts: Int[Array, " points"]
    """The number of starts that have reached the point."""
    indices: Int[Array, " points"]
    """The start that keeps it; `Found` at these indices is the point."""


def mean_and_spread(starts: Float[Array, "starts n"]) -> tuple[Float[Array, " n"], Float[Array, ""]]:
    """Return m and √⟨‖h₀ − m‖²⟩ of the starts without NaN."""
    mean = jnp.nanmean(starts, axis=0)
    return mean, jnp.sqrt(jnp.nanmean(jnp.sum((starts - mean) ** 2, axis=-1)))


def merged(points, q, x, starts, tolerance, slow, merge, reach) -> tuple[Int[Array, " starts"], Int[Array, " starts"]]:
    """Return the outcome of every start, and the start that keeps its point."""
    mean, spread = mean_and_spread(starts)
    far = (jnp.linalg.norm(points - mean, axis=-1) > reach * spread) & (spread > 0)
    outcome = jnp.where(q <= slow, Outcome.SLOW, Outcome.MOVING)
    outcome = jnp.where(q <= tolerance, Outcome.FIXED, outcome)
    outcome = jnp.where(far, Outcome.OUTLIER, outcome)
    outcome = jnp.where(jnp.isfinite(q), outcome, Outcome.NOT_FINITE)
    inputs = ravel_floating(x, 1)
    kept = outcome <= Outcome.SLOW

    def keep_next(into):
        best = jnp.argmin(jnp.where(kept & (into < 0), q, jnp.inf)).astype(into.dtype)
        same = (jnp.max(jnp.abs(points - points[best]), axis=-1) < merge) & jnp.all(inputs == inputs[best], axis=-1)
        same = same.at[best].set(True)
        return jnp.where(kept & (into < 0) & same, best, into)

    nowhere = jnp.full(q.shape, -1, jnp.int32)
    into = lax.while_loop(lambda into: jnp.any(kept & (into < 0)), keep_next, nowhere)
    duplicate = kept & (into != jnp.arange(q.size))
    return jnp.where(duplicate, Outcome.DUPLICATE, outcome), into


def distinct(found: "Found", *, size: int | None = None) -> Points:
    """Return the distinct points of a search, least q first.

    Args:
      found: from `find`.
      size: the number of points to return, which makes the shapes static, as under `jit` and `vmap`; rows that are not
        needed have q = inf, `starts` = 0 and the numbers of the first start.  None for as many points as there are.

    Returns:
      `Points(h, q, x, slow, starts, indices)`.

    Raises:
      ValueError: under a transformation without `size`.

    >>> from jaxrnn import Elman
    >>> from jaxrnn.cells import ElmanParams
    >>> from jaxrnn.dynamics import fixed_points
    >>> params = ElmanParams(jnp.zeros((1, 1)), jnp.array([[2.0]]), jnp.zeros(1))
    >>> found = fixed_points.find(Elman(1, 1), params, jnp.zeros(1), jnp.linspace(-1, 1, 9)[:, None])
    >>> sorted(round(h, 3) + 0.0 for h in distinct(found).h[:, 0].tolist()), int(distinct(found).starts.sum())
    ([-0.958, 0.0, 0.958], 9)

    References: Golub & Sussillo 2018.
    """
    if size is None:
        if isinstance(found.outcome, jax.core.Tracer):
            raise ValueError("`size` must be given under jit and vmap, where no shape can depend on values, got None.")
        size = int(np.sum(np.asarray(found.outcome) <= Outcome.SLOW))
    kept = found.outcome <= Outcome.SLOW
    order = jnp.argsort(jnp.where(kept, found.q, jnp.inf))[:size]
    indices = jnp.where(kept[order], order, 0)
    members = jnp.sum(found.merged_into[:, None] == order, axis=0)
    return Points(
        h=found.points[indices],
        q=jnp.where(kept[order], found.q[indices], jnp.inf),
        x=jax.tree.map(lambda a: a[indices], found.x),
        slow=(found.outcome[order] == Outcome.SLOW),
        starts=jnp.where(kept[order], members, 0),
        indices=indices,
    )


def reasons(found: "Found") -> dict[str, int]:
    """Count the outcomes of the starts.

    Args:
      found: from `find`.

    Returns:
      The name of each `Outcome` and its number of starts; they add up to the number of starts.

    >>> from jaxrnn import Elman
    >>> from jaxrnn.cells import ElmanParams
    >>> from jaxrnn.dynamics import fixed_points
    >>> params = ElmanParams(jnp.zeros((1, 1)), jnp.array([[2.0]]), jnp.zeros(1))
    >>> found = fixed_points.find(Elman(1, 1), params, jnp.zeros(1), jnp.linspace(-1, 1, 9)[:, None])
    >>> {name: count for name, count in reasons(found).items() if count}
    {'FIXED': 3, 'DUPLICATE': 6}

    References: Golub & Sussillo 2018.
    """
    outcome = np.asarray(found.outcome)
    return {each.name: int(np.sum(outcome == each)) for each in Outcome}
