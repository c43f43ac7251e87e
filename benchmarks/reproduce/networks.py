"""The networks that are compared: plain, orthogonal, gated, and with time scales."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxrnn import GRU, LSTM, Cell, Elman, Leaky
from jaxrnn.cells import Clockwork, Delays, ElmanParams
from jaxrnn.constraints import ConstrainedNetwork, Constraints, Orthogonal
from jaxrnn.core.carry_facts import carry_is_output

NAMES = {
    "tanh": "tanh, W orthogonal",
    "relu, identity": "relu, W = I",
    "modReLU, orthogonal": "modReLU, W kept orthogonal",
    "LSTM": "LSTM, forget bias 1",
    "GRU": "GRU",
    "leaky": "leaky, α = 0 … 0.99",
    "clockwork": "clockwork, T = 1 … 32",
    "delays": "delays 1, 5, 25",
}
"""What the tables and pictures call them."""


class Network(NamedTuple):
    """A cell with its start; the optimizer updates what `init` draws, and the cell uses the `params` of it."""

    cell: Cell
    init: Callable[[jax.Array], Any]
    params: Callable[[Any], Any] = lambda raw: raw
    rate: float = 1.0
    """The learning rate of W, relative to that of the other parameters."""


def networks(input_size: int, hidden: int) -> dict[str, Network]:
    """Return the networks by name; `hidden` is a multiple of 12, for the groups."""
    slow = tuple(float(a) for a in 1 - np.logspace(0, -2, 4))  # α = 0 … 0.99
    cells = {
        "tanh": Elman(input_size, hidden),
        "relu, identity": Elman(input_size, hidden, "relu"),
        "modReLU, orthogonal": ModReLU(input_size, hidden),
        "LSTM": LSTM(input_size, hidden),
        "GRU": GRU(input_size, hidden),
        "leaky": Leaky(Elman(input_size, hidden), slow),
        "clockwork": Clockwork(input_size, hidden, (1, 2, 4, 8, 16, 32)),
        "delays": Delays(input_size, hidden, (1, 5, 25)),
    }
    found = {name: Network(cell, cell.init) for name, cell in cells.items()}
    found["relu, identity"] = Network(cells["relu, identity"], lambda key: identity(cells["relu, identity"].init(key)))
    found["modReLU, orthogonal"] = kept_orthogonal(cells["modReLU, orthogonal"])
    return found


def identity(params):
    """Set W = I, the initialization of relu networks in Le, Jaitly & Hinton 2015."""
    return params._replace(w=jnp.eye(params.w.shape[0]))


def kept_orthogonal(cell: Cell) -> Network:
    """Keep W = exp(A − Aᵀ), learned at a tenth of the rate of the others (Lezcano-Casado & Martínez-Rubio 2019, §5)."""
    kept = ConstrainedNetwork(cell, Constraints((Orthogonal(),)))
    return Network(cell, kept.init, kept.params, rate=0.1)


@jax.tree_util.register_static
@dataclass(frozen=True)
class ModReLU:
    """h⁽ᵗ⁾ = sign(a) max(|a| + b, 0), a = W h⁽ᵗ⁻¹⁾ + U x⁽ᵗ⁾: equation 8 of Arjovsky, Shah & Bengio 2016, real."""

    input_size: int
    hidden_size: int

    def init(self, key: jax.Array) -> ElmanParams:
        """Draw U, W and b = 0 as `Elman` does."""
        return Elman(self.input_size, self.hidden_size).init(key)

    def initial_carry(self, params: ElmanParams, batch_shape: tuple[int, ...] = ()) -> jax.Array:
        """Return h⁽⁰⁾ = 0."""
        return jnp.zeros((*batch_shape, self.hidden_size), params.w.dtype)

    carry_parts = carry_is_output

    def project(self, params: ElmanParams, xs: jax.Array) -> jax.Array:
        """Return U x⁽ᵗ⁾ for every t; b is inside the activation."""
        return xs @ params.u

    def step(self, params: ElmanParams, carry: jax.Array, z: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Return h⁽ᵗ⁾ as the carry and the output."""
        a = z + carry @ params.w
        h = jnp.sign(a) * jax.nn.relu(jnp.abs(a) + params.b)
        return h, h
