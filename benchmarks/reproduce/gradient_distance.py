"""‖∇_{h(τ−n)} L‖ against the distance n, of every network as it is initialized: a table and one figure.

The loss is the last output against a random direction; the norm is over the whole carry, its median over 20 rows
of noise, relative to n = 0; float64, as some of it is too small for float32.

    python -m benchmarks.reproduce.gradient_distance --file docs/gradient_distance.png
"""

from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from matplotlib.figure import Figure

import jaxrnn
from benchmarks.reproduce.networks import networks

ROWS, HIDDEN, INPUT = 20, 60, 4


def main(time: int = 200, file: Path = Path("gradient_distance.png"), seed: int = 0) -> None:
    """Print the table, draw the figure.

    Args:
        time: τ.
        file: where the figure goes, a PNG.
        seed: of parameters, inputs and direction.
    """
    flows = {name: np.asarray(flow(name, time, seed)) for name in networks(INPUT, HIDDEN)}
    shown = [n for n in (1, 5, 25, 50, 100, 150, 199) if n < time]
    print(f"{'network':<15}" + "".join(f"{f'n = {n}':>12}" for n in shown) + f"{'1/e after':>12}")
    for name, norms in flows.items():
        reach = float(jaxrnn.dynamics.memory_length(jnp.asarray(norms[::-1])))
        print(f"{name:<15}" + "".join(f"{norms[n]:>12.2e}" for n in shown) + f"{reach:>12.0f}")
    draw(flows).savefig(file)
    print(f"\n{file}")


@partial(jax.jit, static_argnums=(0, 1))
def flow(name: str, time: int, seed: int):
    """The norms by distance, `[time]`."""
    cell, init = networks(INPUT, HIDDEN)[name]
    keys = jax.random.split(jax.random.key(seed), 3)
    params, xs = init(keys[0]), jax.random.normal(keys[1], (time, ROWS, INPUT))
    direction = jax.random.normal(keys[2], (HIDDEN,))
    gradients = jaxrnn.dynamics.hidden_gradients(cell, params, xs, lambda carry, ys: jnp.sum(ys[-1] @ direction))
    norms = jnp.linalg.norm(gradients, axis=-1)[::-1]
    return jnp.median(norms / norms[0], axis=1)


def draw(flows: dict[str, np.ndarray]) -> Figure:
    """One line a network."""
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
    jax.config.update("jax_enable_x64", True)
    tyro.cli(main, description=__doc__)
