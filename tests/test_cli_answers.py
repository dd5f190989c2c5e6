"""Every command answers in text or JSON, for one file or several, with one rule of exit status."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from inspect import isfunction
from pathlib import Path

import keras
import pytest
from keras import layers

import allconv
from allconv.cli.commands import main
from allconv.cli.messages import PYTHON_ALONE
from tests.helpers.randomized import randomize
from tests.test_cli import error_of, run


def small(*between: layers.Layer, name: str = "small") -> keras.Model:
    first = [keras.Input((8, 8, 1), name="image"), layers.Conv2D(2, 3, activation="relu")]
    last = [layers.Flatten(), layers.Dense(3, activation="softmax")]
    return randomize(keras.Sequential([*first, *between, *last], name=name))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two models that convert, one of which has a layer that no all-convolutional network has."""
    folder = tmp_path_factory.mktemp("models")
    small().save(folder / "good.keras")
    small(layers.MaxPooling2D(2), name="pooled").save(folder / "pooled.keras")
    small(layers.LayerNormalization(axis=1), name="stubborn").save(folder / "stubborn.keras")
    return folder


def json_of(*words: object) -> object:
    """What a command prints as JSON, and nothing besides."""
    result = run(*words, "--json")
    assert result.stderr == ""
    return json.loads(result.stdout)


def test_results_as_json_are_what_python_gives(folder: Path) -> None:
    file = folder / "pooled.keras"
    assert json_of("report", file) == allconv.report(file).to_dict()
    assert json_of("check", file) == allconv.check(file).to_dict()
    assert json_of("check", file, "--input-size", "2x2")["passed"] is False
    assert json_of("geometry", file) == allconv.geometry(file).to_dict()


def test_what_runs_keras_answers_in_json_too(folder: Path, tmp_path: Path) -> None:
    file, output = folder / "pooled.keras", tmp_path / "out.keras"
    found = json_of("convert", file, "-o", output)
    assert found["written"] == str(output) and found["verification"]["passed"] is True
    assert found["calibration"] is None and found["onnx"] is None
    assert found["totals"] == allconv.report(file).to_dict()["totals"]
    same = json_of("verify", file, output)
    assert same["passed"] is True and same["argmax_agreement"] == 1.0


@pytest.mark.skipif(keras.config.backend() != "tensorflow", reason="written by TensorFlow")
def test_an_onnx_file_is_told_in_json(folder: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.onnx"
    found = json_of("export", folder / "good.keras", "-o", output, "--opset-version", 15)
    assert (found["path"], found["opset_version"], found["passed"]) == (str(output), 15, True)


def test_geometry_prints_what_python_prints(folder: Path) -> None:
    file = folder / "pooled.keras"
    assert run("geometry", file).stdout == f"{allconv.geometry(file)}\n"
    assert "stand in the way" in error_of("geometry", folder / "stubborn.keras")


def test_several_files_are_answered_one_by_one_and_the_worst_status_ends(folder: Path) -> None:
    good, pooled, missing = (folder / name for name in ("good.keras", "pooled.keras", "no.keras"))
    result = run("report", good, pooled)
    expected = [f"{file}:\n{allconv.report(file)}\n\n" for file in (good, pooled)]
    assert (result.exit_code, result.stdout) == (0, "".join(expected))
    assert run("check", good, pooled, "--input-size", "3x3").exit_code == 1
    result = run("check", missing, good, "--input-size", "3x3")
    assert result.exit_code == 2 and result.stdout.startswith(f"{good}:\n")
    assert result.stderr == f"Error: {missing}: there is no such file\n"


def test_several_files_are_one_list_in_json(folder: Path) -> None:
    good, missing = folder / "good.keras", folder / "no.keras"
    result = run("report", good, missing, "--json")
    first, second = json.loads(result.stdout)
    assert first == {"file": str(good), **allconv.report(good).to_dict()}
    assert second == {"file": str(missing), "error": f"{missing}: there is no such file"}
    assert result.exit_code == 2


def test_several_files_are_converted_into_a_folder(folder: Path, tmp_path: Path) -> None:
    files = [folder / "good.keras", folder / "pooled.keras"]
    result = run("convert", *files, "-o", tmp_path, "--no-verify")
    assert result.exit_code == 0
    for file in files:
        assert f"written: {tmp_path / file.name}" in result.stdout
        assert allconv.is_all_convolutional(tmp_path / file.name)
    assert "are written to a folder" in run("convert", *files, "-o", tmp_path / "out.keras").stderr
    assert error_of("convert", files[0], files[0], "-o", tmp_path) == (
        f"--output: two of the FILEs would be written to {tmp_path / 'good.keras'}"
    )


def test_report_ends_with_1_for_a_refusal_only_where_asked(folder: Path) -> None:
    good, stubborn = folder / "good.keras", folder / "stubborn.keras"
    assert run("report", stubborn).exit_code == 0
    assert run("report", stubborn, "--exit-code").exit_code == 1
    assert run("report", good, "--exit-code").exit_code == 0
    assert run("report", good, stubborn, "--exit-code").exit_code == 1


def test_a_check_that_cannot_tell_ends_with_3(tmp_path: Path) -> None:
    cut = layers.Lambda(lambda x: x[:, 1:], output_shape=(5, 6, 2), name="cut")
    file = tmp_path / "cut.keras"
    small(cut).save(file)
    assert run("check", file, "--input-size", "8x8").exit_code == 3


def test_a_shell_completes_commands_and_options() -> None:
    words = {"COMP_WORDS": "allconv geo", "COMP_CWORD": "1", "_ALLCONV_COMPLETE": "bash_complete"}
    code = "import sys; sys.argv = ['allconv']; from allconv.cli.program import run; run()"
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **words}, capture_output=True, text=True
    )
    assert done.stdout.strip() == "plain,geometry"


@pytest.mark.parametrize(
    "command",
    [
        ("report", "FILE"),
        ("check", "FILE"),
        ("geometry", "FILE"),
        ("convert", "FILE", "-o", "out.keras"),
        ("export", "FILE", "-o", "out.onnx"),
    ],
    ids=lambda command: command[0],
)
def test_an_error_of_one_file_is_told_in_json_too(
    command: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = run(*(word.replace("FILE", "no.keras") for word in command), "--json")
    told = {"file": "no.keras", "error": "no.keras: there is no such file"}
    assert (result.exit_code, json.loads(result.stdout)) == (2, told)
    assert result.stderr == f"Error: {told['error']}\n"


def test_so_is_one_of_two_models_and_one_of_all_files(tmp_path: Path) -> None:
    missing = tmp_path / "no.keras"
    told = json.loads(run("verify", missing, missing, "--json").stdout)
    error = f"{missing}: there is no such file"
    assert told == {"original": str(missing), "converted": str(missing), "error": error}
    result = run("convert", "a.keras", "b.keras", "--json")
    first, second = json.loads(result.stdout)
    assert (first["file"], second["file"], result.exit_code) == ("a.keras", "b.keras", 2)
    assert first["error"] == second["error"] == result.stderr.removeprefix("Error: ").rstrip()


def test_an_error_that_nobody_foresaw_is_told_in_json_too(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(allconv, "check", lambda *_, **__: 1 / 0)
    result = run("check", folder / "good.keras", "--json")
    assert json.loads(result.stdout)["error"].startswith("allconv itself failed (ZeroDivisionError")
    assert result.exit_code == 2


def test_several_files_go_to_a_folder_that_is_there(folder: Path, tmp_path: Path) -> None:
    files = [folder / "good.keras", folder / "pooled.keras"]
    (tmp_path / "file").touch()
    ways = {"no": "is not there; make it first", "out.keras": "is none", "file": "is none"}
    for name, way in ways.items():
        message = error_of("convert", *files, "-o", tmp_path / name, "--dry-run").splitlines()[-1]
        said = f"--output: several FILEs are written to a folder, and {tmp_path / name} {way}"
        assert message.removeprefix("Error: ") == said


def test_images_to_fit_an_exact_conversion_to_are_refused_before_keras_is_imported(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "keras", None)
    file = folder / "pooled.keras"
    assert error_of("convert", file, "-o", folder / "out.keras", "--calibrate", "images.npy") == (
        "--calibrate: this conversion keeps the outputs, so nothing has to be fitted; leave it "
        "out, or choose --pooling conv or --pooling stride"
    )


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (("report", "FILE", "--html"), "No such option '--html'. Did you mean '-o report.html'?"),
        (("report", "FILE", "--svg"), "-o report.svg"),
        (("report", "FILE", "--png"), "-o report.png"),
        (("convert", "FILE", "--onnx"), "-o fcn.onnx"),
        (("overlay", "FILE"), "No such command 'overlay'. It is Python's: allconv.overlay(...)"),
        (("calibrate", "FILE"), "'allconv convert FILE --calibrate IMAGES'"),
    ],
)
def test_what_is_not_there_is_hinted_at_what_is(words: tuple[str, ...], hint: str) -> None:
    result = run(*words)
    assert result.exit_code == 2 and hint in result.stderr


def test_every_function_of_python_is_a_command_or_hinted_at() -> None:
    functions = {name for name in allconv.__all__ if isfunction(getattr(allconv, name))}
    assert functions == (set(main.commands) - {"export"}) | set(PYTHON_ALONE)
