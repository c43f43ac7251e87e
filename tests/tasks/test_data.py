"""Text to arrays and back without loss or guesses; a batch is a function of (seed, step)."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxrnn.tasks.data import InputError, builtin_text, corpus, decode, encode, stream_batch

texts = st.text(st.characters(codec="utf-8"), min_size=1, max_size=200)


@given(texts)
def test_a_corpus_holds_every_character_in_order(text):
    data = corpus(text)
    assert decode(np.concatenate([data.train, data.held_out]), data.alphabet) == text
    assert data.alphabet == "".join(sorted(set(text)))
    assert len(data.held_out) == len(text) // 10


@given(texts)
def test_encode_is_the_inverse_of_decode(text):
    alphabet = corpus(text).alphabet
    assert decode(encode(text, alphabet), alphabet) == text


def test_unseen_characters_are_named_once_each():
    with pytest.raises(InputError, match="never saw: 'x' 'é'"):
        encode("xaéx", "abc")


def test_the_digest_tells_texts_apart():
    assert corpus("abcd").digest != corpus("abdc").digest


def test_the_builtin_text_is_english_and_always_the_same():
    text = builtin_text()
    assert len(text) > 300_000 and "The " in text
    assert builtin_text() == text


def test_an_empty_text_is_refused():
    with pytest.raises(InputError, match="is empty"):
        corpus("")


@pytest.mark.parametrize(("size", "width"), [(1, 1), (256, 1), (257, 2), (65_537, 4)])
def test_a_token_takes_as_few_bytes_as_the_alphabet_allows(size, width):
    text = "".join(chr(point) for point in range(0x10000, 0x10000 + size))
    data = corpus(text)
    assert data.train.itemsize == width and data.train[-1] == len(data.train) - 1


def test_batches_are_of_one_dtype_however_the_tokens_are_stored():
    narrow, wide = np.arange(200, dtype=np.uint8), np.arange(200)
    batches = [stream_batch(tokens, 3, 7, batch=5, length=11) for tokens in (narrow, wide)]
    assert batches[0].dtype == batches[1].dtype == np.int32 and (batches[0] == batches[1]).all()


@given(st.integers(8, 60), st.integers(1, 4), st.integers(1, 7), st.integers(0, 5), st.integers(0, 30))
def test_a_batch_goes_on_where_the_one_before_stopped(n, batch, length, seed, step):
    tokens = np.arange(n)
    now, then = (stream_batch(tokens, seed, k, batch=batch, length=length) for k in (step, step + 1))
    assert now.shape == (length + 1, batch)
    assert (now[-1] == then[0]).all()  # the last target is the next input: the carry fits
    assert ((np.diff(now, axis=0) - 1) % n == 0).all()  # and each row is a run of the text
    assert (now == stream_batch(tokens, seed, step, batch=batch, length=length)).all()


def test_rows_divide_the_text_between_them():
    tokens = np.arange(1000)
    steps = [stream_batch(tokens, 7, k, batch=10, length=20)[:-1] for k in range(5)]
    assert sorted(np.concatenate(steps).ravel()) == list(range(1000))  # an epoch: each character once


def test_another_seed_is_another_start():
    assert len({int(stream_batch(np.arange(1000), seed, 0, batch=1, length=1)[0, 0]) for seed in range(20)}) > 15
