"""Recurrent cells: one step of a network as a pure function.

    h⁽ᵗ⁾ = tanh(b + W h⁽ᵗ⁻¹⁾ + U x⁽ᵗ⁾)                               `Elman`
    C⁽ᵗ⁾ = f ⊙ C⁽ᵗ⁻¹⁾ + i ⊙ g,   h⁽ᵗ⁾ = o ⊙ tanh C⁽ᵗ⁾                `LSTM`
    h⁽ᵗ⁾ = z ⊙ h⁽ᵗ⁻¹⁾ + (1 − z) ⊙ h̃⁽ᵗ⁾                              `GRU`

Start with `LSTM` or `GRU`; `Elman` is the cell of the chapter's derivations.  `Jordan` feeds the output back instead
of the state, `Delays` adds connections over several steps, `Clockwork` updates groups of units at different rates,
`SLSTM` has exponential gates, `MGU` a single gate, and `FeedForward` is a layer without a state.  `cells.wrappers`
adds depth, dropout, leaks and normalization to any of them.  `cells.continuous` has the cells in continuous time, which
read the time between two steps.  Cells whose step is linear in the carry are in `jaxrnn.linear`.

Chapter 2.1.2, 2.2, 3.2 and 七; Goodfellow et al. 2016, §10.2, §10.9 and §10.10.
"""

from importlib import import_module

from jaxrnn.cells.clockwork import Clockwork, ClockworkCarry
from jaxrnn.cells.delays import Delays, DelaysCarry, DelaysParams
from jaxrnn.cells.elman import Elman, ElmanParams
from jaxrnn.cells.feed_forward import FeedForward, FeedForwardParams
from jaxrnn.cells.gru import GRU, GRUParams
from jaxrnn.cells.jordan import Jordan, JordanParams
from jaxrnn.cells.lstm import LSTM, LSTMCarry, LSTMParams
from jaxrnn.cells.mgu import MGU, MGUParams
from jaxrnn.cells.projected_lstm import ProjectedLSTM, ProjectedLSTMParams
from jaxrnn.cells.slstm import SLSTM, SLSTMCarry, SLSTMParams
from jaxrnn.machines.plain_trees import register_records


def __getattr__(name: str):
    """Import a nested namespace at its first use."""
    if name in ("continuous", "wrappers"):
        return import_module(f"jaxrnn.cells.{name}")
    raise AttributeError(f"module 'jaxrnn.cells' has no attribute {name!r}")


__all__ = [
    "GRU",
    "LSTM",
    "MGU",
    "SLSTM",
    "Clockwork",
    "ClockworkCarry",
    "Delays",
    "DelaysCarry",
    "DelaysParams",
    "Elman",
    "ElmanParams",
    "FeedForward",
    "FeedForwardParams",
    "GRUParams",
    "Jordan",
    "JordanParams",
    "LSTMCarry",
    "LSTMParams",
    "MGUParams",
    "ProjectedLSTM",
    "ProjectedLSTMParams",
    "SLSTMCarry",
    "SLSTMParams",
]

register_records(__name__)
