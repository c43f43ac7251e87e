"""The two kernels: all steps of a block of rows, forwards and backwards, in one launch each.

A row of the batch never waits for another, so the grid is the batch cut into blocks of rows, and no program
instance waits for another.  Each reads the recurrent weights once and then runs its own loop over t:

    forward    z⁽ᵗ⁾ → h⁽ᵗ⁾, and the record if a gradient will be wanted
    backward   record⁽ᵗ⁾, ∇y⁽ᵗ⁾ → ∇z⁽ᵗ⁾, from the last step of the run to the first      (2.2.2)

U x⁽ᵗ⁾ + b before, and the sums over t after (2.2.3), are one product each over all steps: XLA's.

What step t + 1 reads is asked for before step t is computed, so that the memory's latency lies beside the
products.  Rows and hidden units are padded to the block inside the kernel, by masked loads and stores: nothing is
copied, and a padded unit is 0 at every step, as are its gradients.

Masks and resets act as in `jaxrnn.unrolling.scan` and `jaxrnn.unrolling.backpropagation`.  The initial carry of these
cells is 0, whatever the parameters, so nothing flows back through a reset.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental import pallas as pl
from jaxtyping import Array

from jaxrnn.unrolling.fused.gates import Blocks, Gates, Weights

try:
    from jax.experimental.pallas import triton
except ImportError:  # jaxlib for Windows comes without it
    HAVE_TRITON = False
else:
    HAVE_TRITON = True


class Blocking(NamedTuple):
    """The blocking of the arrays; each number is a power of 2."""

    rows: int
    """Rows of the batch for one program instance."""
    hidden: int
    """The hidden units, padded."""
    warps: int
    """Warps of one program instance."""


class Run(NamedTuple):
    """The static arguments of a kernel."""

    gates: Gates
    blocking: Blocking
    reverse: bool
    """True to run from the last step to the first."""
    interpret: bool
    """True to run in Pallas' interpreter."""


class Switches(NamedTuple):
    """Masks and resets: `[time · batch, 1]`, int8, 0 or 1; None for 1 everywhere."""

    happens: Array | None
    """The mask."""
    goes_on: Array | None
    """1 where no reset comes before this step in the order of the run."""


def forward(
    run: Run, weights: tuple[Array, Array | None], zs: Array, carry: Array, switches: Switches, *, record: bool
) -> tuple[Array, Array, tuple[Array, ...]]:
    """Run all steps from z⁽ᵗ⁾; return the last carry, ys and the record.

    Args:
      run: the cell, how its arrays are cut, the direction.
      weights: W `[hidden, gates · hidden]`, and the vectors `[1, k · hidden]` or None.
      zs: `[time · batch, gates · hidden]`, time and batch at least 1.
      carry: its leaves side by side, `[batch, leaves · hidden]`.
      switches: masks and resets.
      record: whether the record is kept; else it is ().

    Returns:
      carry as it came, ys `[time · batch, hidden]`, and the leaves of the record `[time · batch, hidden]`.
    """
    (batch, _), (hidden, _), steps = carry.shape, weights[0].shape, zs.shape[0]

    def kernel(weights, zs, carry, switches, last, ys, records):
        tile = _tile(run.blocking, batch, hidden)
        weights = tile.weights(weights)

        def read(t):
            return tile.read(zs, t), tile.switches(switches, t)

        def step(carry, at_t, t):
            z, (happens, goes_on) = at_t
            carry = _where(goes_on, carry, _zeros(carry))
            after, recorded = run.gates.step(weights, carry, z)
            tile.write(ys, _where(happens, after[:1], _zeros(after[:1])), t)
            for ref, block in zip(records, recorded, strict=False):  # no refs where it is not kept
                tile.write(ref, (block,), t)
            return _where(happens, after, carry)

        tile.write(last, _loop(read, step, tile.read(carry), steps // batch, run.reverse))

    over_t = jax.ShapeDtypeStruct((steps, hidden), carry.dtype)
    records = (over_t,) * (run.gates.recorded if record else 0)
    out = jax.ShapeDtypeStruct(carry.shape, carry.dtype), over_t, records
    return _call(run, kernel, "rnn_forward", batch, out)(weights, zs, carry, switches)


def backward(
    run: Run,
    weights: tuple[Array, Array | None],
    records: tuple[Array, ...],
    dcarry: Array,
    dys: Array,
    switches: Switches,
) -> tuple[Array, Array]:
    """Map ∇ of the last carry and ∇y⁽ᵗ⁾ to ∇ of the first carry and ∇z⁽ᵗ⁾.

    Args and shapes are those of `forward`, `run` is that of the forward pass.
    """
    (batch, _), (steps, hidden) = dcarry.shape, dys.shape

    def kernel(weights, records, dcarry, dys, switches, first, dzs):
        tile = _tile(run.blocking, batch, hidden)
        weights = tile.weights(weights)

        def read(t):
            return tuple(tile.read(ref, t)[0] for ref in records), tile.read(dys, t), tile.switches(switches, t)

        def step(dcarry, at_t, t):
            record, dy, (happens, goes_on) = at_t
            dafter, (dy,) = (_where(happens, d, _zeros(d)) for d in (dcarry, dy))
            before, dz = run.gates.step_bwd(weights, record, dafter, dy)
            tile.write(dzs, dz, t)
            before = _where(happens, before, dcarry)
            return _where(goes_on, before, _zeros(before))

        tile.write(first, _loop(read, step, tile.read(dcarry), steps // batch, not run.reverse))

    dzs = jax.ShapeDtypeStruct((steps, run.gates.count * hidden), dcarry.dtype)
    out = jax.ShapeDtypeStruct(dcarry.shape, dcarry.dtype), dzs
    return _call(run, kernel, "rnn_backward", batch, out)(weights, records, dcarry, dys, switches)


class _Tile(NamedTuple):
    """The rows and the hidden units that a program instance works on; both may reach beyond the arrays."""

    batch: int
    hidden: int
    rows: Array
    """`[rows, 1]`, their numbers."""
    units: Array
    """`[1, hidden]`."""

    def read(self, ref, t=0) -> Blocks:
        """Load the blocks that lie side by side at step t, 0 outside the array."""
        return self._load(ref, t * self.batch + self.rows, self._inside())

    def write(self, ref, blocks: Blocks, t=0) -> None:
        """Store the blocks side by side at step t."""
        for k, block in enumerate(blocks):
            view = ref.at[t * self.batch + self.rows, k * self.hidden + self.units]
            triton.store(view, block, mask=self._inside())

    def weights(self, refs) -> Weights:
        """Load W and the vectors, padded with 0."""
        (w, v), rows, inside = refs, self.units.T, self.units < self.hidden
        vectors = () if v is None else self._load(v, jnp.zeros_like(self.units), inside)
        return Weights(self._load(w, rows, (rows < self.hidden) & inside), vectors)

    def switches(self, refs: Switches, t) -> Switches:
        """Load the switches of step t, `[rows, 1]`, boolean."""

        def read(ref):
            view = ref.at[t * self.batch + self.rows, jnp.zeros_like(self.rows)]
            return triton.load(view, mask=self.rows < self.batch, other=0) != 0

        return Switches(*(None if ref is None else read(ref) for ref in refs))

    def _inside(self):
        return (self.rows < self.batch) & (self.units < self.hidden)

    def _load(self, ref, rows, inside) -> Blocks:
        views = [ref.at[rows, start + self.units] for start in range(0, ref.shape[1], self.hidden)]
        return tuple(triton.load(view, mask=inside, other=0) for view in views)


def _tile(blocking: Blocking, batch: int, hidden: int) -> _Tile:
    rows, units = (jnp.arange(size, dtype=jnp.int32) for size in blocking[:2])
    return _Tile(batch, hidden, (pl.program_id(0) * blocking.rows + rows)[:, None], units[None, :])


def _loop(read: Callable, step: Callable, carry: Blocks, time: int, reverse: bool) -> Blocks:
    """Apply step(carry, read(t), t) for every t in the order of the run, reading one step ahead."""

    def at(i):
        return time - 1 - i if reverse else i

    def body(i, state):
        carry, at_t = state
        ahead = read(at(jnp.minimum(i + 1, time - 1)))
        return step(carry, at_t, at(i)), ahead

    return lax.fori_loop(0, time, body, (carry, read(at(0))))[0]


def _where(condition: Array | None, if_true: Blocks, if_false: Blocks) -> Blocks:
    """Apply `where` block by block; None is True everywhere."""
    if condition is None:
        return if_true
    return tuple(jnp.where(condition, a, b) for a, b in zip(if_true, if_false, strict=True))


def _zeros(blocks: Blocks) -> Blocks:
    return tuple(jnp.zeros_like(block) for block in blocks)


def _call(run: Run, kernel: Callable, name: str, batch: int, out_shape) -> Callable:
    return pl.pallas_call(
        kernel,
        out_shape=out_shape,
        grid=(pl.cdiv(batch, run.blocking.rows),),
        compiler_params=triton.CompilerParams(num_warps=run.blocking.warps, num_stages=1),
        interpret=run.interpret,
        name=name,
    )
