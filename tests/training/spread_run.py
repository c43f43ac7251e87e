"""Train as one process or several, and print what was learned as JSON: for tests/training/test_data_parallel.py."""

import json
import re
import sys
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.dtypes import float0
from jax.sharding import NamedSharding, PartitionSpec

from jaxrnn import LRU, LSTM, Elman, Readout, cross_entropy, unroll, unroll_bptt
from jaxrnn.cells import Clockwork
from jaxrnn.training.data_parallel import spread_updates, usable_devices
from jaxrnn.training.train_state import init_state, updates
from jaxrnn.unrolling.parallel import (
    Newton,
    linear_recurrence,
    linear_recurrence_sharded,
    newton,
    newton_sharded,
    unroll_sharded,
)

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


LONG = 52
"""Steps of a sequence in four stretches; no other size is the same."""


def against_the_loop(cell, member, reference, *, reverse: bool) -> dict:
    """Compare a member of the family over four devices with its reference on one.

    "whole" counts the arrays over all t in the program of a device, of which there should be none, and in that of the
    reference, which has them.
    """
    mesh = jax.make_mesh((4,), ("time",))
    params, start = cell.init(jax.random.key(0)), cell.initial_carry(cell.init(jax.random.key(0)), (2,))
    xs = jax.random.normal(jax.random.key(1), (LONG, 2, 3))
    mask, reset = (jax.random.bernoulli(jax.random.key(i), p, (LONG, 2)) for i, p in ((3, 0.8), (4, 0.05)))
    start = jax.tree.map(lambda h: h + jnp.asarray(0.3, h.dtype), start)

    def loss(params, xs, start, mask, reset, run):
        carry, ys, *report = run(cell, params, xs, start, mask=mask, reset=reset, reverse=reverse)
        return sum(jnp.sum(jnp.sin(leaf)) for leaf in jax.tree.leaves((carry, ys))), report

    def compiled(run, *arguments):
        differentiated = jax.value_and_grad(partial(loss, run=run), argnums=(0, 1, 2), has_aux=True, allow_int=True)
        return jax.jit(differentiated).lower(*arguments).compile()

    arguments = params, xs, start, mask, reset
    over, whole = (NamedSharding(mesh, spec) for spec in (PartitionSpec("time"), PartitionSpec()))
    spread = tuple(map(jax.device_put, arguments, (whole, over, whole, over, over)))
    sharded = compiled(partial(member, mesh=mesh, axis="time"), *spread)
    (value, report), gradients = sharded(*spread)
    alone = compiled(reference, *arguments)
    (wanted, wanted_report), wanted_gradients = alone(*arguments)
    pairs = zip(*map(jax.tree.leaves, ((value, gradients), (wanted, wanted_gradients))), strict=True)
    return {
        "difference": max(float(np.abs(np.asarray(a) - np.asarray(b)).max()) for a, b in pairs if a.dtype != float0),
        "whole": [len(re.findall(rf"[\[,]{LONG}[,\]]", program.as_text())) for program in (sharded, alone)],
        "reports": [[r.iterations.tolist(), r.converged.tolist()] for r in (*report, *wanted_report)],
    }


def with_nan() -> dict:
    """Newton's method over four devices where a step of one row reads NaN."""
    cell, mesh = Elman(3, 4), jax.make_mesh((4,), ("time",))
    params, xs = cell.init(jax.random.key(0)), jax.random.normal(jax.random.key(1), (8, 2, 3)).at[3, 1].set(jnp.nan)
    _, ys, report = newton_sharded(cell, params, xs, mesh=mesh, axis="time")
    return {"converged": report.converged.tolist(), "nan": jnp.isnan(ys).all(-1).T.tolist()}


def recurrence() -> list[float]:
    """Return the distance of `linear_recurrence_sharded` from `linear_recurrence`, with gradients, both ways."""
    mesh, keys = jax.make_mesh((4,), ("time",)), jax.random.split(jax.random.key(0), 3)
    arguments = tuple(jax.random.normal(key, shape) for key, shape in zip(keys, ((8, 3), (8, 3), (3,)), strict=True))

    def loss(solve, reverse, *arguments):
        return jnp.sum(jnp.sin(solve(*arguments, reverse=reverse)))

    def difference(reverse: bool) -> float:
        over_four = partial(linear_recurrence_sharded, mesh=mesh, axis="time")
        runs = (partial(loss, solve, reverse) for solve in (over_four, linear_recurrence))
        got, want = (jax.tree.leaves(jax.value_and_grad(run, (0, 1, 2))(*arguments)) for run in runs)
        return float(jnp.max(jnp.array([jnp.abs(a - b).max() for a, b in zip(got, want, strict=True)])))

    return [difference(reverse) for reverse in (False, True)]


def sharded_time() -> dict:
    """Compare the forms that are parallel in time, over four devices."""
    turns = Newton(iterations=1, gradient="scan")  # too few updates, and integers in the carry
    trust = Newton(trust=1e-3, gradient="associative")
    forms = {
        "associative": (LRU(3, 5, 4), unroll_sharded, unroll, (False, True)),
        "newton": (LSTM(3, 4), newton_sharded, newton, (True,)),
        "falling_back": (Clockwork(3, 6, (1, 2, 3)), partial(newton_sharded, solver=turns), unroll, (True,)),
        "trust": (Elman(3, 4), partial(newton_sharded, solver=trust), unroll, (False,)),
    }
    return {
        name: [against_the_loop(cell, member, reference, reverse=reverse) for reverse in directions]
        for name, (cell, member, reference, directions) in forms.items()
    }


def main(process: int, processes: int, port: str) -> None:
    """One process of `processes`; alone it also runs on one device and shares out time."""
    jax.config.update("jax_platforms", "cpu")
    jax.config.update("jax_enable_x64", True)
    if processes > 1:
        jax.distributed.initialize(f"localhost:{port}", processes, process, heartbeat_timeout_seconds=10)
    result = {"devices": len(usable_devices(ROWS)), "spread": learnt(usable_devices(ROWS))}
    if processes == 1:
        result |= {"alone": learnt(None), "time": sharded_time(), "with_nan": with_nan(), "recurrence": recurrence()}
    print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
