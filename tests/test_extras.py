"""The extras of the package: those that messages and pages name exist, and hold what they say."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from allconv.errors import FOR_ONNX

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


def test_messages_name_packages_and_no_extra_which_pip_knows_by_where_allconv_was_installed_from():
    """allconv is on no index: `pip install 'allconv[plots]'` would find nothing, or another's."""
    for file in (ROOT / "allconv").rglob("*.py"):
        assert not re.search(r"pip install ['\"]?(allconv|\.)", file.read_text("utf-8")), file
    brought = {re.match(r"[\w-]+", each)[0] for extra in EXTRAS.values() for each in extra}
    assert set(FOR_ONNX.split()) | {"tensorflow", "jax", "torch", "matplotlib"} <= brought
