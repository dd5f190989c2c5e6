"""Tables of text: how wide they get, what gives way, and what a terminal has no say in."""

from __future__ import annotations

import doctest
import importlib
import re
import textwrap

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from allconv.reporting.text_table import (
    Column,
    Page,
    Styled,
    count_words,
    elide,
    paragraph,
    printable,
    shape_words,
    table,
)

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


@given(rows_drawn, st.integers(80, 200), st.integers(0, 50))
def test_a_wider_page_shortens_no_cell_more(
    rows: list[tuple[str, str, str, str]], width: int, wider: int
) -> None:
    narrow = table(COLUMNS, rows, page=Page(width)).splitlines()
    wide = table(COLUMNS, rows, page=Page(width + wider)).splitlines()
    assert max(map(len, narrow)) <= width and max(map(len, wide)) <= width + wider
    assert len(wide) <= len(narrow)
    columns = zip(narrow[1].split(), wide[1].split(), strict=True)
    assert all(len(before) <= len(after) for before, after in columns)


@given(rows_drawn)
def test_on_a_page_that_is_wide_enough_every_cell_is_whole(
    rows: list[tuple[str, str, str, str]],
) -> None:
    titles = [column.title for column in COLUMNS]
    widths = [max(map(len, cells)) for cells in zip(titles, *rows, strict=True)]
    lines = table(COLUMNS, rows, page=Page(sum(widths) + 6)).splitlines()
    assert [line.split() for line in lines[2:]] == [" ".join(row).split() for row in rows]
    assert len(lines[1]) == sum(widths) + 6


@given(sentences, st.integers(21, 80))
def test_words_are_wrapped_as_the_standard_library_does(sentence: str, width: int) -> None:
    column = Column("becomes", fit="wrap")
    _title, _ruler, *lines = table([column], [[sentence]], page=Page(width)).split("\n")
    assert lines == (textwrap.wrap(sentence, width, break_on_hyphens=False) or [""])


def test_a_word_that_is_too_wide_goes_on_in_the_next_line() -> None:
    lines = table([Column("a", fit="wrap")], [["to 畳み込み層の名前"]], page=Page(13)).splitlines()
    assert lines[2:] == ["to", "畳み込み層の", "名前"]


def test_styles_take_no_place_and_end_with_their_cell() -> None:
    columns = [Column("layer"), Column("weights", right=True)]
    lines = table(columns, [[Styled("conv", "changed"), Styled("7", "grew")]], page=Page(80, True))
    assert lines.splitlines() == [
        "\x1b[1mlayer\x1b[0m  \x1b[1mweights\x1b[0m",
        "-----  -------",
        "\x1b[36mconv\x1b[0m         \x1b[33m7\x1b[0m",
    ]


@given(st.text())
def test_what_is_printed_moves_no_cursor(text: str) -> None:
    shown = printable(text)
    assert shown.isprintable()
    assert shown == text or not text.isprintable()
    lines = table([Column("layer", fit="wrap"), Column("#")], [[text, "1"]]).split("\n")
    assert all(line.isprintable() for line in lines)
    assert all(line.isprintable() for line in paragraph(text).split("\n"))


def test_what_cannot_be_printed_is_told_by_its_code() -> None:
    assert printable("conv\x1b[2J\n\u202e\ud800") == r"conv\x1b[2J\n\u202e\ud800"
    assert printable("Größe 畳 [bold] a|b") == "Größe 畳 [bold] a|b"


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
