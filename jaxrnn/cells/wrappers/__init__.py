"""cells.wrappers."""

from jaxrnn.cells.wrappers.deep import DeepInput, DeepOutput, DeepParams, DeepTransition
from jaxrnn.cells.wrappers.dropout import Dropout
from jaxrnn.cells.wrappers.every_layer import EveryLayer
from jaxrnn.cells.wrappers.layer_norm import LayerNorm, LayerNormParams
from jaxrnn.cells.wrappers.leaky import Leaky, LeakyParams
from jaxrnn.cells.wrappers.stack import Stack
from jaxrnn.cells.wrappers.state_noise import StateNoise
from jaxrnn.cells.wrappers.zoneout import ExpectedZoneout, Zoneout

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
