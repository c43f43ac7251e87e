"""training."""

from jaxrnn.training.clipping import (
    ClippingBias,
    ClippingState,
    clip_by_norm,
    clip_by_value,
    clipping_bias,
    random_step,
)
from jaxrnn.training.data_parallel import spread_updates, usable_devices
from jaxrnn.training.timescales import UpdateEveryState, alphas, bound_alphas, update_every
from jaxrnn.training.train_state import Batch, LossFn, TrainState, cosine_adam, init_state, update, updates

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
    "init_state",
    "random_step",
    "spread_updates",
    "update",
    "update_every",
    "updates",
    "usable_devices",
]
