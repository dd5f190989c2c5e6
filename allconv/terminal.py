"""What the command line knows of its terminal: width, colours, and a place to show steps."""

from __future__ import annotations

import json
import os
import shutil
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import cycle
from pathlib import Path
from typing import TextIO

from allconv.reporting.text_table import WIDTH, Page, elide, printable

PATIENCE = 1.0
"""Seconds of work of which nothing is said."""
TURN = 0.1
"""Seconds between two pictures of what moves."""
MOVING = "|/-\\"


def page() -> Page:
    """What stdout is: as wide as its window, but never below 80; plain and 80 where it is none.

    NO_COLOR (no-color.org) and TERM=dumb turn colours off, FORCE_COLOR turns them on in a pipe.
    """
    is_window = sys.stdout.isatty()
    width = max(WIDTH, shutil.get_terminal_size().columns) if is_window else WIDTH
    wanted = is_window or bool(os.environ.get("FORCE_COLOR"))
    return Page(width, wanted and not os.environ.get("NO_COLOR") and not _is_dumb())


def open_closed_streams() -> None:
    """Opens stdout and stderr to nowhere where the caller has closed them."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115


@contextmanager
def progress() -> Iterator[Callable[[str], None]]:
    """Shows on stderr which step runs, if that takes more than a second; gone when done.

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
    """The step of importing Keras, with the backend that it is set to use."""
    return f"importing Keras ({os.environ.get('KERAS_BACKEND') or _configured_backend()})"


def _show(steps: list[str], done: threading.Event, window: TextIO, width: int) -> None:
    """Draws the last of the steps over and over, and at the end nothing.

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


def _configured_backend() -> str:
    """What Keras' own configuration names; Keras says tensorflow where there is none."""
    home = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras")
    with suppress(OSError, ValueError, AttributeError):
        return str(json.loads((home / "keras.json").read_text()).get("backend", "tensorflow"))
    return "tensorflow"


def _is_dumb() -> bool:
    return os.environ.get("TERM") in ("dumb", "unknown")
