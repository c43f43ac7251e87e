"""Networks that scan an image from its four corners.

    (h_ij, y_ij) = f(h_{i−1,j}, h_{i,j−1}, x_ij)                     toward the lower right

and likewise from the other corners, so that the four outputs at (i, j) together depend on every pixel.

The pixels on one anti-diagonal, i + j = d, depend only on those of the diagonal before:

    j →        d = 0 1 2 3          stored skewed:  zs[d, i] = z_{i, d−i}
    i  0 1 2 3                                      above of (d, i)  =  carry[i − 1]
    ↓  1 2 3 4                                      left  of (d, i)  =  carry[i]
       2 3 4 5

so a network over height × width pixels takes height + width − 1 steps of one `lax.scan`, for any number of directions.
Each step is one batched call of the cell, with the shorter side of the image as a batch axis.

A masked pixel lies outside the image: its state is the initial one, as beyond the border, and its output is 0.  Images
of several sizes go into one corner of a common grid, and each row of the batch is computed as if it were alone.

References: Graves, Fernández & Schmidhuber 2007; Lamport 1974 (wavefronts); van den Oord, Kalchbrenner &
Kavukcuoglu 2016, §3.2 (skewing); chapter 2.7, items 4 and 5.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float

from jaxrnn.core.arguments import as_array, check_key
from jaxrnn.core.checks import check_choice, check_params, check_steps
from jaxrnn.core.types import Carry, Inputs, Key, Params
from jaxrnn.directions.bidirectional import MERGES, merged
from jaxrnn.unrolling.scan import readable, select, zeros


@runtime_checkable
class Cell2D(Protocol):
    """One step on a grid, from two states: the four methods that your own 2-D cell needs."""

    def init(self, key: Key) -> Params:
        """Draw random parameters."""
        ...

    def initial_carry(self, params: Params, batch_shape: tuple[int, ...] = ()) -> Carry:
        """Return the state outside the image: arrays with leading axes `batch_shape`."""
        ...

    def project(self, params: Params, xs: Inputs) -> Inputs:
        """Compute the part of the step that needs no state, for any leading axes, those of the grid included."""
        ...

    def step_2d(self, params: Params, above: Carry, left: Carry, z: Inputs) -> tuple[Carry, Any]:
        """Map (h_{i−1,j}, h_{i,j−1}, z_ij) to (h_ij, y_ij), for any batch axes."""
        ...


CORNERS = ((False, False), (False, True), (True, False), (True, True))
"""The values of `reverse` for down-right, down-left, up-right and up-left."""


@jax.tree_util.register_static
@dataclass(frozen=True)
class Multidirectional:
    """Four networks, one from each corner of the image, with their outputs concatenated or summed.

    Args:
      cells: four 2-D cells, in the order down-right, down-left, up-right, up-left.
      merge: "concat" or "sum".

    Raises:
      TypeError: not four 2-D cells.
      ValueError: an unknown merge.

    >>> from jaxrnn.directions import LSTM2D
    >>> network = Multidirectional((LSTM2D(1, 5),) * 4)
    >>> network.apply(network.init(jax.random.key(0)), jnp.ones((8, 6, 2, 1))).shape
    (8, 6, 2, 20)

    References: Graves, Fernández & Schmidhuber 2007, §2.1.
    """

    cells: tuple[Cell2D, Cell2D, Cell2D, Cell2D]
    merge: str = "concat"

    def __post_init__(self):
        if not isinstance(self.cells, tuple) or [isinstance(c, Cell2D) for c in self.cells] != [True] * 4:
            raise TypeError(f"`cells` must be a tuple of four 2-D cells, got {self.cells!r}.")
        check_choice("merge", self.merge, MERGES)

    def init(self, key: Key) -> tuple[Params, ...]:
        """Draw the parameters of the four cells."""
        check_key(key=key)
        return tuple(cell.init(k) for cell, k in zip(self.cells, jax.random.split(key, 4), strict=True))

    def apply(
        self,
        params: tuple[Params, ...],
        xs: Float[Array, "height width *batch features"],
        *,
        mask: Bool[Array, "height width *batch"] | None = None,
    ) -> Float[Array, "height width *batch hidden"]:
        """Run all four directions over images, in one loop of height + width − 1 steps.

        Args:
          params: as from `init`.
          xs: `[height, width, *batch, features]`.
          mask: `[height, width, *batch]`; False outside an image.

        Returns:
          `[height, width, *batch, 4·hidden]`, or `hidden` with "sum"; 0 where `mask` is False.

        Raises:
          TypeError, ValueError: as `unroll_2d`; outputs of several sizes to be summed.
        """
        if not isinstance(params, tuple) or len(params) != 4:
            raise ValueError(f"`params` must be a tuple of four, got {jax.tree.structure(params)}.")
        return merged(self.merge, _checked_run(self.cells, params, xs, mask, CORNERS))


def unroll_2d(
    cell: Cell2D,
    params: Params,
    xs: Float[Array, "height width *batch features"],
    *,
    mask: Bool[Array, "height width *batch"] | None = None,
    reverse: tuple[bool, bool] = (False, False),
) -> Float[Array, "height width *batch hidden"]:
    """Run a 2-D cell over images from one corner, one anti-diagonal at a time.

    Args:
      cell: any 2-D cell.
      params: its parameters.
      xs: `[height, width, *batch, features]`, any number of batch axes, none included.
      mask: `[height, width, *batch]`; False outside an image.
      reverse: (vertically, horizontally): `(True, False)` runs from the lower left corner, so "above" means below.

    Returns:
      y of every pixel: `[height, width, *batch, hidden]`, in the order of `xs`; 0 where `mask` is False.

    Raises:
      TypeError: `cell` is not a 2-D cell; `mask` is not boolean.
      ValueError: `params` of another cell, or a wrong shape.

    >>> from jaxrnn.directions import Elman2D
    >>> cell = Elman2D(input_size=3, hidden_size=5)
    >>> ys = unroll_2d(cell, cell.init(jax.random.key(0)), jnp.ones((4, 6, 2, 3)), reverse=(True, True))
    >>> ys.shape
    (4, 6, 2, 5)

    References: Graves, Fernández & Schmidhuber 2007.
    """
    return _checked_run((cell,), (params,), xs, mask, (_two(reverse),))[0]


def unroll_2d_python(
    cell: Cell2D,
    params: Params,
    xs: Float[Array, "height width *batch features"],
    *,
    mask: Bool[Array, "height width *batch"] | None = None,
    reverse: tuple[bool, bool] = (False, False),
) -> Float[Array, "height width *batch hidden"]:
    """Run a 2-D cell over images in two nested Python loops: the definition of `unroll_2d`.

    Args:
      cell: any 2-D cell.
      params: its parameters.
      xs: `[height, width, *batch, features]`.
      mask: `[height, width, *batch]`; False outside an image.
      reverse: (vertically, horizontally): `(True, False)` runs from the lower left corner.

    Returns:
      As `unroll_2d`.

    Raises:
      TypeError, ValueError: as `unroll_2d`.

    >>> from jaxrnn.directions import Elman2D
    >>> cell, xs = Elman2D(3, 5), jnp.ones((2, 3, 3))
    >>> params = cell.init(jax.random.key(0))
    >>> bool(jnp.allclose(unroll_2d_python(cell, params, xs), unroll_2d(cell, params, xs), atol=1e-6))
    True

    References: Graves, Fernández & Schmidhuber 2007, algorithm 1.
    """
    xs, mask = _check(cell, params, xs, mask)
    reverse = _two(reverse)
    height, width, *batch = xs.shape[:-1]
    outside = cell.initial_carry(params, tuple(batch))
    states, ys = {}, {}
    for i in reversed(range(height)) if reverse[0] else range(height):
        for j in reversed(range(width)) if reverse[1] else range(width):
            above = states.get((i + 1 if reverse[0] else i - 1, j), outside)
            left = states.get((i, j + 1 if reverse[1] else j - 1), outside)
            inside = jnp.ones(batch, bool) if mask is None else mask[i, j]
            x = select(inside, xs[i, j], zeros(xs[i, j]))
            state, y = cell.step_2d(params, above, left, cell.project(params, x))
            states[i, j], ys[i, j] = select(inside, state, outside), select(inside, y, zeros(y))
    if not ys:
        return _empty(cell, params, xs)
    return jnp.stack([jnp.stack([ys[i, j] for j in range(width)]) for i in range(height)])


def _check(cell: Cell2D, params: Params, xs, mask) -> tuple[Array, Array | None]:
    if not isinstance(cell, Cell2D) or isinstance(cell, type):
        raise TypeError(f"`cell` must have init, initial_carry, project and step_2d, got {cell!r}.")
    check_params(params, cell)
    xs = as_array("xs", xs, "floating numbers")
    if xs.ndim < 3:
        raise ValueError(f"`xs` must have shape [height, width, *batch, features], got {xs.shape}.")
    return xs, check_steps("mask", mask, xs.shape[:-1])


def _two(reverse) -> tuple[bool, bool]:
    if not isinstance(reverse, tuple) or len(reverse) != 2:
        raise ValueError(f"`reverse` must be two booleans, (vertically, horizontally), got {reverse!r}.")
    return bool(reverse[0]), bool(reverse[1])


def _checked_run(cells, params, xs, mask, reverses) -> list[Array]:
    checked = [_check(cell, p, xs, mask) for cell, p in zip(cells, params, strict=True)]
    xs, mask = checked[0]
    if 0 in xs.shape[:2]:
        return [_empty(cell, p, xs) for cell, p in zip(cells, params, strict=True)]
    return _wavefront(cells, params, xs, mask, reverses)


@partial(jax.jit, static_argnames=("cells", "reverses"))
def _wavefront(cells, params, xs, mask, reverses) -> list[Array]:
    """Run every direction in one scan over the anti-diagonals."""
    if mask is not None:
        xs = readable(mask, xs)
    tall = xs.shape[0] > xs.shape[1]  # the shorter side is the axis of the batch: fewer places without a pixel
    lanes, steps = sorted(xs.shape[:2])
    everywhere = jnp.ones(xs.shape[:2], bool) if mask is None else mask
    diagonals = [
        jax.tree.map(partial(_to_diagonals, reverse=reverse, tall=tall), (cell.project(p, xs), everywhere))
        for cell, p, reverse in zip(cells, params, reverses, strict=True)
    ]
    outside = [cell.initial_carry(p, (lanes, *xs.shape[2:-1])) for cell, p in zip(cells, params, strict=True)]

    def body(states, at_d):
        results = [
            _diagonal(cell, p, start, state, *at, tall=tall)
            for cell, p, start, state, at in zip(cells, params, outside, states, at_d, strict=True)
        ]
        return [state for state, _ in results], [y for _, y in results]

    _, ys = lax.scan(body, outside, diagonals, length=lanes + steps - 1)
    return [_from_diagonals(y, xs.shape[:2], reverse, tall) for y, reverse in zip(ys, reverses, strict=True)]


def _diagonal(cell, params, outside, state, z, inside, *, tall: bool):
    """Compute all pixels of a diagonal in one direction, from the states of the previous diagonal."""
    shifted = jax.tree.map(lambda start, s: jnp.concatenate([start[:1], s[:-1]]), outside, state)
    above, left = (state, shifted) if tall else (shifted, state)
    after, y = cell.step_2d(params, above, left, z)
    return select(inside, after, outside), select(inside, y, zeros(y))


def _to_diagonals(grid: Array, *, reverse: tuple[bool, bool], tall: bool) -> Array:
    """Skew `[height, width, ...]` into `[diagonal, lane, ...]`, with 0 where there is no pixel.

    Each lane is padded to one more than the number of diagonals.  Reshaping the flat array to rows of the number of
    diagonals then shifts every lane one place further than the one before.
    """
    grid = jnp.flip(grid, [axis for axis in (0, 1) if reverse[axis]])
    grid = jnp.swapaxes(grid, 0, 1) if tall else grid
    (lanes, steps), rest = grid.shape[:2], grid.shape[2:]
    count = lanes + steps - 1
    padded = jnp.pad(grid, [(0, 0), (0, lanes), *[(0, 0)] * len(rest)]).reshape(lanes * (count + 1), *rest)
    return jnp.swapaxes(padded[: lanes * count].reshape(lanes, count, *rest), 0, 1)


def _from_diagonals(diagonals: Array, shape: tuple[int, int], reverse: tuple[bool, bool], tall: bool) -> Array:
    """Invert `_to_diagonals`."""
    (count, lanes), rest = diagonals.shape[:2], diagonals.shape[2:]
    flat = jnp.swapaxes(diagonals, 0, 1).reshape(lanes * count, *rest)
    flat = jnp.pad(flat, [(0, lanes), *[(0, 0)] * len(rest)])
    grid = flat.reshape(lanes, count + 1, *rest)[:, : max(shape)]
    grid = jnp.swapaxes(grid, 0, 1) if tall else grid
    return jnp.flip(grid, [axis for axis in (0, 1) if reverse[axis]])


def _empty(cell: Cell2D, params: Params, xs: Array) -> Array:
    """Return the outputs over an image without pixels."""

    def one(x):
        outside = cell.initial_carry(params, x.shape[:-1])
        return cell.step_2d(params, outside, outside, cell.project(params, x))[1]

    y = jax.eval_shape(one, jax.ShapeDtypeStruct(xs.shape[2:], xs.dtype))
    return jnp.zeros((*xs.shape[:2], *y.shape), y.dtype)
