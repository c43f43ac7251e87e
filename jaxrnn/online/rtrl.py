"""Real-time recurrent learning: the exact gradient, forward in time.

    J⁽ᵗ⁾ = D⁽ᵗ⁾ J⁽ᵗ⁻¹⁾ + I⁽ᵗ⁾              for each row, carry × parameters

A step takes O(n · P) memory and O(n² · P) time for any t (BPTT: O(τ · n) and O(P)).  With full weights P is about n²,
so the costs are n³ and n⁴: RTRL is for small networks, for streams, and as the reference of the other algorithms.

References: Williams & Zipser 1989, "A learning algorithm for continually running fully recurrent neural
networks"; 1995, §5; chapter 2.2.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import jax
import jax.numpy as jnp

from jaxrnn.core.checks import check_is_cell
from jaxrnn.core.types import Carry, Cell, Inputs, Params
from jaxrnn.online.influence import OnlineState, OnlineStep, Row, begin, initial_influence, learn, row_step


@jax.tree_util.register_static
@dataclass(frozen=True)
class RTRL:
    """Exact gradients at every step, without a backward pass.

    Args:
      cell: any cell.

    Raises:
      TypeError: `cell` is not a cell.

    >>> from jaxrnn import GRU
    >>> algorithm = RTRL(GRU(input_size=2, hidden_size=3))
    >>> params, x = algorithm.cell.init(jax.random.key(0)), jnp.ones(2)
    >>> state = algorithm.init(params, x)
    >>> for _ in range(3):  # in a control loop: act on y, then learn
    ...     state, done = algorithm.step(params, state, x, lambda y: jnp.sum(y**2))
    ...     params = jax.tree.map(lambda p, g: p - 0.1 * g, params, done.gradient)

    References: Williams & Zipser 1989.
    """

    cell: Cell

    def __post_init__(self):
        check_is_cell(cell=self.cell)

    def init(self, params: Params, x: Inputs, carry: Carry | None = None) -> OnlineState:
        """Return the state before the first step: h⁽⁰⁾ and J = ∂h⁽⁰⁾/∂θ (0 for a given carry).

        Args:
          params: θ.
          x: an input of one step, `[*batch, input]`; only its shape and dtype matter.
          carry: h⁽⁰⁾; None is the cell's initial carry.

        Raises:
          MemoryError: J does not fit in memory; the message says how large it would be.
        """
        start, rows, size = begin(self.cell, params, x, carry)
        check_fits(f"{self.cell}: J of RTRL", rows, size, params)
        influence = initial_influence(self.cell, params)
        influence = influence if carry is None else jax.tree.map(jnp.zeros_like, influence)
        return OnlineState(start, jax.tree.map(lambda a: jnp.broadcast_to(a, (rows, *a.shape)), influence))

    def step(
        self, params: Params, state: OnlineState, x: Inputs, loss: Callable, *, mask=None, reset=None
    ) -> tuple[OnlineState, OnlineStep]:
        """Run one step and return its output, its loss and ∇_θ L⁽ᵗ⁾.

        Args:
          params: θ, which may change from step to step.
          state: the state after the previous step.
          x: `[*batch, input]`.
          loss: maps y⁽ᵗ⁾ `[*batch, hidden]` to L⁽ᵗ⁾.  If the loss is not known yet, get y from `cell.step`; the
            loss ⟨∇_y L, y⟩ then has the same gradient.
          mask: `[*batch]`; False where the step does not happen.
          reset: `[*batch]`; True where a new episode begins.
        """
        return learn(self.cell, self._advance, _pull, params, state, x, loss, mask, reset)

    def _advance(self, params: Params, influence: Params, row: Row) -> Params:
        step, vector = row_step(self.cell, row)
        direct, d = jax.jacrev(lambda p, v: step(p, v)[0], argnums=(0, 1))(params, vector)
        return jax.tree.map(lambda j, i: (jnp.tensordot(d, j, 1) + i).astype(j.dtype), influence, direct)


def _pull(influence: Params, back: jax.Array) -> Params:
    return jax.tree.map(lambda j: jnp.tensordot(back, j, 2), influence)


def check_fits(what: str, rows: int, size: int, params: Params) -> None:
    """Raise MemoryError if three arrays `[rows, size, P]` (J, the next J and I) exceed the memory."""
    leaves = cast(list[jax.Array], jax.tree.leaves(params))
    numbers = sum(leaf.size for leaf in leaves)
    needed = 3 * rows * size * sum(leaf.size * leaf.dtype.itemsize for leaf in leaves)
    limit = (jax.devices()[0].memory_stats() or {}).get("bytes_limit")
    if limit is None:
        limit = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if needed > limit:
        raise MemoryError(
            f"{what} is {rows} × {size} × {numbers:,} numbers (rows × carry × parameters), and a step holds "
            f"three such arrays: {needed / 2**30:,.0f} GiB, of {limit / 2**30:,.0f}. Use SnAp, UORO or EProp, or "
            "unroll_checkpointed, which needs no J."
        )
