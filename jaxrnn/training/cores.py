"""The rows of a batch over the cores of one CPU.

The rows of a batch never wait for one another, but XLA runs a small matrix product on one core: 32 × 128 by 128 × 512,
the recurrent product of an LSTM with 128 units.  If JAX sees the CPU as several devices, each of them can run the whole
network over a part of the rows, and the gradients are summed at the end (`spread_updates`):

    ∇_θ L = Σ_d ∇_θ L_d,        L_d over the rows of device d

A product that is large enough for XLA's own threads gains nothing from this, and each device reads all the weights.
`devices_for` therefore decides from the sizes.  The results are those of one device, up to the order of sums.

References: `jax_num_cpu_devices` among JAX's configuration options; docs/performance.md for the measurements.
"""

import math
import os

import jax
from jaxtyping import PyTree

from jaxrnn.training.data_parallel import usable_devices

LARGEST_PRODUCT = 2**24
"""The largest product of a step, in multiplications, up to which rows go to cores (`python -m benchmarks.cores`)."""
MOST_DEVICES = 8
"""A larger number has never been measured."""


def split_cpu(devices: int | None = None) -> int:
    """Let JAX see the CPU as several devices.

    Call it before the first computation: JAX cannot change the number of devices later.  `JAX_NUM_CPU_DEVICES` in the
    environment does the same.  A program on one of the devices still uses all threads.

    Args:
      devices: the number of devices; None for one per usable core, at most 8, unless `JAX_NUM_CPU_DEVICES` or
        `XLA_FLAGS` set a number already.

    Returns:
      The number of devices.

    Raises:
      ValueError: `devices` is less than 1.
      RuntimeError: JAX has computed something already, with another number of devices.

    >>> split_cpu(0)
    Traceback (most recent call last):
    ...
    ValueError: `devices` must be an integer of at least 1, got 0.

    In a program that trains by `spread_updates`::

        jaxrnn.training.split_cpu()
        ...
        devices = devices_for(params, rows=32)
        state, losses = spread_updates(loss_fn, optimizer, state, batches, key, rows=32, devices=devices)
    """
    if devices is None:
        if "JAX_NUM_CPU_DEVICES" in os.environ or "host_platform_device_count" in os.environ.get("XLA_FLAGS", ""):
            return len(jax.devices("cpu"))
        devices = min(_usable_cores(), MOST_DEVICES)
    if devices < 1:
        raise ValueError(f"`devices` must be an integer of at least 1, got {devices}.")
    try:
        jax.config.update("jax_num_cpu_devices", devices)
    except RuntimeError:
        if (found := len(jax.local_devices(backend="cpu"))) != devices:
            raise RuntimeError(
                f"`split_cpu({devices})` came too late: JAX has computed something already, with {found} CPU "
                f"device{'s' * (found > 1)}.  Call it right after the imports, or set JAX_NUM_CPU_DEVICES={devices} in "
                "the environment."
            ) from None
    return devices


def devices_for(params: PyTree, rows: int) -> list[jax.Device]:
    """Return the devices over which to spread the rows of a batch.

    On a CPU these are several only if the largest product of a step, all rows by the largest matrix among the
    parameters, is too small for XLA's own threads.  On other platforms it is `usable_devices`.

    Args:
      params: the parameters, or their shapes by `jax.eval_shape`.
      rows: the number of rows of a batch.

    Returns:
      A list of devices for `spread_updates`.

    Raises:
      ValueError: there are several processes, and the rows cannot be split over all their devices.

    >>> import jax.numpy as jnp
    >>> len(devices_for({"w": jnp.zeros((2048, 8192))}, rows=64))
    1
    """
    devices = usable_devices(rows)
    if devices[0].platform != "cpu" or jax.process_count() > 1:
        return devices
    largest = max((math.prod(leaf.shape[-2:]) for leaf in jax.tree.leaves(params) if leaf.ndim > 1), default=0)
    return devices if rows * largest <= LARGEST_PRODUCT else devices[:1]


def _usable_cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
