"""Time sharded over devices, for matrix states and for states after a first stage."""

import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrnn import testing as laws
from jaxrnn import unroll
from jaxrnn.unrolling.parallel import unroll_sharded
from tests.linear.matrix.rows import Row


@pytest.mark.process
def test_four_devices_are_one_for_states_of_every_kind():
    program = [sys.executable, "-m", "tests.unrolling.parallel.sharded_states"]
    done = subprocess.run(program, capture_output=True, text=True, env=dict(os.environ), check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "6 cells agree on 4 devices"


def test_a_mesh_of_one_device_is_the_scan_for_a_matrix_state():
    cell = Row(2, 3)
    p = laws.random_problem(cell, x=jax.ShapeDtypeStruct((sum(cell.sizes),), np.float64), batch=(2,))
    mesh = jax.make_mesh((1,), ("time",), axis_types=(jax.sharding.AxisType.Auto,))
    got = unroll_sharded(cell, *p[:3], mask=p.mask, reset=p.reset, mesh=mesh, axis="time")
    want = unroll(cell, *p[:3], mask=p.mask, reset=p.reset)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-12), got, want)
    assert jnp.isfinite(got[1]).all()
