"""A trained model as a folder that anybody can load, laid out as the Hugging Face hub expects it.

    model.safetensors    the parameters, by their dotted names
    config.json          the model (class, fields), versions, the SHA-256 of model.safetensors and of itself
    README.md            the model card

No pickle, and no code: a class is one of the library's public ones, or one that the reader gives.  A flipped bit in
either of the first two files is noticed before anything is built from them.  The card is for people, and may be
edited.

References: safetensors, https://huggingface.co/docs/safetensors; Mitchell et al. 2019, "Model cards for model
reporting".
"""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import jax

from jaxrnn.core.checks import check_params
from jaxrnn.core.types import Params
from jaxrnn.training.saving import atomic_files
from jaxrnn.training.saving.blueprints import from_blueprint, to_blueprint
from jaxrnn.training.saving.manifest import seal, unseal
from jaxrnn.training.saving.records import CheckpointError
from jaxrnn.training.saving.weights import read_arrays, weights_bytes

FORMAT = 1
"""The version of the format in which `save_model` writes folders; `load_model` reads no other."""
WEIGHTS, CONFIG, CARD = "model.safetensors", "config.json", "README.md"


class Card(NamedTuple):
    """The model card: what people should know about a model.

    >>> Card(title="Dates", metrics={"accuracy": 0.98}).license is None
    True
    """

    title: str = "A recurrent network"
    """The heading."""
    text: str = ""
    """Markdown: what it does, what it was trained on, where it fails."""
    metrics: Mapping[str, Any] = MappingProxyType({})
    """Held-out numbers by name."""
    license: str | None = None
    """An SPDX name in lower case, "apache-2.0", as the hub knows it."""


def save_model(
    folder: str | os.PathLike, model: Any, params: Params, *, card: Card | None = None, run: dict | None = None
) -> None:
    """Save a model and its parameters in a folder.

    Args:
      folder: the folder to write, created if missing; files of these names are replaced, the configuration last.
      model: a cell, or a model of cells: a frozen dataclass.
      params: its own.
      card: for README.md; None says what can be read from the model.
      run: JSON that comes with it, say how it was trained.

    Raises:
      CheckpointError: the folder cannot be written; a leaf that is not a number.
      TypeError: a model whose fields are not numbers, strings, tuples or dataclasses; a `run` that is not JSON.
      ValueError: `params` are another model's.

    >>> import tempfile, jaxrnn
    >>> model = jaxrnn.ManyToOne(jaxrnn.GRU(3, 8), jaxrnn.Readout(8, 2))
    >>> params = model.init(jax.random.key(0))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_model(folder, model, params, card=Card("Two classes", metrics={"accuracy": 0.93}))
    ...     sorted(os.listdir(folder)), load_model(folder)[0] == model
    (['README.md', 'config.json', 'model.safetensors'], True)

    References: safetensors, https://huggingface.co/docs/safetensors.
    """
    import jaxrnn

    check_params(params, model)
    weights = weights_bytes(params)
    config = {
        "library_name": "jaxrnn",
        "format": FORMAT,
        "version": jaxrnn.__version__,
        "model": to_blueprint(model),
        "files": {WEIGHTS: hashlib.sha256(weights).hexdigest()},
        **({} if run is None else {"run": run}),
    }
    try:
        sealed = seal(config)
    except (TypeError, ValueError) as error:
        raise TypeError(f"`run` must be JSON (dicts, lists, strings, numbers, None): {error}.") from error
    text = _card_text(card or Card(), model, params)
    folder = Path(folder)
    try:
        atomic_files.make_directory(folder)
        for name, data in ((WEIGHTS, weights), (CARD, text.encode()), (CONFIG, sealed)):
            atomic_files.write(folder / name, data)
    except OSError as error:
        raise CheckpointError(f"{folder} could not be written: {error}.") from error


def load_model(folder: str | os.PathLike, *, classes: tuple[type, ...] = ()) -> tuple[Any, Params]:
    """Load a model and its parameters, bit for bit.

    Args:
      folder: as `save_model` wrote it.
      classes: your own classes, which the model may contain besides those of jaxrnn.

    Returns:
      `(model, params)`.

    Raises:
      CheckpointError: no such folder, a damaged file, an unknown class, parameters that are not the model's.

    >>> load_model("nowhere")
    Traceback (most recent call last):
    jaxrnn.training.saving.records.CheckpointError: nowhere/config.json is damaged: ...

    References: safetensors, https://huggingface.co/docs/safetensors.
    """
    model = from_blueprint(read_model_config(folder)["model"], classes)
    return model, load_params(folder, model)


def read_model_config(folder: str | os.PathLike) -> dict:
    """Return the content of config.json, or raise if it has changed since it was written.

    Args:
      folder: what `save_model` wrote.

    Returns:
      The contents of config.json: the model, its class and its fields, the version, and the names of the files.

    Raises:
      CheckpointError: it is missing, damaged, or not of a model of this library.

    >>> import tempfile
    >>> import jax
    >>> from jaxrnn import GRU
    >>> cell = GRU(3, 5)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_model(folder, cell, cell.init(jax.random.key(0)))
    ...     sorted(read_model_config(folder))
    ['files', 'format', 'library_name', 'model', 'version']
    """
    file = Path(folder) / CONFIG
    config = unseal(file)
    if config.get("library_name") != "jaxrnn" or config.get("format") != FORMAT or "model" not in config:
        raise CheckpointError(
            f"{file} must be of a jaxrnn model of format {FORMAT}: another library or version wrote it."
        )
    return config


def is_model_folder(folder: str | os.PathLike) -> bool:
    """Return whether the folder looks like one of `save_model`."""
    return (Path(folder) / CONFIG).is_file()


def load_params(folder: str | os.PathLike, model: Any) -> Params:
    """Load only the parameters, for a model that you have.

    Raises:
      CheckpointError: a damaged file, or parameters that are not the model's.
    """
    config, file = read_model_config(folder), Path(folder) / WEIGHTS
    try:
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError as error:
        raise CheckpointError(f"{file} cannot be read: {error}.") from error
    if config.get("files") != {WEIGHTS: digest}:
        raise CheckpointError(f"{file} is damaged: its SHA-256 is not the one in {CONFIG}. Take another copy.")
    try:
        like = jax.eval_shape(model.init, jax.random.key(0))
    except (TypeError, ValueError, AttributeError) as error:
        raise CheckpointError(f"{Path(folder) / CONFIG} describes no model that can be run: {error}") from error
    return read_arrays(file, like)


def _card_text(card: Card, model: Any, params: Params) -> str:
    """Return the model card: Markdown after the header that the hub reads."""
    header = {"library_name": "jaxrnn", "tags": ["jax", "recurrent-neural-network"]}
    header |= {"license": card.license} if card.license else {}
    lines = ["---", *(f"{name}: {json.dumps(value)}" for name, value in header.items()), "---", f"# {card.title}", ""]
    lines += [card.text, ""] if card.text else []
    if card.metrics:
        lines += ["## Held-out metrics", "", "| metric | value |", "|---|---|"]
        lines += [f"| {name.replace('_', ' ')} | {_number(value)} |" for name, value in card.metrics.items()] + [""]
    count = sum(leaf.size for leaf in jax.tree.leaves(params))
    lines += ["## The model", "", f"{count:,} parameters:", "", "```python", repr(model), "```", "", "## Use", ""]
    lines += ["```python", "import jaxrnn", "", 'model, params = jaxrnn.load_model("this folder")', "```", ""]
    return "\n".join(lines)


def _number(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
