"""Every algorithm for the gradient of ⟨weights, ys⟩, for `jaxrnn gradients`, and whether it runs at the given size."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxrnn.cells.gru import GRU
from jaxrnn.core.local_rules import AutodiffRules
from jaxrnn.core.types import Cell
from jaxrnn.machines.sizes import bytes_of
from jaxrnn.online.eprop import EProp
from jaxrnn.online.influence import run_online
from jaxrnn.online.rtrl import RTRL
from jaxrnn.online.snap import SnAp
from jaxrnn.online.uoro import UORO
from jaxrnn.unrolling.backpropagation import unroll_bptt
from jaxrnn.unrolling.checkpointing import unroll_checkpointed
from jaxrnn.unrolling.parallel.newtons_method import unroll_newton
from jaxrnn.unrolling.scan import unroll
from jaxrnn.unrolling.summed_loss import unroll_loss
from jaxrnn.unrolling.truncation import unroll_truncated

OPERATIONS = 10**11
"""An algorithm with more multiplications is left out: it takes minutes where the others take seconds."""

BYTES = 2**31
"""An algorithm that needs more memory is left out."""


class Way(NamedTuple):
    """One algorithm."""

    name: str
    gradient: Callable[[Any, Any, Any], Any]
    """(params, xs, weights) → (∇ params, ∇ xs); only the first for an algorithm that runs forward in time."""
    exact: bool = True


class LeftOut(NamedTuple):
    """An algorithm that does not run, and the reason."""

    name: str
    reason: str


def ways(cell: Cell, length: int, batch: int) -> tuple[list[Way], list[LeftOut]]:
    """Return all algorithms at this size, the reference first and the approximate ones last; and those left out."""
    n, parameters = _sizes(cell)
    k1 = max(1, length // 8)
    found = [
        Way("jax.grad of unroll", _back(unroll, cell)),
        Way("explicit, autodiff rules", _back(unroll_bptt, AutodiffRules(cell))),
        Way("explicit, hand-written rules", _back(unroll_bptt, cell)),
        Way("recomputed, memory √τ", _back(unroll_checkpointed, cell)),
        Way("recomputed, memory log τ", _back(partial(unroll_checkpointed, memory="log"), cell)),
        Way("loss inside the loop", _inside(cell)),
        Way("Newton, parallel in time", _back(unroll_newton, cell)),
        Way("RTRL, forwards", _forwards(RTRL(cell))),
        Way(f"truncated, k₁={k1}, k₂={2 * k1}", _back(partial(unroll_truncated, k1=k1, k2=2 * k1), cell), False),
        Way("SnAp-1, forwards", _forwards(SnAp(cell)), False),
        Way("UORO, forwards", _forwards(UORO(cell)), False),
    ]
    left_out = []
    if isinstance(cell, GRU) and cell.reset == "before":
        left_out.append(LeftOut("e-prop", "not defined for a reset before the product"))
    else:
        found.append(Way("e-prop, forwards", _forwards(EProp(cell)), False))
    rows = length * batch
    costs = {
        # name: bytes in float64, multiplications
        "Newton, parallel in time": (8 * 8 * rows * n * n, 20 * rows * n**3),
        "RTRL, forwards": (8 * 3 * batch * n * parameters, rows * n * n * parameters),
        "SnAp-1, forwards": (8 * 8 * batch * n * n, 4 * rows * n * parameters),
    }
    for name, (needed, operations) in costs.items():
        if needed > BYTES:
            left_out.append(LeftOut(name, f"needs {needed / 2**30:,.1f} GiB at this size"))
        elif operations > OPERATIONS:
            left_out.append(LeftOut(name, f"takes {operations:.0e} multiplications at this size"))
    missing = {way.name for way in left_out}
    return [way for way in found if way.name not in missing], left_out


def _sizes(cell: Cell) -> tuple[int, int]:
    """Return the number of entries of a row's carry, and of the parameters."""
    params = jax.eval_shape(cell.init, jax.eval_shape(lambda: jax.random.key(0)))
    carry = jax.eval_shape(cell.initial_carry, params)
    return bytes_of(carry) // 4, bytes_of(params) // 4


def _back(run: Callable, cell: Cell) -> Callable:
    def loss(params, xs, weights):
        return jnp.sum(run(cell, params, xs)[1] * weights)

    return jax.grad(loss, argnums=(0, 1))


def _inside(cell: Cell) -> Callable:
    def loss(params, xs, weights):
        return unroll_loss(cell, params, xs, weights, jnp.vdot)[1] * (weights.shape[0] * weights.shape[1])

    return jax.grad(loss, argnums=(0, 1))


def _forwards(algorithm: RTRL | SnAp | UORO | EProp) -> Callable:
    def gradient(params, xs, weights):
        start = partial(algorithm.init, jax.random.key(0)) if isinstance(algorithm, UORO) else algorithm.init
        state = start(params, xs[0])
        mean = run_online(algorithm, params, state, xs, weights, jnp.vdot).gradient
        return (jax.tree.map(lambda g: g * (xs.shape[0] * xs.shape[1]), mean),)

    return gradient
