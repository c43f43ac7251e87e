"""Matrix states in chunks against the loop: time, temporary memory, and how both grow.

The training gradient of Σ y² with respect to parameters and inputs, one row, float32, in one interleaved run.

    python -m benchmarks.linear
    python -m benchmarks.linear --cells gated_delta --lengths 64 256 2048 --chunks 32 64
    python -m benchmarks.linear --lengths 65536 --no-loop
"""

from functools import partial

import jax
import jax.numpy as jnp
import tyro

import jaxrnn
from benchmarks import report
from benchmarks.timing import Program, compiled, interleaved
from jaxrnn.linear import matrix
from jaxrnn.unrolling.parallel import unroll_chunkwise

CELLS = {
    "gated_delta": lambda *sizes: matrix.GatedDelta(*sizes),
    "delta_net": lambda *sizes: matrix.GatedDelta(*sizes, decay=None),
    "kimi_delta": lambda *sizes: matrix.GatedDelta(*sizes, decay="unit"),
    "mamba2": lambda *sizes: matrix.Mamba2(*sizes),
    "mlstm": lambda *sizes: matrix.MLSTM(*sizes),
    "gla": lambda *sizes: matrix.GLA(*sizes),
    "delta_product": lambda *sizes: matrix.DeltaProduct(*sizes),
    "rwkv7": lambda *sizes: matrix.RWKV7(*sizes),
}


def main(
    cells: tuple[str, ...] = tuple(CELLS),
    lengths: tuple[int, ...] = (2048,),
    chunks: tuple[int, ...] = (32, 64),
    heads: int = 4,
    key_size: int = 64,
    value_size: int = 64,
    input_size: int = 256,
    loop: bool = True,
    seconds: float = 5.0,
) -> None:
    """Print the table.

    Args:
        cells: names.
        lengths: numbers of steps.
        chunks: steps of a chunk.
        heads, key_size, value_size, input_size: the sizes of the cells.
        loop: whether `unroll` and `unroll_bptt` run too, which store a state for each step.
        seconds: for each program.
    """
    print(f"{report.machine()}\n{heads} heads, K={key_size}, V={value_size}, one row, training gradient, float32\n")
    print(f"{'cell':<14}{'T':>7}  {'program':<14}{'min ms':>9}{'median':>9}{'× loop':>8}{'temp MiB':>10}{'compile':>9}")
    for name in cells:
        for time in lengths:
            cell = CELLS[name](input_size, heads, key_size, value_size)
            programs = gradients(cell, time, input_size, chunks, loop)
            timings = interleaved(programs, seconds=seconds, least=3)
            loops = [timings[key].minimum for key in ("unroll", "unroll_bptt") if key in timings]
            for key, timing in timings.items():
                faster = f"{min(loops) / timing.minimum:.2f}" if loops else "–"
                memory = (programs[key].temporary_bytes or 0) / 2**20
                print(
                    f"{name:<14}{time:>7}  {key:<14}{timing.minimum:>9.1f}{timing.median:>9.1f}{faster:>8}"
                    f"{memory:>10.1f}{programs[key].compile_seconds:>9.1f}",
                    flush=True,
                )


def gradients(cell, time: int, input_size: int, chunks: tuple[int, ...], loop: bool) -> dict[str, Program]:
    """The programs of one cell and length."""
    params = jax.jit(cell.init)(jax.random.key(0))
    xs = jax.random.normal(jax.random.key(1), (time, 1, input_size), jnp.float32)
    members = {"unroll": jaxrnn.unroll, "unroll_bptt": jaxrnn.unroll_bptt} if loop else {}
    members |= {f"chunk {chunk}": partial(unroll_chunkwise, chunk=chunk) for chunk in chunks}

    def loss(member, params, xs):
        return jnp.sum(member(cell, params, xs)[1] ** 2)

    return {
        name: compiled(jax.grad(partial(loss, member), argnums=(0, 1)), params, xs) for name, member in members.items()
    }


if __name__ == "__main__":
    tyro.cli(main)
