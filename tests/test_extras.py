"""The extras of the package: those that messages and pages name exist, and hold what they say."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]


def test_every_extra_that_is_named_exists():
    files = [
        *(ROOT / "allconv").rglob("*.py"),
        *(ROOT / "docs").glob("*.md"),
        ROOT / "README.md",
        ROOT / "Makefile",
    ]
    lists = re.findall(r"(?:allconv|'\.|whl)\[([\w,]+)\]'", "\n".join(map(Path.read_text, files)))
    named = {extra for each in lists for extra in each.split(",")}
    assert named - {"extra"} <= set(EXTRAS)  # where it is the backend's name
    assert {"images", "plots", "onnx", "tensorflow"} <= named


def test_pictures_and_plots_are_part_of_what_needs_them():
    assert set(EXTRAS["images"]) <= set(EXTRAS["onnx"]) & set(EXTRAS["examples"])
    assert set(EXTRAS["plots"]) <= set(EXTRAS["examples"])
