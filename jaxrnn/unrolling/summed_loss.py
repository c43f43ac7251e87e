"""A loss summed during the run, for outputs o⁽ᵗ⁾ that do not fit in memory for all t.

    L = (1/n) Σ_{t valid} ℓ(y⁽ᵗ⁾, target⁽ᵗ⁾),          ℓ with its read-out, one step of one row at a time

`unroll` followed by a loss stores y⁽ᵗ⁾ and the read-out o⁽ᵗ⁾ = c + V y⁽ᵗ⁾ for every t, which with a large vocabulary
takes most of the memory.  Here ℓ is evaluated for one segment of `jaxrnn.unrolling.checkpointing` at a time, and the
only arrays over all t are the inputs, the targets and their gradients.  Within a segment the read-out is computed in
blocks of steps that stay small, down to single steps.

ℓ can close over its parameters, like any function that `jax.grad` differentiates.

References: Chen, Xu, Zhang & Guestrin 2016, §4; chapter 2.2; Goodfellow et al. 2016, §10.2.2.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, PyTree, Shaped

from jaxrnn.core.checks import check_unroll, leading_axes
from jaxrnn.core.masks import sum_over_valid, valid_steps
from jaxrnn.core.programs import equations, trace_program
from jaxrnn.core.types import Carry, Cell, Params
from jaxrnn.machines.meshes import alike
from jaxrnn.machines.sizes import bytes_of
from jaxrnn.unrolling.backpropagation import unroll_bptt
from jaxrnn.unrolling.checkpointing import nested, run_segment, segment_lengths, segments_input
from jaxrnn.unrolling.scan import initial_carry
from jaxrnn.unrolling.time_blocks import BLOCK


def unroll_loss(
    cell: Cell,
    params: Params,
    xs: PyTree[Shaped[Array, "..."]],
    targets: PyTree[Shaped[Array, "..."]],
    loss: Callable[[Any, Any], Float[Array, ""]],
    carry: Carry | None = None,
    *,
    mask: Bool[Array, "..."] | None = None,
    reset: Bool[Array, "..."] | None = None,
    reverse: bool = False,
    memory: str | int = "sqrt",
    run: Callable = unroll_bptt,
) -> tuple[Carry, Float[Array, ""]]:
    """Run a cell over a sequence, and return the mean of ℓ over the valid steps instead of the outputs.

    Args:
      cell: any cell.
      params: its parameters.
      xs: inputs `[time, *batch, input]`.
      targets: arrays `[time, *batch, ...]`; the second argument of ℓ.
      loss: ℓ, of one step of one row: (y `[hidden]`, target) → a scalar.  The losses of `jaxrnn` fit:
        `lambda y, label: cross_entropy(readout.apply(p, y), label)`.
      carry: h⁽⁰⁾; None is the cell's initial carry.
      mask: `[time, *batch]`; False where the step does not happen.
      reset: `[time, *batch]`; True where a new episode begins.
      reverse: run from the last step to the first.
      memory: "sqrt", "log", or the number of segments.
      run: the member of the family that runs a segment: `unroll_bptt`, or `unroll` for forward mode and second
        derivatives.

    Returns:
      The carry after the last step, and L: 0 if no step is valid.

    Raises:
      TypeError, ValueError: as `unroll_checkpointed`; targets without the leading axes of `xs`; an ℓ that is
        not a scalar.

    >>> from jaxrnn import LSTM, Readout, cross_entropy, unroll
    >>> cell, readout = LSTM(3, 5), Readout(5, 2)
    >>> params, v = cell.init(jax.random.key(0)), readout.init(jax.random.key(1))
    >>> xs, labels = jnp.ones((100, 4, 3)), jnp.zeros((100, 4), int)
    >>> carry, mean = unroll_loss(cell, params, xs, labels, lambda y, l: cross_entropy(readout.apply(v, y), l))
    >>> whole = cross_entropy(readout.apply(v, unroll(cell, params, xs)[1]), labels)
    >>> bool(jnp.allclose(mean, whole, atol=1e-5))
    True
    """
    arguments = params, *check_unroll(cell, params, xs, carry, mask, reset, reverse=reverse)
    params, xs, carry, mask, reset = alike(*arguments)
    leading = leading_axes(xs)
    targets = jax.tree.map(jnp.asarray, targets)
    for path, leaf in jax.tree_util.tree_leaves_with_path(targets):
        if leaf.shape[: len(leading)] != leading:
            name = f"targets{jax.tree_util.keystr(path)}"
            raise ValueError(f"`{name}` must have shape {leading} + (...), the axes of `xs`, got {leaf.shape}.")
    initial = initial_carry(cell, params, xs)
    lengths = segment_lengths(leading[0], memory)
    segment = partial(_segment, run, cell, params, initial, reverse, _over_rows(loss, len(leading)))
    over_t = *segments_input(xs, mask, reset, reverse), targets
    carry, total = nested(segment, _sum, lengths, initial if carry is None else carry, over_t, reverse)
    return carry, total / valid_steps(mask, leading)


def _over_rows(loss: Callable, axes: int) -> Callable:
    """Map ℓ over the leading axes, with one value per step and row."""

    def scalar(y, target):
        value = loss(y, target)
        if jnp.shape(value) != ():
            raise ValueError(f"`loss` must give a scalar for one step of one row, got shape {jnp.shape(value)}.")
        return value

    for _ in range(axes):
        scalar = jax.vmap(scalar)
    return scalar


def _segment(run, cell, params, initial, reverse, loss, carry, over_t):
    """Run one segment, and sum ℓ over its valid steps."""
    *read, targets = over_t
    mask = read[1]
    carry, ys = run_segment(run, cell, params, initial, reverse, carry, tuple(read))

    def total(ys, targets, mask):
        return sum_over_valid(loss, mask, ys, targets)

    return carry, _in_blocks(total, (ys, targets, mask))


def _in_blocks(total: Callable, arrays: tuple) -> Array:
    """Evaluate `total(*arrays)` in blocks of steps whose arrays stay near `BLOCK` bytes."""
    time = jax.tree.leaves(arrays)[0].shape[0]
    one = jax.tree.map(lambda a: jax.ShapeDtypeStruct((1, *a.shape[1:]), a.dtype), arrays)
    steps = max(1, BLOCK // max(1, _largest_result(trace_program(total, *one))))
    if steps >= time:
        return total(*arrays)
    steps = max(n for n in range(1, steps + 1) if time % n == 0)
    blocks = jax.tree.map(lambda a: a.reshape(time // steps, steps, *a.shape[1:]), arrays)
    block = jax.checkpoint(lambda block: total(*block), prevent_cse=False)
    return jnp.sum(lax.scan(lambda _, at: (None, block(at)), None, blocks)[1])


def _largest_result(program) -> int:
    """Return the bytes of the largest array that an operation of a program computes."""
    results = (v.aval for eqn in equations(program) for v in eqn.outvars)
    return max((bytes_of(a) for a in results if hasattr(a, "dtype")), default=0)


def _sum(outs: Array, rest: Array | None) -> Array:
    return jnp.sum(outs) if rest is None else jnp.sum(outs) + rest
