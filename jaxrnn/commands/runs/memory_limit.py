"""Sizes that cannot fit are refused before anything is allocated, instead of by the kernel, hours later."""

import math
import os
from functools import partial
from typing import Any

import jax

from jaxrnn.commands.runs.experiments import Experiment
from jaxrnn.tasks.data import InputError


def check_memory(begun: Experiment, data: Any) -> None:
    """Raise InputError where one update surely needs more memory than there is.

    What is counted: the batches of a dispatch; the weights, their gradient and Adam's two moments; and all
    that the forward pass keeps for the backward one, which tracing tells without computing.
    """
    task, training = begun.task, begun.training
    refuse(16 * task.units() * training.dispatch)
    try:
        state = jax.eval_shape(begun.init)
        refuse(4 * _bytes(state.params))
        kept = jax.eval_shape(partial(_pullback, begun), state, task.batch_at(data, training.seed, 0))
        refuse(4 * _bytes(state.params) + _bytes(kept))
    except OverflowError:  # a size beyond what an array can have
        refuse(math.inf)


def _pullback(begun: Experiment, state, batch):
    """Return the residuals of the backward pass as a pytree."""
    key = jax.random.key(0)
    return jax.vjp(lambda params: begun.loss_fn(params, state.carry, batch, key)[0], state.params)[1]


def _bytes(tree) -> int:
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def refuse(needed: float | int) -> None:
    """Raise InputError if so many bytes are more than this computer has."""
    available = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if jax.default_backend() == "cpu" and needed > available:
        raise InputError(
            f"the model and its batches need {needed / 2**30:,.0f} GiB, and this computer has "
            f"{available / 2**30:,.0f}; take smaller sizes (--hidden, --batch, --length)."
        )
