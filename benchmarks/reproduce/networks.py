"""The networks that are compared: plain, gated, and those with time scales of their own."""

from collections.abc import Callable

import jax.numpy as jnp
import numpy as np

from jaxrnn import GRU, LSTM, Cell, Elman, Leaky
from jaxrnn.cells import Clockwork, Delays


def networks(input_size: int, hidden: int) -> dict[str, tuple[Cell, Callable]]:
    """name → (cell, init); `hidden` a multiple of 12, for the groups."""
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
    """W = I, as Le, Jaitly & Hinton 2015 start a relu network."""
    return params._replace(w=jnp.eye(params.w.shape[0]))
