"""Run folders: runs/text, runs/text-2, … in the current folder.

    checkpoints/         the state of the run; it can be resumed from there
    metrics.jsonl        one line a measurement
    curve.png            the learning curve
    sample.txt           what the model writes at the end
    tokenizer.json       with --tokens: the tokenizer, for `tokenizers.Tokenizer.from_file`
    model/               the trained model, for anybody: `jaxrnn.load_model`
    best/                with --keep-best: the state that measured best, as a checkpoint

A new run never writes into the folder of another one, and a folder has one process at a time that trains in it: the
folder itself is locked, for as long as that process lives.
"""

import contextlib
import fcntl
import json
import math
import os
from collections.abc import Iterator
from pathlib import Path

from jaxrnn.tasks.data import InputError
from jaxrnn.training.saving import checkpoint

ROOT = Path("runs")


@contextlib.contextmanager
def created(run: str | None, name: str) -> Iterator[Path]:
    """Create a folder and lock it: the given one, or the first free one of runs/name, runs/name-2, ….

    Raises:
      InputError: the given folder is in use.
    """
    path = _first_free(name) if run is None else Path(run)
    if run is not None:
        check_free(run)
        path.mkdir(parents=True, exist_ok=True)
    with locked(path):
        check_free(str(path))  # it may have been filled since
        yield path


def check_free(run: str) -> None:
    """Raise InputError if a new run cannot use this folder."""
    path = Path(run)
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise InputError(f"{path}: exists already; --resume continues it, another --run begins a new one.")


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Lock the folder, so that no other process trains in it; a killed process leaves no lock behind.

    Raises:
      InputError: another process is training in it.
    """
    folder = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(folder)
        raise InputError(f"{path}: another process is training in it now; --run FOLDER names another one.") from None
    except OSError:  # a file system without locks
        pass
    try:
        yield
    finally:
        os.close(folder)


def _first_free(name: str) -> Path:
    number = 1
    while True:
        path = ROOT / (name if number == 1 else f"{name}-{number}")
        try:
            path.mkdir(parents=True)
            return path
        except FileExistsError:
            if not ROOT.is_dir():
                raise InputError(f"{ROOT}: is not a folder; give --run FOLDER.") from None
            number += 1


def find(run: str | None) -> Path:
    """Return the folder of a run with a checkpoint: the given one, or the newest in runs/.

    Raises:
      InputError: there is no such run.
    """
    if run is not None:
        path = Path(run)
        if not path.is_dir():
            raise InputError(f"{path}: there is no such run; `jaxrnn train --run {path}` begins it.")
        if _saved(path) is None:
            raise InputError(f"{path}: holds no complete checkpoint.")
        return path
    saved = [path for path in ROOT.iterdir() if _saved(path) is not None] if ROOT.is_dir() else []
    if not saved:
        raise InputError("runs/: there is no run with a checkpoint here; `jaxrnn train` begins one, --run names one.")
    return max(saved, key=lambda path: os.stat(path / "checkpoints").st_mtime)


def checkpoints(path: Path) -> Path:
    """Return the folder of the checkpoints of a run."""
    return path / "checkpoints"


def best(path: Path) -> Path:
    """Return the folder of the best state of a run."""
    return path / "best"


def kept_data(path: Path) -> Path:
    """Return the folder of large data in a form that opens at once; all runs beside it share it."""
    return path.parent / ".data"


def append_metrics(path: Path, record: dict) -> None:
    """Append a line to metrics.jsonl; a nonfinite number becomes null, because JSON has no NaN.

    Raises:
      InputError: it cannot be written; the checkpoints are unchanged.
    """
    finite = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in record.items()}
    try:
        with open(path / "metrics.jsonl", "a", encoding="utf-8") as file:
            file.write(json.dumps(finite) + "\n")
    except OSError as error:
        raise InputError(
            f"{path / 'metrics.jsonl'}: {error.strerror}; once that is fixed: jaxrnn train --resume --run {path}"
        ) from None


def read_metrics(path: Path) -> list[dict]:
    """Return the records of metrics.jsonl, without a line that a crash cut short."""
    records = []
    file = path / "metrics.jsonl"
    for line in file.read_text(encoding="utf-8").splitlines() if file.exists() else []:
        try:
            record = json.loads(line)
        except json.JSONDecodeError:
            continue
        records.append(record)
    return records


def rewind_metrics(path: Path, step: int) -> None:
    """Drop what was written after `step`: a run that was killed is resumed from its last checkpoint."""
    kept = "".join(json.dumps(record) + "\n" for record in read_metrics(path) if record["step"] <= step)
    draft = path / "metrics.jsonl.draft"
    draft.write_text(kept, encoding="utf-8")
    os.replace(draft, path / "metrics.jsonl")


def _saved(path: Path) -> int | None:
    folder = checkpoints(path)
    return checkpoint.latest_step(folder) if folder.is_dir() else None
