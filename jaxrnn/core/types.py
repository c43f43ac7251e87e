"""The words that the other modules speak: what a cell is, and what its local backward rule is.

A recurrent network is the iteration of one map (chapter, section 1),

    (h⁽ᵗ⁾, y⁽ᵗ⁾) = f(h⁽ᵗ⁻¹⁾, x⁽ᵗ⁾; θ),        t = 1, …, τ,

with the same θ at every t.  A *cell* is that f, written in two halves: `project` is what can be
done for all t at once (U x⁽ᵗ⁾ + b), `step` is what must wait for h⁽ᵗ⁻¹⁾.  A cell is a value: a frozen
dataclass of hyperparameters, registered with `jax.tree_util.register_static`, whose methods are pure
functions of `params`.  Nothing here is a base class; a cell is whatever has these methods.

θ → params, h → carry, x → xs, the projected input → zs, the output → ys.
"""

from typing import Any, Protocol, runtime_checkable

from jaxtyping import Array, PyTree

Params = PyTree
"""A NamedTuple of arrays, made by `cell.init`."""

Carry = PyTree
"""The state h⁽ᵗ⁾ that is handed from one step to the next: an array or a NamedTuple of arrays."""

Inputs = PyTree
"""An array `[time, *batch, features]`, or a pytree of such arrays."""

Key = Array
"""A typed key from `jax.random.key`."""


@runtime_checkable
class Cell(Protocol):
    """One step of a recurrent network, as pure functions of `params`."""

    def init(self, key: Key) -> Params:
        """Random parameters."""
        ...

    def initial_carry(self, params: Params, batch_shape: tuple[int, ...] = ()) -> Carry:
        """h⁽⁰⁾: arrays whose leading axes are `batch_shape`."""
        ...

    def project(self, params: Params, xs: Inputs) -> Inputs:
        """The part of the step that needs no carry.  It works on any leading axes, time among them."""
        ...

    def step(self, params: Params, carry: Carry, z: Inputs) -> tuple[Carry, Any]:
        """(h⁽ᵗ⁻¹⁾, z⁽ᵗ⁾) → (h⁽ᵗ⁾, y⁽ᵗ⁾), for one t and any batch axes."""
        ...


@runtime_checkable
class LocalRules(Cell, Protocol):
    """A cell that states its own local backward rule, in the vocabulary of `jax.custom_vjp`.

    The rule is the chapter's split: `step_bwd` is the recursion for the gradients of the hidden units
    (2.2.2), one t at a time from the end; `weight_bwd` is the sum over t that gives the gradients of
    the parameters (2.2.3), one contraction for many t together.
    """

    def step_fwd(self, params: Params, carry: Carry, z: Inputs) -> tuple[tuple[Carry, Any], Any]:
        """The step, and the residual that its backward needs: `((carry, y), residual)`."""
        ...

    def step_bwd(self, params: Params, residual: Any, dcarry: Carry, dy: Any) -> tuple[Carry, Inputs, Any]:
        """∇h⁽ᵗ⁾ and ∇y⁽ᵗ⁾ → (∇h⁽ᵗ⁻¹⁾, ∇z⁽ᵗ⁾, local); linear in (dcarry, dy)."""
        ...

    def weight_bwd(self, params: Params, residuals: Any, locals: Any) -> Params:
        """Σₜ over every leading axis (time, batch): the gradient of the parameters that `step` reads."""
        ...
