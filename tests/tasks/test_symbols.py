"""Byte pairs: no text is lost, and the scores are comparable with those of characters."""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrnn.objectives import cross_entropy
from jaxrnn.tasks.data import InputError, corpus
from jaxrnn.tasks.sequences import symbols as symbols_module
from jaxrnn.tasks.sequences.symbols import BytePairs, Characters, in_byte_pairs, learn_byte_pairs, symbols_of
from jaxrnn.tasks.sequences.text import Text
from tests.random_params import random_params

TEXT = "Der Kuckuck und der Esel, die hatten einen Streit. Größe, 漢字, ő, 🙂\n" * 40
KEY = jax.random.key(0)
TASK = Text(tokens=300, hidden=4, embedding=3, batch=2, length=5)


@pytest.fixture(scope="module")
def tokenizer():
    return learn_byte_pairs([TEXT], 300)


def test_every_text_is_read_back_a_token_at_a_time(tokenizer):
    pairs = BytePairs(tokenizer)
    for text in (TEXT, "zxq\x00\n 🙃ñ漢", "e\u0301"):
        tokens, read = pairs.encode(text), pairs.decoder()
        assert "".join(read(tokens[[n]]) for n in range(len(tokens))) == text
        assert pairs.widths()[tokens].sum() == len(text)
    assert pairs.encode("").tolist() == pairs.encode("\n").tolist()


def test_bytes_that_are_no_character_are_shown_as_such(tokenizer):
    pairs = BytePairs(tokenizer)
    half = pairs.encode("ñ")[:1]
    assert pairs.decoder()(np.concatenate([half, half, half])).startswith("\ufffd")


def test_the_same_characters_are_held_out(tokenizer, monkeypatch):
    monkeypatch.setattr(symbols_module, "CHUNK", 100)  # whose edges lie inside words
    characters = corpus(TEXT)
    data = in_byte_pairs(characters, 300, tokenizer)
    points = Characters(characters.alphabet).decoder(), BytePairs(tokenizer).decoder()
    for part in ("train", "held_out"):
        texts = [read(getattr(source, part)) for read, source in zip(points, (characters, data), strict=True)]
        assert texts[0] == texts[1]
    assert data.train.dtype == np.uint16 and data.width == len(characters.train) / len(data.train)


def test_the_tokens_of_a_large_text_are_kept(tmp_path, monkeypatch, tokenizer):
    characters = corpus(TEXT)
    fresh = in_byte_pairs(characters, 300, tokenizer)
    monkeypatch.setattr(symbols_module, "LARGE", 1000)
    first = in_byte_pairs(characters, 300, tokenizer, tmp_path)
    (kept,) = tmp_path.iterdir()
    monkeypatch.setattr(symbols_module, "_encoded", lambda *_: fresh.held_out)
    assert np.array_equal(in_byte_pairs(characters, 300, tokenizer, tmp_path).train, fresh.train)
    assert kept.suffix == ".npy" and np.array_equal(first.train, fresh.train)


def test_bits_per_character_are_nats_of_tokens_over_characters(tmp_path):
    (tmp_path / "song.txt").write_text(TEXT)
    task = dataclasses.replace(TASK, file=str(tmp_path / "song.txt"))
    data, facts = task.load()
    assert task.load_again(facts, tmp_path)[1] == facts
    model = task.model(facts)
    assert model.vocabulary == 300 == symbols_of(facts["alphabet"], facts["tokenizer"]).size()
    params = random_params(model)
    tokens = data.held_out.astype(np.int32)
    widths = BytePairs(facts["tokenizer"]).widths()

    nats = 0.0  # the rows are runs that begin with a fresh carry, 32 of them
    run = -(-(len(tokens) - 1) // 32)
    for start in range(0, len(tokens) - 1, run):
        row = tokens[start : start + run + 1]
        _, logits = jax.jit(model.read)(params, row[:-1])
        nats += float(cross_entropy(logits, jnp.asarray(row[1:]))) * (len(row) - 1)
    measured = task.evaluate_whole(model, params, data)
    assert measured["characters"] == widths[tokens[1:]].sum()
    assert measured["bits_per_character"] == pytest.approx(nats / np.log(2) / measured["characters"], rel=1e-5)

    batch = task.batch_at(data, 0, 0)
    loss, _ = jax.jit(partial(task.loss, model))(params, task.carry(model, params), batch, KEY)
    _, logits = model.read(params, jnp.asarray(batch[0][:-1]))
    expected = float(cross_entropy(logits, jnp.asarray(batch[0][1:]))) / data.width
    assert float(loss) == pytest.approx(expected, rel=1e-5)


def test_what_cannot_be_done_is_said(monkeypatch):
    with pytest.raises(InputError, match="--tokens must be an integer from 257"):
        Text(tokens=256)
    with pytest.raises(InputError, match="must be JSON of `tokenizers`"):
        BytePairs("{}").size()
    monkeypatch.setitem(__import__("sys").modules, "tokenizers", None)
    with pytest.raises(InputError, match="'jaxrnn\\[tokens\\]'"):
        learn_byte_pairs(["a"], 300)
