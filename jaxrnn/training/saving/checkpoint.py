"""Checkpoints that survive a kill, a full disk and a flipped bit.

    directory/
      0000-step-100/
      0001-step-200/         one checkpoint; the first number counts the saves
        arrays/              written by orbax, a directory for each leaf
        manifest.json        written last: step, configuration, and SHA-256 of each leaf and of each file

orbax writes the arrays and renames its directory into place.  That is not yet durable: it does not call `fsync` on its
metadata or on the parent directory, and it restores a flipped bit silently.  So `save` first flushes everything to the
disk and then adds the manifest in one atomic step.  A directory without a manifest is the remainder of an interrupted
save and is ignored.  Before orbax reads a file, its digest is checked.

Only numbers are stored.  The containers come from the tree passed to `restore`, and nothing is ever unpickled.  One
process writes to a directory at a time.

References: orbax.checkpoint (`Checkpointer`, `PyTreeCheckpointHandler`).
"""

import contextlib
import logging
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import SupportsIndex
from urllib.parse import quote

import jax
import numpy as np
from jaxtyping import PyTree

from jaxrnn.core.arguments import whole_number
from jaxrnn.core.checks import check_positive
from jaxrnn.training.saving import atomic_files
from jaxrnn.training.saving.manifest import FORMAT, check_files, hash_files, read_manifest, seal
from jaxrnn.training.saving.records import (
    CheckpointError,
    Record,
    as_json,
    brief,
    check_bytes,
    check_records,
    name_leaves,
    rebuild,
    record,
    stored_as,
    to_numpy,
)

__all__ = ["CheckpointError", "latest_step", "read_config", "restore", "save"]

_NAME = re.compile(r"(\d+)-step-(\d+)")


def save(directory: str | os.PathLike, tree: PyTree, *, step: SupportsIndex, config: dict, keep: int = 2) -> None:
    """Write a checkpoint durably.

    First the remains of an interrupted save are removed; at the end, older checkpoints of the same step, and those
    beyond the `keep` newest.  The newest is the one saved last, even if the run went back to an earlier step.

    Args:
      directory: a directory for this run only; created if missing.
      tree: arrays, typed keys, and NumPy or Python numbers, in any containers.
      step: the number of updates so far.
      config: the configuration needed to rebuild a tree like this one, as JSON (a tuple comes back as a list).
      keep: the number of checkpoints to keep, this one included.

    Returns:
      Nothing; the checkpoint is on the disk.

    Raises:
      CheckpointError: the disk is full, a file cannot be written, or a leaf is not numeric; the
        previous checkpoint is untouched.
      ValueError, TypeError: a negative step, a `keep` below 1, a configuration that is not JSON.

    >>> import tempfile, jax.numpy as jnp
    >>> with tempfile.TemporaryDirectory() as directory:
    ...     save(directory, {"w": jnp.ones(3, "float32")}, step=10, config={"hidden_size": 3})
    ...     latest_step(directory), read_config(directory), restore(directory, {"w": jnp.zeros(3, "float32")})
    (10, {'hidden_size': 3}, {'w': Array([1., 1., 1.], dtype=float32)})
    """
    check_positive(keep=keep)
    step = whole_number("step", step)
    named = name_leaves(tree)
    arrays = {name: to_numpy(name, leaf) for name, leaf in named.items()}
    records = {name: record(name, leaf, arrays[name]) for name, leaf in named.items()}
    manifest = {"format": FORMAT, "step": step, "config": as_json(config), "leaves": records}
    directory = Path(directory).absolute()
    try:
        atomic_files.make_directory(directory)
        _remove([path for path in _all(directory) if not _is_complete(path)])
        count = max((_number(path) for path in _all(directory)), default=-1) + 1
        path = directory / f"{count:04d}-step-{step}"
        _write(path, arrays, manifest)
        older = [p for p in _complete(directory)[::-1] if p != path]
        same = [p for p in older if _step(p) == step]
        _remove(same + [p for p in older if p not in same][keep - 1 :])
    except Exception as error:  # orbax and tensorstore raise what they like
        raise CheckpointError(
            f"The checkpoint of step {step} could not be written to {directory}: {brief(error)} "
            "Earlier checkpoints are untouched."
        ) from error


def latest_step(directory: str | os.PathLike) -> int | None:
    """Return the step of the newest complete checkpoint; None if there is none.

    Args:
      directory: the directory given to `save`.

    Returns:
      An integer, or None.

    >>> latest_step("/no/such/run") is None
    True
    """
    complete = _complete(Path(directory))
    return _step(complete[-1]) if complete else None


def read_config(directory: str | os.PathLike, step: int | None = None) -> dict:
    """Return the configuration saved with a checkpoint.

    Args:
      directory: the directory given to `save`.
      step: the step of the checkpoint; None for the newest.

    Returns:
      The configuration.

    Raises:
      CheckpointError: there is no complete checkpoint (of that step), or its manifest is damaged.

    >>> import tempfile, jax.numpy as jnp
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save(folder, {"w": jnp.ones(3)}, step=10, config={"hidden_size": 3})
    ...     read_config(folder)
    {'hidden_size': 3}
    """
    return read_manifest(_find(directory, step))["config"]


def restore(directory: str | os.PathLike, like: PyTree, *, step: int | None = None) -> PyTree:
    """Return the saved tree, bit for bit.

    Args:
      directory: the directory given to `save`.
      like: a tree of the same structure, dtypes and shapes, of arrays or `jax.ShapeDtypeStruct` (for instance from
        `jax.eval_shape`).  Each leaf is restored as the same kind, and as a `jax.Array` with the same sharding for a
        `ShapeDtypeStruct`.
      step: the step of the checkpoint; None for the newest complete one.

    Returns:
      A tree like `like`.

    Raises:
      CheckpointError: there is no complete checkpoint (of that step); or a named leaf is missing, surplus,
        of another dtype or shape, or damaged; or a named file cannot be read.

    >>> import tempfile, jax.numpy as jnp
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save(folder, {"w": jnp.ones(3)}, step=10, config={})
    ...     restore(folder, {"w": jnp.zeros(3)})["w"].tolist()
    [1.0, 1.0, 1.0]
    """
    path = _find(directory, step)
    manifest = read_manifest(path)
    records = {name: Record(*fields) for name, fields in manifest["leaves"].items()}
    check_records(like, records, str(path))
    check_files(path / "arrays", manifest["files"])
    stored = {name: stored_as(leaf) for name, leaf in name_leaves(like).items()}
    arrays = {name: np.zeros(leaf.shape, leaf.dtype) for name, leaf in stored.items() if 0 in leaf.shape}
    arrays |= _read_arrays(path, [name for name in records if name not in arrays])
    check_bytes(arrays, records, str(path))
    return rebuild(like, arrays)


def _write(path: Path, arrays: dict[str, np.ndarray], manifest: dict) -> None:
    """Flush everything to the disk, then write the manifest, which makes the checkpoint complete."""
    try:
        path.mkdir()
        with _orbax() as (ocp, checkpointer):
            # orbax has no word for an array of size 0
            tree = {"leaf": {quote(name, safe=""): array for name, array in arrays.items() if array.size}}
            checkpointer.save(path / "arrays", args=ocp.args.PyTreeSave(tree))
        atomic_files.sync_tree(path)
        atomic_files.sync(path.parent)
        atomic_files.write(path / "manifest.json", seal(manifest | {"files": hash_files(path / "arrays")}))
    except BaseException:
        shutil.rmtree(path, ignore_errors=True)
        raise


def _read_arrays(path: Path, names: list[str]) -> dict[str, np.ndarray]:
    """Read the arrays with orbax."""
    keys = {name: quote(name, safe="") for name in names}
    try:
        with _orbax() as (ocp, checkpointer):
            as_numpy = {"leaf": dict.fromkeys(keys.values(), ocp.RestoreArgs(restore_type=np.ndarray))}
            tree = checkpointer.restore(path / "arrays", args=ocp.args.PyTreeRestore(restore_args=as_numpy))
    except Exception as error:
        raise CheckpointError(f"{path / 'arrays'} cannot be read by orbax: {brief(error)}") from error
    return {name: tree["leaf"][key] for name, key in keys.items()}


@contextlib.contextmanager
def _orbax() -> Iterator[tuple]:
    """Return orbax, imported on first use (0.3 s) and with its log silenced, since it raises its errors anyway."""
    import orbax.checkpoint as ocp

    logger = logging.getLogger("absl")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        # without OCDBT each leaf has files of its own, so that what cannot be read has a name
        # each process writes what it is given, and waits for no other
        alone = ocp.options.MultiprocessingOptions(jax.process_index(), {jax.process_index()}, "alone")
        handler = ocp.PyTreeCheckpointHandler(use_ocdbt=False, multiprocessing_options=alone)
        with ocp.Checkpointer(handler, multiprocessing_options=alone) as checkpointer:
            yield ocp, checkpointer
    finally:
        logger.setLevel(level)


def _all(directory: Path) -> list[Path]:
    """Return every checkpoint, complete or not, in the order of saving."""
    if not directory.is_dir():
        return []
    return sorted((path for path in directory.iterdir() if _NAME.fullmatch(path.name)), key=_number)


def _complete(directory: Path) -> list[Path]:
    return [path for path in _all(directory) if _is_complete(path)]


def _is_complete(path: Path) -> bool:
    return (path / "manifest.json").is_file()


def _number(path: Path) -> int:
    return int(path.name.split("-")[0])


def _step(path: Path) -> int:
    return int(path.name.split("-")[-1])


def _find(directory: str | os.PathLike, step: int | None) -> Path:
    """Return the newest complete checkpoint (of that step)."""
    complete = _complete(Path(directory).absolute())
    for path in reversed(complete):
        if step is None or _step(path) == step:
            return path
    what = "no complete checkpoint" if step is None else f"no complete checkpoint of step {step}"
    there = f"; there is step {', '.join(str(_step(path)) for path in complete)}" if complete else ""
    raise CheckpointError(f"{directory} has {what}{there}.")


def _remove(paths: list[Path]) -> None:
    """Remove checkpoints, their manifests first, so that a half-removed one does not count."""
    for path in paths:
        if _is_complete(path):
            (path / "manifest.json").unlink()
            atomic_files.sync(path)
        shutil.rmtree(path, ignore_errors=True)
