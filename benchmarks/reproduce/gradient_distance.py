"""‖∇_{h(τ−n)} L‖ against the distance n, for every network at initialization: a table and a figure.

The loss is the last output times a random direction.  The norm is that of the whole carry, the median over 20 rows of
noise, relative to n = 0.  It is computed in float64, because some values are too small for float32.

    python -m benchmarks.reproduce.gradient_distance
"""

from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from matplotlib.figure import Figure

import jaxrnn
from benchmarks.reproduce import results
from benchmarks.reproduce.networks import networks

ROWS, HIDDEN, INPUT = 20, 60, 4
SHOWN = (1, 5, 25, 50, 100, 199)
FILE = Path(__file__).parents[2] / "docs/gradient_distance.png"


def plan(full: bool = False, again: bool = False, time: int = 200, seed: int = 0) -> results.Plan:
    """Plan a case for each network.

    Args:
        full: nothing more; it takes seconds.
        again: measure again what is stored; without `full` everything is measured again.
        time: τ.
        seed: of parameters, inputs and direction.
    """
    cases = [
        results.Case(
            "gradient_distance",
            {"network": name, "time": time, "seed": seed},
            partial(measure, name, time, seed),
            show,
        )
        for name in networks(INPUT, HIDDEN)
    ]
    return results.Plan(cases, again or not full)


def measure(name: str, time: int, seed: int) -> dict:
    """Return the norms by distance, and the distance at which 1/e is left."""
    with jax.enable_x64(True):
        norms = np.asarray(flow(name, time, seed))
        reach = float(jaxrnn.dynamics.memory_length(jnp.asarray(norms[::-1])))
    return {"norms": [float(f"{norm:.3g}") for norm in norms], "reach": reach}


def show(figures: dict) -> str:
    """Return the distance at which 1/e is left, and the norm half-way back."""
    norms = figures["norms"]
    return f"1/e after {figures['reach']:.0f}, {norms[len(norms) // 2]:.1e} at {len(norms) // 2}"


def stored(time: int = 200, seed: int = 0) -> dict[str, np.ndarray]:
    """Return the stored norms of each network."""
    records = results.read("gradient_distance")
    found = {name: results.find(records, {"network": name, "time": time, "seed": seed}) for name in networks(1, HIDDEN)}
    return {name: np.asarray(record.figures["norms"]) for name, record in found.items() if record}


@partial(jax.jit, static_argnums=(0, 1))
def flow(name: str, time: int, seed: int):
    """Return the norms by distance, `[time]`."""
    network = networks(INPUT, HIDDEN)[name]
    keys = jax.random.split(jax.random.key(seed), 3)
    params, xs = network.params(network.init(keys[0])), jax.random.normal(keys[1], (time, ROWS, INPUT))
    direction = jax.random.normal(keys[2], (HIDDEN,))
    gradients = jaxrnn.dynamics.hidden_gradients(
        network.cell, params, xs, lambda carry, ys: jnp.sum(ys[-1] @ direction)
    )
    norms = jnp.linalg.norm(gradients, axis=-1)[::-1]
    return jnp.median(norms / norms[0], axis=1)


def draw(flows: dict[str, np.ndarray]) -> Figure:
    """Draw a line for each network."""
    figure = Figure(figsize=(7.5, 4.5), dpi=130, layout="constrained")
    ax = figure.add_subplot()
    for name, norms in flows.items():
        ax.semilogy(np.where(norms > 0, norms, np.nan), label=name)
    ax.set(
        xlabel="distance n, steps back from the loss",
        ylabel="‖∇h(τ−n) L‖, relative",
        title="How far a gradient reaches, before training",
        ylim=(1e-12, 1e3),
    )
    ax.legend(frameon=False, fontsize=8, ncols=2)
    ax.grid(alpha=0.25)
    ax.spines[["top", "right"]].set_visible(False)
    return figure


if __name__ == "__main__":
    jax.config.update("jax_platforms", "cpu")
    results.run(tyro.cli(plan, description=__doc__))
