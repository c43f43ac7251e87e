"""The minimal GRU: a GRU (chapter 7.2) whose gate and candidate do not read h.

    z⁽ᵗ⁾ = σ(bᶻ + Uᶻ x⁽ᵗ⁾)                          update gate
    n⁽ᵗ⁾ = g(b + U x⁽ᵗ⁾)                            candidate; g is the identity, or positive
    h⁽ᵗ⁾ = (1 − z⁽ᵗ⁾) ⊙ h⁽ᵗ⁻¹⁾ + z⁽ᵗ⁾ ⊙ n⁽ᵗ⁾,         y⁽ᵗ⁾ = h⁽ᵗ⁾

Without W h the step is linear in h, with a = 1 − z and b = z ⊙ n, so `unroll_associative` runs it in parallel
over time.  Note that z is the share of the *new* value, as in the paper; in the chapter's GRU it keeps the old.

z, n side by side along the last axis → `params.u`, `params.b`.

References: Feng et al. 2024, "Were RNNs all we needed?", §3.1 and appendix B (the positive candidate).
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
class MinGRU:
    """h⁽ᵗ⁾ = (1 − z) ⊙ h⁽ᵗ⁻¹⁾ + z ⊙ n; z and n read x alone.

    Args:
      input_size: the size of x.
      hidden_size: the size of h.
      candidate: g: "identity" or "positive".

    Raises:
      ValueError: a size below 1, or an unknown candidate.

    >>> cell = MinGRU(input_size=3, hidden_size=5)
    >>> params = cell.init(jax.random.key(0))
    >>> h, y = cell.step(params, cell.initial_carry(params), cell.project(params, jax.numpy.ones(3)))
    >>> h.shape
    (5,)

    References: Feng et al. 2024, §3.1.
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
        """Draw U by Glorot's uniform rule, gate by gate; b = 0."""
        return init_gates(key, 2, self.input_size, self.hidden_size)

    def coefficients(self, params: InputGates, z: tuple[Array, ...]) -> tuple[Array, Array]:
        """Return a = 1 − σ(zᶻ) = σ(−zᶻ), b = σ(zᶻ) ⊙ g(zⁿ)."""
        update, n = z
        return jax.nn.sigmoid(-update), jax.nn.sigmoid(update) * CANDIDATES[self.candidate](n)
