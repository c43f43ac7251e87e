"""One update on many devices, of one process or of several: data-parallel training.

    ∇_θ L = Σ_d ∇_θ L_d,        L_d of the rows that device d holds

The rows of a batch are cut into as many parts as there are devices, and the parameters are on all of them.  The program
is that of one device (`jaxrnn.training.train_state.updates`): what its arrays are spread over tells XLA to sum the
gradients.  So a loss that weighs valid steps, clips norms or hands a carry on means the same on any number of
devices, up to the order of sums; and as a state that is saved is that of one device, a run may be resumed on another
number of them.

Between dispatches the state is an ordinary one, on this process's first device, and every process has the same.

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
    """`updates`, with the rows of each batch spread over devices.

    Args:
      loss_fn, optimizer, state, batches, key: as for `updates`; in every process the same.
      rows: the number of rows of a batch, a multiple of the number of devices.  Of each array in `batches` the first
        axis behind `steps` that is so long is spread; an array without one is on every device.
      devices: all devices that take part; in every process the same.

    Returns:
      The state after the last update, and L of each, in every process.

    Raises:
      ValueError: the rows cannot be shared out evenly.

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
    """The devices over which so many rows can be shared out evenly: as many as go.

    Raises:
      ValueError: there are several processes, and not all of their devices go.

    >>> len(usable_devices(1))
    1
    """
    devices = jax.devices()
    if jax.process_count() > 1 and rows % len(devices):
        raise ValueError(f"`rows` must be a multiple of the number of devices, {len(devices)}, got {rows}.")
    return devices[: max(n for n in range(1, len(devices) + 1) if rows % n == 0)]


def _spread(shape: tuple[int, ...], rows: int) -> PartitionSpec:
    """The first axis behind `steps` that has the rows, if any."""
    axis = next((i for i, n in enumerate(shape) if i > 0 and n == rows), None)
    return PartitionSpec() if axis is None else PartitionSpec(*[None] * axis, "rows")


def _on(sharding: NamedSharding, array) -> Array:
    """An array that every process has whole, spread as `sharding` says; each process places its own part."""
    if isinstance(array, jax.Array) and jax.dtypes.issubdtype(array.dtype, jax.dtypes.prng_key):
        data = _on(sharding, jax.random.key_data(array))
        return jax.random.wrap_key_data(data, impl=jax.random.key_impl(array))
    array = np.asarray(array)
    return jax.make_array_from_callback(array.shape, sharding, lambda index: array[index])


def _gathered(everywhere: NamedSharding):
    return jax.jit(lambda *tree: tree, out_shardings=everywhere)


def _here(array: Array) -> Array:
    """This process's own copy of an array that is everywhere."""
    return array.addressable_data(0)
