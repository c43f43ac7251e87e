"""Run over four simulated devices and over one, and print one line of JSON: for `test_law_18_meshes`."""

import json
import sys
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import NamedSharding, PartitionSpec

from jaxrnn import (
    GRU,
    LSTM,
    Dropout,
    Elman,
    MinGRU,
    Readout,
    Stack,
    bernoulli,
    cross_entropy,
    squared_error,
    unroll,
    unroll_associative,
    unroll_bptt,
    unroll_checkpointed,
    unroll_layers,
    unroll_loss,
    unroll_newton,
    unroll_python,
    unroll_truncated,
)
from jaxrnn.linear.matrix import GatedDelta
from jaxrnn.testing.problem import random_problem
from jaxrnn.trees import ChildSumTreeLSTM, from_nested, pack, unroll_tree, unroll_tree_bpts
from jaxrnn.unrolling.fused import unroll_fused
from jaxrnn.unrolling.parallel import Newton, unroll_chunkwise
from tests.laws.cells import CELLS

jax.config.update("jax_platforms", "cpu")
jax.config.update("jax_enable_x64", True)
SPEC = PartitionSpec

CELLS_RUN = {
    "elman": Elman(3, 4),
    "lstm": LSTM(3, 4, "current"),
    "gru": GRU(3, 4),
    "min_gru": MinGRU(3, 4),
    "stack": Stack((Dropout(LSTM(3, 4), 0.3), GRU(4, 4, "after"))),
    "gated_delta": GatedDelta(3, heads=2, key_size=2, value_size=2),
    "own": CELLS["own"],
    "reservoir": CELLS["reservoir"],
}
MEMBERS = {
    "unroll_python": ("lstm", unroll_python),
    "unroll_checkpointed": ("gru", partial(unroll_checkpointed, memory=2)),
    "unroll_truncated": ("gru", partial(unroll_truncated, k1=2, k2=4)),
    "unroll_newton": ("elman", unroll_newton),
    "unroll_newton, trust": ("elman", partial(unroll_newton, solver=Newton(trust=1e-3, gradient="associative"))),
    "unroll_associative": ("min_gru", unroll_associative),
    "unroll_chunkwise": ("gated_delta", partial(unroll_chunkwise, chunk=4)),
    "unroll_layers": ("stack", unroll_layers),
    "unroll_fused": ("lstm", unroll_fused),
}
FORMS = ("rows", "units", "both", "shard_map")


def mesh_of(form: str) -> jax.sharding.Mesh:
    """As `jax.make_mesh` makes it: two devices for one axis, four for two."""
    shape = {"rows": (2, 1), "units": (1, 2), "both": (2, 2), "shard_map": (4, 1)}[form]
    return jax.make_mesh(shape, ("rows", "units"), devices=jax.devices()[: shape[0] * shape[1]])


def placed(mesh, spec, tree):
    """Place the arrays on the mesh, sharded by `spec(array)`."""
    return jax.tree.map(lambda a: jax.device_put(a, NamedSharding(mesh, SPEC(*spec(a)))), tree)


def weight(a) -> tuple:
    """Matrices and biases cut by their last axis, which is that of the gates in recurrent weights."""
    return (*[None] * (a.ndim - 1), "units") if a.ndim and a.shape[-1] % 2 == 0 else ()


def of_rows(a) -> tuple:
    return ("rows",)


def of_steps(a) -> tuple:
    return (None, "rows")


def differences(loss, forms, params, over_rows, over_steps) -> dict[str, float]:
    """Return the distance of loss(params, over_rows, over_steps) and its gradients over each mesh from one device."""
    gradients = jax.value_and_grad(loss, argnums=(0, 1, 2), allow_int=True)
    want = jax.jit(gradients)(params, over_rows, over_steps)
    return {form: difference(loss, want, form, params, over_rows, over_steps) for form in forms}


def difference(loss, want, form: str, params, over_rows, over_steps) -> float:
    """Return the distance over one mesh."""
    gradients, mesh = jax.value_and_grad(loss, argnums=(0, 1, 2), allow_int=True), mesh_of(form)
    cut = placed(mesh, of_rows, over_rows), placed(mesh, of_steps, over_steps)
    whole = placed(mesh, (lambda a: ()) if form in ("rows", "shard_map") else weight, params)
    if form == "shard_map":

        def local(params, over_rows, over_steps):
            return lax.psum(loss(params, over_rows, over_steps), "rows")

        specs = SPEC(), SPEC("rows"), SPEC(None, "rows")
        on_devices = jax.value_and_grad(local, argnums=(0, 1, 2), allow_int=True)
        got = jax.jit(jax.shard_map(on_devices, mesh=mesh, in_specs=specs, out_specs=(SPEC(), specs)))(whole, *cut)
    else:
        with jax.set_mesh(mesh):
            got = jax.jit(gradients)(whole, *cut)
    pairs = zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True)
    return max(float(np.abs(np.asarray(a) - np.asarray(b)).max()) for a, b in pairs if a.dtype != jax.dtypes.float0)


def total(tree):
    """Return a number that depends on every floating array of the tree."""
    floats = (leaf for leaf in jax.tree.leaves(tree) if jnp.issubdtype(leaf.dtype, jnp.floating))
    return sum((jnp.sum(jnp.sin(leaf)) for leaf in floats), jnp.zeros(()))


def run_loss(cell, member, params, carry, over_steps):
    xs, mask, reset = over_steps
    return total(member(cell, params, xs, carry, mask=mask, reset=reset, reverse=True))


def of_run(name: str, member, forms) -> dict[str, float]:
    """Compare a run with a mask, resets and a start, backwards in time."""
    cell = CELLS_RUN[name]
    p = random_problem(cell)
    return differences(partial(run_loss, cell, member), forms, p.params, p.carry, (p.xs, p.mask, p.reset))


def of_losses(forms) -> dict[str, dict[str, float]]:
    """Compare a network with its read-out and each loss, and `unroll_loss`."""
    cell, readout = LSTM(3, 4), Readout(4, 6)
    p, rng = random_problem(cell, reset=np.zeros((6, 4), bool)), np.random.default_rng(0)
    params = p.params, jax.tree.map(lambda a: rng.standard_normal(a.shape), readout.init(jax.random.key(0)))
    classes = rng.integers(0, 6, (6, 4))
    targets = np.eye(6)[classes]

    def of(loss, targets):
        def run(params, carry, over_steps):
            xs, mask, targets = over_steps
            _, ys = unroll_bptt(cell, params[0], xs, carry, mask=mask)
            return loss(readout.apply(params[1], ys), targets, mask=mask) * jnp.sum(mask)

        return differences(run, forms, params, p.carry, (p.xs, p.mask, targets))

    def summed(params, carry, over_steps):
        xs, mask, targets = over_steps

        def at_step(y, label):
            return cross_entropy(readout.apply(params[1], y), label)

        return unroll_loss(cell, params[0], xs, targets, at_step, carry, mask=mask)[1] * jnp.sum(mask)

    named = {"cross_entropy": (cross_entropy, classes), "distributions": (cross_entropy, targets)}
    named |= {"squared_error": (squared_error, targets), "bernoulli": (bernoulli, targets)}
    summed_loss = {"unroll_loss": differences(summed, forms, params, p.carry, (p.xs, p.mask, classes))}
    return summed_loss | {name: of(*given) for name, given in named.items()}


def of_trees(run, forms) -> dict[str, float]:
    """Trees, a batch of them on each device."""
    cell, rng = ChildSumTreeLSTM(3, 4), np.random.default_rng(0)
    one = [(("a", "b"), "c")]
    batches = {rows: pack(one * rows, from_nested) for rows in (1, 4)}
    params = jax.tree.map(lambda a: rng.standard_normal(a.shape), cell.init(jax.random.key(0)))
    xs = rng.standard_normal((3, 4, 3))

    def loss(params, _, xs):
        return total(run(cell, params, batches[xs.shape[1]], xs))

    return differences(loss, forms, params, (), xs)


def places() -> dict[str, list]:
    """Return the shardings of the results of a run, by their types."""
    cell, mesh = LSTM(3, 4), mesh_of("both")
    p = random_problem(cell)
    with jax.set_mesh(mesh):
        carry, ys = jax.jit(partial(unroll, cell))(placed(mesh, weight, p.params), placed(mesh, of_steps, p.xs))
    return {"ys": list(jax.typeof(ys).sharding.spec), "c": list(jax.typeof(carry.c).sharding.spec)}


def main(part: str) -> None:
    """One of the parts, each a process of its own."""
    both = ("both", "shard_map")
    if part == "cells":
        members = (unroll, unroll_bptt)
        found = {f"{name}, {run.__name__}": of_run(name, run, FORMS) for name in CELLS_RUN for run in members}
    elif part == "members":
        found = {name: of_run(*case, both) for name, case in MEMBERS.items()}
    else:
        found = of_losses(both) | {run.__name__: of_trees(run, both) for run in (unroll_tree, unroll_tree_bpts)}
    found = {f"{name}, {form}": d for name, by_form in found.items() for form, d in by_form.items()}
    found |= places() if part == "objectives" else {}
    print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
