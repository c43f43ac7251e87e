"""The backward rule of one step of attention.

With c = Σ_j α_j v_j, α = softmax(e), and ∇c, ∇α from later steps,

    ∇v_j = α_j ∇c,      ∇α_j ← ∇α_j + v_jᵀ ∇c,      ∇e_j = α_j (∇α_j − Σ_i α_i ∇α_i)

and through the scores

    additive, location    t_j = tanh(q + k_j + shift_j),   δ_j = ∇e_j w ⊙ (1 − t_j²)
                          ∇w = Σ_j ∇e_j t_j,   ∇k_j = ∇shift_j = δ_j,   ∇q = Σ_j δ_j
    dot, general, scaled  ∇q = Σ_j ∇e_j k_j,   ∇k_j = ∇e_j q;   scaled: q / √size instead of q

A step records q and α, one number per position.  t, one number per position and unit, is recomputed, which costs less
than storing it; e is not needed.

References: chapter 4.1, item 5, and 2.2.2; Bahdanau, Cho & Bengio 2015, §3.1.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxrnn.core.precision import in_rank
from jaxrnn.seq2seq.attention import Attention, Memory, Reading, ScoreParams
from jaxrnn.seq2seq.scores import location_shift


class Compared(NamedTuple):
    """The residual of a step, without the memory."""

    q: Float[Array, "*batch units"]
    """The projected query."""
    weights: Float[Array, "*batch heads source"]
    """α."""
    before: Float[Array, "*batch heads source"] | None
    """α⁻ of the previous step, if the score reads it."""
    coverage: Float[Array, "*batch heads source"] | None
    """Σ α of the previous steps, with coverage."""


class ComparedGradients(NamedTuple):
    """The gradients of the arguments of `Attention.compare`."""

    score: ScoreParams
    """One gradient per row."""
    q: Float[Array, "*batch units"]
    keys: Float[Array, "*batch heads source size"]
    values: Float[Array, "*batch heads source value"]
    before: Float[Array, "*batch heads source"]
    coverage: Float[Array, "*batch heads source"] | None


def compared(attention: Attention, q: Array, before: Reading, after: Reading) -> Compared:
    """Return the residual of one step, without the previous weights if the score does not read them."""
    return Compared(q, after.weights, before.weights if attention.score == "location" else None, before.coverage)


def compare_bwd(
    attention: Attention, params: ScoreParams, saved: Compared, memory: Memory, dreading: Reading
) -> ComparedGradients:
    """Map the gradients of the results of `Attention.compare` to those of its arguments.

    Args:
      attention: the attention.
      params: its parameters.
      saved: the residual that `compared` returns.
      memory: the keys, values and mask, as for `compare`.
      dreading: ∇c, ∇α and ∇ of the coverage.
    """
    alpha = saved.weights
    dcontext = dreading.context.reshape(*alpha.shape[:-1], memory.values.shape[-1])
    dalpha = dreading.weights + jnp.matmul(memory.values, dcontext[..., None])[..., 0]
    dalpha = dalpha if dreading.coverage is None else dalpha + dreading.coverage
    de = alpha * (dalpha - jnp.sum(alpha * dalpha, axis=-1, keepdims=True))
    dscore, dq, dkeys, before = _score_bwd(attention, params, saved, memory.keys, de)
    coverage = dreading.coverage
    if params.coverage is not None and saved.coverage is not None and coverage is not None:
        coverage = coverage + in_rank(params.coverage[..., None], de) * de
        dscore = dscore._replace(coverage=jnp.sum(saved.coverage * de, axis=-1))
    dvalues = alpha[..., None] * dcontext[..., None, :]
    return ComparedGradients(dscore, dq.reshape(saved.q.shape), dkeys, dvalues, before, coverage)


def _score_bwd(attention: Attention, params: ScoreParams, saved: Compared, keys: Array, de: Array):
    """Map ∇e to the gradients of the parameters of the score, of q, of the keys and of α⁻."""
    q, before = saved.q.reshape(*de.shape[:-1], keys.shape[-1]), jnp.zeros_like(de)
    if params.v is None:
        de = de / math.sqrt(q.shape[-1]) if attention.score == "scaled" else de
        return ScoreParams(), _sum(de, keys), de[..., None] * q[..., None, :], before
    a = q[..., None, :] + keys
    if params.location is None or saved.before is None:
        dv, dq, delta = _through_tanh(params.v, a, de)
        return ScoreParams(v=dv), dq, delta, before
    rows = jnp.broadcast_to(params.location.astype(a.dtype), (*saved.q.shape[:-1], *params.location.shape))
    shift, shift_vjp = jax.vjp(location_shift, saved.before, rows)
    dv, dq, delta = _through_tanh(params.v, a + shift, de)
    before, dlocation = shift_vjp(delta)
    return ScoreParams(v=dv, location=dlocation), dq, delta, before


def _through_tanh(v: Array, a: Array, de: Array) -> tuple[Array, Array, Array]:
    """Return ∇w, ∇q and δ."""
    v, t = in_rank(v, de), jnp.tanh(a)
    slope = 1 - t**2
    return _sum(de, t), v * _sum(de, slope), de[..., None] * (v[..., None, :] * slope)


def _sum(weights: Array, rows: Array) -> Array:
    """Return Σ_j weights_j rows_j."""
    return jnp.matmul(weights[..., None, :], rows)[..., 0, :]
