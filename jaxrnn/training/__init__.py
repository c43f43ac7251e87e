"""Updates: from gradients to parameters, with clipping, time scales and several devices.

    g ← g · min(1, v/‖g‖)          `clip_by_norm`
    g ← clip(g, −v, v)             `clip_by_value`

Optimizers and schedules are optax's.  Start with `init_state` and `update`: one training step, compiled once, which
skips an update whose gradient is not finite and counts it; `updates` does many in one program.  `update_every` and
`bound_alphas` are for units with their own time scale.  `spread_updates` spreads the rows of a batch over devices;
`split_cpu` makes each core of a CPU such a device.  `flossing_loss` pulls the network's Lyapunov exponents toward 0, so
that gradients keep their norm.  `training.saving` saves checkpoints and weights.

Chapter 2.2.3, 3.2.3 and 3.3; Goodfellow et al. 2016, §10.9.2 and §10.11.1.
"""

from importlib import import_module

from jaxrnn.machines.plain_trees import register_records
from jaxrnn.training.clipping import (
    ClippingBias,
    ClippingState,
    clip_by_norm,
    clip_by_value,
    clipping_bias,
    random_step,
)
from jaxrnn.training.cores import devices_for, split_cpu
from jaxrnn.training.data_parallel import spread_updates, usable_devices
from jaxrnn.training.flossing import flossing_loss
from jaxrnn.training.timescales import UpdateEveryState, alphas, bound_alphas, update_every
from jaxrnn.training.train_state import (
    Batch,
    LossFn,
    TrainState,
    cosine_adam,
    cosine_rmsprop,
    init_state,
    update,
    updates,
)


def __getattr__(name: str):
    """Import a nested namespace at its first use."""
    if name == "saving":
        return import_module(f"jaxrnn.training.{name}")
    raise AttributeError(f"module 'jaxrnn.training' has no attribute {name!r}")


__all__ = [
    "Batch",
    "ClippingBias",
    "ClippingState",
    "LossFn",
    "TrainState",
    "UpdateEveryState",
    "alphas",
    "bound_alphas",
    "clip_by_norm",
    "clip_by_value",
    "clipping_bias",
    "cosine_adam",
    "cosine_rmsprop",
    "devices_for",
    "flossing_loss",
    "init_state",
    "random_step",
    "split_cpu",
    "spread_updates",
    "update",
    "update_every",
    "updates",
    "usable_devices",
]

register_records(__name__)
