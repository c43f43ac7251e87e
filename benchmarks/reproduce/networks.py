"""The networks that are compared: plain, gated, and with time scales."""

from collections.abc import Callable

import jax.numpy as jnp
import numpy as np

from jaxrnn import GRU, LSTM, Cell, Elman, Leaky
from jaxrnn.cells import Clockwork, Delays


def networks(input_size: int, hidden: int) -> dict[str, tuple[Cell, Callable]]:
    """Return name → (cell, init); `hidden` is a multiple of 12, for the groups."""
    slow = tuple(float(a) for a in 1 - np.logspace(0, -2, 4))  # α = 0 … 0.99
    cells = {
        "tanh": Elman(input_size, hidden),
        "relu, identity": Elman(input_size, hidden, "relu"),
        "LSTM": LSTM(input_size, hidden),
        "GRU": GRU(input_size, hidden),
        "leaky": Leaky(Elman(input_size, hidden), slow),
        "clockwork": Clockwork(input_size, hidden, (1, 2, 4, 8, 16, 32)),
        "delays": Delays(input_size, hidden, (1, 5, 25)),
    }
    inits = {name: cell.init for name, cell in cells.items()}
    inits["relu, identity"] = lambda key: identity(cells["relu, identity"].init(key))
    return {name: (cell, inits[name]) for name, cell in cells.items()}


def identity(params):
    """Set W = I, the initialization of relu networks in Le, Jaitly & Hinton 2015."""
    return params._replace(w=jnp.eye(params.w.shape[0]))
