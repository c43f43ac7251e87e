"""Atomic, durable writes: after a power cut a file is there whole or not at all.

A write is durable once the bytes of the file *and* its directory entry have reached the disk.  The second needs an
`fsync` of the directory, which neither `open` nor `os.replace` performs.  POSIX only: Windows cannot open a directory
for `fsync`.

References: Pillai et al. 2014, "All file systems are not created equal", OSDI, §2.2; `fsync(2)`.
"""

import os
from pathlib import Path


def sync(path: Path) -> None:
    """Flush one file, or the entries of one directory, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(path: Path) -> None:
    """Flush everything at and below `path`, the contents of a directory before the directory."""
    for directory, _, files in os.walk(path, topdown=False):
        for file in files:
            sync(Path(directory, file))
        sync(Path(directory))


def make_directory(path: Path) -> None:
    """Create the directory and its missing parents, durably."""
    if not path.is_dir():
        make_directory(path.parent)
        path.mkdir(exist_ok=True)
        sync(path.parent)


def write(path: Path, data: bytes) -> None:
    """Replace the file at `path` by `data` atomically: a reader sees either the old file or the new one.

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
