"""Checkpoints and weights on disk, written whole or not at all.

`save` and `restore` keep a whole training state, so that a resumed run continues bit for bit; `latest_step` finds
the newest.  `save_weights` and `load_weights` keep parameters alone, as safetensors.  Every file carries a digest, and
a file that does not match its digest is refused with `CheckpointError`.
"""

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
