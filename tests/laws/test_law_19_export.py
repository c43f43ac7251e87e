"""Law 19: a program exported for any batch and length equals the run, also where jaxrnn is not installed."""

import json
import os
import pickle
import subprocess
import sys
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export

from jaxrnn import (
    LSTM,
    unroll,
    unroll_associative,
    unroll_bptt,
    unroll_checkpointed,
    unroll_layers,
    unroll_newton,
    unroll_python,
    unroll_truncated,
)
from jaxrnn.machines import plain, plain_function
from jaxrnn.testing.problem import Problem, random_problem, run
from jaxrnn.unrolling import bptt_python
from jaxrnn.unrolling.fused import unroll_fused
from jaxrnn.unrolling.parallel import Newton, unroll_chunkwise
from tests.laws.cells import CELLS
from tests.quick_compilation import FLAGS

pytestmark = pytest.mark.usefixtures("without_beartype")  # symbolic sizes are no integers

ROOT = Path(__file__).parent.parent.parent
CASES = {name: (cell, unroll_bptt, False) for name, cell in CELLS.items()} | {
    "unroll": (CELLS["own"], unroll, True),
    "unroll_fused": (CELLS["gru_reset_before"], unroll_fused, True),
    "unroll_checkpointed": (CELLS["own"], partial(unroll_checkpointed, memory="log"), True),
    "unroll_truncated": (CELLS["gru_reset_before"], partial(unroll_truncated, k1=2, k2=4), True),
    "unroll_layers": (CELLS["stack"], unroll_layers, True),
    "unroll_associative": (CELLS["min_gru"], unroll_associative, True),
    "unroll_chunkwise": (CELLS["gated_delta"], partial(unroll_chunkwise, chunk=4), True),
    "unroll_newton": (CELLS["own"], unroll_newton, True),
    "unroll_newton, in parallel": (
        CELLS["elman_tanh"],
        partial(unroll_newton, solver=Newton(gradient="associative")),
        True,
    ),
}

PARTS = 4
"""Tests that share the cases between them, so that two workers do half of them each."""


def symbolic(p: Problem) -> tuple:
    """Return the shapes of the arguments of a run, for any time and batch."""
    time, batch = export.symbolic_shape("time, batch")

    def of(*leading):
        def shape(a):
            return jax.ShapeDtypeStruct((*leading, *a.shape[len(leading) :]), a.dtype)

        return shape

    whole, rows, steps = (partial(jax.tree.map, of(*leading)) for leading in ((), (batch,), (time, batch)))
    return whole(p.params), steps(p.xs), rows(p.carry), steps(p.mask), steps(p.reset)


def exported(cell, member, reverse: bool, p: Problem) -> export.Exported:
    """Export a run between plain trees, with parameters, carry, mask and reset as arguments."""

    def one_run(params, xs, carry, mask, reset):
        return member(cell, params, xs, carry, mask=mask, reset=reset, reverse=reverse)

    shapes = symbolic(p)
    return export.export(jax.jit(plain_function(one_run, *shapes)))(*map(plain, shapes))


def write(path: Path, cell, member, reverse: bool) -> None:
    """Write a program, its arguments, and the results of a run for the other process."""
    p = random_problem(cell)
    carry, ys, *gradients = run(cell, p, unroll=member, reverse=reverse)
    case = {
        "program": bytes(exported(cell, member, reverse, p).serialize(vjp_order=1)),
        "arguments": tuple(map(plain, p[:5])),
        "cotangents": plain((p.dcarry, p.dys)),
        "wanted": plain(((carry, ys), tuple(gradients))),
    }
    path.write_bytes(pickle.dumps(jax.tree.map(lambda a: np.asarray(a) if isinstance(a, jax.Array) else a, case)))


@pytest.mark.process
@pytest.mark.parametrize("part", range(PARTS))
def test_a_program_for_any_batch_and_length_loaded_without_jaxrnn_is_the_run(tmp_path, part):
    names = list(CASES)[part::PARTS]
    for name in names:
        write(tmp_path / f"{name}.case", *CASES[name])
    command = [sys.executable, str(ROOT / "tests/laws/load_exported.py"), str(tmp_path)]
    environment = os.environ | {"XLA_FLAGS": FLAGS, "PYTHONPATH": ""}
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=1500)
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout)
    assert found["modules"] == []
    assert sorted(found["differences"]) == sorted(names)
    assert not {name: d for name, d in found["differences"].items() if not d < 1e-9}


def test_one_program_takes_every_length_and_batch():
    cell = LSTM(3, 5)
    program = exported(cell, unroll, False, random_problem(cell))
    for time, batch in ((1, 1), (9, 2)):
        p = random_problem(cell, time=time, batch=(batch,))
        want = plain(unroll(cell, p.params, p.xs, p.carry, mask=p.mask, reset=p.reset))
        got = program.call(*map(plain, p[:5]))
        assert jax.tree.all(jax.tree.map(partial(jnp.allclose, atol=1e-12), got, want))


def test_records_cross_into_a_program_under_their_public_names():
    cell = LSTM(3, 5)
    p = random_problem(cell)
    shapes = symbolic(p)
    one_run = jax.jit(lambda params, xs, carry: unroll_bptt(cell, params, xs, carry))
    program = export.deserialize(export.export(one_run)(*shapes[:3]).serialize())
    carry, _ = program.call(p.params, p.xs, p.carry)
    assert type(carry) is type(p.carry)


def test_a_loop_in_python_says_that_its_number_of_steps_must_be_known():
    cell = LSTM(3, 5)
    p = random_problem(cell)
    with pytest.raises(ValueError, match="`unroll_python` loops over the steps in Python"):
        exported(cell, unroll_python, False, p)
    with pytest.raises(ValueError, match="`bptt_python` loops over the steps in Python"):
        params, xs, carry, *_ = symbolic(p)
        dys = jax.ShapeDtypeStruct((*xs.shape[:2], 5), xs.dtype)
        jax.eval_shape(partial(bptt_python, cell), params, xs, carry, None, dys)
