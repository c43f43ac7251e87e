"""`jaxrnn translate`, and the texts of the tasks of section 四."""

import numpy as np
import pytest

from jaxrnn.__main__ import main
from jaxrnn.tasks.translation.dates import EXAMPLES, written
from jaxrnn.tasks.translation.numbers import LEARNT, LONGEST, Numbers, spell
from jaxrnn.tasks.translation.reverse import LETTERS, backwards

SIZES = [
    "--longest",
    "3",
    "--hidden",
    "4",
    "--embedding",
    "3",
    "--batch",
    "2",
    "--steps",
    "2",
    "--dispatch",
    "2",
    "--warmup",
    "0",
]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Train a run with attention, and return its folder."""
    run = tmp_path_factory.mktemp("run") / "reverse"
    assert main(["train", "--task", "reverse", "--run", str(run), *SIZES]) == 0
    return run


def test_translate_answers_and_shows_where_each_symbol_looked(finished, capsys, tmp_path):
    assert (finished / "lengths.png").read_bytes().startswith(b"\x89PNG")
    capsys.readouterr()
    picture = tmp_path / "alignment.png"
    assert main(["translate", "--checkpoint", str(finished), "abc"]) == 0
    answer = capsys.readouterr().out.rstrip("\n")
    assert set(answer) <= set(LETTERS) and len(answer) <= 7
    assert main(["translate", "--run", str(finished), "abc", "--alignment", "--picture", str(picture)]) == 0
    first, *lines = capsys.readouterr().out.splitlines()
    assert first == answer and [line[0] for line in lines] == list(answer)
    assert all(" %)" in line for line in lines)
    assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--run", "{run}", "ab☃"], "the text has symbols that are not known: '☃'"),
        (["--run", "{run}", ""], "the text is empty"),
        (["--run", "{run}"], "required"),
        (["--run", "nowhere", "abc"], "nowhere"),
    ],
)
def test_what_cannot_be_translated_is_one_line_that_says_why(finished, capsys, argv, words):
    capsys.readouterr()
    assert main(["translate", *(word.format(run=finished) for word in argv)]) == 2
    out, err = capsys.readouterr()
    assert not out and err.count("\n") == 1 and words in err


def test_a_number_in_words_is_read_as_it_is_spoken():
    words = "seven hundred forty two million three hundred thousand fifteen"
    assert spell(742_300_015) == words.split()
    assert [" ".join(spell(n)) for n in (0, 10, 21, 100, 1000)] == [
        "zero",
        "ten",
        "twenty one",
        "one hundred",
        "one thousand",
    ]
    said = {tuple(spell(n)) for n in range(3000)}
    assert len(said) == 3000


def test_the_longer_numbers_have_more_words_than_any_that_is_learnt_from():
    data, _ = Numbers().load()
    assert data.train.source_lengths.max() == data.held_out.source_lengths.max() == LEARNT
    assert data.longer.source_lengths.min() == LEARNT + 1 and data.longer.source_lengths.max() <= LONGEST


def test_no_held_out_date_or_number_is_learnt_from():
    for data in (written()[0], Numbers().load()[0]):
        learnt, held_out = ({tuple(row) for row in part.target.T.tolist()} for part in (data.train, data.held_out))
        assert len(learnt) == EXAMPLES and not learnt & held_out


def test_backwards_twice_is_forwards():
    made = backwards(np.random.default_rng(0), np.array([3, 5, 1]), 5)
    for row, length in enumerate((3, 5, 1)):
        forwards, reverse = made.source[:length, row], made.target[: length + 1, row]
        assert (reverse[:-1][::-1] - 1 == forwards).all() and reverse[-1] == 0
