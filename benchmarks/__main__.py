"""Every benchmark of docs/performance.md, one after the other, each in a process of its own: `make bench`.

python -m benchmarks
python -m benchmarks layers every_cell
"""

import subprocess
import sys

import tyro

PROGRAMS = (
    "layers",
    "every_cell",
    "cores",
    "in_loop",
    "linear",
    "long",
    "compile",
    "start_up",
    "parallel",
    "sampling",
    "wirings",
    "trees",
    "attention",
    "ntm",
    "reservoirs",
    "fixed_points",
    "language_models",
)


def main(names: tyro.conf.Positional[tuple[str, ...]] = PROGRAMS) -> None:
    """Run the programs with their default options.

    Args:
        names: which of them.
    """
    for name in names:
        print(f"\n== python -m benchmarks.{name} ==", flush=True)
        subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], check=True)


if __name__ == "__main__":
    tyro.cli(main, description=__doc__)
