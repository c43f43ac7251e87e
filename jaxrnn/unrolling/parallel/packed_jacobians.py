"""The Jacobians ∂h⁽ᵗ⁾/∂h⁽ᵗ⁻¹⁾ of all steps at once, whole or restricted to some entries.

A carry is a tree of arrays.  For each step and row, its floating entries are packed into one or more arrays
`[units, slots]`, and the Jacobian keeps the entries within a unit, `[units, slots, slots]`:

| layout | units | slots | what is kept |
|---|---|---|---|
| "full" | 1 | all entries | everything |
| "blocks" | the features | the arrays of one size | unit i of every array: (h, C) of an LSTM, 2×2 |
| "diagonal" | all entries | 1 | the diagonal |

References: Danieli et al. 2023, §3; Gonzalez et al. 2024, §4.1 (the diagonal).
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array

from jaxrnn.unrolling.parallel.associative import Algebra

LAYOUTS = ("full", "blocks", "diagonal")
"""The parts of a Jacobian that can be kept."""


class Layout(NamedTuple):
    """The packing of arrays `[*leading, *features]` into arrays `[*leading, units, slots]`."""

    kind: str
    """One of LAYOUTS."""
    features: tuple[tuple[int, ...], ...]
    """The shape of each array after its leading axes."""
    dtypes: tuple
    """The dtype of each array; packed arrays have the widest."""

    @property
    def groups(self) -> tuple[tuple[int, ...], ...]:
        """Return which arrays are packed together, by number; "blocks" has one group per size."""
        sizes = [math.prod(shape) for shape in self.features]
        if self.kind != "blocks":
            return (tuple(range(len(sizes))),)
        return tuple(tuple(i for i, size in enumerate(sizes) if size == s) for s in dict.fromkeys(sizes))

    def pack(self, leaves: list[Array]) -> tuple[Array, ...]:
        """Pack arrays into one array `[*leading, units, slots]` per group."""
        flat = [
            leaf.reshape(*leaf.shape[: leaf.ndim - len(shape)], math.prod(shape))
            for leaf, shape in zip(leaves, self.features, strict=True)
        ]
        if self.kind == "blocks":
            return tuple(jnp.stack([flat[i] for i in group], axis=-1) for group in self.groups)
        row = jnp.concatenate(flat, axis=-1)
        return (row[..., None, :] if self.kind == "full" else row[..., None],)

    def unpack(self, packed: tuple[Array, ...]) -> list[Array]:
        """Invert `pack`."""
        flat: list[Array] = [jnp.zeros(())] * len(self.features)
        for group, array in zip(self.groups, packed, strict=True):
            if self.kind == "blocks":
                parts = [array[..., slot] for slot in range(array.shape[-1])]
            else:
                row = lax.collapse(array, -2)
                ends = [sum(math.prod(self.features[i]) for i in group[: n + 1]) for n in range(len(group))]
                parts = jnp.split(row, ends[:-1], axis=-1)
            for i, part in zip(group, parts, strict=True):
                flat[i] = part.reshape(*part.shape[:-1], *self.features[i]).astype(self.dtypes[i])
        return flat


def jacobians(layout: Layout, step: Callable[[list[Array]], list[Array]], before: list[Array]) -> tuple[Array, ...]:
    """Return the kept part of ∂step/∂before, `[*leading, units, slots, slots]` for each group, [to, from].

    `step` must act on every index of the leading axes separately.  It is linearized once, and the linear map is applied
    once for each entry of a carry.
    """
    _, linear = jax.linearize(step, before)
    blank = jax.tree.map(jnp.zeros_like, layout.pack(before))

    def response(group: int, entry: Array) -> Array:
        """Return the response to a unit change of one entry, for every step and row at once."""
        units, slots = blank[group].shape[-2:]
        push = jax.nn.one_hot(entry, units * slots, dtype=blank[group].dtype).reshape(units, slots)
        pushed = (*blank[:group], blank[group] + push, *blank[group + 1 :])
        out = layout.pack(linear(layout.unpack(pushed)))[group]
        return lax.dynamic_index_in_dim(out, entry // slots, axis=-2, keepdims=False)

    def kept(group: int) -> Array:
        units, slots = blank[group].shape[-2:]
        columns = lax.map(lambda entry: response(group, entry), jnp.arange(units * slots))
        columns = columns.reshape(units, slots, *columns.shape[1:])  # [units, from, *leading, to]
        return jnp.moveaxis(columns, (0, 1), (-3, -1))

    return tuple(kept(group) for group in range(len(layout.groups)))


def _apply(a: Array, h: Array) -> Array:
    return a[..., 0] * h if a.shape[-1] == 1 else jnp.sum(a * h[..., None, :], axis=-1)


def _compose(second: Array, first: Array) -> Array:
    if first.shape[-1] == 1:
        return second * first
    if first.shape[-1] <= 4:  # a product of tiny matrices is a call that costs more than its work
        return jnp.sum(second[..., :, :, None] * first[..., None, :, :], axis=-2)
    return second @ first


MATRICES = Algebra(_apply, _compose, lambda a: jnp.swapaxes(a, -1, -2))
"""Matrices `[..., slots, slots]` and vectors `[..., slots]`."""
