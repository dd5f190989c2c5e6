"""One answer of `report`, `check` and `convert`: what the first two call fine the third makes."""

from __future__ import annotations

import allconv
from allconv.errors import AllconvError, ConversionError, ShapeError


def one_answer(model, **options):
    """The conversion, or the error in its place; `report` says before which of the two it is."""
    try:
        report = allconv.report(model, **options)
    except (ConversionError, ShapeError) as error:
        report = error
    try:
        converted = allconv.convert(model, **options)
    except (ConversionError, ShapeError) as error:
        said = [str(report)] if isinstance(report, AllconvError) else report.obstacles
        assert said and all(str(reason) in str(error) for reason in said), (error, report)
        return error
    assert not isinstance(report, AllconvError), report
    assert not (report.refused and options.get("strict", True)), report
    ends = [row.output_shape for row in allconv.check(converted).rows]
    assert all(tensor.shape in ends for tensor in converted.outputs), (converted.outputs, ends)
    return converted
