"""`allconv export` and `convert -o OUT.onnx`: what they print and write, and how they end."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import onnx
import pytest

import allconv
from allconv.errors import FOR_ONNX
from tests.helpers.networks import mnist_cnn
from tests.helpers.onnx_files import dims, on_tensorflow, operators
from tests.helpers.randomized import randomize
from tests.test_cli import error_of, run

pytestmark = on_tensorflow


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "digits.keras"
    randomize(mnist_cnn(), seed=1).save(path)
    return path


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "fcn.onnx"


def said_by(path: Path) -> dict[str, str]:
    return {each.key: each.value for each in onnx.load(path).metadata_props}


def words_of(*command: object) -> str:
    """What a command prints that does as it is told."""
    result = run(*command)
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    return result.stdout


def test_export_writes_the_model_as_it_is_and_prints_the_report(source, output):
    printed = words_of("export", source, "-o", output)
    assert printed.startswith(f"written: {output}: ")
    assert "MaxPool" in printed and "verified; largest relative error" in printed
    assert "MaxPool" in operators(onnx.load(output))
    assert said_by(output)["source"] == "digits.keras" and "plan" not in said_by(output)


def test_convert_writes_an_all_convolutional_file_and_prints_both_verdicts(source, output):
    printed = words_of("convert", source, "-o", output)
    assert "verified: 4 inputs" in printed and f"written: {output}: " in printed
    assert "all-convolutional\n" in printed and "against Keras, on batches of 1 of" in printed
    assert set(operators(onnx.load(output))) == {"Add", "Conv", "Relu", "Reshape", "Softmax"}


def test_a_converted_file_says_what_was_done_to_its_source(source, output):
    words_of("convert", source, "-o", output, "--no-verify")
    said = said_by(output)
    assert said["source"] == "digits.keras" and said["allconv.version"] == allconv.__version__
    assert said["plan"].endswith("; same outputs") and "3 max_pool_to_relu, " in said["plan"]
    words_of("convert", source, "-o", output, "--no-verify", "--pooling", "stride")
    assert said_by(output)["plan"].endswith("; to be trained")


@pytest.mark.parametrize("command", ["convert", "export"])
def test_any_size_leaves_height_and_width_free(command, tmp_path, output):
    source = tmp_path / "fcn.keras"
    allconv.convert(randomize(mnist_cnn())).save(source)
    printed = words_of(command, source, "-o", output, "--input-size", "any")
    assert dims(onnx.load(output).graph.input) == {"image": ["batch", 1, "height", "width"]}
    assert "input 'image' (batch, 1, height, width)" in printed


def test_the_form_of_the_file_can_be_chosen(source, output):
    printed = words_of(
        "convert", source, "-o", output, "--opset-version", "15", "--data-format", "channels_last"
    )
    assert "opset 15, channels_last" in printed
    model = onnx.load(output)
    assert model.opset_import[0].version == 15
    assert dims(model.graph.input) == {"image": ["batch", 28, 28, 1]}


def test_without_verification_the_report_says_so(source, output):
    assert "not verified: not asked for" in words_of("export", source, "-o", output, "--no-verify")


def test_fewer_bits_are_written_and_their_cost_is_printed(source, tmp_path):
    images = np.random.default_rng(0).normal(size=(16, 28, 28, 1)).astype("float32")
    np.save(tmp_path / "images.npy", images)
    sizes = {}
    for name, *options in (["float32"], ["float16", "--float16"], ["int8", "--int8"]):
        path = tmp_path / f"{name}.onnx"
        further = [tmp_path / "images.npy"] * (name == "int8")
        printed = words_of("convert", source, "-o", path, "--no-verify", *options, *further)
        assert (f"{name} against float32: largest relative error" in printed) == bool(options)
        sizes[name] = path.stat().st_size
    assert sizes["float16"] < 0.6 * sizes["float32"] and sizes["int8"] < 0.35 * sizes["float32"]


def test_a_file_of_weights_takes_its_description(tmp_path, output):
    model = randomize(mnist_cnn())
    model.save_weights(tmp_path / "model.weights.h5")
    (tmp_path / "model.json").write_text(model.to_json())
    weights, config = tmp_path / "model.weights.h5", tmp_path / "model.json"
    assert "verified;" in words_of("export", weights, "--config", config, "-o", output)


def test_an_option_of_onnx_without_an_onnx_file_is_refused(source, tmp_path):
    for option in (
        ["--opset-version", "15"],
        ["--data-format", "channels_last"],
        ["--float16"],
        ["--int8", "a.npy"],
    ):
        message = error_of("convert", source, "-o", tmp_path / "fcn.keras", *option)
        assert message == f"{option[0]} is for ONNX; give an output such as -o fcn.onnx"


@pytest.mark.parametrize("command", ["convert", "export"])
def test_unknown_choices_are_told_before_the_file_is_read(command, tmp_path, output):
    missing = tmp_path / "missing.keras"
    messages = {
        ("--opset-version", 12): "is 12; expected 13 to 18, the versions that tf2onnx writes",
        ("--data-format", "chwn"): "is 'chwn'; expected 'channels_first' or 'channels_last'",
        ("--float16", "--int8", "a"): "and --int8 are two precisions; ask for one of them",
    }
    for options, message in messages.items():
        told = error_of(command, missing, "-o", output, *options)
        assert told == f"{options[0]} {message}"


def test_an_output_of_another_kind_is_refused(source, tmp_path):
    path = tmp_path / "model.keras"
    expected = f"{path}: expected a name that ends in .onnx, such as fcn.onnx"
    assert error_of("export", source, "-o", path) == expected


@pytest.mark.parametrize("command", ["convert", "export"])
def test_a_failure_leaves_an_older_file_and_nothing_else(command, tmp_path, output):
    image = keras.Input((8, 8, 3), name="image")
    random = keras.layers.Dropout(0.5, name="noise")(image, training=True)
    keras.Model(image, random, name="random").save(tmp_path / "random.keras")
    output.write_bytes(b"old")
    message = error_of(command, tmp_path / "random.keras", "-o", output)
    assert message == (
        "model 'random' calls these layers with training=True, which a file for inference "
        "cannot do: Dropout 'noise'; call them without it"
    )
    assert output.read_bytes() == b"old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fcn.onnx", "random.keras"]


def test_what_cannot_be_converted_is_refused_or_exported_with_what_stands_in_the_way(
    tmp_path, output
):
    image = keras.Input((8, 8, 3), name="image")
    turned = keras.layers.Permute((2, 1, 3))(keras.layers.MaxPooling2D(2, name="pool")(image))
    end = keras.layers.Conv2D(2, 3, name="conv")(turned)
    randomize(keras.Model(image, end)).save(tmp_path / "turning.keras")
    message = error_of("convert", tmp_path / "turning.keras", "-o", output)
    assert "--no-strict leaves them as they are" in message and not output.exists()
    printed = words_of("convert", tmp_path / "turning.keras", "-o", output, "--no-strict")
    assert ", not all-convolutional" in printed and "Transpose" in operators(onnx.load(output))


def test_a_missing_package_is_an_error_that_says_what_to_install(source, output, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    message = error_of("export", source, "-o", output)
    assert message.startswith("onnxruntime cannot be imported (")
    assert message.endswith(f"); pip install {FOR_ONNX} brings it, or say --no-verify")
    assert words_of("export", source, "-o", output, "--no-verify")
    monkeypatch.setitem(sys.modules, "onnx", None)
    message = error_of("export", source, "-o", output, "--no-verify")
    assert message.endswith(f"); pip install {FOR_ONNX} brings it")
