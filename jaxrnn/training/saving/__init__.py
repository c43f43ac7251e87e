"""Checkpoints and weights on disk, written whole or not at all.

`save` and `restore` write and read a whole training state, so that a resumed run continues bit for bit; `latest_step`
finds the newest checkpoint.  `save_weights` and `load_weights` handle parameters alone, as safetensors.  `save_model`
and `load_model` handle a model with its parameters and a model card, in a folder that anybody can load; `push_to_hub`
and `from_hub` share it.  Every file has a digest; a file that does not match its digest raises `CheckpointError`.
"""

from jaxrnn.machines.plain_trees import register_records
from jaxrnn.training.saving.checkpoint import latest_step, read_config, restore, save
from jaxrnn.training.saving.hub import from_hub, push_to_hub
from jaxrnn.training.saving.model_folder import Card, load_model, read_model_config, save_model
from jaxrnn.training.saving.records import CheckpointError
from jaxrnn.training.saving.weights import load_weights, read_weights_config, save_weights

__all__ = [
    "Card",
    "CheckpointError",
    "from_hub",
    "latest_step",
    "load_model",
    "load_weights",
    "push_to_hub",
    "read_config",
    "read_model_config",
    "read_weights_config",
    "restore",
    "save",
    "save_model",
    "save_weights",
]

register_records(__name__)
