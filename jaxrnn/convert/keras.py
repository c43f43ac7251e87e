"""Weights from and to Keras 3: `SimpleRNN`, `LSTM`, `GRU`, their cells, `Bidirectional`, and layers in a row.

    kernel             [input, gates·units]     `params.u`
    recurrent_kernel   [units, gates·units]     `params.w`
    bias               [gates·units], or [2, gates·units] of `GRU(reset_after=True)`: that of x and that of h, which
                       add up but for the candidate's, `params.b_n`

Keras orders the gates i f c o, which is i f g o, and z r h.  `reset_after=False` is `GRU(reset="before")`,
`reset_after=True`, Keras' default, is `GRU(reset="after")`.

References: the documentation of `keras.layers.LSTM`, `keras.layers.GRU` and `keras.layers.SimpleRNN`.
"""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxrnn.cells.elman import Elman, ElmanParams
from jaxrnn.cells.gru import GRU, GRUParams
from jaxrnn.cells.lstm import LSTM, LSTMParams
from jaxrnn.cells.wrappers.stack import Stack
from jaxrnn.convert.layout import (
    GRU_GATES,
    ConversionError,
    check_written,
    checked_arrays,
    exported,
    refuse,
    reorder,
    shape_of,
)
from jaxrnn.core.types import Params
from jaxrnn.directions.bidirectional import Bidirectional, Directions
from jaxrnn.directions.bidirectional_stack import BidirectionalStack

_KERAS_GRU_GATES = "zrn"
_ACTIVATIONS = {"tanh": "tanh", "relu": "relu", "linear": "identity"}
"""The activations of `SimpleRNN`, and their names here."""
_MERGES = {"concat": "concat", "sum": "sum"}


def from_keras(layer: Any) -> tuple[Any, Params]:
    """Read the weights and the options of a Keras layer.

    Args:
      layer: a built `SimpleRNN`, `LSTM`, `GRU`, one of their cells, `RNN(cell)`, `StackedRNNCells`, `Bidirectional` of
        one of them; or a list of such layers, each of which reads the sequences of the previous one.

    Returns:
      `(cell, params)`: an `Elman`, `LSTM` or `GRU`, a `Stack` for several, for two directions a `Bidirectional`, or a
      `BidirectionalStack` for several.

    Raises:
      ConversionError: a layer of another kind, an activation that is not here, a layer that is not built, one that
        goes backwards (`unroll(…, reverse=True)` does; convert `layer.cell`).

    >>> import keras                                                             # doctest: +SKIP
    >>> layer = keras.layers.GRU(5)                                              # doctest: +SKIP
    >>> layer.build((None, None, 3))                                             # doctest: +SKIP
    >>> from_keras(layer)[0]                                                     # doctest: +SKIP
    GRU(input_size=3, hidden_size=5, reset='after')

    References: the documentation of `keras.layers.RNN`.
    """
    from keras import layers

    if isinstance(layer, (list, tuple)):
        if not layer:
            raise ConversionError("`layer` must hold at least one layer, got an empty list.")
        return _row([from_keras(part) for part in layer])
    if isinstance(layer, layers.Bidirectional):
        merge = layer.merge_mode
        if merge not in _MERGES:
            raise ConversionError(f"`layer.merge_mode` must be 'concat' or 'sum', got {merge!r} of {layer.name}.")
        forward, backward = _one(layer.forward_layer.cell), _one(layer.backward_layer.cell)
        return Bidirectional(forward[0], backward[0], _MERGES[merge]), Directions(forward[1], backward[1])
    if isinstance(layer, layers.RNN):
        if layer.go_backwards:
            raise ConversionError(
                f"`layer` must not go backwards, as {layer.name} does: a cell has no direction. Convert `layer.cell`, "
                "and run it by unroll(…, reverse=True), which returns its outputs in the order of the inputs."
            )
        layer = layer.cell
    if isinstance(layer, layers.StackedRNNCells):
        return _row([_one(cell) for cell in layer.cells])
    return _one(layer)


def to_keras(cell: Any, params: Params) -> list[np.ndarray]:
    """Write the arrays for `set_weights` of the Keras layer that computes the same.

    Args:
      cell: an `Elman`, an `LSTM` without peepholes or a `GRU` (`reset_after` is whether its reset is "after"); a
        `Stack` for the layers of a model in a row; a `Bidirectional`, `BidirectionalStack`.
      params: its own.

    Returns:
      The arrays, layer by layer, forward before backward; each layer's kernel, recurrent kernel and bias.

    Raises:
      ConversionError: a cell that Keras does not have.

    >>> import jax
    >>> cell = GRU(3, 5, reset="after")
    >>> [array.shape for array in to_keras(cell, cell.init(jax.random.key(0)))]
    [(3, 15), (5, 15), (2, 15)]

    References: the documentation of `keras.layers.RNN`.
    """
    check_written(cell, params)
    return exported(list(_write(cell, params)))


def _row(parts: Sequence[tuple[Any, Params]]) -> tuple[Any, Params]:
    """Stack layers on top of one another."""
    cells, params = zip(*parts, strict=True)
    if all(isinstance(cell, Bidirectional) for cell in cells):
        return BidirectionalStack(cells), params
    if any(isinstance(cell, Bidirectional) for cell in cells):
        raise ConversionError("`layer` must not mix layers of one direction and of two: convert each by itself.")
    return Stack(cells), params


def _one(cell: Any) -> tuple[Any, Params]:
    """Convert one of Keras' cells."""
    from keras import layers, ops

    kinds = {layers.SimpleRNNCell: 1, layers.GRUCell: 3, layers.LSTMCell: 4}
    gates = next((count for kind, count in kinds.items() if isinstance(cell, kind)), None)
    if gates is None:
        raise ConversionError(
            "`layer` must be a SimpleRNN, LSTM, GRU, one of their cells, StackedRNNCells, or a Bidirectional of them, "
            f"got {type(cell).__name__}."
        )
    numbers = [ops.convert_to_numpy(variable.value) for variable in cell.weights]
    weights = dict(zip(("kernel", "recurrent_kernel", "bias"), numbers, strict=False))
    if not weights:
        raise ConversionError(f"`layer` must be built, as {cell.name} is not: layer.build((None, None, input_size)).")
    inputs, _ = shape_of("layer", weights, "kernel", 2)
    hidden = cell.units
    shapes = {"kernel": (inputs, gates * hidden), "recurrent_kernel": (hidden, gates * hidden)}
    if cell.use_bias:
        two = gates == 3 and cell.reset_after
        shapes |= {"bias": (2, gates * hidden) if two else (gates * hidden,)}
    arrays = checked_arrays("layer", weights, shapes)
    u, w = arrays["kernel"], arrays["recurrent_kernel"]
    b = arrays.get("bias", jnp.zeros(gates * hidden, u.dtype))
    if gates == 1:
        return Elman(inputs, hidden, _activation(cell, "activation", _ACTIVATIONS)), ElmanParams(u, w, b)
    _activation(cell, "activation", {"tanh": "tanh"})
    _activation(cell, "recurrent_activation", {"sigmoid": "sigmoid"})
    if gates == 4:
        return LSTM(inputs, hidden), LSTMParams(u, w, b)
    u, w, b = (reorder(array, _KERAS_GRU_GATES, GRU_GATES) for array in (u, w, b))
    if not cell.reset_after:
        return GRU(inputs, hidden, reset="before"), GRUParams(u, w, b)
    b_x, b_h = (b, jnp.zeros_like(b)) if b.ndim == 1 else b
    b = jnp.concatenate([b_x[: 2 * hidden] + b_h[: 2 * hidden], b_x[2 * hidden :]])
    return GRU(inputs, hidden, reset="after"), GRUParams(u, w, b, b_h[2 * hidden :])


def _activation(cell: Any, field: str, known: dict[str, str]) -> str:
    """Return jaxrnn's name of an activation of a cell."""
    from keras import activations

    name = activations.serialize(getattr(cell, field))
    if name not in known:
        raise ConversionError(f"`layer.{field}` must be {' or '.join(map(repr, known))}, got {name!r} of {cell.name}.")
    return known[name]


def _write(cell: Any, params: Any):
    """Yield the arrays of a layer, or of several."""
    match cell:
        case Stack(cells=parts) | BidirectionalStack(layers=parts):
            for part, p in zip(parts, params, strict=True):
                yield from _write(part, p)
        case Bidirectional():
            yield from _write(cell.forward_cell, params.forward)
            yield from _write(cell.backward_cell, params.backward)
        case Elman() if cell.activation in _ACTIVATIONS.values():
            yield from (params.u, params.w, params.b)
        case LSTM(peephole=None):
            yield from (params.u, params.w, params.b)
        case GRU():
            u, w, b = (reorder(array, GRU_GATES, _KERAS_GRU_GATES) for array in (params.u, params.w, params.b))
            if params.b_n is not None:
                b = jnp.stack([b, jnp.concatenate([jnp.zeros(2 * cell.hidden_size, b.dtype), params.b_n])])
            yield from (u, w, b)
        case LSTM():
            raise refuse("Keras", cell, "its LSTM has no peepholes.")
        case _:
            raise refuse("Keras", cell, "it has SimpleRNN, LSTM and GRU.")
