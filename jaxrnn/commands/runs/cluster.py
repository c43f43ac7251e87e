"""Training in several processes: the same command on each host, with a different --process.

    host-a$ jaxrnn train --coordinator host-a:7077 --processes 2 --process 0
    host-b$ jaxrnn train --coordinator host-a:7077 --processes 2 --process 1

Every process draws the same batches and holds the same weights; the rows of a batch are spread over all devices
(`jaxrnn.training.data_parallel`).  Process 0 prints and writes; the others write to a temporary folder.

If one process is lost, JAX reports it and ends the others in less than a minute.  The last checkpoint
is complete, and the run can be resumed from it with any number of devices.
"""

import contextlib
import dataclasses
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxrnn.tasks.data import InputError
from jaxrnn.training.cores import devices_for, split_cpu

HEARTBEAT = 20
"""Seconds after which a silent process counts as lost."""


@dataclasses.dataclass(frozen=True)
class Cluster:
    """The options for training in several processes: the same command for each, except for --process."""

    coordinator: str | None = None
    """HOST:PORT, a free port of the host where process 0 runs."""
    processes: int = 1
    """The number of processes."""
    process: int = 0
    """The number of this process, from 0."""
    cores: int | None = None
    """Cores of a CPU that share the rows of a batch where the sizes are small; by default all of them, at most 8."""

    def __post_init__(self):
        if not 1 <= self.processes < 2**16:
            raise InputError(f"--processes must be an integer of at least 1, got {self.processes}.")
        if not 0 <= self.process < self.processes:
            raise InputError(f"--process must lie in 0 … {self.processes - 1}, got {self.process}.")
        if (self.coordinator is None) != (self.processes == 1):
            raise InputError("--coordinator HOST:PORT and --processes N go together, N above 1.")
        if self.coordinator is not None and not re.fullmatch(r"\S+:\d{1,5}", self.coordinator):
            raise InputError(f"--coordinator must be HOST:PORT, got {self.coordinator}.")
        if self.cores is not None and not 1 <= self.cores < 2**10:
            raise InputError(f"--cores must be an integer of at least 1, got {self.cores}.")


@contextlib.contextmanager
def joined(cluster: Cluster) -> Iterator[Path | None]:
    """Make this process part of the cluster; yield None, or a folder to write to in all processes but the first.

    Raises:
      InputError: the other processes do not connect.
    """
    if cluster.processes == 1:
        with contextlib.suppress(RuntimeError):  # a program that calls this one has computed something already
            split_cpu(cluster.cores)
        yield None
        return
    print(f"process {cluster.process} of {cluster.processes}: waiting for the others", file=sys.stderr, flush=True)
    try:
        jax.distributed.initialize(
            cluster.coordinator,
            cluster.processes,
            cluster.process,
            initialization_timeout=120,
            heartbeat_timeout_seconds=HEARTBEAT,
            shutdown_timeout_seconds=HEARTBEAT,
        )
    except RuntimeError as error:
        raise InputError(f"--coordinator {cluster.coordinator}: the processes did not meet: {error}") from None
    with _ended_together(), tempfile.TemporaryDirectory() as elsewhere, open(os.devnull, "w") as nowhere:
        if cluster.process == 0:
            yield None
        else:
            with contextlib.redirect_stdout(nowhere):
                yield Path(elsewhere) / "run"
    jax.distributed.shutdown()


@contextlib.contextmanager
def _ended_together() -> Iterator[None]:
    """End with a message, without waiting, if another process is lost in the middle of an update."""
    try:
        yield
    except jax.errors.JaxRuntimeError as error:
        reason = str(error).splitlines()[0]
        print(f"jaxrnn: the processes lost one another ({reason}); to go on:", file=sys.stderr)
        print("  jaxrnn train --resume --run RUN, with any number of processes", file=sys.stderr, flush=True)
        os._exit(1)


def shares(task: Any, params: Any) -> tuple[int, list[jax.Device]]:
    """Return the rows of a task's batch, and the devices over which they are spread.

    Raises:
      InputError: there are several processes, and their devices cannot all have the same number of rows.
    """
    rows = int(dataclasses.asdict(task).get("batch", 1))
    try:
        return rows, devices_for(params, rows)
    except ValueError:
        count = len(jax.devices())
        raise InputError(f"--batch must be a multiple of the {count} devices of all processes, got {rows}.") from None


def agreed(wishes: list[int]) -> list[int]:
    """Return the signal that any of the processes received, or None, so that all stop after the same update."""
    if jax.process_count() == 1:
        return wishes[:1]
    from jax.experimental import multihost_utils

    signum = int(np.max(multihost_utils.process_allgather(np.array(wishes[0] if wishes else 0))))
    return [signum] if signum else []
