"""Reservoirs and read-outs from and to reservoirpy: `nodes.Reservoir`, `nodes.Ridge`.

    W     [units, units], dense or sparse    Wᵀ → `params.w` of a `Reservoir(connections=None)`, with ρ = 1
    Win   [units, input]                     Uᵀ → `params.u`, with s = 1
    bias  [units], or a number               `params.b`
    lr    a number, or one a unit            `params.gain`; `params.retention` is 1 − lr
    Wout  [units, output], bias              `ReadoutParams(v, c)`

reservoirpy draws in float64.  What is read here is in JAX's precision.

References: the documentation of `reservoirpy.nodes.Reservoir`; Jaeger, Lukoševičius, Popovici & Siewert 2007.
"""

from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxrnn.convert.layout import ConversionError, as_weight, check_written, checked_arrays, exported, refuse, shape_of
from jaxrnn.objectives.readout import Readout, ReadoutParams
from jaxrnn.reservoirs.reservoir import Reservoir, ReservoirParams, recurrent_matrix

_ACTIVATIONS = {"tanh": "tanh", "relu": "relu", "identity": "identity"}
"""The names of reservoirpy's functions, and their names here."""


def from_reservoirpy(node: Any) -> tuple[Reservoir, ReservoirParams]:
    """Read a reservoir that is initialized, that is, has run or been fitted once.

    Args:
      node: a `reservoirpy.nodes.Reservoir`.

    Returns:
      `(cell, params)`: a dense `Reservoir`.

    Raises:
      ConversionError: matrices that are not drawn yet, an activation that is not here.

    >>> from reservoirpy import nodes                                            # doctest: +SKIP
    >>> node = nodes.Reservoir(50, lr=0.3, sr=0.9, seed=1)                       # doctest: +SKIP
    >>> node.initialize(np.ones((10, 2)))                                        # doctest: +SKIP
    >>> from_reservoirpy(node)[0].hidden_size                                    # doctest: +SKIP
    50

    References: the documentation of `reservoirpy.nodes.Reservoir`.
    """
    weights = {name: _dense(name, getattr(node, name, None)) for name in ("W", "Win")}
    units, _ = shape_of("node", weights, "W", 2)
    _, inputs = shape_of("node", weights, "Win", 2)
    arrays = checked_arrays("node", weights, {"W": (units, units), "Win": (units, inputs)})
    bias, gain = (_per_unit(name, _dense(name, getattr(node, name)), units) for name in ("bias", "lr"))
    activation = getattr(node.activation, "__name__", repr(node.activation))
    if activation not in _ACTIVATIONS:
        raise ConversionError(f"`node.activation` must be one of {', '.join(_ACTIVATIONS)}, got {activation!r}.")
    w = arrays["W"].T
    cell = Reservoir(inputs, units, connections=None, activation=_ACTIVATIONS[activation])
    one = jnp.ones((), w.dtype)
    return cell, ReservoirParams(arrays["Win"].T, w, bias, one, jnp.ones(inputs, w.dtype), 1 - gain, gain)


def to_reservoirpy(cell: Reservoir, params: ReservoirParams) -> dict[str, Any]:
    """Write the arguments of the node that computes the same: `nodes.Reservoir(**to_reservoirpy(cell, params))`.

    Args:
      cell: a `Reservoir`, dense or sparse.
      params: its own; their retention must be 1 − gain, as reservoirpy has one leaking rate.

    Returns:
      The keyword arguments of the node.

    Raises:
      ConversionError: another cell, or a retention that is not 1 − gain.

    >>> import jax
    >>> cell = Reservoir(2, 50, connections=5)
    >>> to_reservoirpy(cell, cell.init(jax.random.key(0)))["W"].shape
    (50, 50)

    References: the documentation of `reservoirpy.nodes.Reservoir`.
    """
    if not isinstance(cell, Reservoir):
        raise refuse("reservoirpy", cell, "to_reservoirpy writes a Reservoir; convert the parts of a Stack one by one.")
    check_written(cell, params)
    if cell.activation not in _ACTIVATIONS.values():
        raise refuse("reservoirpy", cell, f"its activations are {', '.join(_ACTIVATIONS)}.")
    if not np.array_equal(np.asarray(params.retention), np.asarray(1 - params.gain)):
        raise ConversionError(
            "`params.retention` must be 1 − `params.gain` for reservoirpy, which has one leaking rate: "
            f"got retention {np.asarray(params.retention)} and gain {np.asarray(params.gain)}."
        )
    arrays = {
        "W": recurrent_matrix(cell, params).T,
        "Win": (params.scaling[:, None] * params.u).T,
        "bias": params.b,
        "lr": params.gain,
    }
    names = {ours: theirs for theirs, ours in _ACTIVATIONS.items()}
    return exported(arrays) | {"activation": names[cell.activation], "dtype": np.dtype(params.u.dtype).type}


def readout_from_reservoirpy(node: Any) -> tuple[Readout, ReadoutParams]:
    """Read a fitted `reservoirpy.nodes.Ridge`.

    Args:
      node: a `Ridge` after `fit`.

    Returns:
      The read-out and its parameters.

    Raises:
      ConversionError: it is not fitted.

    >>> from reservoirpy import nodes                                            # doctest: +SKIP
    >>> readout_from_reservoirpy(nodes.Ridge().fit(xs, ys))                      # doctest: +SKIP

    References: the documentation of `reservoirpy.nodes.Ridge`.
    """
    weights = {"Wout": _dense("Wout", node.Wout)}
    hidden, outputs = shape_of("node", weights, "Wout", 2)
    v = checked_arrays("node", weights, {"Wout": (hidden, outputs)})["Wout"]
    return Readout(hidden, outputs), ReadoutParams(v, _per_unit("bias", node.bias, outputs))


def readout_to_reservoirpy(params: ReadoutParams) -> dict[str, np.ndarray]:
    """Write the arguments of the node that computes the same: `nodes.Ridge(**readout_to_reservoirpy(params))`.

    Args:
      params: of a `Readout`.

    Returns:
      `Wout` and `bias`, as NumPy arrays.

    >>> readout_to_reservoirpy(ReadoutParams(jnp.ones((5, 2)), jnp.zeros(2)))["Wout"].shape
    (5, 2)

    References: the documentation of `reservoirpy.nodes.Ridge`.
    """
    return exported({"Wout": params.v, "bias": params.c})


def _dense(name: str, value: Any) -> Any:
    """Return the matrix of a node as a dense array."""
    if value is None or callable(value):
        raise ConversionError(f"`node.{name}` must be drawn already: node.initialize(x), or run the node once.")
    return value.toarray() if hasattr(value, "toarray") else value


def _per_unit(name: str, value: Any, units: int):
    """Return one number per unit, given one for all units or one for each."""
    array = as_weight(f"node.{name}", np.asarray(value, dtype=float) if np.ndim(value) == 0 else value)
    if array.size not in (1, units):
        raise ConversionError(f"`node.{name}` must be a number or have shape ({units},), got {array.shape}.")
    return jnp.broadcast_to(array.reshape(-1), (units,))
