"""ONNX: files of native nodes where a cell has one, and of a `Scan` over its step where it has none.

`jaxrnn.convert.to_onnx` and `from_onnx` write and read files, `to_onnx_tensors` and `from_onnx_tensors` the tensors of
one node.  `tensors` is what the nodes RNN, GRU and LSTM hold; `writing` lays a model out; `loops` traces a model that
has no native nodes; `programs` translates what was traced, by the tables of `arithmetic` and `layouts`.

References: the ONNX operator specification.
"""

__all__: list[str] = []
