"""A sequence in pieces, each on a device of its own: time itself is sharded.

Device d holds the steps of one stretch.  It joins them to one step of the same kind, h ← A_d h + B_d
(`jaxrnn.associative`); the devices tell one another these two, which is all that is sent, and each works out what
enters its stretch:

    (A⁽ᵗ⁾, B⁽ᵗ⁾) = the steps of the stretch up to t, joined       on every device by itself
    h_d = A_{d−1} h_{d−1} + B_{d−1},   h_0 = h⁽⁰⁾                   the same D short steps on every device
    h⁽ᵗ⁾ = A⁽ᵗ⁾ h_d + B⁽ᵗ⁾                                         on every device by itself

So a sequence that one device cannot hold is had by many, for two carries' worth of traffic a device, whatever τ is.

References: Blelloch 1990, §1.3 (a scan over blocks); Martin & Cundy 2018, §2.2.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jax import lax
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Bool, PyTree, Shaped

from jaxrnn.associative import DIAGONAL, Algebra, check_linear, gated_coefficients, join
from jaxrnn.cells.linear import LinearCell
from jaxrnn.checks import check_unroll, leading_axes
from jaxrnn.types import Carry, Params
from jaxrnn.unroll import prepare, select, zeros


def unroll_sharded(
    cell: LinearCell,
    params: Params,
    xs: PyTree[Shaped[Array, "..."]],
    carry: Carry | None = None,
    *,
    mask: Bool[Array, "..."] | None = None,
    reset: Bool[Array, "..."] | None = None,
    reverse: bool = False,
    mesh: Mesh,
    axis: str,
) -> tuple[Carry, PyTree[Shaped[Array, "..."]]]:
    """`unroll_associative` with the steps shared out over the devices of a mesh.

    Arguments, results and errors are those of `unroll`; `ys` comes back shared out in the same way.  It can be
    differentiated, in both modes.

    Args:
      mesh: the devices.
      axis: the axis of the mesh along which time is cut; other axes of the mesh may share out the batch.

    Raises:
      TypeError: `cell` is not linear in its carry.
      ValueError: the mesh has no such axis, or time is not a multiple of its size.

    >>> from jaxrnn import MinGRU, unroll
    >>> cell = MinGRU(input_size=3, hidden_size=5)
    >>> params, xs = cell.init(jax.random.key(0)), jax.random.normal(jax.random.key(1), (8, 2, 3))
    >>> mesh = jax.make_mesh((jax.device_count(),), ("time",))
    >>> _, ys = unroll_sharded(cell, params, xs, mesh=mesh, axis="time")
    >>> bool(jnp.allclose(ys, unroll(cell, params, xs)[1], atol=1e-6))
    True

    References: Martin & Cundy 2018; `jax.shard_map`.
    """
    arguments = check_unroll(cell, params, xs, carry, mask, reset)
    check_linear(cell)
    _check_mesh(mesh, axis, leading_axes(arguments[0])[0])
    mesh = Mesh(mesh.devices, mesh.axis_names)  # XLA decides what is not said here, whatever the mesh's own types
    return _unroll(cell, params, *arguments, reverse=reverse, mesh=mesh, axis=axis)


def _check_mesh(mesh: Mesh, axis: str, time: int) -> None:
    if axis not in mesh.shape:
        raise ValueError(f"`axis` must be one of the mesh's axes {tuple(mesh.shape)}, got {axis!r}.")
    if time == 0 or time % mesh.shape[axis]:
        raise ValueError(
            f"`xs` must have a number of steps that is a multiple of the {mesh.shape[axis]} devices along {axis!r}, "
            f"got {time}. Pad it, with `mask` False on the padding."
        )


@partial(jax.jit, static_argnames=("reverse", "mesh", "axis"))
def _unroll(cell, params, xs, carry, mask, reset, *, reverse, mesh, axis):
    xs = _cut(xs, mesh, axis)
    xs, carry, initial, reset = prepare(cell, params, xs, carry, mask, reset, reverse)
    zs = cell.project(params, xs)
    a, b = gated_coefficients(cell, params, zs, mask, reset, initial)
    carries = linear_recurrence_sharded(a, b, carry, reverse=reverse, mesh=mesh, axis=axis)
    ys = cell.read(params, carries, zs)
    ys = ys if mask is None else select(mask, ys, zeros(ys))
    return jax.tree.map(lambda h: h[0 if reverse else -1], carries), _cut(ys, mesh, axis)


def _cut(tree: PyTree, mesh: Mesh, axis: str) -> PyTree:
    """Time along `axis`; how the rest lies is left open."""

    def leaf(a):
        spec = PartitionSpec(axis, *[PartitionSpec.UNCONSTRAINED] * (a.ndim - 1))
        return lax.with_sharding_constraint(a, NamedSharding(mesh, spec))

    return jax.tree.map(leaf, tree)


def linear_recurrence_sharded(
    a: PyTree, b: PyTree, start: PyTree, *, mesh: Mesh, axis: str, reverse: bool = False, algebra: Algebra = DIAGONAL
) -> PyTree:
    """`linear_recurrence` with its steps shared out over the devices along one axis of a mesh.

    Args:
      a, b, start, reverse, algebra: as for `linear_recurrence`; time is a multiple of the number of devices.
      mesh, axis: as for `unroll_sharded`.
    """
    cut, whole = PartitionSpec(axis), PartitionSpec()
    stretch = partial(_stretch, axis=axis, reverse=reverse, algebra=algebra)
    return jax.shard_map(stretch, mesh=mesh, in_specs=(cut, cut, whole), out_specs=cut, axis_names={axis})(a, b, start)


def _stretch(a: PyTree, b: PyTree, start: PyTree, *, axis: str, reverse: bool, algebra: Algebra) -> PyTree:
    """h⁽ᵗ⁾ of the steps that this device holds."""
    a, b = lax.associative_scan(partial(join, algebra), (a, b), reverse=reverse)
    last = 0 if reverse else -1
    joined = jax.tree.map(lambda leaf: lax.all_gather(leaf[last], axis), (a, b))  # of every device

    def over(h, ab):
        return jax.tree.map(jnp.add, algebra.apply(ab[0], h), ab[1]), h

    start = jax.tree.map(lambda h: lax.pcast(h, (axis,), to="varying"), start)
    entering = lax.scan(over, start, joined, reverse=reverse)[1]
    enters = jax.tree.map(lambda h: h[lax.axis_index(axis)], entering)
    return jax.tree.map(jnp.add, jax.vmap(lambda a: algebra.apply(a, enters))(a), b)
