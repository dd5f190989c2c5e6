"""What other packages say, kept short: an error in a line, their logs not at all."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager

_MOST = 200
_HEADING = re.compile(r"Exception encountered when calling .*\.")
"""The first line of Keras' errors in layers; what happened is below."""

_COLOUR = re.compile(r"\x1b\[\d*m")


def reason(error: Exception) -> str:
    """The first line of a message that says what has happened; the error's kind if none does."""
    lines = (_COLOUR.sub("", line).strip() for line in str(error).splitlines())
    told = (line for line in lines if line and not _HEADING.fullmatch(line))
    return next(told, type(error).__name__)[:_MOST]


@contextmanager
def logs_kept_back(level: int) -> Iterator[None]:
    """Keeps back what is logged up to a level, such as `logging.WARNING`."""
    before = logging.root.manager.disable
    logging.disable(level)
    try:
        yield
    finally:
        logging.disable(before)
