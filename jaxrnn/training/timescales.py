"""Time scales in the optimizer, as optax transformations.

* The α of leaky units, fixed or learned.  `alphas(params)` is an optax mask, True at every α of a `Leaky`:

      optax.chain(optax.adam(1e-3), optax.masked(optax.set_to_zero(), alphas))        α is fixed
      optax.chain(optax.adam(1e-3), bound_alphas())                                  α is learned within [0, 1]

* Groups of parameters that are updated at different frequencies, `update_every(periods)`: group k is updated at every
  p_k-th call, by the mean of the updates since,

      Δθ_k⁽ⁿ⁾ = (1/p_k) Σ_{m = n − p_k + 1 … n} u_k⁽ᵐ⁾   where p_k | n,        0 elsewhere

  Periods may differ between units, so the columns of one W can belong to different groups.

References: Mozer 1992; El Hihi & Bengio 1996; chapter 3.2.3, items 5 and 6; Goodfellow et al. 2016, §10.9.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Int, PyTree

from jaxrnn.cells.wrappers.leaky import LeakyParams
from jaxrnn.core.types import Params


def alphas(params: Params) -> PyTree[bool]:
    """Return an optax mask that is True at every α of a `Leaky`, at any depth.

    Args:
      params: any tree of parameters.

    Returns:
      A tree of booleans with the structure of `params`.

    >>> from jaxrnn import Elman, Leaky, Stack
    >>> params = Stack((Leaky(Elman(3, 5), 0.9), Elman(5, 2))).init(jax.random.key(0))
    >>> alphas(params)
    (LeakyParams(cell=ElmanParams(u=False, w=False, b=False), alpha=True), ElmanParams(u=False, w=False, b=False))

    References: `optax.masked`.
    """

    def node(n):
        here: Any = isinstance(n, LeakyParams)
        return LeakyParams(alphas(n.cell), here) if here else False

    return jax.tree.map(node, params, is_leaf=lambda n: isinstance(n, LeakyParams))


def bound_alphas() -> optax.GradientTransformation:
    """Shorten updates so that every α of a `Leaky` stays in [0, 1].

    Returns:
      An optax transformation, the last one of a chain.

    >>> from jaxrnn import Elman, Leaky
    >>> params = Leaky(Elman(3, 5), 0.9).init(jax.random.key(0))
    >>> push = jax.tree.map(jnp.ones_like, params)
    >>> updates, _ = bound_alphas().update(push, optax.EmptyState(), params)
    >>> optax.apply_updates(params, updates).alpha.tolist()
    [1.0]
    """

    def update(updates, state, params=None):
        if params is None:
            raise ValueError("`params` must be given to `update`: the allowed step depends on the current α.")

        def leaf(is_alpha, u, p):
            return jnp.clip(p + u, 0, 1) - p if is_alpha else u

        return jax.tree.map(leaf, alphas(params), updates, params), state

    return optax.GradientTransformation(lambda params: optax.EmptyState(), update)


class UpdateEveryState(NamedTuple):
    """The state of `update_every`.

    >>> update_every({"w": 2}).init({"w": jnp.ones(3)}).count.item()
    0
    """

    count: Int[Array, ""]
    """n, the number of calls."""
    sums: PyTree
    """The sum of the updates of each parameter since its last update."""


def update_every(periods: PyTree) -> optax.GradientTransformation:
    """Update each group of parameters at its own frequency, by the mean update since the last.

    Args:
      periods: p, with the structure of the parameters: an integer of at least 1 for a whole leaf, or integers that
        broadcast against it, such as `[hidden]` for one period per unit (a column of W and U and an entry of b).

    Returns:
      An optax transformation.  Before the optimizer in a chain it averages gradients, after the optimizer it averages
      updates.  With one period for all parameters it is `optax.MultiSteps`.

    Raises:
      ValueError: a period that is not an integer of at least 1; one that does not fit its leaf.

    >>> from jaxrnn import Elman
    >>> from jaxrnn.cells import ElmanParams
    >>> pace = np.array([1, 1, 4, 4])  # two quick units, two slow ones
    >>> optimizer = optax.chain(optax.sgd(0.1), update_every(ElmanParams(u=pace, w=pace, b=pace)))
    >>> params = Elman(3, 4).init(jax.random.key(0))
    >>> updates, _ = optimizer.update(jax.tree.map(jnp.ones_like, params), optimizer.init(params))
    >>> (updates.b != 0).tolist()
    [True, True, False, False]

    References: chapter 3.2.3, item 6; `optax.MultiSteps`.
    """
    for period in jax.tree.leaves(periods):
        if not np.issubdtype(np.asarray(period).dtype, np.integer) or np.any(np.asarray(period) < 1):
            raise ValueError(f"`periods` must hold integers of at least 1, got {period!r}.")

    def init(params):
        def leaf(period, p):
            try:
                np.broadcast_to(period, np.shape(p))
            except ValueError:
                shapes = f"{np.shape(period)} must fit a parameter of shape {np.shape(p)}"
                raise ValueError(f"`periods` of shape {shapes}.") from None
            return jnp.zeros_like(p)

        return UpdateEveryState(jnp.zeros((), jnp.int32), jax.tree.map(leaf, periods, params))

    def update(updates, state, params=None):
        count = state.count + 1
        sums = jax.tree.map(jnp.add, state.sums, updates)
        due = jax.tree.map(lambda period: count % jnp.asarray(period) == 0, periods)
        updates = jax.tree.map(lambda d, s, p: jnp.where(d, s / jnp.asarray(p, s.dtype), 0), due, sums, periods)
        sums = jax.tree.map(lambda d, s: jnp.where(d, 0, s), due, sums)
        return updates, UpdateEveryState(count, sums)

    return optax.GradientTransformation(init, update)
