"""The learning curve: a picture is written, whatever was measured."""

import numpy as np
import pytest
from matplotlib.image import imread

from jaxrnn.tasks.plots import learning_curve

TRAIN = [{"step": k, "split": "train", "bpc": 6.0 - 0.1 * k} for k in range(30)]
HELD_OUT = [{"step": k, "split": "held_out", "bpc": 5.5 - 0.1 * k} for k in (10, 20)]


def picture(file, records):
    learning_curve(file, records, "bpc", "title")
    assert file.read_bytes().startswith(b"\x89PNG")
    return imread(file)


def colors(image):
    """Count the pixels that are clearly blue (training) and clearly red (held out)."""
    r, g, b = np.moveaxis(image[..., :3], -1, 0)
    return int(((b - r > 0.15) & (b > g)).sum()), int(((r - b > 0.4) & (r - g > 0.4)).sum())


def test_both_curves_are_drawn(tmp_path):
    blue, red = colors(picture(tmp_path / "a.png", TRAIN + HELD_OUT))
    assert blue > 100 and red > 100


@pytest.mark.parametrize("records", [[], TRAIN[:1], HELD_OUT[:1], [{"step": 1, "split": "train", "bpc": None}]])
def test_little_or_nothing_measured_is_still_a_picture(tmp_path, records):
    assert picture(tmp_path / "a.png", records).shape[2] == 4


def test_a_measurement_that_is_not_finite_is_left_out(tmp_path):
    bad = [{"step": 5, "split": "train", "bpc": float("nan")}, {"step": 6, "split": "train", "bpc": None}]
    assert np.array_equal(picture(tmp_path / "a.png", TRAIN + bad), picture(tmp_path / "b.png", TRAIN))
