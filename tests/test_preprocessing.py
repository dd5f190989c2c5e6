"""What `Preprocessing` makes of pixels is what Keras' own `preprocess_input` does."""

from __future__ import annotations

import re
from pathlib import Path

import keras
import numpy as np
import pytest

import allconv
from allconv import Preprocessing
from allconv.cli.pictures import parse_preprocessing
from allconv.errors import OptionError

BY_MODE = {
    "tf": Preprocessing(scale=1 / 127.5, mean=1),
    "torch": Preprocessing(scale=1 / 255, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)),
    "caffe": Preprocessing(mean=(103.939, 116.779, 123.68), colour="bgr"),
}


@pytest.mark.parametrize("mode", BY_MODE)
def test_the_three_ways_of_keras_applications_can_be_said(mode):
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype="uint8")
    expected = keras.applications.imagenet_utils.preprocess_input(
        pixels.astype("float32"), data_format="channels_last", mode=mode
    )
    np.testing.assert_allclose(BY_MODE[mode].apply(pixels), expected, atol=1e-4)


DOCUMENT = Path(__file__).parents[1] / "docs" / "pictures.md"
ROWS = re.findall(r"^\| (`.+`) \| (.*) \| (.*)\|$", DOCUMENT.read_text(), re.MULTILINE)
TOLD = {name: row[1:] for row in ROWS for name in re.findall(r"`(\w+)`", row[0])}
APPLICATIONS = [
    name
    for name, module in vars(keras.applications).items()
    if hasattr(module, "preprocess_input") and name != "imagenet_utils"
]


def test_all_of_keras_applications_are_told_of():
    assert sorted(TOLD) == sorted(APPLICATIONS)


@pytest.mark.parametrize("name", APPLICATIONS)
def test_what_the_pages_say_of_a_network_is_what_keras_does(name):
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype="uint8")
    module = getattr(keras.applications, name)
    expected = module.preprocess_input(pixels.astype("float32"), data_format="channels_last")
    options, words = (each.strip("` ") for each in TOLD[name])
    of_python = eval(f"Preprocessing({words})")
    np.testing.assert_allclose(of_python.apply(pixels), expected, atol=1e-4)
    assert of_options(options if words else "") == of_python


def of_options(line: str) -> Preprocessing:
    """What options of the command line stand for."""
    words = line.split()
    given = dict.fromkeys(("scale", "mean", "std", "colour", "size"))
    given |= {name.strip("-"): text for name, text in zip(words[::2], words[1::2], strict=True)}
    return parse_preprocessing(given, Path("/")) or Preprocessing()


def test_without_numbers_pixels_stay_as_they_are():
    pixels = np.arange(12, dtype="uint8").reshape(2, 2, 3)
    assert Preprocessing().apply(pixels) is pixels
    found = Preprocessing(colour="bgr").apply(pixels)
    assert found.dtype == np.uint8 and found[0, 0].tolist() == [2, 1, 0]


def test_two_that_say_the_same_are_equal_and_nothing_can_be_changed():
    chosen = Preprocessing(mean=[1, 2, 3])
    assert chosen == Preprocessing(mean=np.array([1, 2, 3])) and hash(chosen)
    with pytest.raises(AttributeError):
        chosen.mean = 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"scale": 0}, "scale is 0; expected a number other than 0, such as 1/255"),
        ({"scale": "1/255"}, "scale is 1/255; expected a number other than 0, such as 1/255"),
        ({"scale": True}, "scale is True; expected a number other than 0, such as 1/255"),
        ({"scale": np.inf}, "scale is inf; expected a number other than 0, such as 1/255"),
        ({"mean": ()}, "mean is (); expected a number, or one for each channel"),
        ({"mean": (1, "2")}, "mean is (1, '2'); expected a number, or one for each channel"),
        (
            {"std": (1, 0, 1)},
            "std is (1, 0, 1); expected a number above 0, or one for each channel",
        ),
        ({"colour": "grey"}, "colour is 'grey'; expected 'rgb', 'bgr' or 'gray'"),
        ({"size": 224}, "size is 224; expected (height, width), each from 1 on"),
        ({"size": (0, 3)}, "size is (0, 3); expected (height, width), each from 1 on"),
    ],
)
def test_what_is_out_of_its_range_is_refused(options, words):
    with pytest.raises(OptionError) as caught:
        Preprocessing(**options)
    assert str(caught.value) == f"Preprocessing: {words}"


def test_preprocessing_without_pictures_is_refused(tmp_path):
    with pytest.raises(OptionError) as caught:
        allconv.export_onnx("any.keras", tmp_path / "x.onnx", preprocessing=BY_MODE["tf"])
    assert str(caught.value) == (
        "preprocessing is for the pictures that int8 takes; give int8 some"
    )


@pytest.mark.parametrize("pixels", [np.zeros((4, 4, 1)), np.zeros((4, 2)), np.zeros(())])
def test_a_mean_for_other_channels_is_refused_and_never_spread(pixels):
    with pytest.raises(
        OptionError, match="mean is \\(1, 2, 3\\); expected a number, or one for each"
    ):
        Preprocessing(mean=(1, 2, 3)).apply(pixels)
