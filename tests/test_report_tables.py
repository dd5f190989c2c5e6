"""A report as a table for other programs: CSV, LaTeX, pandas, and Markdown's columns."""

from __future__ import annotations

import csv
import io
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

import allconv
from allconv.errors import OptionError
from allconv.reporting.latex import ESCAPES, escaped
from tests.helpers import networks
from tests.helpers.plain_graphs import conv, graph, image
from tests.test_cli import run
from tests.test_report import REPORTS, report_named
from tests.test_report_html import HOSTILE, network_with

each_report = pytest.mark.parametrize("name", REPORTS)


def records(report):
    return list(csv.DictReader(io.StringIO(report.to_csv())))


def in_words(name, value):
    """A value of `to_dict()` as the table has it."""
    if value is None:
        return ""
    if name.startswith("output_shape"):
        return "x".join("?" if size is None else str(size) for size in value[1:])
    return "; ".join(value) if isinstance(value, list) else str(value)


@each_report
def test_csv_holds_the_rows_of_the_data(name):
    report = report_named(name)
    rows = report.to_dict()["rows"]
    assert records(report) == [{key: in_words(key, row[key]) for key in row} for row in rows]


@pytest.mark.parametrize("name", ["=1+1", "@SUM(A1)", "+1", "-1"])
def test_a_name_that_a_spreadsheet_would_compute_is_a_text(name):
    entry = image()
    report = allconv.report(graph([entry], [conv(name)(entry)]))
    assert [row["layer"] for row in records(report)][-1] == f"'{name}"


def test_csv_of_hostile_names_is_whole_and_can_be_written():
    report = allconv.report(network_with((*HOSTILE, 'a "b", c\nd')))
    assert len(records(report)) == len(report.rows)
    assert all(None not in row and None not in row.values() for row in records(report))
    report.to_csv().encode()


# LaTeX


def cells_of(line):
    """The cells of a row, whose ampersands are not escaped ones."""
    assert line.endswith(r" \\")
    return [cell.strip() for cell in re.split(r"(?<!\\)&", line.removesuffix(r"\\"))]


def span(cell):
    found = re.match(r"\\multicolumn\{(\d)\}", cell)
    return int(found[1]) if found else 1


def rows_of_latex(text):
    return [line for line in text.splitlines() if line.endswith(r"\\")]


@each_report
def test_a_latex_table_has_the_columns_that_it_declares(name):
    report = report_named(name)
    lines = [line for line in report.to_latex().splitlines() if not line.startswith("%")]
    declared = re.fullmatch(r"\\begin\{tabular\}\{([rl]+)\}", lines[0])
    assert declared and lines[-1] == r"\end{tabular}"
    assert declared[1] == "r" + 5 * "l" + 4 * "r"
    rules = [line for line in lines if line.startswith(r"\\"[0]) and "rule" in line]
    assert [rule.partition("(")[0] for rule in rules] == [
        *(r"\toprule", r"\cmidrule", r"\midrule", r"\midrule", r"\bottomrule")
    ]
    rows = [cells_of(line) for line in rows_of_latex(report.to_latex())]
    assert {sum(map(span, row)) for row in rows} == {len(declared[1])}
    assert len(rows) == 2 + len(report.rows) + 1
    for row, cells in zip(report.rows, rows[2:], strict=False):
        assert cells[0] == str(row.position) and cells[1] == escaped(row.layer)
        assert cells[6].replace(",", "") == str(row.parameters)


def test_sizes_have_a_sign_between_them_and_names_keep_their_letters():
    entry = image()
    report = allconv.report(graph([entry], [conv("2x2", size=2, filters=4)(entry)]))
    line = rows_of_latex(report.to_latex())[3]
    assert cells_of(line)[1:4] == ["2x2", "Conv2D", r"7$\times$7$\times$4"]


@pytest.mark.parametrize("name", [*HOSTILE, "".join(ESCAPES), r"\input{/etc/passwd}", "% & \\\\"])
def test_no_name_is_a_command_of_latex(name):
    text = allconv.report(network_with((name,))).to_latex()
    body = [line for line in text.splitlines() if not line.startswith("%")]
    for row in rows_of_latex("\n".join(body)):
        assert sum(map(span, cells_of(row))) == 10
    known = set(re.findall(r"\\([a-z]+|.)", "\n".join(body)))
    of_table = {"begin", "end", "toprule", "midrule", "cmidrule", "bottomrule", "multicolumn"}
    escapes = set(re.findall(r"\\([a-z]+|.)", "".join(ESCAPES.values())))
    assert known <= of_table | escapes | {"times", "\\"}
    assert "\x1b" not in text and "\ud800" not in text


def test_a_refused_model_says_so_before_its_latex_table():
    text = allconv.report(networks.stubborn()).to_latex()
    said = "% stubborn: refused; 1 of 6 layers would change\n% convert refuses"
    assert text.startswith(f"% needs \\usepackage{{booktabs}}\n{said}")


def test_each_column_of_latex_has_a_heading_of_its_own():
    upper, lower, *_ = map(cells_of, rows_of_latex(report_named("stubborn").to_latex()))
    groups = [each for each in upper[-2:] for _ in range(2)]
    heads = [*lower[:6], *zip(groups, lower[6:], strict=True)]
    assert len(set(heads)) == len(heads) == 10


# pandas


class Frame:
    """As much of pandas as a report needs."""

    def __init__(self, records, columns):
        self.records, self.columns, self.types = records, columns, {}

    def astype(self, types):
        self.types = types
        return self


def test_a_dataframe_holds_the_rows(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", SimpleNamespace(DataFrame=Frame))
    report = report_named("stubborn")
    table = report.to_dataframe()
    assert table.columns == list(report.to_dict()["rows"][0])
    assert [record["layer"] for record in table.records] == [row.layer for row in report.rows]
    assert set(table.types) < set(table.columns) and set(table.types.values()) == {"Int64"}


@each_report
def test_pandas_sums_what_the_report_sums(name):
    pytest.importorskip("pandas")
    report = report_named(name)
    table = report.to_dataframe()
    assert list(table["layer"]) == [row.layer for row in report.rows]
    assert table["parameters"].sum() == report.totals.parameters.before
    unknown = [row.multiply_accumulates is None for row in report.rows]
    assert list(table["multiply_accumulates"].isna()) == unknown


def test_without_pandas_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(OptionError, match="pip install pandas brings it, and to_dict"):
        report_named("mnist_exact").to_dataframe()


# Markdown, notebooks, and the command line


@each_report
def test_no_table_has_a_column_twice(name):
    report = report_named(name)
    head = next(line for line in report.to_markdown().splitlines() if line.startswith("|"))
    titles = [cell.strip() for cell in head.strip("|").split("|")]
    assert len(set(titles)) == len(titles)
    heads = re.findall("<th>(.*?)</th>", report._repr_html_())
    assert len(set(heads)) == len(heads) > 0


def test_the_command_prints_and_writes_the_tables(tmp_path: Path):
    networks.mnist_cnn().save(file := tmp_path / "model.keras")
    report = allconv.report(file)
    assert run("report", file, "--csv").stdout == report.to_csv()
    assert run("report", file, "--latex").stdout == f"{report.to_latex()}\n"
    for name, text in (("out.csv", report.to_csv()), ("out.tex", f"{report.to_latex()}\n")):
        assert run("report", file, "-o", tmp_path / name).exit_code == 0
        assert (tmp_path / name).read_text() == text
