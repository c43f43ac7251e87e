"""Weights from and to PyTorch: `nn.RNN`, `nn.LSTM`, `nn.GRU`, their cells, and `nn.Linear`.

    weight_ih_l0   [gates·hidden, input]       Uᵀ of `params.u`
    weight_hh_l0   [gates·hidden, hidden]      of `params.w`
    bias_ih_l0     [gates·hidden]              b, the sum of the two; the candidate of a GRU keeps its own
    bias_hh_l0     [gates·hidden]              second one, `params.b_n`, as r stands before it
    weight_hr_l0   [projection, hidden]        of `params.projection`, where `proj_size` is given

and the same with `_l1`, …, and with `_reverse`.  PyTorch orders the gates i f g o and r z n, as is done here.
Its GRU applies the reset after the product: `GRU(reset="after")`.  A state dict does not say which activation an
`nn.RNN` has; all else is read from names and shapes.  `batch_first` concerns the data alone: here it is always
`[time, batch, features]`.  Dropout between layers is no weight either: `Dropout(cell, rate)` puts it there.

References: the documentation of `torch.nn.LSTM`, `torch.nn.GRU` and `torch.nn.RNN`.
"""

import re
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from jaxrnn.cells.elman import Elman, ElmanParams
from jaxrnn.cells.gru import GRU, GRUParams
from jaxrnn.cells.lstm import LSTM, LSTMParams
from jaxrnn.cells.projected_lstm import ProjectedLSTM, ProjectedLSTMParams
from jaxrnn.cells.wrappers.stack import Stack
from jaxrnn.convert.layout import (
    ConversionError,
    check_activation,
    check_mapping,
    check_written,
    check_zero,
    checked_arrays,
    exported,
    gate_count,
    refuse,
    shape_of,
)
from jaxrnn.core.types import Params
from jaxrnn.directions.bidirectional import Bidirectional, Directions
from jaxrnn.directions.bidirectional_stack import BidirectionalStack
from jaxrnn.objectives.readout import Readout, ReadoutParams

_ACTIVATIONS = {"tanh": "tanh", "relu": "relu"}
"""The values of `nonlinearity`, and their names here."""


def from_torch(
    state_dict: Mapping[str, Any], *, prefix: str = "", nonlinearity: str | None = None
) -> tuple[Any, Params]:
    """Read the weights of an `nn.RNN`, `nn.LSTM`, `nn.GRU`, or of one of their cells.

    Args:
      state_dict: arrays by PyTorch's names: tensors as from `module.state_dict()`, or arrays as from safetensors.
      prefix: of the names to read, with its dot, where the dict is a larger module's: "encoder.rnn.".
      nonlinearity: of an `nn.RNN`, which its weights do not tell: "tanh", the default, or "relu".

    Returns:
      `(cell, params)`.  The cell is an `Elman`, `LSTM`, `ProjectedLSTM` or `GRU(reset="after")`; a `Stack` of them
      for several layers; for two directions a `Bidirectional`, or a `BidirectionalStack` of several layers.

    Raises:
      ConversionError: a name that is missing or surplus, a wrong shape, another nonlinearity.

    >>> from jaxrnn import unroll
    >>> state_dict = {"weight_ih_l0": np.ones((20, 3)), "weight_hh_l0": np.ones((20, 5))}
    >>> state_dict |= {"bias_ih_l0": np.ones(20), "bias_hh_l0": np.ones(20)}
    >>> cell, params = from_torch(state_dict)
    >>> cell, unroll(cell, params, jnp.ones((7, 2, 3)))[1].shape
    (LSTM(input_size=3, hidden_size=5, peephole=None), (7, 2, 5))

    References: the documentation of `torch.nn.LSTM`.
    """
    check_mapping("state_dict", state_dict, "module.state_dict()")
    weights = {name.removeprefix(prefix): array for name, array in state_dict.items() if name.startswith(prefix)}
    if not weights:
        raise ConversionError(
            f"`prefix` must begin some name of the dict, got {prefix!r}; it has {', '.join(state_dict)}."
        )
    if "weight_ih" in weights:
        weights = {f"{name}_l0": array for name, array in weights.items()}
    layers = 1 + max((int(found[1]) for name in weights if (found := re.search(r"_l(\d+)", name))), default=0)
    sides = ("", "_reverse") if any(name.endswith("_reverse") for name in weights) else ("",)
    hidden = _hidden_size(weights)
    rows, _ = shape_of("state_dict", weights, "weight_ih_l0", 2)
    gates = gate_count("state_dict", "weight_ih_l0", rows, hidden)
    activation = check_activation("nonlinearity", "PyTorch", gates, nonlinearity, _ACTIVATIONS)
    arrays = checked_arrays("state_dict", weights, _shapes(weights, layers, sides, rows, hidden))
    built = [[_read_layer(arrays, f"_l{n}{side}", gates, activation) for side in sides] for n in range(layers)]
    if len(sides) == 2:
        pairs = [
            (Bidirectional(*cells), Directions(*params)) for cells, params in (zip(*b, strict=True) for b in built)
        ]
        return pairs[0] if layers == 1 else _together(BidirectionalStack, pairs)
    return built[0][0] if layers == 1 else _together(Stack, [layer for (layer,) in built])


def to_torch(cell: Any, params: Params, *, bias: bool = True) -> dict[str, np.ndarray]:
    """Write the state dict of the `nn.RNN`, `nn.LSTM` or `nn.GRU` that computes the same.

    The whole bias goes to `bias_ih`; `bias_hh` is 0, but for the candidate of a GRU.

    Args:
      cell: an `Elman` of tanh or relu, an `LSTM` without peepholes, a `ProjectedLSTM`, a `GRU(reset="after")`; a
        `Stack` of equal ones; a `Bidirectional` or a `BidirectionalStack` that concatenates.
      params: its own.
      bias: False for a module that was made with `bias=False`; all biases must then be 0.

    Returns:
      NumPy arrays by PyTorch's names: `module.load_state_dict({name: torch.from_numpy(array) for …})`.

    Raises:
      ConversionError: a cell that PyTorch does not have, or a bias where there is to be none.

    >>> import jax
    >>> cell = LSTM(3, 5)
    >>> {name: array.shape for name, array in to_torch(cell, cell.init(jax.random.key(0))).items()}
    {'weight_ih_l0': (20, 3), 'weight_hh_l0': (20, 5), 'bias_ih_l0': (20,), 'bias_hh_l0': (20,)}

    References: the documentation of `torch.nn.LSTM`.
    """
    check_written(cell, params)
    layers = _layers(cell, params)
    _check_alike(cell, [single for sides in layers for single, _ in sides])
    state_dict = {}
    for n, sides in enumerate(layers):
        for (single, p), side in zip(sides, ("", "_reverse"), strict=False):
            state_dict |= {f"{name}_l{n}{side}": array for name, array in _write_layer(single, p, bias).items()}
    return exported(state_dict)


def to_torch_cell(cell: Any, params: Params, *, bias: bool = True) -> dict[str, np.ndarray]:
    """Write the state dict of the `nn.RNNCell`, `nn.LSTMCell` or `nn.GRUCell` that computes the same.

    Args:
      cell: an `Elman` of tanh or relu, an `LSTM` without peepholes, or a `GRU(reset="after")`.
      params: its parameters.
      bias: False for a module that was made with `bias=False`; all biases must then be 0.

    Returns:
      Arrays by PyTorch's names.

    Raises:
      ConversionError: a cell that PyTorch does not have, or a bias where there is to be none.

    >>> import jax
    >>> cell = GRU(3, 5, reset="after")
    >>> sorted(to_torch_cell(cell, cell.init(jax.random.key(0))))
    ['bias_hh', 'bias_ih', 'weight_hh', 'weight_ih']

    References: the documentation of `torch.nn.LSTMCell`.
    """
    if isinstance(cell, (Stack, Bidirectional, BidirectionalStack, ProjectedLSTM)):
        raise refuse(
            "PyTorch", cell, "its cells are of one layer and one direction, without a projection: use to_torch."
        )
    return {name.removesuffix("_l0"): array for name, array in to_torch(cell, params, bias=bias).items()}


def readout_from_torch(state_dict: Mapping[str, Any], *, prefix: str = "") -> tuple[Readout, ReadoutParams]:
    """Read the weights of an `nn.Linear`; those of an `nn.Embedding` are `params.embedding` as they are.

    Args:
      state_dict: arrays by PyTorch's names; "bias" may be absent.
      prefix: of the names to read, with its dot: "decoder.".

    Returns:
      The read-out and its parameters.

    Raises:
      ConversionError: a name that is missing or surplus, a wrong shape.

    >>> readout, params = readout_from_torch({"out.weight": np.ones((2, 5)), "out.bias": np.ones(2)}, prefix="out.")
    >>> readout, params.v.shape
    (Readout(input_size=5, output_size=2), (5, 2))

    References: the documentation of `torch.nn.Linear`.
    """
    check_mapping("state_dict", state_dict, "module.state_dict()")
    weights = {name.removeprefix(prefix): array for name, array in state_dict.items() if name.startswith(prefix)}
    outputs, inputs = shape_of("state_dict", weights, "weight", 2)
    shapes = {"weight": (outputs, inputs)} | ({"bias": (outputs,)} if "bias" in weights else {})
    arrays = checked_arrays("state_dict", weights, shapes)
    v = arrays["weight"].T
    return Readout(inputs, outputs), ReadoutParams(v, arrays.get("bias", jnp.zeros(outputs, v.dtype)))


def readout_to_torch(params: ReadoutParams) -> dict[str, np.ndarray]:
    """Write the state dict of the `nn.Linear` that computes the same.

    Args:
      params: of a `Readout`.

    Returns:
      Arrays by PyTorch's names.

    >>> readout_to_torch(ReadoutParams(jnp.ones((5, 2)), jnp.zeros(2)))["weight"].shape
    (2, 5)

    References: the documentation of `torch.nn.Linear`.
    """
    return exported({"weight": params.v.T, "bias": params.c})


def _hidden_size(weights: Mapping[str, Any]) -> int:
    """Return the number of units: the columns of weight_hh, or those of weight_hr if there is a projection."""
    name = "weight_hr_l0" if "weight_hr_l0" in weights else "weight_hh_l0"
    return shape_of("state_dict", weights, name, 2)[1]


def _shapes(weights: Mapping[str, Any], layers: int, sides: tuple[str, ...], rows: int, hidden: int) -> dict:
    """Return the names and shapes of all arrays of a module, given the shapes of its first layer."""
    _, inputs = shape_of("state_dict", weights, "weight_ih_l0", 2)
    outputs = shape_of("state_dict", weights, "weight_hh_l0", 2)[1]
    biases, shapes = any(name.startswith("bias") for name in weights), {}
    for n in range(layers):
        for side in sides:
            shapes |= {f"weight_ih_l{n}{side}": (rows, inputs), f"weight_hh_l{n}{side}": (rows, outputs)}
            shapes |= {f"bias_{part}_l{n}{side}": (rows,) for part in ("ih", "hh")} if biases else {}
            shapes |= {f"weight_hr_l{n}{side}": (outputs, hidden)} if "weight_hr_l0" in weights else {}
        inputs = len(sides) * outputs
    return shapes


def _read_layer(arrays: dict[str, Array], suffix: str, gates: int, activation: str) -> tuple[Any, Params]:
    """Convert one layer in one direction."""
    u, w = arrays[f"weight_ih{suffix}"].T, arrays[f"weight_hh{suffix}"].T
    nothing = jnp.zeros(u.shape[1], u.dtype)
    b_x, b_h = arrays.get(f"bias_ih{suffix}", nothing), arrays.get(f"bias_hh{suffix}", nothing)
    inputs, hidden = u.shape[0], u.shape[1] // gates
    if f"weight_hr{suffix}" in arrays:
        projection = arrays[f"weight_hr{suffix}"].T
        return ProjectedLSTM(inputs, hidden, w.shape[0]), ProjectedLSTMParams(u, w, b_x + b_h, projection)
    if gates == 4:
        return LSTM(inputs, hidden), LSTMParams(u, w, b_x + b_h)
    if gates == 3:
        b = jnp.concatenate([b_x[: 2 * hidden] + b_h[: 2 * hidden], b_x[2 * hidden :]])
        return GRU(inputs, hidden, reset="after"), GRUParams(u, w, b, b_h[2 * hidden :])
    return Elman(inputs, hidden, activation), ElmanParams(u, w, b_x + b_h)


def _together(kind: Any, layers: list[tuple[Any, Params]]) -> tuple[Any, tuple]:
    cells, params = zip(*layers, strict=True)
    return kind(cells), params


def _layers(cell: Any, params: Params) -> list[list[tuple[Any, Params]]]:
    """Return (cell, params) by layer and direction."""
    if isinstance(cell, Stack):
        return [[part] for part in zip(cell.cells, params, strict=True)]
    if isinstance(cell, BidirectionalStack):
        return [sides for layer, p in zip(cell.layers, params, strict=True) for sides in _layers(layer, p)]
    if isinstance(cell, Bidirectional):
        if cell.merge != "concat":
            raise refuse("PyTorch", cell, 'its two directions are concatenated: merge="concat".')
        return [[(cell.forward_cell, params.forward), (cell.backward_cell, params.backward)]]
    return [[(cell, params)]]


def _check_alike(cell: Any, singles: list[Any]) -> None:
    """Raise ConversionError unless one module of PyTorch can hold all layers."""

    def said(single: Any) -> tuple:
        fields = ("hidden_size", "projection_size", "activation")
        return type(single), *(getattr(single, field, None) for field in fields)

    if len({said(single) for single in singles}) > 1:
        raise refuse("PyTorch", cell, "all layers of a module are of one kind and size: write one module for each.")


def _write_layer(cell: Any, params: Any, bias: bool) -> dict[str, Any]:
    """Return the arrays of one layer in one direction, by PyTorch's names without the number of the layer."""
    b_h = None
    match cell:
        case Elman(activation=activation) if activation in _ACTIVATIONS.values():
            pass
        case LSTM(peephole=None) | ProjectedLSTM():
            pass
        case GRU(reset="after"):
            b_h = jnp.concatenate([jnp.zeros(2 * cell.hidden_size, params.b.dtype), params.b_n])
        case Elman():
            raise refuse("PyTorch", cell, "the nonlinearity of nn.RNN is tanh or relu.")
        case LSTM():
            raise refuse("PyTorch", cell, "its LSTM has no peepholes.")
        case GRU():
            raise refuse("PyTorch", cell, 'its GRU applies the reset after the product: GRU(reset="after").')
        case _:
            raise refuse("PyTorch", cell, "it has nn.RNN, nn.LSTM (with proj_size) and nn.GRU.")
    written = {"weight_ih": params.u.T, "weight_hh": params.w.T}
    b_h = jnp.zeros_like(params.b) if b_h is None else b_h
    if bias:
        written |= {"bias_ih": params.b, "bias_hh": b_h}
    else:
        check_zero("a module with bias=False", "`params.b` and `params.b_n`", jnp.concatenate([params.b, b_h]), "")
    return written | ({"weight_hr": params.projection.T} if isinstance(cell, ProjectedLSTM) else {})
