"""The member of the unroll family that a cell permits: the fastest exact one, known from its kind alone.

| cell | run by |
|---|---|
| a matrix state (`MatrixCell`) | `unroll_chunkwise`, from CHUNK steps on |
| linear in its carry otherwise (`LinearCell`) | `unroll_associative`; `unroll` if its state outgrows its input |
| made of parts, one of them linear (`Stack`, `Dropout`, `ResidualBlock`) | `unroll_layers`, each part by this table |
| any other | `unroll_bptt` |

No run is needed to choose, so a model can choose while it is traced.  `jaxrnn.choose_method` looks at a run as well and
says where Newton's method pays.

References: Appleyard, Kočiský & Blunsom 2016 (layer by layer); Martin & Cundy 2018; Yang et al. 2024.
"""

from collections.abc import Callable
from typing import Any

import jax
from jaxtyping import Array, Bool, PyTree, Shaped

from jaxrnn.core.checks import leading_axes
from jaxrnn.core.types import Carry, Cell, CellOfParts, Inputs, Params, parts
from jaxrnn.linear.matrix_state import MatrixCell
from jaxrnn.linear.protocol import LinearCell
from jaxrnn.linear.stages import Staged
from jaxrnn.machines.sizes import at_least
from jaxrnn.unrolling.backpropagation import unroll_bptt
from jaxrnn.unrolling.layer_by_layer import unroll_layers
from jaxrnn.unrolling.parallel.associative import unroll_associative
from jaxrnn.unrolling.parallel.chunkwise import starts_at_zero, unroll_chunkwise
from jaxrnn.unrolling.scan import unroll

OUTGROWN = 4
"""A state of that many numbers for each number of z⁽ᵗ⁾ is not stored for all t: `benchmarks/every_cell.py`."""

CHUNK = 32
"""Steps from which on the gradient is cheaper in chunks than step by step: `benchmarks/linear.py`."""


def unroll_by_structure(
    cell: Cell,
    params: Params,
    xs: PyTree[Shaped[Array, "..."]],
    carry: Carry | None = None,
    *,
    mask: Bool[Array, "..."] | None = None,
    reset: Bool[Array, "..."] | None = None,
    reverse: bool = False,
) -> tuple[Carry, PyTree[Shaped[Array, "..."]]]:
    """Run a cell over a sequence by the fastest exact member that its kind permits.

    Args:
      cell: any cell.
      params: its parameters.
      xs: inputs `[time, *batch, input]`.
      carry: h⁽⁰⁾; None is the cell's initial carry.
      mask: `[time, *batch]`; False where the step does not happen.
      reset: `[time, *batch]`; True where a new episode begins.
      reverse: run from the last step to the first.

    Returns:
      As `unroll`.

    Raises:
      TypeError, ValueError: as `unroll`.

    >>> import jax, jax.numpy as jnp
    >>> from jaxrnn import LRU, Stack, unroll
    >>> from jaxrnn.linear.blocks import Normalize, ResidualBlock
    >>> cell = Stack((ResidualBlock(LRU(3, 5, 3), size=3), Normalize(3)))
    >>> params, xs = cell.init(jax.random.key(0)), jnp.ones((7, 2, 3))
    >>> bool(jnp.allclose(unroll_by_structure(cell, params, xs)[1], unroll(cell, params, xs)[1], atol=1e-6))
    True

    References: Appleyard, Kočiský & Blunsom 2016.
    """
    options = {"mask": mask, "reset": reset, "reverse": reverse}
    if isinstance(cell, CellOfParts) and is_linear(cell):
        return unroll_layers(cell, params, xs, carry, run=unroll_by_structure, **options)
    member = structural_member(cell, leading_axes(xs)[0])
    if member is unroll_chunkwise and reset is not None and not starts_at_zero(cell, params):
        member = unroll_bptt
    if member is unroll_associative and outgrows(cell, params, xs):
        member = unroll
    return (member or unroll_bptt)(cell, params, xs, carry, **options)


def structural_member(cell: Cell, time: int) -> Callable | None:
    """Return the member that the kind of a cell determines, or None if it determines none.

    >>> from jaxrnn import GRU, MinGRU
    >>> structural_member(MinGRU(3, 5), 100).__name__, structural_member(GRU(3, 5), 100)
    ('unroll_associative', None)
    """
    if isinstance(cell, MatrixCell):
        return unroll_chunkwise if at_least(time, CHUNK) else unroll_bptt
    if isinstance(cell, LinearCell):
        return unroll_associative
    return unroll_by_structure if isinstance(cell, CellOfParts) and is_linear(cell) else None


def outgrows(cell: Cell, params: Params, xs: Inputs) -> bool:
    """Return whether the state is much larger than z⁽ᵗ⁾, as in `Mamba`, which has N states for each unit.

    >>> import jax, jax.numpy as jnp
    >>> from jaxrnn import MinGRU
    >>> from jaxrnn.linear import Mamba
    >>> [outgrows(cell, cell.init(jax.random.key(0)), jnp.ones((7, 3))) for cell in (Mamba(3, 5), MinGRU(3, 5))]
    [True, False]
    """
    first = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape[-1:], x.dtype), xs)
    z, carry = jax.eval_shape(cell.project, params, first), jax.eval_shape(cell.initial_carry, params)
    state = carry.state if isinstance(carry, Staged) else carry
    numbers, read = (sum(leaf.size for leaf in jax.tree.leaves(tree)) for tree in (state, z))
    return numbers >= OUTGROWN * read


def is_linear(network: Any) -> bool:
    """Return whether a cell, or a cell in its parts, is linear in its carry."""
    return isinstance(network, LinearCell | MatrixCell) or any(map(is_linear, parts(network)))
