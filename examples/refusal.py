"""How an example ends where it cannot go on: one message, exit status 2."""

from __future__ import annotations

import sys
from collections.abc import Callable


class Refusal(Exception):
    """What cannot be done, and what to do about it."""


def status_of(main: Callable[[], int]) -> int:
    """Return the exit status of `main`; 2 after a `Refusal`, whose message is printed."""
    try:
        return main()
    except Refusal as refusal:
        print(f"error: {refusal}", file=sys.stderr)
        return 2
