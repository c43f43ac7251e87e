"""Real-time recurrent learning: the exact gradient, forwards: chapter, section 2.2, in the other order.

    J⁽ᵗ⁾ = D⁽ᵗ⁾ J⁽ᵗ⁻¹⁾ + I⁽ᵗ⁾              for each row, carry × parameters

O(n · P) memory and O(n² · P) time a step, whatever t is.  (BPTT: O(τ · n) and O(P).)  With full weights P is about
n², so that the cost is n³ and n⁴: this is for small networks, for streams, and to measure the others by.

References: Williams & Zipser 1989, "A learning algorithm for continually running fully recurrent neural
networks"; 1995, §5.
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
    """The exact gradient of every step, without a way back.

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
        """The state before the first step: h⁽⁰⁾, and J = ∂h⁽⁰⁾/∂θ (0 for a carry that is given).

        Args:
          x: an input of one step, `[*batch, input]`, for its shape.
          carry: h⁽⁰⁾; None is the cell's initial carry.

        Raises:
          MemoryError: J cannot fit; the message says how large it would be.
        """
        start, rows, size = begin(self.cell, params, x, carry)
        check_fits(f"{self.cell}: J of RTRL", rows, size, params)
        influence = initial_influence(self.cell, params)
        influence = influence if carry is None else jax.tree.map(jnp.zeros_like, influence)
        return OnlineState(start, jax.tree.map(lambda a: jnp.broadcast_to(a, (rows, *a.shape)), influence))

    def step(
        self, params: Params, state: OnlineState, x: Inputs, loss: Callable, *, mask=None, reset=None
    ) -> tuple[OnlineState, OnlineStep]:
        """The next step: its output, its loss and ∇_θ L⁽ᵗ⁾.

        Args:
          params: θ; it may change from step to step.
          state: what the last step gave.
          x: `[*batch, input]`.
          loss: y⁽ᵗ⁾ `[*batch, hidden]` → L⁽ᵗ⁾; where the loss is not known yet, `cell.step` gives y alone,
            and ⟨∇_y L, y⟩ is a loss with the same gradient.
          mask, reset: `[*batch]`, as one step of `unroll`'s.
        """
        return learn(self.cell, self._advance, _pull, params, state, x, loss, mask, reset)

    def _advance(self, params: Params, influence: Params, row: Row) -> Params:
        step, vector = row_step(self.cell, row)
        direct, d = jax.jacrev(lambda p, v: step(p, v)[0], argnums=(0, 1))(params, vector)
        return jax.tree.map(lambda j, i: (jnp.tensordot(d, j, 1) + i).astype(j.dtype), influence, direct)


def _pull(influence: Params, back: jax.Array) -> Params:
    return jax.tree.map(lambda j: jnp.tensordot(back, j, 2), influence)


def check_fits(what: str, rows: int, size: int, params: Params) -> None:
    """Raises MemoryError where three arrays `[rows, size, P]` (J, the next J and I) are more than there is."""
    leaves = cast(list[jax.Array], jax.tree.leaves(params))
    numbers = sum(leaf.size for leaf in leaves)
    needed = 3 * rows * size * sum(leaf.size * leaf.dtype.itemsize for leaf in leaves)
    limit = (jax.devices()[0].memory_stats() or {}).get("bytes_limit")
    if limit is None:
        limit = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if needed > limit:
        raise MemoryError(
            f"{what} is {rows} × {size} × {numbers:,} numbers (rows × carry × parameters), and a step holds "
            f"three of it: {needed / 2**30:,.0f} GiB, of {limit / 2**30:,.0f}. Take SnAp, UORO or EProp, or "
            "unroll_checkpointed, which needs no J."
        )
