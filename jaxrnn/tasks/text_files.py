"""Text files of any size as arrays of tokens: read in a stream, twice, and kept on the disk where they are large.

The first reading finds the alphabet, the second writes each character's number, one byte if the alphabet has at most
256 characters, or two.  A text of LARGE bytes or more is kept as a file of those numbers, which the next run opens as
a memory map: nothing of it is read before a batch asks for it.

    folder/KEY/tokens        the numbers
    folder/KEY/facts.json    written last: the alphabet, the digest, how many, and the file's name

KEY stands for the file as the operating system knows it: device, inode, size, time of the last change.  So a text that
was renamed is known, and one that was changed is read anew.
"""

import codecs
import contextlib
import fcntl
import hashlib
import io
import json
import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from jaxrnn.tasks.data import Corpus, InputError, code_points, numbers, split

LARGE = 2**24
"""Bytes from which on a text is kept."""
CHUNK = 2**22
"""Bytes that are read at a time."""
SETTLED = 2.0
"""Seconds: a text that was written to so shortly before it was read may be changed without a sign."""


class _Facts(NamedTuple):
    """The facts that the first pass over a text collects."""

    alphabet: str
    digest: str
    characters: int


def read_corpus(file: str) -> Corpus:
    r"""Read a UTF-8 file into numbers in memory, without its byte-order mark and with every line end as \n.

    Raises:
      InputError: there is no such file, it is not a regular file, is empty, is not UTF-8, or cannot be read.
    """
    with _opened(file) as stream:
        facts = _first_reading(file, stream, _ignore)
        parts: list[np.ndarray] = []
        _second_reading(file, stream, facts, parts.append, _ignore)
    return split(np.concatenate(parts), facts.alphabet, facts.digest)


def kept_corpus(file: str, folder: Path) -> Corpus:
    """Read a file like `read_corpus`; store the numbers of a large one in `folder`, and open them there.

    Raises:
      InputError: as `read_corpus`; the file is being written to.
      OSError: the numbers cannot be written.
    """
    with _opened(file) as stream:
        if os.fstat(stream.fileno()).st_size < LARGE:
            return read_corpus(file)
        path = folder / _key(stream)
        path.mkdir(parents=True, exist_ok=True)
        with _locked(path):
            if not _is_kept(path, stream):
                _keep(file, stream, path)
    kept = json.loads((path / "facts.json").read_text(encoding="utf-8"))
    tokens = np.asarray(np.memmap(path / "tokens", kept["dtype"], "r"))
    return split(tokens, kept["alphabet"], kept["sha256"])


def _keep(file: str, stream: BinaryIO, path: Path) -> None:
    """Write the numbers, and then the facts, which make them valid."""
    from tqdm import tqdm  # of the command line, which alone keeps texts

    before, size = _key(stream), os.fstat(stream.fileno()).st_size
    (path / "facts.json").unlink(missing_ok=True)
    wide = {"desc": f"reading {Path(file).name}", "unit": "B", "unit_scale": True, "leave": False, "disable": None}
    try:
        with open(path / "tokens", "wb") as tokens, tqdm(total=2 * size, dynamic_ncols=True, **wide) as bar:
            facts = _first_reading(file, stream, bar.update)
            dtype = _second_reading(file, stream, facts, partial(_write_to, tokens), bar.update)
    except BaseException:
        (path / "tokens").unlink(missing_ok=True)
        raise
    if _key(stream) != before:
        raise InputError(f"{file}: is being written to; try again when it is whole.")
    record = {"file": file, "alphabet": facts.alphabet, "sha256": facts.digest}
    record |= {"characters": facts.characters, "dtype": dtype.str}
    draft = path / "facts.json.draft"
    draft.write_text(json.dumps(record), encoding="utf-8")
    os.replace(draft, path / "facts.json")


def _is_kept(path: Path, stream: BinaryIO) -> bool:
    """Return whether the kept numbers are complete and belong to the current text."""
    facts = path / "facts.json"
    if not facts.exists() or facts.stat().st_mtime - os.fstat(stream.fileno()).st_mtime < SETTLED:
        return False
    kept = json.loads(facts.read_text(encoding="utf-8"))
    return (path / "tokens").stat().st_size == kept["characters"] * np.dtype(kept["dtype"]).itemsize


def _first_reading(file: str, stream: BinaryIO, watch: Callable[[int], object]) -> _Facts:
    seen, sha, characters = np.zeros(0x110000, bool), hashlib.sha256(), 0
    for text in _texts(file, stream, watch):
        seen[code_points(text)] = True
        sha.update(text.encode())
        characters += len(text)
    if not characters:
        raise InputError(f"{file}: is empty.")
    return _Facts("".join(map(chr, np.flatnonzero(seen))), sha.hexdigest(), characters)


def _second_reading(
    file: str, stream: BinaryIO, facts: _Facts, write: Callable[[np.ndarray], object], watch: Callable[[int], object]
) -> np.dtype:
    """Write the number of each character, and return their dtype."""
    table = numbers(facts.alphabet)
    for text in _texts(file, stream, watch):
        points = code_points(text)
        if points.max() >= len(table):
            raise InputError(f"{file}: is being written to; try again when it is whole.")
        write(table[points])
    return table.dtype


def _texts(file: str, stream: BinaryIO, watch: Callable[[int], object]) -> Iterator[str]:
    """Yield the text from its beginning, in nonempty pieces of about CHUNK bytes."""
    stream.seek(0)
    decoder = io.IncrementalNewlineDecoder(codecs.getincrementaldecoder("utf-8-sig")(), translate=True)
    consumed, chunk = 0, b"first"
    while chunk:
        chunk = stream.read(CHUNK)
        try:
            text = decoder.decode(chunk, final=not chunk)
        except UnicodeDecodeError as error:
            at = consumed + len(chunk) - len(error.object) + error.start
            raise InputError(
                f"{file}: is not UTF-8 (byte {error.object[error.start]:#04x} at {at}); "
                "convert it first, for example: iconv -f latin1 -t utf-8."
            ) from None
        consumed += len(chunk)
        watch(len(chunk))
        if text:
            yield text


@contextlib.contextmanager
def _opened(file: str) -> Iterator[BinaryIO]:
    """Open the file for reading bytes."""
    try:
        path = Path(file)
        if not path.exists():
            raise InputError(f"{file}: there is no such file.")
        if not path.is_file():
            raise InputError(f"{file}: is not a regular file; give one text file.")
        stream = path.open("rb")
    except InputError:
        raise
    except (OSError, ValueError) as error:  # ValueError: a null byte in the name
        raise InputError(f"{file!r}: cannot be read: {getattr(error, 'strerror', None) or error}.") from None
    with stream:
        yield stream


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Lock the folder: another process that reads the same text waits, and then finds it stored."""
    lock = os.open(path, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _key(stream: BinaryIO) -> str:
    is_now = os.fstat(stream.fileno())
    known = (is_now.st_dev, is_now.st_ino, is_now.st_size, is_now.st_mtime_ns)
    return hashlib.sha256(repr(known).encode()).hexdigest()[:12]


def _write_to(file: BinaryIO, tokens: np.ndarray) -> None:
    file.write(tokens.data)


def _ignore(count: int) -> None:
    """Ignore the progress."""
