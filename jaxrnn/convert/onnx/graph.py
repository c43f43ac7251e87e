"""An ONNX graph under construction, including sizes that are known only when the graph runs.

ONNX files are built by appending to lists, so these are the only mutable objects of the converters.  The body of a
`Scan` is a graph of its own, which may read every value of the surrounding graph.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxrnn.convert.layout import ConversionError, exported

OPSET, IR_VERSION = 17, 8
"""The version of the operator set; every onnxruntime since 1.12 reads it."""


class Graph:
    """Nodes, initializers, inputs and outputs by name.

    Args:
      around: the surrounding graph, if this one is the body of a loop; None for the graph of the file.
      lengths: whether the file takes lengths.
      carry: whether it takes and returns the carry.
    """

    def __init__(self, around: "Graph | None" = None, *, lengths: bool = False, carry: bool = False):
        self.root: Graph = self if around is None else around.root
        self.lengths, self.carry = lengths, carry
        self.nodes, self.initializers, self.inputs, self.outputs = [], [], [], []
        self.count, self.known, self.sizes = 0, {}, {}

    def constant(self, name: str, array: Any) -> str:
        """Add an initializer with this name."""
        from onnx import numpy_helper

        self.root.initializers.append(numpy_helper.from_array(exported(array), name))
        return name

    def number(self, array: Any) -> str:
        """Return the name of an initializer with these numbers; equal ones share it."""
        array = np.array(array, order="C")
        key = array.dtype.str, array.shape, array.tobytes()
        if key not in self.root.known:
            self.root.known[key] = self.constant(self.fresh("constant"), array)
        return self.root.known[key]

    def fresh(self, name: str) -> str:
        """Return a name that no other value has."""
        self.root.count += 1
        return f"{name}_{self.root.count}"

    def node(self, operator: str, inputs: Sequence[str], outputs: Sequence[str], **attributes: Any) -> str:
        """Add a node, and return the name of its first output."""
        from onnx import helper

        self.nodes.append(helper.make_node(operator, inputs, outputs, **attributes))
        return outputs[0]

    def apply(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """Add a node with one output, and return the output's new name."""
        return self.node(operator, inputs, [self.fresh(operator.lower())], **attributes)

    def value(self, kind: str, name: str, dtype: Any, shape: Sequence[Any]) -> str:
        """Add one of the `inputs` or `outputs`; a size that is known only when the graph runs is a string."""
        from onnx import helper

        shape = [int(size) if is_known(size) else str(size) for size in shape]
        getattr(self, kind).append(
            helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), shape)
        )
        return name

    def shape(self, shape: Sequence[Any]) -> str:
        """Return the name of a shape as int64, computed once where it is known only when the graph runs.

        Raises:
          ConversionError: a size that is neither known nor one of `sizes`.
        """
        if all(map(is_known, shape)):
            return self.number(np.array(shape, np.int64))
        key = tuple(map(str, shape))
        if key not in self.root.known:
            parts = [self.number(np.array([n], np.int64)) if is_known(n) else self._size(str(n)) for n in shape]
            self.root.known[key] = self.root.apply("Concat", *parts, axis=0)
        return self.root.known[key]

    def _size(self, name: str) -> str:
        if name not in self.root.sizes:
            raise ConversionError(
                f"`model` must have sizes that are numbers or {' or '.join(self.root.sizes)} to be written as ONNX, "
                f"got {name}; convert.export writes it as StableHLO."
            )
        return self.root.sizes[name]

    def body(self, name: str) -> Any:
        """Return this graph as an ONNX graph."""
        from onnx import helper

        return helper.make_graph(self.nodes, name, self.inputs, self.outputs, self.initializers)

    def model(self) -> Any:
        """Return this graph as an ONNX model."""
        from onnx import helper

        opsets = [helper.make_opsetid("", OPSET)]
        return helper.make_model(
            self.body("jaxrnn"), producer_name="jaxrnn", opset_imports=opsets, ir_version=IR_VERSION
        )


def is_known(size: Any) -> bool:
    """Return whether a size is a number, rather than one that is known only when the graph runs."""
    return isinstance(size, (int, np.integer))
