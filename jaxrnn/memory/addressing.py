"""Addressing, reading and writing the memory of a Neural Turing machine.

The memory is a matrix M of N slots.  A weighting w, with w(i) ≥ 0 and Σᵢ w(i) = 1, says how strongly a head attends
to each slot.  Gradients cannot learn integer addresses, so a head reads and writes every slot in proportion to w:

    wᶜ(i) = softmaxᵢ(β K[k, M(i)]),   K[u, v] = u·v / √((|u|² + ε)(|v|² + ε))        by content, eqs 5, 6
    wᵍ    = g wᶜ + (1 − g) w⁽ᵗ⁻¹⁾                                                   interpolation, eq 7
    w̃(i)  = Σⱼ wᵍ(i − j mod N) s(j),   j = −R, …, R                                 circular shift, eq 8
    w(i)  = w̃(i)^γ / Σⱼ w̃(j)^γ                                                      sharpening, eq 9
    r     = Σᵢ w(i) M(i)                                                            reading, eq 2
    M(i) ← M(i) ∏ₕ (1 − wₕ(i) eₕ) + Σₕ wₕ(i) aₕ                                      erase and add, eqs 3, 4

All functions take any number of batch axes.  The heads of one machine share a memory, so they are an axis: k is
`[*batch, heads, width]` and w is `[*batch, heads, slots]`.  M is `[*batch, width, slots]`, one slot per column, because
there are many slots and each is short.

Two deviations from the paper keep every gradient finite.  K has ε = 10⁻¹² under its roots, so a key or a slot of zeros
has similarity 0 to everything.  `sharpen` returns the *logarithm* of the weighting, γ log w̃ up to a constant, and w is
its softmax: w̃^γ itself can underflow in all slots at once, which turns eq 9 into 0/0.

K → `similarity`, k, β → `key`, `strength`; g → `gate`; s → `shift`; γ → `sharpness`; e, a → `erase`, `add`.

References: Graves, Wayne & Danihelka 2014, §3.1 to §3.3; chapter 八; Goodfellow et al. 2016, §10.12.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

EPSILON = 1e-12
"""The ε under the roots of K."""


def similarity(
    key: Float[Array, "*batch heads width"], memory: Float[Array, "*batch width slots"]
) -> Float[Array, "*batch heads slots"]:
    """Return K[k, M(i)], the cosine of the angle between each key and each slot; 0 for a key or a slot of zeros.

    >>> similarity(jnp.array([[3.0, 0.0]]), jnp.array([[2.0, 0.0, -1.0, 0.0], [0.0, 1.0, 0.0, 0.0]])).round(3)
    Array([[ 1.,  0., -1.,  0.]], dtype=float32)

    References: Graves et al. 2014, eq 6.
    """
    products = jnp.einsum("...hm,...mn->...hn", key, memory)
    key_size = jnp.sum(key**2, axis=-1)[..., :, None] + EPSILON
    slot_size = jnp.sum(memory**2, axis=-2)[..., None, :] + EPSILON
    return products * jax.lax.rsqrt(key_size) * jax.lax.rsqrt(slot_size)


def by_content(
    key: Float[Array, "*batch heads width"],
    strength: Float[Array, "*batch heads"],
    memory: Float[Array, "*batch width slots"],
) -> Float[Array, "*batch heads slots"]:
    """Return wᶜ = softmax(β K[k, M(i)]): uniform for β = 0, one-hot at the most similar slot for β → ∞.

    >>> memory = jnp.eye(3)
    >>> by_content(memory[1:2], jnp.array([50.0]), memory).round(3)
    Array([[0., 1., 0.]], dtype=float32)

    References: Graves et al. 2014, eq 5.
    """
    return by_similarity(strength, similarity(key, memory))


def by_similarity(
    strength: Float[Array, "*batch heads"], similar: Float[Array, "*batch heads slots"]
) -> Float[Array, "*batch heads slots"]:
    """Return softmax(β K) for a K that is already computed."""
    return jax.nn.softmax(strength[..., None] * similar, axis=-1)


def interpolate(
    gate: Float[Array, "*batch heads"],
    content: Float[Array, "*batch heads slots"],
    before: Float[Array, "*batch heads slots"],
) -> Float[Array, "*batch heads slots"]:
    """Return wᵍ = g wᶜ + (1 − g) w⁽ᵗ⁻¹⁾: g = 0 keeps the previous weighting, g = 1 discards it.

    >>> interpolate(jnp.array([0.25]), jnp.array([[1.0, 0.0]]), jnp.array([[0.0, 1.0]]))
    Array([[0.25, 0.75]], dtype=float32)

    References: Graves et al. 2014, eq 7.
    """
    gate = gate[..., None]
    return gate * content + (1 - gate) * before


def rotate(
    weighting: Float[Array, "*batch heads slots"], shift: Float[Array, "*batch heads offsets"]
) -> Float[Array, "*batch heads slots"]:
    """Return the circular convolution w̃(i) = Σⱼ w(i − j mod N) s(j).

    `shift` holds s(−R), …, s(R): an odd number of offsets, at most as many as there are slots.

    Raises:
      ValueError: an even number of offsets, or more offsets than slots.

    >>> rotate(jnp.array([[0.0, 0.0, 1.0]]), jnp.array([[0.0, 0.0, 1.0]]))  # one on, and around the end
    Array([[1., 0., 0.]], dtype=float32)

    References: Graves et al. 2014, eq 8.
    """
    slots, offsets = weighting.shape[-1], shift.shape[-1]
    if offsets % 2 == 0 or offsets > slots:
        raise ValueError(
            f"`shift` must have an odd number of offsets, at most slots={slots}, got {offsets}: "
            "a wider shift would reach the same slot twice."
        )
    moved = jnp.zeros_like(weighting)
    for k, rotated in enumerate(rotations(weighting, offsets)):
        moved = moved + shift[..., k : k + 1] * rotated
    return moved


def rotations(weighting: Float[Array, "*batch heads slots"], offsets: int) -> list[Float[Array, "*batch heads slots"]]:
    """Return w(i − j mod N) for each offset j = −R, …, R.

    >>> [w.tolist() for w in rotations(jnp.array([[1.0, 2.0, 3.0]]), 3)]
    [[[2.0, 3.0, 1.0]], [[1.0, 2.0, 3.0]], [[3.0, 1.0, 2.0]]]
    """
    slots, reach = weighting.shape[-1], offsets // 2
    around = jnp.concatenate([weighting[..., slots - reach :], weighting, weighting[..., :reach]], axis=-1)
    return [around[..., start : start + slots] for start in range(2 * reach, -1, -1)]  # around[i + R − j] is w(i − j)


def sharpen(
    weighting: Float[Array, "*batch heads slots"], sharpness: Float[Array, "*batch heads"]
) -> Float[Array, "*batch heads slots"]:
    """Return γ log w̃, whose softmax is w = w̃^γ / Σ w̃^γ: γ = 1 changes nothing, γ → ∞ keeps only the largest weight.

    >>> sharpened = jax.nn.softmax(sharpen(jnp.array([[0.25, 0.75]]), jnp.array([2.0])))
    >>> bool(jnp.allclose(sharpened, jnp.array([0.1, 0.9]), atol=1e-6))  # 1 : 3 becomes 1 : 9
    True

    References: Graves et al. 2014, eq 9.
    """
    return sharpness[..., None] * jnp.log(jnp.maximum(weighting, unseen(weighting.dtype)))


def unseen(dtype) -> float:
    """Return the least weight that is distinguished from 0: its reciprocal, squared, does not overflow.

    >>> unseen(jnp.float32) < 1e-18
    True
    """
    return float(jnp.finfo(dtype).tiny) ** 0.5


def read(
    weighting: Float[Array, "*batch heads slots"], memory: Float[Array, "*batch width slots"]
) -> Float[Array, "*batch heads width"]:
    """Return what the heads read, r = Σᵢ w(i) M(i).

    >>> read(jnp.array([[0.75, 0.25]]), jnp.array([[4.0, 0.0], [0.0, 4.0], [4.0, 4.0]]))
    Array([[3., 1., 4.]], dtype=float32)

    References: Graves et al. 2014, eq 2.
    """
    return jnp.einsum("...hn,...mn->...hm", weighting, memory)


def write(
    weighting: Float[Array, "*batch heads slots"],
    erase: Float[Array, "*batch heads width"],
    add: Float[Array, "*batch heads width"],
    memory: Float[Array, "*batch width slots"],
) -> Float[Array, "*batch width slots"]:
    """Return the memory after erasing and adding, M(i) ∏ₕ (1 − wₕ(i) eₕ) + Σₕ wₕ(i) aₕ.

    All heads erase before any adds, so the order of the heads does not matter.

    >>> write(jnp.array([[0.0, 1.0]]), jnp.ones((1, 2)), jnp.array([[5.0, 6.0]]), jnp.ones((2, 2)))
    Array([[1., 5.],
           [1., 6.]], dtype=float32)

    References: Graves et al. 2014, eqs 3 and 4.
    """
    for h in range(weighting.shape[-2]):
        memory = memory * (1 - erase[..., h, :, None] * weighting[..., h, None, :])
    for h in range(weighting.shape[-2]):
        memory = memory + add[..., h, :, None] * weighting[..., h, None, :]
    return memory
