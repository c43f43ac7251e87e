"""The minimal LSTM: an LSTM (chapter 7.1) whose gates do not read h, and are normalized to sum to 1.

    f⁽ᵗ⁾ = σ(bᶠ + Uᶠ x⁽ᵗ⁾),   i⁽ᵗ⁾ = σ(bⁱ + Uⁱ x⁽ᵗ⁾)            forget and input gate
    g⁽ᵗ⁾ = g(b + U x⁽ᵗ⁾)                                     candidate; g is the identity, or positive
    h⁽ᵗ⁾ = f/(f + i) ⊙ h⁽ᵗ⁻¹⁾ + i/(f + i) ⊙ g⁽ᵗ⁾,              y⁽ᵗ⁾ = h⁽ᵗ⁾

The two shares add up to 1, so the scale of h does not depend on τ; there is no output gate and no second state.
f/(f + i) is computed as σ(log f − log i), which is never 0/0.

Gates i, f, g side by side along the last axis → `params.u`, `params.b`.

References: Feng et al. 2024, "Were RNNs all we needed?", §3.2 and appendix B.
"""

from dataclasses import dataclass

import jax
from jaxtyping import Array

from jaxrnn.core.carry_facts import carry_is_output
from jaxrnn.core.types import Key
from jaxrnn.linear.input_gates import (
    CANDIDATES,
    InputGates,
    check_sizes_and_candidate,
    init_gates,
    project_gates,
    state_is_output,
    zero_state,
)
from jaxrnn.linear.protocol import linear_step


@jax.tree_util.register_static
@dataclass(frozen=True)
class MinLSTM:
    """h⁽ᵗ⁾ = (f ⊙ h⁽ᵗ⁻¹⁾ + i ⊙ g) / (f + i); i, f and g read x alone.

    Args:
      input_size: the size of x.
      hidden_size: the size of h.
      candidate: g: "identity" or "positive".

    Raises:
      ValueError: a size below 1, or an unknown candidate.

    >>> cell = MinLSTM(input_size=3, hidden_size=5)
    >>> params = cell.init(jax.random.key(0))
    >>> h, y = cell.step(params, cell.initial_carry(params), cell.project(params, jax.numpy.ones(3)))
    >>> h.shape
    (5,)

    References: Feng et al. 2024, §3.2.
    """

    input_size: int
    hidden_size: int
    candidate: str = "identity"

    __post_init__ = check_sizes_and_candidate
    initial_carry = zero_state
    project = project_gates
    carry_parts = carry_is_output
    read = state_is_output
    step = linear_step

    def init(self, key: Key) -> InputGates:
        """Draw U by Glorot's uniform rule, gate by gate; b = 0, but 1 for the forget gate."""
        return init_gates(key, 3, self.input_size, self.hidden_size, forget=1)

    def coefficients(self, params: InputGates, z: tuple[Array, ...]) -> tuple[Array, Array]:
        """Return a = f/(f + i), b = i/(f + i) ⊙ g."""
        i, f, g = z
        balance = jax.nn.log_sigmoid(f) - jax.nn.log_sigmoid(i)
        return jax.nn.sigmoid(balance), jax.nn.sigmoid(-balance) * CANDIDATES[self.candidate](g)
