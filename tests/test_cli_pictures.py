"""Folders of pictures on the command line: `--int8`, `--calibrate`, and how pictures are taken."""

from __future__ import annotations

import json
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers

import allconv
from allconv.cli import quiet
from allconv.cli.pictures import parse_preprocessing
from allconv.errors import OptionError
from tests.helpers.onnx_files import on_tensorflow
from tests.helpers.picture_files import pixels, write_pictures
from tests.helpers.randomized import randomize
from tests.test_cli import error_of, run

SIZE = (12, 10)
OF_TORCH = ("--scale", "1/255", "--mean", "0.485,0.456,0.406", "--std", "0.229,0.224,0.225")


def small(*steps: keras.Layer) -> keras.Model:
    image = x = keras.Input((*SIZE, 3), name="image")
    pool = layers.MaxPooling2D(2, name="pool")
    for step in (*steps, layers.Conv2D(4, 3, activation="relu"), pool, layers.Flatten()):
        x = step(x)
    model = keras.Model(image, layers.Dense(3, name="classes")(x), name="small")
    return randomize(model)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    small().save(tmp_path / "small.keras")
    return tmp_path / "small.keras"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_pictures(tmp_path / "pictures", size=SIZE)


def to_fit(source: Path, folder: Path) -> tuple[object, ...]:
    output = source.with_name("fcn.keras")
    return ("convert", source, "-o", output, "--pooling", "conv", "--calibrate", folder)


def test_calibrating_with_pictures_is_calibrating_with_their_numbers(source, folder):
    result = run(*to_fit(source, folder), *OF_TORCH, "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["calibration"]["images"] == 12 and found["pictures"] == []
    order = [*range(1, 12, 2), *range(0, 12, 2)]  # cats, then dogs
    shown = np.stack([pixels(number, *SIZE, 3) for number in order]).astype("float32")
    images = keras.applications.imagenet_utils.preprocess_input(
        shown, data_format="channels_last", mode="torch"
    )
    model = keras.saving.load_model(source)
    converted = allconv.convert(model, pooling="conv")
    allconv.calibrate(model, converted, images, verbose=0)
    kernel, expected = (
        each.get_layer("pool").kernel
        for each in (keras.saving.load_model(source.with_name("fcn.keras")), converted)
    )
    np.testing.assert_allclose(np.asarray(kernel), np.asarray(expected), rtol=0.01, atol=1e-3)


def test_what_was_done_to_pictures_is_said(source, folder):
    write_pictures(folder, 2, (30, 30))
    done = "2 of 12 pictures: of another size, scaled to 12x10 bilinearly"
    assert f"\n{done}\n" in run(*to_fit(source, folder), "--scale", "1").stdout
    found = json.loads(run(*to_fit(source, folder), "--scale", "1", "--json").stdout)
    assert found["pictures"] == [done]


ADVICE = (
    "model 'small' has no Rescaling or Normalization at its input 'image', so it has to be said "
    "which numbers it takes: give --scale, --mean or --std (and --colour and --size, where need "
    "be); --scale 1 is for one that takes pixels as they are, 0 to 255"
)


def test_a_network_that_scales_nothing_stops_the_command_which_names_the_options(source, folder):
    assert error_of(*to_fit(source, folder)) == f"{folder}: {ADVICE}"
    assert not source.with_name("fcn.keras").exists()


@on_tensorflow
def test_it_stops_exports_too_and_numbers_are_told_as_those_of_an_array(source, folder):
    output = source.with_name("small.onnx")
    command = ("export", source, "-o", output, "--int8", folder)
    assert error_of(*command) == f"{folder}: {ADVICE}"
    assert not output.exists()
    result = run(*command, "--scale", "1/255")
    assert result.exit_code == 0, result.output
    order = [*range(1, 12, 2), *range(0, 12, 2)]
    images = np.stack([pixels(number, *SIZE, 3) for number in order]) / 255
    of_arrays = allconv.export_onnx(source, source.with_name("other.onnx"), int8=images)
    assert output.read_bytes() == source.with_name("other.onnx").read_bytes()
    assert str(of_arrays.loss) in result.stdout


@on_tensorflow
def test_one_that_scales_needs_no_options(tmp_path, folder):
    small(layers.Rescaling(1 / 255)).save(tmp_path / "scaling.keras")
    output = tmp_path / "small.onnx"
    result = run("convert", tmp_path / "scaling.keras", "-o", output, "--int8", folder)
    assert result.exit_code == 0, result.output
    assert output.exists()


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ("", "and none is given"),
        ("eys", "and there is no folder eys"),
        ("dog.png", "and dog.png is one picture; give the folder that holds it"),
        ("images.npz", "and images.npz is a file; the arrays in it are taken as they are"),
    ],
)
@pytest.mark.parametrize("option", ["--calibrate", "--int8"])
def test_options_for_pictures_are_refused_where_none_are_read(
    source, given, found, option, monkeypatch
):
    monkeypatch.chdir(source.parent)
    for name in ("dog.png", "images.npz"):
        Path(name).touch()
    command = ("convert", source, "-o", "fcn.onnx", "--pooling", "conv", "--colour", "bgr")
    further = (option, given) if given else ()
    assert error_of(*command, *further) == f"--colour is for a folder of pictures, {found}"


@pytest.mark.parametrize("dry", [("--dry-run",), ()])
@pytest.mark.parametrize(
    ("images", "message"),
    [
        (("eys",), "eys: expected a folder of pictures, or arrays in a .npy or .npz file: No such"),
        (
            ("dog.png",),
            "dog.png: expected a folder of pictures, or arrays in a .npy or .npz file: it is one "
            "picture, and a folder is to hold them",
        ),
        (
            ("flat.npy",),
            "flat.npy: inputs: shape (4, 12, 30) does not fit input 'image' of the",
        ),
        (("pictures",), "pictures: model 'small' has no Rescaling or Normalization at its input"),
        (("pictures", "--scale", "1", "--size", "6x4"), "--size is 6x4; expected that of input"),
        (("pictures", "--scale", "1", "--colour", "gray"), "--colour is 'gray'; expected one for"),
        (("pictures", "--scale", "1", "--mean", "1,2"), "--mean is (1.0, 2.0); expected a number"),
    ],
)
@pytest.mark.parametrize("option", ["--calibrate", "--int8"])
def test_images_are_looked_at_before_keras_is_imported_and_in_dry_runs_too(
    source, folder, option, images, message, dry, monkeypatch
):
    monkeypatch.chdir(source.parent)
    monkeypatch.setattr(quiet, "_import_keras", lambda: pytest.fail("Keras was imported"))
    np.save("flat.npy", np.zeros((4, 12, 30)))
    write_pictures(Path("dog"), size=SIZE)
    next(Path("dog").rglob("*.png")).rename("dog.png")
    command = ("convert", source, "-o", "fcn.onnx", "--pooling", "conv", option, *images, *dry)
    assert error_of(*command).startswith(message)
    if option == "--int8" and not dry:
        assert error_of("export", source, "-o", "a.onnx", option, *images).startswith(message)


def test_inputs_that_a_model_does_not_take_are_named_before_keras_is_imported(source, monkeypatch):
    monkeypatch.setattr(quiet, "_import_keras", lambda: pytest.fail("Keras was imported"))
    np.save(flat := source.with_name("flat.npy"), np.zeros((4, 12, 30)))
    message = error_of("verify", source, source, "--inputs", flat)
    assert message.startswith(f"{flat}: inputs: shape (4, 12, 30) does not fit input 'image' of")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ("--scale", "1/0"),
            "--scale: expected a number such as 0.5 or 1/255, or several with commas between them, "
            "got '1/0'",
        ),
        (("--scale", "0"), "--scale is 0.0; expected a number other than 0, such as 1/255"),
        (("--colour", "grey"), "--colour is 'grey'; expected 'rgb', 'bgr' or 'gray'"),
        (("--size", "64"), "--size: expected HEIGHTxWIDTH such as 200x300, got '64'"),
        (("--scale", "1", "--size", "6x4"), "--size is 6x4; expected that of input 'image', 12x10"),
    ],
)
def test_options_out_of_their_range_are_named_as_they_were_given(source, folder, options, message):
    assert error_of(*to_fit(source, folder), *options) == message


def test_options_stand_for_a_preprocessing(folder):
    given = {"scale": "1/255", "mean": "0.5", "std": "1,2,1e-1", "colour": "bgr", "size": "20x30"}
    assert parse_preprocessing(given, None, folder) == allconv.Preprocessing(
        1 / 255, 0.5, (1, 2, 0.1), "bgr", (20, 30)
    )
    assert parse_preprocessing(dict.fromkeys(given), None, folder) is None
    with pytest.raises(OptionError, match="mean is inf; expected a number"):
        parse_preprocessing({**given, "mean": "inf"}, folder)
