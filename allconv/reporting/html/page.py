"""The report as a page: drawings, bars and a table in one file that loads nothing.

Names come from the files of strangers. So every text is escaped on its way in, and the page's
policy lets a browser run and apply nothing but the page's own script and style, known by their
hashes: no other code, no style attribute, no image, no address.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Iterator
from importlib import resources
from string import Template

from allconv.reporting.facts import Facts
from allconv.reporting.html.drawing import escaped
from allconv.reporting.html.layer_table import layer_table
from allconv.reporting.html.network_drawings import drawings, legend
from allconv.reporting.text_table import count_words
from allconv.reporting.totals import Amount
from allconv.reporting.words import (
    BLOCKING,
    COSTS,
    WINDOWS,
    conclusions,
    in_the_way,
    refusal,
    remarks,
    title,
)


def as_html(report: Facts) -> str:
    """Write the report as one HTML page, complete in itself."""
    style, script = part("page.css"), part("page.js")
    name, _, summary = title(report).rpartition(": ")
    return Template(part("page.html")).substitute(
        policy=_policy(style, script),
        title=escaped(title(report)),
        style=style,
        name=escaped(name),
        summary=escaped(summary),
        verdict=_verdict(report),
        conclusions="\n".join(_said(report)),
        totals="\n".join(_bars(report)),
        legend=legend(),
        drawings=drawings(report),
        table=layer_table(report),
        table_note=escaped(f"{WINDOWS} {COSTS}"),
        remarks="\n".join(_sections(report)),
        script=script,
    )


def part(name: str) -> str:
    """Read a file of the page's template."""
    return (resources.files("allconv.reporting.html") / "template" / name).read_text(
        encoding="utf-8"
    )


def _policy(style: str, script: str) -> str:
    """Write a Content-Security-Policy that allows this style and this script, and nothing else."""
    return (
        f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}'; "
        "base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"


def _verdict(report: Facts) -> str:
    if report.refused or report.obstacles:
        return "refused"
    return "lossless" if report.lossless else "trains"


def _said(report: Facts) -> Iterator[str]:
    """Say what the report comes to: first that the model is refused, and why."""
    yield from (f"<p>{escaped(text)}</p>" for text in refusal(report))
    if report.refused and (reasons := in_the_way(report)):
        yield f"<h2>{escaped(BLOCKING.capitalize())}</h2>{_list(reasons)}"
    yield from (f"<p>{escaped(text)}</p>" for text in conclusions(report))


# totals


def _bars(report: Facts) -> Iterator[str]:
    totals = report.totals
    yield _pair("parameters", totals.parameters)
    yield _pair("multiply-accumulates", totals.multiply_accumulates)
    yield _pair("bytes of weights", totals.weight_bytes)


def _pair(name: str, amount: Amount) -> str:
    """Draw two bars on one scale; none where a number is unknown."""
    most = max(amount.before or 0, amount.after or 0, 1)
    ratio = "--" if amount.ratio is None else f"{amount.ratio:.2f}x"
    bars = [_bar("before", amount.before, most), _bar("after", amount.after, most)]
    return f'<div class="total"><h3>{name} <b>{ratio}</b></h3>{"".join(bars)}</div>'


def _bar(when: str, count: int | None, most: int) -> str:
    width = 0 if count is None else 100 * count / most
    return (
        f'<p class="bar {when}"><span>{when}</span> <span class="count">{count_words(count)}</span>'
        f'<svg aria-hidden="true" height="12"><rect class="all" width="100%" height="12" rx="2"/>'
        f'<rect class="part" width="{width:.2f}%" height="12" rx="2"/></svg></p>'
    )


# remarks


def _sections(report: Facts) -> Iterator[str]:
    for section, lines in remarks(report):
        if lines:
            yield f"<section><h2>{escaped(section.capitalize())}</h2>{_list(lines)}</section>"


def _list(texts: Iterable[str]) -> str:
    return f"<ul>{''.join(f'<li>{escaped(text)}</li>' for text in texts)}</ul>"
