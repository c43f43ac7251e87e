"""Words that every converter shares: arrays, the names they have, and the order of the gates.

Every library stores the same few matrices.  They differ in

    which axis is the input's            `[in, gates·hidden]` here, its transpose in PyTorch, Equinox and ONNX
    the order of the gates               i f g o and r z n here; each other order is a string of the same letters
    how many biases a gate has           one here, and a second one for the candidate of `GRU(reset="after")`
    what stands in the formula           Haiku adds 1 to the forget gate and writes 1 − z for z

so a converter is a table of names, an order, and a transpose.  Only sums of two biases round; everything else
moves numbers, and there and back is the same bit for bit.

Arrays may be NumPy's, JAX's (also under `jax.grad`: a converter is differentiable), or anything else that
`numpy.asarray` takes, PyTorch tensors among them.  They come out in JAX's precision: float64 stays
float64 only where `jax_enable_x64` is set.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from jaxrnn.core.checks import check_params

LSTM_GATES, GRU_GATES = "ifgo", "rzn"
"""The order of the gates here: input, forget, candidate, output; reset, update, candidate."""


class ConversionError(ValueError):
    """The error raised if a model of another library cannot be read, or cannot be expressed there.

    References: the documentation of the library concerned.
    """


def as_weight(name: str, value: Any) -> Array:
    """Return `value` as a floating array of JAX.

    Raises:
      ConversionError: no array, or not a floating one.

    >>> as_weight("bias", [1.0, 2.0])
    Array([1., 2.], dtype=float32)
    """
    if not isinstance(value, jax.Array):
        try:
            value = np.asarray(value)
        except (TypeError, ValueError, RuntimeError) as error:
            raise ConversionError(f"`{name}` must be an array that NumPy can read: {error}") from error
    if not jnp.issubdtype(value.dtype, jnp.floating):
        raise ConversionError(f"`{name}` must be a floating array, got {value.dtype}.")
    if isinstance(value, np.ndarray):
        value = value.astype(value.dtype.newbyteorder("="))
    return jnp.asarray(value)


def checked_arrays(source: str, weights: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Array]:
    """Return the arrays of `weights`, which must have exactly these names and shapes.

    Args:
      source: the name of the argument, for the errors.
      weights: arrays by name.
      shapes: what is expected.

    Raises:
      ConversionError: a name that is missing or surplus, a wrong shape, no array.

    >>> checked_arrays("params", {"w": np.ones((2, 3))}, {"w": (2, 3)})["w"].shape
    (2, 3)
    """
    check_names(source, weights, shapes)
    arrays = {name: as_weight(f"{source}[{name!r}]", weights[name]) for name in shapes}
    for name, array in arrays.items():
        if array.shape != tuple(shapes[name]):
            raise ConversionError(f"`{source}[{name!r}]` must have shape {tuple(shapes[name])}, got {array.shape}.")
    return arrays


def check_mapping(name: str, value: Any, remedy: str) -> None:
    """Raise ConversionError unless it is a dict; for a module, the error says what to pass."""
    if not isinstance(value, Mapping):
        raise ConversionError(f"`{name}` must be a dict of arrays, got {type(value).__name__}: use {remedy}.")


def check_written(cell: Any, params: Any) -> None:
    """Raise unless `cell` is a network of this library and `params` are its own."""
    if isinstance(cell, type) or not callable(getattr(cell, "init", None)):
        raise ConversionError(f"`cell` must be a cell or a network of cells, got {cell!r}.")
    check_params(params, cell)


def check_names(source: str, weights: Mapping[str, Any], expected: Mapping[str, Any] | tuple[str, ...]) -> None:
    """Raise ConversionError unless `weights` has exactly the expected names."""
    missing = [name for name in expected if name not in weights]
    surplus = [name for name in weights if name not in expected]
    if missing or surplus:
        said = [
            f"{what} {', '.join(map(repr, names))}" for what, names in (("lacks", missing), ("has", surplus)) if names
        ]
        raise ConversionError(
            f"`{source}` must have the names {', '.join(map(repr, expected))}; it {' and it '.join(said)}."
        )


def shape_of(source: str, weights: Mapping[str, Any], name: str, axes: int) -> tuple[int, ...]:
    """Return the shape of one array, from which the sizes of a cell are read.

    Raises:
      ConversionError: it is missing, or has another number of axes.
    """
    if name not in weights:
        raise ConversionError(
            f"`{source}` must hold {name!r}, got the names {', '.join(map(repr, weights)) or 'none'}."
        )
    shape = np.shape(weights[name])
    if len(shape) != axes or 0 in shape:
        raise ConversionError(f"`{source}[{name!r}]` must have {axes} axes, none of size 0, got shape {shape}.")
    return tuple(shape)


def gate_count(source: str, name: str, rows: int, hidden: int) -> int:
    """Return the number of gates of `hidden` units along an axis of `rows`: 1, 3 or 4.

    Raises:
      ConversionError: another number.

    >>> gate_count("state_dict", "weight_hh_l0", 12, 4)
    3
    """
    if rows not in (hidden, 3 * hidden, 4 * hidden):
        raise ConversionError(
            f"`{source}[{name!r}]` must have 1 (RNN), 3 (GRU) or 4 (LSTM) gates of {hidden} units along one axis, "
            f"got size {rows}."
        )
    return rows // hidden


def reorder(array: Array, order: str, to: str) -> Array:
    """Return the blocks of the last axis, one per gate, in another order.

    >>> reorder(jnp.arange(8.0), "iofg", "ifgo")
    Array([0., 1., 4., 5., 6., 7., 2., 3.], dtype=float32)
    """
    if order == to:
        return array
    blocks = jnp.split(array, len(order), axis=-1)
    return jnp.concatenate([blocks[order.index(gate)] for gate in to], axis=-1)


def exported(tree: Any) -> Any:
    """Return every array in dicts and lists as NumPy's own, writable and in C order."""
    if isinstance(tree, dict):
        return {name: exported(value) for name, value in tree.items()}
    if isinstance(tree, list):
        return [exported(value) for value in tree]
    return np.array(tree, order="C")


def refuse(library: str, cell: Any, why: str) -> ConversionError:
    """Return the error for a cell that another library does not have."""
    return ConversionError(f"`cell` must be one that {library} has, got {cell}: {why}")


def check_zero(library: str, what: str, array: Array, remedy: str) -> None:
    """Raise ConversionError unless every number is 0, because the other library has no such parameter."""
    if np.any(np.asarray(array) != 0):
        raise ConversionError(f"{what} must be 0 for {library}, which has none, got {np.asarray(array)}. {remedy}")


def check_activation(name: str, library: str, gates: int, activation: str | None, known: Mapping[str, str]) -> str:
    """Return jaxrnn's name of an RNN's activation; those of an LSTM or a GRU are fixed.

    Raises:
      ConversionError: one that is not here, or one for a cell whose activations are fixed.
    """
    if gates != 1:
        if activation is not None:
            raise ConversionError(
                f"`{name}` must be left out for an LSTM or a GRU, whose activations are σ and tanh, got {activation!r}."
            )
        return "tanh"
    if activation is not None and activation not in known:
        raise ConversionError(f"`{name}` must be one of {', '.join(map(repr, known))} ({library}), got {activation!r}.")
    return known["tanh" if activation is None else activation]
