"""Matrix states in chunks against the loop and against PyTorch: time, temporary memory, and how both grow.

Times the gradient of Σ y² with respect to parameters and inputs, one row, float32, in one interleaved run.  For
`gated_delta` it also times PyTorch, as a loop and in chunks of plain tensor operations.  A second table shows the
seconds to compile the gradient of a stack of residual blocks.

    python -m benchmarks.linear
    python -m benchmarks.linear --cells gated_delta --lengths 64 256 2048 --chunks 32 64
    python -m benchmarks.linear --lengths 16384 65536 --no-loop --compile-lengths    # memory for each step
    python -m benchmarks.linear --cells --compile-lengths 256 2048 16384             # compilation alone
"""

import importlib.util
import sys
import time
from functools import partial

import jax
import jax.numpy as jnp
import tyro

import jaxrnn
from benchmarks import report
from benchmarks.timing import Program, compiled, interleaved
from jaxrnn.linear import matrix
from jaxrnn.linear.blocks import Normalize, ResidualBlock
from jaxrnn.unrolling.parallel import unroll_by_structure, unroll_chunkwise

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
    pytorch: bool = True,
    compile_lengths: tuple[int, ...] = (256, 2048),
    layers: int = 4,
    seconds: float = 5.0,
) -> None:
    """Print the table.

    Args:
        cells: names.
        lengths: numbers of steps.
        chunks: steps of a chunk.
        heads: the number of heads of a cell.
        key_size: the size of a key of a head.
        value_size: the size of a value of a head.
        input_size: the size of x.
        loop: whether to run `unroll` and `unroll_bptt` too, which store a state for each step.
        pytorch: whether to run PyTorch for `gated_delta`, where it is installed and `loop` is on.
        compile_lengths: numbers of steps for which the stack of blocks is compiled.
        layers: blocks in that stack.
        seconds: for each program.
    """
    print(f"{report.machine()}\n{heads} heads, K={key_size}, V={value_size}, one row, training gradient, float32\n")
    print(f"{'cell':<14}{'T':>7}  {'program':<14}{'min ms':>9}{'median':>9}{'× loop':>8}{'temp MiB':>10}{'compile':>9}")
    if pytorch and importlib.util.find_spec("torch") is None:
        print("pytorch: not installed, left out", file=sys.stderr)
        pytorch = False
    for name in cells:
        for steps in lengths:
            cell = CELLS[name](input_size, heads, key_size, value_size)
            programs = gradients(cell, steps, input_size, chunks, loop, pytorch and loop and name == "gated_delta")
            timings = interleaved(programs, seconds=seconds, least=3)
            loops = [timings[key].minimum for key in ("unroll", "unroll_bptt") if key in timings]
            for key, timing in timings.items():
                faster = f"{min(loops) / timing.minimum:.2f}" if loops else "–"
                _, compiled_in, memory = programs[key]
                print(
                    f"{name:<14}{steps:>7}  {key:<14}{timing.minimum:>9.1f}{timing.median:>9.1f}{faster:>8}"
                    f"{'–' if memory is None else f'{memory / 2**20:.1f}':>10}"
                    f"{'–' if compiled_in is None else f'{compiled_in:.1f}':>9}",
                    flush=True,
                )
    if compile_lengths:
        print(f"\nseconds to compile the gradient of {layers} residual blocks\n{'cell':<14}{'T':>7}{'seconds':>9}")
    for steps in compile_lengths:
        block = ResidualBlock(matrix.GatedDelta(input_size, heads, key_size, value_size), input_size, 2 * input_size)
        print(f"{'gated_delta':<14}{steps:>7}{compile_seconds(block, steps, layers):>9.1f}", flush=True)


def compile_seconds(block: ResidualBlock, steps: int, layers: int) -> float:
    """Return the seconds to trace and compile the gradient of Σ y² of a stack of blocks, one row."""
    stack = jaxrnn.Stack((*[block] * layers, Normalize(block.size)))
    params = jax.eval_shape(stack.init, jax.random.key(0))
    xs = jax.ShapeDtypeStruct((steps, 1, block.size), jnp.float32)

    def loss(params, xs):
        return jnp.sum(unroll_by_structure(stack, params, xs)[1] ** 2)

    started = time.perf_counter()
    jax.jit(jax.grad(loss)).lower(params, xs).compile()
    return time.perf_counter() - started


def gradients(
    cell, steps: int, input_size: int, chunks: tuple[int, ...], loop: bool, pytorch: bool
) -> dict[str, Program]:
    """Return the programs of one cell and length."""
    params = jax.jit(cell.init)(jax.random.key(0))
    xs = jax.random.normal(jax.random.key(1), (steps, 1, input_size), jnp.float32)
    members = {"unroll": jaxrnn.unroll, "unroll_bptt": jaxrnn.unroll_bptt} if loop else {}
    members |= {f"chunk {chunk}": partial(unroll_chunkwise, chunk=chunk) for chunk in chunks}

    def loss(member, params, xs):
        return jnp.sum(member(cell, params, xs)[1] ** 2)

    programs = {
        name: compiled(jax.grad(partial(loss, member), argnums=(0, 1)), params, xs) for name, member in members.items()
    }
    if pytorch:
        from benchmarks import linear_pytorch

        programs |= linear_pytorch.programs(cell, params, xs, chunks[-1])
    return programs


if __name__ == "__main__":
    tyro.cli(main)
