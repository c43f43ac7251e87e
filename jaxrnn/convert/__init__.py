"""Weights and models from other libraries, and to them.

A recurrent layer consists of the same few matrices in every library.  Libraries differ in the order of the gates, the
axis of the input, the number of biases, and sometimes a sign; `jaxrnn.convert.layout` describes all of these.

    cell, params = convert.from_torch(torch_module.state_dict())
    torch_module.load_state_dict({k: torch.from_numpy(a) for k, a in convert.to_torch(cell, params).items()})

`from_…` returns `(cell, params)`, ready for `unroll`; `to_…` returns what the other library loads.  A call imports the
other library only if it needs it; most calls need only arrays.  What the other library cannot express raises a
`ConversionError` that names it and says what to do.

| library | from the library | to the library |
|---|---|---|
| PyTorch | `from_torch`, `readout_from_torch` | `to_torch`, `to_torch_cell`, `readout_to_torch` |
| Keras 3 | `from_keras` | `to_keras` |
| Flax linen, nnx | `from_flax`, `from_nnx` | `to_flax`, `to_nnx`, `to_nnx_optimized` |
| Haiku | `from_haiku` | `to_haiku` |
| Equinox | `from_equinox` | `to_equinox` |
| ONNX | `from_onnx` (a file), `from_onnx_tensors` | `to_onnx` (a file), `to_onnx_tensors` |
| StableHLO | | `export` (any model, as programs for JAX without jaxrnn) |
| reservoirpy | `from_reservoirpy`, `readout_from_reservoirpy` | `to_reservoirpy`, `readout_to_reservoirpy` |
"""

from jaxrnn.convert.equinox import from_equinox, to_equinox
from jaxrnn.convert.flax import from_flax, from_nnx, to_flax, to_nnx, to_nnx_optimized
from jaxrnn.convert.haiku import from_haiku, to_haiku
from jaxrnn.convert.keras import from_keras, to_keras
from jaxrnn.convert.layout import ConversionError
from jaxrnn.convert.onnx.reading import from_onnx
from jaxrnn.convert.onnx.tensors import from_onnx_tensors, to_onnx_tensors
from jaxrnn.convert.onnx.writing import to_onnx
from jaxrnn.convert.pytorch import from_torch, readout_from_torch, readout_to_torch, to_torch, to_torch_cell
from jaxrnn.convert.reservoirpy import (
    from_reservoirpy,
    readout_from_reservoirpy,
    readout_to_reservoirpy,
    to_reservoirpy,
)
from jaxrnn.convert.stablehlo import Programs, export

__all__ = [
    "ConversionError",
    "Programs",
    "export",
    "from_equinox",
    "from_flax",
    "from_haiku",
    "from_keras",
    "from_nnx",
    "from_onnx",
    "from_onnx_tensors",
    "from_reservoirpy",
    "from_torch",
    "readout_from_reservoirpy",
    "readout_from_torch",
    "readout_to_reservoirpy",
    "readout_to_torch",
    "to_equinox",
    "to_flax",
    "to_haiku",
    "to_keras",
    "to_nnx",
    "to_nnx_optimized",
    "to_onnx",
    "to_onnx_tensors",
    "to_reservoirpy",
    "to_torch",
    "to_torch_cell",
]
