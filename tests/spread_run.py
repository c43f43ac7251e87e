"""Run by tests/test_devices.py, alone or as one of several processes; prints what was learnt as one line of JSON."""

import json
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxrnn import LRU, LSTM, Readout, cross_entropy, unroll, unroll_bptt, unroll_sharded
from jaxrnn.devices import spread_updates, usable_devices
from jaxrnn.train import init_state, updates

ROWS, TIME = 8, 8
CELL, READOUT = LSTM(3, 5), Readout(5, 2)


def loss_fn(params, carry, batch, key):
    xs, labels, mask = batch
    carry, ys = unroll_bptt(CELL, params[0], xs, carry, mask=mask)
    return cross_entropy(READOUT.apply(params[1], ys), labels, mask=mask), carry


def learnt(devices) -> dict:
    """Four updates of a small LSTM over a stream with padding, in two dispatches."""
    rng = np.random.default_rng(0)
    params = CELL.init(jax.random.key(0)), READOUT.init(jax.random.key(1))
    optimizer = optax.chain(optax.clip_by_global_norm(0.1), optax.adam(0.1))
    state = init_state(params, optimizer, CELL.initial_carry(params[0], (ROWS,)))
    losses = []
    for _ in range(2):
        xs, labels = rng.standard_normal((2, TIME, ROWS, 3)), rng.integers(0, 2, (2, TIME, ROWS))
        mask = np.arange(TIME)[:, None] < rng.integers(0, TIME + 1, (2, 1, ROWS))
        batches, key = (xs, labels, mask), jax.random.key(2)
        if devices is None:
            state, loss = updates(loss_fn, optimizer, state, batches, key)
        else:
            state, loss = spread_updates(loss_fn, optimizer, state, batches, key, rows=ROWS, devices=devices)
        losses += np.asarray(loss).tolist()
    kept = (state.params, state.carry, state.step)
    return {"losses": losses, "state": [np.asarray(leaf).tolist() for leaf in jax.tree.leaves(kept)]}


def sharded_time() -> float:
    """The largest difference of `unroll_sharded` from `unroll`, in values and gradients, both directions."""
    worst, mesh = 0.0, jax.make_mesh((4,), ("time",))
    mask, reset = (jax.random.bernoulli(jax.random.key(i), p, (TIME, 2)) for i, p in ((3, 0.8), (4, 0.2)))
    xs = jax.random.normal(jax.random.key(1), (TIME, 2, 3))
    for cell in (LRU(3, 5, 4),):
        params = cell.init(jax.random.key(0))
        for reverse in (False, True):

            def loss(params, xs, run, cell=cell, reverse=reverse, **options):
                carry, ys = run(cell, params, xs, mask=mask, reset=reset, reverse=reverse, **options)
                return sum(jnp.sum(jnp.sin(leaf)) for leaf in jax.tree.leaves((carry, ys)))

            both = [
                jax.jit(jax.value_and_grad(lambda p, x, run=run, o=o: loss(p, x, run, **o), argnums=(0, 1)))(params, xs)
                for run, o in ((unroll_sharded, {"mesh": mesh, "axis": "time"}), (unroll, {}))
            ]
            worst = max(worst, *map(lambda a, b: float(jnp.abs(a - b).max()), *map(jax.tree.leaves, both)))
    return worst


def main(process: int, processes: int, port: str) -> None:
    """One process of `processes`; alone it also runs on one device and shares out time."""
    jax.config.update("jax_platforms", "cpu")
    jax.config.update("jax_enable_x64", True)
    if processes > 1:
        jax.distributed.initialize(f"localhost:{port}", processes, process, heartbeat_timeout_seconds=10)
    result = {"devices": len(usable_devices(ROWS)), "spread": learnt(usable_devices(ROWS))}
    if processes == 1:
        result |= {"alone": learnt(None), "time": sharded_time()}
    print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
