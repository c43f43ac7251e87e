"""All reproductions, one after the other: `make reproduce`, `make reproduce ARGS=--full`."""

import jax
import tyro

from benchmarks.reproduce import (
    gradient_distance,
    memory_tasks,
    on_one_thread_each,
    reservoirs,
    state_tracking,
    temporal_order,
)


def main(full: bool = False) -> None:
    """Make the tables of docs/reproduce.md again.

    Args:
        full: the papers' lengths, seeds and numbers of updates: hours in place of minutes.
    """
    temporal_order.main(full=full)
    memory_tasks.main(full=full)
    state_tracking.main(full=full)
    with jax.enable_x64(True):
        gradient_distance.main()
        reservoirs.main(full=full)


if __name__ == "__main__":
    on_one_thread_each()
    tyro.cli(main, description=__doc__)
