"""What the command line knows of its terminal: width, colours, and a place to show steps."""

from __future__ import annotations

import errno
import os
import shutil
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from io import TextIOWrapper
from itertools import cycle
from typing import TextIO

from allconv.cli.quiet import configured_backend
from allconv.reporting.text_table import WIDTH, Page, elide, printable

PATIENCE = 1.0
"""Seconds of work of which nothing is said."""
TURN = 0.1
"""Seconds between two pictures of what moves."""
MOVING = "|/-\\"


def page() -> Page:
    """Describe stdout: as wide as its window, at least 80; plain and 80 where it is no window.

    Where it is no window it is plain, and names are whole: what reads a pipe looks for them.

    NO_COLOR (no-color.org) and TERM=dumb turn colours off, FORCE_COLOR turns them on in a pipe.
    """
    is_window = sys.stdout.isatty()
    width = max(WIDTH, shutil.get_terminal_size().columns) if is_window else WIDTH
    wanted = is_window or bool(os.environ.get("FORCE_COLOR"))
    return Page(width, wanted and not os.environ.get("NO_COLOR") and not _is_dumb(), not is_window)


def prepare_streams() -> None:
    """Open to nowhere what the caller has closed of stdin, stdout and stderr.

    Otherwise the next files to be opened would get their numbers, and what C code logs. Letters
    that a stream has no bytes for are written as escapes: not every system writes UTF-8.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def is_unread(error: OSError) -> bool:
    """Tell whether an error says that what reads a stream has closed it, as `head` does."""
    return isinstance(error, BrokenPipeError) or (os.name == "nt" and error.errno == errno.EINVAL)


def no_longer_read(stream: TextIO) -> None:
    """Send to nowhere what a stream still holds and what follows: Python flushes it at the end."""
    with suppress(OSError, ValueError):  # in tests it is no file
        number, nowhere = stream.fileno(), os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, number)
        os.close(nowhere)


@contextmanager
def progress() -> Iterator[Callable[[str], None]]:
    """Show on stderr which step runs, if that takes more than a second; gone when done.

    Yields:
        What takes the next step, in words. Where stderr is no window, it does nothing.

    Example:
        with progress() as step:
            step("reading vgg16.h5")
    """
    if not sys.stderr.isatty() or _is_dumb():
        yield lambda step: None
        return
    steps = [""]
    done = threading.Event()
    # a copy of its own, for what is written to stderr itself is kept back while Keras is imported
    with open(os.dup(sys.stderr.fileno()), "w", encoding="utf-8", errors="replace") as window:
        width = (os.get_terminal_size(window.fileno()).columns or WIDTH) - 1
        shown = threading.Thread(target=_show, args=(steps, done, window, width), daemon=True)
        shown.start()
        try:
            yield lambda step: steps.append(elide(printable(step), max(width - 2, 3)))
        finally:
            done.set()
            shown.join()


def importing_keras() -> str:
    """Name the step of importing Keras, with the backend that it is set to use."""
    return f"importing Keras ({configured_backend()})"


def _show(steps: list[str], done: threading.Event, window: TextIO, width: int) -> None:
    """Draw the last of the steps over and over, and at the end nothing.

    Not by rich: its import here would meet that of Keras, which imports it too, in another thread.
    """
    if done.wait(PATIENCE):
        return
    nothing = f"\r{'':{width}}\r"  # no escape sequence: it works in every window
    for picture in cycle(MOVING):
        window.write(f"{nothing}{picture} {steps[-1]}")
        window.flush()
        if done.wait(TURN):
            break
    window.write(nothing)


def _is_dumb() -> bool:
    return os.environ.get("TERM") in ("dumb", "unknown")
