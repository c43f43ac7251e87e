"""The tasks on real data: what is held out, the effect of padding, and the files that a run writes."""

import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from matplotlib.image import imread

from jaxrnn.__main__ import main
from jaxrnn.tasks.data import InputError, digest, epoch_rows
from jaxrnn.tasks.sequences import captions, chorales, vowels
from jaxrnn.tasks.sequences.captions import LETTERS, NAMES, CaptionDigits, names_of
from jaxrnn.tasks.sequences.chorales import Chorales, go_on, piano_roll, to_stream
from jaxrnn.tasks.sequences.digits import Digits, held_out_fifth, load_images
from jaxrnn.tasks.sequences.vowels import LONGEST, Vowels

KEY = jax.random.key(0)


@pytest.mark.parametrize(("count", "batch"), [(7, 3), (3, 7), (5, 5), (1, 4)])
def test_every_example_comes_once_before_any_comes_again(count, batch):
    rows = np.concatenate([epoch_rows(count, 2, step, batch=batch) for step in range(count)])
    assert (np.sort(rows.reshape(batch, count), axis=1) == np.arange(count)).all()
    assert (epoch_rows(50, 2, 0, batch=50) != epoch_rows(50, 2, 1, batch=50)).any()  # another order in every epoch
    assert (epoch_rows(50, 2, 0, batch=50) != epoch_rows(50, 3, 0, batch=50)).any()


def test_the_digest_tells_shapes_dtypes_and_values_apart():
    arrays = (np.zeros(2), np.zeros((2, 1)), np.zeros(2, np.float32), np.ones(2), np.zeros(2, int))
    assert len({digest(a) for a in arrays}) == len(arrays) and digest(np.zeros(2)) == digest(np.zeros(2))


# digits


def test_a_fifth_of_the_images_is_held_out_and_step_t_is_row_t():
    images, (data, _) = load_images(), Digits().load()
    train, held_out = held_out_fifth(len(images.digits))
    assert sorted([*train, *held_out]) == list(range(1797)) and len(held_out) == 1797 // 5
    from sklearn.datasets import load_digits

    pictures = load_digits().images[held_out] / 16
    np.testing.assert_array_equal(np.moveaxis(data["held_out"].rows, 0, 1), pictures)


# vowels


@pytest.fixture(scope="module")
def utterances():
    return Vowels().load()[0]


def test_the_vowels_are_the_official_split_standardised(utterances):
    train, held_out = utterances["train"], utterances["held_out"]
    assert np.bincount(train.speakers).tolist() == [30] * 9
    assert np.bincount(held_out.speakers).tolist() == [31, 35, 88, 44, 29, 24, 40, 50, 29]
    assert {min(part.lengths.min() for part in utterances.values()), train.lengths.max(), LONGEST} == {7, 26, 29}
    valid = train.xs[np.arange(LONGEST)[:, None] < train.lengths]
    np.testing.assert_allclose([valid.mean(0), valid.std(0)], np.repeat([[0.0], [1.0]], 12, axis=1), atol=1e-4)


@pytest.mark.parametrize("bidirectional", [False, True])
def test_an_utterance_is_read_to_its_own_end_whatever_stands_behind_it(utterances, bidirectional):
    task = Vowels(hidden=3, bidirectional=bidirectional)
    model, some = task.model({}), utterances["held_out"].some(slice(0, 5))
    params, lengths = model.init(KEY), jnp.asarray(some.lengths)
    behind = (np.arange(LONGEST)[:, None] >= some.lengths)[..., None]
    wild = vowels._logits(model, params, jnp.asarray(np.where(behind, np.nan, some.xs)), lengths)
    row = some.some(slice(2, 3))
    alone = model.logits(params, jnp.asarray(row.xs[: row.lengths[0]]), mask=jnp.ones((row.lengths[0], 1), bool))
    np.testing.assert_allclose(wild[2:3], alone, atol=1e-6)


def test_two_directions_read_both_last_states(utterances):
    task = Vowels(hidden=3, bidirectional=True)
    model, some = task.model({}), utterances["held_out"].some(slice(0, 5))
    params, lengths = model.init(KEY), jnp.asarray(some.lengths)
    xs = jnp.asarray(some.xs)
    carry, _ = model.network.apply(params.cell, xs, mask=jnp.arange(LONGEST)[:, None] < lengths)
    want = jnp.concatenate(carry, axis=-1) @ params.readout.v + params.readout.c
    np.testing.assert_allclose(vowels._logits(model, params, xs, lengths), want, atol=1e-6)


# captions


@pytest.mark.parametrize("stop", ["end-symbol", "stop-unit", "predicted-length"])
def test_every_image_has_its_name_in_both_languages_and_the_rule_can_write_it(stop):
    task = CaptionDigits(stop=stop, hidden=3, features=2)
    truth, digits = task.load()[0]["held_out"], load_images().digits[held_out_fifth(1797)[1]]
    assert names_of(truth) == [names[digit] for digit in digits for names in NAMES.values()]
    assert (truth.x[::2, 64:] == [1, 0]).all() and (truth.x[1::2, 64:] == [0, 1]).all()
    ends = truth.symbols[truth.lengths - 1, np.arange(len(truth.lengths))] == LETTERS.index(".")
    assert ends.all() if stop == "end-symbol" else not ends.any()
    model, some = task.model({}), truth.some(slice(0, 4))
    params = model.init(KEY)
    assert 0 < float(captions._nats(model, params, some)) < np.inf  # no name is impossible
    assert captions.caption(model, params, jnp.asarray(some.x)).lengths.shape == (4,)


def test_a_run_of_captions_leaves_a_picture_and_says_its_accuracy(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    options = "--task captions --hidden 4 --features 3 --batch 2 --steps 2 --every 2 --dispatch 2 --warmup 0"
    assert main(f"train {options}".split()) == 0
    said = capsys.readouterr().out
    assert "nats, accuracy 0.0" in said and "accuracy German" in said
    picture = Path("runs/captions/captions.png")
    assert str(picture) in said and imread(picture).std() > 0.1


# chorales


def test_a_chorale_as_a_piano_roll_is_in_c_and_a_roll_is_written_as_the_keys_it_holds():
    import music21

    score = music21.corpus.parse("bach/bwv269")  # G major: one sharp
    roll = piano_roll(score)
    first = {pitch.midi + 5 for note in score.flatten().notes if note.offset == 0 for pitch in note.pitches}
    assert {int(key) + chorales.LOWEST for key in np.flatnonzero(roll[0])} == first
    assert {midi % 12 for midi in first} == {0, 4, 7}
    np.testing.assert_array_equal(piano_roll(to_stream(roll, music21)), roll)


def test_windows_lie_inside_their_chorale_and_all_of_it_is_seen():
    task = Chorales(chorales=5, hidden=2, batch=3, length=20)
    train = task.load()[0]["train"]
    pieces = [train.keys[:length, row] for row, length in enumerate(train.lengths)]
    ends = set()
    for step in range(40):
        windows = task.batch_at({"train": train}, 0, step)
        for b, length in enumerate(windows.lengths):
            window = windows.keys[:length, b]
            found = [
                start
                for p in pieces
                for start in range(len(p) - length + 1)
                if (p[start : start + length] == window).all()
            ]
            assert found and not windows.keys[length:, b].any()
            ends |= set(found)
    assert 0 in ends and len(windows.keys) == 21


def played(file):
    """Return the events of a MIDI file as a piano roll of 64 steps."""
    import music21

    midi = music21.midi.MidiFile()
    midi.open(file)
    midi.read()
    midi.close()
    events, roll, since = [], np.zeros((64, 88), bool), {}
    for track in midi.tracks:
        now = 0
        for event in track.events:
            if event.isDeltaTime():
                now += event.time
            elif event.isNoteOn() or event.isNoteOff():
                events.append((now // midi.ticksPerQuarterNote, event.isNoteOn(), event.pitch - chorales.LOWEST))
    for step, begins, key in sorted(events):
        if begins:
            since[key] = step
        else:
            roll[since[key] : step, key] = True
    return roll


def test_a_run_of_chorales_leaves_a_midi_file_that_holds_what_was_drawn(tmp_path):
    task = Chorales(chorales=5, hidden=3)
    data, facts = task.load()
    model = task.model(facts)
    params = model.init(KEY)
    params = params._replace(readout=params.readout._replace(c=params.readout.c.at[40:].set(-20.0)))
    files = task.illustrate(model, params, data, tmp_path)
    prompt = data["held_out"].keys[:8, 0]
    drawn = go_on(model, params, jnp.asarray(prompt, float), KEY, length=56)
    want = np.concatenate([prompt, drawn])
    assert want.shape == (64, 88) and 0.4 < want[8:, :40].mean() < 0.6 and not want[8:, 40:].any()
    np.testing.assert_array_equal(played(files["sample"]), want)
    assert imread(files["roll"]).std() > 0.1


# what is refused


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Digits(hidden=0), "--hidden must be an integer of at least 1, got 0"),
        (lambda: Vowels(noise=float("nan")), "--noise must be a finite number of at least 0, got nan"),
        (lambda: CaptionDigits(batch=-1), "--batch must be an integer of at least 1, got -1"),
        (lambda: Chorales(chorales=4), "--chorales must be an integer of at least 5, got 4"),
        (lambda: Chorales(chorales=372), "--chorales must be at most 371, got 372"),
    ],
)
def test_an_option_out_of_range_is_named(make, said):
    with pytest.raises(InputError, match=said):
        make()


@pytest.mark.process
def test_a_package_that_is_not_there_is_one_line_that_says_what_to_install(tmp_path):
    """In a real process, in which the packages cannot be imported."""
    program = """
import sys
sys.modules |= {name: None for name in ("sklearn.datasets", "sktime.datasets", "music21")}
from jaxrnn.__main__ import main
for task in ("digits", "captions", "vowels", "chorales"):
    assert main(["train", "--task", task]) == 2
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    packages = ("scikit-learn", "scikit-learn", "sktime", "music21")
    assert done.stderr.splitlines() == [
        f"jaxrnn: this task needs {package}: pip install {package}, or 'jaxrnn[tasks]'." for package in packages
    ]
    assert not done.stdout and not list(tmp_path.iterdir())
