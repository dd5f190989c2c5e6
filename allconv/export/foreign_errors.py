"""What other packages say, kept short: an error in a line, their logs not at all."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from allconv.errors import first_line

_MOST = 200


def reason(error: Exception) -> str:
    """Find the first line of a message that says what has happened, or name the error's kind."""
    return (first_line(error) or type(error).__name__)[:_MOST]


@contextmanager
def logs_kept_back(level: int) -> Iterator[None]:
    """Hold back what is logged up to a level, such as `logging.WARNING`."""
    before = logging.root.manager.disable
    logging.disable(level)
    try:
        yield
    finally:
        logging.disable(before)
