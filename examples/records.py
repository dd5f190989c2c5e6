"""Files that are whole or not there, whenever a run is killed."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` write to a name beside `path`, with its suffix, then puts that in its place."""
    half = path.with_name(f"half-{path.name}")
    write(half)
    os.replace(half, path)


def write_json(path: Path, values: Any) -> None:
    """Write values as JSON."""
    write_whole(path, lambda half: half.write_text(json.dumps(values, indent=1) + "\n"))


def read_json(path: Path) -> Any:
    """Read a JSON file."""
    return json.loads(path.read_text())
