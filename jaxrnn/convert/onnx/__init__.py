"""ONNX: a native node for each cell that has one, and a `Scan` over the step for any other cell.

`jaxrnn.convert.to_onnx` and `from_onnx` write and read files; `to_onnx_tensors` and `from_onnx_tensors` convert the
tensors of one node.  `tensors` has the tensors of the nodes RNN, GRU and LSTM; `writing` lays out a model; `loops`
traces a model that has no native nodes; `programs` translates the traced program with the tables of `arithmetic` and
`layouts`.

References: the ONNX operator specification.
"""

__all__: list[str] = []
