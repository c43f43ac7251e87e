"""Checks at the public boundary, and their error messages.

Every message names the argument, what was expected, what came and, if it is not obvious, the remedy.  The checks
inspect static facts (shapes, dtypes, tree structure), so they run under `jit`, `vmap` and `grad` and leave nothing in
the compiled program.
"""

import contextlib
import functools
import numbers
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PyTree

from jaxrnn.core.arguments import as_array, check_boolean, check_one_array, known_values
from jaxrnn.core.types import Carry, Cell, Inputs, Params, ReadsBothWays, Timed
from jaxrnn.machines.sizes import known


def check_positive(**sizes: int) -> None:
    """Raise ValueError unless each argument is an integer of at least 1."""
    for name, size in sizes.items():
        if not isinstance(size, numbers.Integral) or isinstance(size, bool) or size < 1:
            raise ValueError(f"`{name}` must be an integer of at least 1, got {size!r}.")


def check_divides(name: str, divisor: int, **whole: int) -> None:
    """Raise ValueError unless `divisor` divides the size, given as `hidden_size=6`."""
    ((what, size),) = whole.items()
    if size % divisor:
        raise ValueError(f"`{name}` must divide {what}={size}, got {divisor}.")


def check_choice(name: str, value, choices: tuple) -> None:
    """Raise ValueError unless `value` is one of `choices`."""
    if value not in choices:
        raise ValueError(f"`{name}` must be one of {', '.join(map(repr, choices))}, got {value!r}.")


def check_features(name: str, xs: Array, **size: int) -> None:
    """Raise unless `xs` is floating and its last axis has the size, given as `input_size=3`."""
    ((what, expected),) = size.items()
    xs = as_array(name, xs, "floating numbers")
    if not jnp.issubdtype(jnp.result_type(xs), jnp.floating):
        raise TypeError(
            f"`{name}` must have a floating dtype, got {jnp.result_type(xs)}. "
            "Turn token ids into vectors first: jax.nn.one_hot(ids, n), or rows of an embedding."
        )
    if jnp.ndim(xs) < 1 or jnp.shape(xs)[-1] != expected:
        raise ValueError(f"`{name}` must have trailing size {what}={expected}, got shape {jnp.shape(xs)}.")


@contextlib.contextmanager
def inside(part: str, reads: str) -> Iterator[None]:
    """Add to the message of a TypeError or ValueError the part that raised it, and what that part reads."""
    try:
        yield
    except (TypeError, ValueError) as error:
        if type(error) not in (TypeError, ValueError):  # JAX's own, which take more than a message
            raise
        raise type(error)(f"`{part}`, which reads {reads}: {error}") from error


def check_shape(name: str, array: Array, shape: tuple[int, ...], meaning: str) -> None:
    """Raise ValueError unless `array` has exactly `shape`; nothing is broadcast silently."""
    check_one_array(name, array)
    if jnp.shape(array) != tuple(shape):
        raise ValueError(f"`{name}` must have shape {tuple(shape)} ({meaning}), got {jnp.shape(array)}.")


def check_is_cell(**cells: Any) -> None:
    """Raise TypeError unless each argument is a cell, which is a value and not a class."""
    for name, cell in cells.items():
        if not isinstance(cell, Cell) or isinstance(cell, type):
            deep = " Bidirectional layers are stacked by directions.BidirectionalStack((…, …))."
            raise TypeError(
                f"`{name}` must be a cell, with init, initial_carry, project and step, got {cell!r}."
                f"{deep if isinstance(cell, ReadsBothWays) else ''}"
            )
        check_registered(**{name: cell})


def check_registered(**values: Any) -> None:
    """Raise TypeError unless each is registered with JAX, as a static value or as a pytree."""
    for name, value in values.items():
        if jax.tree_util.all_leaves([value]):
            raise TypeError(
                f"`{name}` must be registered with JAX to be an argument of a compiled function: write "
                f"@jax.tree_util.register_static above the frozen dataclass {type(value).__name__}, got {value!r}."
            )


def check_params(params: Params, model: Any) -> None:
    """Raise ValueError unless `params` have the structure and the shapes of `model.init`."""
    check_tree("params", params, _expected_params(model), f"{model}.init(key)")


@functools.lru_cache(maxsize=256)
def _expected_params(model: Any) -> Params:
    return jax.eval_shape(model.init, jax.eval_shape(lambda: jax.random.key(0)))


def check_tree(name: str, tree: PyTree, expected: PyTree, source: str) -> None:
    """Raise ValueError unless `tree` has the structure and the leaf shapes of `expected`."""
    if jax.tree.structure(tree) != jax.tree.structure(expected):
        raise ValueError(
            f"`{name}` must have the structure that {source} returns, "
            f"{jax.tree.structure(expected)}, got {jax.tree.structure(tree)}."
        )
    wanted = jax.tree_util.tree_leaves_with_path(expected)
    for (path, want), leaf in zip(wanted, jax.tree.leaves(tree), strict=True):
        if jnp.shape(leaf) != want.shape:
            raise ValueError(
                f"`{name}{jax.tree_util.keystr(path)}` must have shape {want.shape}, "
                f"as {source} returns it, got {jnp.shape(leaf)}."
            )


def check_square(name: str, matrices: Array) -> None:
    """Raise ValueError unless the array holds square matrices, `[*batch, n, n]`, with n ≥ 1."""
    shape = as_array(name, matrices, "numbers").shape
    if len(shape) < 2 or shape[-1] != shape[-2] or not shape[-1]:
        raise ValueError(f"`{name}` must be square, `[*batch, n, n]`, got shape {shape}.")


def check_rows(name: str, array: Array, axes: str, of: str, like: Array, like_axes: str) -> None:
    """Raise ValueError unless both end in these axes, the last of one size, and the rows before them broadcast."""
    got, other = as_array(name, array, "numbers").shape, as_array(of, like, "numbers").shape
    n, m = (1 + letters.count(",") for letters in (axes, like_axes))
    rows = zip(reversed(got[:-n]), reversed(other[:-m]), strict=False)
    if len(got) < n or len(other) < m or got[-1] != other[-1] or any(a != b and 1 not in (a, b) for a, b in rows):
        raise ValueError(
            f"`{name}` must have shape [*rows, {axes}], with the rows and the last size of `{of}`, "
            f"[*rows, {like_axes}] = {other}, got {got}."
        )


def check_steps(name: str, array, leading: tuple[int, ...], of: str = "xs") -> Array | None:
    """Return a `mask` or `reset` as a boolean array with the leading axes `[time, *batch]` of an argument, or None."""
    if array is None:
        return None
    array = as_array(name, array, "booleans, as a comparison gives it")
    check_boolean(name, array)
    check_shape(name, array, leading, f"[time, *batch], the leading axes of `{of}`")
    return array


def check_range(name: str, array, low: int, high: int, mask=None) -> None:
    """Raise ValueError unless `low ≤ value ≤ high` on every valid step, where the values are known; it says where."""
    values, valid = known_values(array), None if mask is None else known_values(mask)
    if values is None or (mask is not None and valid is None):
        return
    wrong = ~((values >= low) & (values <= high))
    if valid is not None:
        wrong &= valid.reshape(valid.shape + (1,) * (wrong.ndim - valid.ndim))
    if wrong.any():
        where = tuple(int(i) for i in np.argwhere(wrong)[0])
        at = f" at {name}[{', '.join(map(str, where))}]" if where else ""
        raise ValueError(f"`{name}` must lie in {low} … {high}, got {values[where]}{at}.")


def check_dt(name: str, dt, mask=None) -> None:
    """Raise ValueError unless Δt is finite and above 0 on every valid step, where the values are known."""
    values, valid = known_values(dt), None if mask is None else known_values(mask)
    if values is None or (mask is not None and valid is None):
        return
    wrong = ~((values > 0) & np.isfinite(values))
    if valid is not None:
        wrong &= valid.reshape(valid.shape + (1,) * (wrong.ndim - valid.ndim))
    if wrong.any():
        where = tuple(int(i) for i in np.argwhere(wrong)[0])
        at = f" at {name}[{', '.join(map(str, where))}]" if where else ""
        raise ValueError(
            f"`{name}` must be finite and above 0, the time since the previous step, got {values[where]}{at}. Sort the "
            "rows by time, merge simultaneous observations, and mask padding with `mask`."
        )


def leading_axes(xs: Inputs) -> tuple[int, ...]:
    """Return (time, *batch) of an input array, or of a pytree of inputs that agree."""
    leaves = jax.tree.leaves(xs)
    if not leaves or any(jnp.ndim(x) < 2 for x in leaves):
        shapes = [jnp.shape(x) for x in leaves]
        lists = "; `jnp.asarray(xs)` makes one array of nested lists" if isinstance(xs, (list, tuple)) else ""
        raise ValueError(
            f"`xs` must have shape [time, *batch, features], got {shapes[0] if shapes else 'nothing'}{lists}."
        )
    leading = {jnp.shape(x)[:-1] for x in leaves}
    if len(leading) > 1:
        raise ValueError(f"the arrays in `xs` must share their axes [time, *batch], got {sorted(leading)}.")
    return leading.pop()


def check_time_is_known(function: str, time) -> None:
    """Raise ValueError if the number of steps is symbolic, because a Python loop over them needs it."""
    if known(time) is None:
        raise ValueError(
            f"`{function}` loops over the steps in Python, so `xs` must have a known number of steps, got {time}. "
            "Export `unroll` or `unroll_bptt`, whose results are the same."
        )


def cast_like(name: str, tree: PyTree, expected: PyTree) -> PyTree:
    """Cast every leaf to the dtype of `expected`, of the same structure, or raise if that loses information.

    Raises:
      TypeError: a leaf that is complex where a real one is expected, or floating where an integer is.
    """

    def leaf(path, leaf, want) -> Array:
        got = jnp.asarray(leaf).dtype
        for kind in (jnp.complexfloating, jnp.inexact):
            if jnp.issubdtype(got, kind) and not jnp.issubdtype(want.dtype, kind):
                raise TypeError(f"`{name}{jax.tree_util.keystr(path)}` must be {want.dtype}, got {got}.")
        return jnp.asarray(leaf, want.dtype)

    return jax.tree_util.tree_map_with_path(leaf, tree, expected)


def checked_carry(cell: Cell, params: Params, carry: Carry, batch: tuple[int, ...]) -> Carry:
    """Return a carry in the dtypes of the cell's own.

    Raises:
      TypeError: as `cast_like`.
      ValueError: another structure, or another shape, than that of the initial carry with these batch axes.
    """
    expected = _initial_carry(cell, params, batch)
    check_tree("carry", carry, expected, f"{cell}.initial_carry(params, {batch})")
    return cast_like("carry", carry, expected)


def check_unroll(cell: Cell, params: Params, xs: Inputs, carry: Carry | None, mask, reset, *, reverse: bool = False):
    """Check the arguments of the unroll family and return `(xs, carry, mask, reset)` as arrays.

    Raises:
      TypeError: `cell` is not a cell; `xs` is not an array, or not floating although the cell needs it; `mask`, `reset`
        or `reverse` is not boolean; `carry` is complex where the cell's is real, or floating where it is integer.
      ValueError: `params` are another cell's; a shape is not the expected one; Δt ≤ 0, or no number.
    """
    check_is_cell(cell=cell)
    check_params(params, cell)
    if not isinstance(reverse, bool | np.bool_):
        raise TypeError(f"`reverse` must be True or False, not an array or a traced value, got {reverse!r}.")
    xs = jax.tree.map(lambda x: as_array("xs", x, "numbers (of text: jax.nn.one_hot of its token ids)"), xs)
    leading = leading_axes(xs)
    mask, reset = check_steps("mask", mask, leading), check_steps("reset", reset, leading)
    for timed in jax.tree.leaves(xs, is_leaf=lambda part: isinstance(part, Timed)):
        if isinstance(timed, Timed):
            check_dt("xs.dt", timed.dt, mask)
    if carry is None:
        _initial_carry(cell, params, leading[1:])
        return xs, None, mask, reset
    expected = _initial_carry(cell, params, leading[1:])
    if not _fits(carry, expected) and _fits(carry, _initial_carry(cell, params, leading)):
        raise ValueError(
            f"`xs` must have shape [time, *batch, features], got the leading axes {leading}, which are all batch axes "
            "of `carry`. One step has a time axis of 1: `x[None]`."
        )
    return xs, checked_carry(cell, params, carry, leading[1:]), mask, reset


def _initial_carry(cell: Cell, params: Params, batch: tuple[int, ...]) -> Carry:
    """Return the shapes of the initial carry, which must have these batch axes in front."""
    leaves, structure = jax.tree.flatten(jax.tree.map(jax.typeof, params))
    fixed = all(isinstance(size, int) for size in batch)  # a symbolic size is compared in its own scope alone
    shapes = _shapes_of_carry if fixed else _shapes_of_carry.__wrapped__
    return shapes(cell, structure, tuple(leaves), batch)


@functools.lru_cache(maxsize=1024)
def _shapes_of_carry(cell: Cell, structure, leaves: tuple, batch: tuple[int, ...]) -> Carry:
    params = jax.tree.unflatten(structure, [jax.ShapeDtypeStruct(leaf.shape, leaf.dtype) for leaf in leaves])
    carry = jax.eval_shape(lambda p: cell.initial_carry(p, batch), params)
    for path, leaf in jax.tree_util.tree_leaves_with_path(carry):
        if leaf.shape[: len(batch)] != batch:
            raise ValueError(
                f"`initial_carry` of {cell} must put batch_shape={batch} in front of every array, "
                f"got shape {leaf.shape}{jax.tree_util.keystr(path)}."
            )
    return carry


def _fits(tree: PyTree, expected: PyTree) -> bool:
    same = jax.tree.structure(tree) == jax.tree.structure(expected)
    return same and all(map(lambda a, b: jnp.shape(a) == b.shape, *map(jax.tree.leaves, (tree, expected))))
