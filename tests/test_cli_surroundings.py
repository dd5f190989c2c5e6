"""The command line in odd surroundings: streams, files that are none, options at odds."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import click
import keras
import pytest
from keras import layers

from allconv.cli.commands import main
from tests.test_cli import VERIFIED, error_of, run


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "small.keras"
    kinds = [layers.Conv2D(2, 3, name="conv"), layers.MaxPooling2D(name="pool")]
    keras.Sequential([keras.Input((8, 8, 1)), *kinds, layers.Conv2D(3, 3)]).save(path)
    return path


def in_a_shell(words: str, source: Path) -> subprocess.CompletedProcess[str]:
    command = words.replace("allconv", f"{sys.executable} -m allconv").replace("FILE", str(source))
    return subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="a device of Linux")
@pytest.mark.parametrize("form", ["", "--json", "--markdown"])
def test_a_full_output_is_one_message(form: str, source: Path) -> None:
    result = in_a_shell(f"allconv report FILE {form} > /dev/full", source)
    message = "Error: the output cannot be written: No space left on device\n"
    assert (result.returncode, result.stderr) == (2, message)


@pytest.mark.skipif(os.name == "nt", reason="closes streams by a shell's own words")
@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_a_closed_stream_changes_nothing_else(closed: str, source: Path) -> None:
    result = in_a_shell(f"allconv report FILE {closed}", source)
    assert (result.returncode, result.stderr) == (0, "")
    assert bool(result.stdout) == (not closed.startswith(">"))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_is_no_model_file(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.keras"
    os.mkfifo(pipe)
    expected = f"{pipe}: is no regular file; copy its content to one first"
    assert error_of("report", pipe) == expected


def test_a_link_to_nowhere_is_told_before_the_work(source: Path, tmp_path: Path) -> None:
    link, loop = tmp_path / "link.keras", tmp_path / "loop.keras"
    link.symlink_to(tmp_path / "no" / "out.keras")
    loop.symlink_to(loop)
    missing = f"{link}: there is no folder '{tmp_path / 'no'}'; make it first"
    assert error_of("convert", tmp_path / "missing.keras", "-o", link) == missing
    assert error_of("convert", source, "-o", loop).startswith(f"{loop}: cannot be written: ")


@pytest.mark.parametrize(
    ("forms", "given"),
    [
        (("--json", "--markdown"), "--markdown and --json"),
        (("--latex", "-o", "o.html"), "--latex and --output"),
        (("--csv", "--markdown"), "--markdown and --csv"),
    ],
)
def test_two_forms_of_a_report_are_not_one(
    forms: tuple[str, ...], given: str, source: Path
) -> None:
    said = f"{given}: a report has one form at a time; choose one"
    result = run("report", source, *forms)
    assert (result.exit_code, result.stderr) == (2, f"Error: {said}\n")


def test_a_table_is_of_one_file(source: Path) -> None:
    said = "--csv: a report is of one FILE; give one at a time"
    assert error_of("report", source, source, "--csv") == said


def test_weights_alone_are_verified_with_their_description(source: Path, tmp_path: Path) -> None:
    model = keras.saving.load_model(source)
    weights, description = tmp_path / "w.weights.h5", tmp_path / "model.json"
    model.save_weights(weights)
    description.write_text(model.to_json())
    result = run("verify", weights, source, "--config", description)
    assert VERIFIED.pattern[:20] in result.stdout[:20] and result.exit_code == 0


def test_a_description_of_no_model_is_named(source: Path, tmp_path: Path) -> None:
    description, weights = tmp_path / "other.json", tmp_path / "w.weights.h5"
    description.write_text('{"a": 1}')
    keras.saving.load_model(source).save_weights(weights)
    message = error_of("report", weights, "--config", description)
    assert message.startswith(f"{description}: the model: expected a text at 'class_name'")


def test_what_convert_would_refuse_a_dry_run_refuses(tmp_path: Path) -> None:
    path = tmp_path / "wrapped.keras"
    wrapped = layers.TimeDistributed(layers.Conv2D(2, 3), name="wrapped")
    keras.Sequential([keras.Input((2, 8, 8, 1)), wrapped]).save(path)
    dry = error_of("convert", path, "--no-strict", "--dry-run")
    assert "TimeDistributed 'wrapped'" in dry
    assert dry == error_of("convert", path, "--no-strict", "-o", tmp_path / "out.keras")
    assert "stand in the way" in (strict := error_of("convert", path, "--dry-run"))
    assert "--no-strict" not in strict and "keras.saving.load_model" in strict
    report = " ".join(run("report", path).stdout.split())
    assert "refused; " in report and "stands in the way, and allconv does not make " in report


def options_with_one_value() -> list[tuple[str, str]]:
    return [
        (name, option.opts[-1])
        for name, command in main.commands.items()
        for option in command.params
        if isinstance(option, click.Option) and not (option.is_flag or option.multiple)
    ]


@pytest.mark.parametrize(("command", "option"), options_with_one_value())
def test_an_option_given_twice_is_refused(command: str, option: str, source: Path) -> None:
    """click would take the last, and say nothing of the first."""
    values = ("1", option, "1") if option == "--conv-filters" else ("keep", option, "keep")
    result = run(command, source, source, option, *values)
    assert result.exit_code == 2
    assert f"Error: {option} is given 2 times; give it once\n" in result.stderr


def test_options_that_may_be_repeated_may_be(source: Path) -> None:
    assert run("report", source, "--pooling", "exact", "--pooling", "pool=conv").exit_code == 0
    assert run("check", source, "--json", "--json").exit_code == 0
