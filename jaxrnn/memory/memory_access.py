"""One step of a Neural Turing machine's memory, forward and backward.

    w⁽ᵗ⁾ = each head's weighting, from M⁽ᵗ⁻¹⁾ and w⁽ᵗ⁻¹⁾             `jaxrnn.memory.addressing`
    r⁽ᵗ⁾ = Σᵢ w⁽ᵗ⁾(i) M⁽ᵗ⁻¹⁾(i)                                      of each read head
    M⁽ᵗ⁾ = M⁽ᵗ⁻¹⁾ ∏ₕ (1 − wₕ eₕ) + Σₕ wₕ aₕ                          of the write heads

The backward pass, with G = ∂L/∂M⁽ᵗ⁾, q = ∂L/∂K / |M(i)| and K = k·M(i) / |k||M(i)|:

    ∂L/∂e = −Σᵢ w(i) G(i) ⊙ M(i),     ∂L/∂a = Σᵢ w(i) G(i),     ∂L/∂w(i) = G(i)·a − (G(i) ⊙ M(i))·e
    ∂L/∂w̃ = γ g / w̃,                  ∂L/∂γ = Σᵢ g(i) log w̃(i),     g of the logarithm γ log w̃
    ∂L/∂wᵍ = ∂L/∂w̃ rotated in the opposite direction
    ∂L/∂k = (Σᵢ q(i) M(i) − k/|k| Σᵢ ∂L/∂K(i) K(i)) / |k|
    ∂L/∂M(i) = G(i) ⊙ ∏ₕ (1 − wₕ(i) eₕ) + Σ w(i) ∂L/∂r + Σ q(i) k/|k| − M(i) Σ ∂L/∂K(i) K(i) / |M(i)|²

Small factors that are broadcast over the whole memory stand behind an optimization barrier; otherwise XLA fuses them
and computes them again for every entry of the memory.

References: Graves, Wayne & Danihelka 2014, §3; chapter 八.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array

from jaxrnn.memory.addressing import (
    EPSILON,
    by_similarity,
    interpolate,
    read,
    rotate,
    rotations,
    sharpen,
    similarity,
    unseen,
    write,
)


class Controls(NamedTuple):
    """The controls that the controller gives the heads at one step."""

    key: Array
    """k: `[*batch, heads, width]`."""
    strength: Array
    """β ≥ 0: `[*batch, heads]`."""
    gate: Array
    """g in [0, 1]: `[*batch, heads]`."""
    shift: Array
    """s, a distribution: `[*batch, heads, 2·reach + 1]`."""
    sharpness: Array
    """γ ≥ 1: `[*batch, heads]`."""
    erase: Array
    """e in [0, 1]: `[*batch, write_heads, width]`."""
    add: Array
    """a: `[*batch, write_heads, width]`."""


class Residual(NamedTuple):
    """The residual of one access for the backward pass; weightings are `[*batch, heads, slots]`."""

    memory: Array
    """M⁽ᵗ⁻¹⁾: `[*batch, width, slots]`."""
    similar: Array
    """K[k, M(i)]."""
    content: Array
    """wᶜ."""
    before: Array
    """w⁽ᵗ⁻¹⁾."""
    moved: Array
    """w̃."""
    after: Array
    """w⁽ᵗ⁾."""


def access(c: Controls, memory: Array, address: Array) -> tuple[tuple[Array, Array, Array], Residual]:
    """Return (M⁽ᵗ⁾, log w⁽ᵗ⁾ up to a constant, r⁽ᵗ⁾ `[*batch, read_heads, width]`) and the residual."""
    similar = similarity(c.key, memory)
    content, before = by_similarity(c.strength, similar), jax.nn.softmax(address, axis=-1)
    moved = rotate(interpolate(c.gate, content, before), c.shift)
    address = sharpen(moved, c.sharpness)
    after = jax.nn.softmax(address, axis=-1)
    reading, writing = jnp.split(after, [_read_heads(c)], axis=-2)
    out = write(writing, c.erase, c.add, memory), address, read(reading, memory)
    return out, Residual(memory, similar, content, before, moved, after)


def access_bwd(
    c: Controls, accessed: Residual, dmemory: Array, daddress: Array, dreads: Array
) -> tuple[Controls, Array, Array]:
    """Return the cotangents of the controls, of M⁽ᵗ⁻¹⁾ and of log w⁽ᵗ⁻¹⁾."""
    memory, after = lax.optimization_barrier((accessed.memory, accessed.after))
    reading, writing = jnp.split(after, [_read_heads(c)], axis=-2)
    dwriting, derase, dadd, through = _write_back(writing, c.erase, c.add, memory, dmemory)
    dafter = jnp.concatenate([_over_width(memory, dreads), dwriting], axis=-2)
    dmoved, dsharpness = _sharpen_back(accessed, c.sharpness, daddress + _softmax_back(after, dafter))
    dweighting, dshift = _rotate_back(accessed, c, dmoved)
    dgate = jnp.sum(dweighting * (accessed.content - accessed.before), axis=-1)
    dcontent = c.gate[..., None] * dweighting
    daddress = _softmax_back(accessed.before, dweighting - dcontent)
    dscores = lax.optimization_barrier(_softmax_back(accessed.content, dcontent))
    dstrength = jnp.sum(dscores * accessed.similar, axis=-1)
    dkey, q, direction, shrink = _similarity_back(c, accessed, memory, dscores)
    weights = jnp.concatenate([reading, q], axis=-2)
    vectors = jnp.concatenate([dreads, direction], axis=-2)
    sums = lax.optimization_barrier(jnp.einsum("...hm,...hn->...mn", vectors, weights))
    dmemory = through - memory * shrink[..., None, :] + sums
    return Controls(dkey, dstrength, dgate, dshift, dsharpness, derase, dadd), dmemory, daddress


def _read_heads(c: Controls) -> int:
    return c.key.shape[-2] - c.erase.shape[-2]


def _over_width(memory: Array, vectors: Array) -> Array:
    """Return M(i) · v for each head, `[*batch, heads, slots]`; one product per head is fastest for few heads."""
    return jnp.stack([jnp.einsum("...mn,...m->...n", memory, v) for v in _each(vectors)], axis=-2)


def _over_slots(memory: Array, weightings: Array) -> Array:
    """Return Σᵢ w(i) M(i) for each head, `[*batch, heads, width]`."""
    return jnp.stack([jnp.einsum("...mn,...n->...m", memory, w) for w in _each(weightings)], axis=-2)


def _each(heads: Array) -> list[Array]:
    return [heads[..., h, :] for h in range(heads.shape[-2])]


def _softmax_back(w: Array, dw: Array) -> Array:
    """Return the cotangent of the logits of w = softmax(logits)."""
    return w * (dw - jnp.sum(w * dw, axis=-1, keepdims=True))


def _write_back(writing: Array, erase: Array, add: Array, memory: Array, dmemory: Array):
    """Return the cotangents of the weightings, of e and of a, and the part of `dmemory` that reaches M⁽ᵗ⁻¹⁾."""
    dwriting, dadd = _over_width(dmemory, add), _over_slots(dmemory, writing)
    pairs = lax.optimization_barrier(list(zip(_each(writing), _each(erase), strict=True)))
    kept = [1 - e[..., :, None] * w[..., None, :] for w, e in pairs]
    erased = [memory]  # before each of the heads
    for factor in kept[:-1]:
        erased.append(erased[-1] * factor)
    dws, des = [], []
    for (w, e), factor, seen in reversed(list(zip(pairs, kept, erased, strict=True))):
        both = lax.optimization_barrier(dmemory * seen)
        dws.insert(0, jnp.einsum("...mn,...m->...n", both, e))
        des.insert(0, jnp.einsum("...mn,...n->...m", both, w))
        dmemory = dmemory * factor
    return dwriting - jnp.stack(dws, axis=-2), -jnp.stack(des, axis=-2), dadd, dmemory


def _sharpen_back(accessed: Residual, sharpness: Array, dlog: Array) -> tuple[Array, Array]:
    """Return the cotangents of w̃ and of γ."""
    dlog, least = lax.optimization_barrier(dlog), unseen(dlog.dtype)
    seen = jnp.maximum(accessed.moved, least)
    dmoved = jnp.where(accessed.moved > least, sharpness[..., None] * dlog / seen, 0)
    return dmoved, jnp.sum(dlog * jnp.log(seen), axis=-1)


def _rotate_back(accessed: Residual, c: Controls, dmoved: Array) -> tuple[Array, Array]:
    """Return the cotangents of wᵍ and of s."""
    weighting = interpolate(c.gate, accessed.content, accessed.before)
    shifted = rotations(weighting, c.shift.shape[-1])
    dshift = jnp.stack([jnp.sum(w * dmoved, axis=-1) for w in shifted], axis=-1)
    return lax.optimization_barrier(rotate(dmoved, c.shift[..., ::-1])), dshift


def _similarity_back(c: Controls, accessed: Residual, memory: Array, dscores: Array):
    """Return the cotangent of k, then q, k/|k|, and the factor of M(i) that comes from its norm."""
    key_scale = lax.rsqrt(jnp.sum(c.key**2, axis=-1, keepdims=True) + EPSILON)
    slot_scale = lax.rsqrt(jnp.sum(memory**2, axis=-2)[..., None, :] + EPSILON)
    dsimilar = dscores * c.strength[..., None]
    q = lax.optimization_barrier(dsimilar * slot_scale)
    direction, along = c.key * key_scale, dsimilar * accessed.similar
    dkey = key_scale * (_over_slots(memory, q) - direction * jnp.sum(along, axis=-1, keepdims=True))
    shrink = lax.optimization_barrier(jnp.sum(along, axis=-2) * slot_scale[..., 0, :] ** 2)
    return dkey, q, direction, shrink
