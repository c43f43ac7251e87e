"""The protocols of a cell and of its local backward rule.

A recurrent network is the iteration of one map (chapter 1),

    (h⁽ᵗ⁾, y⁽ᵗ⁾) = f(h⁽ᵗ⁻¹⁾, x⁽ᵗ⁾; θ),        t = 1, …, τ,

with the same θ at every t.  A *cell* is f, written in two halves: `project` computes what does not depend on h⁽ᵗ⁻¹⁾,
for all t at once (U x⁽ᵗ⁾ + b), and `step` computes the rest.  A cell is a value: a frozen dataclass of hyperparameters,
registered with `jax.tree_util.register_static`, whose methods are pure functions of `params`.  There is no base class;
any object with these methods is a cell.

θ → params, h → carry, x → xs, the projected input → zs, the output → ys.

References: chapter 一 and 2.2; Goodfellow et al. 2016, §10.1 and §10.2.2.
"""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, Protocol, runtime_checkable

from jaxtyping import Array, Float, PyTree, UInt32

Params = PyTree
"""A NamedTuple of arrays, returned by `cell.init`."""

Carry = PyTree
"""The state h⁽ᵗ⁾ between two steps: an array or a NamedTuple of arrays."""

Inputs = PyTree
"""An array `[time, *batch, features]`, or a pytree of such arrays."""

Key = Array
"""A typed key from `jax.random.key`."""


@runtime_checkable
class Cell(Protocol):
    """One step of a recurrent network as pure functions of `params`: the methods that your own cell needs."""

    def init(self, key: Key) -> Params:
        """Draw random parameters."""
        ...

    def initial_carry(self, params: Params, batch_shape: tuple[int, ...] = ()) -> Carry:
        """Return h⁽⁰⁾, arrays with leading axes `batch_shape`."""
        ...

    def project(self, params: Params, xs: Inputs) -> Inputs:
        """Compute the part of the step that needs no carry, for any leading axes, time included."""
        ...

    def step(self, params: Params, carry: Carry, z: Inputs) -> tuple[Carry, Any]:
        """Map (h⁽ᵗ⁻¹⁾, z⁽ᵗ⁾) to (h⁽ᵗ⁾, y⁽ᵗ⁾), for one t and any batch axes."""
        ...


@runtime_checkable
class LocalRules(Cell, Protocol):
    """A cell with its own local backward rule, in the vocabulary of `jax.custom_vjp`.

    The rule follows the chapter's split: `step_bwd` is the recursion for the gradients of the hidden units (2.2.2), one
    step at a time from the end; `weight_bwd` is the sum over t for the gradients of the parameters (2.2.3), one
    contraction for many steps.
    """

    def step_fwd(self, params: Params, carry: Carry, z: Inputs) -> tuple[tuple[Carry, Any], Any]:
        """Run the step and return `((carry, y), residual)`, with what the backward pass needs."""
        ...

    def step_bwd(self, params: Params, residual: Any, dcarry: Carry, dy: Any) -> tuple[Carry, Inputs, Any]:
        """Map ∇h⁽ᵗ⁾ and ∇y⁽ᵗ⁾ to (∇h⁽ᵗ⁻¹⁾, ∇z⁽ᵗ⁾, local), linearly in (dcarry, dy)."""
        ...

    def weight_bwd(self, params: Params, residuals: Any, locals: Any) -> Params:
        """Return the gradient of the parameters that `step` reads, summed over all leading axes (time, batch)."""
        ...


@runtime_checkable
class CellOfParts(Cell, Protocol):
    """A cell made of cells, each of which can run over all steps before the next one starts."""

    def run_parts(self, params: Params, xs: Inputs, carry: Carry | None, run: Callable) -> tuple[Carry, Any]:
        """Run all steps, each part of the cell by `run(cell, params, xs, carry) -> (carry, ys)`; return (carry, ys)."""
        ...


@runtime_checkable
class ReadsBothWays(Protocol):
    """A network that reads a sequence from both ends, and so cannot be a cell: it has no step."""

    @property
    def forward_cell(self) -> Cell:
        """The cell that reads from the first step on."""
        ...

    @property
    def backward_cell(self) -> Cell:
        """The cell that reads from the last step on."""
        ...


class Noisy(NamedTuple):
    """An input with the key and the step number of its noise.

    The key and t are integers: differentiate with respect to x, as in
    `jax.grad(lambda x: loss(unroll(cell, params, noisy._replace(x=x))))(noisy.x)`.

    >>> import jax, jax.numpy as jnp
    >>> from jaxrnn.core import with_noise
    >>> noisy = with_noise(jax.random.key(0), jnp.ones((7, 2, 3)))
    >>> noisy.x.shape, noisy.key.shape, noisy.t[:3, 0, 0].tolist()
    ((7, 2, 3), (7, 2, 2), [0, 1, 2])
    """

    x: Inputs
    """`[time, *batch, features]`."""
    key: UInt32[Array, "*leading 2"]
    """The key of the row, constant over a sequence."""
    t: UInt32[Array, "*leading 1"]
    """The number of the step."""


class Timed(NamedTuple):
    """An input with Δt, the time since the step before it.

    `jaxrnn.cells.continuous.with_dt` builds it.  Δt is data like x: masks, resets, blocks of time and `vmap` treat both
    alike, and the loss has a gradient with respect to it.

    >>> import jax.numpy as jnp
    >>> from jaxrnn.cells.continuous import with_dt
    >>> timed = with_dt(jnp.ones((3, 2, 4)), jnp.array([1.0, 0.5, 2.0]))
    >>> timed.x.shape, timed.dt.shape, timed.dt[:, 0, 0].tolist()
    ((3, 2, 4), (3, 2, 1), [1.0, 0.5, 2.0])
    """

    x: Inputs
    """`[time, *batch, features]`."""
    dt: Float[Array, "*leading 1"]
    """Δt of every step and row, above 0."""


@runtime_checkable
class ReadsTime(Protocol):
    """A cell that takes `Timed(x, dt)`, and an array of equal steps as well."""

    def timed(self, xs: Inputs) -> Timed:
        """Return the inputs with Δt: `Timed` unchanged, an array with the time step of the cell."""
        ...


@runtime_checkable
class DrawsNoise(Protocol):
    """A cell that takes `Noisy(x, key, t)` and returns its noiseless form by `quiet`."""

    def quiet(self) -> Cell:
        """Return the cell for evaluation: the same parameters, plain inputs."""
        ...


def parts(network: Any) -> Iterator[Any]:
    """Return the direct parts of a network: the entries of a tuple, the fields of a dataclass.

    >>> from jaxrnn import Dropout, LSTM
    >>> list(parts(Dropout(LSTM(3, 5), 0.5)))
    [LSTM(input_size=3, hidden_size=5, peephole=None), 0.5, 'sequence']
    """
    if type(network) is tuple:
        yield from network
    elif dataclasses.is_dataclass(network) and not isinstance(network, type):
        yield from (getattr(network, field.name) for field in dataclasses.fields(network))


def map_parts(function: Callable[[Any], Any], network: Any) -> Any:
    """Apply `function` to every part of a network, innermost first and the network itself last.

    >>> from jaxrnn import LSTM, Stack
    >>> map_parts(lambda part: 8 if part == 5 else part, Stack((LSTM(3, 5), LSTM(5, 5))))
    Stack(cells=(LSTM(input_size=3, hidden_size=8, peephole=None), LSTM(input_size=8, hidden_size=8, peephole=None)))
    """
    if type(network) is tuple:
        return function(tuple(map_parts(function, part) for part in network))
    if not dataclasses.is_dataclass(network) or isinstance(network, type):
        return function(network)
    fields = [field.name for field in dataclasses.fields(network) if field.init]
    changed = {name: map_parts(function, getattr(network, name)) for name in fields}
    return function(dataclasses.replace(network, **changed))
