"""A gradient through a million steps, and the cost of recomputation where the full gradient still fits.

LSTM(64), batch 1, 8 inputs, float32; the gradient with respect to parameters and inputs, of a loss on the final carry
and of a loss at every step (a read-out of 8 classes).  Memory is given twice: as the compiled program reports it,
without arguments and results, and as the growth of the process while it ran, without the results.  Each measured run
is a separate process.

    python -m benchmarks.long
    python -m benchmarks.long --steps 100000 --short 5000
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Literal

import jax
import jax.numpy as jnp
import tyro

import jaxrnn
from benchmarks import report
from benchmarks.timing import compiled, interleaved, temporary_bytes

Loss = Literal["final carry", "every step"]
LOSSES: tuple[Loss, ...] = ("final carry", "every step")
CELL, READOUT = jaxrnn.LSTM(8, 64), jaxrnn.Readout(64, 8)
MIB = 2**20


def main(steps: int = 1_000_000, short: int = 20_000, seconds: float = 5.0) -> None:
    """Measure memory on a long sequence and time on a short one.

    Args:
        steps: the length at which memory is measured.
        short: the length at which times are compared with the full gradient's.
        seconds: time for each program.
    """
    print(f"{report.machine()}\n\n{steps:,} steps, {CELL}, batch 1, float32")
    print(f"{'loss':<13}{'memory':<8}{'program says MiB':>18}{'process grew MiB':>18}{'seconds':>9}{'compile s':>11}")
    for loss in LOSSES:
        for memory in ("sqrt", "log"):
            row = in_its_own_process(loss, memory, steps)
            print(
                f"{loss:<13}{memory:<8}{row['program'] / MIB:>18.1f}{row['process'] / MIB:>18.1f}"
                f"{row['seconds']:>9.1f}{row['compile']:>11.1f}"
            )
    print(f"\n{short:,} steps; the full gradient is jax.grad of unroll, and unroll_bptt")
    print(f"{'loss':<13}{'gradient':<15}{'min ms':>9}{'median':>9}{'of the faster full':>20}{'temporary MiB':>15}")
    for loss in LOSSES:
        compare(loss, short, seconds)


def compare(loss: Loss, steps: int, seconds: float) -> None:
    """Compare times with those of the full gradient, in turns."""
    full = {"unroll": full_loss(loss, jaxrnn.unroll), "unroll_bptt": full_loss(loss, jaxrnn.unroll_bptt)}
    little = {memory: little_loss(loss, memory) for memory in ("sqrt", "log")}
    programs = {
        name: compiled(jax.grad(function, argnums=(0, 1)), *arguments(steps))
        for name, function in (full | little).items()
    }
    timings = interleaved(programs, seconds=seconds)
    fastest = min(timings[name].minimum for name in full)
    for name, timing in timings.items():
        print(
            f"{loss:<13}{name:<15}{timing.minimum:>9.1f}{timing.median:>9.1f}{timing.minimum / fastest:>20.2f}"
            f"{(programs[name].temporary_bytes or 0) / MIB:>15.1f}"
        )


def arguments(steps: int) -> tuple:
    """Return parameters, inputs and labels."""
    keys = jax.random.split(jax.random.key(0), 4)
    params = CELL.init(keys[0]), READOUT.init(keys[1])
    return params, jax.random.normal(keys[2], (steps, 1, 8)), jax.random.randint(keys[3], (steps, 1), 0, 8)


def step_loss(readout_params, y, label):
    """Return −log ŷ of one step."""
    return jaxrnn.cross_entropy(READOUT.apply(readout_params, y), label)


def full_loss(loss: Loss, run: Callable) -> Callable:
    """Return the loss of all outputs at once."""

    def function(params, xs, labels):
        carry, ys = run(CELL, params[0], xs)
        if loss == "final carry":
            return jnp.sum(carry.h)
        return jaxrnn.cross_entropy(READOUT.apply(params[1], ys), labels)

    return function


def little_loss(loss: Loss, memory: str) -> Callable:
    """Return the loss of all outputs, computed with recomputation."""

    def function(params, xs, labels):
        if loss == "final carry":
            return jnp.sum(jaxrnn.unroll_checkpointed(CELL, params[0], xs, memory=memory)[0].h)
        of_step = partial(step_loss, params[1])
        return jaxrnn.unroll_loss(CELL, params[0], xs, labels, of_step, memory=memory)[1]

    return function


def in_its_own_process(loss: Loss, memory: str, steps: int) -> dict:
    """Run `measure` in a new process."""
    command = [sys.executable, "-m", "benchmarks.long", "measure", loss, memory, str(steps)]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


def measure(loss: Loss, memory: str, steps: int) -> dict:
    """Measure the bytes and seconds of one gradient."""
    given = jax.block_until_ready(arguments(steps))
    start = time.perf_counter()
    executable = jax.jit(jax.grad(little_loss(loss, memory), argnums=(0, 1))).lower(*given).compile()
    compile_seconds = time.perf_counter() - start
    warm = arguments(1000)  # what a process needs for its first run, whatever the length: code, threads
    jax.block_until_ready(jax.jit(jax.grad(little_loss(loss, memory), argnums=(0, 1)))(*warm))
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before, start = status("VmRSS"), time.perf_counter()
    gradient = jax.block_until_ready(executable(*given))
    seconds = time.perf_counter() - start
    results = sum(leaf.nbytes for leaf in jax.tree.leaves(gradient))
    grew = status("VmHWM") - before - results
    return {
        "program": temporary_bytes(executable),
        "process": grew,
        "seconds": seconds,
        "compile": compile_seconds,
    }


def status(what: str) -> int:
    """Return an entry of the kernel's status of this process, in bytes."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return 1024 * int(lines[what].split()[0])


if __name__ == "__main__":
    jax.config.update("jax_platforms", "cpu")
    if sys.argv[1:2] == ["measure"]:
        print(json.dumps(measure(sys.argv[2], sys.argv[3], int(sys.argv[4]))))
    else:
        tyro.cli(main, description=__doc__)
