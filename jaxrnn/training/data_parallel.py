"""Data-parallel training on several devices, of one process or of several.

    ∇_θ L = Σ_d ∇_θ L_d,        L_d over the rows of device d

The rows of a batch are split evenly over the devices, and every device holds the parameters.  The program is that of
one device (`jaxrnn.training.updates`); the sharding of its arrays tells XLA to sum the gradients.  A loss that weights
valid steps, clips norms or passes on a carry therefore means the same on any number of devices, up to the order of
sums.  A saved state is that of one device, so a run can be resumed on another number of devices.

Between dispatches the state is an ordinary one on the first device of each process, the same in every process.

References: `jax.sharding`; `jax.distributed`.
"""

from collections.abc import Sequence
from functools import partial

import jax
import numpy as np
import optax
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Float

from jaxrnn.core.types import Key
from jaxrnn.training.train_state import Batch, LossFn, TrainState, updates


def spread_updates(
    loss_fn: LossFn,
    optimizer: optax.GradientTransformation,
    state: TrainState,
    batches: Batch,
    key: Key,
    *,
    rows: int,
    devices: Sequence[jax.Device],
) -> tuple[TrainState, Float[Array, " steps"]]:
    """Run `updates` with the rows of each batch split over devices.

    Args:
      loss_fn: `(params, carry, batch, key) -> (loss, carry)`, as for `update`; the same in every process, as are all
        arguments.
      optimizer: the optax optimizer given to `init_state`.
      state: the state before the first update.
      batches: the batches, each array with a leading axis `[steps]`.
      key: the key of the run.
      rows: the number of rows of a batch, a multiple of the number of devices.  Each array in `batches` is split along
        its first axis of that length after `steps`; an array without one is copied to every device.
      devices: all participating devices.

    Returns:
      The state after the last update, and L of each, in every process.

    Raises:
      ValueError: the rows cannot be split evenly.

    >>> import jax.numpy as jnp
    >>> from jaxrnn.training.train_state import init_state
    >>> optimizer = optax.sgd(0.25)
    >>> loss_fn = lambda params, carry, batch, key: (jnp.mean((params - batch) ** 2), carry)
    >>> state = init_state(jnp.zeros(()), optimizer)
    >>> batches = np.ones((3, 4))
    >>> state, losses = spread_updates(
    ...     loss_fn, optimizer, state, batches, jax.random.key(0), rows=4, devices=jax.devices()[:1]
    ... )
    >>> losses.tolist()
    [1.0, 0.25, 0.0625]
    """
    if len(devices) == 1 and jax.process_count() == 1:
        return updates(loss_fn, optimizer, state, batches, key)
    if rows % len(devices):
        raise ValueError(f"`rows` must be a multiple of the number of devices, {len(devices)}, got {rows}.")
    mesh = Mesh(np.array(devices), ("rows",))
    everywhere = NamedSharding(mesh, PartitionSpec())
    state, key = jax.tree.map(partial(_on, everywhere), (state, key))
    batches = jax.tree.map(lambda a: _on(NamedSharding(mesh, _spread(np.shape(a), rows)), a), batches)
    return jax.tree.map(_here, _gathered(everywhere)(*updates(loss_fn, optimizer, state, batches, key)))


def usable_devices(rows: int) -> list[jax.Device]:
    """Return the largest number of devices over which the rows can be split evenly.

    Args:
      rows: the number of rows of a batch.

    Returns:
      A list of devices.

    Raises:
      ValueError: there are several processes, and the rows cannot be split over all their devices.

    >>> len(usable_devices(1))
    1
    """
    devices = jax.devices()
    if jax.process_count() > 1 and rows % len(devices):
        raise ValueError(f"`rows` must be a multiple of the number of devices, {len(devices)}, got {rows}.")
    return devices[: max(n for n in range(1, len(devices) + 1) if rows % n == 0)]


def _spread(shape: tuple[int, ...], rows: int) -> PartitionSpec:
    """Return the sharding of an array: its first axis of length `rows` after `steps` is split."""
    axis = next((i for i, n in enumerate(shape) if i > 0 and n == rows), None)
    return PartitionSpec() if axis is None else PartitionSpec(*[None] * axis, "rows")


def _on(sharding: NamedSharding, array) -> Array:
    """Place an array that every process holds whole with the given sharding."""
    if isinstance(array, jax.Array) and jax.dtypes.issubdtype(array.dtype, jax.dtypes.prng_key):
        data = _on(sharding, jax.random.key_data(array))
        return jax.random.wrap_key_data(data, impl=jax.random.key_impl(array))
    array = np.asarray(array)
    return jax.make_array_from_callback(array.shape, sharding, lambda index: array[index])


def _gathered(everywhere: NamedSharding):
    return jax.jit(lambda *tree: tree, out_shardings=everywhere)


def _here(array: Array) -> Array:
    """Return this process's copy of a replicated array."""
    return array.addressable_data(0)
