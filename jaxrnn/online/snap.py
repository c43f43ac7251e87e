"""SnAp-n: the sparse part of the influence that forms within n steps.

Most of J starts at 0: a parameter acts on its own unit at once, and on the others only through W, one step later.
SnAp-n keeps the entries of J that are nonzero after n steps from J = 0 and sets the others to 0:

    J⁽ᵗ⁾ = Pₙ ⊙ (D⁽ᵗ⁾ J⁽ᵗ⁻¹⁾ + I⁽ᵗ⁾),        P₁ = [I ≠ 0],   Pₙ₊₁ = [D ≠ 0] Pₙ ∨ P₁

n = 1 costs about as much as the step itself.  A larger n is closer to RTRL, and equals it once Pₙ holds every reachable
entry.  The patterns come from the derivatives of the cell at random points, so SnAp works for any cell.  Only the kept
entries are stored, `[rows, P, K]`, where K is the largest number of entries of one parameter.

References: Menick, Elsen, Evci, Osindero, Simonyan & Graves 2021, "A practical sparse approximation for real
time recurrent learning"; for the coloring, Curtis, Powell & Reid 1974.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array

from jaxrnn.core.checks import check_is_cell, check_positive
from jaxrnn.core.types import Carry, Cell, Inputs, Params
from jaxrnn.online.influence import OnlineState, OnlineStep, Row, begin, initial_influence, learn, row_step
from jaxrnn.unrolling.scan import select

POINTS = 32
"""The number of random points at which derivatives are inspected; a relu is off at all of them once in 2³²."""


class Pattern(NamedTuple):
    """The positions of the kept entries: P parameters with at most K entries each, as NumPy arrays."""

    rows: np.ndarray
    """`[P, K]`: the index of the carry entry."""
    kept: np.ndarray
    """`[P, K]`: False where a parameter has fewer than K entries."""
    direct: np.ndarray
    """`[P, K]`: True where I is nonzero."""
    color: np.ndarray
    """`[carry]`: carry entries of one color share no parameter of I, so one product with I gives all their rows."""


@jax.tree_util.register_static
@dataclass(frozen=True)
class SnAp:
    """Gradients through the entries of J that fill within n steps.

    Args:
      cell: any cell.
      n: the number of steps; 1 is the cheapest.

    Raises:
      TypeError: `cell` is not a cell.
      ValueError: n below 1.

    >>> from jaxrnn import LSTM
    >>> algorithm = SnAp(LSTM(input_size=2, hidden_size=3), n=1)
    >>> params, x = algorithm.cell.init(jax.random.key(0)), jnp.ones(2)
    >>> state = algorithm.init(params, x)
    >>> state.influence.shape  # one row, 72 parameters, each on its own unit's h and c
    (1, 72, 2)
    >>> state, done = algorithm.step(params, state, x, jnp.sum)

    References: Menick et al. 2021, §3.
    """

    cell: Cell
    n: int = 1

    def __post_init__(self):
        check_is_cell(cell=self.cell)
        check_positive(n=self.n)

    def init(self, params: Params, x: Inputs, carry: Carry | None = None) -> OnlineState:
        """Return the state before the first step; arguments as for `RTRL.init`."""
        start, rows, _ = begin(self.cell, params, x, carry)
        at = pattern(self.cell, self.n, *_shapes(x))
        held = _of_the_start(self.cell, at, params)
        held = held if carry is None else jnp.zeros_like(held)
        return OnlineState(start, jnp.broadcast_to(held, (rows, *held.shape)))

    def step(
        self, params: Params, state: OnlineState, x: Inputs, loss: Callable, *, mask=None, reset=None
    ) -> tuple[OnlineState, OnlineStep]:
        """Run one step; arguments and result as for `RTRL.step`."""
        at = pattern(self.cell, self.n, *_shapes(x))
        theta, unravel = ravel_pytree(params)

        def pull(influence, back):
            flat = jnp.einsum("bpk,bpk->p", influence, jnp.where(at.kept, back[:, at.rows], 0))
            return unravel(flat.astype(theta.dtype))

        advance = functools.partial(_advance, self.cell, at)
        return learn(self.cell, advance, pull, params, state, x, loss, mask, reset)


def _advance(cell: Cell, at: Pattern, params: Params, influence: Array, row: Row) -> Array:
    """Return the kept entries of D J + I; after a reset, from the J and the h of the initial carry."""
    if row.reset is not None:  # here and not inside the step, whose I has the pattern of a step without a reset
        influence = select(row.reset, _of_the_start(cell, at, params).astype(influence.dtype), influence)
        row = row._replace(carry=select(row.reset, cell.initial_carry(params), row.carry), reset=None)
    step, vector = row_step(cell, row)
    d = jax.jacrev(lambda v: step(params, v)[0])(vector)
    _, vjp = jax.vjp(lambda p: step(p, vector)[0], params)
    colors = jnp.asarray(np.eye(at.color.max(initial=0) + 1)[at.color].T, vector.dtype)
    products = jax.vmap(lambda c: ravel_pytree(vjp(c)[0])[0])(colors)
    direct = products[at.color[at.rows], np.arange(len(at.rows))[:, None]]

    def from_one(total, k):  # one of the K entries of each parameter at a time: [P, K, K] would be large
        source = jnp.take(jnp.asarray(at.rows), k, axis=1)
        return total + d[at.rows, source[:, None]] * jnp.take(influence, k, axis=1)[:, None], None

    total, _ = lax.scan(from_one, jnp.where(at.direct, direct, 0), jnp.arange(at.rows.shape[1]))
    return jnp.where(at.kept, total, 0).astype(influence.dtype)


def _of_the_start(cell: Cell, at: Pattern, params: Params) -> Array:
    """Return the kept entries of ∂h⁽⁰⁾/∂θ of one row: 0, unless the initial carry is learned."""
    whole = jax.vmap(lambda tree: ravel_pytree(tree)[0])(initial_influence(cell, params))
    return jnp.where(at.kept, whole[at.rows, np.arange(len(at.rows))[:, None]], 0)


def _shapes(x: Inputs) -> tuple:
    """Describe the input of one row, hashably: feature shape and dtype of each leaf, and the structure."""
    leaves, structure = jax.tree.flatten(jax.tree.map(jnp.asarray, x))
    return tuple((leaf.shape[-1:], str(leaf.dtype)) for leaf in leaves), structure


@functools.lru_cache(maxsize=64)
def pattern(cell: Cell, n: int, shapes: tuple, structure) -> Pattern:
    """Return the positions of the nonzero entries of J within n steps; computed once per cell."""
    direct, d = map(np.asarray, _derivatives(cell, shapes, structure))
    kept = direct
    for _ in range(n - 1):
        wider = (d.astype(np.float32) @ kept > 0) | direct
        if (wider == kept).all():
            break
        kept = wider
    most = max(int(kept.sum(0).max(initial=0)), 1)
    rows = np.argsort(~kept.T, axis=1, kind="stable")[:, :most]
    columns = np.arange(kept.shape[1])[:, None]
    return Pattern(rows, kept[rows, columns], direct[rows, columns], _colors(direct))


def _derivatives(cell: Cell, shapes: tuple, structure) -> tuple[Array, Array]:
    """Return where I `[carry, P]` and D `[carry, carry]` are nonzero at any of several random points."""

    def at(key):
        keys = jax.random.split(key, 3)
        params = _noisy(keys[0], cell.init(keys[1]))
        xs = structure.unflatten([jnp.zeros(shape, dtype) for shape, dtype in shapes])
        carry = _noisy(keys[2], cell.initial_carry(params))
        step, vector = row_step(cell, Row(carry, _noisy(keys[1], xs), None, None))
        i, d = jax.jacrev(lambda p, v: step(p, v)[0], argnums=(0, 1))(params, vector)
        first = initial_influence(cell, params)
        i, first = (jax.vmap(lambda tree: ravel_pytree(tree)[0])(tree) for tree in (i, first))
        return (i != 0) | (first != 0), d != 0

    def body(found, seed):
        return jax.tree.map(jnp.logical_or, found, at(jax.random.key(seed))), None

    def at_any(seeds):
        none = jax.tree.map(lambda a: jnp.zeros(a.shape, a.dtype), jax.eval_shape(at, jax.random.key(0)))
        return lax.scan(body, none, seeds)[0]

    seeds = np.arange(POINTS, dtype=np.uint32)
    return jax.jit(at_any).lower(seeds).compile()(seeds)  # now, even where the step that asks is being traced


def _noisy(key: Array, tree):
    """Add noise to the floating leaves, and redraw the keys from which a cell draws its own noise."""

    def leaf(a, k):
        if jnp.issubdtype(a.dtype, jnp.floating):
            return a + jax.random.normal(k, a.shape, a.dtype)
        return jax.random.bits(k, a.shape, a.dtype) if a.dtype == jnp.uint32 else a

    leaves, structure = jax.tree.flatten(tree)
    keys = jax.random.split(key, max(len(leaves), 1))
    return structure.unflatten([leaf(a, k) for a, k in zip(leaves, keys, strict=False)])


def _colors(direct: np.ndarray) -> np.ndarray:
    """Color the rows greedily so that rows of one color have no column in common."""
    taken: list[np.ndarray] = []
    color = np.zeros(len(direct), int)
    for i, row in enumerate(direct):
        free = next((c for c, used in enumerate(taken) if not (used & row).any()), len(taken))
        if free == len(taken):
            taken.append(np.zeros_like(row))
        taken[free] = taken[free] | row
        color[i] = free
    return color
