"""Runs with a stretch of the steps on every device, shared by `unroll_sharded` and `unroll_newton_sharded`.

Device d holds its own x⁽ᵗ⁾, masks and resets, the parameters and h⁽⁰⁾; `jaxrnn.unrolling.parallel.time_axis.Cut`
exchanges the rest.  No device holds an array over all t.
"""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, NamedSharding, PartitionSpec, reshard, use_abstract_mesh
from jaxtyping import PyTree

from jaxrnn.unrolling.parallel.time_axis import Cut, Whole
from jaxrnn.unrolling.scan import prepare


def check_mesh(mesh: Mesh, axis: str, time: int, of: str = "xs") -> None:
    """Raise ValueError if the mesh has no such axis, or `time` is not a multiple of its size."""
    if axis not in mesh.shape:
        raise ValueError(f"`axis` must be one of the mesh's axes {tuple(mesh.shape)}, got {axis!r}.")
    if time == 0 or time % mesh.shape[axis]:
        raise ValueError(
            f"`{of}` must have a number of steps that is a multiple of the {mesh.shape[axis]} devices along {axis!r}, "
            f"got {time}. Pad it{', with `mask` False on the padding' if of == 'xs' else ''}."
        )


def run_in_stretches(
    stretch: Callable, how: tuple, mesh: Mesh, time: Cut, *, whole: PyTree, over_t: PyTree
) -> tuple[PyTree, PyTree, PyTree]:
    """Run a function over the devices of a mesh, each with a stretch of the steps.

    XLA chooses the shardings that are not specified here, such as those of the rows, for any type of mesh axes.  If
    `over_t` is sharded over axes of type Explicit, as those of `jax.make_mesh` are, so are the results: time along
    the axis that cuts it, rows as in `over_t`.

    Args:
      stretch: (*how, time, whole, over_t) of one device → (carry after its last step, ys, others), where all devices
        have the same others.
      how: hashable arguments, known when the program is traced.
      mesh: the devices.
      time: the axis along which time is cut, and the order of the steps.
      whole: arrays that every device has.
      over_t: arrays `[time, ...]`; a device has its stretch.

    Returns:
      (carry, ys, others) of the whole run.
    """
    auto = Mesh(mesh.devices, mesh.axis_names)
    first = jax.tree.leaves(over_t)[0]
    given = jax.typeof(first).sharding
    if not given.mesh.explicit_axes:
        return _run(stretch, how, auto, time, whole, over_t)
    with use_abstract_mesh(auto.abstract_mesh):
        results = _run(stretch, how, auto, time, *reshard((whole, over_t), NamedSharding(auto, PartitionSpec())))
    rows = given.spec[1 : first.ndim - 1]
    layout = PartitionSpec(*rows), PartitionSpec(time.axis, *rows), PartitionSpec(*rows)
    return reshard(results, tuple(NamedSharding(mesh, spec) for spec in layout))


@partial(jax.jit, static_argnums=(0, 1, 2, 3))
def _run(stretch, how, mesh, time, whole, over_t):
    cut, same = PartitionSpec(time.axis), PartitionSpec()

    def of_one_device(whole, over_t):
        carry, ys, others = stretch(*how, time, whole, over_t)
        return jax.tree.map(lambda h: h[None], carry), ys, others

    carries, ys, others = jax.shard_map(
        of_one_device,
        mesh=mesh,
        in_specs=(same, cut),
        out_specs=(cut, cut, same),
        axis_names={time.axis},
        check_vma=False,  # a cell's step may hold a loop, which would have to know of devices
    )(whole, over_t)
    return Whole(time.reverse).last(carries), ys, others


def prepare_stretch(time: Cut, cell, params, xs, carry, mask, reset):
    """Return the results of `prepare` for one stretch: a boundary may lie between two."""
    *prepared, reset = prepare(cell, params, xs, carry, mask, reset, False)
    if time.reverse and reset is not None:
        reset = time.shift(reset, jnp.zeros_like(reset[0]))
    return *prepared, reset
