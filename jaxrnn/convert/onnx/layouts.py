"""JAX's changes of shape in the operators of ONNX, where some sizes are known only when the graph runs.

An unknown size is −1 in a `Reshape` and part of a computed shape in an `Expand`.  JAX traces indexing to `gather`,
which is converted if it is a slice with a known start, or selects rows of a table.  JAX traces `.at[…].set` to
`scatter`.

References: the ONNX operator specification; the documentation of `jax.lax`.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxrnn.convert.layout import ConversionError
from jaxrnn.convert.onnx.arithmetic import Equation, Operator, Value
from jaxrnn.convert.onnx.graph import Graph, is_known

_END = np.iinfo(np.int64).max


def _broadcast(graph: Graph, equation: Equation) -> list[str]:
    (x,) = equation.names(graph)
    shape, kept = equation.params["shape"], equation.params["broadcast_dimensions"]
    new = [axis for axis in range(len(shape)) if axis not in kept]
    if new:
        x = graph.apply("Unsqueeze", x, _integers(graph, new))
    known = equation.ins[0].shape
    if all(axis in kept and same(known[kept.index(axis)], size) for axis, size in enumerate(shape)):
        return [x]
    if all(same(size, 1) for axis, size in enumerate(shape) if axis in new) and all(
        same(known[n], shape[axis]) for n, axis in enumerate(kept)
    ):
        return [x]
    return [graph.apply("Expand", x, graph.shape(shape))]


def _reshape(graph: Graph, equation: Equation) -> list[str]:
    sizes = [size if is_known(size) else -1 for size in equation.params["new_sizes"]]
    shape = _integers(graph, sizes) if sizes.count(-1) < 2 else graph.shape(equation.params["new_sizes"])
    return [graph.apply("Reshape", *equation.names(graph), shape)]


def _squeeze(graph: Graph, equation: Equation) -> list[str]:
    return [graph.apply("Squeeze", *equation.names(graph), _integers(graph, equation.params["dimensions"]))]


def _transpose(graph: Graph, equation: Equation) -> list[str]:
    return [graph.apply("Transpose", *equation.names(graph), perm=[int(n) for n in equation.params["permutation"]])]


def _concatenate(graph: Graph, equation: Equation) -> list[str]:
    return [graph.apply("Concat", *equation.names(graph), axis=int(equation.params["dimension"]))]


def _stack(graph: Graph, equation: Equation) -> list[str]:
    axis = int(equation.params["axis"])
    rows = [graph.apply("Unsqueeze", x, _integers(graph, [axis])) for x in equation.names(graph)]
    return [graph.apply("Concat", *rows, axis=axis)]


def _split(graph: Graph, equation: Equation) -> list[str]:
    outputs = [graph.fresh("split") for _ in equation.params["sizes"]]
    sizes = graph.shape(equation.params["sizes"])
    graph.node("Split", [*equation.names(graph), sizes], outputs, axis=int(equation.params["axis"]))
    return outputs


def _slice(graph: Graph, equation: Equation) -> list[str]:
    starts, limits = equation.params["start_indices"], equation.params["limit_indices"]
    strides = equation.params["strides"] or [1] * len(starts)
    ends = [_END if same(limit, size) else limit for limit, size in zip(limits, equation.ins[0].shape, strict=True)]
    return [_sliced(graph, equation.names(graph)[0], starts, ends, strides)]


def _dynamic_slice(graph: Graph, equation: Equation) -> list[str]:
    starts = [_known(equation, value) for value in equation.given[1:]]
    sizes, shape = equation.params["slice_sizes"], equation.ins[0].shape
    ends = [_END if same(size, n) else start + size for start, size, n in zip(starts, sizes, shape, strict=True)]
    return [_sliced(graph, equation.names(graph)[0], [int(s) for s in starts], ends, [1] * len(shape))]


def _reverse(graph: Graph, equation: Equation) -> list[str]:
    axes = list(equation.params["dimensions"])
    bounds = [_integers(graph, [n] * len(axes)) for n in (-1, np.iinfo(np.int64).min)]
    steps = _integers(graph, [-1] * len(axes))
    return [graph.apply("Slice", *equation.names(graph), *bounds, _integers(graph, axes), steps)]


def _gather(graph: Graph, equation: Equation) -> list[str]:
    numbers, sizes = equation.params["dimension_numbers"], equation.params["slice_sizes"]
    shape, axes = equation.ins[0].shape, numbers.start_index_map
    x, index = equation.names(graph)[0], equation.given[1]
    if numbers.operand_batching_dims:
        raise _refused("indexing with an index for each row")
    if not numbers.collapsed_slice_dims and not isinstance(index, str) and index.ndim == 1:
        starts, ends = [0] * len(shape), [_END] * len(shape)
        for axis, start in zip(axes, index.tolist(), strict=True):
            starts[axis], ends[axis] = start, start + sizes[axis]
        return [_sliced(graph, x, starts, ends, [1] * len(shape))]
    (axis,) = axes if len(axes) == 1 else (None,)
    leading = len(equation.ins[1].shape) - 1
    rows = [n for n in range(len(equation.outs[0].shape)) if axis is None or not axis <= n < axis + leading]
    whole = all(n == axis or same(size, shape[n]) for n, size in enumerate(sizes))
    if numbers.collapsed_slice_dims != axes or list(numbers.offset_dims) != rows or not whole:
        raise _refused("this kind of indexing")
    flat = graph.apply("Squeeze", equation.names(graph)[1], _integers(graph, [leading]))
    return [graph.apply("Gather", x, flat, axis=axis)]


def _scatter(graph: Graph, equation: Equation) -> list[str]:
    """Set the entries at one index of some axes, for all indices of the others, by a constant mask."""
    numbers, index = equation.params["dimension_numbers"], equation.given[1]
    axes, shape = numbers.scatter_dims_to_operand_dims, equation.ins[0].shape
    inserted = numbers.inserted_window_dims == axes and len(equation.ins[2].shape) == len(shape) - len(axes)
    if isinstance(index, str) or index.ndim != 1 or not inserted or numbers.operand_batching_dims:
        raise _refused("this kind of setting by an index")
    here = np.zeros([shape[n] if n in axes else 1 for n in range(len(shape))], bool)
    here[tuple(index[axes.index(n)] if n in axes else 0 for n in range(len(shape)))] = True
    x, _, new = equation.names(graph)
    return [graph.apply("Where", graph.number(here), graph.apply("Unsqueeze", new, _integers(graph, axes)), x)]


def _pad(graph: Graph, equation: Equation) -> list[str]:
    padding = equation.params["padding_config"]
    if any(low < 0 or high < 0 or inside for low, high, inside in padding):
        raise _refused("a negative or an inner padding")
    x, value = equation.names(graph)
    pads = _integers(graph, [low for low, _, _ in padding] + [high for _, high, _ in padding])
    return [graph.apply("Pad", x, pads, value)]


def _iota(graph: Graph, equation: Equation) -> list[str]:
    """Return 0, 1, … along one axis, whose length is known only when the graph runs."""
    from onnx import helper

    shape, axis = equation.params["shape"], equation.params["dimension"]
    length = graph.apply("Squeeze", graph.shape([shape[axis]]))
    steps = graph.apply("Range", graph.number(np.int64(0)), length, graph.number(np.int64(1)))
    x = graph.apply("Cast", steps, to=helper.np_dtype_to_tensor_dtype(np.dtype(equation.params["dtype"])))
    if len(shape) == 1:
        return [x]
    x = graph.apply("Unsqueeze", x, _integers(graph, [n for n in range(len(shape)) if n != axis]))
    return [graph.apply("Expand", x, graph.shape(shape))]


def _sliced(graph: Graph, x: str, starts: Sequence[int], ends: Sequence[int], strides: Sequence[int]) -> str:
    """Return the part of x between `starts` and `ends`, leaving out the axes that are taken whole."""
    cut = [n for n, (a, b, s) in enumerate(zip(starts, ends, strides, strict=True)) if (a, b, s) != (0, _END, 1)]
    if not cut:
        return graph.apply("Identity", x)
    parts = [[each[n] for n in cut] for each in (starts, ends)]
    for size in (size for part in parts for size in part):
        if not is_known(size):
            raise _refused(f"a slice that ends at {size}")
    ranges = [_integers(graph, part) for part in parts]
    return graph.apply("Slice", x, *ranges, _integers(graph, cut), _integers(graph, [strides[n] for n in cut]))


def _known(equation: Equation, value: Value) -> int:
    if isinstance(value, str):
        raise _refused(f"a {equation.name} with a start that depends on the data")
    return int(value)


def _integers(graph: Graph, numbers: Sequence[Any]) -> str:
    return graph.number(np.array([int(n) for n in numbers], np.int64))


def same(one: Any, other: Any) -> bool:
    """Return whether two sizes, known or not, are the same."""
    return str(one) == str(other)


def _refused(what: str) -> ConversionError:
    return ConversionError(
        f"`model` must do without {what} to be written as ONNX; convert.export writes any cell as StableHLO."
    )


LAYOUTS: dict[str, Operator] = {
    "broadcast_in_dim": _broadcast,
    "reshape": _reshape,
    "squeeze": _squeeze,
    "transpose": _transpose,
    "concatenate": _concatenate,
    "stack": _stack,
    "split": _split,
    "slice": _slice,
    "dynamic_slice": _dynamic_slice,
    "rev": _reverse,
    "gather": _gather,
    "scatter": _scatter,
    "pad": _pad,
    "iota": _iota,
}
"""By the names of JAX's primitives."""
