"""The folder in which the command line keeps compiled programs, so that a second start compiles next to nothing.

It is JAX's persistent compilation cache, in the user's cache folder.  Code is compiled for one kind of processor, so
each kind has a folder of its own: a home folder may be shared by several machines.  Several processes may write at
once: an entry that one of them reads half written, or that a kill or a full disk has cut short, does not decompress;
it is then compiled again, and the damaged file is removed, which JAX by itself would keep.
"""

import contextlib
import hashlib
import os
import platform
import re
import sys
import warnings
from pathlib import Path

NAME = "JAX_COMPILATION_CACHE_DIR"
LEAST_SECONDS = "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"
MOST = 1000
"""Entries that are kept; the oldest go first.  One takes some ten to hundred kB."""


def folder() -> Path:
    """Return the folder that the user has named, or one in the user's cache folder."""
    if os.environ.get(NAME):
        return Path(os.environ[NAME])
    if os.environ.get("XDG_CACHE_HOME"):
        root = Path(os.environ["XDG_CACHE_HOME"])
    else:
        root = Path.home() / ("Library/Caches" if sys.platform == "darwin" else ".cache")
    return root / "jaxrnn" / f"compiled-{_processor()}"


def keep() -> None:
    """Let JAX store compiled programs on disk; call this before JAX is imported."""
    if os.environ.get(NAME):  # it is the user's: nothing in it is ours to remove
        return
    with contextlib.suppress(OSError, RuntimeError):  # no home, or a read-only one: nothing is kept
        path = folder()
        path.mkdir(parents=True, exist_ok=True)
        _remove_oldest(path)
        os.environ[NAME] = str(path)
        os.environ.setdefault(LEAST_SECONDS, "0.1")
        warnings.showwarning = _remove_damaged(path, warnings.showwarning)


def _remove_oldest(path: Path) -> None:
    entries = list(path.iterdir())
    if len(entries) > MOST:
        entries.sort(key=lambda entry: entry.stat().st_mtime)
        for entry in entries[: len(entries) - MOST // 2]:
            entry.unlink(missing_ok=True)


def _remove_damaged(path: Path, show):
    """Suppress JAX's warning about a damaged entry of the cache, and remove the entries of that program."""

    def shown(message, category, filename, lineno, file=None, line=None):
        found = re.match(r"Error \w+ persistent compilation cache entry for '([^']*)'", str(message))
        if found is None:
            show(message, category, filename, lineno, file, line)
            return
        for entry in path.iterdir():
            if entry.name.startswith(found[1]):
                entry.unlink(missing_ok=True)

    return shown


def _processor() -> str:
    """Return a name for the kind of processor: its architecture and its instructions."""
    known = platform.machine()
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        known += next((line for line in lines if line.startswith(("flags", "Features"))), "")
    return hashlib.sha256(known.encode()).hexdigest()[:12]
