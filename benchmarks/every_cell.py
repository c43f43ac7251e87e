"""The training step of every cell against `jax.grad` of its scan, and against another library that has the cell.

Times the mean of ys² with its gradient for parameters and inputs, float32, in one interleaved run for each cell: by
`unroll` and `jax.grad`, by `unroll_bptt`, by `unroll_by_structure` where the cell's structure permits another member of
the family, and by PyTorch and Flax where they have the cell.

    python -m benchmarks.every_cell
    python -m benchmarks.every_cell --names mgu slstm --sizes 100 32 128 128 --seconds 2
"""

import importlib.util
import math
from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import tyro

import jaxrnn
from benchmarks import contenders, report
from benchmarks.contenders import Configuration, inputs, programs
from benchmarks.timing import Program, interleaved
from jaxrnn import cells, linear
from jaxrnn.cells import continuous, wrappers
from jaxrnn.core.types import Cell
from jaxrnn.linear import matrix
from jaxrnn.unrolling.parallel import unroll_by_structure
from jaxrnn.unrolling.parallel.structure import structural_member

HEADS = 4

CELLS: dict[str, Callable[[int, int], Cell]] = {
    # name: (inputs, units) -> cell; a matrix state has `HEADS` heads
    "elman": jaxrnn.Elman,
    "lstm": jaxrnn.LSTM,
    "lstm, peepholes": partial(jaxrnn.LSTM, peephole="current"),
    "projected lstm": lambda n, h: cells.ProjectedLSTM(n, h, h // 2),
    "gru": jaxrnn.GRU,
    "gru-after": partial(jaxrnn.GRU, reset="after"),
    "mgu": cells.MGU,
    "slstm": partial(cells.SLSTM, heads=HEADS),
    "jordan": lambda n, h: cells.Jordan(n, h, h),
    "delays": lambda n, h: cells.Delays(n, h, (1, 5)),
    "clockwork": lambda n, h: cells.Clockwork(n, h, (1, 2, 4, 8)),
    "leaky elman": lambda n, h: jaxrnn.Leaky(jaxrnn.Elman(n, h), 0.5),
    "layer norm lstm": lambda n, h: jaxrnn.LayerNorm(jaxrnn.LSTM(n, h)),
    "zoneout lstm": lambda n, h: wrappers.ExpectedZoneout(jaxrnn.LSTM(n, h), 0.1),
    "rate": continuous.RateNetwork,
    "cfc": continuous.CfC,
    "gru-d": continuous.GRUD,
    "lem": continuous.LEM,
    "cornn": continuous.CoRNN,
    "min-gru": linear.MinGRU,
    "min-lstm": linear.MinLSTM,
    "lru": lambda n, h: linear.LRU(n, h, h),
    "s5": lambda n, h: linear.S5(n, h, h),
    "rg-lru": lambda n, h: linear.RGLRU(n, blocks=HEADS),
    "mamba": linear.Mamba,
    "gated delta": lambda n, h: matrix.GatedDelta(n, HEADS, h // HEADS, h // HEADS),
    "kimi delta": lambda n, h: matrix.GatedDelta(n, HEADS, h // HEADS, h // HEADS, decay="unit"),
    "delta product": lambda n, h: matrix.DeltaProduct(n, HEADS, h // HEADS, h // HEADS),
    "mamba2": lambda n, h: matrix.Mamba2(n, HEADS, h // HEADS, h // HEADS),
    "mlstm": lambda n, h: matrix.MLSTM(n, HEADS, h // HEADS, h // HEADS),
    "gla": lambda n, h: matrix.GLA(n, HEADS, h // HEADS, h // HEADS),
    "retention": lambda n, h: matrix.Retention(n, HEADS, h // HEADS, h // HEADS),
    "hgrn2": lambda n, h: matrix.HGRN2(n, HEADS, h // HEADS, h // HEADS),
    "rwkv7": lambda n, h: matrix.RWKV7(n, HEADS, h // HEADS, h // HEADS),
}


def main(
    names: tuple[str, ...] = (),
    sizes: tuple[int, int, int, int] = (100, 32, 128, 128),
    seconds: float = 1.0,
    least: int = 5,
) -> None:
    """Print a line for each cell, and the worst ratio.

    Args:
        names: which cells; all of them if none is named.
        sizes: T, B, inputs and units.
        seconds: time for each program.
        least: the least number of timed calls.
    """
    configuration = Configuration(*sizes)
    print(f"{report.machine()}\ntraining step, float32, (T, B, inputs, units) = {sizes}")
    print("times: minima in ms; ratios: how many times as fast as the scan, and as the fastest peer\n")
    columns = ("scan", "bptt", "structure", "peer", "× scan", "× peer", "by medians")
    print(f"{'cell':<18}" + "".join(f"{name:>11}" for name in columns) + "  fastest peer")
    worst = math.inf
    for name in names or CELLS:
        made = training_steps(name, configuration)
        timings = interleaved(made, seconds=seconds, least=least)
        ours = min((key for key in ("bptt", "structure") if key in made), key=lambda key: timings[key].minimum)
        peers = [key for key in made if key not in ("scan", "bptt", "structure")]
        peer = min(peers, key=lambda key: timings[key].minimum, default=None)
        ratios = [timings["scan"].minimum / timings[ours].minimum]
        worst = min(worst, ratios[0])
        shown = [timings[key].minimum if key in timings else None for key in ("scan", "bptt", "structure", peer)]
        shown += [ratios[0], timings[peer].minimum / timings[ours].minimum if peer else None]
        shown += [timings["scan"].median / timings[ours].median]
        print(
            f"{name:<18}" + "".join(f"{'-' if value is None else f'{value:.2f}':>11}" for value in shown),
            f" {peer or '-'}",
            flush=True,
        )
    print(f"\nleast ratio to the scan: {worst:.2f}")


def training_steps(name: str, sizes: Configuration) -> dict[str, Program]:
    """Return the training programs of one cell: ours, and those of the libraries that have it."""
    cell, xs = CELLS[name](sizes.input, sizes.hidden), inputs(sizes)
    params = jax.jit(cell.init)(jax.random.key(0))
    members = {"scan": jaxrnn.unroll, "bptt": jaxrnn.unroll_bptt}
    if structural_member(cell, sizes.time) is not None:
        members["structure"] = unroll_by_structure
    made = {
        key: programs(lambda params, xs, member=member: member(cell, params, xs)[1], params, xs)["train"]
        for key, member in members.items()
    }
    return made | peers(name, sizes)


def peers(name: str, sizes: Configuration) -> dict[str, Program]:
    """Return the training step in each installed library that has the cell."""
    if name in contenders.GATES:
        made, _ = contenders.present()
        return {peer: made[peer](name, sizes)["train"] for peer in contenders.PEERS if peer in made}
    if name == "projected lstm" and importlib.util.find_spec("torch"):
        return {"pytorch": pytorch_projected(sizes)}
    if name == "mgu" and importlib.util.find_spec("flax"):
        from flax import linen

        model, xs = linen.RNN(linen.MGUCell(sizes.hidden), time_major=True), inputs(sizes)
        params = model.init(jax.random.key(0), xs)
        return {"flax": programs(lambda params, xs: jnp.asarray(model.apply(params, xs)), params, xs)["train"]}
    return {}


def pytorch_projected(sizes: Configuration) -> Program:
    """Return the training step of `torch.nn.LSTM` with a projection to half of the units."""
    import torch

    model = torch.nn.LSTM(sizes.input, sizes.hidden, proj_size=sizes.hidden // 2)
    xs = torch.randn(sizes.time, sizes.batch, sizes.input, requires_grad=True)
    leaves = [xs, *model.parameters()]
    return Program(lambda: torch.autograd.grad(model(xs)[0].square().mean(), leaves))


if __name__ == "__main__":
    jax.config.update("jax_platforms", "cpu")
    tyro.cli(main, description=__doc__)
