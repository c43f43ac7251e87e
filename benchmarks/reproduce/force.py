"""FORCE: the error before, during and after learning, and its dependence on the chaos gain g.

After Sussillo & Abbott 2009: tanh rate units, τ = 10 ms in steps of 1 ms, g = 1.5, feedback weights uniform in [−1, 1],
recursive least squares at every second step, starting with P = I; the network always reads its own output.

* **Figure 2**, patterns: a triangle wave, the sum of four sinusoids, the same under noise, and the first coordinate of
  the Lorenz flow.  The table shows the root mean square error before learning (the output is 0), in the last cycle of
  learning, and in the first cycle after it, each the median over several networks; then the error of every network in
  the tenth cycle after learning, at the best phase.  Lorenz is chaotic: after learning only the first time unit can
  agree, and later the size of the output.
* **Figure 4**, chaos: the sum of sinusoids for g from 0.75 to 1.5, the median over several networks of the cycles until
  the network, left alone for one cycle, errs by less than 0.05, its error in the third cycle after learning at the best
  phase, and the norm of the read-out.
* **full-FORCE** (DePasquale et al. 2018) on the sum of sinusoids, with half as many units.

    python -m benchmarks.reproduce.force
    python -m benchmarks.reproduce.force --units 500   # a few minutes
    python -m benchmarks.reproduce.force --full        # the paper's 1000 units, ten networks for each row
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import tyro

from benchmarks.reproduce import on_one_thread_each, results
from benchmarks.reproduce.chaotic_flows import lorenz
from jaxrnn import Readout, unroll
from jaxrnn.cells.continuous import RateNetwork
from jaxrnn.patterns import Feedback
from jaxrnn.reservoirs import FullForceCarry, force, force_params, full_force, tracker

PERIOD = 1200
"""Steps in a cycle of the periodic patterns."""
LEARNED, AFTER = 12, 10
"""Cycles of learning, as many as in the paper's program, and without it."""
GAINS = (0.75, 1.0, 1.25, 1.5)
ALONE = 0.05
"""The root mean square error of a cycle without learning that counts as learned."""


def plan(full: bool = False, again: bool = False, units: int = 0, seeds: int = 0) -> results.Plan:
    """Plan a case for each pattern, each gain, and full-FORCE.

    Args:
        full: 1000 units and ten networks for each row, in place of 300 units and three.
        again: measure again what is stored; without `full` everything is measured again.
        units: another number of units.
        seeds: another number of networks for each row.
    """
    units, seeds = units or (1000 if full else 300), seeds or (10 if full else 3)
    cases = [
        results.Case(
            "force",
            {"pattern": name, "units": units, "seeds": seeds},
            partial(patterns, name, units, seeds),
            show_pattern,
            paper,
            seeds,
            work=seeds * units**2,
        )
        for name, paper in (
            ("triangle", "learned, stable after"),
            ("sinusoids", "learned, stable after"),
            ("noisy sinusoids", "learned, stable after"),
            ("lorenz", "follows, then like the attractor"),
        )
    ]
    cases += [
        results.Case(
            "force",
            {"pattern": "sinusoids", "gain": gain, "units": units, "seeds": seeds},
            partial(chaos, gain, units, seeds),
            show_chaos,
            "learned sooner and better from chaos",
            seeds,
            work=seeds * units**2,
        )
        for gain in GAINS
    ]
    few = units // 2
    settings = {"pattern": "full-FORCE, sinusoids", "units": few, "seeds": seeds}
    run = partial(patterns, "full-FORCE", few, seeds)
    cases.append(results.Case("force", settings, run, show_pattern, seeds=seeds, work=2 * seeds * few**2))
    return results.Plan(cases, again or not full)


def target(name: str, steps: int) -> np.ndarray:
    """Return a pattern, `[steps, 1]`."""
    t = np.arange(steps)
    if name == "lorenz":
        series = lorenz(steps // 10 + 2, 0.05)[:, 0]  # a step of the flow's 0.05 in 10 of the network's
        return (np.interp(t / 10, np.arange(len(series)), series) / 10)[:, None]
    if name == "triangle":
        return (4 * np.abs((t / (PERIOD / 2)) % 1 - 0.5) - 1)[:, None]
    angle = 2 * np.pi * t / PERIOD
    waves = sum(size * np.sin(k * angle) for k, size in ((1, 1.0), (2, 1 / 2), (3, 1 / 6), (4, 1 / 3)))
    noise = 0.3 * np.random.default_rng(0).normal(size=steps) if name == "noisy sinusoids" else 0
    return (1.3 / 1.5 * waves + noise)[:, None]


def network(units: int, gain: float) -> Feedback:
    """Return the network, whose only input is its own output."""
    return Feedback(RateNetwork(1, units, dt=1.0, tau=10.0, gain=gain), Readout(units, 1), "logits")


def started(units: int, gain: float, seed: int):
    """Return the network, its parameters, its state, and the state of the recursion."""
    cell, keys = network(units, gain), jax.random.split(jax.random.key(seed))
    params = force_params(keys[0], cell)
    carry = cell.initial_carry(params)._replace(cell=jax.random.normal(keys[1], (units,)) / 2)
    return cell, params, carry, tracker(units, 1, penalty=1.0, bias=False)


def patterns(name: str, units: int, seeds: int) -> dict:
    """Return the errors of several networks."""
    each = [full_pattern(units, seed) if name == "full-FORCE" else pattern(name, units, seed) for seed in range(seeds)]
    return {key: [errors[key] for errors in each] for key in each[0]}


def pattern(name: str, units: int, seed: int) -> dict:
    """Learn a pattern, and continue it without learning."""
    fs = jnp.asarray(target(name, PERIOD * (LEARNED + AFTER)), jnp.float32)
    clean = np.asarray(fs if name != "noisy sinusoids" else target("sinusoids", len(fs)))
    cell, params, carry, state = started(units, 1.5, seed)
    learning, rest = PERIOD * LEARNED, PERIOD * AFTER
    carry, params, _, zs = force(cell, params, state, jnp.zeros((learning, 0)), fs[:learning], carry)
    _, free = unroll(cell, params, jnp.zeros((rest, 0)), carry)
    return errors(np.asarray(zs), np.asarray(free), clean, name != "lorenz")


def full_pattern(units: int, seed: int) -> dict:
    """Learn a pattern by full-FORCE, in a network without feedback, and continue it."""
    fs = jnp.asarray(target("sinusoids", PERIOD * (LEARNED + AFTER)), jnp.float32)
    keys, learning = jax.random.split(jax.random.key(seed), 3), PERIOD * LEARNED
    cell = RateNetwork(1, units, dt=1.0, tau=10.0, gain=1.5)
    first, driver = cell.init(keys[0]), jax.random.uniform(keys[1], (1, units), minval=-1.0)
    state, start = (
        tracker(units, units + 1, penalty=1.0, bias=False),
        FullForceCarry(*jax.random.normal(keys[2], (2, units))),
    )
    nothing = jnp.zeros((PERIOD * (LEARNED + AFTER), 1))
    carry, params, readout, _, zs = full_force(cell, first, state, nothing[:learning], fs[:learning], driver, start)
    _, rs = unroll(cell, params, nothing[learning:], carry.x)
    return errors(np.asarray(zs), np.asarray(rs @ readout.v), np.asarray(fs), True)


def errors(zs: np.ndarray, free: np.ndarray, fs: np.ndarray, periodic: bool) -> dict:
    """Return the RMS errors of the output 0, in the last cycle of learning, and in the first and last one after it."""
    learning, first = len(zs), slice(0, PERIOD if periodic else 200)
    found = {
        "before": rms(fs),
        "during": rms(zs[-PERIOD:] - fs[learning - PERIOD : learning]),
        "after": rms(free[first] - fs[learning:][first]),
        "size": float(np.std(free[-PERIOD:]) / np.std(fs)),
    }
    if periodic:
        found["tenth"] = at_best_phase(free[-PERIOD:], fs[:PERIOD, 0])
    return found


def at_best_phase(zs: np.ndarray, cycle: np.ndarray) -> float:
    """Return the RMS error of a cycle of outputs, `[PERIOD, 1]`, at the best phase of the pattern."""
    return min(rms(zs[:, 0] - np.roll(cycle, shift)) for shift in range(0, PERIOD, 2))


def rms(error: np.ndarray) -> float:
    """Return √⟨e²⟩."""
    return float(np.sqrt(np.mean(error**2)))


def show_pattern(figures: dict) -> str:
    """Return the median errors before, during and after learning, and the last one of each network."""
    before, during, after = (np.median(figures[key]) for key in ("before", "during", "after"))
    name, digits = ("tenth", 3) if "tenth" in figures else ("size", 2)
    each = " ".join(f"{value:.{digits}f}" for value in figures[name])
    return f"{before:.2f} → {during:.4f} → {after:.4f}, {name} {each}"


def chaos(gain: float, units: int, seeds: int) -> dict:
    """Return the cycles that learning takes, the error afterward and ‖V‖, of several networks."""
    found = [of_gain(gain, units, seed) for seed in range(seeds)]
    return {name: [each[name] for each in found] for name in ("cycles", "error", "weights")}


def of_gain(gain: float, units: int, seed: int, most: int = 30) -> dict:
    """Measure one network."""
    cell, params, carry, state = started(units, gain, seed)
    fs, nothing = jnp.asarray(target("sinusoids", PERIOD), jnp.float32), jnp.zeros((PERIOD, 0))
    for cycles in range(1, most + 1):  # noqa: B007, the number of cycles is a result
        carry, params, state, _ = force(cell, params, state, nothing, fs, carry)
        _, alone = unroll(cell, params, nothing, carry)
        if rms(alone - fs) < ALONE:
            break
    for _ in range(3):
        carry, zs = unroll(cell, params, nothing, carry)
    error = at_best_phase(np.asarray(zs), np.asarray(fs[:, 0]))
    return {"cycles": cycles, "error": error, "weights": float(jnp.linalg.norm(params.readout.v))}


def show_chaos(figures: dict) -> str:
    """Return the medians."""
    cycles, error, weights = (np.median(figures[name]) for name in ("cycles", "error", "weights"))
    return f"{cycles:.0f} cycles, error {error:.3f}, ‖V‖ {weights:.2f}"


if __name__ == "__main__":
    on_one_thread_each()
    results.run(tyro.cli(plan, description=__doc__))
