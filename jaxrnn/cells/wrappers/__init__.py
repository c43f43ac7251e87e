"""Wrappers: cells around cells, which add behavior without inheritance.

    Stack((LSTM(3, 64), LSTM(64, 64)))            layers, one above the other
    Leaky(cell):  h⁽ᵗ⁾ = α h⁽ᵗ⁻¹⁾ + (1 − α) h̃⁽ᵗ⁾     slow units
    Dropout(cell, 0.3), Zoneout(cell, 0.1)        noise during training

A wrapper is a cell, so wrappers nest, and every member of the unroll family takes them.  Start with `Stack`.
`DeepInput`, `DeepTransition` and `DeepOutput` deepen the three maps of one layer; `LayerNorm` normalizes the
preactivations of a cell; `EveryLayer` outputs the states of all layers; `StateNoise` adds Gaussian noise to the state.

Chapter 2.8 and 3.2.3; Goodfellow et al. 2016, §10.5 and §10.9.
"""

from jaxrnn.cells.wrappers.deep import DeepInput, DeepOutput, DeepParams, DeepTransition
from jaxrnn.cells.wrappers.dropout import Dropout
from jaxrnn.cells.wrappers.every_layer import EveryLayer
from jaxrnn.cells.wrappers.layer_norm import LayerNorm, LayerNormParams
from jaxrnn.cells.wrappers.leaky import Leaky, LeakyParams
from jaxrnn.cells.wrappers.stack import Stack
from jaxrnn.cells.wrappers.state_noise import StateNoise
from jaxrnn.cells.wrappers.zoneout import ExpectedZoneout, Zoneout
from jaxrnn.machines.plain_trees import register_records

__all__ = [
    "DeepInput",
    "DeepOutput",
    "DeepParams",
    "DeepTransition",
    "Dropout",
    "EveryLayer",
    "ExpectedZoneout",
    "LayerNorm",
    "LayerNormParams",
    "Leaky",
    "LeakyParams",
    "Stack",
    "StateNoise",
    "Zoneout",
]

register_records(__name__)
