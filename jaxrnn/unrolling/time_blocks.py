"""How time is cut for speed: what runs at once, what runs in blocks, what runs one step at a time.

None of this changes a result.  The choices are made from the shapes when a run is traced:

* **Projection** (`projection`).  z⁽ᵗ⁾ of all t is one product before the loop while that stays small, and a
  product in each step from then on.
* **Sums over t** (`scan_blocks`).  ∇_θ is one contraction after the reverse loop while ∇z of all t stays
  small; from then on the loop pauses after every block of steps and contracts what is still in the cache.
* **Unrolling** (`turns`).  Steps with next to nothing to do go several to a turn of the loop.
* **Sharing** (`shared`).  An array that occurs twice in the record of a step is recorded once, and a constant of the
  carry (`jaxrnn.core.carry_facts`) once for all t.

The limits come from measurements: `docs/performance.md`.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import PyTree

from jaxrnn.core.types import Cell, Inputs, Params
from jaxrnn.machines.meshes import scan
from jaxrnn.machines.sizes import at_least, at_most, bytes_of

SMALL = 16 * 2**20
"""Bytes up to which an array over all t is made in one piece."""

BLOCK = 4 * 2**20
"""Bytes of ∇z that a block of steps should come to, where there are blocks."""

SHORTEST = 16
"""No block has fewer steps than this."""


def projection(cell: Cell, params: Params, xs: Inputs) -> tuple[Inputs, Callable[[Inputs], Inputs]]:
    """What a loop over t reads, and how one t of that becomes z⁽ᵗ⁾."""
    if at_least(bytes_of(jax.eval_shape(cell.project, params, xs)), SMALL + 1):
        return xs, partial(cell.project, params)
    return cell.project(params, xs), lambda z: z


def turns(time: int, carry: PyTree) -> int:
    """How many steps go to one turn of the loop: 4 where a step is tiny, 1 elsewhere."""
    return 4 if at_least(time, 64) and at_most(bytes_of(carry), 2048) else 1


def block_length(time: int, zs: PyTree) -> int:
    """How many steps are contracted together; `zs` has the shapes of ∇z for all t.

    A divisor of `time` is taken where there is one near, as the rest would be compiled apart.

    >>> block_length(100, jax.ShapeDtypeStruct((100, 64, 1024), jnp.float32))
    20
    """
    if not (at_least(bytes_of(zs), SMALL + 1) and at_least(time, SHORTEST + 1)):
        return time
    least = min(time, max(SHORTEST, math.ceil(BLOCK * time / bytes_of(zs))))
    return next((n for n in range(least, min(time, 2 * least) + 1) if time % n == 0), least)


def scan_blocks(
    step: Callable, contract: Callable, state: PyTree, over_t: PyTree, time: int, length: int, *, reverse: bool
) -> tuple[PyTree, PyTree, PyTree]:
    """`lax.scan(step)`, which contracts what the steps give back, `length` steps at a time.

    Args:
      step: (state, at_t) → (state, local), as for `lax.scan`.
      contract: (at_ts, locals) of consecutive steps → (sums, per_t): arrays to be added up, and arrays
        `[time, ...]`.
      state: the initial state.
      over_t: arrays `[time, ...]`.
      time, length: the number of steps, of all and of a block.
      reverse: from the last step to the first.

    Returns:
      (state, sums, per_t).
    """

    def block(state, start, length):
        # by index, not by slices handed to the inner scan: those would be copied
        state, locals_ = scan(
            lambda state, t: step(state, jax.tree.map(lambda a: _at(a, t), over_t)),
            state,
            start + jnp.arange(length),
            reverse=reverse,
            unroll=turns(time, state),
        )
        return state, contract(jax.tree.map(lambda a: lax.dynamic_slice_in_dim(a, start, length), over_t), locals_)

    if length == time:
        state, locals_ = scan(step, state, over_t, reverse=reverse, unroll=turns(time, state))
        return state, *contract(over_t, locals_)
    whole, rest = divmod(time, length)
    first = rest if reverse else 0  # the rest comes last

    def outer(state, start):
        state, sums = state
        state, (more, per_t) = block(state, start, length)
        return (state, jax.tree.map(jnp.add, sums, more)), per_t

    none = _zeros(jax.eval_shape(lambda s: block(s, 0, length)[1][0], state))
    (state, sums), per_t = scan(outer, (state, none), first + length * jnp.arange(whole), reverse=reverse)
    per_t = jax.tree.map(lambda a: lax.collapse(a, 0, 2), per_t)
    if rest:
        state, (more, last) = block(state, 0 if reverse else whole * length, rest)
        sums = jax.tree.map(jnp.add, sums, more)
        per_t = jax.tree.map(lambda *a: jnp.concatenate(a), *((last, per_t) if reverse else (per_t, last)))
    return state, sums, per_t


class Shared(NamedTuple):
    """A pytree whose equal leaves are held once; `shared` makes it, `whole` gives the pytree back."""

    arrays: tuple
    """The distinct leaves."""
    layout: Any
    """Static: the structure, and for each leaf its place in `arrays`, or −1 − its place in `held`."""

    def whole(self, held: Sequence = ()) -> PyTree:
        """The pytree; `held` are the leaves that were not recorded."""
        structure, places = self.layout
        return jax.tree.unflatten(structure, [self.arrays[i] if i >= 0 else held[-1 - i] for i in places])


jax.tree_util.register_pytree_node(
    Shared, lambda tree: ((tree.arrays,), tree.layout), lambda layout, arrays: Shared(*arrays, layout)
)


def shared(tree: PyTree, held: Sequence = ()) -> Shared:
    """`tree`, with leaves that are one and the same object held once, and those in `held` not at all.

    >>> a, b, c = jnp.ones(3), jnp.ones(2), jnp.ones(1)
    >>> len(shared((a, b, a)).arrays), len(shared((a, b, a, c), held=(c,)).arrays)
    (2, 2)
    """
    leaves, structure = jax.tree.flatten(tree)
    place = {id(leaf): -1 - i for i, leaf in enumerate(held)}
    distinct = [leaf for leaf in {id(leaf): leaf for leaf in leaves}.values() if id(leaf) not in place]
    place |= {id(leaf): i for i, leaf in enumerate(distinct)}
    return Shared(tuple(distinct), (structure, tuple(place[id(leaf)] for leaf in leaves)))


def _at(a, t):
    return lax.dynamic_index_in_dim(a, t, keepdims=False)


def _zeros(tree: PyTree) -> PyTree:
    return jax.tree.map(lambda a: jnp.zeros(a.shape, a.dtype), tree)
