"""Depth within a step: an MLP in each of the three transitions (chapter 2.8, second way).

    MLP(v) = tanh(b_K + V_K … tanh(b₁ + V₁ v))

    DeepInput        h⁽ᵗ⁾ = f(h⁽ᵗ⁻¹⁾, MLP(x⁽ᵗ⁾))                  input → hidden; parallel over time
    DeepTransition   h⁽ᵗ⁾ = f(MLP(h⁽ᵗ⁻¹⁾), x⁽ᵗ⁾)                  hidden → hidden
      with `skip`    h⁽ᵗ⁾ = f(h⁽ᵗ⁻¹⁾ + MLP(h⁽ᵗ⁻¹⁾), x⁽ᵗ⁾)
    DeepOutput       y⁽ᵗ⁾ = MLP(y⁽ᵗ⁾)                             hidden → output

Each wraps any cell f, and they nest, so a network may have any of the three.  K more layers between h⁽ᵗ⁻¹⁾
and h⁽ᵗ⁾ make the shortest path from t − 1 to t by K nonlinearities longer, and gradients fade by as many more
factors; `skip` is the way around them, as in a ResNet: ∂/∂h (h + MLP(h)) = I + J.

V₁, b₁, … → `params.layers`, a tuple of `(w, b)`; f's parameters → `params.cell`.

References: Pascanu, Gulcehre, Cho & Bengio 2014, "How to construct deep recurrent neural networks", §3.3 (whose
shortcut has weights; the chapter's is the identity); He, Zhang, Ren & Sun 2016.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxrnn.core.arguments import check_key
from jaxrnn.core.carry_facts import CarryParts, carry_parts, check_output_size, output_of, parts_of_cell
from jaxrnn.core.checks import check_features, check_is_cell, check_positive, inside
from jaxrnn.core.forwarding import forwarded
from jaxrnn.core.initializers import input_weights
from jaxrnn.core.noise import plain_input, with_x
from jaxrnn.core.precision import add_bias, matmul
from jaxrnn.core.types import Carry, Cell, Inputs, Key, Params


class Layer(NamedTuple):
    """One layer of an MLP, v → tanh(b + V v)."""

    w: Float[Array, "in out"]
    """Vᵀ."""
    b: Float[Array, " out"]
    """b."""


class DeepParams(NamedTuple):
    """A cell's parameters, and those of the MLP beside it.

    >>> from jaxrnn import Elman
    >>> len(DeepInput(Elman(8, 5), (3, 16, 8)).init(jax.random.key(0)).layers)
    2
    """

    cell: Params
    """The parameters of the cell."""
    layers: tuple[Layer, ...]
    """The MLP's, in the order in which they are passed."""


@jax.tree_util.register_static
@dataclass(frozen=True)
class DeepInput:
    """A cell that reads MLP(x).

    Args:
      cell: any cell whose input is an array.
      sizes: of x, of every hidden layer, and of what the cell reads: `(3, 16, 8)` is one hidden layer of 16 units
        and one of 8 from x of size 3 to a cell with `input_size=8`.

    Raises:
      TypeError: `cell` is not a cell.
      ValueError: fewer than two sizes, one below 1, or one that does not fit the cell.

    >>> from jaxrnn import LSTM, unroll
    >>> cell = DeepInput(LSTM(8, 5), sizes=(3, 16, 8))
    >>> carry, ys = unroll(cell, cell.init(jax.random.key(0)), jnp.ones((7, 2, 3)))
    >>> ys.shape
    (7, 2, 5)

    References: Pascanu et al. 2014, §3.3.1.
    """

    cell: Cell
    sizes: tuple[int, ...]

    def __post_init__(self):
        check_is_cell(cell=self.cell)
        _check_sizes(self.sizes, at_least=2, meaning="x, hidden layers, and the cell's input")
        with inside("cell", reads="the output of the MLP, the last of `sizes`"):
            output_of(self.cell, self.sizes[-1])

    def init(self, key: Key) -> DeepParams:
        """Draw the MLP by Glorot's uniform rule, with biases 0, and the cell by its own `init`."""
        check_key(key=key)
        cell_key, key = jax.random.split(key)
        return DeepParams(self.cell.init(cell_key), _layers(key, self.sizes))

    initial_carry = forwarded(Cell.initial_carry, params="cell")
    carry_parts = parts_of_cell

    def project(self, params: DeepParams, xs: Inputs) -> Inputs:
        """Project MLP(x⁽ᵗ⁾) for every t at once, with the noise of x if the cell draws any."""
        x = plain_input(xs)
        check_features("xs", x, input_size=self.sizes[0])
        return self.cell.project(params.cell, with_x(xs, mlp(params.layers, x)))

    step = forwarded(Cell.step, params="cell")


@jax.tree_util.register_static
@dataclass(frozen=True)
class DeepTransition:
    """A cell that continues from MLP(h⁽ᵗ⁻¹⁾), or from h⁽ᵗ⁻¹⁾ + MLP(h⁽ᵗ⁻¹⁾).

    h is the first array of the carry: all of it in an Elman network or a GRU, h but not C in an LSTM.

    Args:
      cell: any cell.
      sizes: the sizes of the hidden layers of the MLP, possibly none; its last layer has the size of h.
      skip: True to add the identity to the MLP.

    Raises:
      TypeError: `cell` is not a cell.
      ValueError: a size below 1.

    >>> from jaxrnn import Elman, unroll
    >>> cell = DeepTransition(Elman(3, 5), sizes=(16,), skip=True)
    >>> carry, ys = unroll(cell, cell.init(jax.random.key(0)), jnp.ones((7, 2, 3)))
    >>> ys.shape
    (7, 2, 5)

    References: Pascanu et al. 2014, §3.3.2.
    """

    cell: Cell
    sizes: tuple[int, ...] = ()
    skip: bool = False

    def __post_init__(self):
        check_is_cell(cell=self.cell)
        _check_sizes(self.sizes, at_least=0, meaning="the hidden layers")

    def init(self, key: Key) -> DeepParams:
        """Draw the MLP by Glorot's uniform rule, with biases 0, and the cell by its own `init`."""
        check_key(key=key)
        cell_key, key = jax.random.split(key)
        params = self.cell.init(cell_key)
        size = jax.tree.leaves(self.cell.initial_carry(params))[0].shape[-1]
        return DeepParams(params, _layers(key, (size, *self.sizes, size)))

    initial_carry = forwarded(Cell.initial_carry, params="cell")
    project = forwarded(Cell.project, params="cell")
    carry_parts = parts_of_cell

    def step(self, params: DeepParams, carry: Carry, z: Inputs) -> tuple[Carry, Any]:
        """Run the step of the cell from the transformed h⁽ᵗ⁻¹⁾."""
        (h, *others), structure = jax.tree.flatten(carry)
        deep = mlp(params.layers, h).astype(h.dtype)
        carry = jax.tree.unflatten(structure, [h + deep if self.skip else deep, *others])
        return self.cell.step(params.cell, carry, z)


@jax.tree_util.register_static
@dataclass(frozen=True)
class DeepOutput:
    """A cell that outputs MLP(y); the last, linear layer is that of `Readout`.

    Args:
      cell: any cell whose output is an array.
      sizes: of y and of the MLP's layers: `(5, 16)` is one layer of 16 units above a cell with `hidden_size=5`.

    Raises:
      TypeError: `cell` is not a cell.
      ValueError: fewer than two sizes, one below 1, or one that does not fit the cell.

    >>> from jaxrnn import GRU, unroll
    >>> cell = DeepOutput(GRU(3, 5), sizes=(5, 16))
    >>> carry, ys = unroll(cell, cell.init(jax.random.key(0)), jnp.ones((7, 2, 3)))
    >>> carry.shape, ys.shape
    ((2, 5), (7, 2, 16))

    References: Pascanu et al. 2014, §3.3.3.
    """

    cell: Cell
    sizes: tuple[int, ...]

    def __post_init__(self):
        check_is_cell(cell=self.cell)
        _check_sizes(self.sizes, at_least=2, meaning="y and the layers")
        check_output_size("cell", output_of(self.cell), **{"sizes[0]": self.sizes[0]})

    def init(self, key: Key) -> DeepParams:
        """Draw the MLP by Glorot's uniform rule, with biases 0, and the cell by its own `init`."""
        check_key(key=key)
        cell_key, key = jax.random.split(key)
        return DeepParams(self.cell.init(cell_key), _layers(key, self.sizes))

    initial_carry = forwarded(Cell.initial_carry, params="cell")
    project = forwarded(Cell.project, params="cell")

    def carry_parts(self, carry: Carry) -> CarryParts:
        """Return the constants of the cell; the output is not part of the carry."""
        return CarryParts(constants=carry_parts(self.cell, carry).constants)

    def step(self, params: DeepParams, carry: Carry, z: Inputs) -> tuple[Carry, Array]:
        """Run the step of the cell and output MLP(y⁽ᵗ⁾)."""
        carry, y = self.cell.step(params.cell, carry, z)
        check_features("y", y, size=self.sizes[0])
        return carry, mlp(params.layers, y)


def mlp(layers: tuple[Layer, ...], v: Float[Array, "*leading in"]) -> Float[Array, "*leading out"]:
    """Return tanh(b_K + V_K … tanh(b₁ + V₁ v)).

    >>> mlp((Layer(jnp.ones((2, 3)), jnp.zeros(3)),), jnp.zeros((4, 2))).shape
    (4, 3)
    """
    for layer in layers:
        v = jnp.tanh(add_bias(matmul(v, layer.w), layer.b))
    return v


def _layers(key: Key, sizes: tuple[int, ...]) -> tuple[Layer, ...]:
    keys = jax.random.split(key, len(sizes) - 1)
    return tuple(
        Layer(input_weights(k, pair), jnp.zeros(pair[1])) for k, pair in zip(keys, pairwise(sizes), strict=True)
    )


def _check_sizes(sizes: tuple[int, ...], *, at_least: int, meaning: str) -> None:
    if not isinstance(sizes, tuple) or len(sizes) < at_least:
        raise ValueError(f"`sizes` must be a tuple of {at_least} or more ({meaning}), got {sizes!r}.")
    for size in sizes:
        check_positive(sizes=size)
