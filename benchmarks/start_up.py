"""Start-up: from `jaxrnn train` to the first update, and the compilation of a training step of four LSTM layers.

Starts `jaxrnn train` as a process with an empty compilation cache ("cold") and again with the cache that it left
("warm"), and waits for the line of the first update in `metrics.jsonl`.

    python -m benchmarks.start_up
    python -m benchmarks.start_up --repeats 5
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import jax
import jax.numpy as jnp
import tyro

import jaxrnn
from benchmarks import report
from benchmarks.timing import compiled

GOALS = {"cold": 12, "warm": 6, "compilation": 3}
"""Seconds."""


def main(repeats: int = 3, hidden: int = 256, layers: int = 4) -> None:
    """Print the least and the median of the seconds.

    Args:
        repeats: how many times each is measured.
        hidden: units of a layer whose training step is compiled.
        layers: layers of it.
    """
    print(report.machine())
    seconds: dict[str, list[float]] = {"cold": [], "warm": [], "compilation": []}
    for _ in range(repeats):
        with tempfile.TemporaryDirectory() as folder:
            for which in ("cold", "warm"):
                seconds[which].append(first_update(Path(folder), which))
        seconds["compilation"].append(compile_seconds(hidden, layers))
        jax.clear_caches()
    print(f"{'seconds':<14}{'least':>8}{'median':>8}{'goal':>6}")
    for which, goal in GOALS.items():
        print(f"{which:<14}{min(seconds[which]):>8.1f}{median(seconds[which]):>8.1f}{goal:>6}")


def first_update(folder: Path, name: str) -> float:
    """Return the seconds from the start of `jaxrnn train` to the first line of its metrics."""
    run, start = folder / name, time.perf_counter()
    with subprocess.Popen(
        [sys.executable, "-m", "jaxrnn", "train", "--run", str(run), "--every", "1", "--dispatch", "1"],
        env=os.environ | {"JAX_COMPILATION_CACHE_DIR": str(folder / "cache")},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        metrics = run / "metrics.jsonl"
        while not (metrics.exists() and metrics.stat().st_size):
            if process.poll() is not None:
                raise RuntimeError(f"`jaxrnn train` ended with {process.returncode} before its first update.")
            time.sleep(0.02)
        seconds = time.perf_counter() - start
        process.kill()
    return seconds


def compile_seconds(hidden: int, layers: int) -> float:
    """Return the seconds to trace and compile the gradient of a stack of LSTM layers, T = 100, batch 32."""
    stack = jaxrnn.Stack(tuple(jaxrnn.LSTM(hidden, hidden) for _ in range(layers)))
    params, xs = jax.jit(stack.init)(jax.random.key(0)), jnp.ones((100, 32, hidden))

    def loss(params, xs):
        return jnp.mean(jaxrnn.unroll_bptt(stack, params, xs)[1] ** 2)

    seconds = compiled(jax.grad(loss), params, xs).compile_seconds
    assert seconds is not None
    return seconds


if __name__ == "__main__":
    jax.config.update("jax_platforms", "cpu")
    tyro.cli(main, description=__doc__)
