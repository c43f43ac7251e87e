"""A matrix product in each iteration of a loop, in every form, and in the one that `jaxrnn.core.precision` chooses.

    h @ w:    as written ("plain"), or with the rows transposed, (hᵀ)ᵀ @ w ("turned")
    dz @ wᵀ:  as written ("plain"), with w transposed before the loop ("before"), or as (w @ dzᵀ)ᵀ ("first")

Prints GFLOP/s, and how close the library comes to the best form.  A tanh separates the products.

    python -m benchmarks.in_loop
    python -m benchmarks.in_loop --rows 16 --weights 1024 1024 1024 4096
"""

import math

import jax
import jax.numpy as jnp
import tyro
from jax import lax
from tqdm import tqdm

from benchmarks import report
from benchmarks.timing import Program, compiled, interleaved
from jaxrnn.core.precision import matmul_in_loop, matmul_transposed

STEPS = 50


def _dot(a, b, i, j):
    return lax.dot_general(a, b, (((i,), (j,)), ((), ())))


fixed = lax.optimization_barrier

FORWARD = {
    "plain": lambda h, w: _dot(h, fixed(w), 1, 0),
    "turned": lambda h, w: _dot(fixed(h.T), fixed(w), 0, 0),
    "library": matmul_in_loop,
}
BACKWARD = {
    "plain": lambda dz, w: _dot(dz, fixed(w), 1, 1),
    "before": lambda dz, w: _dot(dz, fixed(w.T), 1, 0),
    "first": lambda dz, w: fixed(_dot(fixed(w), dz, 1, 1)).T,
    "library": matmul_transposed,
}


def main(
    rows: tuple[int, ...] = (1, 4, 8, 16, 32, 64, 128),
    weights: tuple[tuple[int, int], ...] = (
        (128, 512),
        (256, 1024),
        (512, 512),
        (512, 2048),
        (1024, 1024),
        (1024, 4096),
    ),
    seconds: float = 0.1,
) -> None:
    """Time the products.

    Args:
        rows: numbers of rows.
        weights: shapes of w.
        seconds: time for each program.
    """
    print(
        f"{report.machine()}\n\n{'rows':>5}{'w':>12}  {'product':<9}"
        + "".join(f"{n:>9}" for n in _names())
        + "  of best"
    )
    shares = []
    for n, shape in tqdm([(n, shape) for n in rows for shape in weights], disable=None):
        for product, ways, size in (("h @ w", FORWARD, shape[0]), ("dz @ wᵀ", BACKWARD, shape[1])):
            programs = {name: loop(way, jnp.ones((n, size)), jnp.full(shape, 0.01)) for name, way in ways.items()}
            flops = 2 * n * math.prod(shape) * STEPS
            rates = {k: flops / t.minimum / 1e6 for k, t in interleaved(programs, seconds=seconds, least=3).items()}
            shares.append(rates["library"] / max(rates.values()))
            each = "".join(f"{rates[name]:>9.0f}" if name in rates else f"{'-':>9}" for name in _names())
            line = f"{n:>5}{'×'.join(map(str, shape)):>12}  {product:<9}{each}{shares[-1]:>9.2f}"
            tqdm.write(line)
    mean = math.exp(sum(map(math.log, shares)) / len(shares))
    print(f"library, of the best: geometric mean {mean:.2f}, least {min(shares):.2f}")


def loop(way, x, w) -> Program:
    """Compute `STEPS` products in sequence, each from the result of the one before."""

    def run(x, w):
        def step(small, _):
            y = jnp.tanh(way(x + small, w))
            return 1e-9 * (y.sum() + y[0, 0]), None

        return lax.scan(step, jnp.float32(0), None, length=STEPS)[0]

    return compiled(run, x, w)


def _names() -> list[str]:
    return list(dict.fromkeys([*FORWARD, *BACKWARD]))


if __name__ == "__main__":
    jax.config.update("jax_platforms", "cpu")
    tyro.cli(main, description=__doc__)
