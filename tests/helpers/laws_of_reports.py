"""What allconv says of a network is what it does: `report`, `verify`."""

from __future__ import annotations

import allconv
from allconv.errors import ConversionError
from allconv.obstacles.found import layers_in_the_way


def report_says_so(model, options, refused):
    """A report names obstacles where `convert` refuses, and none where it does not."""
    try:
        report = allconv.report(model, **options)
    except ConversionError:
        assert refused and "input_size" in options
        return
    assert report.refused == refused, report
    refusal_comes_first(report)
    causes_name_all_that_stays(report)


def refusal_comes_first(report):
    """A report begins with the refusal where there is one, and then tells of no result."""
    text, markdown, page = str(report), report.to_markdown(), report.to_html()
    data = report.to_dict()
    assert list(data)[:2] == ["model", "refused"] and data["refused"] == report.refused
    name = report.plan.before.name
    assert text.startswith(f"{name}: refused; ") == report.refused
    assert ": refused; " in markdown.partition("\n")[0] or not report.refused
    first = page.partition('<section class="verdict')[2].partition("<p>")[2]
    assert first.startswith("convert refuses this model: ") == report.refused
    for words in (text, markdown, page):
        assert not (report.refused and "computes the same numbers" in words)


def causes_name_all_that_stays(report):
    """Each layer that stands in the way, or is held up, is told of once."""
    told = [name for obstacle in report.obstacles for name in obstacle.layers]
    assert sorted(told) == sorted(layers_in_the_way(report.own_plan))


def verify_agrees(model, converted, case):
    """A right conversion is never "failed"; it is verified, or the reason not to is told."""
    verification = allconv.verify(model, converted, seed=case.seed)
    assert verification.passed is not False, verification
    assert verification.passed or verification.reason
