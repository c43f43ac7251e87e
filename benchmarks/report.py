"""The measurements as a table, a summary of ratios and JSON."""

import math
import os
import platform
from collections.abc import Iterable
from typing import NamedTuple

import jax

from benchmarks.contenders import OURS, CellName, Configuration
from benchmarks.timing import Timing

HEADER = (
    f"{'cell':<10}{'T,B,in,hidden':<17}{'program':<9}{'library':<13}{'min ms':>9}{'median':>9}"
    f"{'× fastest peer':>16}{'GFLOP/s':>9}{'compile s':>11}{'temp MB':>9}"
)


class Row(NamedTuple):
    """One program of one contender."""

    cell: CellName
    sizes: Configuration
    what: str
    """"forward" or "train"."""
    name: str
    timing: Timing
    compile_seconds: float | None
    temporary_bytes: int | None

    @property
    def gflops(self) -> float:
        """Return 10⁹ multiplications and additions of the matrix products per second, at the minimum."""
        return self.sizes.flops(self.cell, self.what) / self.timing.minimum / 1e6


def fastest(rows: Iterable[Row], names: Iterable[str]) -> float:
    """Return the least minimum among `names`, in milliseconds; nan if none of them ran."""
    names = set(names)
    return min((row.timing.minimum for row in rows if row.name in names), default=math.nan)


def lines(rows: list[Row], peers: Iterable[str]) -> list[str]:
    """Return the table's lines for the rows of one cell, configuration and program."""
    best = fastest(rows, peers)
    return [
        f"{row.cell:<10}{','.join(map(str, row.sizes)):<17}{row.what:<9}{row.name:<13}"
        f"{row.timing.minimum:>9.3f}{row.timing.median:>9.3f}{row.timing.minimum / best:>16.2f}{row.gflops:>9.1f}"
        f"{_or_dash(row.compile_seconds, '.2f'):>11}"
        f"{_or_dash(None if row.temporary_bytes is None else row.temporary_bytes / 1e6, '.1f'):>9}"
        for row in rows
    ]


def summary(rows: list[Row], peers: list[str]) -> list[str]:
    """Return how many times as fast as the other libraries `unroll_bptt` is, by configuration and in all."""
    jax_peers = [name for name in peers if name != "pytorch"]
    out = ["", "Times as fast as (minimum over minimum; above 1 this library is faster)"]
    for what, ours in (("train", "unroll_bptt"), ("forward", "unroll")):
        for against, names in ((f"the fastest of {', '.join(jax_peers)}", jax_peers), ("pytorch", ["pytorch"])):
            measured = [row for row in rows if row.what == what]
            if not set(names) & {row.name for row in measured}:
                continue
            out.append(f"\n{what}: {ours} against {against}")
            out += _speed_ups(measured, ours, names)
            if names == ["pytorch"] and "products" in {row.name for row in measured}:
                out.append(f"\n{what}: the matrix products alone against {against}")
                out += _speed_ups(measured, "products", names)
    return out


def _speed_ups(rows: list[Row], ours: str, names: list[str]) -> list[str]:
    out, everything = [], []
    for cell in dict.fromkeys(row.cell for row in rows):
        ratios = []
        for sizes in dict.fromkeys(row.sizes for row in rows if row.cell == cell):
            group = [row for row in rows if (row.cell, row.sizes) == (cell, sizes)]
            ratios.append((sizes, fastest(group, names) / fastest(group, [ours])))
        everything += [ratio for _, ratio in ratios]
        each = "  ".join(f"{','.join(map(str, sizes))} {ratio:.2f}" for sizes, ratio in ratios)
        out.append(f"  {cell:<10}{each}   geometric mean {_mean([r for _, r in ratios]):.2f}")
    return [*out, f"  geometric mean of all {_mean(everything):.2f}, least {min(everything):.2f}"]


def against_pytorch(timings: dict[str, Timing], ours: str) -> str:
    """Say how many times as fast a program is as the faster of PyTorch's; the text is empty if none was timed."""
    peers = [timing for name, timing in timings.items() if name.startswith("pytorch")]
    if not peers:
        return ""
    least, middle = (min(peer[i] for peer in peers) / timings[ours][i] for i in (0, 1))
    return f"{ours} is {least:.1f} times as fast as the faster pytorch (by minima; {middle:.1f} by medians)"


def document(rows: list[Row], gemm_gflops: float) -> dict:
    """Return everything for JSON."""
    return {
        "machine": machine(),
        "gemm_gflops": gemm_gflops,
        "ours": list(OURS),
        "rows": [
            row._asdict() | {"sizes": row.sizes._asdict(), "timing": row.timing._asdict(), "gflops": row.gflops}
            for row in rows
        ],
    }


def machine() -> dict:
    """Return the facts about the machine that the numbers depend on."""
    return {
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "platform": platform.machine(),
        "device": str(jax.devices()[0].device_kind),
        "python": platform.python_version(),
        "jax": jax.__version__,
        "GLIBC_TUNABLES": os.environ.get("GLIBC_TUNABLES", ""),
        "XLA_FLAGS": os.environ.get("XLA_FLAGS", ""),
    }


def _mean(ratios: list[float]) -> float:
    return math.exp(sum(map(math.log, ratios)) / len(ratios))


def _or_dash(value: float | None, spec: str) -> str:
    return "-" if value is None else format(value, spec)
