"""Blocks of time, for speed: which parts of a run cover all steps, a block of steps, or one step.

None of this changes a result.  The choices depend on the shapes and are made when a run is traced:

* **Projection** (`projection`).  z⁽ᵗ⁾ of all t is one product before the loop if it is small, else one product
  per step.
* **Sums over t** (`scan_blocks`).  ∇_θ is one contraction after the reverse loop if ∇z of all t is small;
  otherwise the loop contracts after every block of steps, while the block is still in the cache.
* **Unrolling** (`turns`).  Tiny steps run several per iteration of the loop.
* **Sharing** (`shared`).  An array that occurs twice in the residual of a step is stored once, and a constant of the
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
"""The largest array over all t, in bytes, that is computed in one piece."""

BLOCK = 4 * 2**20
"""The target size of ∇z in a block of steps, in bytes."""

SHORTEST = 16
"""The smallest number of steps in a block."""


def projection(cell: Cell, params: Params, xs: Inputs) -> tuple[Inputs, Callable[[Inputs], Inputs]]:
    """Return the inputs of a loop over t, and the function that maps one of them to z⁽ᵗ⁾."""
    if at_least(bytes_of(jax.eval_shape(cell.project, params, xs)), SMALL + 1):
        return xs, partial(cell.project, params)
    return cell.project(params, xs), lambda z: z


def turns(time: int, carry: PyTree) -> int:
    """Return the number of steps per iteration of the loop: 4 for tiny steps, else 1."""
    return 4 if at_least(time, 64) and at_most(bytes_of(carry), 2048) else 1


def block_length(time: int, zs: PyTree) -> int:
    """Return the number of steps to contract together; `zs` has the shapes of ∇z for all t.

    A nearby divisor of `time` is preferred, because a remainder is compiled separately.

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
    """Run `lax.scan(step)` and contract its outputs in blocks of `length` steps.

    Args:
      step: (state, at_t) → (state, local), as for `lax.scan`.
      contract: (at_ts, locals) of consecutive steps → (sums, per_t): arrays to sum, and arrays
        `[time, ...]`.
      state: the initial state.
      over_t: arrays `[time, ...]`.
      time: the number of steps.
      length: the number of steps in a block.
      reverse: True to run from the last step to the first.

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
    """A pytree that stores equal leaves once; `shared` builds it, `whole` restores the pytree."""

    arrays: tuple
    """The distinct leaves."""
    layout: Any
    """Static: the structure, and for each leaf its place in `arrays`, or −1 − its place in `held`."""

    def whole(self, held: Sequence = ()) -> PyTree:
        """Return the pytree, given the leaves `held` that were not stored."""
        structure, places = self.layout
        return jax.tree.unflatten(structure, [self.arrays[i] if i >= 0 else held[-1 - i] for i in places])


jax.tree_util.register_pytree_node(
    Shared, lambda tree: ((tree.arrays,), tree.layout), lambda layout, arrays: Shared(*arrays, layout)
)


def shared(tree: PyTree, held: Sequence = ()) -> Shared:
    """Return `tree` with identical leaves stored once and the leaves in `held` not stored.

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
