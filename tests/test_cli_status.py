"""How the command line ends: the status tells what was done, whoever reads the words."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import keras
import pytest
from click.testing import Result
from keras import layers

from allconv.cli.commands import main
from tests.helpers.networks import mnist_cnn, stubborn
from tests.helpers.onnx_files import on_tensorflow
from tests.helpers.randomized import randomize
from tests.test_cli import error_of, run

COULD_NOT_TELL = (
    "exit status 3: the file is written, and the comparison could not tell whether it is right; "
    "--allow-unverified makes it 0"
)


@pytest.fixture(scope="module")
def constant(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network whose output says nothing of its input: its ReLUs are dead."""
    path = tmp_path_factory.mktemp("models") / "constant.keras"
    dead = layers.Conv2D(2, 3, activation="relu", bias_initializer=keras.initializers.Constant(-99))
    keras.Sequential([keras.Input((6, 6, 1)), dead, layers.Flatten(), layers.Dense(2)]).save(path)
    return path


@pytest.fixture(scope="module")
def telling(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "telling.keras"
    randomize(mnist_cnn()).save(path)
    return path


def ends_with_3_and_says_so(result: Result, output: Path) -> None:
    assert result.exit_code == 3 and output.exists()
    assert f"written: {output}" in result.stdout
    assert result.stdout.splitlines()[-1] == COULD_NOT_TELL


@pytest.mark.parametrize(
    ("command", "name"),
    [
        ("convert", "out.keras"),
        ("convert", "out.h5"),
        pytest.param("convert", "out.onnx", marks=on_tensorflow),
        pytest.param("export", "out.onnx", marks=on_tensorflow),
    ],
)
def test_what_a_comparison_cannot_tell_is_written_with_status_3_unless_that_is_allowed(
    command: str, name: str, constant: Path, tmp_path: Path
) -> None:
    output = tmp_path / name
    ends_with_3_and_says_so(run(command, constant, "-o", output), output)
    for option in ("--allow-unverified", "--no-verify"):
        output.unlink()
        result = run(command, constant, "-o", output, option)
        assert result.exit_code == 0 and output.exists()
        assert COULD_NOT_TELL not in result.stdout


@pytest.mark.parametrize("size", ["any", "9x9"])
def test_so_it_is_of_images_of_another_size(size: str, constant: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.keras"
    ends_with_3_and_says_so(run("convert", constant, "-o", output, "--input-size", size), output)


def test_a_report_with_a_verification_ends_as_verify_does(
    constant: Path, telling: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("report", constant, "--verify").exit_code == 3
    assert run("report", constant).exit_code == 0
    assert run("report", telling, "--verify", "--json").exit_code == 0
    module = sys.modules["allconv.verify"]  # allconv.verify is the function
    monkeypatch.setattr(module, "default_tolerance", lambda original, converted: 0.0)
    monkeypatch.setattr(module, "moved_by_rounding", lambda *_: [0.0])
    assert run("report", telling, "--verify").exit_code == 1


def test_a_refused_model_is_not_verified_and_the_status_says_so(tmp_path: Path) -> None:
    stubborn().save(tmp_path / "stubborn.keras")
    result = run("report", tmp_path / "stubborn.keras", "--verify")
    assert result.exit_code == 3 and result.stdout.startswith("stubborn: refused; ")
    assert run("report", tmp_path / "stubborn.keras", "--verify", "--exit-code").exit_code == 1


@pytest.mark.parametrize("command", ["convert", "export"])
def test_the_help_names_the_option_and_the_status(command: str) -> None:
    words = " ".join(run(command, "--help").stdout.split())
    assert "--allow-unverified" in words and "the exit status is 3" in words


# who reads it


def unread(*words: object, closed: str = "stdout") -> tuple[int, str]:
    """Status of a program whose stdout, or stderr, nobody reads, and what it says on the other."""
    reading, writing = os.pipe()
    os.close(reading)
    other = "stderr" if closed == "stdout" else "stdout"
    command = [sys.executable, "-m", "allconv", *map(str, words)]
    streams = {closed: writing, other: subprocess.PIPE}
    try:
        done = subprocess.run(command, check=False, text=True, **streams)
    finally:
        os.close(writing)
    return done.returncode, getattr(done, other)


def test_a_pipe_that_nobody_reads_is_no_no(telling: Path, constant: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.keras"
    assert unread("convert", telling, "-o", output) == (0, "")
    assert output.exists()
    assert unread("convert", constant, "-o", output) == (3, "")


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (["report", "FILE"], 0),
        (["report", "FILE", "--json"], 0),
        (["check", "FILE"], 0),
        (["check", "FILE", "--input-size", "2x2"], 1),
        (["--help"], 0),
        (["report", "--help"], 0),
        (["--version"], 0),
        (["report", "missing.keras"], 2),
    ],
    ids=lambda value: value if isinstance(value, int) else "-".join(value),
)
def test_nor_does_it_change_what_a_command_found(
    words: list[str], status: int, telling: Path
) -> None:
    given = [telling if word == "FILE" else word for word in words]
    found, said = unread(*given)
    assert found == status and "Traceback" not in said and "BrokenPipe" not in said


def test_an_error_that_nobody_reads_is_an_error_still() -> None:
    assert unread("report", "missing.keras", closed="stderr") == (2, "")
    assert unread("report", closed="stderr") == (2, "")


@pytest.mark.skipif(os.name == "nt", reason="closes streams by a shell's own words")
def test_with_all_streams_closed_a_conversion_is_written(telling: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.keras"
    words = f"'{sys.executable}' -m allconv convert '{telling}' -o '{output}' <&- >&- 2>&-"
    assert subprocess.run(["sh", "-c", words], check=False).returncode == 0
    assert keras.saving.load_model(output).count_params()


def test_ctrl_c_is_no_no(telling: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("allconv.cli.looking.read", interrupted)
    assert run("report", telling).exit_code == 130


# what Python cannot go on with


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        MemoryError("Unable to allocate 4.00 TiB for an array"),
        type("ResourceExhaustedError", (Exception,), {})("OOM when allocating tensor\nand more"),
        RuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 8 bytes"),
    ],
)
def test_too_little_memory_is_one_line(
    error: Exception, telling: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise error

    monkeypatch.setattr("allconv.cli.looking.read", fails)
    message = error_of("report", telling)
    assert message.startswith("there is not enough memory (") and "\n" not in message


def test_out_of_the_program_errors_go_to_who_called_it(telling: Path) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["report", str(telling)], prog_name="allconv")
    assert caught.value.code == 0
    assert main(["--version"], standalone_mode=False) == 0


@pytest.mark.parametrize(
    ("backend", "words"),
    [
        ("foo", "'foo' is no backend of it; set KERAS_BACKEND to tensorflow, jax or torch, "),
        (
            "torch",
            "install its backend, for example by pip install torch, or set ",
        ),
    ],
)
def test_a_backend_that_is_not_there_is_one_line(
    backend: str, words: str, telling: Path, tmp_path: Path
) -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from allconv.cli.commands import main\n"
        f"main(['convert', r'{telling}', '-o', r'{tmp_path}/o.h5'])"
    )
    environment = os.environ | {"KERAS_BACKEND": backend}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("Error: Keras cannot be imported") and words in done.stderr
    assert len(done.stderr.splitlines()) == 1 and not list(tmp_path.iterdir())


@pytest.mark.parametrize("encoding", ["cp1252", "utf-8"])
def test_a_stream_that_has_no_bytes_for_a_name_gets_escapes(encoding: str, tmp_path: Path) -> None:
    path = tmp_path / "model.keras"
    keras.Sequential([keras.Input((6, 6, 1)), layers.Conv2D(2, 3, name="卷积")]).save(path)
    done = subprocess.run(
        [sys.executable, "-m", "allconv", "report", str(path)],
        env=os.environ | {"PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"},
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    expected = "卷积" if encoding == "utf-8" else "\\u5377\\u79ef"
    assert expected in done.stdout.decode(encoding)
