"""Arrays over the devices of a mesh, and loops that accept them.

JAX records the sharding of an array in its type, in two ways, and a loop must return a carry of the type that it
received:

* **Axes of type Explicit**, as `jax.make_mesh` makes them: the type says over which axes of the mesh each axis of the
  array is sharded, and an operation with two possible shardings of its result is an error.  `spread` runs a program
  with these axes left to XLA, so that no cell has to choose, and shards the results by a stated rule.
* **Manual axes**, inside `jax.shard_map`: the type says along which axes of the mesh the values may differ.  `alike`
  gives all arguments of a run the same axes.  Its transpose is one sum over the devices, after the run; without it the
  gradient of the parameters would be summed over the devices in every step.

`scan` and `while_loop` are those of `jax.lax`, started from a carry of the type that the body returns.

References: `jax.sharding` (explicit sharding); `jax.shard_map` (varying manual axes).
"""

from collections.abc import Callable, Iterable
from functools import partial

import jax
import jax.numpy as jnp
from jax import lax
from jax.sharding import AxisType, NamedSharding, PartitionSpec, get_abstract_mesh, reshard, use_abstract_mesh
from jaxtyping import Array, PyTree


def alike(*trees: PyTree) -> tuple:
    """Return the trees, with every array varying along the manual axes along which any of them varies."""
    axes = frozenset[str]().union(*map(_manual, jax.tree.leaves(trees))) if get_abstract_mesh().manual_axes else None
    return jax.tree.map(partial(_varying, axes), trees) if axes else trees


def as_typed(like: PyTree, tree: PyTree) -> PyTree:
    """Return `tree` with each array in the type of its counterpart: the axes it varies along, and its sharding."""
    return jax.tree.map(_as_typed, like, tree) if _on_a_mesh((like, tree)) else tree


def scan(body: Callable, start: PyTree, over_t: PyTree, *, length: int | None = None, **options) -> tuple:
    """Run `lax.scan` from a carry of the type that `body` returns."""
    if not _on_a_mesh((start, over_t)):
        return lax.scan(body, start, over_t, length=length, **options)

    def typed(carry, at_t):
        after, out = body(carry, at_t)
        return as_typed(carry, after), out

    start = _settled(lambda carry, over_t: body(carry, _first(over_t))[0], start, over_t)
    return lax.scan(typed, start, over_t, length=length, **options)


def while_loop(condition: Callable, body: Callable, start: PyTree) -> PyTree:
    """Run `lax.while_loop` from a carry of the type that `body` returns."""
    if not _on_a_mesh(start):
        return lax.while_loop(condition, body, start)
    start = _settled(lambda carry, _: body(carry), start, None)
    return lax.while_loop(condition, lambda carry: as_typed(carry, body(carry)), start)


def where(condition: Array, if_true: Array, if_false: Array) -> Array:
    """Apply `jnp.where` to two arrays of one shape, in the type of the second; `condition` has their leading axes."""
    condition = jnp.expand_dims(condition, tuple(range(condition.ndim, jnp.ndim(if_false))))
    if explicit_mesh((condition, if_true, if_false)) is not None:
        condition = as_typed(if_false, jnp.broadcast_to(condition, if_false.shape))
        if_true = as_typed(if_false, if_true)
    return jnp.where(condition, if_true, if_false)


def spread(run: Callable, layout: Callable, *arguments: PyTree) -> PyTree:
    """Run `run(*arguments)` over the mesh of the arguments: made `alike`, with axes of type Explicit left to XLA.

    Args:
      run: a function of trees of arrays.
      layout: results → a `PartitionSpec` for each; only asked where an argument lies on such axes.
      arguments: what `run` reads.

    Returns:
      The results; where an argument has Explicit axes in its type, the results have them too, as `layout` says.
    """
    arguments, mesh = alike(*arguments), explicit_mesh(arguments)
    if mesh is None:
        return run(*arguments)
    auto = mesh.update_axis_types({name: AxisType.Auto for name in mesh.explicit_axes})
    with use_abstract_mesh(auto):
        results = run(*jax.tree.map(lambda a: reshard(a, NamedSharding(auto, PartitionSpec())), arguments))
    return jax.tree.map(lambda a, spec: reshard(a, NamedSharding(mesh, spec)), results, layout(results))


def explicit_mesh(tree: PyTree):
    """Return the mesh with Explicit axes on which an array of the tree lies, or None."""
    meshes = (mesh for leaf in jax.tree.leaves(tree) if (mesh := _mesh(leaf)) is not None and mesh.explicit_axes)
    return next(meshes, None)


def spec_of(array: Array | jax.ShapeDtypeStruct) -> tuple:
    """Return the mesh axes over which each axis of the array is sharded, from its type."""
    sharding = getattr(_type(array), "sharding", None)
    spec = () if sharding is None else tuple(sharding.spec)
    return (*spec, *[None] * (len(array.shape) - len(spec)))


def mesh_axes(specs: Iterable[tuple]) -> frozenset[str]:
    """Return every axis of the mesh over which something is sharded."""
    entries = [entry for spec in specs for entry in spec if entry is not None]
    return frozenset(axis for entry in entries for axis in (entry if isinstance(entry, tuple) else (entry,)))


def _settled(step: Callable, carry: PyTree, over_t: PyTree) -> PyTree:
    """Return `carry` in a type that `step` keeps; a change of one leaf's type may reach another leaf a step later."""
    for _ in range(1 + len(jax.tree.leaves(carry))):
        typed = as_typed(jax.eval_shape(step, carry, over_t), carry)
        if list(map(_place, jax.tree.leaves(typed))) == list(map(_place, jax.tree.leaves(carry))):
            break
        carry = typed
    return carry


def _first(over_t: PyTree) -> PyTree:
    """Return the first step, for its type; zeros if there is no step."""

    def leaf(a):
        return a[0] if a.shape[0] != 0 else _as_typed(a, jnp.zeros(a.shape[1:], a.dtype))

    return jax.tree.map(leaf, over_t)


def _on_a_mesh(tree: PyTree) -> bool:
    return bool(get_abstract_mesh().manual_axes) or explicit_mesh(tree) is not None


def _type(leaf):
    return leaf if isinstance(leaf, jax.ShapeDtypeStruct) else jax.typeof(leaf)


def _mesh(leaf):
    sharding = getattr(_type(leaf), "sharding", None)
    return None if sharding is None else sharding.mesh


def _manual(leaf) -> frozenset[str]:
    """Return the manual axes along which a leaf varies."""
    manual = _type(leaf).manual_axis_type
    return frozenset() if manual is None else manual.varying


def _place(leaf) -> tuple:
    return _manual(leaf), spec_of(leaf)


def _varying(axes: frozenset[str], leaf: Array) -> Array:
    missing = tuple(sorted(axes - _manual(leaf)))
    return lax.pcast(leaf, missing, to="varying") if missing else leaf


def _as_typed(like: Array | jax.ShapeDtypeStruct, leaf: Array) -> Array:
    leaf, mesh = _varying(_manual(like), leaf), _mesh(like)
    if mesh is None or not mesh.explicit_axes or spec_of(like) == spec_of(leaf):
        return leaf
    return reshard(leaf, NamedSharding(mesh, PartitionSpec(*spec_of(like))))
