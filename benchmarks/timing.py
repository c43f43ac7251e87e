"""Comparable timings: programs compiled separately, run in turns, minimum and median.

A machine's speed drifts (other processes, clocks, heat), so programs that are compared run in turns, A B C A B C …, not
one after the other.  Each turn is one untimed call, which displaces the previous program from threads and caches, and
then one timed call.  The minimum shows the speed of the program; the median also shows the load of the machine.
"""

import time
from collections.abc import Callable
from statistics import median
from typing import Any, NamedTuple

import jax


class Program(NamedTuple):
    """Something to time."""

    run: Callable[[], Any]
    """Comes back when the result is there."""
    compile_seconds: float | None = None
    """Tracing, lowering and compiling; None where nothing is compiled."""
    temporary_bytes: int | None = None
    """The temporary memory of the compiled program, arguments and results not counted; None if unknown."""


class Timing(NamedTuple):
    """Milliseconds per call, over `calls` timed calls."""

    minimum: float
    median: float
    calls: int


def compiled(function: Callable, *args: Any) -> Program:
    """Return `function(*args)`, compiled ahead of time."""
    start = time.perf_counter()
    executable = jax.jit(function).lower(*args).compile()
    seconds = time.perf_counter() - start
    return Program(lambda: jax.block_until_ready(executable(*args)), seconds, temporary_bytes(executable))


def temporary_bytes(executable: jax.stages.Compiled) -> int | None:
    """Return the size of the temporary buffers by `memory_analysis`, where the backend reports it."""
    analysis = executable.memory_analysis()
    return None if analysis is None else analysis.temp_size_in_bytes


def interleaved(programs: dict[str, Program], *, seconds: float, least: int = 5) -> dict[str, Timing]:
    """Run the programs in turns for about `seconds` for each of them, at least `least` turns.

    >>> interleaved({"a": Program(lambda: 1), "b": Program(lambda: 2)}, seconds=0, least=3)["a"].calls
    3
    """
    samples: dict[str, list[float]] = {name: [] for name in programs}
    end = time.perf_counter() + seconds * len(programs)
    while min(map(len, samples.values()), default=least) < least or time.perf_counter() < end:
        for name, program in programs.items():
            program.run()
            start = time.perf_counter()
            program.run()
            samples[name].append(1e3 * (time.perf_counter() - start))
    return {name: Timing(min(ms), median(ms), len(ms)) for name, ms in samples.items()}
