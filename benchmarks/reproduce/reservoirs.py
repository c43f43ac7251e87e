"""The usual benchmarks of reservoirs: Mackey-Glass, the Santa Fe laser, Lorenz, Kuramoto-Sivashinsky.

* **Mackey-Glass** after Jaeger's GMD report 148: 400 leaky units that read their own output, C = 0.44, a = 0.9, a
  spectral radius of 0.79, a washout of 1000; NRMSE₈₄ over 100 continuations, for 20 reservoirs.  The report has
  2.8e-4 with 3000 steps and 1.2e-4 with 21,000; Jaeger & Haas 10^-4.2 with 1000 units.  A small penalty replaces the
  report's noise; for each reservoir it is the one with the least error on 100 other continuations.  The read-out reads
  the states h, and in a separate line h together with h².
* **Laser**: one step ahead, by one reservoir with the same weights here and in reservoirpy.
* **Lorenz, Kuramoto-Sivashinsky** (L = 22): the time until the free-running network's normalized error is 0.4, in
  Lyapunov times, the mean over 50 starts; the penalty is the best one from 50 other starts.  Pathak et al. square
  every second unit; here the read-out reads h together with h².  In "ks-ring" each of four reservoirs on the ring
  reads 32 of the 64 points and predicts 16.  All have the same weights and the same read-out, because the equation is
  the same everywhere.

All in float64.
    OPENBLAS_NUM_THREADS=1 python -m benchmarks.reproduce.reservoirs            # 5 reservoirs for Mackey-Glass, minutes
    OPENBLAS_NUM_THREADS=1 python -m benchmarks.reproduce.reservoirs --full     # 20, and larger ones too
    OPENBLAS_NUM_THREADS=1 python -m benchmarks.reproduce.reservoirs --which laser lorenz

OpenBLAS waits for its threads by spinning: with more of them than free cores a factorization can take a hundred times
as long.

References: Jaeger 2001 (GMD report 148), §6; Jaeger & Haas 2004; Pathak, Lu, Hunt, Girvan & Ott 2017 and Pathak, Hunt,
Girvan, Lu & Ott 2018.
"""

from collections.abc import Callable
from functools import partial
from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from jax import lax

from benchmarks.reproduce import results
from benchmarks.reproduce.chaotic_flows import KS, LORENZ, Flow
from benchmarks.reproduce.reservoir_rings import WARMED, Ring, Squared, beside_squares, ring_of
from jaxrnn import ESN, Readout
from jaxrnn.patterns.feedback import FeedbackParams
from jaxrnn.reservoirs import Reservoir, ridge, solve
from jaxrnn.tasks.reservoirs import HORIZON, intensities, mackey_glass_series

WASHOUT, CONTINUED, WARM = 1000, 100, 1000
FITTED, PENALTIES = (3000, 21_000), (1e-18, 1e-17, 1e-16, 1e-15, 1e-14, 1e-13)
HELD, CONTINUATIONS, LYAPUNOV_TIMES = 20_000, 50, 16
FLOW_PENALTIES = (1e-10, 1e-9, 1e-8, 1e-7, 1e-6, 1e-5)


def plan(full: bool = False, again: bool = False, which: tuple[str, ...] = (), runs: int = 0) -> results.Plan:
    """Plan the experiments.

    Args:
        full: Mackey-Glass with 1000 units too, and 20 reservoirs, in place of 5; for Kuramoto-Sivashinsky twice the
          units, and for the single reservoir four times the steps.
        again: measure again what is stored; without `full` everything is measured again.
        which: some of "mackey-glass", "mackey-glass-1000", "laser", "lorenz", "ks", "ks-ring".
        runs: another number of reservoirs drawn for Mackey-Glass.
    """
    runs, times, fitted = runs or (20 if full else 5), 2 if full else 1, 80_000 if full else 20_000
    chosen = which or ("mackey-glass", *(["mackey-glass-1000"] if full else []), "laser", "lorenz", "ks", "ks-ring")
    cases = {
        "mackey-glass": mackey_glass_case(400, runs, "2.8e-4 (3,000 steps), 1.2e-4 (21,000)"),
        "mackey-glass-1000": mackey_glass_case(1000, min(runs, 5), "10^-4.2 (3,000 steps)"),
        "laser": results.Case(
            "reservoirs", {"problem": "laser", "units": 500}, partial(in_float64, laser), show_laser, seeds=5
        ),
        "lorenz": flow_case("lorenz", LORENZ, ring_of(3, 500, 0.2, 0.2), 20_000),
        "ks": flow_case("ks", KS, ring_of(64, 1000 * times, 0.25, 0.2), fitted),
        "ks-ring": flow_case("ks-ring", KS, ring_of(16, 500 * times, 0.3, 0.3, margin=8), 20_000),
    }
    return results.Plan([cases[name] for name in chosen], again or not full)


def in_float64(measure: Callable[..., dict], *args) -> dict:
    """Measure with 64-bit arrays."""
    with jax.enable_x64(True):
        return measure(*args)


# --- Mackey-Glass


def mackey_glass_case(units: int, runs: int, paper: str) -> results.Case:
    """Plan so many reservoirs of so many units."""
    settings = {"problem": "mackey-glass", "units": units, "reservoirs": runs}
    measure = partial(in_float64, mackey_glass, runs, units, 10)
    return results.Case("reservoirs", settings, measure, show_mackey_glass, paper, runs, runs * units**2)


def mackey_glass(runs: int, units: int, connections: int) -> dict:
    """Return NRMSE₈₄ for both lengths of the report, over the reservoirs; other continuations choose each penalty."""
    cell = Reservoir(
        1, units, connections, radius=0.79, input_scaling=0.56, bias_scaling=0.028, retention=1 - 0.44 * 0.9, gain=0.44
    )
    train = jnp.tanh(mackey_glass_series(max(FITTED), 1, seed=0) - 1)[..., None]
    others = jnp.stack(
        [jnp.tanh(mackey_glass_series(WARM + HORIZON, CONTINUED, seed=s) - 1)[..., None] for s in (1, 2)]
    )
    errors = np.stack([mackey_glass_errors(cell, key, train, others) for key in keys(runs)], axis=-1)
    rows = []
    for (steps, way), (chosen_by, reported) in zip(product(FITTED, ("h", "h and h²")), errors, strict=True):
        best = chosen_by.argmin(axis=0)
        tested = np.take_along_axis(reported, best[None], axis=0)[0]
        penalties = np.take(PENALTIES, best).tolist()
        rows.append({"steps": steps, "read": way, "nrmse": to_digits(tested), "penalties": penalties})
    return {"rows": rows}


def to_digits(values) -> list[float]:
    """Round each value to four digits."""
    return [float(f"{value:.4g}") for value in values]


def show_mackey_glass(figures: dict) -> str:
    """Return the medians for h, and for h together with h², for both lengths."""
    return ", ".join(f"{np.median(row['nrmse']):.2e}" for row in figures["rows"])


def mackey_glass_errors(cell: Reservoir, key, train, others) -> np.ndarray:
    """Return NRMSE₈₄ of one reservoir, `[fitted steps and ways, sets of continuations, penalties]`."""
    units = cell.hidden_size
    networks = (
        ESN(cell, Readout(units, 1), feedback=True),
        ESN(Squared(cell), Readout(2 * units, 1), feedback=True),
    )
    params = networks[0].init(key)
    _, hs = networks[0].states(params, jnp.zeros((len(train), 1, 0)), train)
    series = jnp.moveaxis(others, 0, 2).reshape(len(others[0]), -1, 1)  # the sets side by side
    carry, _ = networks[0].states(params, jnp.zeros((WARM, series.shape[1], 0)), series[:WARM])
    ways = list(zip(networks, (hs, beside_squares(hs)), strict=True))
    # each waited for: batched solutions of jaxlib 0.10 that run at the same time on few cores can hang
    errors = [np.asarray(continued(n, params, h[:s], train[:s], carry, series)) for s in FITTED for n, h in ways]
    squares = np.reshape(errors, (len(errors), len(PENALTIES), CONTINUED, len(others))) ** 2
    return np.swapaxes(np.sqrt(squares.mean(axis=2)), 1, 2)


@partial(jax.jit, static_argnums=0)
def continued(network: ESN, params, hs, train, carry, series):
    """Return errors 84 steps ahead, relative to the series' standard deviation: `[penalties, series]`."""

    def error(readout):
        _, os = network.apply(params._replace(readout=readout), jnp.zeros((HORIZON, series.shape[1], 0)), carry)
        truth = jnp.arctanh(series)
        return (jnp.arctanh(jnp.clip(os[-1, :, 0], -0.999, 0.999)) - truth[-1, :, 0]) / jnp.std(truth)

    fit = partial(ridge, hs[WASHOUT:], train[WASHOUT:])
    return lax.map(error, jax.vmap(fit)(jnp.array(PENALTIES)))


# --- the laser


def laser() -> dict:
    """Return NRMSE one step ahead on the last fifth, here and in reservoirpy, with the same weights."""
    from benchmarks.reservoirs import theirs

    xs = intensities().astype(np.float64) / 255
    cut = int(0.8 * len(xs))
    cell = Reservoir(1, 500, 10, radius=0.9, bias_scaling=0.5, input_scaling=1.0)
    esn, penalty = ESN(cell, Readout(500, 1)), 1e-6
    ours, reservoirpys = [], []
    for key in keys(5):
        carry, params = esn.fit(
            esn.init(key), jnp.asarray(xs[:cut]), jnp.asarray(xs[1 : cut + 1]), penalty=penalty, washout=200
        )
        os = esn.apply(params, jnp.asarray(xs[cut:-1]), carry)[1]
        ours.append(nrmse(os, xs[cut + 1 :]))
        from reservoirpy import nodes

        model = theirs(cell, params.cell) >> nodes.Ridge(ridge=penalty)
        model.fit(xs[:cut], xs[1 : cut + 1], warmup=200)
        model.reset()
        reservoirpys.append(nrmse(model.run(xs[:-1])[cut:], xs[cut + 1 :]))
    return {"jaxrnn": [round(v, 6) for v in ours], "reservoirpy": [round(v, 6) for v in reservoirpys]}


def show_laser(figures: dict) -> str:
    """Return the means of both libraries."""
    return f"{np.mean(figures['jaxrnn']):.6f}, reservoirpy {np.mean(figures['reservoirpy']):.6f}"


def nrmse(os, truth) -> float:
    """Return √(mean squared error / variance)."""
    return float(np.sqrt(np.mean((np.asarray(os) - truth) ** 2)) / np.std(truth))


# --- chaotic flows


def flow_case(name: str, flow: Flow, ring: Ring, fitted: int) -> results.Case:
    """Plan reservoirs on a flow."""
    units = ring.network.cell.cell.hidden_size
    settings = {"problem": name, "units": units, "steps": fitted}
    measure = partial(in_float64, valid_times, flow, ring, fitted)
    return results.Case("reservoirs", settings, measure, show_times, work=units**2 * fitted)


def valid_times(flow: Flow, ring: Ring, fitted: int) -> dict:
    """Fit to the beginning of the series; 50 starts after it choose the penalty, the last 50 are scored."""
    series = flow.run(fitted + 2 * HELD)
    series = jnp.asarray(series / series.std())
    params = one_input_each(ring.network.init(jax.random.key(0)))
    equations = ring.equations(params, series[:fitted])
    chosen_by, others = (stretches(series[s : s + HELD], flow) for s in (fitted, fitted + HELD))

    def times(penalty: float, us) -> np.ndarray:
        solved = params._replace(readout=solve(equations, penalty))
        return valid_steps(ring, solved, us) * flow.dt * flow.exponent

    penalty = max(FLOW_PENALTIES, key=lambda penalty: times(penalty, chosen_by).mean())
    scored = times(penalty, others)
    return {"times": [round(float(time), 3) for time in scored], "penalty": penalty}


def show_times(figures: dict) -> str:
    """Return the mean number of Lyapunov times that a continuation is valid for, and its range."""
    return "{:.1f} Lyapunov times ({:.1f} to {:.1f})".format(*mean_and_range(figures))


def mean_and_range(figures: dict) -> tuple[float, float, float]:
    """Return the mean, the least and the largest of the valid times; some older results store no more."""
    if "times" not in figures:
        return figures["mean"], figures["least"], figures["largest"]
    times = figures["times"]
    return float(np.mean(times)), min(times), max(times)


def stretches(series, flow: Flow):
    """Return pieces of a series for warm-up and continuation, `[time, pieces, size]`."""
    size = WARMED + int(LYAPUNOV_TIMES / flow.exponent / flow.dt)
    return jnp.stack([series[s : s + size] for s in np.linspace(0, HELD - size, CONTINUATIONS).astype(int)], axis=1)


def one_input_each(params: FeedbackParams) -> FeedbackParams:
    """Let every unit read one of the inputs, as Pathak et al. do."""
    inputs, units = params.cell.u.shape
    read = jnp.arange(inputs)[:, None] == jnp.arange(units) % inputs
    return params._replace(cell=params.cell._replace(u=jnp.where(read, params.cell.u, 0)))


def valid_steps(ring: Ring, params: FeedbackParams, pieces):
    """Return the steps until ‖error‖ is 0.4 times the root mean square of ‖series‖, for each piece."""
    truth = pieces[WARMED:]
    errors = jnp.linalg.norm(ring.go_on(params, pieces[:WARMED], len(truth)) - truth, axis=-1)
    wrong = ~(errors < 0.4 * jnp.sqrt(jnp.mean(jnp.sum(truth**2, axis=-1))))
    return np.where(wrong.any(axis=0), jnp.argmax(wrong, axis=0), len(truth))


def keys(n: int):
    """Return a key for each reservoir."""
    return jax.random.split(jax.random.key(7), n)


if __name__ == "__main__":
    jax.config.update("jax_platforms", "cpu")
    results.run(tyro.cli(plan, description=__doc__))
