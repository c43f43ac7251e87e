"""Recomputation instead of memory, for sequences whose h⁽ᵗ⁾ do not all fit.

The backward pass needs h⁽ᵗ⁾ for every t, from the last to the first, which is O(τ) memory.  Here only the carries at
the boundaries of segments are stored, and the backward pass runs each segment again:

    memory="sqrt"   √τ segments of √τ steps                      memory O(√τ),      one more forward pass
    memory=n        n segments of τ/n steps                      memory O(n + τ/n), one more forward pass
    memory="log"    16 segments of 16 segments … of 16 steps     memory O(log τ),   log₁₆ τ more forward passes

While a segment is processed, it stores what the plain gradient stores for its steps.  x⁽ᵗ⁾ is projected inside its
segment, so z never exists for all t at once; segments are read by index, so nothing of length τ is copied.  With "log",
the inputs of one segment of each level and their gradients are held: τ/16 + τ/16² + … steps.

"sqrt" and "log" use divisors of τ if some are near; otherwise, and with n, the last segment can be shorter.

References: Griewank & Walther 2000, "Algorithm 799: revolve"; Chen, Xu, Zhang & Guestrin 2016, "Training deep
nets with sublinear memory cost"; Gruslys et al. 2016, "Memory-efficient backpropagation through time"; chapter
2.2; Goodfellow et al. 2016, §10.2.2.
"""

import math
import numbers
from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, PyTree, Shaped

from jaxrnn.core.checks import check_unroll, leading_axes
from jaxrnn.core.masks import boundaries
from jaxrnn.core.types import Carry, Cell, Params
from jaxrnn.machines.meshes import scan, spread
from jaxrnn.machines.sizes import at_least
from jaxrnn.unrolling.backpropagation import unroll_bptt
from jaxrnn.unrolling.result_layouts import results_layout
from jaxrnn.unrolling.scan import initial_carry, select

BRANCHES = 16
"""The number of segments within a segment, with "log"."""


def unroll_checkpointed(
    cell: Cell,
    params: Params,
    xs: PyTree[Shaped[Array, "..."]],
    carry: Carry | None = None,
    *,
    mask: Bool[Array, "..."] | None = None,
    reset: Bool[Array, "..."] | None = None,
    reverse: bool = False,
    memory: str | int = "sqrt",
    run: Callable = unroll_bptt,
) -> tuple[Carry, PyTree[Shaped[Array, "..."]]]:
    """Run a cell over a sequence and recompute segments in the backward pass, to save memory.

    Args:
      cell: any cell.
      params: its parameters.
      xs: inputs `[time, *batch, input]`.
      carry: h⁽⁰⁾; None is the cell's initial carry.
      mask: `[time, *batch]`; False where the step does not happen.
      reset: `[time, *batch]`; True where a new episode begins.
      reverse: run from the last step to the first.
      memory: "sqrt", "log", or the number of segments.
      run: the member of the family that runs a segment: `unroll_bptt`, or `unroll` for forward mode and second
        derivatives.

    Returns:
      As `unroll`.

    Raises:
      TypeError, ValueError: as `unroll`.
      ValueError: an unknown `memory`, or a number of segments below 1.

    >>> from jaxrnn import GRU, unroll
    >>> cell = GRU(input_size=3, hidden_size=5)
    >>> params, xs = cell.init(jax.random.key(0)), jnp.ones((100, 3))
    >>> little = jax.grad(lambda p: unroll_checkpointed(cell, p, xs)[0].sum())(params)
    >>> full = jax.grad(lambda p: unroll(cell, p, xs)[0].sum())(params)
    >>> bool(jnp.allclose(little.w, full.w, atol=1e-4))
    True

    References: Chen et al. 2016, §4; Gruslys et al. 2016.
    """
    arguments = params, *check_unroll(cell, params, xs, carry, mask, reset, reverse=reverse)
    lengths = segment_lengths(leading_axes(xs)[0], memory)
    checkpointed = partial(_unroll_checkpointed, cell, reverse, lengths, run)
    return spread(checkpointed, partial(results_layout, arguments[0], arguments[1]), *arguments)


@partial(jax.jit, static_argnums=(0, 1, 2, 3))
def _unroll_checkpointed(cell, reverse, lengths, run, params, xs, carry, mask, reset):
    initial = initial_carry(cell, params, xs)
    segment = partial(run_segment, run, cell, params, initial, reverse)
    carry = initial if carry is None else carry
    return nested(segment, join, lengths, carry, segments_input(xs, mask, reset, reverse), reverse)


def segment_lengths(time: int, memory: str | int) -> tuple[int, ...]:
    """Return the lengths of the segments at each level, longest first; empty for a single piece.

    >>> segment_lengths(1_000_000, "sqrt"), segment_lengths(1_000_000, 10), segment_lengths(4096, "log")
    ((1000,), (100000,), (256, 16))

    Raises:
      ValueError: `memory` is not "sqrt", "log" or an integer of at least 1.
    """
    if memory not in ("sqrt", "log") and (
        isinstance(memory, bool) or not isinstance(memory, numbers.Integral) or memory < 1
    ):
        raise ValueError(f'`memory` must be "sqrt", "log" or a number of segments, at least 1, got {memory!r}.')
    if not at_least(time, 2):  # 0, 1, or not known
        return ()
    if memory != "log":
        length = _divisor_near(time, math.sqrt(time)) if memory == "sqrt" else math.ceil(time / int(memory))
        return (length,) if length < time else ()
    lengths = [time]
    for left in range(math.ceil(math.log(time, BRANCHES)) - 1, 0, -1):
        length = _divisor_near(lengths[-1], lengths[-1] ** (left / (left + 1)))
        lengths += [length] if 1 < length < lengths[-1] else []
    return tuple(lengths[1:])


def _divisor_near(time: int, length: float) -> int:
    """Return the divisor of `time` nearest to `length` within a factor of 2¼, or `length` rounded up."""
    small = [n for n in range(1, math.isqrt(time) + 1) if time % n == 0]
    near = [n for d in small for n in (d, time // d) if length / 2.25 <= n <= length * 2.25]
    return min(near, key=lambda n: abs(math.log(n / length)), default=min(time, math.ceil(length)))


def nested(segment: Callable, combine: Callable, lengths: tuple[int, ...], carry, over_t: PyTree, reverse: bool):
    """Run `segment(carry, over_t) -> (carry, out)` over nested segments, each run again in the backward pass.

    Args:
      segment: a run of a few steps.
      combine: (outs of the segments, stacked; the out of a shorter one at the end of time, or None) → out.
      lengths: the lengths of the segments at each level, longest first.
      carry: the first carry.
      over_t: arrays `[time, ...]`.
      reverse: True to run from the last segment to the first.
    """
    time = jax.tree.leaves(over_t)[0].shape[0]
    if not lengths or lengths[0] >= time:
        return segment(carry, over_t)
    length, *shorter = lengths
    whole, rest = divmod(time, length)

    def piece(carry, start, length):
        # by index, and inside: neither the arrays nor their gradients are copied, but a segment at a time
        steps = jax.tree.map(lambda a: lax.dynamic_slice_in_dim(a, start, length), over_t)
        return nested(segment, combine, tuple(shorter), carry, steps, reverse)

    def body(carry, start):  # in a scan nothing of the recomputation can be merged with the first computation
        return jax.checkpoint(partial(piece, length=length), prevent_cse=False)(carry, start)

    end = None
    if rest and reverse:
        carry, end = jax.checkpoint(partial(piece, start=time - rest, length=rest))(carry)
    carry, outs = scan(body, carry, length * jnp.arange(whole), reverse=reverse)
    if rest and not reverse:
        carry, end = jax.checkpoint(partial(piece, start=time - rest, length=rest))(carry)
    return carry, combine(outs, end)


def join(outs: PyTree, rest: PyTree | None) -> PyTree:
    """Join outputs `[segments, steps, ...]` and those of the shorter last segment to `[time, ...]`."""
    outs = jax.tree.map(lambda a: lax.collapse(a, 0, 2), outs)
    return outs if rest is None else jax.tree.map(lambda a, b: jnp.concatenate([a, b]), outs, rest)


def segments_input(xs, mask, reset, reverse: bool) -> tuple:
    """Return the inputs of segments: `xs`, `mask`, `reset`, and for reverse runs the boundary after each step."""
    behind = None if reset is None or not reverse else boundaries(reset, reverse=True)
    return xs, mask, reset, behind


def run_segment(run: Callable, cell: Cell, params: Params, initial: Carry, reverse: bool, carry: Carry, over_t: tuple):
    """Run one segment; a reverse run first crosses the boundary between it and the previous segment."""
    xs, mask, reset, behind = over_t
    if behind is not None and behind.shape[0]:
        carry = select(behind[-1], initial, carry)
    return run(cell, params, xs, carry, mask=mask, reset=reset, reverse=reverse)
