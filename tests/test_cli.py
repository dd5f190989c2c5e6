"""The command line: what it prints, where it writes, and how it ends."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
from click.testing import CliRunner, Result
from keras import layers

import allconv
from allconv.cli.commands import main
from allconv.cli.options import parse_pooling, parse_size
from allconv.errors import FileError, OptionError
from allconv.rewrite import Plan
from allconv.save import save_model
from allconv.strategies import ConvPool
from tests.helpers.randomized import randomize

VERIFIED = re.compile(
    r"verified: 4 inputs, largest relative error \S+ \(tolerance \S+\), argmax equal on 4 of 4"
)


@pytest.fixture(scope="module")
def model() -> keras.Model:
    blocks = [layers.Input((8, 8, 1), name="image")]
    for name in ("pool1", "pool2"):
        blocks.append(layers.Conv2D(4, 3, padding="same", activation="relu"))
        blocks.append(layers.MaxPooling2D(name=name))
    blocks += [layers.Flatten(), layers.Dense(5, activation="softmax", name="classes")]
    return randomize(keras.Sequential(blocks, name="digits"), seed=1)


@pytest.fixture(scope="module")
def source(model: keras.Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "digits.keras"
    model.save(path)
    return path


@pytest.fixture
def images() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(6, 8, 8, 1)).astype("float32")


def run(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


def error_of(*words: object) -> str:
    """The message of a command that fails as a user's mistake should: one message, no traceback."""
    result = run(*words)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith("Error: ") and "Traceback" not in result.stderr
    return result.stderr.removeprefix("Error: ").rstrip("\n")


def predictions(path: Path, images: np.ndarray) -> np.ndarray:
    return keras.ops.convert_to_numpy(keras.saving.load_model(path)(images))


# Help


@pytest.mark.parametrize("command", ["report", "check", "geometry", "convert", "export", "verify"])
def test_help_teaches_by_example(command: str) -> None:
    result = run(command, "--help")
    assert result.exit_code == 0
    assert f"\n  Examples:\n  allconv {command} model.keras" in result.stdout


def test_the_first_help_names_every_command_and_status() -> None:
    text = run("--help").stdout
    for command in main.commands:
        assert re.search(rf"^  .*\? +allconv {command} |^    allconv {command} ", text, re.M)
    assert "..." not in text.partition("ARGS]...")[2]  # no summary is cut short
    assert [words in text for words in ("0  done", "1  the answer is no", "2  an error")] == [
        True
    ] * 3


def test_version_is_the_package_version() -> None:
    assert run("--version").stdout == f"allconv {allconv.__version__}\n"


# report and check


def test_report_prints_what_python_prints(source: Path, model: keras.Model) -> None:
    result = run("report", source)
    assert result.exit_code == 0
    assert result.stdout == f"{allconv.report(model)}\n"


def test_report_as_json_and_markdown(source: Path, model: keras.Model) -> None:
    expected = allconv.report(model)
    assert json.loads(run("report", source, "--json").stdout) == json.loads(
        json.dumps(expected.to_dict())
    )
    assert run("report", source, "--markdown").stdout == f"{expected.to_markdown()}\n"


def test_report_verifies_where_asked(source: Path) -> None:
    assert "verified: " not in run("report", source).stdout
    assert VERIFIED.search(" ".join(run("report", source, "--verify").stdout.split()))


def test_report_takes_the_options_of_convert(source: Path, model: keras.Model) -> None:
    words = ["--pooling", "pool1=conv", "--pooling", "*=stride", "--conv-kernel-size", "4x3"]
    result = run("report", source, *words, "--conv-filters", "6", "--head", "classifier")
    pooling = {"pool1": ConvPool(kernel_size=(4, 3), filters=6), "*": "stride"}
    expected = allconv.report(model, pooling=pooling, head="classifier")
    assert result.stdout == f"{expected}\n"


def test_check_says_yes_or_no(source: Path, model: keras.Model) -> None:
    for size in ("8x8", "3x3", "16x24"):
        result = run("check", source, "--input-size", size)
        expected = allconv.check(model, input_size=parse_size("", size))
        assert result.stdout == f"{expected}\n"
        assert result.exit_code == (0 if expected.passed else 1)
    assert run("check", source).exit_code == 0


# convert


@pytest.mark.parametrize("name", ["out.keras", "out.h5"])
def test_convert_writes_a_model_with_the_same_predictions(
    name: str, source: Path, tmp_path: Path, images: np.ndarray
) -> None:
    output = tmp_path / name
    result = run("convert", source, "-o", output)
    assert result.exit_code == 0 and result.stderr == ""
    *totals, verdict, written = result.stdout.splitlines()
    assert totals and VERIFIED.fullmatch(verdict)
    assert written == f"written: {output}"
    kinds = {type(layer).__name__ for layer in keras.saving.load_model(output).layers}
    assert not kinds & {"MaxPooling2D", "Dense"}
    np.testing.assert_allclose(
        predictions(output, images), predictions(source, images), rtol=1e-4, atol=1e-6
    )


def test_convert_without_verification_says_so(source: Path, tmp_path: Path) -> None:
    result = run("convert", source, "-o", tmp_path / "out.keras", "--no-verify")
    assert "not verified: --no-verify\n" in result.stdout


def test_a_conversion_that_needs_training_is_written_and_not_called_verified(
    source: Path, tmp_path: Path
) -> None:
    result = run("convert", source, "-o", tmp_path / "out.keras", "--pooling", "stride")
    assert result.exit_code == 0
    assert (
        "not verified: this conversion does not keep the outputs; train the result, or fit it: "
        "--calibrate IMAGES"
    ) in result.stdout.splitlines()


def test_a_model_that_cannot_be_converted_is_refused_unless_asked_to_keep_what_stands_in_the_way(
    tmp_path: Path,
) -> None:
    stubborn = keras.Sequential([keras.Input((8, 2)), layers.LSTM(3, name="memory")])
    stubborn.save(tmp_path / "stubborn.keras")
    output = tmp_path / "out.keras"
    obstacle = allconv.report(stubborn).obstacles[0]
    message = error_of("convert", tmp_path / "stubborn.keras", "-o", output)
    assert f"\n  {obstacle}\n--no-strict leaves them as they are" in message
    assert not output.exists()
    result = run("convert", tmp_path / "stubborn.keras", "-o", output, "--no-strict")
    assert result.exit_code == 0 and output.exists()
    assert f"\nstands in the way and stays: {obstacle}\n" in result.stdout


def test_a_conversion_that_disagrees_is_not_written(
    source: Path, model: keras.Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(plan: Plan) -> keras.Model:
        converted = keras.models.clone_model(model)
        converted.set_weights([weight * 1.01 for weight in model.get_weights()])
        return converted

    monkeypatch.setattr("allconv.cli.convert.build_plan", wrong)
    output = tmp_path / "out.keras"
    output.write_text("older")
    message = error_of("convert", source, "-o", output)
    assert message.startswith("model 'digits' and its conversion: failed: 4 inputs, largest ")
    assert message.endswith("; nothing was written")
    assert output.read_text() == "older"
    assert os.listdir(tmp_path) == ["out.keras"]


@pytest.mark.parametrize(("size", "shape"), [("any", (None, None)), ("40x52", (40, 52))])
def test_a_model_of_another_size_is_verified_at_its_own_and_written(
    source: Path, tmp_path: Path, size: str, shape: tuple[int | None, int | None]
) -> None:
    result = run("convert", source, "-o", tmp_path / "map.keras", "--input-size", size)
    assert result.exit_code == 0, result.output
    assert "\nverified: 4 inputs" in result.output
    converted = keras.models.load_model(tmp_path / "map.keras")
    assert converted.input_shape[1:3] == shape
    assert len(converted.output_shape) == 4


def test_the_report_says_what_a_model_of_any_size_takes(source: Path) -> None:
    result = run("report", source, "--input-size", "any")
    assert "The result takes images of any size from " in result.output
    fields = json.loads(run("report", source, "--input-size", "any", "--json").output)["geometry"]
    assert set(fields) >= {"output_stride", "receptive_field", "offset", "minimum_input_size"}


def test_a_size_that_is_none_is_one_message(source: Path) -> None:
    assert error_of("report", source, "--input-size", "huge") == (
        "--input-size: expected any or HEIGHTxWIDTH such as 200x300, got 'huge'"
    )


def test_batch_normalizations_are_folded_where_asked(tmp_path: Path) -> None:
    image = keras.Input((8, 8, 2))
    x = layers.BatchNormalization()(layers.Conv2D(3, 3)(image))
    randomize(keras.Model(image, x)).save(tmp_path / "model.keras")
    options = ("-o", tmp_path / "folded.keras", "--fold-batchnorm")
    assert "verified" in run("convert", tmp_path / "model.keras", *options).output
    folded = keras.models.load_model(tmp_path / "folded.keras")
    assert not any(isinstance(leaf, layers.BatchNormalization) for leaf in folded.layers)


def test_an_older_output_is_replaced_and_nothing_else_left(source: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.keras"
    output.write_text("older")
    assert run("convert", source, "-o", output).exit_code == 0
    assert os.listdir(tmp_path) == ["out.keras"]
    assert keras.saving.load_model(output).input_shape == (None, 8, 8, 1)


def test_a_link_stays_a_link_to_the_new_file(source: Path, tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    link, target = tmp_path / "out.keras", tmp_path / "kept" / "model.keras"
    link.symlink_to(target)
    assert run("convert", source, "-o", link).exit_code == 0
    assert link.is_symlink() and keras.saving.load_model(target).input_shape == (None, 8, 8, 1)


@pytest.mark.parametrize("older", [None, "older"])
def test_a_failed_write_leaves_nothing_behind(older: str | None, tmp_path: Path) -> None:
    class FullDisk:
        def save(self, path: Path) -> None:
            path.write_text("half a mod")
            raise OSError(28, "No space left on device")

    output = tmp_path / "out.keras"
    if older:
        output.write_text(older)
    with pytest.raises(FileError, match=r"out\.keras: cannot be written: No space left on device"):
        save_model(FullDisk(), output)
    assert [path.read_text() for path in tmp_path.iterdir()] == [older] * bool(older)


def test_the_input_is_never_overwritten(source: Path, tmp_path: Path) -> None:
    before = source.read_bytes()
    hard, soft = tmp_path / "hard.keras", tmp_path / "soft.keras"
    hard.hardlink_to(source)
    soft.symlink_to(source)
    for path in (source, hard, soft):
        message = error_of("convert", source, "-o", path)
        assert message == f"{path}: is the file that is read; give another name"
    assert source.read_bytes() == before


def test_an_output_that_cannot_be_is_told_before_the_work(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "folder.h5").mkdir()
    messages = {
        tmp_path / "out.pb": "expected a name that ends in .keras, .h5 or .onnx, such as fcn.keras",
        tmp_path / "out": "expected a name that ends in .keras, .h5 or .onnx, such as fcn.keras",
        tmp_path / "no" / "out.h5": f"there is no folder '{tmp_path / 'no'}'; make it first",
        tmp_path / f"{'long' * 99}.h5": "cannot be written: File name too long",
        tmp_path / "folder.h5": "is a folder; give the name of a file",
    }
    for path, message in messages.items():
        assert error_of("convert", tmp_path / "missing.keras", "-o", path) == f"{path}: {message}"
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    path = tmp_path / "out.h5"
    expected = f"{path}: the folder '{tmp_path}' cannot be written to"
    assert error_of("convert", source, "-o", path) == expected


# verify


def test_verify_ends_with_0_1_or_3(source: Path, model: keras.Model, tmp_path: Path) -> None:
    wrong = keras.models.clone_model(model)
    wrong.set_weights([weight * 1.01 for weight in model.get_weights()])
    wrong.save(tmp_path / "wrong.keras")
    still = keras.models.clone_model(model)
    still.set_weights([weight * 0 for weight in model.get_weights()])
    still.save(tmp_path / "still.keras")

    same = run("verify", source, source)
    assert (same.exit_code, bool(VERIFIED.match(same.stdout))) == (0, True)
    different = run("verify", source, tmp_path / "wrong.keras")
    assert (different.exit_code, different.stdout[:8]) == (1, "failed: ")
    unknown = run("verify", *2 * [tmp_path / "still.keras"])
    assert (unknown.exit_code, unknown.stdout[:9]) == (3, "not run: ")
    assert run("verify", source, tmp_path / "wrong.keras", "--tolerance", "0.5").exit_code == 0


def test_verify_reads_inputs_from_files(source: Path, tmp_path: Path, images: np.ndarray) -> None:
    np.save(tmp_path / "images.npy", images)
    np.savez(tmp_path / "images.npz", image=images)
    for name in ("images.npy", "images.npz"):
        result = run("verify", source, source, "--inputs", tmp_path / name)
        assert result.stdout.startswith("verified: 6 inputs, ")


def test_inputs_that_cannot_be_read_are_one_message(source: Path, tmp_path: Path) -> None:
    text = tmp_path / "images.txt"
    text.write_text("1 2 3")
    empty, cut = tmp_path / "empty.npy", tmp_path / "cut.npz"
    empty.touch()
    cut.write_bytes(source.read_bytes()[:200])  # a zip file without its end
    for path in (text, empty, cut, tmp_path / "missing.npy", tmp_path):
        message = error_of("verify", source, source, "--inputs", path)
        assert message.startswith(f"{path}: expected arrays in a .npy or .npz file: ")
    np.save(tmp_path / "flat.npy", np.zeros((6, 64)))
    message = error_of("verify", source, source, "--inputs", tmp_path / "flat.npy")
    assert "shape (6, 64) does not fit input 'image' of the original model" in message


# Words that mean something to Python


@pytest.mark.parametrize(
    ("choices", "expected"),
    [
        ([], "exact"),
        (["stride"], "stride"),
        (["*=stride"], "stride"),
        (["pool1=stride"], {"pool1": "stride"}),
        (["pool1=stride", "exact"], {"pool1": "stride", "*": "exact"}),
        (["a=b=stride"], {"a=b": "stride"}),
        (["conv"], ConvPool()),
    ],
)
def test_pooling_words(choices: list[str], expected: object) -> None:
    assert parse_pooling(choices, {}) == expected


def test_options_of_conv_reach_every_conv() -> None:
    given = {"kernel_size": "3", "padding": "valid"}
    textbook = ConvPool(kernel_size=3, padding="valid")
    assert parse_pooling(["conv"], given) == textbook
    assert parse_pooling(["a=conv", "b=exact"], given) == {"a": textbook, "b": "exact"}


def test_pooling_words_that_contradict_are_one_clear_error() -> None:
    with pytest.raises(OptionError, match="--pooling: two strategies for all pools"):
        parse_pooling(["exact", "*=conv"], {})
    with pytest.raises(OptionError, match="--pooling: two strategies for 'pool1'"):
        parse_pooling(["pool1=exact", "pool1=conv"], {})
    with pytest.raises(OptionError, match="--conv-kernel-size: no pool has strategy conv; add "):
        parse_pooling(["stride"], {"kernel_size": "3"})


def test_sizes_are_one_number_for_each_axis() -> None:
    assert parse_size("", "32") == (32,)
    assert parse_size("", "200x300") == (200, 300)
    assert parse_size("", "16x200x300") == (16, 200, 300)
    for text in ("0", "3x", "axb", "3x4x5x6", "-1"):
        message = f"--input-size: expected HEIGHTxWIDTH such as 200x300, got '{text}'"
        with pytest.raises(OptionError, match=message):
            parse_size("--input-size", text)


# Errors


def test_an_error_is_one_message_and_status_2(source: Path, tmp_path: Path) -> None:
    assert "no such file" in error_of("report", tmp_path / "missing.keras")
    assert error_of("report", source, "--pooling", "mean") == (
        "unknown --pooling 'mean'; choose one of 'exact', 'conv', 'stride', 'keep'"
    )
    assert "its max pools are 'pool1', 'pool2'" in error_of("report", source, "--pooling", "p=conv")
    assert "--input-size" in error_of("check", source, "--input-size", "big")


def test_what_is_wrong_with_a_file_is_told_before_keras_is_imported(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "keras", None)
    (tmp_path / "folder").mkdir()
    contents = {"empty.h5": b"", "text.keras": b"a text", "cut.keras": source.read_bytes()[:999]}
    contents |= {"start.h5": b"\x89HDF\r", "head.h5": b"\x89HDF\r\n\x1a\n", "model.h5": b"{}"}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    kinds = "; expected a .keras file (zip) or .h5 (HDF5)"
    messages = {
        "missing.h5": "there is no such file",
        "folder": "is a folder; expected a .keras or .h5 file",
        f"{'long' * 99}.h5": "cannot be read (File name too long)",
        "empty.h5": "the file is empty",
        "text.keras": f"neither of the two kinds of model file, it begins with b'a text'{kinds}",
        "start.h5": f"cut short{kinds}",
        "cut.keras": "the zip archive is damaged or cut short (File is not a zip file)",
        "head.h5": "the file is damaged or cut short (",
        "model.h5": "a JSON text: a description has no weights, give it by --config with their "
        f"file{kinds}",
    }
    output = tmp_path / "out.keras"
    for name, message in messages.items():
        path = tmp_path / name
        expected = f"{path}: {message}"
        assert error_of("report", path).startswith(expected)
        assert error_of("check", path).startswith(expected)
        assert error_of("convert", path, "-o", output).startswith(expected)
        assert error_of("convert", path, "--dry-run").startswith(expected)
        assert error_of("verify", path, source).startswith(expected)
        assert error_of("verify", source, path).startswith(expected)
        assert not output.exists()


def test_a_file_that_may_not_be_read_is_one_message(
    source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, mode: str) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    assert error_of("report", source) == f"{source}: cannot be read (Permission denied)"


def test_a_file_that_is_no_whole_model_says_what_it_is(model: keras.Model, tmp_path: Path) -> None:
    model.save_weights(tmp_path / "some.weights.h5")
    with h5py.File(tmp_path / "table.h5", "w") as file:
        file["table"] = [1, 2, 3]
    with zipfile.ZipFile(tmp_path / "photos.keras", "w") as archive:
        archive.writestr("photo.txt", "a photo")
    remedy = "give the model's architecture, as model.to_json() writes it, by --config model.json"
    messages = {
        "some.weights.h5": f"it holds weights only, no architecture; {remedy}",
        "table.h5": "an HDF5 file, but none that Keras saved a model in",
        "photos.keras": "a zip archive without 'model.weights.h5', so not a complete model saved "
        "by Keras",
    }
    for name, message in messages.items():
        assert error_of("report", tmp_path / name) == f"{tmp_path / name}: {message}"


def test_weights_are_completed_by_a_description(model: keras.Model, tmp_path: Path) -> None:
    weights, config = tmp_path / "some.weights.h5", tmp_path / "model.json"
    model.save_weights(weights)
    config.write_text(model.to_json())
    assert run("report", weights, "--config", config).stdout == f"{allconv.report(model)}\n"
    assert run("check", weights, "--config", config).exit_code == 0
    result = run("convert", weights, "--config", config, "-o", tmp_path / "out.keras")
    assert result.exit_code == 0 and VERIFIED.fullmatch(result.stdout.splitlines()[-2])
    assert error_of("report", weights, "--config", weights) == (
        f"{weights}: expected the JSON of model.to_json(), got a model file"
    )


class Doubled(layers.Layer):
    def call(self, x):
        return 2 * x


def doubled(x):
    return 2 * x


@pytest.mark.parametrize("name", ["model.keras", "model.h5"])
def test_code_of_the_user_s_own_in_a_file_is_shown_and_refused_by_name(
    name: str, tmp_path: Path
) -> None:
    path = tmp_path / name
    own = [Doubled(name="own"), layers.Activation(doubled, name="own")]
    for layer in (*own, layers.Lambda(lambda x: 2 * x, name="own")):
        image = keras.Input((8, 8, 1))
        keras.Model(image, layer(image)).save(path)
        result = run("report", path)
        assert result.exit_code == 0 and "stand in the way" in result.stdout
        assert "'own' (" in error_of("convert", path, "-o", tmp_path / "out.keras")
        words = error_of("convert", path, "-o", tmp_path / "out.keras", "--no-strict")
        assert "allconv does not make these from a file: " in words
        assert "load it in Python by keras.saving.load_model" in words


def test_a_setting_that_keras_does_not_know_is_told_in_its_words(
    model: keras.Model, tmp_path: Path
) -> None:
    path = tmp_path / "odd.h5"
    model.save(path)
    with h5py.File(path, "r+") as file:
        config = json.loads(file.attrs["model_config"])
        config["config"]["layers"][1]["config"]["colour"] = "blue"
        file.attrs["model_config"] = json.dumps(config)
    words = error_of("convert", path, "-o", tmp_path / "out.keras")
    assert "(Conv2D) cannot be made again" in words and "'colour'" in words


def test_a_dry_run_says_what_would_be_done_and_writes_nothing(source: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.keras"
    result = run("convert", source, "-o", output, "--dry-run")
    assert result.exit_code == 0 and not output.exists()
    assert result.stdout.splitlines()[-1] == "nothing written: --dry-run"
    assert result.stdout.startswith(str(allconv.report(source).totals))
    assert error_of("convert", source) == (
        "no output: add -o fcn.keras, or --dry-run to see what would be done"
    )


def test_the_page_is_written_whole_or_not_at_all(source: Path, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    result = run("report", source, "-o", page)
    assert (result.exit_code, result.stdout) == (0, f"written: {page}\n")
    assert page.read_text(encoding="utf-8") == allconv.report(source).to_html()
    assert error_of("report", source, "-o", tmp_path / "report.eps") == (
        f"{tmp_path / 'report.eps'}: expected a name that ends in .html, .htm, .md, .csv, .tex, "
        ".svg, .pdf, .png, .json or .txt, such as fcn.html"
    )


def test_a_report_is_written_as_the_name_says(source: Path, tmp_path: Path) -> None:
    expected = allconv.report(source)
    for name in ("a.txt", "a.md", "a.json"):
        assert (
            run("report", source, "-o", tmp_path / name).stdout == f"written: {tmp_path / name}\n"
        )
    assert (tmp_path / "a.txt").read_text(encoding="utf-8") == f"{expected}\n"
    assert (tmp_path / "a.md").read_text(encoding="utf-8") == f"{expected.to_markdown()}\n"
    assert json.loads((tmp_path / "a.json").read_text()) == expected.to_dict()
    both = run("report", source, "--json", "-o", tmp_path / "a.md")
    assert json.loads(both.stdout) == expected.to_dict()


def test_a_missing_backend_is_one_message(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "keras", None)
    message = error_of("verify", source, source)
    assert message.startswith("Keras cannot be imported (")
    assert "pip install tensorflow, or set KERAS_BACKEND" in message


def test_traceback_shows_where(tmp_path: Path) -> None:
    result = run("--traceback", "report", tmp_path / "missing.keras")
    assert result.exit_code == 2 and result.stderr.startswith("Traceback (most recent call last)")
    assert result.stderr.endswith(
        "FileError: " + f"{tmp_path / 'missing.keras'}: there is no such file\n"
    )


# As a program


def program(code: str, *words: object) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": os.getcwd()}
    environment.pop("TF_CPP_MIN_LOG_LEVEL", None)
    command = [sys.executable, "-c", code, *map(str, words)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_the_program_says_what_was_asked_and_no_more(source: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.h5"
    code = "from allconv.cli.commands import main; main()"
    result = program(code, "convert", source, "-o", output)
    assert (result.returncode, result.stderr) == (0, "")
    assert VERIFIED.fullmatch(result.stdout.splitlines()[-2])
    assert output.exists()


def test_python_m_allconv_is_the_command_line() -> None:
    command = [sys.executable, "-m", "allconv", "report", "missing.keras"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == "Error: missing.keras: there is no such file\n"


def test_importing_the_command_line_is_light() -> None:
    code = (
        "import sys, allconv.cli; print({'keras', 'tensorflow', 'jax', 'torch'} & {*sys.modules})"
    )
    assert program(code).stdout == "set()\n"


def test_an_import_that_fails_shows_what_was_kept_back() -> None:
    code = """
import os
from allconv.cli.quiet import stderr_kept
with stderr_kept():
    os.write(2, b"noise")
with stderr_kept():
    os.write(2, b"a hint")
    raise SystemExit(3)
"""
    result = program(code)
    assert (result.returncode, result.stderr) == (3, "a hint")


# Calibration


@pytest.fixture
def images_file(images: np.ndarray, tmp_path: Path) -> Path:
    np.savez(tmp_path / "images.npz", x_train=images, y_train=np.zeros(len(images)))
    return tmp_path / "images.npz"


def test_convert_fits_the_new_layers_to_images_in_a_file(
    source: Path, tmp_path: Path, images_file: Path
) -> None:
    output = tmp_path / "fcn.keras"
    result = run("convert", source, "-o", output, "--pooling", "conv", "--calibrate", images_file)
    assert result.exit_code == 0, result.output
    assert re.search(r"pool1 +Conv2D +pool1 +[\d.-]+ +[\d.]+\n", result.stdout)
    assert "6 images" in result.stdout and "outputs after:  relative error" in result.stdout
    assert f"written: {output}" in result.stdout
    assert keras.saving.load_model(output).get_layer("pool1").bias.numpy().any()


def test_an_exact_conversion_has_nothing_to_be_fitted_and_nothing_is_written(
    source: Path, tmp_path: Path, images_file: Path
) -> None:
    output = tmp_path / "fcn.keras"
    message = error_of("convert", source, "-o", output, "--calibrate", images_file)
    assert message.startswith(
        "--calibrate: this conversion keeps the outputs, so nothing has to be"
    )
    assert not output.exists()


def test_a_file_without_images_is_an_error_that_names_what_it_holds(
    source: Path, tmp_path: Path
) -> None:
    np.savez(tmp_path / "labels.npz", labels=np.zeros(3))
    message = error_of(
        *("convert", source, "-o", tmp_path / "fcn.keras", "--pooling", "conv"),
        *("--calibrate", tmp_path / "labels.npz"),
    )
    assert "holds 'labels'; expected an array for each input of the model, 'image'" in message
