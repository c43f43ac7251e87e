"""The manifest of a checkpoint: step, configuration, leaves, and the SHA-256 of every file and of itself."""

import hashlib
import json
import re
from pathlib import Path
from urllib.parse import unquote

from jaxrnn.training.saving.records import CheckpointError, brief

FORMAT = 1
"""The version of the manifest format."""


def seal(manifest: dict) -> bytes:
    """Return the manifest as JSON with its own SHA-256."""
    text = json.dumps(manifest, sort_keys=True)
    return json.dumps(manifest | {"sha256": _sha256(text)}, indent=1).encode()


def unseal(file: Path) -> dict:
    """Return the sealed content, or raise if it has changed since it was written.

    Raises:
      CheckpointError: the file is missing, not JSON, or changed since it was written.
    """
    try:
        manifest = json.loads(file.read_bytes())
        sha256 = manifest.pop("sha256")
        intact = sha256 == _sha256(json.dumps(manifest, sort_keys=True))
    except (OSError, ValueError, KeyError, AttributeError, TypeError, RecursionError) as error:
        raise CheckpointError(f"{file} is damaged: {brief(error)}") from error
    if not intact:
        raise CheckpointError(f"{file} is damaged: its SHA-256 differs. Take an older checkpoint or another copy.")
    return manifest


def read_manifest(path: Path) -> dict:
    """Read a manifest and check its SHA-256."""
    file = path / "manifest.json"
    manifest = unseal(file)
    if manifest["format"] != FORMAT:
        raise CheckpointError(f"{file} must have format {FORMAT}, got {manifest['format']}: another version wrote it.")
    return manifest


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def hash_files(arrays: Path) -> dict[str, str]:
    """Return the SHA-256 of every file that orbax wrote; no leaf's checksum covers all of them."""
    found = {}
    for path in sorted(path for path in arrays.rglob("*") if path.is_file()):
        with open(path, "rb") as file:
            found[str(path.relative_to(arrays))] = hashlib.file_digest(file, "sha256").hexdigest()
    return found


def check_files(arrays: Path, expected: dict[str, str]) -> None:
    """Raise CheckpointError unless every file is unchanged, bit for bit."""
    try:
        found = hash_files(arrays)
    except OSError as error:
        raise CheckpointError(f"{arrays} cannot be read: {brief(error)}") from error
    for file, sha256 in expected.items():
        if found.get(file) != sha256:
            leaf = re.fullmatch(r"leaf\.([^/]*)/.*", file)
            what = f"`{unquote(leaf[1])}`" if leaf else "The checkpoint"
            how = "is not what was written (SHA-256 differs)" if file in found else "is missing"
            raise CheckpointError(
                f"{what} is damaged: {arrays / file} {how}. Take an older checkpoint or another copy."
            )
