"""Gates that read only the input, as in `MinGRU`, `MinLSTM` and `LinearUnit`.

    z⁽ᵗ⁾ = b + U x⁽ᵗ⁾          of every gate, for all t at once

The step multiplies h by a number that does not depend on h, so the cells are linear in their carry.

References: Martin & Cundy 2018; Feng et al. 2024, "Were RNNs all we needed?".
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxrnn.core.checks import check_choice, check_features, check_positive
from jaxrnn.core.initializers import input_weights, per_gate
from jaxrnn.core.precision import accumulator, add_bias, matmul
from jaxrnn.core.types import Key

CANDIDATES = {
    "identity": lambda a: a,
    # a + ½ above 0, σ(a) below: positive and continuous, so that h can never change its sign
    "positive": lambda a: jnp.where(a >= 0, a + 0.5, jax.nn.sigmoid(a)),
}
"""The activations that a candidate may have."""


class InputGates(NamedTuple):
    """The parameters of the gates, side by side in the order that the cell states.

    >>> from jaxrnn import MinGRU
    >>> MinGRU(3, 5).init(jax.random.key(0)).u.shape
    (3, 10)
    """

    u: Float[Array, "input gates_hidden"]
    """Uᵀ of every gate: `[input, gates·hidden]`."""
    b: Float[Array, " gates_hidden"]
    """b of every gate: `[gates·hidden]`."""


def init_gates(key: Key, gates: int, input_size: int, hidden_size: int, forget: int | None = None) -> InputGates:
    """Draw U by Glorot's uniform rule, gate by gate; b = 0, but 1 for the gate number `forget`."""
    n, b = hidden_size, jnp.zeros(gates * hidden_size)
    b = b if forget is None else b.at[forget * n : (forget + 1) * n].set(1)
    return InputGates(per_gate(input_weights, key, gates, (input_size, n)), b)


def zero_state(cell: Any, params: InputGates, batch_shape: tuple[int, ...] = ()) -> Array:
    """Return h⁽⁰⁾ = 0, `[*batch, hidden]`: `initial_carry = zero_state` in the class of a cell."""
    return jnp.zeros((*batch_shape, cell.hidden_size), accumulator(params.u.dtype))


def state_is_output(cell: Any, params: InputGates, carry: Array, z: tuple[Array, ...]) -> Array:
    """Return y⁽ᵗ⁾ = h⁽ᵗ⁾: `read = state_is_output` in the class of a cell."""
    return carry


def check_sizes_and_candidate(cell: Any) -> None:
    """Raise ValueError for a size below 1 or an unknown candidate."""
    check_positive(input_size=cell.input_size, hidden_size=cell.hidden_size)
    check_choice("candidate", cell.candidate, tuple(CANDIDATES))


def project_gates(cell: Any, params: InputGates, xs: Array) -> tuple[Array, ...]:
    """Return b + U x⁽ᵗ⁾ of each gate separately, `[..., input]` → `[..., hidden]`: `project = project_gates`."""
    check_features("xs", xs, input_size=cell.input_size)
    gates = len(params.b) // cell.hidden_size
    return tuple(jnp.split(add_bias(matmul(xs, params.u), params.b), gates, axis=-1))
