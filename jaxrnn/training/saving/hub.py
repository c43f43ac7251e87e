"""Models on the Hugging Face hub: the folder of `save_model`, up and down; the extra `hub`.

The calls are huggingface_hub's own, with its token, its cache and its offline mode (`HF_HUB_OFFLINE=1`).  What comes
down is checked as any folder is.

References: the documentation of `huggingface_hub.upload_folder` and `huggingface_hub.snapshot_download`.
"""

import os
from typing import Any

from jaxrnn.core.types import Params
from jaxrnn.training.saving.model_folder import CARD, CONFIG, WEIGHTS, load_model, read_model_config

_FILES = [WEIGHTS, CONFIG, CARD, "tokenizer.json"]


def push_to_hub(
    folder: str | os.PathLike,
    repo_id: str,
    *,
    private: bool = False,
    token: str | None = None,
    endpoint: str | None = None,
) -> str:
    """Upload a folder of `save_model` to a repository of models, and create the repository if it is missing.

    Args:
      folder: as `save_model` wrote it.
      repo_id: "owner/name".
      private: whether a new repository is.
      token: None is the one that `hf auth login` stored.
      endpoint: another hub than huggingface.co.

    Returns:
      The address of the commit.

    Raises:
      CheckpointError: a folder that is not whole; nothing is uploaded.
      huggingface_hub.errors.HfHubHTTPError: the hub refuses.

    >>> push_to_hub("runs/text/model", "me/pydoc")                                # doctest: +SKIP

    References: the documentation of `huggingface_hub.upload_folder`.
    """
    from huggingface_hub import HfApi

    read_model_config(folder)
    api = HfApi(endpoint=endpoint, token=token)
    api.create_repo(repo_id, private=private, exist_ok=True)
    return str(api.upload_folder(repo_id=repo_id, folder_path=folder, allow_patterns=_FILES).commit_url)


def from_hub(
    repo_id: str,
    *,
    revision: str | None = None,
    classes: tuple[type, ...] = (),
    token: str | None = None,
    endpoint: str | None = None,
) -> tuple[Any, Params]:
    """Load a model from the hub.

    Args:
      repo_id: "owner/name".
      revision: a branch, a tag or a commit; only a commit always gives the same model.
      classes: your own classes, which the model may contain besides those of jaxrnn.
      token: None is the one that `hf auth login` stored.
      endpoint: another hub than huggingface.co.

    Returns:
      `(model, params)`.

    Raises:
      CheckpointError: as `load_model`.
      huggingface_hub.errors.HfHubHTTPError: there is no such repository.

    >>> from_hub("me/pydoc")                                                      # doctest: +SKIP

    References: the documentation of `huggingface_hub.snapshot_download`.
    """
    from huggingface_hub import HfApi

    api = HfApi(endpoint=endpoint, token=token)
    folder = api.snapshot_download(repo_id, revision=revision, allow_patterns=_FILES)
    return load_model(folder, classes=classes)
