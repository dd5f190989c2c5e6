"""A real window, made by `pty`: its width, its colours, and the steps that come and go in it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import keras
import pytest
from keras import layers

import allconv
from allconv.check import CheckedCall, ShapeCheck
from allconv.cli.terminal import importing_keras
from allconv.report import Report
from allconv.shape_walk import Problem
from tests.helpers import networks

pty = pytest.importorskip("pty", reason="the system has no pseudo-terminals")
import termios  # noqa: E402 -- where there is no pty there is no termios

SHOW_PAGE = "from allconv.cli import terminal; print(terminal.page())"
OF_A_USER = {"TERM": "xterm-256color", "NO_COLOR": None, "FORCE_COLOR": None, "COLUMNS": None}
OF_A_USER["PYTHON_COLORS"] = "0"  # from 3.13 on, Python's own tracebacks have colours in a window


def environment(settings: dict[str, str]) -> dict[str, str]:
    """The variables of a program: a user's own, and some more."""
    wanted = {**os.environ, **OF_A_USER, **settings}
    return {name: value for name, value in wanted.items() if value is not None}


def in_window(code: str, columns: int = 80, **settings: str) -> str:
    """What a Python program writes to a window, its errors too."""
    window, inside = pty.openpty()
    termios.tcsetwinsize(inside, (24, columns))
    command = [sys.executable, "-c", code]
    streams = {"stdin": inside, "stdout": inside, "stderr": inside}
    with subprocess.Popen(command, env=environment(settings), **streams):
        os.close(inside)
        written = b""
        while part := read(window):
            written += part
    os.close(window)
    return written.decode().replace("\r\n", "\n")


def read(window: int) -> bytes:
    try:
        return os.read(window, 65536)
    except OSError:  # how Linux says that the last program has closed it
        return b""


def in_pipe(code: str, **settings: str) -> str:
    """What a Python program writes to a pipe, its errors too."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment(settings),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.stdout


def left_on(columns: int, written: str) -> list[str]:
    """What a window shows after all: its lines, without those that are empty."""
    lines: list[list[str]] = [[]]
    place = 0
    for character in written:
        if character == "\n":
            lines.append([])
        if character in "\r\n":
            place = 0
            continue
        if place == columns:
            lines.append([])
            place = 0
        lines[-1][place : place + 1] = character
        place += 1
    return [text for line in lines if (text := "".join(line).rstrip())]


# width and colours


@pytest.mark.parametrize(("columns", "width"), [(200, 200), (81, 81), (30, 80)])
def test_a_page_is_as_wide_as_its_window_and_never_below_80(columns: int, width: int) -> None:
    assert in_window(SHOW_PAGE, columns) == f"Page(width={width}, color=True, whole=False)\n"


def test_a_pipe_is_a_plain_page_of_80_columns() -> None:
    assert in_pipe(SHOW_PAGE, COLUMNS="200") == "Page(width=80, color=False, whole=True)\n"


@pytest.mark.parametrize(
    ("settings", "color"),
    [
        ({"NO_COLOR": "1"}, False),
        ({"NO_COLOR": ""}, True),
        ({"TERM": "dumb"}, False),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, False),
    ],
)
def test_a_window_has_colours_unless_it_is_told_not_to(
    settings: dict[str, str], color: bool
) -> None:
    assert in_window(SHOW_PAGE, 80, **settings) == f"Page(width=80, color={color}, whole=False)\n"


def test_a_pipe_has_colours_where_they_are_forced() -> None:
    assert in_pipe(SHOW_PAGE, FORCE_COLOR="1") == "Page(width=80, color=True, whole=True)\n"
    assert in_pipe(SHOW_PAGE, FORCE_COLOR="") == "Page(width=80, color=False, whole=True)\n"


# what is set on it


STYLE = re.compile(r"\x1b\[(\d+)m(.*?)\x1b\[0m")
BOLD, CYAN, YELLOW, RED = "1", "36", "33", "31"


def plain(text: str) -> str:
    return STYLE.sub(r"\2", text)


def in_style(style: str, text: str) -> set[str]:
    return {words for found, words in STYLE.findall(text) if found == style}


@pytest.fixture(scope="module")
def report() -> Report:
    return allconv.report(networks.stubborn())


@pytest.mark.parametrize("width", [80, 81, 100, 300])
@pytest.mark.parametrize("network", [networks.mnist_cnn, networks.residual, networks.stubborn])
def test_colours_change_no_word_and_no_place(
    network: Callable[[], keras.Model], width: int
) -> None:
    for told in (allconv.report(network()), allconv.check(network())):
        assert plain(told.to_text(width, color=True)) == told.to_text(width)
        assert max(map(len, told.to_text(width).splitlines())) <= width
        assert told.to_text() == str(told)


def test_in_a_wide_window_names_are_whole_and_every_layer_has_one_line() -> None:
    image = keras.Input((8, 8, 1))
    name = "the_first_convolution_of_the_second_block_of_the_third_stage_of_the_network"
    tensor = layers.MaxPooling2D(name=f"{name}_pool")(layers.Conv2D(4, 3, name=name)(image))
    model = keras.Model(image, tensor)
    narrow, wide = allconv.report(model).to_text(), allconv.report(model).to_text(400)
    pool = f" {name}_pool  MaxPooling2D  3x3x4   4 DepthwiseConv2D 2x2/2, 3 Add, Subtract, ReLU "
    assert f" {name} " not in narrow and pool not in narrow
    assert f" {name} " in wide and pool in wide
    assert f" {name} " in allconv.check(model).to_text(400)


@pytest.mark.parametrize("command", ["report", "check"])
def test_a_pipe_gets_whole_names_and_a_window_does_not(command: str, tmp_path: Path) -> None:
    name = "the_first_convolution_of_the_second_block_of_the_third_stage_" * 3
    image = keras.Input((8, 8, 1))
    keras.Model(image, layers.Conv2D(4, 3, name=name)(image)).save(tmp_path / "model.keras")
    words = [command, str(tmp_path / "model.keras")]
    code = f"from allconv.cli.program import run; import sys; sys.argv[1:] = {words}; run()"
    assert name in in_pipe(code, COLUMNS="80")
    assert name not in in_window(code)


def test_rows_are_coloured_by_what_becomes_of_them(report: Report) -> None:
    text = report.to_text(color=True)
    layer_table = text.split("\n\n")[3]
    changed = {row.layer for row in report.rows if row.changed}
    blocking = {obstacle.layer for obstacle in report.obstacles}
    assert changed == {"pool"} and blocking == {"shift", "mean"}
    names = {row.layer for row in report.rows}
    assert in_style(CYAN, layer_table) & names == changed - blocking
    assert in_style(RED, layer_table) & names == blocking
    assert "stand in the way" in in_style(RED, text)
    assert {"rules", "#", "stubborn: refused; 1 of 6 layers would change"} <= in_style(BOLD, text)


def test_numbers_that_grew_are_coloured_and_no_others(report: Report) -> None:
    text = report.to_text(color=True)
    assert in_style(YELLOW, text) == {"64", "186", "744", "1.52x"}
    smaller = allconv.report(networks.mnist_cnn(), pooling="stride").to_text(color=True)
    assert in_style(YELLOW, smaller) == set()


def test_a_check_colours_what_does_not_fit() -> None:
    misfit = allconv.check(networks.mnist_cnn(), input_size=(4, 4))
    (problem,) = misfit.problems
    text = misfit.to_text(color=True)
    assert problem.layer in in_style(RED, text)
    assert "mnist_cnn: 1 layer does not fit at 4x4" in in_style(RED, text)
    assert not in_style(RED, allconv.check(networks.mnist_cnn()).to_text(color=True))


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "residual.keras"
    networks.residual().save(path)
    return path


def command_line(*words: object) -> str:
    return f"from allconv.cli.commands import main; main({list(map(str, words))})"


@pytest.mark.parametrize("command", ["report", "check"])
def test_the_command_line_fills_the_window_and_a_pipe_gets_plain_80_columns(
    command: str, file: Path
) -> None:
    told = getattr(allconv, command)(file)
    code = command_line(command, file)
    assert in_window(code, 130) == f"{told.to_text(130, color=True)}\n"
    assert in_window(code, 130, NO_COLOR="1") == f"{told.to_text(130)}\n"
    assert in_pipe(code, COLUMNS="130") == f"{told}\n"
    assert in_pipe(code, FORCE_COLOR="1") == f"{told.to_text(color=True)}\n"


def test_the_command_line_says_that_it_imports_keras_and_leaves_the_result(file: Path) -> None:
    written = in_window(command_line("verify", file, file), 130)
    assert importing_keras() in written
    (line,) = left_on(130, written)
    assert line.startswith("verified: 4 inputs")


def test_a_name_cannot_write_to_the_terminal() -> None:
    wild = "\x1b]0;title\x07\r\n\u202eevil\ud800"
    told = CheckedCall(wild, "Conv2D", None)
    check = ShapeCheck(wild, None, (told,), (Problem(wild, "Conv2D", wild),), ())
    assert all(line.isprintable() for line in check.to_text(200).split("\n"))
    assert check.to_text(200).count("\\x1b]0;title\\x07\\r\\n\\u202eevil\\ud800") == 4
    image = keras.Input((8, 8, 1))
    report = allconv.report(keras.Model(image, layers.Flatten(name=wild)(image), name=wild))
    for text in (report.to_text(), report.to_text(200), report.to_markdown()):
        assert all(line.isprintable() for line in text.split("\n"))


# steps


def steps(body: str, patience: float = 0.1) -> str:
    """A program with some steps; `body` is what it does in them."""
    return f"""
import os, time
from allconv.cli import terminal
from allconv.cli.quiet import stderr_kept
terminal.PATIENCE = {patience}
with terminal.progress() as step:
    {body}
print("the end")
"""


def test_a_long_step_is_shown_and_nothing_of_it_is_left() -> None:
    written = in_window(
        steps("step('reading it'); time.sleep(.4); step('planning'); time.sleep(.4)")
    )
    assert "reading it" in written and written.index("reading it") < written.index("planning")
    assert left_on(80, written) == ["the end"]


def test_of_quick_work_nothing_is_shown() -> None:
    assert in_window(steps("step('reading it')", patience=30)) == "the end\n"


def test_in_a_pipe_and_in_a_dumb_terminal_nothing_is_shown() -> None:
    code = steps("step('reading it'); time.sleep(.4)")
    assert in_pipe(code) == in_window(code, TERM="dumb") == "the end\n"


def test_steps_go_to_the_window_where_stdout_is_a_pipe() -> None:
    code = steps("step('reading it'); time.sleep(.4)")
    piped = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {code!r}], stdout=-1)"
    written = in_window(piped)
    assert "reading it" in written and "the end" not in written


def test_a_step_is_shown_while_stderr_is_kept_back() -> None:
    keep = "step('importing'); time.sleep(.2)\n        os.write(2, b'noise'); time.sleep(.4)"
    written = in_window(steps(f"with stderr_kept():\n        {keep}"))
    assert written.count("importing") > 3 and "noise" not in written


def test_an_error_in_a_step_is_shown_after_the_step_is_gone() -> None:
    shown = left_on(80, in_window(steps("step('reading it'); time.sleep(.4); raise OSError('no')")))
    assert shown[0].startswith("Traceback") and shown[-1] == "OSError: no"


@pytest.mark.parametrize("columns", [2, 40])
def test_a_step_keeps_to_one_line_and_is_text_only(columns: int) -> None:
    name = "'reading \\x1b[2J\\n' + 99 * 'long'"
    written = in_window(steps(f"step({name}); time.sleep(.4)"), columns)
    assert "\x1b" not in written
    if columns == 40:
        assert "reading \\x1b[2J\\n" in written
        assert left_on(columns, written) == ["the end"]


# Keras


def test_the_step_of_importing_keras_names_the_backend(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    assert importing_keras() == "importing Keras (torch)"
    monkeypatch.delenv("KERAS_BACKEND")
    assert importing_keras() == "importing Keras (tensorflow)"
    (tmp_path / "keras.json").write_text('{"backend": "jax"}')
    assert importing_keras() == "importing Keras (jax)"


@pytest.mark.parametrize("content", ["", "[]", '{"floatx": "float32"}', "{"])
def test_a_configuration_that_says_nothing_means_tensorflow(
    content: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    (tmp_path / "keras.json").write_text(content)
    assert importing_keras() == "importing Keras (tensorflow)"
