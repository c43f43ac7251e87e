"""Weights from and to Flax: linen's `SimpleCell`, `LSTMCell`, `OptimizedLSTMCell`, `GRUCell`, and nnx's.

| Flax | names of its kernels | here |
|---|---|---|
| linen `SimpleCell` | i h | `Elman` |
| linen `LSTMCell`, `OptimizedLSTMCell` | ii if ig io, hi hf hg ho | `LSTM` |
| linen `GRUCell` | ir iz in, hr hz hn | `GRU(reset="after")` |
| nnx `SimpleCell` | dense_i dense_h | `Elman` |
| nnx `LSTMCell` | ii if_ ig io, hi hf hg ho | `LSTM` |
| nnx `OptimizedLSTMCell` | dense_i dense_h, packed i f g o | `LSTM` |
| nnx `GRUCell` | dense_i dense_h, packed r z n | `GRU(reset="after")` with `b_n` = 0 |

Kernels are `[input, hidden]` as here.  **nnx's GRU has no hidden bias**: what goes there must have `b_n` = 0, and
linen's, which has one, can only be read by linen.  Neither has `GRU(reset="before")`, peepholes or projections.

References: the documentation of `flax.linen.RNNCellBase` and `flax.nnx.RNNCellBase`.
"""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp

from jaxrnn.cells.elman import ACTIVATIONS, Elman, ElmanParams
from jaxrnn.cells.gru import GRU, GRUParams
from jaxrnn.cells.lstm import LSTM, LSTMParams
from jaxrnn.convert.layout import (
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

_LINEN_LSTM = ("ii", "if", "ig", "io"), ("hi", "hf", "hg", "ho")
_NNX_LSTM = ("ii", "if_", "ig", "io"), ("hi", "hf", "hg", "ho")
_LINEN_GRU = ("ir", "iz", "in"), ("hr", "hz", "hn")
_ACTIVATIONS = {name: name for name in ACTIVATIONS}
"""`SimpleCell(activation_fn=…)` is a function, so it is said by its name here."""


def from_flax(variables: Mapping[str, Any], *, activation: str | None = None) -> tuple[Any, Params]:
    """Read the variables of one of linen's cells, of `nn.RNN(cell)` or of `nn.Bidirectional`.

    Args:
      variables: as from `module.init`, with or without the outer "params".
      activation: of a `SimpleCell`, which its variables do not tell; "tanh" by default.

    Returns:
      `(cell, params)`: an `Elman`, `LSTM`, `GRU(reset="after")`, or a `Bidirectional` of them.

    Raises:
      ConversionError: a name that is missing or surplus, a wrong shape, another activation.

    >>> import numpy as np
    >>> dense = {"kernel": np.ones((5, 5)), "bias": np.zeros(5)}
    >>> cell, params = from_flax({"params": {"i": dense, "h": {"kernel": np.ones((5, 5))}}})
    >>> cell
    Elman(input_size=5, hidden_size=5, activation='tanh')

    References: the documentation of `flax.linen.RNNCellBase`.
    """
    check_mapping("variables", variables, "what module.init(key, …) returns")
    for wrapper in ("params", "cell"):
        variables = variables[wrapper] if set(variables) == {wrapper} else variables
    if set(variables) == {"forward_rnn", "backward_rnn"}:
        forward, backward = (
            from_flax(variables[side], activation=activation) for side in ("forward_rnn", "backward_rnn")
        )
        return Bidirectional(forward[0], backward[0]), Directions(forward[1], backward[1])
    flat = _flat(variables)
    if "i.kernel" in flat:
        inputs, hidden = shape_of("variables", flat, "i.kernel", 2)
        activation = check_activation("activation", "Flax", 1, activation, _ACTIVATIONS)
        shapes = {"i.kernel": (inputs, hidden), "i.bias": (hidden,), "h.kernel": (hidden, hidden)}
        arrays = checked_arrays("variables", flat, shapes)
        return Elman(inputs, hidden, activation), ElmanParams(arrays["i.kernel"], arrays["h.kernel"], arrays["i.bias"])
    if "ii.kernel" in flat:
        check_activation("activation", "Flax", 4, activation, _ACTIVATIONS)
        return _lstm(flat, _LINEN_LSTM)
    inputs, hidden = shape_of("variables", flat, "ir.kernel", 2)
    check_activation("activation", "Flax", 3, activation, _ACTIVATIONS)
    from_x, from_h = _LINEN_GRU
    shapes = {f"{name}.kernel": (inputs, hidden) for name in from_x} | {f"{name}.bias": (hidden,) for name in from_x}
    shapes |= {f"{name}.kernel": (hidden, hidden) for name in from_h} | {"hn.bias": (hidden,)}
    arrays = checked_arrays("variables", flat, shapes)
    u, w = (jnp.concatenate([arrays[f"{name}.kernel"] for name in names], axis=1) for names in (from_x, from_h))
    b = jnp.concatenate([arrays[f"{name}.bias"] for name in from_x])
    return GRU(inputs, hidden, reset="after"), GRUParams(u, w, b, arrays["hn.bias"])


def to_flax(cell: Any, params: Params) -> dict[str, Any]:
    """Write the variables of the linen cell that computes the same: `flax_cell.apply(to_flax(cell, params), …)`.

    Args:
      cell: an `Elman` (`SimpleCell`, whose `activation_fn` must be its own), an `LSTM` without peepholes (`LSTMCell` or
        `OptimizedLSTMCell`) or a `GRU(reset="after")`.
      params: its own.

    Returns:
      `{"params": …}` of NumPy arrays.  For `nn.RNN(flax_cell)` they go one deeper: `{"params": {"cell": …["params"]}}`.

    Raises:
      ConversionError: a cell that Flax does not have.

    >>> import jax
    >>> cell = LSTM(3, 5)
    >>> to_flax(cell, cell.init(jax.random.key(0)))["params"]["if"]["kernel"].shape
    (3, 5)

    References: the documentation of `flax.linen.RNNCellBase`.
    """
    check_written(cell, params)
    _check_known("Flax", cell)
    if isinstance(cell, Elman):
        return exported({"params": {"i": {"kernel": params.u, "bias": params.b}, "h": {"kernel": params.w}}})
    if isinstance(cell, LSTM):
        return exported({"params": _lstm_out(params, _LINEN_LSTM)})
    from_x, from_h = _LINEN_GRU
    u, w, b = (jnp.split(array, 3, axis=-1) for array in (params.u, params.w, params.b))
    written = {name: {"kernel": k, "bias": bias} for name, k, bias in zip(from_x, u, b, strict=True)}
    written |= {name: {"kernel": k} for name, k in zip(from_h, w, strict=True)}
    written["hn"]["bias"] = params.b_n
    return exported({"params": written})


def from_nnx(state: Mapping[str, Any], *, activation: str | None = None) -> tuple[Any, Params]:
    """Read the state of one of nnx's cells.

    Args:
      state: `nnx.to_pure_dict(nnx.state(cell, nnx.Param))`.
      activation: of a `SimpleCell`, which its state does not tell; "tanh" by default.

    Returns:
      `(cell, params)`: an `Elman`, `LSTM`, or a `GRU(reset="after")` whose `b_n` is 0, as nnx's GRU has none.

    Raises:
      ConversionError: a name that is missing or surplus, a wrong shape, another activation.

    >>> import numpy as np
    >>> state = {"dense_i": {"kernel": np.ones((3, 15)), "bias": np.zeros(15)}, "dense_h": {"kernel": np.ones((5, 15))}}
    >>> cell, params = from_nnx(state)
    >>> cell, bool((params.b_n == 0).all())
    (GRU(input_size=3, hidden_size=5, reset='after'), True)

    References: the documentation of `flax.nnx.RNNCellBase`.
    """
    check_mapping("state", state, "nnx.to_pure_dict(nnx.state(cell, nnx.Param))")
    flat = _flat(state)
    if "ii.kernel" in flat:
        check_activation("activation", "Flax", 4, activation, _ACTIVATIONS)
        return _lstm(flat, _NNX_LSTM)
    inputs, width = shape_of("state", flat, "dense_i.kernel", 2)
    hidden, _ = shape_of("state", flat, "dense_h.kernel", 2)
    gates = gate_count("state", "dense_i.kernel", width, hidden)
    activation = check_activation("activation", "Flax", gates, activation, _ACTIVATIONS)
    biased = "dense_h.bias" if gates == 4 else "dense_i.bias"
    shapes = {"dense_i.kernel": (inputs, width), "dense_h.kernel": (hidden, width), biased: (width,)}
    arrays = checked_arrays("state", flat, shapes)
    u, w, b = arrays["dense_i.kernel"], arrays["dense_h.kernel"], arrays[biased]
    if gates == 4:
        return LSTM(inputs, hidden), LSTMParams(u, w, b)
    if gates == 3:
        return GRU(inputs, hidden, reset="after"), GRUParams(u, w, b, jnp.zeros(hidden, b.dtype))
    return Elman(inputs, hidden, activation), ElmanParams(u, w, b)


def to_nnx(cell: Any, params: Params) -> dict[str, Any]:
    """Write the state of the nnx `SimpleCell`, `LSTMCell` or `GRUCell` that computes the same.

    Args:
      cell: an `Elman`, an `LSTM` without peepholes, or a `GRU(reset="after")` whose `b_n` is 0.
      params: its own.

    Returns:
      A pure dict of NumPy arrays: `nnx.update(nnx_cell, to_nnx(cell, params))`.

    Raises:
      ConversionError: a cell that nnx does not have, or a `b_n` that is not 0.

    >>> import jax
    >>> cell = GRU(3, 5, reset="after")
    >>> to_nnx(cell, cell.init(jax.random.key(0)))["dense_h"]["kernel"].shape
    (5, 15)

    References: the documentation of `flax.nnx.RNNCellBase`.
    """
    check_written(cell, params)
    _check_known("Flax nnx", cell)
    if isinstance(cell, LSTM):
        return exported(_lstm_out(params, _NNX_LSTM))
    if isinstance(cell, GRU):
        check_zero(
            "nnx.GRUCell", "`params.b_n`, the candidate's hidden bias,", params.b_n, "linen's GRUCell has it: to_flax."
        )
    return exported({"dense_i": {"kernel": params.u, "bias": params.b}, "dense_h": {"kernel": params.w}})


def to_nnx_optimized(cell: LSTM, params: LSTMParams) -> dict[str, Any]:
    """Write the state of the nnx `OptimizedLSTMCell` that computes the same.

    Args:
      cell: an `LSTM` without peepholes.
      params: its own.

    Returns:
      A nested dict of arrays, as `nnx.to_pure_dict` gives.

    Raises:
      ConversionError: another cell.

    >>> import jax
    >>> cell = LSTM(3, 5)
    >>> to_nnx_optimized(cell, cell.init(jax.random.key(0)))["dense_h"]["bias"].shape
    (20,)

    References: the documentation of `flax.nnx.OptimizedLSTMCell`.
    """
    check_written(cell, params)
    _check_known("Flax nnx", cell)
    if not isinstance(cell, LSTM):
        raise refuse("Flax nnx", cell, "its OptimizedLSTMCell is an LSTM: use to_nnx.")
    return exported({"dense_i": {"kernel": params.u}, "dense_h": {"kernel": params.w, "bias": params.b}})


def _flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return the arrays by their dotted names."""
    found = {}
    for name, value in tree.items():
        found |= _flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {f"{prefix}{name}": value}
    return found


def _lstm(flat: Mapping[str, Any], names: tuple[tuple[str, ...], tuple[str, ...]]) -> tuple[LSTM, LSTMParams]:
    """Convert an LSTM whose gates have two kernels each, the one for h with a bias."""
    from_x, from_h = names
    inputs, hidden = shape_of("variables", flat, "ii.kernel", 2)
    shapes = {f"{name}.kernel": (inputs, hidden) for name in from_x}
    shapes |= {f"{name}.kernel": (hidden, hidden) for name in from_h} | {f"{name}.bias": (hidden,) for name in from_h}
    arrays = checked_arrays("variables", flat, shapes)
    u, w = (jnp.concatenate([arrays[f"{name}.kernel"] for name in side], axis=1) for side in names)
    return LSTM(inputs, hidden), LSTMParams(u, w, jnp.concatenate([arrays[f"{name}.bias"] for name in from_h]))


def _lstm_out(params: LSTMParams, names: tuple[tuple[str, ...], tuple[str, ...]]) -> dict[str, Any]:
    from_x, from_h = names
    u, w, b = (jnp.split(array, 4, axis=-1) for array in (params.u, params.w, params.b))
    written = {name: {"kernel": kernel} for name, kernel in zip(from_x, u, strict=True)}
    return written | {name: {"kernel": k, "bias": bias} for name, k, bias in zip(from_h, w, b, strict=True)}


def _check_known(library: str, cell: Any) -> None:
    match cell:
        case Elman() | LSTM(peephole=None) | GRU(reset="after"):
            pass
        case LSTM():
            raise refuse(library, cell, "its LSTM has no peepholes.")
        case GRU():
            raise refuse(library, cell, 'its GRU applies the reset after the product: GRU(reset="after").')
        case _:
            raise refuse(
                library, cell, "it has SimpleCell, LSTMCell and GRUCell; convert the parts of a Stack one by one."
            )
