"""Linear recurrences with matrix states in chunks: matrix products inside a chunk, a loop over chunks.

`unroll` carries S ∈ R^{K×V} through every step, and reverse mode stores each of them.  Inside a chunk of C steps the
outputs are sums over pairs of steps, which are products of matrices (`jaxrnn.linear.matrix.chunk`), and only the S
between chunks exist:

    (S′, r⁽¹⁾, …, r⁽ᶜ⁾) = chunk(S₀, x⁽¹⁾, …, x⁽ᶜ⁾)            ⌈τ/C⌉ times

`jax.checkpoint` recomputes the inside of a chunk in the backward pass, so that memory grows as τ (K + V) + (τ/C) K V
and not as τ K V.  The gradient is autodiff's, of any order and in both modes.

A step masked out has log d = 0 and u = w = k = q = 0.  A reset begins a new segment, across which nothing is summed.
A number that is not finite in a step that counts reaches the other steps of its chunk, since 0 · NaN is NaN.

References: Hua et al. 2022, "Transformer quality in linear time", §3.3 (mixed chunks); Yang et al. 2024, "Parallelizing
linear transformers with the delta rule over sequence length", §3; Chen et al. 2016 (recomputation).
"""

import math
import numbers
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, PyTree, Shaped

from jaxrnn.core.checks import check_unroll, known_values, leading_axes
from jaxrnn.core.types import Carry, Params
from jaxrnn.linear.matrix.chunk import ChunkInputs, solve_chunk
from jaxrnn.linear.matrix_state import InTurn, MatrixCell, Outer
from jaxrnn.linear.protocol import LinearCell, is_coefficient, ones
from jaxrnn.linear.stages import Staged
from jaxrnn.machines.meshes import scan, spread
from jaxrnn.machines.sizes import at_least
from jaxrnn.unrolling.parallel.associative import check_linear, first_stage, gate, linear_recurrence
from jaxrnn.unrolling.result_layouts import results_layout
from jaxrnn.unrolling.scan import prepare, select, unroll, zeros
from jaxrnn.unrolling.time_blocks import projection


def unroll_chunkwise(
    cell: MatrixCell | LinearCell,
    params: Params,
    xs: PyTree[Shaped[Array, "..."]],
    carry: Carry | None = None,
    *,
    mask: Bool[Array, "..."] | None = None,
    reset: Bool[Array, "..."] | None = None,
    reverse: bool = False,
    chunk: int = 64,
) -> tuple[Carry, PyTree[Shaped[Array, "..."]]]:
    """Run a cell with a matrix state over a sequence, chunk by chunk.

    Element-wise states run in parallel inside a chunk.

    Args:
      cell: a cell that is linear in its carry, such as `GatedDelta`.
      params: its parameters.
      xs: inputs `[time, *batch, input]`.
      carry: h⁽⁰⁾; None is the cell's initial carry.
      mask: `[time, *batch]`; False where the step does not happen.
      reset: `[time, *batch]`; True where a new episode begins.
      reverse: run from the last step to the first.
      chunk: the number of updates in a chunk, a power of two.  The work grows with it; fewer states are stored.

    Returns:
      As `unroll`.

    Raises:
      TypeError, ValueError: as `unroll`.
      TypeError: `cell` is not linear in its carry.
      ValueError: `chunk` is not a power of two; a `reset` to a matrix that is not known to be 0.

    >>> from jaxrnn.linear.matrix import GatedDelta
    >>> cell = GatedDelta(input_size=3, heads=2, key_size=4, value_size=5)
    >>> params, xs = cell.init(jax.random.key(0)), jax.random.normal(jax.random.key(1), (7, 2, 3))
    >>> bool(jnp.allclose(unroll_chunkwise(cell, params, xs)[1], unroll(cell, params, xs)[1], atol=1e-6))
    True

    References: Yang et al. 2024; `jax.checkpoint`.
    """
    arguments = check_unroll(cell, params, xs, carry, mask, reset, reverse=reverse)
    check_linear(cell)
    check_chunk(chunk)
    if reset is not None:
        check_starts_at_zero(cell, params)
    if leading_axes(arguments[0])[0] == 0:
        return unroll(cell, params, arguments[0], arguments[1])
    run = partial(_unroll, cell, reverse=reverse, chunk=chunk)
    return spread(run, partial(results_layout, params, arguments[0]), params, *arguments)


def check_chunk(chunk: int) -> None:
    """Raise ValueError unless `chunk` is a power of two."""
    if not isinstance(chunk, numbers.Integral) or isinstance(chunk, bool) or chunk < 1 or chunk & (chunk - 1):
        raise ValueError(f"`chunk` must be a power of two, such as 32 or 64, got {chunk!r}.")


def check_starts_at_zero(cell, params: Params) -> None:
    """Raise ValueError where a reset would go back to a matrix, or a first stage, that is not known to be 0."""
    if not starts_at_zero(cell, params):
        raise ValueError(
            f"`reset` goes back to the initial carry of {cell}, whose matrices must be 0 in a chunkwise run. "
            "Run each episode on its own with its start as `carry`, or use `unroll` or `unroll_associative`."
        )


def starts_at_zero(cell, params: Params) -> bool:
    """Return whether the matrices and the first stage of the initial carry are known to be 0."""
    with jax.ensure_compile_time_eval():  # zeros are values even while the rest is traced
        carry = cell.initial_carry(params, ())
    first, state = (carry.first, carry.state) if isinstance(carry, Staged) else ((), carry)
    leaves = jax.tree.leaves((first, state) if isinstance(cell, MatrixCell) else first)
    return not any(isinstance(leaf, jax.core.Tracer) or np.asarray(leaf).any() for leaf in leaves)


@partial(jax.jit, static_argnames=("reverse", "chunk"))
def _unroll(cell, params, xs, carry, mask, reset, *, reverse, chunk):
    xs, carry, initial, reset = prepare(cell, params, xs, carry, mask, reset, reverse)
    return run_chunks(cell, params, xs, carry, mask, reset, initial, reverse=reverse, chunk=chunk)


def run_chunks(cell, params, xs, carry, mask, reset, initial, *, reverse, chunk=64, homogeneous=False):
    """Loop over the chunks; the arguments are those that `prepare` returns.

    If `homogeneous`, nothing is added to the state and nothing is read: from the identity in the place of each matrix,
    and from 1 elsewhere, the run ends in the product of all coefficients.
    """
    time, *batch = leading_axes(xs)
    read, project = projection(cell, params, xs)
    length = chunk_length(cell, params, xs, chunk)
    length = min(length, 2 ** math.ceil(math.log2(time))) if at_least(time, 1) else length
    count = -(-time // length)
    padding = count * length - time
    if padding and mask is None:
        mask = jnp.ones((time, *batch), bool)
    chunks = jax.tree.map(partial(_cut, count=count, padding=padding), (read, mask, reset))

    @jax.checkpoint
    def body(carry, at):
        x, mask, reset = at
        return run_chunk(cell, params, project(x), carry, mask, reset, initial, reverse, homogeneous)

    carry, ys = scan(body, carry, chunks, reverse=reverse)
    return carry, jax.tree.map(lambda y: y.reshape(count * length, *y.shape[2:])[:time], ys)


def addends(cell, params, xs):
    """Return the kinds and shapes of the addends of one step."""

    def one_step(params, x):
        carry = cell.initial_carry(params, leading_axes(x)[1:])
        _, _, z = first_stage(cell, params, carry, cell.project(params, x), None, None, False)
        return cell.coefficients(params, z)[1]

    return jax.eval_shape(one_step, params, jax.tree.map(lambda x: x[:1], xs))


def chunk_length(cell, params, xs, chunk: int) -> int:
    """Return the number of steps in a chunk: fewer than `chunk` if a step consists of several updates."""
    leaves = jax.tree.leaves(addends(cell, params, xs), is_leaf=is_coefficient)
    in_turn = [leaf for leaf in leaves if isinstance(leaf, InTurn)]
    updates = max((leaf.steps.k.shape[-2] for leaf in in_turn), default=1)
    return max(1, chunk // 2 ** math.ceil(math.log2(updates)))


def run_chunk(cell, params, zs, carry, mask, reset, initial, reverse, homogeneous=False):
    """Run one chunk: (carry, z of C steps) → (carry, ys)."""
    rejoin, state, zs = first_stage(cell, params, carry, zs, mask, reset, reverse)
    a, b = cell.coefficients(params, zs)
    if homogeneous:
        b, initial = without_addends(b), zeros(initial)
    kinds, structure = jax.tree.flatten(a, is_leaf=is_coefficient)
    queries = _queries(cell, params, zs, structure)
    initial = initial.state if isinstance(initial, Staged) else initial
    starts = [None] * len(kinds) if initial is None else structure.flatten_up_to(initial)
    run = partial(_run_leaf, mask=mask, reset=reset, reverse=reverse)
    done = [
        run(*leaf)
        for leaf in zip(kinds, structure.flatten_up_to(b), structure.flatten_up_to(state), queries, starts, strict=True)
    ]
    state, r = (structure.unflatten([pair[i] for pair in done]) for i in (0, 1))
    if homogeneous:
        return rejoin(state), ()
    ys = cell.answer(params, r, zs) if isinstance(cell, MatrixCell) else cell.read(params, r, zs)
    return rejoin(state), ys if mask is None else select(mask, ys, zeros(ys))


def without_addends(b):
    """Return the addends as zeros; those of a matrix get K columns."""

    def leaf(b):
        if isinstance(b, InTurn):
            return InTurn(leaf(b.steps))
        return Outer(b.k, jnp.zeros_like(b.k)) if isinstance(b, Outer) else zeros(b)

    return jax.tree.map(leaf, b, is_leaf=is_coefficient)


def identity(cell, params, xs, state):
    """Return the state from which a homogeneous run computes the product of all coefficients."""

    def leaf(b, s):
        if not isinstance(b, Outer | InTurn):
            return ones(s)
        eye = jnp.eye(s.shape[-2], dtype=s.dtype)
        return jnp.broadcast_to(eye, (*s.shape[:-1], s.shape[-2]))

    return jax.tree.map(leaf, addends(cell, params, xs), state, is_leaf=is_coefficient)


def _queries(cell, params, zs, structure):
    if not isinstance(cell, MatrixCell):
        return [None] * structure.num_leaves
    return jax.tree.leaves(cell.query(params, zs), is_leaf=lambda leaf: leaf is None)


def _run_leaf(a, b, state, q, initial, *, mask, reset, reverse):
    """Run one leaf of the carry; return its state after the chunk, and r or h of each step."""
    if not isinstance(b, Outer | InTurn):
        hs = linear_recurrence(*gate(a, b, mask, reset, initial), state, reverse=reverse)
        return jax.tree.map(lambda h: h[0 if reverse else -1], hs), hs
    check_decay(a)
    a = _full(a, b)
    if mask is not None:
        a, b, q = (select(mask, tree, zeros(tree)) for tree in (a, b, q))
    if reverse:
        a, b, q, reset = jax.tree.map(lambda leaf: jnp.flip(leaf, 0), (a, b, q, reset))
    updates = b.steps.k.shape[-2] if isinstance(b, InTurn) else 1
    state, r = solve_chunk(state, _chunk_inputs(a, b, q), _segment(reset, updates, state))
    r = jnp.moveaxis(r[..., updates - 1 :: updates, :], -2, 0)
    return state, jnp.flip(r, 0) if reverse else r


def check_decay(a) -> None:
    """Raise ValueError if log d is known, as a NumPy constant is, and above 0."""
    log_d = a.steps.log_d if isinstance(a, InTurn) else a.log_d
    known = known_values(log_d)
    if known is not None and (known > 0).any():
        raise ValueError(f"`log_d` must be at most 0, so that the state does not grow, got {known.max()}.")


def _full(a, b):
    """Return the coefficient with all leading axes and the dtype of the addend."""
    k = b.steps.k if isinstance(b, InTurn) else b.k
    return jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (*k.shape[:-1], leaf.shape[-1])).astype(k.dtype), a)


def _chunk_inputs(a, b, q) -> ChunkInputs:
    """Move time behind the batch: `[time, *batch, ·]` → `[*batch, time, ·]`.

    The updates of an `InTurn` become consecutive steps, of which only the last is read.
    """
    if not isinstance(b, InTurn):
        return jax.tree.map(lambda leaf: jnp.moveaxis(leaf, 0, -2), ChunkInputs(a.log_d, a.u, a.w, b.k, b.v, q))
    unread = jnp.zeros((*b.steps.k.shape[:-2], b.steps.k.shape[-2] - 1, q.shape[-1]), q.dtype)
    q = jnp.concatenate([unread, q[..., None, :]], axis=-2)

    def leaf(x):
        return jnp.moveaxis(x, 0, -3).reshape(*x.shape[1:-2], x.shape[0] * x.shape[-2], x.shape[-1])

    a, b = a.steps, b.steps
    return jax.tree.map(leaf, ChunkInputs(a.log_d, a.u, a.w, b.k, b.v, q))


def _segment(reset, updates, state):
    """Return the number of resets up to each update, `[*batch, time]`, with axes of size 1 for the heads."""
    if reset is None:
        return None
    segment = jnp.moveaxis(jnp.cumsum(reset, axis=0, dtype=jnp.int32), 0, -1)
    segment = jnp.repeat(segment, updates, axis=-1)
    return segment.reshape(*segment.shape[:-1], *[1] * (state.ndim - 1 - segment.ndim), segment.shape[-1])


def _cut(a, count, padding):
    """Cut time into chunks: `[time, ...]` → `[count, chunk, ...]`, with zeros after the end."""
    a = jnp.pad(a, [(0, padding)] + [(0, 0)] * (a.ndim - 1)) if padding else a
    return a.reshape(count, a.shape[0] // count, *a.shape[1:])
