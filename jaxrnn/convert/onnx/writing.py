"""Models as ONNX files, of native nodes where they exist, for machines without JAX.

    tokens ─ Gather(E) ┐
    xs ────────────────┴─ RNN | GRU | LSTM ─ … ─ MatMul(V) ─ Add(c) ─ logits
                            │        │
    lengths ────────────────┘   next_carry

The layout is that of this library: time first, `[time, batch, features]`, where time and batch may have any size.  A
layer is one node, also if it is bidirectional.  `lengths` are the nodes' own `sequence_lens`.  Where ONNX leaves the
behavior open, the file follows this library: a row of length 0 keeps its carry (onnxruntime sets it to 0), and a
read-out gives 0 on padding if the model does.

References: the ONNX operator specification, RNN, GRU and LSTM.
"""

import os
from typing import Any

import jax
import numpy as np

from jaxrnn.cells.elman import Elman
from jaxrnn.cells.gru import GRU
from jaxrnn.cells.lstm import LSTM
from jaxrnn.cells.wrappers.stack import Stack
from jaxrnn.convert.layout import ConversionError, check_written, refuse
from jaxrnn.convert.onnx.graph import Graph
from jaxrnn.convert.onnx.loops import write_loops
from jaxrnn.convert.onnx.tensors import to_onnx_tensors
from jaxrnn.core.noise import quiet
from jaxrnn.core.types import Params
from jaxrnn.directions.bidirectional import Bidirectional
from jaxrnn.directions.bidirectional_stack import BidirectionalStack
from jaxrnn.generation.symbol_model import SymbolModel
from jaxrnn.patterns.hidden_to_hidden import ManyToMany, ManyToOne
from jaxrnn.trees.classifiers import SequenceClassifier


def to_onnx(
    model: Any,
    params: Params,
    path: str | os.PathLike,
    *,
    lengths: bool = True,
    carry: bool | None = None,
    input_size: int | None = None,
) -> None:
    """Write a model as an ONNX file.

    | model | inputs | outputs |
    |---|---|---|
    | a cell, `Stack`, `Bidirectional`, `BidirectionalStack` | `xs` | `ys` |
    | `ManyToMany` | `xs` | `logits` `[time, batch, output]` |
    | `ManyToOne` | `xs` | `logits` `[batch, output]`, after each row's last step |
    | `SymbolModel` | `tokens` `[time, batch]`, int64 | `logits` `[time, batch, outputs]` |
    | `SequenceClassifier` | `tokens` | `logits` `[batch, classes]` |

    With `lengths` there is an input `lengths`, `[batch]`, int32.  With `carry` there is an input for each array of the
    carry, named by its path, `carry.0.h`, and an output `next_carry.0.h`.  To run a stream in pieces, feed the outputs
    back; give the first piece the initial carry, which is zeros for most cells.  Noise (`Dropout`) is left out.

    Elman, GRU, and LSTM without peepholes or with "current" ones are native nodes of ONNX.  A model with any other cell
    becomes one `Scan` over its step for each run over the sequence, for which onnxruntime needs at least one step.

    Args:
      model: one of the above.
      params: its parameters, in float32.
      path: the file to write, by convention with the suffix ".onnx".
      lengths: whether the file takes lengths; otherwise every row has the full length.
      carry: whether it takes and returns the carry; None for yes, except if there is one output for a whole sequence.
      input_size: the number of features; None for `input_size` of the (first) cell.

    Raises:
      ConversionError: a step with an operation that ONNX does not have, which the message names; a cell without
        `input_size`; params of another dtype.
      OSError: the file cannot be written.

    >>> import jax, jaxrnn
    >>> model = jaxrnn.ManyToMany(jaxrnn.GRU(3, 8), jaxrnn.Readout(8, 4))
    >>> to_onnx(model, model.init(jax.random.key(0)), "model.onnx")              # doctest: +SKIP

    References: the ONNX operator specification.
    """
    import onnx

    check_written(model, params)
    model = quiet(model)
    for leaf in jax.tree.leaves(params):
        if leaf.dtype != np.float32:
            raise ConversionError(
                f"`params` must be float32 for ONNX, got {leaf.dtype}. "
                "Cast them: jax.tree.map(lambda a: a.astype('float32'), …)."
            )
    per_sequence = isinstance(model, (ManyToOne, SequenceClassifier))
    if carry and per_sequence:
        raise ConversionError(f"`carry` must be False for a model with one output per sequence, got {model}.")
    graph = Graph(lengths=lengths, carry=not per_sequence if carry is None else carry)
    if _has_nodes(model):
        _write_model(graph, model, params)
    else:
        write_loops(graph, model, params, input_size)
    written = graph.model()
    onnx.checker.check_model(written, full_check=True)
    with open(path, "wb") as file:
        file.write(written.SerializeToString())


def _write_model(graph: Graph, model: Any, params: Any) -> None:
    """Write the whole graph of a model, including inputs and outputs."""
    embedded = isinstance(model, (SymbolModel, SequenceClassifier))
    network, of_network = (model.cell, params.cell) if embedded or _has_readout(model) else (model, params)
    if isinstance(model, SymbolModel) and model.longest is not None:
        raise refuse("ONNX", model, "its nodes take no predicted length: use longest=None.")
    if embedded:
        tokens = graph.value("inputs", "tokens", np.int64, ["time", "batch"])
        xs = graph.node("Gather", [graph.constant("embedding", params.embedding), tokens], ["embedded"])
    else:
        xs = graph.value("inputs", "xs", np.float32, ["time", "batch", _input_size(network)])
    if graph.lengths:
        graph.value("inputs", "lengths", np.int32, ["batch"])
        graph.node("Equal", ["lengths", graph.constant("zero", np.int32(0))], ["is_empty"])
        graph.node("Unsqueeze", ["is_empty", graph.constant("axis_1", np.array([1]))], ["empty"])
    ys, end, size = _write_network(graph, network, of_network, xs)
    if network is model:
        graph.node("Identity", [ys], [graph.value("outputs", "ys", np.float32, ["time", "batch", size])])
        return
    per_sequence = isinstance(model, (ManyToOne, SequenceClassifier))
    read = _last(graph, end) if per_sequence else ys
    graph.node("MatMul", [read, graph.constant("readout.v", params.readout.v)], ["product"])
    shape = [*([] if per_sequence else ["time"]), "batch", params.readout.c.shape[0]]
    logits = graph.value("outputs", "logits", np.float32, shape)
    padded = isinstance(model, ManyToMany) and graph.lengths
    graph.node("Add", ["product", graph.constant("readout.c", params.readout.c)], ["unmasked" if padded else logits])
    if padded:
        _zero_padding(graph, xs, "unmasked", logits)


def _has_nodes(network: Any) -> bool:
    """Return whether every layer has a native node in ONNX."""
    match network:
        case ManyToMany() | ManyToOne() | SymbolModel() | SequenceClassifier():
            return _has_nodes(network.cell)
        case Stack(cells=layers) | BidirectionalStack(layers=layers):
            return all(_is_node(layer) for layer in layers)
    return _is_node(network)


def _is_node(layer: Any) -> bool:
    match layer:
        case Bidirectional(forward_cell=Elman() as one, backward_cell=Elman() as other):
            return (one.input_size, one.hidden_size) == (other.input_size, other.hidden_size)
        case Bidirectional(forward_cell=one, backward_cell=other):
            return one == other and _is_node(one)
        case LSTM():
            return layer.peephole != "previous"
    return isinstance(layer, (Elman, GRU))


def _has_readout(model: Any) -> bool:
    return isinstance(model, (ManyToMany, ManyToOne))


def _input_size(network: Any) -> int:
    match network:
        case Stack(cells=(first, *_)) | BidirectionalStack(layers=(first, *_)):
            return _input_size(first)
        case Bidirectional():
            return _input_size(network.forward_cell)
        case Elman() | GRU() | LSTM():
            return network.input_size
    raise refuse("ONNX", network, "its nodes are RNN, GRU and LSTM; convert.export writes any cell as StableHLO.")


def _write_network(graph: Graph, network: Any, params: Any, xs: str) -> tuple[str, str, int]:
    """Write the nodes of all layers; return the names of ys and of the last layer's final h, and the size of y."""
    match network:
        case Stack(cells=layers) | BidirectionalStack(layers=layers):
            end, size = "", 0
            for n, (layer, p) in enumerate(zip(layers, params, strict=True)):
                xs, end, size = _write_layer(graph, layer, p, xs, f".{n}")
            return xs, end, size
    return _write_layer(graph, network, params, xs, "")


def _write_layer(graph: Graph, layer: Any, params: Any, xs: str, path: str) -> tuple[str, str, int]:
    """Write one node, with its carry in and out."""
    node = to_onnx_tensors(layer, params)
    two = isinstance(layer, Bidirectional)
    states = ("h", "c") if node.operator == "LSTM" else ("h",)
    hidden = node.attributes["hidden_size"]
    tensors = [graph.constant(f"{name}{path}", node.tensors[name]) for name in ("W", "R", "B")]
    starts = [_carry_in(graph, path, two, state, len(states) == 2, hidden) for state in states]
    inputs = [xs, *tensors, "lengths" if graph.lengths else "", *starts]
    if "P" in node.tensors:
        inputs += [""] * (7 - len(inputs)) + [graph.constant(f"P{path}", node.tensors["P"])]
    ends = [f"end_{state}{path}" for state in states]
    while inputs[-1] == "":
        inputs.pop()
    graph.node(node.operator, inputs, [f"sides{path}", *ends], **node.attributes)
    for state, start, end in zip(states, starts, ends, strict=True):
        if graph.carry:
            _carry_out(graph, path, two, (state, len(states) == 2, hidden), start, end)
    ys = f"ys{path or '_'}"
    if not two:
        graph.node("Squeeze", [f"sides{path}", _axis(graph, path, 1)], [ys])
        return ys, ends[0], hidden
    if layer.merge == "sum":
        return graph.node("ReduceSum", [f"sides{path}", _axis(graph, path, 1)], [ys], keepdims=0), ends[0], hidden
    graph.node("Transpose", [f"sides{path}"], [f"by_row{path}"], perm=[0, 2, 1, 3])
    shape = graph.constant(f"shape{path}", np.array([0, 0, 2 * hidden]))
    return graph.node("Reshape", [f"by_row{path}", shape], [ys]), ends[0], 2 * hidden


def _axis(graph: Graph, path: str, axis: int) -> str:
    return graph.constant(f"axis_{axis}_of_sides{path}", np.array([axis]))


def _names(path: str, two: bool, state: str, named: bool) -> list[str]:
    """Return the names of one state's arrays after "carry", for one direction or both."""
    end = f".{state}" if named else ""
    return [f"{path}.{side}{end}" for side in ("forward", "backward")] if two else [f"{path}{end}"]


def _carry_in(graph: Graph, path: str, two: bool, state: str, named: bool, hidden: int) -> str:
    """Write the initial state of a node, `[directions, batch, hidden]`, from inputs `[batch, hidden]`; "" is 0."""
    if not graph.carry:
        return ""
    sides = []
    for name in _names(path, two, state, named):
        given = graph.value("inputs", f"carry{name}", np.float32, ["batch", hidden])
        axis = graph.constant(f"axis_of_{given}", np.array([0]))
        sides.append(graph.node("Unsqueeze", [given, axis], [f"start{name}_{state}"]))
    return sides[0] if not two else graph.node("Concat", sides, [f"starts{path}_{state}"], axis=0)


def _carry_out(graph: Graph, path: str, two: bool, state: tuple[str, bool, int], start: str, end: str) -> None:
    """Write the final state of a node as outputs `[batch, hidden]`; a row of length 0 keeps its given state."""
    name, named, hidden = state
    if graph.lengths:
        end = graph.node("Where", ["empty", start, end], [f"held_{name}{path}"])
    for side, out in enumerate(_names(path, two, name, named)):
        index = graph.constant(f"side_of{out}_{name}", np.array(side))
        graph.node(
            "Gather", [end, index], [graph.value("outputs", f"next_carry{out}", np.float32, ["batch", hidden])], axis=0
        )


def _last(graph: Graph, end: str) -> str:
    """Write each row's last y, `[batch, hidden]`, which is 0 for a row without a step."""
    if graph.lengths:
        end = graph.node("Where", ["empty", graph.constant("nothing", np.float32(0)), end], ["last_side"])
    return graph.node("Squeeze", [end, graph.constant("axis_0", np.array([0]))], ["last"])


def _zero_padding(graph: Graph, xs: str, values: str, out: str) -> None:
    """Set `values` `[time, batch, …]` to 0 where the step is beyond the row's length."""
    graph.node("Shape", [xs], ["time"], start=0, end=1)
    scalar = graph.node("Squeeze", ["time"], ["time_scalar"])
    zero, one = graph.constant("first", np.int64(0)), graph.constant("stride", np.int64(1))
    graph.node("Range", [zero, scalar, one], ["steps"])
    graph.node("Unsqueeze", ["steps", graph.constant("axis_of_steps", np.array([1]))], ["steps_down"])
    graph.node("Cast", ["lengths"], ["long_lengths"], to=7)  # int64
    graph.node("Less", ["steps_down", "long_lengths"], ["valid"])
    graph.node("Unsqueeze", ["valid", graph.constant("axis_of_valid", np.array([2]))], ["valid_features"])
    graph.node("Where", ["valid_features", values, graph.constant("padding", np.float32(0))], [out])
