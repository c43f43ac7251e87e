"""A run of which every device has a stretch of the steps: what `unroll_sharded` and `unroll_newton_sharded` share.

Device d sees its own x⁽ᵗ⁾, masks and resets, the parameters, h⁽⁰⁾, and what `jaxrnn.unrolling.parallel.time_axis.Cut`
lets it know of the others.  No array over all t is on any device.
"""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, NamedSharding, PartitionSpec, reshard, use_abstract_mesh
from jaxtyping import PyTree

from jaxrnn.unrolling.parallel.time_axis import Cut
from jaxrnn.unrolling.scan import prepare


def check_mesh(mesh: Mesh, axis: str, time: int, of: str = "xs") -> None:
    """Raises ValueError if the mesh has no such axis, or `time` is not a multiple of its size."""
    if axis not in mesh.shape:
        raise ValueError(f"`axis` must be one of the mesh's axes {tuple(mesh.shape)}, got {axis!r}.")
    if time == 0 or time % mesh.shape[axis]:
        raise ValueError(
            f"`{of}` must have a number of steps that is a multiple of the {mesh.shape[axis]} devices along {axis!r}, "
            f"got {time}. Pad it{', with `mask` False on the padding' if of == 'xs' else ''}."
        )


def run_in_stretches(stretch: Callable, how: tuple, mesh: Mesh, axis: str, *arguments: PyTree) -> tuple:
    """A run over the devices of a mesh.

    What is not said about an array, as how its rows lie, is left to XLA, whatever the types of the mesh's axes are.
    Where `xs` lies on axes of type Explicit, as those of `jax.make_mesh` are, so do the results: time along `axis`,
    rows as in `xs`.

    Args:
      stretch: (*how, time, params, xs, carry, mask, reset) of one device → (carry after its last step, ys, others),
        where all devices have the same others; `time` is the `Cut`.
      how: what is known before any array is.
      mesh, axis: the devices.
      arguments: params, xs, carry, mask, reset of the whole run.

    Returns:
      (carries, ys, others); `carries` has the devices in front, in the order of time.
    """
    auto = Mesh(mesh.devices, mesh.axis_names)
    xs = arguments[1]
    given = jax.typeof(jax.tree.leaves(xs)[0]).sharding
    if not given.mesh.explicit_axes:
        return _run(stretch, how, auto, axis, *arguments)
    with use_abstract_mesh(auto.abstract_mesh):
        results = _run(stretch, how, auto, axis, *reshard(arguments, NamedSharding(auto, PartitionSpec())))
    rows = given.spec[1 : jax.tree.leaves(xs)[0].ndim - 1]
    layout = PartitionSpec(None, *rows), PartitionSpec(axis, *rows), PartitionSpec(*rows)
    return reshard(results, tuple(NamedSharding(mesh, spec) for spec in layout))


@partial(jax.jit, static_argnums=(0, 1, 2, 3))
def _run(stretch, how, mesh, axis, *arguments):
    over, whole = PartitionSpec(axis), PartitionSpec()
    return jax.shard_map(
        partial(stretch, *how, Cut(axis)),
        mesh=mesh,
        in_specs=(whole, over, whole, over, over),
        out_specs=(over, over, whole),
        axis_names={axis},
        check_vma=False,  # a cell's step may hold a loop, which would have to know of devices
    )(*arguments)


def prepare_stretch(time: Cut, cell, params, xs, carry, mask, reset, reverse: bool):
    """`prepare`, of one stretch: a boundary may lie between two."""
    *prepared, reset = prepare(cell, params, xs, carry, mask, reset, False)
    if reverse and reset is not None:
        reset = time.shift(reset, jnp.zeros_like(reset[0]), reverse=True)
    return *prepared, reset
