"""Files that are there after a power cut, whole or not at all.

A write is durable when the file's bytes *and* the directory entry that leads to them have reached the disk;
the second needs an `fsync` of the directory, which neither `open` nor `os.replace` does.  POSIX alone: a
directory cannot be opened for `fsync` on Windows.

References: Pillai et al. 2014, "All file systems are not created equal", OSDI, §2.2; `fsync(2)`.
"""

import os
from pathlib import Path


def sync(path: Path) -> None:
    """Returns when this one file, or this directory's list of names, has reached the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(path: Path) -> None:
    """`sync` of everything at and below `path`, what is inside a directory before the directory."""
    for directory, _, files in os.walk(path, topdown=False):
        for file in files:
            sync(Path(directory, file))
        sync(Path(directory))


def make_directory(path: Path) -> None:
    """Makes the directory, and those above it that are missing, for good."""
    if not path.is_dir():
        make_directory(path.parent)
        path.mkdir(exist_ok=True)
        sync(path.parent)


def write(path: Path, data: bytes) -> None:
    """Puts `data` at `path` in one moment: before it the old file is there, if there was one, after it the new.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as directory:
    ...     write(Path(directory, "a"), b"one")
    ...     write(Path(directory, "a"), b"two")
    ...     Path(directory, "a").read_bytes(), len(os.listdir(directory))
    (b'two', 1)
    """
    unfinished = path.with_name(path.name + ".unfinished")
    try:
        unfinished.write_bytes(data)
        sync(unfinished)
        os.replace(unfinished, path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
    sync(path.parent)
