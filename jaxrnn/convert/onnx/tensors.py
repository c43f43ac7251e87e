"""The tensors of ONNX' nodes RNN, GRU and LSTM, from and to the parameters of a cell.

    W   [directions, gates·hidden, input]      U
    R   [directions, gates·hidden, hidden]     W
    B   [directions, 2·gates·hidden]           the biases of x and of h; absent where they are 0
    P   [directions, 3·hidden]                 peepholes, of i, o, f; the output gate reads C⁽ᵗ⁾: `peephole="current"`

ONNX orders the gates i o f c, which is i o f g, and z r h.  `linear_before_reset=0` is `GRU(reset="before")`, and 1 is
`GRU(reset="after")`, where the candidate's bias of h is `b_n`; all other pairs of biases are summed.

References: the ONNX operator specification, RNN, GRU and LSTM.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from jaxrnn.cells.elman import Elman, ElmanParams
from jaxrnn.cells.gru import GRU, GRUParams
from jaxrnn.cells.lstm import LSTM, LSTMParams
from jaxrnn.convert.layout import (
    GRU_GATES,
    LSTM_GATES,
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

GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
_ORDERS = {"RNN": ("h", "h"), "GRU": ("zrn", GRU_GATES), "LSTM": ("iofg", LSTM_GATES)}
"""The order of the gates in ONNX and in jaxrnn."""
_ACTIVATIONS = {"Tanh": "tanh", "Relu": "relu", "Affine": "identity"}
_FIXED = {"GRU": ["Sigmoid", "Tanh"], "LSTM": ["Sigmoid", "Tanh", "Tanh"]}
_PLAIN = {"clip": None, "input_forget": 0, "layout": 0}
"""Attributes that jaxrnn cannot express, and the values under which they have no effect."""


class Node(NamedTuple):
    """A recurrent node of ONNX without its place in a graph."""

    operator: str
    """"RNN", "GRU" or "LSTM"."""
    attributes: dict[str, Any]
    """hidden_size, direction, activations, linear_before_reset."""
    tensors: dict[str, np.ndarray]
    """W, R, B and, with peepholes, P."""


def to_onnx_tensors(cell: Any, params: Params) -> Node:
    """Convert a cell to the ONNX node that computes the same.

    Args:
      cell: an `Elman`, an `LSTM` without peepholes or with `peephole="current"`, a `GRU`; or a `Bidirectional` of two
        alike.
      params: its parameters.

    Returns:
      The operator, its attributes, and its tensors by their names in ONNX.

    Raises:
      ConversionError: a cell for which ONNX has no node.

    >>> import jax
    >>> cell = LSTM(3, 5, peephole="current")
    >>> node = to_onnx_tensors(cell, cell.init(jax.random.key(0)))
    >>> node.operator, {name: array.shape for name, array in node.tensors.items()}
    ('LSTM', {'W': (1, 20, 3), 'R': (1, 20, 5), 'B': (1, 40), 'P': (1, 15)})

    References: the ONNX operator specification.
    """
    check_written(cell, params)
    if not isinstance(cell, Bidirectional):
        return _one_direction(cell, params)
    forward = _one_direction(cell.forward_cell, params.forward)
    backward = _one_direction(cell.backward_cell, params.backward)
    if _kind(forward) != _kind(backward):
        raise refuse("ONNX", cell, "both directions of a node must be cells of one kind and size.")
    attributes = {**forward.attributes, "direction": "bidirectional"}
    for name in ("activations", "activation_alpha", "activation_beta"):
        said = [value for side in (forward, backward) for value in side.attributes.get(name, [])]
        attributes |= {name: said} if said else {}
    both = {name: np.concatenate([forward.tensors[name], backward.tensors[name]]) for name in forward.tensors}
    return Node(forward.operator, attributes, both)


def from_onnx_tensors(operator: str, tensors: Mapping[str, Any], **attributes: Any) -> tuple[Any, Params]:
    """Read the tensors of a node RNN, GRU or LSTM.

    Args:
      operator: "RNN", "GRU" or "LSTM".
      tensors: W, R and, where the node has them, B and P.
      attributes: the node's: direction, linear_before_reset, activations, ….

    Returns:
      `(cell, params)`; a `Bidirectional` for `direction="bidirectional"`.  For `direction="reverse"`, run the cell with
      `reverse=True`.

    Raises:
      ConversionError: a missing or unknown name, a wrong shape, or an attribute that jaxrnn cannot express.

    >>> cell, params = from_onnx_tensors("GRU", {"W": np.ones((1, 15, 3)), "R": np.ones((1, 15, 5))})
    >>> cell
    GRU(input_size=3, hidden_size=5, reset='before')

    References: the ONNX operator specification.
    """
    if operator not in GATES:
        raise ConversionError(f"`operator` must be one of {', '.join(GATES)}, got {operator!r}.")
    direction = attributes.get("direction", "forward")
    if direction not in ("forward", "reverse", "bidirectional"):
        raise ConversionError(f"`direction` must be forward, reverse or bidirectional, got {direction!r}.")
    for name, plain in _PLAIN.items():
        if attributes.get(name, plain) != plain:
            raise ConversionError(f"`{name}` must be left out (jaxrnn has no counterpart), got {attributes[name]!r}.")
    sides = 2 if direction == "bidirectional" else 1
    activations = _activations(operator, attributes, sides)
    _, _, inputs = shape_of("tensors", tensors, "W", 3)
    _, _, hidden = shape_of("tensors", tensors, "R", 3)
    rows = GATES[operator] * hidden
    shapes = {"W": (sides, rows, inputs), "R": (sides, rows, hidden)}
    shapes |= {"B": (sides, 2 * rows)} if "B" in tensors else {}
    shapes |= {"P": (sides, 3 * hidden)} if operator == "LSTM" and "P" in tensors else {}
    arrays = checked_arrays("tensors", tensors, shapes)
    after = bool(attributes.get("linear_before_reset", 0))
    read = [
        _read_side(operator, {name: array[k] for name, array in arrays.items()}, activations[k], after)
        for k in range(sides)
    ]
    if sides == 1:
        return read[0]
    return Bidirectional(read[0][0], read[1][0]), Directions(read[0][1], read[1][1])


def _kind(node: Node) -> tuple:
    """Return what both directions of a node must share: everything except activations and numbers."""
    attributes = {name: value for name, value in node.attributes.items() if not name.startswith("activation")}
    return node.operator, attributes, {name: array.shape for name, array in node.tensors.items()}


def _one_direction(cell: Any, params: Any) -> Node:
    attributes: dict[str, Any] = {"direction": "forward"}
    match cell:
        case Elman(activation=activation) if activation in _ACTIVATIONS.values():
            operator = "RNN"
            names = {ours: theirs for theirs, ours in _ACTIVATIONS.items()}
            attributes["activations"] = [names[activation]]
            if activation == "identity":
                attributes |= {"activation_alpha": [1.0], "activation_beta": [0.0]}
        case GRU():
            operator = "GRU"
            attributes["linear_before_reset"] = int(cell.reset == "after")
        case LSTM(peephole=None | "current"):
            operator = "LSTM"
        case LSTM():
            raise refuse("ONNX", cell, 'the output gate of its LSTM reads C(t): peephole="current".')
        case _:
            raise refuse(
                "ONNX",
                cell,
                "its nodes are RNN, GRU and LSTM; convert.to_onnx writes other cells as a Scan.",
            )
    attributes["hidden_size"] = cell.hidden_size
    theirs, ours = _ORDERS[operator]
    u, w, b = (reorder(array, ours, theirs) for array in (params.u, params.w, params.b))
    b_h = jnp.zeros_like(b)
    if operator == "GRU" and params.b_n is not None:
        b_h = b_h.at[2 * cell.hidden_size :].set(params.b_n)
    tensors = {"W": u.T[None], "R": w.T[None], "B": jnp.concatenate([b, b_h])[None]}
    if operator == "LSTM" and params.peephole is not None:
        tensors["P"] = params.peephole[jnp.array([0, 2, 1])].reshape(1, -1)  # i, f, o to i, o, f
    return Node(operator, attributes, exported(tensors))


def _activations(operator: str, attributes: Mapping[str, Any], sides: int) -> list[str]:
    """Return jaxrnn's names of the activations of an RNN, one per direction; those of GRU and LSTM are fixed."""
    default = _FIXED.get(operator, ["Tanh"]) * sides
    given = [name.decode() if isinstance(name, bytes) else name for name in attributes.get("activations", default)]
    if operator in _FIXED:
        if given != default:
            raise ConversionError(f"`activations` must be {default} for {operator}, got {given}.")
        return ["tanh"] * sides
    if len(given) != sides or any(name not in _ACTIVATIONS for name in given):
        raise ConversionError(f"`activations` must be {sides} of {', '.join(_ACTIVATIONS)}, got {given}.")
    if "Affine" in given:
        alpha, beta = attributes.get("activation_alpha", [1.0]), attributes.get("activation_beta", [0.0])
        if set(alpha) != {1.0} or set(beta) != {0.0}:
            raise ConversionError(f"`activation_alpha` and `activation_beta` must be 1 and 0, got {alpha} and {beta}.")
    return [_ACTIVATIONS[name] for name in given]


def _read_side(operator: str, arrays: dict[str, Array], activation: str, after: bool) -> tuple[Any, Params]:
    """Read one direction: W `[gates·hidden, input]`, R, B `[2·gates·hidden]`, P `[3·hidden]`."""
    theirs, ours = _ORDERS[operator]
    u, w = (reorder(arrays[name].T, theirs, ours) for name in ("W", "R"))
    (inputs, rows), hidden = u.shape, w.shape[0]
    both = arrays.get("B", jnp.zeros(2 * rows, u.dtype))
    b_x, b_h = (reorder(b, theirs, ours) for b in jnp.split(both, 2))
    if operator == "RNN":
        return Elman(inputs, hidden, activation), ElmanParams(u, w, b_x + b_h)
    if operator == "LSTM":
        if "P" not in arrays:
            return LSTM(inputs, hidden), LSTMParams(u, w, b_x + b_h)
        i, o, f = jnp.split(arrays["P"], 3)
        return LSTM(inputs, hidden, "current"), LSTMParams(u, w, b_x + b_h, jnp.stack([i, f, o]))
    if not after:
        return GRU(inputs, hidden, "before"), GRUParams(u, w, b_x + b_h)
    n = 2 * hidden
    return GRU(inputs, hidden, "after"), GRUParams(u, w, jnp.concatenate([b_x[:n] + b_h[:n], b_x[n:]]), b_h[n:])
