"""Law 2: a window as long as the sequence is full BPTT; nothing crosses a cut."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from jaxrnn import unroll, unroll_truncated
from jaxrnn.testing import law_length_zero_is_the_identity, law_members_agree, must_agree, random_problem, run
from jaxrnn.testing.problem import quick_jit
from jaxrnn.unrolling import TruncatedBPTT
from tests.laws.cells import CELLS, LIBRARY, core_cell

GRU = LIBRARY["gru_reset_before"]
FULL = partial(unroll_truncated, k1=4, k2=100)
CUT = partial(unroll_truncated, k1=2, k2=3)


@core_cell
def test_a_window_of_the_whole_sequence_is_full_bptt(cell):
    law_members_agree(cell, unroll=FULL)


def test_length_zero_and_no_time_are_the_identity():
    law_length_zero_is_the_identity(GRU, unroll=FULL)


def windows_one_by_one(cell, params, xs, carry, *, mask, reset, reverse, k1=2, k2=3):
    """Run the definition forwards: each chunk from a constant h at the beginning of its window."""
    assert not reverse
    ys, end = [], carry
    for stop in range(k1, mask.shape[0] + 1, k1):
        begin = max(0, stop - k2)
        start = carry
        if begin:
            start, _ = unroll(cell, params, xs[:begin], carry, mask=mask[:begin], reset=reset[:begin])
            start = lax.stop_gradient(start)
        window = slice(begin, stop)
        end, out = unroll(cell, params, xs[window], start, mask=mask[window], reset=reset[window])
        ys.append(out[-k1:])
    return end, jnp.concatenate(ys)


@pytest.mark.parametrize("name", ["own", "lstm"])
def test_the_gradient_is_that_of_the_windows_one_by_one(name):
    cell = CELLS[name]
    p = random_problem(cell)
    got, want = (run(cell, p, unroll=member, reverse=False) for member in (CUT, windows_one_by_one))
    must_agree(cell, "BPTT(2, 3) = its definition", got, want)


@pytest.mark.parametrize("reverse", [False, True])
def test_the_gradient_across_a_cut_is_exactly_zero(reverse):
    p = random_problem(GRU, mask=jnp.ones((6, 4), bool), reset=jnp.zeros((6, 4), bool))
    order = slice(None, None, -1 if reverse else 1)
    one = p._replace(dys=jnp.zeros_like(p.dys).at[order].set(p.dys * (jnp.arange(6) == 3)[:, None, None]))
    got = run(GRU, one._replace(dcarry=jnp.zeros_like(p.dcarry)), unroll=CUT, reverse=reverse)
    seen = np.asarray((got.dxs != 0).any(axis=(1, 2)))[order]
    assert seen.tolist() == [False, True, True, True, False, False]
    assert not got.dcarry.any()
    np.testing.assert_allclose(got.ys, run(GRU, p, unroll=unroll, reverse=reverse).ys, atol=1e-12)


@pytest.mark.parametrize(("k1", "k2"), [(2, 3), (2, 100)])
def test_a_stream_gives_the_values_and_the_summed_gradient_of_the_whole(k1, k2):
    cell = CELLS["own"]
    p, stream = random_problem(cell), TruncatedBPTT(cell, k1, k2)

    @quick_jit
    def chunk_gradient(params, state, at):
        def loss(params):
            after, ys = stream.step(params, state, at.xs, mask=at.mask, reset=at.reset)
            return (ys * at.dys).sum(), (after, ys)

        return jax.grad(loss, has_aux=True)(params)

    @quick_jit
    def whole_gradient(params):
        member = partial(unroll_truncated, k1=k1, k2=k2)
        return jax.grad(lambda q: (member(cell, q, p.xs, mask=p.mask, reset=p.reset)[1] * p.dys).sum())(params)

    state, total, outputs = stream.init(p.params, p.xs[:k1]), jax.tree.map(jnp.zeros_like, p.params), []
    for t in range(0, 6, k1):
        at = p._replace(**{name: getattr(p, name)[t : t + k1] for name in ("xs", "mask", "reset", "dys")})
        gradient, (state, ys) = chunk_gradient(p.params, state, at)
        total = jax.tree.map(jnp.add, total, gradient)
        outputs.append(ys)
    _, want = unroll(cell, p.params, p.xs, mask=p.mask, reset=p.reset)
    must_agree(cell, "a stream's outputs = those of the whole", jnp.concatenate(outputs), want)
    must_agree(cell, "a stream's gradients add up to those of the whole", total, whole_gradient(p.params))


def test_bad_cuts_are_named(without_beartype):
    p = random_problem(GRU)
    with pytest.raises(ValueError, match=r"`k2` must be at least k1=3, got 2"):
        unroll_truncated(GRU, p.params, p.xs, k1=3, k2=2)
    with pytest.raises(ValueError, match=r"`k1` must be an integer of at least 1, got 0"):
        TruncatedBPTT(GRU, 0, 2)
    stream = TruncatedBPTT(GRU, 2, 2)
    with pytest.raises(ValueError, match=r"`xs` must hold k1=2 steps, got 6"):
        stream.step(p.params, stream.init(p.params, p.xs), p.xs)
