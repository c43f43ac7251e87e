"""Running a stack layer by layer.

    as one cell     for t:  for l:   h_l⁽ᵗ⁾ = f_l(h_l⁽ᵗ⁻¹⁾, y_{l−1}⁽ᵗ⁾)          `unroll(Stack(...), ...)`
    by layers       for l:  for t:   the same                                 `unroll_layers(Stack(...), ...)`

Both orders compute the same numbers.  By layers, y_{l−1}⁽ᵗ⁾ is known for every t before layer l starts, so the
projection U_l y_{l−1}⁽ᵗ⁾ + b_l is one product over all steps, and only W_l h remains in the loop.  As one cell, the
outputs of the inner layers need no memory, and the network can run one step at a time.

References: Appleyard, Kočiský & Blunsom 2016, §3.2 and §3.3; chapter 2.8; Goodfellow et al. 2016, §10.5.
"""

from collections.abc import Callable

from jaxtyping import Array, Bool, PyTree, Shaped

from jaxrnn.core.checks import check_unroll
from jaxrnn.core.types import Carry, CellOfParts, Params
from jaxrnn.machines.meshes import alike
from jaxrnn.unrolling.scan import masked, readable, unroll


def unroll_layers(
    cell: CellOfParts,
    params: Params,
    xs: PyTree[Shaped[Array, "..."]],
    carry: Carry | None = None,
    *,
    mask: Bool[Array, "..."] | None = None,
    reset: Bool[Array, "..."] | None = None,
    reverse: bool = False,
    run: Callable = unroll,
) -> tuple[Carry, PyTree[Shaped[Array, "..."]]]:
    """Run a stack over a sequence, one layer over all steps after the other.

    Layers that consist of parts themselves, such as residual blocks, run part by part.

    Args:
      cell: a `Stack`, or another cell with `run_parts`.
      params: its parameters.
      xs: inputs `[time, *batch, input]`.
      carry: h⁽⁰⁾; None is the cell's initial carry.
      mask: `[time, *batch]`; False where the step does not happen.
      reset: `[time, *batch]`; True where a new episode begins.
      reverse: run from the last step to the first.
      run: the member of the family that runs a layer: `unroll`, `unroll_bptt`, `unroll_by_structure`, ….

    Returns:
      As `unroll`.

    Raises:
      TypeError, ValueError: as `unroll`.
      TypeError: `cell` has no parts.

    >>> import jax, jax.numpy as jnp
    >>> from jaxrnn import LSTM, Stack
    >>> cell = Stack((LSTM(3, 8), LSTM(8, 5)))
    >>> params, xs = cell.init(jax.random.key(0)), jnp.ones((7, 2, 3))
    >>> bool(jnp.allclose(unroll_layers(cell, params, xs)[1], unroll(cell, params, xs)[1], atol=1e-6))
    True

    References: Appleyard, Kočiský & Blunsom 2016.
    """
    if not isinstance(cell, CellOfParts):
        raise TypeError(
            f"`cell` must be a Stack or another cell of parts, got {cell!r}. For a single cell use `unroll`."
        )
    arguments = params, *check_unroll(cell, params, xs, carry, mask, reset, reverse=reverse)
    params, xs, carry, mask, reset = alike(*arguments)

    def run_part(part, params, xs, carry):
        if isinstance(part, CellOfParts):
            return part.run_parts(params, xs, carry, run_part)
        return run(part, params, xs, carry, mask=mask, reset=reset, reverse=reverse)

    carry, ys = cell.run_parts(params, readable(mask, xs), carry, run_part)
    return carry, masked(mask, ys)
