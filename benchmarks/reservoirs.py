"""Reservoirs against reservoirpy: the states of one, and the fitting of many.

Times the states of one sparse reservoir over a long series, in float32 and in reservoirpy's float64, and the fitting of
64 reservoirs to one series, by `vmap` against a loop.  The weights are drawn beforehand in both.  Prints two tables
and the ratios to standard output.

    python -m benchmarks.reservoirs
    python -m benchmarks.reservoirs --connections 10
"""

import importlib.util
import sys
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import tyro

from benchmarks import report
from benchmarks.timing import Program, compiled, interleaved
from jaxrnn import ESN, Readout, unroll
from jaxrnn.reservoirs import Reservoir, no_equations, recurrent_matrix, solve

PENALTY, WASHOUT = 1e-4, 100


def main(
    units: int = 500,
    connections: int = 50,
    steps: int = 5000,
    many: int = 64,
    many_units: int = 100,
    many_connections: int = 10,
    many_steps: int = 2000,
    seconds: float = 4.0,
    least: int = 3,
) -> None:
    """Compare with reservoirpy, where it is installed.

    Args:
        units: the size of the single reservoir.
        connections: inputs of each unit; 50 of 500 is reservoirpy's default of a tenth.
        steps: the length of its series.
        many: how many reservoirs are fitted.
        many_units: the size of each.
        many_connections: inputs of each unit.
        many_steps: the length of their series.
        seconds: time for each program.
        least: the least number of timed calls of each.
    """
    if importlib.util.find_spec("reservoirpy") is None:
        print("reservoirpy: not installed, left out", file=sys.stderr)
    print(report.machine())
    one, several = Reservoir(1, units, connections), Reservoir(1, many_units, many_connections)
    print(f"\nstates of {one.hidden_size} units, {connections} inputs each, over {steps} steps")
    table(states_programs(one, series(steps)), seconds, least, ("jaxrnn", "jaxrnn, float64"))
    print(f"\n{many} reservoirs of {many_units} units, {many_connections} inputs each, fitted to {many_steps} steps")
    table(fit_programs(several, many, series(many_steps + 1)), seconds, least, ("jaxrnn, sums", "jaxrnn, QR"))


def series(steps: int) -> np.ndarray:
    """Return two incommensurable sines, `[steps, 1]`."""
    t = np.arange(steps)[:, None]
    return np.sin(0.2 * t) * np.sin(0.311 * t)


def states_programs(cell: Reservoir, xs: np.ndarray) -> dict[str, Program]:
    """Return programs for the states by `unroll` and by reservoirpy, which must agree."""
    params = jax.jit(cell.init)(jax.random.key(0))
    programs = {"jaxrnn": compiled(lambda p, x: unroll(cell, p, x)[1], params, jnp.asarray(xs, jnp.float32))}
    with jax.enable_x64(True):
        wide = jax.tree.map(lambda a: jnp.asarray(a, jnp.float64), params)
        programs["jaxrnn, float64"] = compiled(lambda p, x: unroll(cell, p, x)[1], wide, jnp.asarray(xs))
    if importlib.util.find_spec("reservoirpy") is not None:
        node = theirs(cell, params)
        programs["reservoirpy"] = Program(from_rest(node, lambda: node.run(xs)))
        np.testing.assert_allclose(programs["reservoirpy"].run(), programs["jaxrnn, float64"].run(), atol=1e-6)
    return programs


def fit_programs(cell: Reservoir, many: int, xs: np.ndarray) -> dict[str, Program]:
    """Return programs for the read-outs by `vmap` and by a loop over reservoirpy's models, which must agree."""
    esn = ESN(cell, Readout(cell.hidden_size, 1))
    params = jax.jit(jax.vmap(esn.init))(jax.random.split(jax.random.key(0), many))
    inputs, targets = jnp.asarray(xs[:-1], jnp.float32), jnp.asarray(xs[1:], jnp.float32)

    def by_sums(params):
        nothing = no_equations(cell.hidden_size, 1)
        _, equations = esn.accumulate(params, nothing, inputs, targets, washout=WASHOUT)
        return solve(equations, PENALTY)

    def by_qr(params):
        return esn.fit(params, inputs, targets, penalty=PENALTY, washout=WASHOUT)[1].readout

    programs = {"jaxrnn, sums": compiled(jax.vmap(by_sums), params), "jaxrnn, QR": compiled(jax.vmap(by_qr), params)}
    if importlib.util.find_spec("reservoirpy") is not None:
        models = [model(cell, jax.tree.map(lambda a, i=i: a[i], params.cell)) for i in range(many)]
        programs["reservoirpy"] = Program(lambda: [fitted(*parts, xs) for parts in models])
        want = np.stack([v for v, _ in programs["reservoirpy"].run()])
        hs = jax.vmap(lambda p: unroll(cell, p, inputs)[1])(params.cell)  # the outputs: weights are ill-determined
        for name in ("jaxrnn, sums", "jaxrnn, QR"):
            got = programs[name].run().v
            np.testing.assert_allclose(hs @ got - np.mean(hs @ got), hs @ want - np.mean(hs @ want), atol=1e-2)
    return programs


def theirs(cell: Reservoir, params):
    """Return the same reservoir as a node of reservoirpy, with a sparse matrix as it stores its own."""
    import scipy.sparse
    from reservoirpy import nodes

    w = np.asarray(recurrent_matrix(cell, params), np.float64).T
    u = np.asarray(params.scaling[:, None] * params.u, np.float64).T
    node = nodes.Reservoir(W=scipy.sparse.csr_array(w), Win=u, bias=np.asarray(params.b, np.float64), lr=1.0)
    node.initialize(np.zeros((1, cell.input_size)))
    return node


def model(cell: Reservoir, params):
    """Return a reservoir, and the model of it with a ridge read-out."""
    from reservoirpy import nodes

    node, readout = theirs(cell, params), nodes.Ridge(ridge=PENALTY)
    return node, readout, node >> readout


def fitted(node, readout, whole, xs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the weights and the bias."""
    from_rest(node, lambda: whole.fit(xs[:-1], xs[1:], warmup=WASHOUT))()
    return readout.Wout, readout.bias


def from_rest(node, run: Callable) -> Callable:
    """Return `run`, with the reservoir reset to 0 before it."""

    def started():
        node.state = {"out": np.zeros(node.units)}
        return run()

    return started


def table(programs: dict[str, Program], seconds: float, least: int, ours: tuple[str, ...]) -> None:
    """Print a line for each program, then how many times as fast as reservoirpy each of ours is."""
    timings = interleaved(programs, seconds=seconds, least=least)
    print(f"{'':<18}{'min ms':>9}{'median':>9}{'compile s':>11}")
    for name, program in programs.items():
        compile_seconds = "-" if program.compile_seconds is None else f"{program.compile_seconds:.2f}"
        print(f"{name:<18}{timings[name].minimum:>9.1f}{timings[name].median:>9.1f}{compile_seconds:>11}")
    for name in ours if "reservoirpy" in timings else ():
        fastest, middle = (timings["reservoirpy"][i] / timings[name][i] for i in (0, 1))
        print(f"{name}: {fastest:.1f} times as fast as reservoirpy (by minima; {middle:.1f} by medians)")


if __name__ == "__main__":
    jax.config.update("jax_platforms", "cpu")
    tyro.cli(main, description=__doc__)
