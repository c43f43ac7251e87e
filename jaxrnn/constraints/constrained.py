"""Constraints as maps of the parameters: raw → θ.

    θ = f_k ∘ … ∘ f₁ (raw),         raw ← raw + optimizer(∇_raw L(θ(raw)))

The optimizer updates `raw`, which may take any value; the network uses θ, which obeys the constraints by construction,
after any update of any optimizer.  A constraint is a value with two functions and the name of a parameter:

    init(key, weight) -> raw            the initial raw value, from the weight that the cell drew
    apply(raw) -> weight                the map
    at                                  "w"; or "cell.w", "readout.v", "0.w", the end of a path to a field

`Constraints` applies several constraints to a whole tree of parameters, in their order.

**Gates.**  The recurrent weight of a gated cell holds its gates side by side, `[hidden, gates·hidden]`.  A constraint
acts on every gate in the same way: a sign belongs to the sending unit, and a mask of units is repeated for each gate.

**The spectral radius.**  Signs and masks change the spectrum of the drawn weights.  `init(…, radius=ρ)` restores the
balance of excitation and inhibition under Dale's principle, and then scales each recurrent matrix (each gate's) to the
radius ρ.

References: Song, Yang & Wang 2016 (signs and masks as maps of a free matrix); Rajan & Abbott 2006 (balance and the
spectrum); chapter 6.2 (the spectral radius).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree

from jaxrnn.core.arguments import check_key, known_values
from jaxrnn.core.types import Key, Params


@runtime_checkable
class Constraint(Protocol):
    """A map raw → weight of one parameter, found by its name."""

    @property
    def at(self) -> str:
        """The end of the path to the parameter: "w", "cell.w"."""
        ...

    def init(self, key: Key, weight: Array) -> PyTree:
        """Return the initial raw value."""
        ...

    def apply(self, raw: Any) -> Array:
        """Map the raw value to the weight."""
        ...


@runtime_checkable
class Balances(Protocol):
    """A constraint that changes the mean of the weights, and can restore it."""

    def balanced(self, raw: Array, weight: Array) -> Array:
        """Return the raw value for which `weight`, the result of all constraints, is balanced."""
        ...


@runtime_checkable
class Rescales(Protocol):
    """A constraint whose raw value is not a matrix, and that scales the weight's columns in its own way."""

    def scaled(self, raw: Any, columns: Array) -> Any:
        """Return the raw value whose weight has its columns multiplied by these numbers."""
        ...


@jax.tree_util.register_static
@dataclass(frozen=True)
class Constraints:
    """Constraints on a tree of parameters, applied in their order.

    Args:
      maps: the constraints; several may act on one parameter.

    Raises:
      TypeError: one of them is not a constraint.

    >>> from jaxrnn import unroll
    >>> from jaxrnn.cells.continuous import RateNetwork
    >>> from jaxrnn.constraints import Dale, NoSelfConnections
    >>> cell, constraints = RateNetwork(3, 50, "relu"), Constraints((Dale(0.8), NoSelfConnections()))
    >>> key = jax.random.key(0)
    >>> raw = constraints.init(key, cell.init(key), radius=0.9)
    >>> params = constraints.apply(raw)  # in the loss: jax.grad(lambda raw: … constraints.apply(raw) …)
    >>> x, rs = unroll(cell, params, jnp.ones((30, 3)))
    >>> bool((params.w[:40] >= 0).all()), bool((params.w[40:] <= 0).all()), float(jnp.trace(params.w))
    (True, True, 0.0)

    References: Song, Yang & Wang 2016.
    """

    maps: tuple[Constraint, ...]

    def __post_init__(self):
        for constraint in self.maps:
            if not isinstance(constraint, Constraint) or isinstance(constraint, type):
                raise TypeError(f"`maps` must hold constraints, with at, init and apply, got {constraint!r}.")

    def init(self, key: Key, params: Params, *, radius: float | Array | None = None) -> PyTree:
        """Return the initial raw parameters.

        Args:
          key: for the constraints that draw something.
          params: what `cell.init` drew, or the parameters of a whole model.
          radius: the spectral radius of every constrained recurrent matrix `w`; None keeps the one that the maps give.

        Returns:
          A tree like `params`, with raw values in place of the constrained parameters.

        Raises:
          ValueError: a constraint names a parameter that does not exist, or does not fit its shape.
        """
        check_key(key=key)
        keys = jax.random.split(key, max(1, len(self.maps)))
        raw = params
        for constraint, its_key in zip(self.maps, keys, strict=False):
            raw = _replaced(raw, constraint, lambda leaf, c=constraint, k=its_key: c.init(k, leaf))
        for constraint in self.maps:
            if isinstance(constraint, Balances):
                raw = _paired(raw, self.apply(raw), constraint.at, constraint.balanced)
        if radius is None:
            return raw
        own = {m.at: m.scaled for m in self.maps if isinstance(m, Rescales)}
        for at in dict.fromkeys(m.at for m in self.maps if m.at.split(".")[-1] == "w"):
            scale = own.get(at, lambda leaf, columns: leaf * columns)
            raw = _paired(raw, self.apply(raw), at, lambda leaf, w, s=scale: s(leaf, _columns(w, radius)))
        return raw

    def apply(self, raw: PyTree) -> Params:
        """Map the raw parameters to those of the network; differentiable, and works under `jit` and `vmap`.

        Args:
          raw: as `init` returns it, after any number of updates.

        Returns:
          The parameters.
        """
        for constraint in self.maps:
            raw = _replaced(raw, constraint, constraint.apply)
        return raw


@jax.tree_util.register_static
@dataclass(frozen=True)
class ConstrainedNetwork:
    """A network with the constraints on its parameters, as one value to train and to save.

    Args:
      network: a cell, or a model with cells.
      constraints: the constraints on its parameters.
      radius: the initial spectral radius of the constrained recurrent weights; None keeps the one that the maps give.

    >>> from jaxrnn import Elman
    >>> from jaxrnn.constraints import Dale
    >>> trained = ConstrainedNetwork(Elman(3, 10), Constraints((Dale(0.8),)), radius=0.9)
    >>> raw = trained.init(jax.random.key(0))
    >>> bool((trained.params(raw).w[:8] >= 0).all())
    True

    References: Song, Yang & Wang 2016.
    """

    network: Any
    constraints: Constraints
    radius: float | None = None

    def init(self, key: Key) -> PyTree:
        """Draw the parameters of the network, and return the raw ones."""
        check_key(key=key)
        network_key, constraints_key = jax.random.split(key)
        return self.constraints.init(constraints_key, self.network.init(network_key), radius=self.radius)

    def params(self, raw: PyTree) -> Params:
        """Return the parameters of the network."""
        return self.constraints.apply(raw)


def _columns(w: Array, radius) -> Array:
    """Return a factor for each column that gives each square block `[n, n]` of `[…, n, gates·n]` the radius."""
    n = w.shape[-2]
    if w.shape[-1] % n:
        raise ValueError(f"`radius` needs square recurrent weights, [hidden, gates·hidden], got shape {w.shape}.")
    blocks = jnp.stack(jnp.split(w, w.shape[-1] // n, axis=-1))
    now = jnp.max(jnp.abs(jnp.linalg.eigvals(blocks)), axis=-1)
    known = known_values(now)
    if known is not None and not (known > 0).all():
        raise ValueError("`radius` needs a network with a cycle: the constrained recurrent weight has radius 0.")
    factors = jnp.moveaxis(radius / now, 0, -1)
    return jnp.repeat(factors, n, axis=-1)[..., None, :].astype(w.dtype)


def _replaced(tree: PyTree, constraint: Constraint, function: Callable) -> PyTree:
    """Return the tree with a function applied at every place that the constraint names."""
    found: list[str] = []

    def visit(path: str, leaf):
        found.append(path)
        return function(leaf)

    tree = _walk(tree, constraint.at, visit, "")
    if not found:
        raise ValueError(f"`at` of {constraint} must name a parameter, got {constraint.at!r}; {_names(tree)}.")
    return tree


def _paired(tree: PyTree, other: PyTree, at: str, function: Callable) -> PyTree:
    """Apply `function(leaf of tree, leaf of other)` at every place that ends in `at`."""
    leaves: dict[str, Any] = {}

    def note(path: str, leaf):
        leaves[path] = leaf
        return leaf

    _walk(other, at, note, "")
    return _walk(tree, at, lambda path, leaf: function(leaf, leaves[path]), "")


def _walk(tree: PyTree, at: str, visit: Callable[[str, Any], Any], path: str) -> PyTree:
    """Visit every field whose path ends in `at`; what is visited is not entered."""
    if f".{path}".endswith(f".{at}"):
        return visit(path, tree)
    if not isinstance(tree, tuple | list | dict):
        return tree
    named = getattr(tree, "_fields", None)
    items = tree.items() if isinstance(tree, dict) else zip(named or range(len(tree)), tree, strict=True)
    new = {name: _walk(part, at, visit, f"{path}.{name}" if path else str(name)) for name, part in items}
    if isinstance(tree, dict):
        return new
    return type(tree)(*new.values()) if named else type(tree)(new.values())


def _names(tree: PyTree) -> str:
    paths = (jax.tree_util.keystr(path, simple=True, separator=".") for path, _ in jax.tree.leaves_with_path(tree))
    return f"there are {', '.join(paths)}"
