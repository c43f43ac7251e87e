"""The rows of a batch split over the cores of the CPU: when, over how many devices, with the same results."""

import json
import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import pytest

from jaxrnn.training import split_cpu

PROGRAM = """
import json, sys
import jax, jax.numpy as jnp, numpy as np, optax
import jaxrnn
from jaxrnn.training import devices_for, init_state, split_cpu, spread_updates

SIZES = (60, 256), (60, 512), (1, 8)  # 60 × 256 × 1024 multiplications are few, 60 × 512 × 2048 many
jax.config.update("jax_enable_x64", True)
split_cpu(int(sys.argv[1]))
cell = jaxrnn.LSTM(3, 4)
def loss_fn(params, carry, batch, key):
    return jnp.mean(jaxrnn.unroll_bptt(cell, params, batch)[1] ** 2), carry
optimizer = optax.adam(0.1)
params = cell.init(jax.random.key(0))
batches = np.random.default_rng(0).normal(size=(2, 5, 6, 3))
devices = devices_for(params, rows=6)
run = loss_fn, optimizer, init_state(params, optimizer), batches, jax.random.key(1)
state, losses = spread_updates(*run, rows=6, devices=devices)
print(json.dumps({
    "devices": len(devices),
    "numbers": losses.tolist() + np.concatenate([np.ravel(a) for a in jax.tree.leaves(state.params)]).tolist(),
    "rule": [len(devices_for({"w": jnp.zeros((n, 4 * n)), "b": jnp.zeros(4 * n)}, rows)) for rows, n in SIZES],
}))
"""


def run(program: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-c", program, *arguments]
    return subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, timeout=300)


@pytest.mark.process
def test_one_two_and_three_devices_make_the_same_updates_where_the_largest_product_is_small():
    found = [json.loads(run(PROGRAM, n, XLA_FLAGS="").stdout) for n in ("1", "2", "3")]
    assert [each["devices"] for each in found] == [1, 2, 3]
    assert [each["rule"] for each in found] == [[1, 1, 1], [2, 1, 1], [3, 1, 1]]
    for each in found[1:]:
        assert jnp.allclose(jnp.array(each["numbers"]), jnp.array(found[0]["numbers"]), rtol=0, atol=1e-12)


@pytest.mark.process
def test_a_number_in_the_environment_is_kept():
    program = "import jax, jaxrnn.training as t; print(t.split_cpu(), jax.device_count())"
    assert run(program, XLA_FLAGS="", JAX_NUM_CPU_DEVICES="3").stdout == "3 3\n"
    assert run(program, XLA_FLAGS="--xla_force_host_platform_device_count=3").stdout == "3 3\n"


def test_splitting_after_the_first_computation_is_an_error_that_says_what_to_do():
    count = len(jax.local_devices(backend="cpu"))
    assert split_cpu(count) == count
    with pytest.raises(
        RuntimeError, match=rf"`split_cpu\({count + 1}\)` came too late.*JAX_NUM_CPU_DEVICES={count + 1}"
    ):
        split_cpu(count + 1)
