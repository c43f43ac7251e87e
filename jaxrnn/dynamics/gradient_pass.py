"""A loss and all of its gradients in one forward and one backward pass.

References: Werbos 1990.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
from jaxtyping import Array, PyTree

from jaxrnn.core.checks import leading_axes
from jaxrnn.core.local_rules import storable
from jaxrnn.core.types import Inputs, LocalRules, Params
from jaxrnn.unrolling.backpropagation import Gradients, backward
from jaxrnn.unrolling.forward_record import forward


class Pass(NamedTuple):
    """One forward and one backward pass."""

    loss: Array
    """L."""
    gradients: Gradients
    """As `bptt` gives them."""
    ys: PyTree
    """y⁽ᵗ⁾."""
    residuals: PyTree
    """The residuals that `step_bwd` read, `[time, *batch, …]`."""


def one_pass(rules: LocalRules, params: Params, xs: Inputs, loss: Callable, carry, mask, reset) -> Pass:
    """Return L(carry, ys) and all its gradients; the arguments are checked before."""
    start = rules.initial_carry(params, leading_axes(xs)[1:]) if carry is None else carry
    results, saved = forward(rules, params, xs, start, mask, reset, False)
    value, cotangents = jax.value_and_grad(loss, argnums=(0, 1), allow_int=True)(*results)
    gradients = backward(rules, saved, *storable(results, cotangents), False, every_t=True, from_initial=carry is None)
    return Pass(value, gradients, results[1], saved.whole(rules))
