"""Bidirectional networks.

    h⁽ᵗ⁾ = f(h⁽ᵗ⁻¹⁾, x⁽ᵗ⁾),        t = 1, …, τ          forward in time
    g⁽ᵗ⁾ = f′(g⁽ᵗ⁺¹⁾, x⁽ᵗ⁾),       t = τ, …, 1          backward in time
    y⁽ᵗ⁾ = (h⁽ᵗ⁾, g⁽ᵗ⁾)  or  h⁽ᵗ⁾ + g⁽ᵗ⁾                so o⁽ᵗ⁾ depends on all of x⁽¹⁾, …, x⁽ᵗ⁾, …, x⁽τ⁾

A bidirectional network is not a `Cell`, because y⁽ᵗ⁾ depends on the end of the sequence.  It is two runs of the unroll
family, the second with `reverse=True`.  Padding holds the carry, so g of each row starts at the last step of that row,
and the final states are exact: h at the last step of the row, g at its first.

h, g → the two halves of `ys` and of the final carry.

References: Schuster & Paliwal 1997; Graves & Schmidhuber 2005; Goodfellow et al. 2016, §10.3; chapter 2.7.
"""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PyTree, Shaped

from jaxrnn.core.arguments import check_key
from jaxrnn.core.carry_facts import output_of
from jaxrnn.core.checks import check_choice, check_is_cell, inside
from jaxrnn.core.noise import part_input
from jaxrnn.core.types import Cell, Key
from jaxrnn.unrolling.scan import unroll


class Directions(NamedTuple):
    """A pair, one for each direction: parameters or carries.

    >>> Directions(forward=1, backward=2).backward
    2
    """

    forward: Any
    """For h, from the first step to the last."""
    backward: Any
    """For g, from the last step to the first."""


@jax.tree_util.register_static
@dataclass(frozen=True)
class Bidirectional:
    """A bidirectional network: y⁽ᵗ⁾ = (h⁽ᵗ⁾, g⁽ᵗ⁾), or their sum.

    Args:
      forward_cell: f, any cell whose output is an array.
      backward_cell: f′, another cell, of the same kind or not.
      merge: "concat", the features of h and then of g, or "sum".

    Raises:
      TypeError: not a cell.
      ValueError: an unknown merge; outputs of several sizes to be summed.

    >>> from jaxrnn import GRU, mask_from_lengths
    >>> network = Bidirectional(GRU(3, 5), GRU(3, 5))
    >>> params, mask = network.init(jax.random.key(0)), mask_from_lengths(jnp.array([7, 4]), time=7)
    >>> carry, ys = network.apply(params, jnp.ones((7, 2, 3)), mask=mask)
    >>> h, g = jnp.split(ys, 2, axis=-1)
    >>> ys.shape, bool(jnp.allclose(h[3, 1], carry.forward[1])), bool(jnp.allclose(g[0, 1], carry.backward[1]))
    ((7, 2, 10), True, True)

    References: Schuster & Paliwal 1997; chapter 2.7.
    """

    forward_cell: Cell
    backward_cell: Cell
    merge: str = "concat"

    def __post_init__(self):
        check_is_cell(forward_cell=self.forward_cell, backward_cell=self.backward_cell)
        check_choice("merge", self.merge, MERGES)
        output_of_both(self)

    def init(self, key: Key) -> Directions:
        """Draw the parameters of the two cells."""
        check_key(key=key)
        forward_key, backward_key = jax.random.split(key)
        return Directions(self.forward_cell.init(forward_key), self.backward_cell.init(backward_key))

    def initial_carry(self, params: Directions, batch_shape: tuple[int, ...] = ()) -> Directions:
        """Return h⁽⁰⁾ and g⁽τ⁺¹⁾."""
        return Directions(
            self.forward_cell.initial_carry(params.forward, batch_shape),
            self.backward_cell.initial_carry(params.backward, batch_shape),
        )

    def apply(
        self,
        params: Directions,
        xs: PyTree[Shaped[Array, "..."]],
        carry: Directions | None = None,
        *,
        mask: Bool[Array, "..."] | None = None,
        reset: Bool[Array, "..."] | None = None,
        reverse: bool = False,
        run: Callable = unroll,
    ) -> tuple[Directions, Float[Array, "..."]]:
        """Run both directions over a sequence.

        Args:
          params: as from `init`.
          xs: inputs `[time, *batch, input]`.
          carry: h⁽⁰⁾ and g⁽τ⁺¹⁾; None is the cells' initial carries.
          mask: `[time, *batch]`; False where the step does not happen.
          reset: `[time, *batch]`; True where a new episode begins, for both directions.
          reverse: read the sequence from its other end: the forward cell runs from the last step to the first.
          run: the member of the unroll family to use: `unroll`, `unroll_bptt`, ….

        Returns:
          The two final carries, `Directions(h at each row's last step, g at its first)`, and `ys`:
          `[time, *batch, 2·hidden]`, or `hidden` with "sum"; 0 where `mask` is False.

        Raises:
          TypeError, ValueError: as `unroll`; `params` or `carry` that are not a pair; outputs of two shapes
            to be summed.
        """
        params = _pair("params", params)
        starts = Directions(None, None) if carry is None else _pair("carry", carry)
        ends, outputs = [], []
        for i, cell in enumerate((self.forward_cell, self.backward_cell)):
            backwards = reverse != (i == 1)
            x = part_input(cell, xs, i)
            # what both refuse is refused by the first, without a path: it is an argument
            with inside("backward_cell", reads="`xs`") if i else nullcontext():
                end, ys = run(cell, params[i], x, starts[i], mask=mask, reset=reset, reverse=backwards)
            ends.append(end)
            outputs.append(ys)
        return Directions(*ends), merged(self.merge, outputs)


def output_of_both(network: Bidirectional, input_size: int | None = None) -> jax.ShapeDtypeStruct | None:
    """Return the shape of y of one row, or None if it is not known before the network runs.

    Raises:
      ValueError: a cell of another input size; outputs of several sizes to be summed.

    >>> from jaxrnn import GRU
    >>> output_of_both(Bidirectional(GRU(3, 5), GRU(3, 4)), input_size=3).shape
    (9,)
    """
    outputs = []
    for name in ("forward_cell", "backward_cell"):
        with inside(name, reads="the input of both"):
            outputs.append(output_of(getattr(network, name), input_size))
    if None in outputs:
        return None
    return jax.eval_shape(lambda ys: merged(network.merge, ys), outputs)


MERGES = ("concat", "sum")
"""The ways to combine the outputs of several directions."""


def merged(merge: str, outputs: list[Array]) -> Array:
    """Combine the outputs of several directions into one array.

    >>> merged("concat", [jnp.ones((7, 2)), jnp.ones((7, 3))]).shape
    (7, 5)

    Raises:
      ValueError: outputs of several shapes to be summed.
    """
    if merge == "concat":
        return jnp.concatenate(outputs, axis=-1)
    if len({y.shape for y in outputs}) > 1:
        sizes = ", ".join(str(y.shape[-1]) for y in outputs)
        raise ValueError(f'`merge` must be "concat" for outputs of several sizes ({sizes}), got "sum".')
    return sum(outputs[1:], outputs[0])


def _pair(name: str, value: Any) -> Directions:
    if not isinstance(value, Directions) and (type(value) is not tuple or len(value) != 2):
        raise ValueError(f"`{name}` must be Directions(forward, backward), got {jax.tree.structure(value)}.")
    return Directions(*value)
