"""Compare eleven ratios with stored ones, to see whether a change has lost speed.

Each ratio tells how many times as fast a program of this library is as another program in the same interleaved run, by
their minima.  `benchmarks/quick.json` stores the ratios of an earlier version, each measured several times; it stores
no seconds, because they depend on the machine.  A ratio is lost if, twice in a row, it is below the lowest stored one
by more than the spread of the stored ones.  The exit status is 1 if a ratio is lost.

    python -m benchmarks.quick              compare; under three minutes on two quiet cores
    python -m benchmarks.quick --record     measure five times, and store
"""

import json
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import tyro
from tqdm import tqdm

import jaxrnn
from benchmarks import attention, contenders, linear, ntm, report, reservoirs, sampling, trees
from benchmarks.contenders import CellName, Configuration
from benchmarks.timing import Program, compiled, interleaved

STORED = Path(__file__).with_suffix(".json")
SIZES = Configuration(100, 32, 128, 128)
REPEATS = 5

Pair = tuple[Program, Program]
"""A program of this library, and the one that it is compared with."""


def against_pytorch(cell: CellName) -> Pair:
    """Build the training step of a cell, here and in PyTorch."""
    return contenders.unroll_bptt(cell, SIZES)["train"], contenders.pytorch(cell, SIZES)["train"]


def against_grad(cell: CellName) -> Pair:
    """Build the training step with the explicit backward pass and with `jax.grad` of the scan."""
    return contenders.unroll_bptt(cell, SIZES)["train"], contenders.unroll(cell, SIZES)["train"]


def recomputation() -> Pair:
    """Build a gradient by recomputation, in a few MiB, and one that stores everything."""
    cell = jaxrnn.LSTM(8, 64)
    params, xs = cell.init(jax.random.key(0)), jax.random.normal(jax.random.key(1), (4000, 1, 8))

    def program(run: Callable) -> Program:
        return compiled(jax.grad(lambda params, xs: jnp.sum(run(cell, params, xs)[1] ** 2)), params, xs)

    return program(partial(jaxrnn.unroll_checkpointed, memory="sqrt")), program(jaxrnn.unroll_bptt)


def chunks() -> Pair:
    """Build a gradient of matrix states, in chunks and step by step."""
    programs = linear.gradients(linear.CELLS["gated_delta"](64, 2, 32, 32), 1024, 64, (32,), loop=True, pytorch=False)
    return programs["chunk 32"], programs["unroll_bptt"]


def trees_against_pytorch() -> Pair:
    """Build the training step for a batch of trees, here and in PyTorch."""
    batch = [jaxrnn.trees.balanced_tree(32)] * 16
    forest = jaxrnn.trees.pack(batch)
    xs = jax.random.normal(jax.random.key(0), (*forest.leaf.shape, 64))
    return trees.ours(jaxrnn.trees.unroll_tree_bpts, forest, xs), trees.pytorch(batch, xs, None)


def states_against_reservoirpy() -> Pair:
    """Build the programs for the states of a sparse reservoir, here and in reservoirpy."""
    cell = jaxrnn.reservoirs.Reservoir(1, 500, 50)
    programs = reservoirs.states_programs(cell, reservoirs.series(1000))
    return programs["jaxrnn"], programs["reservoirpy"]


def attention_against_pytorch() -> Pair:
    """Build the training step of a decoder with attention, here and in PyTorch."""
    sizes = attention.Sizes(time=15, source=20, batch=64, features=64, hidden=128, vocabulary=100)
    return attention.train(sizes), attention.pytorch_train(sizes)


RATIOS: dict[str, Callable[[], Pair]] = {
    "LSTM, training step, against PyTorch": partial(against_pytorch, "lstm"),
    "GRU, training step, against PyTorch": partial(against_pytorch, "gru-after"),
    "Elman, unroll_bptt against jax.grad": partial(against_grad, "elman"),
    "LSTM, unroll_bptt against jax.grad": partial(against_grad, "lstm"),
    "LSTM, checkpointed against full memory": recomputation,
    "GatedDelta, chunks against the loop": chunks,
    "sampling, LSTM(256), against PyTorch": lambda: (
        sampling.ours(jaxrnn.sample, 200, 100, 256, 1),
        sampling.pytorch(200, 100, 256, 1, None),
    ),
    "attention, training step, against PyTorch": attention_against_pytorch,
    "trees, training step, against PyTorch": trees_against_pytorch,
    "Neural Turing machine, against PyTorch": lambda: (ntm.ours(16, jaxrnn.unroll_bptt), ntm.pytorch(16, None)),
    "reservoir's states, against reservoirpy": states_against_reservoirpy,
}
"""The comparisons; each value builds two programs."""


def main(record: bool = False, seconds: float = 1.0) -> None:
    """Compare with the stored ratios, or store new ones.

    Args:
        record: measure each ratio five times and store it.
        seconds: time for each program.
    """
    if not record and not STORED.exists():
        print(f"{STORED.name}: nothing is stored yet; --record measures and stores the ratios", file=sys.stderr)
        sys.exit(2)
    stored = {} if record else json.loads(STORED.read_text())["ratios"]
    print(f"{report.machine()}\n\n{'times as fast':<44}{'now':>8}{'stored':>16}")
    now, lost = {}, []
    for name, make in tqdm(RATIOS.items(), disable=None):
        measured = ratios(make(), seconds)
        now[name] = sorted(next(measured) for _ in range(REPEATS if record else 1))
        lowest, *_, highest = (now if record else stored)[name]
        bound = lowest - (highest - lowest)
        if now[name][0] < bound and next(measured) < bound:
            lost.append(name)
        mark = "  LOST" if name in lost else ""
        tqdm.write(
            f"{name:<44}{now[name][len(now[name]) // 2]:>8.2f}{lowest:>8.2f} …{highest:>6.2f}{mark}", file=sys.stdout
        )
    if record:
        STORED.write_text(json.dumps({"machine": report.machine(), "ratios": now}, indent=1, ensure_ascii=False) + "\n")
    sys.exit(1 if lost else 0)


def ratios(pair: Pair, seconds: float) -> Iterator[float]:
    """Yield one measurement after another of the same two programs."""
    while True:
        timings = interleaved({"ours": pair[0], "theirs": pair[1]}, seconds=seconds)
        yield timings["theirs"].minimum / timings["ours"].minimum


if __name__ == "__main__":
    jax.config.update("jax_platforms", "cpu")
    tyro.cli(main)
