"""Weights from and to Equinox: `eqx.nn.LSTMCell`, `eqx.nn.GRUCell`.

    weight_ih   [gates·hidden, input]     `params.u`, transposed
    weight_hh   [gates·hidden, hidden]    `params.w`, transposed
    bias        [gates·hidden]            `params.b`
    bias_n      [hidden]                  `params.b_n` of the GRU

The gates are in the same order, i f g o and r z n, and the GRU is `GRU(reset="after")`.

References: the documentation of `equinox.nn.LSTMCell` and `equinox.nn.GRUCell`.
"""

from typing import Any

import jax
import jax.numpy as jnp

from jaxrnn.cells.gru import GRU, GRUParams
from jaxrnn.cells.lstm import LSTM, LSTMParams
from jaxrnn.convert.layout import (
    ConversionError,
    check_written,
    check_zero,
    checked_arrays,
    gate_count,
    refuse,
    shape_of,
)
from jaxrnn.core.types import Params


def from_equinox(module: Any) -> tuple[Any, Params]:
    """Read the weights of an `eqx.nn.LSTMCell` or an `eqx.nn.GRUCell`.

    Args:
      module: the cell, with or without a bias.

    Returns:
      `(cell, params)`: an `LSTM`, or a `GRU(reset="after")`.

    Raises:
      ConversionError: a module of another kind, a wrong shape.

    >>> import equinox as eqx                                                    # doctest: +SKIP
    >>> from_equinox(eqx.nn.GRUCell(3, 5, key=jax.random.key(0)))[0]             # doctest: +SKIP
    GRU(input_size=3, hidden_size=5, reset='after')

    References: the documentation of `equinox.nn.LSTMCell`.
    """
    import equinox as eqx

    kinds = {eqx.nn.LSTMCell: 4, eqx.nn.GRUCell: 3}
    gates = next((count for kind, count in kinds.items() if isinstance(module, kind)), None)
    if gates is None:
        raise ConversionError(f"`module` must be an eqx.nn.LSTMCell or an eqx.nn.GRUCell, got {type(module).__name__}.")
    weights = {
        name: array
        for name in ("weight_ih", "weight_hh", "bias", "bias_n")
        if (array := getattr(module, name, None)) is not None
    }
    _, inputs = shape_of("module", weights, "weight_ih", 2)
    rows, hidden = shape_of("module", weights, "weight_hh", 2)
    if gate_count("module", "weight_hh", rows, hidden) != gates:
        raise ConversionError(
            f"`module.weight_hh` must have {gates} gates of {hidden} units, got shape {(rows, hidden)}."
        )
    shapes = {"weight_ih": (rows, inputs), "weight_hh": (rows, hidden)}
    if module.use_bias:
        shapes |= {"bias": (rows,)} | ({"bias_n": (hidden,)} if gates == 3 else {})
    arrays = checked_arrays("module", weights, shapes)
    u, w = arrays["weight_ih"].T, arrays["weight_hh"].T
    b = arrays.get("bias", jnp.zeros(rows, u.dtype))
    if gates == 4:
        return LSTM(inputs, hidden), LSTMParams(u, w, b)
    return GRU(inputs, hidden, reset="after"), GRUParams(u, w, b, arrays.get("bias_n", jnp.zeros(hidden, u.dtype)))


def to_equinox(cell: Any, params: Params, *, bias: bool = True) -> Any:
    """Make the Equinox cell that computes the same.

    Args:
      cell: an `LSTM` without peepholes, or a `GRU(reset="after")`.
      params: its own.
      bias: False for a module with `use_bias=False`; all biases must then be 0.

    Returns:
      An `eqx.nn.LSTMCell` or an `eqx.nn.GRUCell`.

    Raises:
      ConversionError: a cell that Equinox does not have, or a bias where there is to be none.

    >>> cell = LSTM(3, 5)
    >>> to_equinox(cell, cell.init(jax.random.key(0))).weight_ih.shape           # doctest: +SKIP
    (20, 3)

    References: the documentation of `equinox.nn.LSTMCell`.
    """
    import equinox as eqx

    check_written(cell, params)
    match cell:
        case LSTM(peephole=None):
            kind, names, biases = eqx.nn.LSTMCell, ["bias"], [params.b]
        case GRU(reset="after"):
            kind, names, biases = eqx.nn.GRUCell, ["bias", "bias_n"], [params.b, params.b_n]
        case LSTM():
            raise refuse("Equinox", cell, "its LSTM has no peepholes.")
        case GRU():
            raise refuse("Equinox", cell, 'its GRU applies the reset after the product: GRU(reset="after").')
        case _:
            raise refuse("Equinox", cell, "it has LSTMCell and GRUCell; convert the parts of a Stack one by one.")
    if not bias:
        check_zero("a module with use_bias=False", "`params.b` and `params.b_n`", jnp.concatenate(biases), "")
        names, biases = [], []
    module = kind(cell.input_size, cell.hidden_size, use_bias=bias, key=jax.random.key(0))
    names, arrays = ["weight_ih", "weight_hh", *names], [params.u.T, params.w.T, *biases]
    return eqx.tree_at(lambda m: [getattr(m, name) for name in names], module, arrays)
