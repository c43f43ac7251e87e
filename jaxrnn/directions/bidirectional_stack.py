"""Deep bidirectional networks.

    (h_l⁽ᵗ⁾, g_l⁽ᵗ⁾) = layer l over y_{l−1}⁽¹⁾, …, y_{l−1}⁽τ⁾,          y_l⁽ᵗ⁾ = (h_l⁽ᵗ⁾, g_l⁽ᵗ⁾)

Each layer reads both directions of the whole sequence of the layer below, so the layers run one after the other.  This
is the network of PyTorch's `nn.LSTM(num_layers=n, bidirectional=True)`.  Each layer draws its own noise, so dropout
between layers is `Dropout` around the cells of the layers above the first.

References: Schuster & Paliwal 1997; Graves, Mohamed & Hinton 2013, §3; Goodfellow et al. 2016, §10.3 and §10.5; chapter
2.7 and 2.8.
"""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PyTree, Shaped

from jaxrnn.core.arguments import check_key
from jaxrnn.core.checks import inside
from jaxrnn.core.noise import part_input, plain_input, with_x
from jaxrnn.core.types import Key
from jaxrnn.directions.bidirectional import Bidirectional, Directions, output_of_both
from jaxrnn.unrolling.scan import unroll


@jax.tree_util.register_static
@dataclass(frozen=True)
class BidirectionalStack:
    """Bidirectional layers, one above the other.

    Args:
      layers: a tuple of `Bidirectional`, the lowest first.  The input size of a layer is the output size of the layer
        below: twice the hidden size if its `merge` is "concat".

    Raises:
      TypeError: not a tuple of `Bidirectional`.
      ValueError: no layer, or a layer that does not fit the layer below.

    >>> from jaxrnn import GRU
    >>> network = BidirectionalStack((Bidirectional(GRU(3, 5), GRU(3, 5)), Bidirectional(GRU(10, 4), GRU(10, 4))))
    >>> carry, ys = network.apply(network.init(jax.random.key(0)), jnp.ones((7, 2, 3)))
    >>> ys.shape, len(carry)
    ((7, 2, 8), 2)

    References: Graves, Mohamed & Hinton 2013, §3.
    """

    layers: tuple[Bidirectional, ...]

    def __post_init__(self):
        if not isinstance(self.layers, tuple) or not all(isinstance(layer, Bidirectional) for layer in self.layers):
            raise TypeError(f"`layers` must be a tuple of Bidirectional, got {self.layers!r}.")
        if not self.layers:
            raise ValueError("`layers` must hold at least one layer, got none.")
        y = output_of_both(self.layers[0])
        for number, layer in enumerate(self.layers[1:], start=1):
            with inside(f"layers[{number}]", reads=f"the output of `layers[{number - 1}]`"):
                y = output_of_both(layer, None if y is None else y.shape[-1])

    def init(self, key: Key) -> tuple[Directions, ...]:
        """Return a tuple of the layers' parameters, the lowest first."""
        check_key(key=key)
        keys = jax.random.split(key, len(self.layers))
        return tuple(layer.init(k) for layer, k in zip(self.layers, keys, strict=True))

    def initial_carry(self, params: tuple[Directions, ...], batch_shape: tuple[int, ...] = ()) -> tuple:
        """Return a tuple of the layers' initial carries."""
        return tuple(layer.initial_carry(p, batch_shape) for layer, p in zip(self.layers, params, strict=True))

    def apply(
        self,
        params: tuple[Directions, ...],
        xs: PyTree[Shaped[Array, "..."]],
        carry: tuple[Directions, ...] | None = None,
        *,
        mask: Bool[Array, "..."] | None = None,
        reset: Bool[Array, "..."] | None = None,
        reverse: bool = False,
        run: Callable = unroll,
    ) -> tuple[tuple[Directions, ...], Float[Array, "..."]]:
        """Run every layer over the sequence, the lowest first.

        Args:
          params: as from `init`.
          xs: inputs `[time, *batch, input]`.
          carry: one `Directions` per layer; None is the cells' initial carries.
          mask: `[time, *batch]`; False where the step does not happen.
          reset: `[time, *batch]`; True where a new episode begins, for both directions.
          reverse: read the sequence from its other end: the forward cells run from the last step to the first.
          run: the member of the unroll family to use for every layer: `unroll`, `unroll_bptt`, ….

        Returns:
          The final carries, one `Directions` per layer, and the outputs of the highest layer.

        Raises:
          TypeError, ValueError: as `Bidirectional.apply`; `params` or `carry` of another number of layers.
        """
        starts = (None,) * len(self.layers) if carry is None else carry
        for name, value in (("params", params), ("carry", starts)):
            if not isinstance(value, tuple) or len(value) != len(self.layers):
                raise ValueError(f"`{name}` must be a tuple with one entry per layer, {len(self.layers)} in all.")
        ends, ys = [], plain_input(xs)
        for number, (layer, p, start) in enumerate(zip(self.layers, params, starts, strict=True)):
            with (
                inside(f"layers[{number}]", reads=f"the output of `layers[{number - 1}]`") if number else nullcontext()
            ):
                x = part_input(layer, with_x(xs, ys), number)
                end, ys = layer.apply(p, x, start, mask=mask, reset=reset, reverse=reverse, run=run)
            ends.append(end)
        return tuple(ends), jnp.asarray(ys)
