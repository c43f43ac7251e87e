"""Law 18: a run over a mesh of `jax.make_mesh`, or inside `jax.shard_map`, equals the run on one device."""

import json
import os
import subprocess
import sys
from functools import cache

import pytest

from tests.quick_compilation import FLAGS

pytestmark = pytest.mark.process


@cache
def differences(part: str) -> dict:
    """Return the differences that a separate process with four simulated devices measures."""
    flags = f"--xla_force_host_platform_device_count=4 {FLAGS}"
    command = [sys.executable, "-m", "tests.laws.mesh_run", part]
    done = subprocess.run(command, env=os.environ | {"XLA_FLAGS": flags}, capture_output=True, text=True, timeout=1500)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("part", ["cells", "members"])
def test_rows_and_hidden_units_over_a_mesh_give_the_values_and_gradients_of_one_device(part):
    found = differences(part)
    assert len(found) >= 18
    assert not {case: d for case, d in found.items() if not d < 1e-9}


def test_read_outs_losses_and_trees_over_a_mesh_give_the_values_and_gradients_of_one_device():
    found = {case: d for case, d in differences("objectives").items() if isinstance(d, float)}
    assert len(found) == 14
    assert not {case: d for case, d in found.items() if not d < 1e-9}


def test_results_lie_as_the_rows_of_xs_and_as_the_units_of_the_weights():
    found = differences("objectives")
    assert found["ys"] == [None, "rows", "units"]
    assert found["c"] == ["rows", "units"]
