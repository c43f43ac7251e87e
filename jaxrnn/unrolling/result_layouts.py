"""The layout of the results of a run on a mesh with Explicit axes.

Time and rows are sharded as in `xs`.  Features are sharded over the axes of the mesh that shard only parameters, if the
number of features is a multiple of the devices along these axes: if the weights of hidden units are sharded, so are ys
and the carry.

| | rows sharded | weights sharded |
|---|---|---|
| `xs` `[time, *batch, input]` | P(None, "rows", None) | P() |
| `params.w` `[hidden, gates]` | P() | P(None, "units") |
| `ys` `[time, *batch, hidden]` | P(None, "rows", None) | P(None, None, "units") |
| the carry `[*batch, hidden]` | P("rows", None) | P(None, "units") |

A gradient is sharded like the array that it belongs to.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
from jax.sharding import PartitionSpec
from jaxtyping import Array, PyTree

from jaxrnn.core.checks import leading_axes
from jaxrnn.core.types import Carry, Inputs, Params
from jaxrnn.machines.meshes import explicit_mesh, mesh_axes, spec_of


def results_layout(params: Params, xs: Inputs, results: tuple) -> tuple:
    """Return a `PartitionSpec` for each array of `(carry, ys, *reports)`; a report has only the axes of the rows."""
    of_rows, of_steps = layouts(params, xs)
    carry, ys, *reports = results
    return jax.tree.map(of_rows, carry), jax.tree.map(of_steps, ys), *jax.tree.map(of_rows, reports)


def layouts(params: Params, xs: Inputs) -> tuple[Callable[[Array], PartitionSpec], Callable[[Array], PartitionSpec]]:
    """Return the layouts of arrays `[*batch, ...]` and `[time, *batch, ...]` of a run."""
    count = len(leading_axes(xs))
    specs = (spec_of(x)[:count] for x in jax.tree.leaves(xs))
    leading = next((spec for spec in specs if any(spec)), (None,) * count)
    spare = mesh_axes(map(spec_of, jax.tree.leaves(params))) - mesh_axes([leading])
    mesh = explicit_mesh((params, xs))
    devices = math.prod(mesh.shape[axis] for axis in spare) if mesh is not None else 1

    def layout(leading: tuple, array: Array) -> PartitionSpec:
        features = array.ndim > len(leading) and array.shape[-1] % devices == 0 and spare
        behind = [None] * (array.ndim - len(leading) - 1)
        return PartitionSpec(*leading, *behind, tuple(sorted(spare))) if features else PartitionSpec(*leading)

    return partial(layout, leading[1:]), partial(layout, leading)


def gradients_layout(params: Params, xs: Inputs, carry: Carry | None, gradients: Any) -> Any:
    """Return a `PartitionSpec` for each array of `Gradients`: that of the array whose gradient it is."""
    of_rows, of_steps = layouts(params, xs)
    _, _, dcarry, dcarries = gradients
    start = jax.tree.map(of_rows, dcarry) if carry is None else _as_argument(carry)
    return type(gradients)(_as_argument(params), _as_argument(xs), start, jax.tree.map(of_steps, dcarries))


def _as_argument(argument: PyTree) -> PyTree:
    return jax.tree.map(lambda a: PartitionSpec(*spec_of(a)), argument)
