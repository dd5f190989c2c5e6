"""Builds the documentation site: `make docs`. Nothing is fetched, and a warning is an error."""

from __future__ import annotations

import re
from pathlib import Path

import allconv

project = "allconv"
author = "The allconv authors"
copyright = author
version = release = allconv.__version__

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.autosummary", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]

# Pages are Markdown that reads well on GitHub, too.
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

# The tutorial is run whenever the site is built; the tests run it as well.
nb_execution_mode = "force"
nb_execution_timeout = 600  # seconds for one cell, on a busy machine, too
nb_execution_raise_on_error = True
nb_output_stderr = "remove"
nb_execution_in_temp = True  # what the cells save does not come between the pages

# The API reference is made of the docstrings of what is public.
autodoc_member_order = "groupwise"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_preserve_defaults = True
napoleon_numpy_docstring = False
python_use_unqualified_type_names = True

# `name` in a docstring links to what it names; most are pieces of code that name nothing.
default_role = "py:obj"
nitpicky = True
nitpick_ignore_regex = [
    ("py:obj", r".*"),
    ("py:.*", r"(?!allconv).*"),  # of other packages: no inventory is fetched
]

html_theme = "furo"
html_title = f"allconv {version}"
html_copy_source = False
html_show_sphinx = False

RUNS_ON = re.compile(r"(`[^`\s][^`]*`)(?=\w)")
"""`Slot`s: in reStructuredText a letter may not follow a backtick."""


def as_rest(app, what, name, thing, options, lines: list[str]) -> None:
    """Mark a docstring's lines, in place: a block indented below a paragraph is code."""
    lines[:] = [RUNS_ON.sub(r"\1\\ ", line) for line in lines]
    for number in range(len(lines) - 3, -1, -1):
        paragraph, gap, block = lines[number : number + 3]
        if paragraph[:1].strip() and not gap and block.startswith("    "):
            lines[number + 1 : number + 1] = ["", "::"]


SHOWN = re.compile(r"\n```text\n.*?^```\n|\n!\[[^\n]*\n", re.MULTILINE | re.DOTALL)
"""What a cell of the tutorial prints or draws, as Markdown shows it that is not run."""


def without_what_is_shown(app, page: str, source: list[str]) -> None:
    """Leave out of the tutorial, in place, what its cells show when they are run."""
    if page == "tutorial":
        source[0] = SHOWN.sub("", source[0])


EXAMPLE = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def write_report(app, error: Exception | None) -> None:
    """Write the report of the command line's example, as the page that the site shows of it."""
    if error is None and app.builder.format == "html":
        names: dict = {}
        exec(EXAMPLE.search(Path(app.srcdir, "command_line.md").read_text())[1], names)
        page = allconv.report(names["model"]).to_html()
        Path(app.outdir, "report.html").write_text(page)


def setup(app) -> None:
    """Register with Sphinx, which calls this."""
    app.connect("source-read", without_what_is_shown)
    app.connect("build-finished", write_report)
    app.connect("autodoc-process-docstring", as_rest, priority=100)
