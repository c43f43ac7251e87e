"""All reproductions, several at a time: `make reproduce`, `make reproduce ARGS=--full`."""

import os
from types import ModuleType

import tyro

from benchmarks.reproduce import (
    context_decision,
    fitzhugh_nagumo,
    flip_flop,
    flossing,
    force,
    gradient_distance,
    lorenz,
    lstm_tasks,
    memory_tasks,
    on_one_thread_each,
    reservoirs,
    results,
    sequence_to_sequence,
    state_tracking,
    temporal_order,
    turing_machine,
)

PROGRAMS: tuple[ModuleType, ...] = (
    temporal_order,
    memory_tasks,
    lstm_tasks,
    state_tracking,
    gradient_distance,
    reservoirs,
    turing_machine,
    sequence_to_sequence,
    fitzhugh_nagumo,
    force,
    lorenz,
    flossing,
    flip_flop,
    context_decision,
)


def plan(full: bool = False, again: bool = False, jobs: int = 0) -> results.Plan:
    """Plan everything that docs/reproduce.md shows.

    The fast version is measured again each time.  `--full` continues where it was interrupted: it prints what is stored
    in benchmarks/results and does not run it.

    Args:
        full: the papers' lengths, seeds and numbers of updates: hours in place of minutes.
        again: with `full`, measure again what is stored.
        jobs: how many cases at a time, each in a process with one thread; 0: as many as there are cores.
    """
    plans = [program.plan(full=full, again=again) for program in PROGRAMS]
    return results.Plan([case for each in plans for case in each.cases], again or not full, jobs or os.cpu_count() or 1)


if __name__ == "__main__":
    on_one_thread_each()
    results.run(tyro.cli(plan, description=__doc__))
