"""The program: what one process sees of the other that computes, and how both end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from allconv.cli import program
from tests.test_drafts import DRAFTING

posix = pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
WATCHER = "import sys; from allconv.cli.program import watched; sys.exit(watched(sys.argv[1:]))"


def python(code: str, *words: object) -> list[str]:
    return [sys.executable, "-c", code, *map(str, words)]


@posix
@pytest.mark.parametrize("name", ["SIGABRT", "SIGSEGV", "SIGKILL"])
def test_a_crash_is_one_line_and_status_2(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    crash = f"import os, signal; os.kill(os.getpid(), signal.{name})"
    assert program.watched(python(crash)) == 2
    assert capfd.readouterr() == (
        "",
        f"Error: the process that runs Keras was ended by {name}, most likely because memory ran "
        "out; an output is whole or not there\n",
    )


@pytest.mark.parametrize("status", [0, 1, 2, 3])
def test_any_other_end_is_passed_on(status: int, capfd: pytest.CaptureFixture[str]) -> None:
    assert program.watched(python(f"print('done'); raise SystemExit({status})")) == status
    assert capfd.readouterr() == (f"done{os.linesep}", "")


@posix
def test_a_crash_leaves_an_older_file_and_no_draft(tmp_path: Path) -> None:
    output = tmp_path / "model.keras"
    output.write_text("older")
    crash = DRAFTING.replace("time.sleep(600)", "import os; os.abort()")
    assert program.watched(python(crash, output)) == 2
    assert os.listdir(tmp_path) == ["model.keras"] and output.read_text() == "older"


@posix
@pytest.mark.parametrize(
    ("name", "status"), [("SIGTERM", 143), ("SIGINT", 130), ("SIGKILL", -signal.SIGKILL)]
)
def test_both_processes_end_where_one_is_ended_from_outside(name: str, status: int) -> None:
    # SIGINT ends a Python process as any signal does, where nothing catches it
    work = (
        "import os, signal, time\n"
        "signal.signal(signal.SIGINT, signal.SIG_DFL)\n"
        "from allconv.cli.program import WATCHED, _end_with_watcher\n"
        "_end_with_watcher(int(os.environ[WATCHED]))\n"
        "print('at work', flush=True)\n"
        "time.sleep(600)"
    )
    with subprocess.Popen(python(WATCHER, *python(work)), stdout=subprocess.PIPE) as watcher:
        assert watcher.stdout is not None and watcher.stdout.readline().strip() == b"at work"
        watcher.send_signal(getattr(signal, name))
        assert watcher.wait(60) == status
        assert watcher.stdout.read() == b""  # so the other has closed it, too


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("convert a.keras -o b.keras", True),
        ("export a.keras -o b.onnx", True),
        ("verify a.keras b.keras", True),
        ("report a.keras --verify", True),
        ("report a.keras", False),
        ("check a.keras", False),
        ("convert a.keras --dry-run", False),
        ("convert --help", False),
        ("--traceback convert a.keras -o b.keras", False),
        ("", False),
    ],
)
def test_only_what_needs_keras_runs_in_a_process_of_its_own(words: str, expected: bool) -> None:
    assert program._needs_keras(words.split()) is expected


def test_python_looks_for_garbage_again_once_all_is_imported() -> None:
    code = (
        "import gc, sys; from allconv.cli import program, commands; sys.argv = ['allconv']; "
        "commands.main = lambda: print(gc.isenabled(), gc.get_freeze_count() > 1000); program.run()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "True True\n"
