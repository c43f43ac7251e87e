"""Text files: the same numbers whether read as a stream or at once, cached or not."""

import os
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxrnn.tasks import text_files
from jaxrnn.tasks.data import InputError, corpus
from jaxrnn.tasks.text_files import kept_corpus, read_corpus

TEXTS = st.text(st.one_of(st.sampled_from("\r\n"), st.characters(codec="utf-8")), min_size=1, max_size=200)
MESSAGES = [
    (None, "no such file"),
    (b"", "is empty"),
    (b"\xef\xbb\xbf", "is empty"),
    (b"caf\xe9!", r"not UTF-8 \(byte 0xe9 at 3"),
    (b"\xef\xbb\xbfabcdefgh\xff", r"not UTF-8 \(byte 0xff at 11"),
    ("\u00e9".encode() * 9 + b"\xc3", r"not UTF-8 \(byte 0xc3 at 18"),
]


@pytest.fixture
def large(monkeypatch):
    """Any file counts as large, and is read in small pieces."""
    monkeypatch.setattr(text_files, "LARGE", 0)
    monkeypatch.setattr(text_files, "CHUNK", 5)
    monkeypatch.setattr(text_files, "SETTLED", 0.0)


def same(one, other):
    return one[2:] == other[2:] and all(
        a.dtype == b.dtype and (a == b).all() for a, b in zip(one[:2], other[:2], strict=True)
    )


@given(text=TEXTS, chunk=st.integers(1, 9))
def test_a_file_is_read_as_it_was_written_but_for_line_ends(tmp_path_factory, text, chunk):
    file = tmp_path_factory.mktemp("text") / "a.txt"
    file.write_bytes(b"\xef\xbb\xbf" + text.encode())
    expected = corpus(text.replace("\r\n", "\n").replace("\r", "\n"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text_files, "CHUNK", chunk)  # characters and line ends are cut in two
        assert same(read_corpus(str(file)), expected)
        patch.setattr(text_files, "LARGE", 0)
        kept = kept_corpus(str(file), file.parent / "kept")
        assert same(kept, expected) and same(kept_corpus(str(file), file.parent / "kept"), expected)


@pytest.mark.parametrize(("content", "message"), MESSAGES)
def test_a_file_that_is_no_text_is_refused_by_name(tmp_path, large, content, message):
    file = tmp_path / "a.txt"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(InputError, match=f"a.txt: .*{message}"):
        read_corpus(str(file))
    with pytest.raises(InputError, match=f"a.txt: .*{message}"):
        kept_corpus(str(file), tmp_path / "kept")
    assert not list(tmp_path.glob("kept/*/*"))


@pytest.mark.parametrize("file", [".", "/dev/zero", "a\0b", "x" * 5000])
def test_what_is_no_file_is_refused(file):
    with pytest.raises(InputError):
        read_corpus(file)


def test_a_kept_text_is_not_read_again_not_even_under_another_name(tmp_path, large, monkeypatch):
    file, moved = tmp_path / "a.txt", tmp_path / "b.txt"
    file.write_text("abracadabra" * 20)
    os.utime(file, (1e9, 1e9))
    first = kept_corpus(str(file), tmp_path / "kept")
    monkeypatch.setattr(text_files, "_keep", lambda *_: pytest.fail("read again"))
    file.rename(moved)
    assert same(kept_corpus(str(moved), tmp_path / "kept"), first)


def test_a_changed_text_is_read_anew_and_so_is_one_that_was_cut_short(tmp_path, large):
    file = tmp_path / "a.txt"
    file.write_text("abracadabra" * 20)
    first = kept_corpus(str(file), tmp_path / "kept")
    (tokens,) = tmp_path.glob("kept/*/tokens")
    os.truncate(tokens, 7)
    assert same(kept_corpus(str(file), tmp_path / "kept"), first)
    file.write_text("abracadabrb" * 20)
    os.utime(file, (1e9, 1e9))
    assert same(kept_corpus(str(file), tmp_path / "kept"), corpus("abracadabrb" * 20))


def test_a_text_that_was_just_written_is_not_trusted_to_stay(tmp_path, large, monkeypatch):
    monkeypatch.setattr(text_files, "SETTLED", 2.0)
    file = tmp_path / "a.txt"
    file.write_text("abracadabra")
    before = file.stat()
    kept_corpus(str(file), tmp_path / "kept")
    file.write_text("abracadabrb")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))  # as a clock that ticks slowly has it
    assert kept_corpus(str(file), tmp_path / "kept").digest == corpus("abracadabrb").digest


def test_a_small_text_is_not_kept(tmp_path):
    (tmp_path / "a.txt").write_text("abracadabra")
    kept_corpus(str(tmp_path / "a.txt"), tmp_path / "kept")
    assert not (tmp_path / "kept").exists()


def test_thirty_million_characters_are_opened_at_once_the_second_time(tmp_path):
    line = "The quick brown fox jumps over the lazy dog; el ni\u00f1o come.\r\n"
    file, count = tmp_path / "large.txt", 500_000
    file.write_text(line * count, newline="")
    os.utime(file, (1e9, 1e9))
    data = kept_corpus(str(file), tmp_path / "kept")
    began = time.monotonic()
    again = kept_corpus(str(file), tmp_path / "kept")
    assert time.monotonic() - began < 1
    one = corpus(line.replace("\r\n", "\n"))
    assert data.digest == again.digest and data.alphabet == one.alphabet and data.train.dtype == np.uint8
    assert len(data.train) + len(data.held_out) == count * (len(line) - 1)
    at = len(line) - 1
    expected = np.concatenate([one.train, one.held_out])
    assert (again.train[1234 * at : 1235 * at] == expected).all() and (again.held_out[-at:] == expected).all()
