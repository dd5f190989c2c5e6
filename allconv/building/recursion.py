"""Room for Keras, which walks through a model by recursion, a few calls for every layer."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

CALLS = 3
"""Calls on the stack for each layer of a chain, in Keras 3."""


@contextmanager
def room_for(layers: int) -> Iterator[None]:
    """Let Python recurse deep enough for Keras to walk through so many layers."""
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(limit + CALLS * layers)
    try:
        yield
    finally:
        sys.setrecursionlimit(limit)
