"""The FitzHugh-Nagumo neuron: predict its voltage one step ahead, with 16 units.

    v′ = v − v³/3 − w + ½,      w′ = (v + 0.7 − 0.8 w)/50,        v(0) uniform in [−1, 1], w(0) = 0

1,000 steps of Δt = 0.4; 128 series for training, 128 for validation, 1,024 for the test: Rusch et al. 2022, §5, with
the settings of the paper's program: Adam at 0.00904, batches of 32, 400 epochs, of which the best on the validation
series is tested.  The error is the root mean squared error.  The log of the paper's best run of LEM ends at 0.0024.

All three cells use the learning rate that was chosen for LEM.  coRNN has Δt = ½ unless `--steps` names others, and
learns γ and ε, starting from 1.

    python -m benchmarks.reproduce.fitzhugh_nagumo                  # 100 epochs, 1 seed
    python -m benchmarks.reproduce.fitzhugh_nagumo --full           # 400 epochs, 3 seeds
    python -m benchmarks.reproduce.fitzhugh_nagumo --cells lem --epochs 50
"""

import functools
from functools import partial
from statistics import median

import jax
import jax.numpy as jnp
import numpy as np
import optax
import tyro
from scipy.integrate import solve_ivp

import jaxrnn
from benchmarks.reproduce import on_one_thread_each, results
from jaxrnn.cells.continuous import LEM, CoRNN

UNITS, STEPS, BATCH, RATE = 16, 1000, 32, 0.00904
SIZES = {"train": 128, "validation": 128, "test": 1024}
CELLS = ("lstm", "cornn", "lem")
PAPER = {"lem": "0.0024 (the authors' log)"}


def plan(
    full: bool = False,
    cells: tuple[str, ...] = CELLS,
    epochs: int = 0,
    seeds: int = 0,
    first_seed: int = 0,
    steps: tuple[float, ...] = (0.5,),
    again: bool = False,
) -> results.Plan:
    """Train each cell with each seed.

    Args:
        full: 400 epochs and 3 seeds, in place of 100 and 1.
        cells: which rows: "lstm", "cornn", "lem".
        epochs: another number of epochs.
        seeds: another number of seeds.
        first_seed: the first of them.
        steps: Δt of coRNN.
        again: with `full`, measure again what is stored.
    """
    seeds, epochs = seeds or (3 if full else 1), epochs or (400 if full else 100)
    cases = [
        results.Case(
            "fitzhugh_nagumo",
            {"cell": name, "epochs": epochs, "seeds": seeds, "first_seed": first_seed}
            | ({"dt": dt} if name == "cornn" else {}),
            partial(measure, name, dt, epochs, range(first_seed, first_seed + seeds)),
            show,
            paper=PAPER.get(name, "-"),
            seeds=seeds,
            work=epochs * seeds,
        )
        for name in cells
        for dt in (steps if name == "cornn" else steps[:1])
    ]
    return results.Plan(cases, again or not full)


def measure(name: str, dt: float, epochs: int, seeds: range) -> dict:
    """Return the validation and the test error of each seed, and the epoch they belong to."""
    rows = [run(name, dt, epochs, jax.random.key(seed), data()) for seed in seeds]
    return {key: [float(row[key]) for row in rows] for key in ("validation", "test", "epoch")}


def show(figures: dict) -> str:
    """Return the median test error, and all of them."""
    return f"{median(figures['test']):.4f} ({' '.join(f'{error:.4f}' for error in figures['test'])})"


@functools.cache
def data() -> dict[str, jax.Array]:
    """Return the voltages of each set, `[time + 1, series, 1]`."""
    rng, times = np.random.default_rng(1234), np.linspace(0, 400, STEPS + 1)

    def voltage() -> np.ndarray:
        start = np.array([rng.uniform(-1, 1), 0.0])
        return solve_ivp(velocity, (0, 400), start, t_eval=times).y[0]

    return {
        name: jnp.asarray(np.stack([voltage() for _ in range(size)], 1)[..., None], jnp.float32)
        for name, size in SIZES.items()
    }


def velocity(_, state: np.ndarray) -> np.ndarray:
    """Return the right-hand side of the equations."""
    v, w = state
    return np.array([v - v**3 / 3 - w + 0.5, (v + 0.7 - 0.8 * w) / 50])


@partial(jax.jit, static_argnames=("name", "dt", "epochs"))
def run(name: str, dt: float, epochs: int, key: jax.Array, series: dict[str, jax.Array]) -> dict:
    """Train with one seed, and test the parameters of the best epoch."""
    cell = {"lstm": jaxrnn.LSTM(1, UNITS), "cornn": CoRNN(1, UNITS, dt=dt), "lem": LEM(1, UNITS)}[name]
    model = jaxrnn.ManyToMany(cell, jaxrnn.Readout(UNITS, 1), target="values")
    optimizer = optax.adam(RATE)

    def update(pair, rows):
        params, state = pair
        voltages = series["train"][:, rows]
        updates, state = optimizer.update(jax.grad(model.loss)(params, voltages[:-1], voltages[1:]), state)
        return (optax.apply_updates(params, updates), state), None

    def epoch(carry, at):
        (number, key), (params, state, best) = at, carry
        batches = jax.random.permutation(key, SIZES["train"]).reshape(-1, BATCH)
        (params, state), _ = jax.lax.scan(update, (params, state), batches)
        now = {"validation": error(params, series["validation"]), "epoch": number, "params": params}
        better = now["validation"] < best["validation"]
        return (params, state, jax.tree.map(partial(jnp.where, better), now, best)), None

    def error(params, voltages):
        return jnp.sqrt(model.loss(params, voltages[:-1], voltages[1:]))

    init, training = jax.random.split(key)
    params = model.init(init)
    best = {"validation": jnp.inf, "epoch": 0, "params": params}
    numbered = jnp.arange(1, epochs + 1), jax.random.split(training, epochs)
    (_, _, best), _ = jax.lax.scan(epoch, (params, optimizer.init(params), best), numbered)
    return {"validation": best["validation"], "test": error(best["params"], series["test"]), "epoch": best["epoch"]}


if __name__ == "__main__":
    on_one_thread_each()
    results.run(tyro.cli(plan, description=__doc__))
