"""training.saving."""

from jaxrnn.training.saving.checkpoint import latest_step, read_config, restore, save
from jaxrnn.training.saving.records import CheckpointError
from jaxrnn.training.saving.weights import load_weights, read_weights_config, save_weights

__all__ = [
    "CheckpointError",
    "latest_step",
    "load_weights",
    "read_config",
    "read_weights_config",
    "restore",
    "save",
    "save_weights",
]
