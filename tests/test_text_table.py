"""Tables of text: how wide they get, what gives way, and what a terminal has no say in."""

from __future__ import annotations

import doctest
import importlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from allconv.reporting.text_table import Column, count_words, elide, paragraph, shape_words, table

COLUMNS = (
    Column("#", right=True),
    Column("layer", fit="elide"),
    Column("becomes", fit="wrap"),
    Column("weights", right=True),
)

names = st.text(st.sampled_from("abc_/0123"), min_size=1, max_size=90)
sentences = st.lists(st.sampled_from(["Conv2D", "3x3/2,", "Add"]), max_size=40).map(" ".join)
numbers = st.integers(0, 10**12).map(count_words)
rows_drawn = st.lists(st.tuples(numbers, names, sentences, numbers), min_size=1, max_size=6)


@given(rows_drawn)
def test_a_table_fits_80_columns_and_loses_no_number_and_no_word(
    rows: list[tuple[str, str, str, str]],
) -> None:
    text = table(COLUMNS, rows)
    assert max(map(len, text.splitlines())) <= 80
    words = text.split()
    for position, _name, sentence, number in rows:
        assert {position, number, *sentence.split()} <= set(words)
    kinds = ("Conv2D", "3x3/2,", "Add")
    given_words = [word for row in rows for word in row[2].split()]
    assert {kind: words.count(kind) for kind in kinds} == {
        kind: given_words.count(kind) for kind in kinds
    }


@given(rows_drawn)
def test_every_line_stands_in_the_columns_that_the_ruler_shows(
    rows: list[tuple[str, str, str, str]],
) -> None:
    titles, ruler, *lines = table(COLUMNS, rows).splitlines()
    gaps = [place for place, character in enumerate(ruler) if character == " "]
    assert len(re.findall(r"-+", ruler)) == len(COLUMNS) and len(gaps) == 2 * (len(COLUMNS) - 1)
    for line in [titles, *lines]:
        assert {line.ljust(80)[place] for place in gaps} == {" "}


def test_numbers_end_and_words_begin_on_one_line() -> None:
    text = table([Column("layer"), Column("weights", right=True)], [["a", "7"], ["conv", "1,280"]])
    assert text.splitlines() == [
        "layer  weights",
        "-----  -------",
        "a            7",
        "conv     1,280",
    ]


def test_a_total_stands_under_a_line_of_its_own() -> None:
    columns = [Column("layer"), Column("weights", right=True)]
    lines = table(columns, [["conv", "7"], ["total", "7"]], total=True).splitlines()
    assert lines[1] == lines[3] == "-----  -------"
    assert lines[4].split() == ["total", "7"]


def test_a_wide_cell_takes_more_lines() -> None:
    text = " ".join(["word"] * 30)
    columns = [Column("a"), Column("b", fit="wrap"), Column("c")]
    lines = table(columns, [["1", text, "2"]]).splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[2].startswith("1  word") and lines[2].endswith("2")
    assert " ".join(lines[2:]).count("word") == 30


def test_numbers_too_wide_for_80_columns_are_printed_whole() -> None:
    number = count_words(10**17)
    columns = [Column("layer", fit="elide"), *[Column("n", right=True)] * 3]
    lines = table(columns, [["a_convolution_with_a_name", *[number] * 3]]).splitlines()
    assert lines[2].split() == ["a_co..._name", *[number] * 3]


@pytest.mark.parametrize("name", ["[bold]conv[/bold]", ":smile:", "畳み込み層"])
def test_a_name_is_a_name_and_no_markup(name: str) -> None:
    lines = table([Column("layer", fit="elide"), Column("#")], [[name, "1"]]).splitlines()
    assert lines[2].split() == [name, "1"]
    assert {cell_len(line) for line in lines[1:]} == {cell_len(lines[1])}


@pytest.mark.parametrize(
    "setting",
    [
        {"COLUMNS": "30"},
        {"FORCE_COLOR": "1", "TERM": "xterm-256color"},
        {"TERM": "dumb"},
        {"JUPYTER_COLUMNS": "200"},
    ],
)
def test_a_terminal_has_no_say_in_a_table(
    setting: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [["1", "name_" * 20, "Conv2D " * 20, "1,280"]]
    before = table(COLUMNS, rows)
    for name, value in setting.items():
        monkeypatch.setenv(name, value)
    assert table(COLUMNS, rows) == before


def test_a_long_name_loses_its_middle() -> None:
    name = "the_first_convolution_of_the_second_block_of_the_third_stage"
    assert elide("short", 12) == "short"
    assert elide(name, 12) == "the_...stage"


@given(st.text(), st.integers(3, 40))
def test_a_name_that_is_shortened_takes_its_width_and_keeps_both_ends(
    name: str, width: int
) -> None:
    short = elide(name, width)
    if cell_len(name) <= width:
        assert short == name
    else:
        assert cell_len(short) == width
        left, _, right = short.partition("...")
        assert name.startswith(left.rstrip()) and name.endswith(right.lstrip())


def test_a_shape_is_written_without_its_batch() -> None:
    words = [shape_words(shape) for shape in [(None, 7, 5, 3), (8, None, 2), (None,), None]]
    assert words == ["7x5x3", "?x2", "1", "--"]


def test_a_paragraph_hangs_and_keeps_names_whole() -> None:
    text = paragraph(f"{'x' * 90} a-b", "  ", "    ")
    assert text == f"  {'x' * 90}\n      a-b"


def test_the_examples_in_the_docstrings_are_true() -> None:
    assert doctest.testmod(importlib.import_module("allconv.reporting.text_table")).failed == 0
