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

from typing import Any, Protocol, runtime_checkable

from jaxtyping import Array, PyTree

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
