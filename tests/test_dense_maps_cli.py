"""`--output-stride`: class maps at every pixel on the command line."""

from __future__ import annotations

from pathlib import Path

import keras
import pytest
from keras import layers

import allconv
from tests.helpers.randomized import randomize
from tests.test_cli import error_of, run
from tests.test_cli_answers import json_of


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    steps = [
        keras.Input((14, 14, 1), name="image"),
        layers.Conv2D(3, 3, activation="relu", name="conv"),
        layers.Conv2D(3, 2, strides=2, name="late"),
        layers.MaxPooling2D(2, name="pool"),
        layers.Flatten(),
        layers.Dense(3, name="classes"),
    ]
    path = tmp_path_factory.mktemp("models") / "digits.keras"
    randomize(keras.Sequential(steps, name="digits")).save(path)
    return path


@pytest.mark.parametrize(("stride", "given"), [("1", 1), ("2", 2), ("1x4", (1, 4))])
def test_a_finer_map_is_verified_with_moved_images_and_written(
    file: Path, tmp_path: Path, stride: str, given: object
) -> None:
    output = tmp_path / "dense.keras"
    size = ("--input-size", "any")
    result = run("convert", file, "-o", output, *size, "--output-stride", stride)
    assert result.exit_code == 0, result.output
    assert "moved images, largest relative error" in " ".join(result.output.split())
    expected = allconv.geometry(file, output_stride=given)
    assert allconv.geometry(output).output_stride == expected.output_stride
    assert json_of("geometry", file, "--output-stride", stride) == expected.to_dict()


def test_where_pools_leave_rows_out_the_finer_map_is_not_compared_at_the_models_own_size(
    tmp_path: Path,
) -> None:
    """11 rows, then 5: at stride 1 the map of an image of the model's own size has four cells."""
    steps = [keras.Input((13, 13, 1)), layers.Conv2D(2, 3), layers.MaxPooling2D(2)]
    steps += [layers.Flatten(), layers.Dense(3)]
    path = tmp_path / "model.keras"
    randomize(keras.Sequential(steps)).save(path)
    assert allconv.convert(path, input_size=(13, 13), output_stride=1).output_shape[1:3] == (2, 2)
    size = ("--input-size", "any", "--output-stride", "1")
    result = run("convert", path, "-o", tmp_path / "dense.keras", *size)
    assert result.exit_code == 0 and "verified" in result.output, result.output


def test_the_report_is_that_of_python(file: Path) -> None:
    words = ("report", file, "--input-size", "20x21", "--output-stride", "1")
    report = allconv.report(file, input_size=(20, 21), output_stride=1)
    assert json_of(*words) == report.to_dict()


def test_a_finer_map_goes_to_onnx_at_once(file: Path, tmp_path: Path) -> None:
    output = tmp_path / "dense.onnx"
    size = ("--input-size", "20x20")
    result = run("convert", file, "-o", output, *size, "--output-stride", "1")
    assert result.exit_code == 0, result.output
    assert output.exists()


def test_convolutions_are_exported_with_a_finer_map_where_asked(tmp_path: Path) -> None:
    model = keras.Sequential(
        [keras.Input((9, 9, 1)), layers.Conv2D(2, 3, strides=2), layers.Conv2D(2, 4)]
    )
    randomize(model).save(tmp_path / "convs.keras")
    words = ("export", tmp_path / "convs.keras", "-o", tmp_path / "dense.onnx")
    result = run(*words, "--input-size", "any", "--output-stride", "1")
    assert result.exit_code == 0, result.output
    assert error_of(*words, "--output-stride", "1").startswith(
        "--output-stride 1 is of class maps, and without an --input-size there are none"
    )


def test_errors_advise_in_the_words_of_the_command_line(file: Path) -> None:
    size = ("--input-size", "any")
    assert error_of("report", file, "--output-stride", "1") == (
        "--output-stride 1 is of class maps, and without an --input-size there are none; give "
        "--input-size any, or the sizes of the image"
    )
    assert error_of("report", file, *size, "--output-stride", "3") == (
        "--output-stride is 3, which does not divide the stride of model 'digits', 4x4"
    )
    assert error_of("report", file, *size, "--output-stride", "fine") == (
        "--output-stride: expected a number such as 1, or one for each axis as HEIGHTxWIDTH such "
        "as 200x300, got 'fine'"
    )
    assert "leave --pooling keep out" in error_of(
        "report", file, *size, "--output-stride", "1", "--pooling", "keep"
    )
