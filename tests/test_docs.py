"""The documentation, held to what it says: examples run, outputs are real, what is named exists.

In a document the blocks run from top to bottom, as one session in one folder, and so do the cells
of the tutorial. A `text` block is what the `python` block above it prints; in a `console` block
each `$ allconv ...` is run and prints the lines below it. Numbers such as 4.1e-08 are measured, and
may be others. `make docs` holds the links between pages and the reference to what is there.
"""

from __future__ import annotations

import contextlib
import doctest
import importlib
import inspect
import io
import pkgutil
import re
import shlex
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from click.testing import CliRunner
from keras import layers

import allconv
from allconv.cli.commands import main
from allconv.rule import Rule

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted(
    path for pattern in ("*.md", "docs/*.md", "benchmarks/*.md") for path in ROOT.glob(pattern)
)
MODULES = ["allconv", *(info.name for info in pkgutil.walk_packages(allconv.__path__, "allconv."))]
BLOCK = re.compile(
    r"^```(?:\{code-cell\} (?=python\n))?(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL
)
MEASURED = re.compile(r"\d\.\de[-+]\d\d")

each_document = pytest.mark.parametrize(
    "document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT))
)


@pytest.fixture(autouse=True)
def _names_of_layers_begin_anew() -> None:
    keras.utils.clear_session(free_memory=False)


@each_document
def test_the_examples_run_and_print_what_is_shown(
    document: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "Agg")
    namespace: dict[str, Any] = {"__name__": "__main__"}
    printed = ""
    for language, text in BLOCK.findall(document.read_text()):
        if language == "python":
            printed = printed_by(text, namespace)
        elif language == "text":
            assert unmeasured(printed) == unmeasured(text)
        elif language == "console":
            run_commands(text)
        else:
            pytest.fail(f"a block in {language}: this test knows python, text and console")


def printed_by(code: str, namespace: dict[str, Any]) -> str:
    """What a block of Python prints."""
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        exec(compile(code, "<example>", "exec"), namespace)
    return output.getvalue()


def run_commands(text: str) -> None:
    """Runs the commands of a console block and compares what they print."""
    for session in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        command, _, shown = session.partition("\n")
        program, *arguments = shlex.split(command)
        assert program == "allconv"
        result = CliRunner().invoke(main, arguments, catch_exceptions=False)
        assert unmeasured(result.output) == unmeasured(shown)


def unmeasured(text: str) -> str:
    """A text without its measured numbers, and without spaces at the ends of lines."""
    return "\n".join(line.rstrip() for line in MEASURED.sub("#", text).strip().splitlines())


class Measured(doctest.OutputChecker):
    """Lets measured numbers be others."""

    def check_output(self, want: str, got: str, optionflags: int) -> bool:
        return super().check_output(MEASURED.sub("#", want), MEASURED.sub("#", got), optionflags)


@pytest.fixture(scope="module")
def at_hand() -> dict[str, Any]:
    """What examples in docstrings take as given: a trained `model` and its test `images`."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((8, 8, 1)), layers.Conv2D(4, 3, activation="relu")])
    model.add(layers.MaxPooling2D(2))
    model.add(layers.Flatten())
    model.add(layers.Dense(3))
    images = np.random.default_rng(0).random((500, 8, 8, 1), dtype="float32")
    return {"allconv": allconv, "model": model, "images": images}


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_in_docstrings_give_what_they_show(
    name: str, at_hand: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    module = importlib.import_module(name)
    runner = doctest.DocTestRunner(Measured(), optionflags=doctest.NORMALIZE_WHITESPACE)
    report = io.StringIO()
    for example in doctest.DocTestFinder().find(module, extraglobs=at_hand):
        runner.run(example, out=report.write)
    assert not runner.failures, report.getvalue()


def rule_names() -> set[str]:
    """The names of all rules of allconv."""
    values = [value for name in MODULES for value in vars(importlib.import_module(name)).values()]
    return {value.name for value in values if isinstance(value, Rule)}


def prose(document: Path) -> str:
    """A document without its blocks."""
    return BLOCK.sub("", document.read_text())


@each_document
def test_the_rules_that_are_named_exist(document: Path) -> None:
    named = set(re.findall(r"`([a-z_]+_to_[a-z_]+)`", prose(document)))
    assert named <= rule_names()


def test_the_table_of_rules_lists_each_of_them() -> None:
    table = re.findall(r"^\| `([a-z_]+_to_[a-z_]+)` \|", prose(how_it_works()), re.MULTILINE)
    assert sorted(table) == sorted(rule_names())


def how_it_works() -> Path:
    return ROOT / "docs" / "how_it_works.md"


@each_document
def test_the_files_that_are_named_exist(document: Path) -> None:
    names = re.findall(r"`([\w/]+\.(?:py|md))[` ]", prose(document))
    folders = ("", "allconv", "benchmarks", "docs", "examples", "tests")
    files = [path for folder in folders for path in (ROOT / folder).glob("*.*")]
    files += (ROOT / "allconv").rglob("*.py")
    assert [name for name in names if not any(path.match(name) for path in files)] == []


@each_document
def test_the_folders_of_the_package_that_are_named_exist(document: Path) -> None:
    names = re.findall(r"`([a-z_]+(?:/[a-z_]+)*)/`", prose(document))
    places = (ROOT, ROOT / "allconv")
    assert [name for name in names if not any((place / name).is_dir() for place in places)] == []


def test_the_tour_passes_every_room() -> None:
    rooms = [path.parent.relative_to(ROOT / "allconv") for path in ROOT.glob("allconv/*/**/*.py")]
    tour = prose(how_it_works())
    assert [str(room) for room in dict.fromkeys(rooms) if f"`{room}/`" not in tour] == []


def test_the_tour_names_every_file_of_the_hall() -> None:
    tour, hall = prose(how_it_works()), (ROOT / "allconv").glob("*.py")
    assert [path.name for path in hall if f"`{path.name}`" not in tour] == ["__init__.py"]


@each_document
def test_the_links_lead_somewhere(document: Path) -> None:
    targets = re.findall(r"\]\(([^)]+)\)", prose(document))
    relative = [target for target in targets if not target.startswith("https://")]
    assert [target for target in relative if not leads_somewhere(document, target)] == []


def leads_somewhere(document: Path, target: str) -> bool:
    path, _, heading = target.partition("#")
    page = document.parent / path if path else document
    return page.exists() and (not heading or heading in headings(page))


def headings(page: Path) -> list[str]:
    """The anchors of a page, as GitHub makes them of its headings."""
    titles = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return [re.sub(r"[^\w -]", "", title).lower().replace(" ", "-") for title in titles]


@each_document
def test_the_make_targets_that_are_named_exist(document: Path) -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"(?:`|^ {4})make ([a-z]+)", prose(document), re.MULTILINE))
    assert named <= targets


def test_the_readme_begins_with_what_it_does_and_two_commands() -> None:
    title, promise, commands = (ROOT / "README.md").read_text().split("\n\n")[:3]
    assert title == "# allconv"
    assert promise.count(". ") == 0
    assert re.findall(r"^ {4}(make \w+)", commands, re.MULTILINE) == ["make demo", "make test"]


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 200


def test_the_tutorial_saves_the_picture_of_the_readme() -> None:
    picture = re.search(r"!\[.*\]\(docs/(.*)\)", (ROOT / "README.md").read_text())
    assert picture
    assert f'savefig("{picture[1]}"' in (ROOT / "docs" / "tutorial.md").read_text()


def test_every_page_is_in_the_index() -> None:
    pages = {path.name for path in ROOT.glob("docs/*.md")} - {"index.md"}
    listed = re.findall(r"\]\((\w+\.md)\)", (ROOT / "docs" / "index.md").read_text())
    assert pages - set(listed) == set()


def test_the_reference_lists_every_function() -> None:
    page = (ROOT / "docs" / "api.md").read_text()
    functions = {name for name in allconv.__all__ if inspect.isfunction(getattr(allconv, name))}
    assert functions == set(re.findall(r"^   (\w+)$", page, re.MULTILINE))


def test_the_changelog_has_a_section_for_this_version() -> None:
    assert f"\n## [{allconv.__version__}]" in (ROOT / "CHANGELOG.md").read_text()
    assert f'\nversion = "{allconv.__version__}"\n' in (ROOT / "pyproject.toml").read_text()


def test_the_version_to_cite_is_this_one() -> None:
    assert f"\nversion: {allconv.__version__}\n" in (ROOT / "CITATION.cff").read_text()
