"""Weights from and to Haiku: `hk.VanillaRNN`, `hk.LSTM`, `hk.GRU`.

    vanilla_rnn/linear   w [input, hidden], b      f = relu, so `Elman(activation="relu")`
    vanilla_rnn/linear_1 w [hidden, hidden], b     the two biases add up; the second may be absent (`double_bias`)
    lstm/linear          w [input + hidden, 4·hidden], b      gates i g f o over [x; h]
    gru                  w_i, w_h, b               gates z r a, the reset before the product: `GRU(reset="before")`

Two formulas differ.  Haiku's LSTM **adds 1 to the forget gate** in every step, which is part of b here.  Its GRU
keeps (1 − z) of the old h where z keeps it here: σ(−a) = 1 − σ(a), so the **weights of z change their sign**.
Adding 1 rounds; all else is exact.

References: the documentation of `haiku.LSTM`, `haiku.GRU` and `haiku.VanillaRNN`.
"""

from collections.abc import Mapping
from typing import Any

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
    check_mapping,
    check_written,
    checked_arrays,
    exported,
    refuse,
    reorder,
    shape_of,
)
from jaxrnn.core.types import Params

_HAIKU_LSTM_GATES, _HAIKU_GRU_GATES = "igfo", "zrn"


def from_haiku(params: Mapping[str, Mapping[str, Any]], *, name: str | None = None) -> tuple[Any, Params]:
    """Read the parameters of one of Haiku's recurrent cores.

    Args:
      params: as from `hk.transform(…).init`.
      name: the path of the core, "encoder/~/lstm", where the parameters are a larger network's.

    Returns:
      `(cell, params)`: an `Elman(activation="relu")`, an `LSTM`, or a `GRU(reset="before")`.

    Raises:
      ConversionError: a name that is missing or surplus, a wrong shape.

    >>> cell, params = from_haiku({"gru": {"w_i": np.ones((3, 15)), "w_h": np.ones((5, 15)), "b": np.zeros(15)}})
    >>> cell
    GRU(input_size=3, hidden_size=5, reset='before')

    References: the documentation of `haiku.LSTM`.
    """
    check_mapping("params", params, "what hk.transform(…).init(key, …) returns")
    name = _only_core(params) if name is None else name
    flat = {
        f"{path.removeprefix(name).lstrip('/')}.{leaf}".lstrip("."): array
        for path, leaves in params.items()
        if path == name or path.startswith(f"{name}/linear")
        for leaf, array in leaves.items()
    }
    if not flat:
        raise ConversionError(f"`name` must be the path of a core, got {name!r}; there are {', '.join(params)}.")
    if "w_i" in flat:
        return _read_gru(flat)
    return _read_rnn(flat) if "linear_1.w" in flat else _read_lstm(flat)


def to_haiku(cell: Any, params: Params, *, name: str | None = None) -> dict[str, dict[str, np.ndarray]]:
    """Write the parameters of the Haiku core that computes the same.

    Args:
      cell: an `Elman(activation="relu")`, an `LSTM` without peepholes, or a `GRU(reset="before")`.
      params: its own.
      name: the path of the core; Haiku's own name for it by default: "vanilla_rnn", "lstm", "gru".

    Returns:
      Arrays by the paths of Haiku.

    Raises:
      ConversionError: a cell that Haiku does not have.

    >>> import jax
    >>> cell = LSTM(3, 5)
    >>> to_haiku(cell, cell.init(jax.random.key(0)))["lstm/linear"]["w"].shape
    (8, 20)

    References: the documentation of `haiku.LSTM`.
    """
    check_written(cell, params)
    match cell:
        case Elman(activation="relu"):
            name = "vanilla_rnn" if name is None else name
            from_x, from_h = {"w": params.u, "b": params.b}, {"w": params.w, "b": jnp.zeros_like(params.b)}
            return exported({f"{name}/linear": from_x, f"{name}/linear_1": from_h})
        case LSTM(peephole=None):
            n = cell.hidden_size
            w = reorder(jnp.concatenate([params.u, params.w]), LSTM_GATES, _HAIKU_LSTM_GATES)
            b = reorder(params.b.at[n : 2 * n].add(-1), LSTM_GATES, _HAIKU_LSTM_GATES)
            return exported({f"{'lstm' if name is None else name}/linear": {"w": w, "b": b}})
        case GRU(reset="before"):
            parts = {"w_i": params.u, "w_h": params.w, "b": params.b}
            written = {leaf: reorder(_negated_z(array), GRU_GATES, _HAIKU_GRU_GATES) for leaf, array in parts.items()}
            return exported({"gru" if name is None else name: written})
        case Elman():
            raise refuse("Haiku", cell, "its VanillaRNN has relu.")
        case LSTM():
            raise refuse("Haiku", cell, "its LSTM has no peepholes.")
        case GRU():
            raise refuse("Haiku", cell, 'its GRU applies the reset before the product: GRU(reset="before").')
    raise refuse("Haiku", cell, "it has VanillaRNN, LSTM and GRU; convert the parts of a Stack one by one.")


def _only_core(params: Mapping[str, Any]) -> str:
    """Return the path of the only core; raise `ConversionError` if there are several."""
    paths = {path.rsplit("/linear", 1)[0] for path in params}
    if len(paths) != 1:
        raise ConversionError(f"`name` must say which of the modules is meant: {', '.join(sorted(paths)) or 'none'}.")
    return paths.pop()


def _read_gru(flat: Mapping[str, Any]) -> tuple[GRU, GRUParams]:
    inputs, _ = shape_of("params", flat, "w_i", 2)
    hidden, _ = shape_of("params", flat, "w_h", 2)
    shapes = {"w_i": (inputs, 3 * hidden), "w_h": (hidden, 3 * hidden), "b": (3 * hidden,)}
    arrays = checked_arrays("params", flat, shapes).values()
    return GRU(inputs, hidden), GRUParams(*(_negated_z(reorder(a, _HAIKU_GRU_GATES, GRU_GATES)) for a in arrays))


def _read_lstm(flat: Mapping[str, Any]) -> tuple[LSTM, LSTMParams]:
    rows, columns = shape_of("params", flat, "linear.w", 2)
    n = columns // 4
    arrays = checked_arrays("params", flat, {"linear.w": (rows, 4 * n), "linear.b": (4 * n,)})
    if rows <= n:
        raise ConversionError(f"`params` must have weights of [x; h], more than {n} rows, got {rows}.")
    w, b = (reorder(arrays[leaf], _HAIKU_LSTM_GATES, LSTM_GATES) for leaf in ("linear.w", "linear.b"))
    return LSTM(rows - n, n), LSTMParams(w[:-n], w[-n:], b.at[n : 2 * n].add(1))


def _read_rnn(flat: Mapping[str, Any]) -> tuple[Elman, ElmanParams]:
    inputs, hidden = shape_of("params", flat, "linear.w", 2)
    shapes = {"linear.w": (inputs, hidden), "linear.b": (hidden,), "linear_1.w": (hidden, hidden)}
    shapes |= {"linear_1.b": (hidden,)} if "linear_1.b" in flat else {}
    arrays = checked_arrays("params", flat, shapes)
    b = arrays["linear.b"] + arrays.get("linear_1.b", jnp.zeros_like(arrays["linear.b"]))
    return Elman(inputs, hidden, "relu"), ElmanParams(arrays["linear.w"], arrays["linear_1.w"], b)


def _negated_z(array: Array) -> Array:
    """Return (r, z, n), packed, with the sign of z changed."""
    r, z, n = jnp.split(array, 3, axis=-1)
    return jnp.concatenate([r, -z, n], axis=-1)
