"""The fused kernels, interpreted, satisfy the laws of the unroll family; a GPU runs them, all else runs the scan."""

import re
from contextlib import nullcontext
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AbstractDevice, AbstractMesh, use_abstract_mesh

from jaxrnn import GRU, LSTM, Stack, unroll_bptt
from jaxrnn import testing as laws
from jaxrnn.core.programs import equations, trace_program
from jaxrnn.testing import must_agree
from jaxrnn.testing.problem import quick_jit, random_problem, results, run
from jaxrnn.unrolling.fused import eligibility, unroll_fused
from jaxrnn.unrolling.fused.dispatch import unroll_interpreted
from jaxrnn.unrolling.fused.eligibility import blocking_of, fits, gates_of, shared_memory_of
from jaxrnn.unrolling.fused.kernels import Run, Switches, backward, forward
from tests.unrolling.fused import triton_program

CELLS = (LSTM(3, 5), LSTM(3, 5, "previous"), LSTM(3, 5, "current"), GRU(3, 5), GRU(3, 5, "after"))
LSTM_CELL, GRU_CELL = LSTM(3, 5), GRU(3, 5, "after")


def agree(cell, problem, reverse, tolerance=None):
    got, want = (run(cell, problem, unroll=member, reverse=reverse) for member in (unroll_interpreted, unroll_bptt))
    must_agree(cell, f"the kernels = unroll_bptt, values and gradients, reverse={reverse}", got, want, tolerance)


@pytest.mark.parametrize(("cell", "reverse"), [*zip(CELLS, (False, True) * 3, strict=False)], ids=str)
def test_the_kernels_give_the_results_and_the_gradients_of_the_explicit_scan(cell, reverse):
    """Ragged rows with holes, and resets; of the LSTM two batch axes, whose rows make two blocks, one not full."""
    agree(cell, random_problem(cell, batch=(3, 6) if isinstance(cell, LSTM) else (4,)), reverse)


def test_without_mask_reset_and_carry_and_for_one_step():
    problem = random_problem(LSTM_CELL, time=1, batch=())
    agree(LSTM_CELL, problem._replace(carry=None, mask=None, reset=None), reverse=False)


@pytest.mark.parametrize(
    "law",
    [
        laws.law_padding_is_invisible,
        laws.law_length_zero_is_the_identity,
        laws.law_reverse_starts_at_each_row_s_end,
        laws.law_episodes_are_independent,
        laws.law_rows_are_independent,
        laws.law_dtypes,
    ],
    ids=lambda law: law.__name__,
)
def test_a_law_of_the_family_holds(law, without_beartype):
    law(GRU_CELL, unroll=unroll_interpreted)


def test_vmap_is_a_batch_axis_is_a_loop_over_rows():
    laws.law_batch_axes_are_rows(GRU_CELL, unroll=unroll_interpreted)


def test_bfloat16_weights_keep_a_float32_carry_within_their_own_rounding_for_a_thousand_steps():
    problem = random_problem(GRU_CELL, time=1000, batch=(2,), dtype="bfloat16")
    wide = jax.tree.map(lambda a: a.astype(jnp.float64) if a.dtype == jnp.bfloat16 else a, problem)
    compiled = quick_jit(partial(unroll_interpreted, GRU_CELL))
    (carry, ys), (_, want) = (compiled(p.params, p.xs, mask=p.mask, reset=p.reset) for p in (problem, wide))
    assert carry.dtype == ys.dtype == jnp.float32
    np.testing.assert_allclose(ys, want, atol=0.02)


def test_off_the_gpu_it_is_the_explicit_scan_bit_for_bit():
    problem = random_problem(LSTM_CELL, dtype="float32")
    got, want = (run(LSTM_CELL, problem, unroll=member, reverse=True) for member in (unroll_fused, unroll_bptt))
    must_agree(LSTM_CELL, "unroll_fused = unroll_bptt on a CPU", got, want, 0)


def a_gpu():
    """From JAX 0.11 on, a kernel is lowered without a GPU only for one that is named."""
    if jax.__version_info__ < (0, 11):
        return nullcontext()
    device = AbstractDevice("NVIDIA H100 80GB HBM3", None, "gpu")
    return use_abstract_mesh(AbstractMesh((), (), abstract_device=device))


for_a_gpu = pytest.mark.filterwarnings("ignore:The Pallas Triton backend is deprecated:DeprecationWarning")


def lowered(cell, platform, dtype="float32", **given):
    """Lower a run and its gradients for a platform that need not be present; return the program as text."""
    problem = random_problem(cell, dtype=dtype)._replace(**given)
    function = jax.jit(partial(results, cell, unroll=unroll_fused, reverse=True))
    with a_gpu() if platform == "cuda" else nullcontext():
        return function.trace(problem).lower(lowering_platforms=(platform,)).as_text()


def launches(text):
    return re.findall(r'name = "(rnn_\w+)"', text)


@for_a_gpu
@pytest.mark.parametrize("cell", [LSTM(3, 64), GRU(3, 50, "after")], ids=str)
def test_a_gpu_gets_one_kernel_forwards_and_one_backwards_and_no_loop(cell):
    text = lowered(cell, "cuda")
    assert launches(text) == ["rnn_forward", "rnn_backward"]
    assert "stablehlo.while" not in text


@for_a_gpu
@pytest.mark.parametrize(("cell", "reverse"), [(LSTM(3, 5, "current"), False), (GRU(3, 17), True)], ids=str)
def test_the_program_that_a_gpu_gets_op_by_op_is_what_the_interpreter_runs(cell, reverse):
    """Two blocks of rows, the second of one row; nothing is read or written that is not there."""
    kernel = Run(gates_of(cell), blocking_of(cell.hidden_size), reverse, interpret=False)
    steps, batch, count, leaves = 3, 17, kernel.gates.count, 2 if isinstance(cell, LSTM) else 1

    def normal(seed, *shape):
        return np.random.default_rng(seed).normal(size=shape).astype(np.float32) / 2

    n = cell.hidden_size
    weights = normal(0, n, count * n), normal(1, 1, 3 * n) if isinstance(cell, LSTM) else None
    zs, dys = normal(2, steps * batch, count * n), normal(3, steps * batch, n)
    carry, dcarry = normal(4, batch, leaves * n), normal(5, batch, leaves * n)
    switches = Switches(*((normal(seed, steps * batch, 1) < 0.4).astype(np.int8) for seed in (6, 7)))

    def both(run, kernel):
        forwards = run(partial(forward, kernel, record=True), weights, zs, carry, switches)
        backwards = run(partial(backward, kernel), weights, forwards[2], dcarry, dys, switches)
        return forwards, backwards

    with a_gpu():
        got = both(triton_program.run, kernel)
    want = both(lambda function, *arrays: quick_jit(function)(*arrays), kernel._replace(interpret=True))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=2e-6), got, want)


@for_a_gpu
def test_a_gpu_gets_kernels_for_bfloat16_and_without_masks_too():
    text = lowered(LSTM_CELL, "cuda", "bfloat16", carry=None, mask=None, reset=None)
    assert launches(text) == ["rnn_forward", "rnn_backward"]


@for_a_gpu
@pytest.mark.parametrize("cell", [LSTM(3, 65), Stack((LSTM_CELL,))], ids=str)
def test_a_gpu_gets_the_scan_for_what_has_no_kernel_or_does_not_fit(cell):
    text = lowered(cell, "cuda")
    assert not launches(text) and "stablehlo.while" in text


def test_a_gpu_without_pallas_triton_backend_is_told_and_gets_the_scan(monkeypatch):
    monkeypatch.setattr(eligibility, "HAVE_TRITON", False)
    problem = random_problem(LSTM_CELL, dtype="float32")
    assert unroll_fused(LSTM_CELL, problem.params, problem.xs)[1].shape  # silent where there is no GPU anyway
    monkeypatch.setattr(eligibility, "_cuda_devices", lambda: ["a GPU"])
    with pytest.warns(UserWarning, match=r"runs as `unroll_bptt`.*pallas\.triton.*does not have"):
        got = unroll_fused(LSTM_CELL, problem.params, problem.xs)
    must_agree(LSTM_CELL, "it is the scan", got, unroll_bptt(LSTM_CELL, problem.params, problem.xs), 0)


@for_a_gpu
def test_float64_and_other_platforms_get_the_scan():
    for text in (lowered(LSTM_CELL, "cuda", "float64"), lowered(LSTM_CELL, "cpu"), lowered(LSTM_CELL, "tpu")):
        assert not launches(text) and "stablehlo.while" in text


def test_no_weight_is_read_in_the_loop_of_a_kernel():
    cell = LSTM(3, 20)  # weights of 32 × 32 after padding, and blocks of 16 × 32
    program = trace_program(partial(results, cell, unroll=unroll_interpreted, reverse=False), random_problem(cell))
    kernels = [eqn.params["jaxpr"] for eqn in equations(program) if eqn.primitive.name == "pallas_call"]
    assert len(kernels) == 2
    for kernel in kernels:
        (loop,) = (eqn for eqn in equations(kernel) if eqn.primitive.name == "scan")
        assert read(kernel).count((32, 32)) == 4  # a gate each
        assert (32, 32) not in read(loop.params["jaxpr"])


def read(program):
    return [eqn.outvars[0].aval.shape for eqn in equations(program) if eqn.primitive.name == "masked_load"]


@pytest.mark.parametrize(
    ("capability", "cells"),
    [
        ("7.5", {}),
        ("8.9", {"lstm float32": 64, "lstm bfloat16": 64, "gru float32": 64, "gru bfloat16": 64}),
        ("8.0", {"lstm float32": 64, "lstm bfloat16": 128, "gru float32": 64, "gru bfloat16": 128}),
        ("9.0", {"lstm float32": 64, "lstm bfloat16": 128, "gru float32": 128, "gru bfloat16": 128}),
    ],
)
def test_the_table_of_the_largest_sizes_is_what_the_rule_says(capability, cells):
    shared = shared_memory_of(capability)
    for name, kind in {"lstm": LSTM, "gru": GRU}.items():
        for dtype in ("float32", "bfloat16"):
            sizes = [n for n in (32, 64, 128, 256) if fits(kind(3, n), jnp.dtype(dtype), shared)]
            largest = max(sizes, default=None)
            assert largest == cells.get(f"{name} {dtype}")


def test_a_wrong_argument_is_named(without_beartype):
    laws.law_wrong_arguments_are_named(LSTM_CELL, unroll=unroll_fused)
