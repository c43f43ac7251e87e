"""The data, the training and the tables of benchmarks.reproduce.sequence_to_sequence."""

import jax
import numpy as np
import pytest

from benchmarks.reproduce import encoder_decoders, sequence_tables
from benchmarks.reproduce import sequence_to_sequence as program
from benchmarks.reproduce.encoder_decoders import TESTED, copies, problem_of, source_reversed
from benchmarks.reproduce.results import Record
from jaxrnn.tasks.translation import END

SEEDS = [0.1, 0.3, 0.75], [0.0, 0.2, 0.4]


def record(settings: dict, figures: dict) -> Record:
    return Record(settings, figures, "-", 1, 2.0, 2.0, 1.0, {"date": "2026-01-02", "commit": "abc"})


def test_copy_asks_for_the_source_and_its_end():
    made = copies(np.random.default_rng(0), np.array([3, 1, 5]), time=5)
    for row, length in enumerate([3, 1, 5]):
        source, target = made.source[:, row], made.target[:, row]
        assert target[:length].tolist() == [letter + 1 for letter in source[:length]]
        assert (source[length:] == 0).all() and (target[length:] == END).all()
    assert made.target_lengths.tolist() == [4, 2, 6] and len(set(made.source[:, 2])) > 1


@pytest.mark.parametrize("name", ["copy", "numbers", "dates"])
def test_a_reversed_source_has_its_last_symbol_first_and_reversed_twice_it_is_the_source(name):
    pairs = problem_of(name, updates=1, seed=0).held_out
    there = source_reversed(pairs)
    np.testing.assert_array_equal(source_reversed(there).source, pairs.source)
    last = pairs.source[pairs.source_lengths - 1, np.arange(pairs.source.shape[1])]
    np.testing.assert_array_equal(there.source[0], last)
    assert (there.source != pairs.source).any() and there.target is pairs.target


def test_what_is_learned_from_and_what_is_held_out_differ():
    train, held_out, _ = problem_of("copy", updates=2, seed=0)
    assert train.source.shape[1] == 2 * encoder_decoders.BATCH and held_out.source.shape[1] == 1_000
    long = {tuple(row) for row in train.source.T if row[5:].any()}
    assert len(long) > 50 and not long & {tuple(row) for row in held_out.source.T}


def test_a_case_of_each_kind_has_its_figures(monkeypatch):
    monkeypatch.setattr(encoder_decoders, "EVERY", 1)
    monkeypatch.setattr(encoder_decoders, "HIDDEN", 8)
    curves = encoder_decoders.trained_on_order("numbers", in_order=False, updates=2, seed=0)
    assert [len(curve) for curve in curves.values()] == [2, 2, 2]
    assert curves["nats"][0] == pytest.approx(np.log(11), rel=0.1)  # at first nothing is known of 10 digits and the end
    assert program.show_order("numbers", curves).endswith("0.0% right, never 50%")
    lengths = encoder_decoders.trained_on_length("none", updates=2, seed=0, hidden=8)
    assert len(lengths["symbols"]) == len(lengths["answers"]) == len(TESTED) and max(lengths["answers"]) == 0
    assert program.show_length(lengths) == "right: 0% at 10, 0% at 20, 0% at 40"


def test_the_scores_of_a_known_answer(monkeypatch):
    pairs = encoder_decoders.on_device(copies(np.random.default_rng(0), np.array([2, 2, 3]), time=3))
    wrong = np.array(pairs.target)
    wrong[1, 0] = wrong[1, 0] % 26 + 1  # one letter of the first row; the others are right
    wrong[3, 1] = 5  # behind the end of the second row

    class Known:
        def encode(self, params, source, lengths):
            return None

        def apply(self, params, encoded, target, lengths, *, start):
            return 50 * jax.nn.one_hot(wrong, 27)

    got = encoder_decoders.scores(Known(), None, pairs)
    assert float(got.symbols) == pytest.approx(9 / 10) and float(got.answers) == pytest.approx(2 / 3)
    assert float(got.nats) == pytest.approx(50 / 10, rel=1e-5)


def test_the_tables_have_a_row_of_the_seeds_of_each_case(monkeypatch):
    curves = [{"nats": [2, np.log(5), 0.0], "symbols": [0, 0, 0.9], "answers": answers} for answers in SEEDS]
    by_length = [{"symbols": [0.5] * len(TESTED), "answers": [share] * len(TESTED)} for share in (0.2, 0.6)]
    records = [
        record({"problem": "copy", "source": "reversed", "updates": 300, "seed": seed}, curves[seed]) for seed in (1, 0)
    ] + [record({"attention": "none", "updates": 300, "seed": seed}, by_length[seed]) for seed in (0, 1)]
    monkeypatch.setattr(sequence_tables.results, "read", lambda name: records)
    perplexities, shares = "5.000 (5.000 5.000) | 1.000 (1.000 1.000)", "90.0 (90.0 90.0) | 57.5 (75.0 40.0)"
    row = f"| copy | reversed | 300 | {perplexities} | {shares} | 25 %: 200 300 |"
    assert sequence_tables.source_order()[2] == row
    assert sequence_tables.sentence_lengths()[2].startswith("| a fixed context | 64 | 300 | 2 | 60 / 40 | 60 / 40 |")
    lines = sequence_tables.draw_sentence_lengths().axes[0].get_lines()
    assert [float(line.get_ydata()[0]) for line in lines] == pytest.approx([0.4, 0.6])
