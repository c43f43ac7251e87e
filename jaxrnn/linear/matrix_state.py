"""Linear recurrences whose state is a matrix: decay, erase, write, read.

    S⁽ᵗ⁾ = diag(d⁽ᵗ⁾) S⁽ᵗ⁻¹⁾ − w⁽ᵗ⁾ (u⁽ᵗ⁾ᵀ S⁽ᵗ⁻¹⁾) + k⁽ᵗ⁾ v⁽ᵗ⁾ᵀ,        r⁽ᵗ⁾ = S⁽ᵗ⁾ᵀ q⁽ᵗ⁾,        S ∈ R^{K×V}

It is h ← a h + b with a = diag(d) − w uᵀ and b = k vᵀ, each stored as its vectors, an `Erase` and an `Outer`.  Linear
attention, Mamba-2, the mLSTM, GLA, the delta rule and its gated relatives differ only in d, u, w, k, q and v.  u reads
the state before the decay, so nothing is ever divided by d.  Heads are batch axes of S.

`InTurn` puts several such updates into one step.  `densify` writes a and b out as matrices, K × K and K × V per step:
the slow form that `unroll_associative` uses, and the oracle of the chunkwise form.

References: Schlag, Irie & Schmidhuber 2021, "Linear transformers are secretly fast weight programmers", §4;
Yang et al. 2024, "Parallelizing linear transformers with the delta rule over sequence length", §4 (a table of layers).
"""

from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxrnn.core.precision import in_rank
from jaxrnn.core.types import Carry, Cell, Inputs, Params


class Erase(NamedTuple):
    """The coefficient a = diag(exp log_d) − w uᵀ.

    >>> import jax.numpy as jnp
    >>> Erase(log_d=jnp.log(jnp.array([0.9]))).u is None  # a plain decay
    True

    References: Yang, Kautz & Hatamizadeh (2025), Gated delta networks, section 3.
    """

    log_d: Float[Array, "*batch decay"]
    """log d ≤ 0; `decay` is K, or 1 if all units share it."""
    u: Float[Array, "*batch key"] | None = None
    """The key at which the old value uᵀ S is read; None for a plain decay, as is w."""
    w: Float[Array, "*batch key"] | None = None
    """The key at which the old value is subtracted."""


class Outer(NamedTuple):
    """The addend b = k vᵀ.

    >>> import jax.numpy as jnp
    >>> Outer(k=jnp.ones(4), v=jnp.ones(5)).v.shape  # of a state [4, 5]
    (5,)
    """

    k: Float[Array, "*batch key"]
    """The key at which v is added."""
    v: Float[Array, "*batch value"]
    """The value that is added."""


class InTurn(NamedTuple):
    """Several updates in one step, one after the other.

    >>> import jax.numpy as jnp
    >>> InTurn(Outer(k=jnp.ones((3, 4)), v=jnp.ones((3, 5)))).steps.v.shape  # three updates
    (3, 5)

    References: Siems et al. (2025), DeltaProduct, section 3.
    """

    steps: Any
    """An `Erase` or an `Outer` whose arrays have an axis of n updates before their last: `[*batch, n, ·]`."""


class Dense(NamedTuple):
    """The coefficient a as a matrix, which multiplies from the left."""

    matrix: Float[Array, "*batch key key"]


@runtime_checkable
class MatrixCell(Cell, Protocol):
    """A cell that reads its state S by queries, so only the last S of each chunk has to be stored."""

    def coefficients(self, params: Params, z: Inputs) -> tuple[Carry, Carry]:
        """Map z⁽ᵗ⁾ to (a⁽ᵗ⁾, b⁽ᵗ⁾): trees like the carry, with `Erase` and `Outer` per matrix; any leading axes."""
        ...

    def query(self, params: Params, z: Inputs) -> Any:
        """Map z⁽ᵗ⁾ to q⁽ᵗ⁾, `[..., K]`: a tree like the carry, with None for each leaf that is not a matrix."""
        ...

    def answer(self, params: Params, r: Any, z: Inputs) -> Any:
        """Map (r⁽ᵗ⁾, z⁽ᵗ⁾) to y⁽ᵗ⁾, where r is the carry with each matrix S replaced by Sᵀ q, `[..., V]`."""
        ...


def erase(a: Erase, state: Float[Array, "*batch key value"]) -> Float[Array, "*batch key value"]:
    """Return a S = diag(d) S − w (uᵀ S).

    >>> erase(Erase(jnp.zeros(1), jnp.array([1.0, 0.0]), jnp.array([1.0, 0.0])), jnp.ones((2, 1))).tolist()
    [[0.0], [1.0]]
    """
    kept = in_rank(jnp.exp(a.log_d)[..., None], state) * state
    return kept if a.u is None or a.w is None else kept - a.w[..., None] * recall(state, a.u)[..., None, :]


def write(state: Float[Array, "*batch key value"], b: Outer) -> Float[Array, "*batch key value"]:
    """Return S + k vᵀ."""
    return state + b.k[..., None] * b.v[..., None, :]


def recall(state: Float[Array, "*batch key value"], q: Float[Array, "*batch key"]) -> Float[Array, "*batch value"]:
    """Return Sᵀ q."""
    return jnp.sum(state * q[..., None], axis=-2)


def densify(a: Erase | InTurn, b: Outer | InTurn) -> tuple[Dense, Float[Array, "*batch key value"]]:
    """Write (a, b) out as matrices, updates in turn as their composition."""
    if isinstance(a, InTurn) or isinstance(b, InTurn):
        pairs = [densify(*pair) for pair in in_turn(a, b)]
        matrix, addend = pairs[0]
        for after, more in pairs[1:]:
            matrix, addend = Dense(after.matrix @ matrix.matrix), after.matrix @ addend + more
        return matrix, addend
    key = b.k.shape[-1]
    matrix = jnp.exp(a.log_d)[..., None] * jnp.eye(key, dtype=b.k.dtype)
    matrix = matrix if a.u is None or a.w is None else matrix - a.w[..., :, None] * a.u[..., None, :]
    matrix = jnp.broadcast_to(matrix, (*b.k.shape, key))
    return Dense(matrix), b.k[..., :, None] * b.v[..., None, :]


def in_turn(a: Any, b: Any) -> list[tuple[Erase, Outer]]:
    """Return the single updates of a step, in order."""
    count = b.steps.k.shape[-2]
    return [jax.tree.map(lambda leaf, i=i: leaf[..., i, :], (a.steps, b.steps)) for i in range(count)]
