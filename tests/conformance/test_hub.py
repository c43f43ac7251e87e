"""Uploads to a hub and downloads from it, by huggingface_hub's own client, with a fake server on this machine."""

import os

os.environ["HF_HUB_DISABLE_XET"] = os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"

import jax
import numpy as np
import pytest
from huggingface_hub import constants
from huggingface_hub.errors import LocalEntryNotFoundError, RepositoryNotFoundError

from jaxrnn import GRU, ManyToOne, Readout
from jaxrnn.training.saving import Card, CheckpointError, from_hub, push_to_hub, save_model
from tests.conformance.fake_hub import fake_hub
from tests.random_params import random_params

MODEL = ManyToOne(GRU(3, 5), Readout(5, 2))


@pytest.fixture
def hub(tmp_path, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    with fake_hub() as server:
        yield server


@pytest.fixture
def folder(tmp_path):
    save_model(tmp_path / "model", MODEL, random_params(MODEL), card=Card("A model", license="apache-2.0"))
    (tmp_path / "model" / "secrets.txt").write_text("not a file of the model")
    return tmp_path / "model"


def test_a_model_goes_up_and_comes_down_bit_for_bit(hub, folder):
    url = push_to_hub(folder, "me/small", token="hf_x", endpoint=hub.address)
    assert url.startswith(f"{hub.address}/me/small/commit/")
    assert set(hub.repos["me/small"]) == {"README.md", "config.json", "model.safetensors"}
    assert set(hub.tokens) == {"Bearer hf_x"}
    model, params = from_hub("me/small", endpoint=hub.address)
    assert model == MODEL
    assert jax.tree.all(jax.tree.map(np.array_equal, params, random_params(MODEL)))


def test_what_a_hub_has_changed_is_refused(hub, folder):
    push_to_hub(folder, "me/small", token="hf_x", endpoint=hub.address)
    data = bytearray(hub.repos["me/small"]["model.safetensors"])
    data[-1] ^= 1
    hub.repos["me/small"]["model.safetensors"] = bytes(data)
    with pytest.raises(CheckpointError, match=r"model\.safetensors is damaged"):
        from_hub("me/small", endpoint=hub.address)


def test_a_folder_that_is_not_whole_is_not_uploaded(hub, folder):
    (folder / "config.json").write_text("{}")
    with pytest.raises(CheckpointError, match=r"config\.json"):
        push_to_hub(folder, "me/small", token="hf_x", endpoint=hub.address)
    assert hub.repos == {}


def test_a_repository_that_is_not_there_is_the_hub_s_own_error(hub):
    with pytest.raises((RepositoryNotFoundError, LocalEntryNotFoundError)):
        from_hub("me/none", endpoint=hub.address)
