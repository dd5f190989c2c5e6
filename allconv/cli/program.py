"""The program `allconv`: where Keras is needed, a process that computes and one that watches it.

Code in C++ ends its process where it gets no memory, and so may the system; that process cannot
tell. The one that watches can: it ends with one line and status 2. Whichever of the two is ended
from outside, the other ends as well.
"""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from allconv.cli.statuses import ERROR
from allconv.saving.drafts import real_place, remove_left_drafts

WATCHED = "ALLCONV_WATCHED_BY"
"""The variable of the environment that says by which pipe a process learns of the watcher's end."""
CRASHES = ("SIGABRT", "SIGBUS", "SIGFPE", "SIGILL", "SIGKILL", "SIGSEGV")
PASSED_ON = ("SIGINT", "SIGTERM", "SIGHUP")


def run() -> None:
    """Run the command line."""
    pipe = os.environ.pop(WATCHED, None)
    if pipe is not None:
        _end_with_watcher(int(pipe))
    elif _needs_keras(sys.argv[1:]) and sys.executable:
        sys.exit(watched([sys.executable, *sys.orig_argv[1:]]))
    with _kept_for_good():
        from allconv.cli.commands import main  # not above: what watches needs no commands
    main()


@contextmanager
def _kept_for_good() -> Iterator[None]:
    """Spares Python the search for garbage among what is imported: a sixth of a report's time."""
    gc.disable()
    try:
        yield
        gc.freeze()
    finally:
        gc.enable()


def _needs_keras(words: Sequence[str]) -> bool:
    needs = {"convert", "export", "verify", "--verify"} & set(words)
    return bool(needs) and not {"--dry-run", "--help", "-h", "--traceback"} & set(words)


def watched(command: Sequence[str]) -> int:
    """Run a command and give its exit status; 2, after one line, where it crashes."""
    reading, writing = os.pipe()
    # Windows has no such pipes: there the command goes on when its watcher is ended
    pipe: dict[str, Any] = {"pass_fds": [reading]} if os.name == "posix" else {}
    variables = {**os.environ, WATCHED: str(reading if pipe else -1)}
    with subprocess.Popen(command, env=variables, **pipe) as process, _signals_to(process):
        os.close(reading)
        status = process.wait()
    os.close(writing)
    end = _crash(status)
    if not end:
        return status if status >= 0 else 128 - status
    _remove_drafts(command)
    with suppress(OSError):
        print(
            f"Error: the process that runs Keras was ended by {end}, most likely because memory "
            "ran out; an output is whole or not there",
            file=sys.stderr,
        )
    return ERROR


@contextmanager
def _signals_to(process: subprocess.Popen[Any]) -> Iterator[None]:
    """Pass on what would end this process."""

    def pass_on(number: int, _: object) -> None:
        with suppress(OSError, ValueError):
            process.send_signal(number)

    numbers = [getattr(signal, name) for name in PASSED_ON if hasattr(signal, name)]
    before = {number: signal.signal(number, pass_on) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _crash(status: int) -> str:
    """Say what ended a process that did not end by itself; "" where it did or was asked to."""
    if status > 255:
        return f"error {status:#x} of Windows"
    name = signal.Signals(-status).name if status < 0 else ""
    return name if name in CRASHES else ""


def _remove_drafts(command: Sequence[str]) -> None:
    """Remove what a process that is gone has left beside the files that its command names."""
    for word in command:
        path = Path(word.partition("=")[2] if word.startswith("--") else word)
        with suppress(OSError):
            if path.is_dir():
                remove_left_drafts(real_place(path))
            elif path.suffix:
                remove_left_drafts(real_place(path).parent)


def _end_with_watcher(pipe: int) -> None:
    """End this process as soon as the one at the other end of a pipe is gone."""

    def wait() -> None:
        with suppress(OSError):
            os.read(pipe, 1)
        os._exit(ERROR)

    if pipe >= 0:
        os.set_inheritable(pipe, False)
        with suppress(RuntimeError):  # where no further thread can start
            threading.Thread(target=wait, daemon=True).start()
