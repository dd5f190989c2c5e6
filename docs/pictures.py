"""Draws the picture of the README again: `python docs/pictures.py`.

It runs the cells of the tutorial from the top, in a folder of their own, and keeps the
class_map.png that they save. The pixels depend a little on the machine that trains.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import tempfile
from pathlib import Path
from typing import Any

import matplotlib

DOCS = Path(__file__).resolve().parent
CELL = re.compile(r"^```\{code-cell\} python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def main() -> None:
    """Run the tutorial and keep one of its pictures."""
    matplotlib.use("Agg")
    names: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        for cell in CELL.findall((DOCS / "tutorial.md").read_text()):
            exec(compile(cell, "docs/tutorial.md", "exec"), names)
        shutil.copy("class_map.png", DOCS)


if __name__ == "__main__":
    main()
