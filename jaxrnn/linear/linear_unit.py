"""A gated linear unit: leaky integration (chapter 3.2.3) with a leak that depends on the input.

    f⁽ᵗ⁾ = σ(bᶠ + Uᶠ x⁽ᵗ⁾)                           forget gate
    g⁽ᵗ⁾ = tanh(b + U x⁽ᵗ⁾)                          candidate
    o⁽ᵗ⁾ = σ(bᵒ + Uᵒ x⁽ᵗ⁾)                           output gate
    C⁽ᵗ⁾ = f⁽ᵗ⁾ ⊙ C⁽ᵗ⁻¹⁾ + (1 − f⁽ᵗ⁾) ⊙ g⁽ᵗ⁾
    y⁽ᵗ⁾ = o⁽ᵗ⁾ ⊙ C⁽ᵗ⁾

It is an LSTM with coupled gates, i = 1 − f, none of which reads the state, so the state is linear in itself and
`unroll_associative` runs it in parallel over time.  With o = 1 it is the gated impulse linear recurrence (GILR);
in general it is the fo-pooling of a quasi-recurrent network with filters of width 1.

Gates f, g, o side by side along the last axis → `params.u`, `params.b`; C → `carry`.

References: Martin & Cundy 2018, §3.1 (GILR); Bradbury et al. 2017, §2 (fo-pooling).
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Array

from jaxrnn.core.checks import check_positive
from jaxrnn.core.types import Key
from jaxrnn.linear.input_gates import InputGates, init_gates, project_gates, zero_state
from jaxrnn.linear.protocol import linear_step


@jax.tree_util.register_static
@dataclass(frozen=True)
class LinearUnit:
    """C⁽ᵗ⁾ = f ⊙ C⁽ᵗ⁻¹⁾ + (1 − f) ⊙ g, y⁽ᵗ⁾ = o ⊙ C⁽ᵗ⁾; the gates read x alone.

    Args:
      input_size: the size of x.
      hidden_size: the size of C and of y.

    Raises:
      ValueError: a size below 1.

    >>> cell = LinearUnit(input_size=3, hidden_size=5)
    >>> params = cell.init(jax.random.key(0))
    >>> c, y = cell.step(params, cell.initial_carry(params), cell.project(params, jnp.ones(3)))
    >>> y.shape
    (5,)

    References: Martin & Cundy 2018; Bradbury et al. 2017.
    """

    input_size: int
    hidden_size: int

    def __post_init__(self):
        check_positive(input_size=self.input_size, hidden_size=self.hidden_size)

    def init(self, key: Key) -> InputGates:
        """Draw U by Glorot's uniform rule, gate by gate; b = 0, but 1 for the forget gate."""
        return init_gates(key, 3, self.input_size, self.hidden_size, forget=0)

    initial_carry = zero_state  # C⁽⁰⁾
    project = project_gates

    def coefficients(self, params: InputGates, z: tuple[Array, ...]) -> tuple[Array, Array]:
        """Return a = f, b = (1 − f) ⊙ g."""
        f, g, _ = z
        return jax.nn.sigmoid(f), jax.nn.sigmoid(-f) * jnp.tanh(g)

    def read(self, params: InputGates, carry: Array, z: tuple[Array, ...]) -> Array:
        """Return y⁽ᵗ⁾ = o⁽ᵗ⁾ ⊙ C⁽ᵗ⁾."""
        return jax.nn.sigmoid(z[2]) * carry

    step = linear_step
