"""Draws the picture of the README again: `python docs/pictures.py`.

It runs the cells of the tutorial from the top, and writes the figure that lays the class map over
the sheet to docs/class_map.png. The pixels depend a little on the machine that trains.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import matplotlib

DOCS = Path(__file__).parent
CELL = re.compile(r"^```\{code-cell\} python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def main() -> None:
    """Run the tutorial and keep one figure."""
    matplotlib.use("Agg")
    names: dict[str, Any] = {}
    for cell in CELL.findall((DOCS / "tutorial.md").read_text()):
        exec(compile(cell, "docs/tutorial.md", "exec"), names)
    names["figure"].savefig(DOCS / "class_map.png", dpi=80, bbox_inches="tight")


if __name__ == "__main__":
    main()
