"""The time axis of a run, on one device or split over several, and the operations between steps.

Most of a run that is parallel in time treats every t separately.  The operations between steps are here, for both
cases:

| | `Whole`: all steps on one device | `Cut`: a stretch of steps on each of D devices |
|---|---|---|
| `shift` | h⁽ᵗ⁻¹⁾ moved to t | the same; the end of a stretch goes to the next device |
| `prefix` | s⁽ᵗ⁾ ∘ … ∘ s⁽¹⁾, an associative scan | of each stretch, then of the D stretches, then both |
| `recur` | h⁽ᵗ⁾ = a⁽ᵗ⁾ h⁽ᵗ⁻¹⁾ + b⁽ᵗ⁾: `prefix`, but a loop on a CPU | `prefix` |
| `begin` | the first step replaced | on the first device |
| `last` | h⁽ᵗ⁾ at the end of the run | at the end of the stretch |
| `scan` | step by step | step by step, stretch after stretch: the devices run one after the other |
| `largest`, `total` | the maximum, the sum over t | the maximum of the maxima, the sum of the sums |

`Cut` works inside `jax.shard_map`, on the stretch of one device.  It sends one carry or one composed stretch, for any
τ. Devices are in the order of time; a reverse run starts at the last step, on the last device.  `backwards()` returns
the same steps in the opposite order, the order of a gradient.

References: Blelloch 1990, §1.3 (a scan over blocks); Hillis & Steele 1986.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, PyTree

from jaxrnn.machines.meshes import scan, where, while_loop
from jaxrnn.machines.sizes import known


@dataclass(frozen=True)
class Whole:
    """All steps on one device: trees of arrays `[time, ...]`.

    >>> Whole().shift(jnp.array([1, 2, 3]), jnp.array(0)).tolist()
    [0, 1, 2]
    >>> Whole(reverse=True).shift(jnp.array([1, 2, 3]), jnp.array(0)).tolist()
    [2, 3, 0]
    """

    reverse: bool = False

    def backwards(self) -> "Whole":
        """Return the same steps in the opposite order."""
        return Whole(not self.reverse)

    def shift(self, hs: PyTree, start: PyTree) -> PyTree:
        """Return h⁽ᵗ⁻¹⁾ at t, and `start` where the run begins."""

        def leaf(a, edge):
            return jnp.concatenate([a[1:], edge[None]] if self.reverse else [edge[None], a[:-1]])

        return jax.tree.map(leaf, hs, start)

    def first(self, hs: PyTree) -> PyTree:
        """Return the step with which the run begins."""
        return jax.tree.map(lambda a: a[-1 if self.reverse else 0], hs)

    def last(self, hs: PyTree) -> PyTree:
        """Return the step with which the run ends."""
        return jax.tree.map(lambda a: a[0 if self.reverse else -1], hs)

    def begin(self, hs: PyTree, first: PyTree) -> PyTree:
        """Return the steps with `first` in the place of the first."""
        return jax.tree.map(lambda a, f: a.at[-1 if self.reverse else 0].set(f), hs, first)

    def prefix(self, combine: Callable, steps: PyTree) -> PyTree:
        """Return s⁽ᵗ⁾ ∘ … ∘ s⁽¹⁾; `combine(first, second)` is associative and takes any leading axes."""
        if known(jax.tree.leaves(steps)[0].shape[0]) is None:
            return _prefix_by_doubling(combine, steps, self.reverse)
        return lax.associative_scan(combine, steps, reverse=self.reverse)

    def recur(self, apply: Callable, join: Callable, a: PyTree, b: PyTree) -> PyTree:
        """Return h⁽ᵗ⁾ = a⁽ᵗ⁾ h⁽ᵗ⁻¹⁾ + b⁽ᵗ⁾ from h⁽⁰⁾ = 0: `prefix(join, (a, b))`, but a loop on a CPU.

        One step of the loop costs less there than the rounds of an associative scan, which read and write all steps
        about 2 log₂ τ times: `benchmarks/every_cell.py`.
        """

        def rounds(a, b):
            return self.prefix(join, (a, b))[1]

        def loop(a, b):
            def step(h, at_t):
                h = jax.tree.map(jnp.add, apply(at_t[0], h), at_t[1])
                return h, h

            return scan(step, jax.tree.map(lambda leaf: jnp.zeros_like(leaf[0]), b), (a, b), reverse=self.reverse)[1]

        if known(jax.tree.leaves(b)[0].shape[0]) is None:
            return rounds(a, b)
        return lax.platform_dependent(a, b, cpu=loop, default=rounds)

    def scan(self, body: Callable, start: PyTree, over_t: PyTree) -> PyTree:
        """Return the outputs of `lax.scan`."""
        return scan(body, start, over_t, reverse=self.reverse)[1]

    def largest(self, a: Array) -> Array:
        """Return the maximum over the first axis."""
        return jnp.max(a, axis=0)

    def total(self, a: Array) -> Array:
        """Return the sum over the first axis."""
        return jnp.sum(a, axis=0)


@dataclass(frozen=True)
class Cut:
    """A stretch of steps on every device along `axis`, an axis of the mesh, inside `jax.shard_map`."""

    axis: str
    reverse: bool = False

    def backwards(self) -> "Cut":
        """Return the same steps in the opposite order."""
        return Cut(self.axis, not self.reverse)

    def shift(self, hs: PyTree, start: PyTree) -> PyTree:
        """Return h⁽ᵗ⁻¹⁾ at t: one carry goes from each device to the next."""
        return self._inside.shift(hs, self._handed_on(self.last(hs), start))

    def first(self, hs: PyTree) -> PyTree:
        """Return the first step of the stretch."""
        return self._inside.first(hs)

    def last(self, hs: PyTree) -> PyTree:
        """Return the last step of the stretch."""
        return self._inside.last(hs)

    def begin(self, hs: PyTree, first: PyTree) -> PyTree:
        """Return the steps with `first` in the place of the first step of the first device."""
        begins = self._begins()
        return self._inside.begin(hs, jax.tree.map(lambda f, own: jnp.where(begins, f, own), first, self.first(hs)))

    def prefix(self, combine: Callable, steps: PyTree) -> PyTree:
        """Return s⁽ᵗ⁾ ∘ … ∘ s⁽¹⁾ for the steps of the stretch, by log₂ D rounds over the devices.

        In each round every device sends one joined step to one other device.
        """
        inside = self._inside.prefix(combine, steps)
        so_far, distance, size = self.last(inside), 1, lax.axis_size(self.axis)
        while distance < size:  # after each round, of twice as many stretches
            earlier, exists = self._from_before(so_far, distance)
            joined = combine(earlier, so_far)
            so_far = jax.tree.map(lambda own, both, exists=exists: jnp.where(exists, both, own), so_far, joined)
            distance *= 2
        entering, exists = self._from_before(so_far, 1)
        both = combine(jax.tree.map(lambda s, a: jnp.broadcast_to(s, a.shape), entering, inside), inside)
        return jax.tree.map(lambda own, both: jnp.where(exists, both, own), inside, both)

    def recur(self, apply: Callable, join: Callable, a: PyTree, b: PyTree) -> PyTree:
        """Return h⁽ᵗ⁾ = a⁽ᵗ⁾ h⁽ᵗ⁻¹⁾ + b⁽ᵗ⁾ from h⁽⁰⁾ = 0: `prefix(join, (a, b))`."""
        return self.prefix(join, (a, b))[1]

    def entering(self, run: Callable[[PyTree], PyTree], start: PyTree) -> PyTree:
        """Return the state that enters each stretch, by D − 1 turns; `run` maps it to the state that leaves."""

        def turn(entering, _):
            return self._handed_on(run(entering), start), None

        return lax.scan(turn, start, length=lax.axis_size(self.axis) - 1)[0]

    def scan(self, body: Callable, start: PyTree, over_t: PyTree) -> PyTree:
        """Run the loop in D turns.  In each, all devices run their stretch; after turn d the first d are right."""

        def stretch(entering):
            return lax.scan(body, entering, over_t, reverse=self.reverse)

        def turn(entering, _):
            return self._handed_on(stretch(entering)[0], start), None

        entering, _ = lax.scan(turn, start, length=lax.axis_size(self.axis) - 1)
        return stretch(entering)[1]

    def largest(self, a: Array) -> Array:
        """Return the maximum over all devices, or NaN if there is one, which `lax.pmax` may ignore."""
        return self._inside.largest(lax.all_gather(self._inside.largest(a), self.axis))

    def total(self, a: Array) -> Array:
        """Return the sum over all devices."""
        return lax.psum(self._inside.total(a), self.axis)

    @property
    def _inside(self) -> Whole:
        """The stretch of one device, or the devices in a row."""
        return Whole(self.reverse)

    def _begins(self) -> Array:
        """Return whether this device has the step with which the run begins."""
        return lax.axis_index(self.axis) == (lax.axis_size(self.axis) - 1 if self.reverse else 0)

    def _from_before(self, tree: PyTree, distance: int) -> tuple[PyTree, Array]:
        """Return what the device `distance` earlier in the run has, and whether there is one."""
        size, index = lax.axis_size(self.axis), lax.axis_index(self.axis)
        pairs = [(i, i + distance) for i in range(size - distance)]
        pairs = [(j, i) for i, j in pairs] if self.reverse else pairs
        place = size - 1 - index if self.reverse else index
        return jax.tree.map(lambda a: lax.ppermute(a, self.axis, pairs), tree), place >= distance

    def _handed_on(self, ends: PyTree, start: PyTree) -> PyTree:
        """Return `ends` of the device before; `start` on the first."""
        size, first = lax.axis_size(self.axis), self._begins()
        to_next = [(i + 1, i) if self.reverse else (i, i + 1) for i in range(size - 1)]
        received = jax.tree.map(lambda a: lax.ppermute(a, self.axis, to_next), ends)
        return jax.tree.map(lambda s, r: jnp.where(first, s, r), start, received)


def _prefix_by_doubling(combine: Callable, steps: PyTree, reverse: bool) -> PyTree:
    """Return s⁽ᵗ⁾ ∘ … ∘ s⁽¹⁾ for a number of steps that only a run of the program knows, in ⌈log₂ τ⌉ rounds.

    Each round joins to every t what ended 1, 2, 4, … steps earlier (Hillis & Steele 1986).  `lax.associative_scan` does
    less work, but its rounds are cut out when the program is traced.
    """
    time = jax.tree.leaves(steps)[0].shape[0]
    place = jnp.arange(time)

    def round_(state):
        reach, steps = state
        earlier = jax.tree.map(lambda a: a[jnp.maximum(place - reach, 0)], steps)
        return 2 * reach, jax.tree.map(partial(where, place >= reach), combine(earlier, steps), steps)

    steps = jax.tree.map(lambda a: jnp.flip(a, 0), steps) if reverse else steps
    _, steps = while_loop(lambda state: state[0] < jnp.asarray(time), round_, (jnp.ones((), place.dtype), steps))
    return jax.tree.map(lambda a: jnp.flip(a, 0), steps) if reverse else steps


Time = Whole | Cut
"""The steps of a run, where they lie and in which order they are taken."""

WHOLE = Whole()
"""All steps on one device, from the first to the last."""
