"""Parallel in time: the number of updates of Newton's method against the Lyapunov exponents, and its cost here.

The recurrent weights are gain · N(0, 1/hidden), the inputs 0.3 · N(0, 1), 4 rows, float32.  The first table is the
basis of the rule of `jaxrnn.choose_method`; its last line is the constant of that rule.

    python -m benchmarks.parallel
    python -m benchmarks.parallel --lengths 1024 --gains 0.4 2
"""

from typing import NamedTuple

import jax
import tyro

import jaxrnn
from benchmarks import report
from benchmarks.timing import compiled, interleaved

CELLS = {"elman": jaxrnn.Elman, "gru": jaxrnn.GRU, "lstm": jaxrnn.LSTM}
LINEAR = {"min_gru": jaxrnn.MinGRU, "linear_unit": jaxrnn.linear.LinearUnit}
INPUT, ROWS = 2, 4


class Swept(NamedTuple):
    """One line of the first table."""

    advice: jaxrnn.dynamics.Advice
    updates: int
    """The largest number of updates of any row."""
    converged: bool
    """True if no row needed the loop."""


def main(
    lengths: tuple[int, ...] = (128, 1024),
    gains: tuple[float, ...] = (0.4, 0.8, 0.9, 1.0, 1.2, 1.6, 2.4),
    hidden: int = 16,
    most: int = 200,
    seconds: float = 1.0,
) -> None:
    """Print both tables.

    Args:
        lengths: numbers of steps.
        gains: factors of the recurrent weights.
        hidden: the size of h.
        most: the largest number of updates.
        seconds: for each program that is timed.
    """
    print(f"{report.machine()}\n\n{'cell':<8}{'τ':>6}{'gain':>6}{'λ':>8}{'λ₀':>8}{'updates':>9}  advice")
    swept = []
    for name, cell in CELLS.items():
        for time in lengths:
            for gain in gains:
                swept.append(sweep(cell(INPUT, hidden), time, gain, most))
                advice, updates, converged = swept[-1]
                count = str(updates) if converged else "failed" if updates < most else f"> {most}"
                exponents = f"{advice.exponent:>8.3f}{advice.first_exponent:>8.3f}"
                print(f"{name:<8}{time:>6}{gain:>6}{exponents}{count:>9}  {advice.method.__name__}", flush=True)
    tame = [s for s in swept if max(s.advice.exponent, s.advice.first_exponent) < 0]
    print(f"both exponents negative: {len(tame)} of {len(swept)}, {max(s.updates for s in tame)} updates at most")
    print(f"\nmilliseconds a call, forwards, gain {gains[0]}")
    print(f"{'cell':<14}{'τ':>6}{'loop':>10}{'parallel':>10}{'times':>8}")
    for name, cell in (CELLS | LINEAR).items():
        member = jaxrnn.unroll_associative if name in LINEAR else jaxrnn.unroll_newton
        for time in lengths:
            loop, parallel = milliseconds(cell(INPUT, hidden), time, gains[0], member, seconds)
            print(f"{name:<14}{time:>6}{loop:>10.2f}{parallel:>10.2f}{parallel / loop:>8.1f}", flush=True)


def problem(cell, time: int, gain: float):
    """Return parameters and inputs."""
    params = cell.init(jax.random.key(0))
    if hasattr(params, "w"):
        noise = jax.random.normal(jax.random.key(3), params.w.shape)
        params = params._replace(w=gain * noise / cell.hidden_size**0.5)
    return params, 0.3 * jax.random.normal(jax.random.key(4), (time, ROWS, INPUT))


def sweep(cell, time: int, gain: float, most: int) -> Swept:
    """Return the advice, and how Newton's method converges."""
    params, xs = problem(cell, time, gain)
    solved = jaxrnn.unrolling.parallel.newton(
        cell, params, xs, solver=jaxrnn.unrolling.parallel.Newton(iterations=most)
    )[2]
    advice = jaxrnn.choose_method(cell, params, xs)
    return Swept(advice, int(solved.iterations.max()), bool(solved.converged.all()))


def milliseconds(cell, time: int, gain: float, member, seconds: float) -> list[float]:
    """Return the milliseconds of the loop and of `member`, in turns."""
    params, xs = problem(cell, time, gain)
    programs = {
        run.__name__: compiled(lambda params, xs, run=run: run(cell, params, xs)[1], params, xs)
        for run in (jaxrnn.unroll, member)
    }
    return [timing.minimum for timing in interleaved(programs, seconds=seconds).values()]


if __name__ == "__main__":
    jax.config.update("jax_platforms", "cpu")
    tyro.cli(main, description=__doc__)
