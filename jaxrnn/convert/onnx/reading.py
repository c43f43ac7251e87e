"""Models from ONNX files: those of `to_onnx`, and those of PyTorch's exporter for nn.RNN, nn.LSTM and nn.GRU.

A file is a list of nodes in topological order.  One pass follows the tensors from the inputs to the outputs:

    input ─ Gather of a table → embedded ─ RNN | GRU | LSTM → sequence of 1 layer, of 2, … ─ MatMul, Add | Gemm → read
                                                            ↘ ends of 1 layer, of 2, … ────────┘ where it is the last

Operators that only move numbers (Transpose, Reshape, Squeeze, …) pass their input on.  Values that are computed only
from shapes and constants, such as initial states of 0, are ignored.  Any other operator raises an error that names it.

References: the ONNX operator specification.
"""

import os
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxrnn.cells.wrappers.stack import Stack
from jaxrnn.convert.layout import ConversionError
from jaxrnn.convert.onnx.tensors import GATES, from_onnx_tensors
from jaxrnn.core.types import Params
from jaxrnn.directions.bidirectional import Bidirectional
from jaxrnn.directions.bidirectional_stack import BidirectionalStack
from jaxrnn.generation.symbol_model import SymbolModel, SymbolModelParams
from jaxrnn.objectives.readout import Readout, ReadoutParams
from jaxrnn.patterns.hidden_to_hidden import ManyToMany, ManyToOne, PatternParams
from jaxrnn.trees.classifiers import SequenceClassifier, StructureParams

_MOVES = ("Identity", "Squeeze", "Unsqueeze", "Cast", "Reshape", "Where", "Transpose", "Slice", "Expand")
_PERMUTATIONS = ([1, 0, 2], [0, 2, 1, 3])
"""Batch before time, and both directions of a step side by side."""


class _Flow(NamedTuple):
    """A tensor of the graph."""

    kind: str
    """"input", "embedded", "sequence" (ys), "ends" (final states), "read" (logits)."""
    embedding: Any = None
    """The table of the tokens' vectors."""
    layers: tuple[tuple[Any, Params], ...] = ()
    """(cell, params) of every layer so far."""
    ends: tuple[int, ...] = ()
    """For "ends": the indices of their layers, along the first axis."""
    per_sequence: bool = False
    """For "read": True if there is one output for a whole sequence."""
    v: Any = None
    """For "read": the read-out's matrix, `[hidden, output]`."""
    c: Any = None
    """For "read": the read-out's bias."""


def from_onnx(path: str | os.PathLike) -> tuple[Any, Params]:
    """Read a model from an ONNX file.

    Args:
      path: a file of `to_onnx`, or of `torch.onnx.export` of a recurrent module, with or without an `nn.Embedding`
        before it and an `nn.Linear` after it.

    Returns:
      `(model, params)`: a cell, `Stack`, `Bidirectional` or `BidirectionalStack`; with a read-out a `ManyToMany`, or a
      `ManyToOne` where it reads the end alone; with an embedding too a `SymbolModel` or a `SequenceClassifier`.

    Raises:
      ConversionError: not an ONNX file, a damaged one, another operator, or a node that jaxrnn cannot express.
      OSError: the file cannot be read.

    >>> from_onnx("model.onnx")                                                  # doctest: +SKIP

    References: the ONNX operator specification.
    """
    graph = _load(path).graph
    constants, flows = _initializers(graph), {}
    for given in graph.input:
        if given.name not in constants:
            flows[given.name] = _Flow("input")
    for node in graph.node:
        if node.op_type == "Constant":
            constants[node.output[0]] = _constant(node)
        elif node.op_type in GATES:
            _follow_layer(node, constants, flows)
        elif node.op_type != "Shape":
            _follow(node, constants, flows)
    return _model(path, [flows[out.name] for out in graph.output if out.name in flows])


def _load(path: str | os.PathLike) -> Any:
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load(path)
        onnx.checker.check_model(model)
    except (DecodeError, onnx.checker.ValidationError, ValueError) as error:
        raise ConversionError(f"{path} cannot be read as an ONNX model: {str(error).splitlines()[0]}") from error
    return model


def _initializers(graph: Any) -> dict[str, np.ndarray]:
    from onnx import numpy_helper

    return {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}


def _attributes(node: Any) -> dict[str, Any]:
    from onnx import helper

    return {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}


def _constant(node: Any) -> np.ndarray:
    from onnx import numpy_helper

    ((_, value),) = _attributes(node).items()  # of which there is one: a tensor, or a number as it is
    return numpy_helper.to_array(value) if hasattr(value, "dims") else np.asarray(value)


def _follow(node: Any, constants: dict[str, np.ndarray], flows: dict[str, _Flow]) -> None:
    """Record the outputs of a node that is not recurrent."""
    attributes, read = _attributes(node), [flows[name] for name in node.input if name in flows]
    if not read:
        return
    flow = next((flow for flow in read if flow.layers), read[0])
    tensors = [constants.get(name) for name in node.input]
    match node.op_type:
        case "Gather":
            flow = _gathered(node, attributes, tensors, flow)
        case "Concat" if len({part.kind for part in read}) == 1 and flow.kind in ("ends", "cells"):
            ends = tuple(end for part in read for end in part.ends)
            flow = flow._replace(layers=max((part.layers for part in read), key=len), ends=ends)
        case "MatMul" | "Gemm":
            flow = _read_out(node, attributes, tensors, flow)
        case "Add" if flow.kind == "read" and (c := next((t for t in tensors if t is not None), None)) is not None:
            flow = flow._replace(c=flow.c + c)
        case "ReduceSum" if flow.kind == "sequence" and isinstance(flow.layers[-1][0], Bidirectional):
            (cell, params), below = flow.layers[-1], flow.layers[:-1]
            summed = Bidirectional(cell.forward_cell, cell.backward_cell, "sum")
            flow = flow._replace(layers=(*below, (summed, params)))
        case "Transpose" if flow.kind != "input" and attributes.get("perm") not in _PERMUTATIONS:
            raise ConversionError(f"{_said(node)} must swap time and batch or join directions, got {attributes}.")
        case "Slice" if flow.kind == "sequence":
            raise ConversionError(f"{_said(node)} cuts a sequence, which jaxrnn cannot express.")
        case "Equal" | "Less" | "Concat" if flow.kind == "input":
            pass  # of lengths and of carries
        case operator if operator not in _MOVES:
            raise ConversionError(
                f"{_said(node)} has no counterpart here: from_onnx reads RNN, GRU and LSTM, an embedding (Gather) "
                "before them and a read-out (MatMul and Add, or Gemm) after them."
            )
    flows[node.output[0]] = flow


def _said(node: Any) -> str:
    return f"The node {node.name or node.output[0]!r} ({node.op_type})"


def _follow_layer(node: Any, constants: dict[str, np.ndarray], flows: dict[str, _Flow]) -> None:
    """Add the layer of a recurrent node."""
    attributes, below = _attributes(node), flows.get(node.input[0])
    if below is None or below.kind not in ("input", "embedded", "sequence"):
        raise ConversionError(f"{_said(node)} must read an input, an embedding or another layer.")
    given = dict(zip(("X", "W", "R", "B", "sequence_lens", "initial_h", "initial_c", "P"), node.input, strict=False))
    for name in ("initial_h", "initial_c"):
        if np.any(constants.get(given.get(name, ""), 0) != 0):
            raise ConversionError(f"{_said(node)} must start from 0 or from an input, not from numbers in the file.")
    missing = [name for name in ("W", "R", "B", "P") if given.get(name) and given[name] not in constants]
    if missing:
        raise ConversionError(f"{_said(node)} must have its weights in the file; {', '.join(missing)} are computed.")
    direction = attributes.pop("direction", b"forward").decode()
    if direction == "reverse":
        raise ConversionError(
            f"{_said(node)} runs in reverse, and a cell has no direction: read its tensors with from_onnx_tensors, and "
            "run the cell with reverse=True."
        )
    tensors = {name: constants[given[name]] for name in ("W", "R", "B", "P") if given.get(name)}
    layer = from_onnx_tensors(node.op_type, tensors, direction=direction, **attributes)
    layers, sides = (*below.layers, layer), 2 if direction == "bidirectional" else 1
    for kind, name in zip(("sequence", "ends", "cells"), node.output, strict=False):
        ends = (len(layers) - 1,) * sides if kind == "ends" else ()
        flows[name] = below._replace(kind=kind, layers=layers, ends=ends)


def _gathered(node: Any, attributes: dict[str, Any], tensors: list, flow: _Flow) -> _Flow:
    """Follow a Gather: rows of an embedding, one of the final states, or the last step."""
    table, index = tensors[:2]
    if flow.kind == "input" and table is not None and table.ndim == 2 and attributes.get("axis", 0) == 0:
        return _Flow("embedded", embedding=table)
    if flow.kind == "ends" and index is not None and index.ndim == 0 and attributes.get("axis", 0) == 0:
        return flow._replace(ends=(flow.ends[int(index)],) if len(set(flow.ends)) == len(flow.ends) else flow.ends)
    if flow.kind == "sequence" and index is not None and index.ndim == 0 and int(index) == -1:
        return flow._replace(kind="ends", ends=(len(flow.layers) - 1,))
    if flow.kind in ("input", "cells"):
        return flow
    raise ConversionError(f"{_said(node)} picks parts of {flow.kind}, which jaxrnn cannot express.")


def _read_out(node: Any, attributes: dict[str, Any], tensors: list, flow: _Flow) -> _Flow:
    """Follow the product with V, and the sum with c if both are one node."""
    last = flow.kind == "ends" and flow.ends == (len(flow.layers) - 1,)
    if (flow.kind != "sequence" and not last) or len(tensors) < 2 or tensors[1] is None:
        raise ConversionError(f"{_said(node)} must read every step or the last step of the highest layer, by a matrix.")
    plain = {"alpha": 1.0, "beta": 1.0, "transA": 0}
    if any(attributes.get(name, value) != value for name, value in plain.items()):
        raise ConversionError(f"{_said(node)} must have {plain}, got {attributes}.")
    v = tensors[1].T if attributes.get("transB") else tensors[1]
    c = tensors[2] if len(tensors) > 2 and tensors[2] is not None else np.zeros(v.shape[1], v.dtype)
    return flow._replace(kind="read", per_sequence=last, v=v, c=c)


def _model(path: Any, outputs: list[_Flow]) -> tuple[Any, Params]:
    """Return the model that computes the outputs."""
    flow = max(outputs, key=lambda flow: (flow.kind == "read", flow.kind == "sequence"), default=_Flow("input"))
    if not flow.layers:
        raise ConversionError(f"{path} must output what an RNN, a GRU or an LSTM computes; none of its outputs does.")
    network, params = _network(flow)
    if flow.kind != "read":
        if flow.embedding is not None:
            raise ConversionError(f"{path} has an embedding but no read-out: read the parts with from_onnx_tensors.")
        return network, params
    if isinstance(network, (Bidirectional, BidirectionalStack)):
        raise ConversionError(f"{path} reads out both directions, which no model here does: use from_onnx_tensors.")
    readout, read = Readout(*flow.v.shape), ReadoutParams(jnp.asarray(flow.v), jnp.asarray(flow.c))
    if flow.embedding is None:
        return (ManyToOne if flow.per_sequence else ManyToMany)(network, readout), PatternParams(params, read)
    table = jnp.asarray(flow.embedding)
    if flow.per_sequence:
        return SequenceClassifier(network, *table.shape, *flow.v.shape), StructureParams(table, params, read)
    more = flow.v.shape[1] - len(table)
    if more not in (0, 1):
        raise ConversionError(f"{path} must output a logit for each of {len(table)} tokens, got {flow.v.shape[1]}.")
    (vocabulary, features), hidden = table.shape, flow.v.shape[0]
    model = SymbolModel(network, vocabulary, features, hidden, stop_unit=bool(more))
    return model, SymbolModelParams(table, params, read)


def _network(flow: _Flow) -> tuple[Any, Params]:
    """Return the layers as one network."""
    cells, params = zip(*flow.layers, strict=True)
    two = [isinstance(cell, Bidirectional) for cell in cells]
    if len(cells) == 1:
        return cells[0], params[0]
    if any(two) and not all(two):
        raise ConversionError("Layers must be all bidirectional or none: read them one by one with from_onnx_tensors.")
    return (BidirectionalStack if all(two) else Stack)(cells), params
