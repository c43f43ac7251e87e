"""Where the steps of a run lie, and the few operations in which one step meets another.

Nearly all of a run that is parallel in time is done for every t by itself.  The rest is here, twice:

| | `Whole`: all steps on one device | `Cut`: a stretch of steps on each of D devices |
|---|---|---|
| `shift` | h⁽ᵗ⁻¹⁾ put at t | the same; what a stretch ends with goes to the next device |
| `prefix` | s⁽ᵗ⁾ ∘ … ∘ s⁽¹⁾, an associative scan | of each stretch, then of the D stretches, then both |
| `begin` | the first step is another | on the first device alone |
| `scan` | step by step | step by step, stretch after stretch: the devices wait for one another |
| `largest`, `total` | the maximum, the sum over t | the maximum of the maxima, the sum of the sums |

`Cut` works inside `jax.shard_map`, on what a device has.  It sends what one step hands on, or one ∘-joined stretch,
whatever τ is.  Devices stand in the order of time; with `reverse` the run begins at the last step, on the last device.

References: Blelloch 1990, §1.3 (a scan over blocks); Hillis & Steele 1986.
"""

from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, PyTree


@dataclass(frozen=True)
class Whole:
    """All steps on one device: trees of arrays `[time, ...]`.

    >>> Whole().shift(jnp.array([1, 2, 3]), jnp.array(0)).tolist()
    [0, 1, 2]
    """

    def shift(self, hs: PyTree, start: PyTree, *, reverse: bool = False) -> PyTree:
        """h⁽ᵗ⁻¹⁾ at t, and `start` where the run begins."""

        def leaf(a, edge):
            return jnp.concatenate([a[1:], edge[None]] if reverse else [edge[None], a[:-1]])

        return jax.tree.map(leaf, hs, start)

    def begin(self, hs: PyTree, first: PyTree, *, reverse: bool = False) -> PyTree:
        """`first` in the place of the first step, of the last if `reverse`."""
        return jax.tree.map(lambda a, f: a.at[-1 if reverse else 0].set(f), hs, first)

    def prefix(self, combine: Callable, steps: PyTree, *, reverse: bool = False) -> PyTree:
        """s⁽ᵗ⁾ ∘ … ∘ s⁽¹⁾; `combine(first, second)` is associative and takes any leading axes."""
        return lax.associative_scan(combine, steps, reverse=reverse)

    def scan(self, body: Callable, start: PyTree, over_t: PyTree, *, reverse: bool = False) -> PyTree:
        """The outputs of `lax.scan`."""
        return lax.scan(body, start, over_t, reverse=reverse)[1]

    def largest(self, a: Array) -> Array:
        """The maximum over the first axis."""
        return jnp.max(a, axis=0)

    def total(self, a: Array) -> Array:
        """The sum over the first axis."""
        return jnp.sum(a, axis=0)


@dataclass(frozen=True)
class Cut:
    """A stretch of steps on every device along `axis`, an axis of the mesh, inside `jax.shard_map`."""

    axis: str

    def shift(self, hs: PyTree, start: PyTree, *, reverse: bool = False) -> PyTree:
        """h⁽ᵗ⁻¹⁾ at t: one carry goes from each device to the next."""
        ends = jax.tree.map(lambda a: a[0 if reverse else -1], hs)
        return Whole().shift(hs, self._handed_on(ends, start, reverse), reverse=reverse)

    def begin(self, hs: PyTree, first: PyTree, *, reverse: bool = False) -> PyTree:
        """`first` in the place of the first step of the first device."""
        begins, edge = self._begins(reverse), -1 if reverse else 0
        return Whole().begin(hs, jax.tree.map(lambda a, f: jnp.where(begins, f, a[edge]), hs, first), reverse=reverse)

    def prefix(self, combine: Callable, steps: PyTree, *, reverse: bool = False) -> PyTree:
        """Of the stretch, after all stretches before it: one joined step of each device is sent to all."""
        inside = Whole().prefix(combine, steps, reverse=reverse)
        ends = jax.tree.map(lambda a: lax.all_gather(a[0 if reverse else -1], self.axis), inside)
        stretches = Whole().prefix(combine, ends, reverse=reverse)
        before = (lax.axis_index(self.axis) + (1 if reverse else -1)) % lax.axis_size(self.axis)
        entering = jax.tree.map(lambda a, s: jnp.broadcast_to(s[before], a.shape), inside, stretches)
        both, first = combine(entering, inside), self._begins(reverse)
        return jax.tree.map(lambda a, b: jnp.where(first, a, b), inside, both)

    def scan(self, body: Callable, start: PyTree, over_t: PyTree, *, reverse: bool = False) -> PyTree:
        """D turns.  In each all devices run their stretch; after turn d the first d begin where they should."""

        def stretch(entering):
            return lax.scan(body, entering, over_t, reverse=reverse)

        def turn(entering, _):
            return self._handed_on(stretch(entering)[0], start, reverse), None

        entering, _ = lax.scan(turn, start, length=lax.axis_size(self.axis) - 1)
        return stretch(entering)[1]

    def largest(self, a: Array) -> Array:
        """The maximum over all devices; NaN where one is, which `lax.pmax` would not say."""
        return Whole().largest(lax.all_gather(Whole().largest(a), self.axis))

    def total(self, a: Array) -> Array:
        """The sum over all devices."""
        return lax.psum(Whole().total(a), self.axis)

    def _begins(self, reverse: bool) -> Array:
        """Whether this device has the step with which the run begins."""
        return lax.axis_index(self.axis) == (lax.axis_size(self.axis) - 1 if reverse else 0)

    def _handed_on(self, ends: PyTree, start: PyTree, reverse: bool) -> PyTree:
        """What the device before has in `ends`; `start` on the first."""
        size, first = lax.axis_size(self.axis), self._begins(reverse)
        to_next = [(i + 1, i) if reverse else (i, i + 1) for i in range(size - 1)]
        received = jax.tree.map(lambda a: lax.ppermute(a, self.axis, to_next), ends)
        return jax.tree.map(lambda s, r: jnp.where(first, s, r), start, received)


Time = Whole | Cut

WHOLE = Whole()
"""The usual case."""
