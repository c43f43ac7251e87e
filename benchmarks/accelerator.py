"""A recurrent layer on a GPU: every way to run it in this library, cuDNN, Flax and PyTorch, in one run.

Four pieces, each a table on standard output and a file PIECE.json in a folder, rewritten after every line:

* `agreement` compares results and gradients of `unroll_bptt` and `unroll_fused` on the GPU, with masks, resets and both
  directions, with those of `unroll` on the CPU: in float32 at the precision "highest" and at the default one (TF32),
  and in bfloat16, each with its own tolerance;
* `layers` times the forward pass and a training step, the programs taking turns, with compile seconds and temporary
  memory.  `unroll_fused` is `unroll_bptt` where the weights do not fit on chip; cuDNN's LSTM in JAX has only float32;
* `long` runs one row of 1,000 to a million steps: by the loop, by Newton's method over all steps, and a cell that is
  linear in its carry by the loop and by the associative scan;
* `matrix` runs a cell with matrix states by the loop and in chunks.

    python -m benchmarks.accelerator                  on a machine with a GPU; elsewhere one line, and exit status 2
    python -m benchmarks.accelerator --tiny           tiny sizes on whatever there is, to try the benchmark itself
    python -m benchmarks.accelerator --pieces layers  one piece

After `--minutes` no further program is compiled.  The exit status is 1 if `agreement` finds too large a difference.
"""

import importlib.metadata
import json
import math
import os
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import tyro

import jaxrnn
from benchmarks import contenders, report
from benchmarks.contenders import CellName, Configuration, Programs
from benchmarks.timing import Program, interleaved
from jaxrnn.linear.matrix import GatedDelta
from jaxrnn.testing.problem import random_problem, results
from jaxrnn.unrolling.fused.dispatch import unroll_interpreted
from jaxrnn.unrolling.parallel import unroll_chunkwise

CELLS: tuple[CellName, ...] = ("lstm", "gru-after")
DTYPES = ("float32", "bfloat16")
CONFIGURATIONS = (
    (100, 64, 64, 64),
    (1000, 64, 64, 64),
    (784, 128, 1, 128),
    (100, 1024, 128, 128),
    (48, 128, 512, 512),
    (32, 16, 1024, 1024),
)
STEPS = (1_000, 10_000, 100_000, 1_000_000)
LONGEST_LOOP = 10_000
"""The steps up to which the loop over matrix states runs: it keeps each of them."""
CHECKED = (jaxrnn.LSTM(8, 50), jaxrnn.LSTM(8, 64, "current"), jaxrnn.GRU(8, 64), jaxrnn.GRU(8, 30, "after"))
TOLERANCES = {("float32", "highest"): 1e-5, ("float32", "default"): 5e-3, ("bfloat16", "default"): 5e-2}
"""The bounds of the largest difference, relative to the largest number of an array if that is above 1."""
Piece = Literal["agreement", "layers", "long", "matrix"]


class Line(NamedTuple):
    """One line of a table of times, in milliseconds; nan where it was not measured."""

    cell: str
    sizes: str
    dtype: str
    name: str
    forward: float
    train: float
    compile_seconds: float = math.nan
    """The compile time of both programs."""
    megabytes: float = math.nan
    """The temporary memory of the training step."""


def main(
    tiny: bool = False,
    pieces: tuple[Piece, ...] = ("agreement", "layers", "long", "matrix"),
    minutes: float = 8.0,
    seconds: float = 0.3,
    least: int = 3,
    folder: Path = Path("accelerator"),
) -> None:
    """Check and measure on a GPU.

    Args:
        tiny: tiny sizes, on a CPU too.
        pieces: which pieces to run, in this order.
        minutes: the time after which no further program is compiled.
        seconds: time for each program.
        least: the least number of timed calls.
        folder: where each piece writes its JSON.
    """
    gpu, end = jax.default_backend() == "gpu", monotonic() + 60 * minutes
    if not gpu and not tiny:
        print(f"no GPU: JAX finds {jax.default_backend()} only; --tiny tries the program here", file=sys.stderr)
        sys.exit(2)
    folder.mkdir(parents=True, exist_ok=True)
    print(f"{report.machine() | versions()}\n")
    lines = {
        "layers": lambda: layers(((8, 2, 3, 4),) if tiny else CONFIGURATIONS, seconds, least, gpu),
        "long": lambda: long_sequences((16,) if tiny else STEPS, seconds, least),
        "matrix": lambda: matrix_states((16,) if tiny else STEPS, 4 if tiny else 64, seconds, least),
    }
    right = True
    for piece in pieces:
        if piece == "agreement":
            fused = jaxrnn.unrolling.fused.unroll_fused if gpu else unroll_interpreted
            right = agreement(CHECKED if gpu else (jaxrnn.GRU(8, 3),), fused)
            store(folder / "agreement.json", {"right": right})
        else:
            table(until(end, lines[piece]()), folder / f"{piece}.json")
    sys.exit(0 if right else 1)


def store(path: Path, found: dict) -> None:
    """Write what a piece has found so far, with the machine and the versions."""
    path.write_text(json.dumps({"machine": report.machine() | versions()} | found, indent=1))


def until(end: float, lines: Iterator[Line]) -> Iterator[Line]:
    """Yield the lines that begin before `end`."""
    for line in lines:
        yield line
        if monotonic() > end:
            print("the time is over: what is left was not measured; --minutes gives more", file=sys.stderr)
            return


def versions() -> dict[str, str]:
    """Return the versions of the other packages that the numbers depend on, where installed."""
    packages = ("jaxlib", "flax", "torch", "nvidia-cudnn-cu12", "nvidia-cudnn-cu13")
    return {name: importlib.metadata.version(name) for name in packages if _installed(name)}


def _installed(package: str) -> bool:
    return any(importlib.metadata.distributions(name=package))


def agreement(cells: tuple, fused: Callable) -> bool:
    """Print the first table; return True if every difference is within its tolerance."""
    print(f"{'cell':<55}{'dtype':<10}{'products':<10}{'unroll_bptt':>12}{'unroll_fused':>14}{'allowed':>10}")
    right = True
    for cell in cells:
        for (dtype, precision), allowed in TOLERANCES.items():
            found = [worst(cell, member, dtype, precision) for member in (jaxrnn.unroll_bptt, fused)]
            right &= max(found) <= allowed
            said = "" if max(found) <= allowed else "  TOO LARGE"
            print(f"{cell!r:<55}{dtype:<10}{precision:<10}{found[0]:>12.1e}{found[1]:>14.1e}{allowed:>10.0e}{said}")
    print()
    return right


def worst(cell: Any, member: Callable, dtype: str, precision: str) -> float:
    """Return the largest difference from `unroll` on the CPU: 20 rows of up to 12 steps, both directions."""
    problem = random_problem(cell, x=jnp.zeros(cell.input_size), time=12, batch=(20,), dtype=dtype)
    largest = 0.0
    for reverse in (False, True):
        with jax.default_matmul_precision(precision):
            got = _results(cell, problem, unroll=member, reverse=reverse)
        with jax.default_device(jax.devices("cpu")[0]):
            want = _results(cell, jax.device_get(problem), unroll=jaxrnn.unroll, reverse=reverse)
        largest = max(largest, *jax.tree.leaves(jax.tree.map(_difference, got, want)))
    return largest


_results = jax.jit(results, static_argnames=("unroll", "reverse"))


def _difference(got, want) -> float:
    got, want = np.asarray(got, np.float64), np.asarray(want, np.float64)
    difference = np.max(np.abs(got - want), initial=0) / np.max(np.abs(want), initial=1)
    return np.inf if np.isnan(difference) else float(difference)


def layers(configurations, seconds: float, least: int, gpu: bool) -> Iterator[Line]:
    """Time every library's layer, by cell, configuration and dtype."""
    for cell in CELLS:
        for sizes in map(Configuration._make, configurations):
            for dtype in DTYPES:
                makers = {
                    unroll.__name__: partial(contenders.ours, unroll, cell, sizes, jnp.dtype(dtype))
                    for unroll in (jaxrnn.unroll, jaxrnn.unroll_bptt, jaxrnn.unrolling.fused.unroll_fused)
                }
                makers |= _peers(cell, sizes, dtype, gpu)
                yield from measure((cell, ",".join(map(str, sizes)), dtype), makers, seconds, least)


def _peers(cell: CellName, sizes: Configuration, dtype: str, gpu: bool) -> dict[str, Callable[[], Programs]]:
    """Return the other libraries that are installed, and cuDNN's LSTM where there is a GPU and float32."""
    found: dict[str, Callable[[], Programs]] = {}
    if gpu and cell == "lstm" and dtype == "float32":
        found["cudnn"] = partial(cudnn, sizes)
    if _installed("flax"):
        found["flax"] = partial(contenders.flax, cell, sizes, jnp.dtype(dtype))
    if _installed("torch"):
        import torch

        device = "cuda" if torch.cuda.is_available() else "cpu"
        if not gpu or device == "cuda":
            found["pytorch"] = partial(contenders.pytorch, cell, sizes, jnp.dtype(dtype), device)
        else:
            print("pytorch: without CUDA, left out", file=sys.stderr)
    return found


def cudnn(sizes: Configuration) -> Programs:
    """Return `jax.experimental.rnn.lstm`, cuDNN's LSTM: batch-major, with two biases."""
    from jax.experimental import rnn

    weights = rnn.init_lstm_weight(jax.random.key(0), sizes.input, sizes.hidden, 1, False)
    zeros, lengths = jnp.zeros((1, sizes.batch, sizes.hidden)), jnp.full(sizes.batch, sizes.time, jnp.int32)

    def apply(weights, xs):
        return rnn.lstm(xs, zeros, zeros, weights, lengths, sizes.input, sizes.hidden, 1, 0.0, False)[0]

    return contenders.programs(apply, weights, contenders.inputs(sizes).swapaxes(0, 1))


def long_sequences(steps: tuple[int, ...], seconds: float, least: int) -> Iterator[Line]:
    """Time one row: the loop against the methods that are parallel over time."""
    diagonal = partial(jaxrnn.unroll_newton, solver=jaxrnn.unrolling.parallel.Newton("diagonal"))
    ways = {
        jaxrnn.GRU(8, 16): {
            "unroll_bptt": jaxrnn.unroll_bptt,
            "unroll_fused": jaxrnn.unrolling.fused.unroll_fused,
            "unroll_newton": jaxrnn.unroll_newton,
            "unroll_newton, diagonal": diagonal,
        },
        jaxrnn.MinGRU(8, 64): {"unroll_bptt": jaxrnn.unroll_bptt, "unroll_associative": jaxrnn.unroll_associative},
    }
    for time in steps:
        for cell, members in ways.items():
            makers = {name: partial(_one_row, cell, member, time) for name, member in members.items()}
            what = type(cell).__name__, f"{time},1,8,{cell.hidden_size}", "float32"
            yield from measure(what, makers, seconds, least)


def matrix_states(steps: tuple[int, ...], size: int, seconds: float, least: int) -> Iterator[Line]:
    """Time one row, 4 heads of `size` × `size`: the loop against chunks."""
    cell = GatedDelta(size, 4, size, size)
    for time in steps:
        members = {"unroll_bptt": jaxrnn.unroll_bptt} if time <= LONGEST_LOOP else {}
        members |= {f"chunks of {chunk}": partial(unroll_chunkwise, chunk=chunk) for chunk in (32, 64, 128)}
        makers = {name: partial(_one_row, cell, member, time) for name, member in members.items()}
        yield from measure(("GatedDelta", f"{time},1,{size},4×{size}", "float32"), makers, seconds, least)


def _one_row(cell: Any, member: Callable, time: int) -> Programs:
    def apply(params, xs):
        return member(cell, params, xs)[1]

    xs = contenders.inputs(Configuration(time, 1, cell.input_size, 0))
    return contenders.programs(apply, cell.init(jax.random.key(0)), xs)


def measure(what: tuple[str, str, str], makers: dict[str, Callable[[], Programs]], seconds, least) -> Iterator[Line]:
    """Time the contenders in turns, a line for each; report and leave out those that fail, by lack of memory say."""
    made: dict[str, Programs] = {}
    for name, make in makers.items():
        try:
            made[name] = make()
            for program in made[name].values():
                program.run()
        except (jax.errors.JaxRuntimeError, RuntimeError) as error:
            made.pop(name, None)
            print(f"{name} at {what}: {str(error).splitlines()[0]}", file=sys.stderr)
    passes: dict[str, dict[str, Program]] = {
        kind: {name: programs[kind] for name, programs in made.items()} for kind in ("forward", "train")
    }
    times = {kind: interleaved(programs, seconds=seconds, least=least) for kind, programs in passes.items()}
    for name in made:
        compiling = sum(program.compile_seconds or math.nan for program in made[name].values())
        megabytes = (made[name]["train"].temporary_bytes or math.nan) / 1e6
        forward, train = (times[kind][name].minimum for kind in ("forward", "train"))
        yield Line(*what, name, forward, train, compiling, megabytes)


def table(lines: Iterator[Line], path: Path) -> list[Line]:
    """Print the lines as they come, and keep them in a file."""
    header = f"{'cell':<11}{'T,B,in,hidden':<19}{'dtype':<10}{'program':<25}{'forward ms':>11}{'train ms':>11}"
    print(f"{header}{'compile s':>11}{'temp MB':>9}")
    seen: list[Line] = []
    for line in lines:
        row = f"{line.cell:<11}{line.sizes:<19}{line.dtype:<10}{line.name:<25}{line.forward:>11.3f}{line.train:>11.3f}"
        print(f"{row}{line.compile_seconds:>11.1f}{line.megabytes:>9.1f}", flush=True)
        seen.append(line)
        store(path, {"lines": [each._asdict() for each in seen]})
    print()
    return seen


if __name__ == "__main__":
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # PyTorch needs memory too
    tyro.cli(main, description=__doc__)
