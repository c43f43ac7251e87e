"""Stages before the coefficients: a short convolution over the last inputs, a running maximum.

The coefficients of a linear recurrence may not depend on its state, but they may depend on a recurrence that runs ahead
of it.  The carry is then `Staged(first, state)`, and a method `lead` turns z⁽ᵗ⁾ into what `coefficients` takes.  Most
of `lead` acts on each t separately; this module has the operations that combine steps, in two forms:

| | `OneStep`, inside `step` | `AllSteps`, for arrays `[time, ...]` |
|---|---|---|
| `window` | a shift register | shifted arrays, gathered around padding |
| `count` | n ← n + 1 | a cumulative sum |
| `running_max` | m ← max(d + m, x) | an associative scan of (max, +) |
| `scan` | the step itself | `lax.scan`, for a recurrence of any other kind |

`AllSteps` holds the mask and the resets: a step that does not happen leaves the first stage alone, and a reset sets it
to zero.

References: Blelloch 1990, §1.4 (recurrences over a semiring).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, PyTree

from jaxrnn.core.types import Carry, Cell, Inputs, Params


class Staged(NamedTuple):
    """A carry in two stages.

    >>> import jax.numpy as jnp
    >>> Staged(first=jnp.zeros((3, 4)), state=jnp.zeros(5)).first.shape  # the last three inputs of a convolution
    (3, 4)
    """

    first: PyTree
    """The part that `lead` reads and updates; its initial value is 0."""
    state: PyTree
    """The part that is linear, with coefficients that may depend on the first stage."""


@runtime_checkable
class StagedCell(Cell, Protocol):
    """A cell whose carry is `Staged`."""

    def lead(self, params: Params, first: Carry, z: Inputs, steps: "Steps") -> tuple[Carry, Inputs]:
        """Map (first⁽ᵗ⁻¹⁾, z⁽ᵗ⁾) to (first⁽ᵗ⁾, the z that `coefficients` takes), for one step or for all of them."""
        ...


@dataclass(frozen=True)
class OneStep:
    """The operations for one step."""

    def window(self, recent: Array, x: Array) -> tuple[Array, tuple[Array, ...]]:
        """Append x⁽ᵗ⁾ to the last W − 1 inputs, `[*batch, W − 1, features]`; return the newest W − 1, and all W.

        >>> recent, taps = ONE_STEP.window(jnp.array([[1.0], [2.0]]), jnp.array([3.0]))
        >>> recent.tolist(), [tap.tolist() for tap in taps]
        ([[2.0], [3.0]], [[1.0], [2.0], [3.0]])
        """
        taps = (*(recent[..., i, :] for i in range(recent.shape[-2])), x.astype(recent.dtype))
        return jnp.concatenate([recent[..., 1:, :], taps[-1][..., None, :]], axis=-2), taps

    def count(self, n: Array, x: Array) -> tuple[Array, Array]:
        """Return (n⁽ᵗ⁾, n⁽ᵗ⁻¹⁾), the numbers of steps with this one and before it; n and x share the batch axes."""
        return n + 1, n

    def running_max(self, m: Array, decay: Array, x: Array) -> tuple[Array, tuple[Array, Array]]:
        """Compute m⁽ᵗ⁾ = max(decay⁽ᵗ⁾ + m⁽ᵗ⁻¹⁾, x⁽ᵗ⁾); return it, and (m⁽ᵗ⁻¹⁾, m⁽ᵗ⁾)."""
        after = jnp.maximum(decay + m, x)
        return after, (m, after)

    def scan(self, step: Callable, first: PyTree, xs: PyTree) -> tuple[PyTree, Any]:
        """Return `step(first, x)`, which is (first, output)."""
        return step(first, xs)


@dataclass(frozen=True, eq=False)
class AllSteps:
    """The operations for all steps of a run, or of a stretch of one, along the first axis."""

    mask: Array | None
    """`[time, *batch]`; False where the step does not happen."""
    reset: Array | None
    """`[time, *batch]`; True where the step starts from 0."""
    reverse: bool = False
    """From the last step to the first."""

    def window(self, recent: Array, x: Array) -> tuple[Array, tuple[Array, ...]]:
        """Return the last W − 1 inputs, and the last W of each step, oldest first; masked inputs are skipped."""
        mask, segment, x = self._flip(self.mask), self._flip(self._segment()), self._flip(x)
        end = None if segment is None else segment[-1:].sum(axis=0, dtype=jnp.int32)  # 0 where there is no step
        width, time, rows = recent.shape[-2], x.shape[0], x.shape[1:-1]
        if mask is not None:  # valid steps to the front
            order = jnp.argsort(~mask, axis=0, stable=True)
            x, segment = _take(x, order), None if segment is None else _take(segment, order)
        line = jnp.concatenate([jnp.moveaxis(recent, -2, 0), x.astype(recent.dtype)])
        number = jnp.zeros((time + width, *rows), jnp.int32) if segment is None else _after_zeros(segment, width)
        taps = [line[i : i + time] for i in range(width + 1)]
        valid = jnp.full(rows, time) if mask is None else jnp.sum(mask, axis=0)
        last = valid + jnp.arange(width).reshape(-1, *[1] * len(rows))
        recent = _take(line, last)
        if segment is not None:
            taps = [_where(number[i : i + time] == segment, tap) for i, tap in enumerate(taps)]
            recent = _where(_take(number, last) == end, recent)
        if mask is not None:  # and back to where they were
            place = jnp.maximum(jnp.cumsum(mask, axis=0) - 1, 0)
            taps = [_take(tap, place) for tap in taps]
        return jnp.moveaxis(recent, 0, -2), tuple(self._flip(tap) for tap in taps)

    def count(self, n: Array, x: Array) -> tuple[Array, Array]:
        """Return n after the last step, and before each; masked steps are not counted, a reset starts from 0."""
        happens = jnp.ones(x.shape[: 1 + n.ndim], bool) if self.mask is None else self.mask
        happens, segment = self._flip(happens).astype(n.dtype), self._flip(self._segment())
        total = jnp.cumsum(happens, axis=0, dtype=n.dtype)
        before, after = n + total - happens, n + total[-1]
        if segment is not None:
            base = lax.cummax(jnp.where(self._flip(self.reset), total - happens, 0), axis=0)
            before = jnp.where(segment > 0, total - happens - base, before)
            after = jnp.where(segment[-1] > 0, total[-1] - base[-1], after)
        return after, self._flip(before)

    def running_max(self, m: Array, decay: Array, x: Array) -> tuple[Array, tuple[Array, Array]]:
        """Return m after the last step, and before and after each; m has the mask's batch axes and possibly more."""
        cut = jnp.zeros(x.shape[:1], bool) if self.reset is None else self.reset
        cut = cut.reshape(cut.shape + (1,) * (x.ndim - cut.ndim))
        if self.mask is not None:
            mask = self.mask.reshape(self.mask.shape + (1,) * (x.ndim - self.mask.ndim))
            decay, x = jnp.where(mask, decay, 0), jnp.where(mask, x, -jnp.inf)
        x, cut = jnp.where(cut, jnp.maximum(decay, x), x), jnp.broadcast_to(cut, x.shape)

        def join(first, second):
            (d1, x1, cut1), (d2, x2, cut2) = first, second
            return d1 + d2, jnp.where(cut2, x2, jnp.maximum(d2 + x1, x2)), cut1 | cut2

        decay, x, cut = lax.associative_scan(join, (decay, x, cut), reverse=self.reverse)
        after = jnp.where(cut, x, jnp.maximum(decay + m, x))
        if not len(after):
            return m, (after, after)
        before = jnp.concatenate([after[1:], m[None]] if self.reverse else [m[None], after[:-1]])
        if self.reset is not None:
            before = _where(~self.reset, before)
        return after[0 if self.reverse else -1], (before, after)

    def scan(self, step: Callable, first: PyTree, xs: PyTree) -> tuple[PyTree, Any]:
        """Run `lax.scan` of `step`, with the mask and the resets."""

        def body(first, at_t):
            x, mask, reset = at_t
            if reset is not None:
                first = jax.tree.map(lambda a: _where(~reset, a), first)
            after, output = step(first, x)
            if mask is not None:
                after = jax.tree.map(lambda a, b: _where(mask, a, b), after, first)
            return after, output

        return lax.scan(body, first, (xs, self.mask, self.reset), reverse=self.reverse)

    def _segment(self):
        """Return the number of resets up to each step, in the order of the run."""
        return None if self.reset is None else lax.cumsum(self.reset.astype(jnp.int32), reverse=self.reverse)

    def _flip(self, a):
        return a if a is None or not self.reverse else jnp.flip(a, 0)


Steps = OneStep | AllSteps

ONE_STEP = OneStep()
"""The operations inside `step`."""


def _after_zeros(segment, width):
    return jnp.concatenate([jnp.zeros((width, *segment.shape[1:]), segment.dtype), segment])


def _take(a, index):
    """Return a[index[t, row], row], where `index` covers the leading axes of `a`."""
    return jnp.take_along_axis(a, index.reshape(index.shape + (1,) * (a.ndim - index.ndim)), axis=0)


def _where(condition, a, b=0):
    return jnp.where(condition.reshape(condition.shape + (1,) * (a.ndim - condition.ndim)), a, b)
