"""The training step on one device, and with its rows split over the cores of the CPU.

Runs the same program twice, and PyTorch's for comparison: on one CPU device, whose products XLA may split over several
threads, and with the rows of the batch split over as many CPU devices as there are cores (`jaxrnn.training.split_cpu`).
Prints a table to standard output: minima in milliseconds, how many times as fast the second is as the first, what the
rule of `jaxrnn.training.devices_for` chooses, and how many times as fast that is as PyTorch, with the geometric means
over all sizes and over those of `benchmarks.layers`.

    python -m benchmarks.cores
    python -m benchmarks.cores --cells gru --configurations 200 8 96 200
"""

import importlib.util
import math
from statistics import geometric_mean

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from jax.sharding import Mesh, NamedSharding, PartitionSpec

import jaxrnn
from benchmarks import layers, report
from benchmarks.contenders import CellName, Configuration, inputs, jaxrnn_cell, pytorch, unroll_bptt
from benchmarks.timing import Program, compiled, interleaved
from jaxrnn.training import devices_for, split_cpu

CONFIGURATIONS = (
    (100, 32, 128, 128),
    (784, 32, 1, 128),
    (1000, 1, 64, 64),
    (1000, 2, 64, 64),
    (200, 8, 96, 200),
    (100, 64, 64, 64),
    (64, 32, 64, 256),
    (50, 50, 96, 200),
    (100, 16, 384, 384),
    (100, 64, 256, 256),
    (48, 128, 512, 512),
    (32, 16, 1024, 1024),
)


def main(
    cells: tuple[CellName, ...] = ("lstm",),
    configurations: tuple[tuple[int, int, int, int], ...] = CONFIGURATIONS,
    seconds: float = 1.0,
) -> None:
    """Print the table.

    Args:
        cells: elman, lstm, gru, gru-after.
        configurations: time, batch, input and hidden, four numbers each.
        seconds: time for each program.
    """
    devices = split_cpu()
    print(report.machine() | {"devices": devices})
    peers = {"pytorch": pytorch} if importlib.util.find_spec("torch") else {}
    print(
        f"\n{'cell':<10}{'T,B,in,hidden':<18}{'one':>9}{'rows':>9}{'pytorch':>9}{'one/rows':>10}{'chosen':>8}{'torch/chosen':>14}"
    )
    for cell in cells:
        ratios = {}
        for sizes in map(Configuration._make, configurations):
            programs = {"one": unroll_bptt(cell, sizes)["train"], "rows": rows_over_cores(cell, sizes)}
            programs |= {name: make(cell, sizes)["train"] for name, make in peers.items()}
            times = {name: timing.minimum for name, timing in interleaved(programs, seconds=seconds).items()}
            torch, choice = times.get("pytorch", math.nan), chosen(cell, sizes)
            ratios[sizes] = torch / times[choice]
            print(
                f"{cell:<10}{','.join(map(str, sizes)):<18}{times['one']:>9.2f}{times['rows']:>9.2f}{torch:>9.2f}"
                f"{times['one'] / times['rows']:>10.2f}{choice:>8}{ratios[sizes]:>14.2f}",
                flush=True,
            )
        print(f"{cell}: geometric mean of torch/chosen {geometric_mean(ratios.values()):.2f}", end="")
        known = [ratios[sizes] for sizes in map(Configuration._make, layers.CONFIGURATIONS) if sizes in ratios]
        print(f"; over the sizes of benchmarks.layers {geometric_mean(known):.2f}" if known else "")


def chosen(cell: CellName, sizes: Configuration) -> str:
    """Return "rows" where `devices_for` spreads the rows, else "one"."""
    params = jax.eval_shape(jaxrnn_cell(cell, sizes).init, jax.random.key(0))
    return "rows" if len(devices_for(params, sizes.batch)) > 1 else "one"


def rows_over_cores(cell: CellName, sizes: Configuration) -> Program:
    """Return a program for the mean of ys² and its gradient, with the rows split over all devices."""
    layer = jaxrnn_cell(cell, sizes)
    count = math.gcd(sizes.batch, jax.device_count())
    mesh = Mesh(np.array(jax.devices()[:count]), ("rows",))
    rows, whole = NamedSharding(mesh, PartitionSpec(None, "rows")), NamedSharding(mesh, PartitionSpec())
    params, xs = jax.device_put(layer.init(jax.random.key(0)), whole), jax.device_put(inputs(sizes), rows)
    loss = jax.value_and_grad(
        lambda params, xs: jnp.mean(jaxrnn.unroll_bptt(layer, params, xs)[1] ** 2), argnums=(0, 1)
    )
    return compiled(jax.jit(loss, out_shardings=(whole, (whole, rows))), params, xs)


if __name__ == "__main__":
    tyro.cli(main)
