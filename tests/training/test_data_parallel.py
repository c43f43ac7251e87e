"""Many devices and many processes learn the same as one device; simulated on the CPU."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import optax
import pytest

from jaxrnn import GRU, MinGRU
from jaxrnn.training.data_parallel import spread_updates, usable_devices
from jaxrnn.training.train_state import init_state
from jaxrnn.unrolling.parallel import unroll_newton_sharded, unroll_sharded
from tests.quick_compilation import FLAGS

pytestmark = pytest.mark.process

SCRIPT = Path(__file__).parent / "spread_run.py"


def free_port() -> str:
    with socket.socket() as s:
        s.bind(("localhost", 0))
        return str(s.getsockname()[1])


def start(process: int, processes: int, devices: int, port: str) -> subprocess.Popen:
    flags = f"--xla_force_host_platform_device_count={devices} {FLAGS}"
    environment = os.environ | {"XLA_FLAGS": flags}
    command = [sys.executable, str(SCRIPT), str(process), str(processes), port]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(process: subprocess.Popen) -> dict:
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err[-2000:]
    return json.loads(next(line for line in out.splitlines() if line.startswith("{")))


@pytest.fixture(scope="module")
def one_process():
    return finish(start(0, 1, 4, "0"))


def must_agree(got: dict, want: dict) -> None:
    for a, b in zip((got["losses"], *got["state"]), (want["losses"], *want["state"]), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-10)


def test_four_devices_learn_what_one_learns(one_process):
    assert one_process["devices"] == 4
    must_agree(one_process["spread"], one_process["alone"])


FORMS = ("associative", "newton", "falling_back", "trust")


@pytest.mark.parametrize("form", FORMS)
def test_time_shared_out_over_four_devices_gives_the_values_and_gradients_of_the_loop(one_process, form):
    assert set(one_process["time"]) == set(FORMS)
    assert all(run["difference"] < 1e-10 for run in one_process["time"][form])


@pytest.mark.parametrize("form", FORMS)
def test_no_device_has_an_array_over_all_steps(one_process, form):
    for run in one_process["time"][form]:
        of_a_device, of_one_alone = run["whole"]
        assert of_a_device == 0 < of_one_alone


def test_nan_over_four_devices_comes_out_where_the_scan_has_it_and_is_said(one_process):
    assert one_process["with_nan"] == {"converged": [True, False], "nan": [[False] * 8, [False] * 3 + [True] * 5]}


def test_a_linear_recurrence_over_four_devices_is_that_of_one_with_its_gradients(one_process):
    assert all(difference < 1e-12 for difference in one_process["recurrence"])


def test_the_report_over_four_devices_is_that_of_one(one_process):
    (over_four, on_one), (few,), (damped,) = (one_process["time"][f][0]["reports"] for f in FORMS[1:])
    assert over_four == on_one
    assert over_four[1] == damped[1] == [True, True] and few == [[1, 1], [False, False]]


def test_two_processes_of_two_devices_learn_what_one_device_learns(one_process):
    port = free_port()
    both = [start(i, 2, 2, port) for i in range(2)]
    for result in map(finish, both):
        assert result["devices"] == 4
        must_agree(result["spread"], one_process["alone"])


def test_rows_go_to_as_many_devices_as_divide_them(monkeypatch, without_beartype):
    monkeypatch.setattr(jax, "devices", lambda: list("abcd"))
    assert [len(usable_devices(rows)) for rows in (8, 6, 5, 4, 1)] == [4, 3, 1, 4, 1]
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    with pytest.raises(ValueError, match="`rows` must be a multiple of the number of devices, 4, got 6"):
        usable_devices(6)


def test_rows_that_cannot_be_shared_out_are_refused():
    optimizer = optax.sgd(0.1)
    state, key = init_state(np.zeros(()), optimizer), jax.random.key(0)
    with pytest.raises(ValueError, match="`rows` must be a multiple of the number of devices, 2, got 3"):
        spread_updates(len, optimizer, state, np.zeros((1, 3)), key, rows=3, devices=jax.devices() * 2)


def test_time_that_cannot_be_shared_out_is_refused_with_the_remedy(without_beartype):
    cell = MinGRU(3, 5)
    params, xs = cell.init(jax.random.key(0)), np.ones((5, 2, 3))
    mesh = jax.make_mesh((1,), ("time",))
    with pytest.raises(ValueError, match=r"`axis` must be one of the mesh's axes \('time',\), got 'rows'"):
        unroll_sharded(cell, params, xs, mesh=mesh, axis="rows")
    with pytest.raises(ValueError, match=r"`xs` must have a number of steps that is a multiple.*Pad it"):
        unroll_sharded(cell, params, xs[:0], mesh=mesh, axis="time")
    with pytest.raises(ValueError, match=r"`axis` must be one of the mesh's axes \('time',\), got 'rows'"):
        unroll_newton_sharded(cell, params, xs, mesh=mesh, axis="rows")
    with pytest.raises(TypeError, match="`solver` must be a Newton"):
        unroll_newton_sharded(cell, params, xs, solver="full", mesh=mesh, axis="time")
    gru = GRU(3, 5)
    with pytest.raises(TypeError, match="`cell` must be linear in its carry"):
        unroll_sharded(gru, gru.init(jax.random.key(0)), xs, mesh=mesh, axis="time")
