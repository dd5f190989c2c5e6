"""What allconv says of a network is what it does: `report`, `verify`."""

from __future__ import annotations

import allconv
from allconv.errors import ConversionError


def report_says_so(model, options, refused):
    """A report names obstacles where `convert` refuses, and none where it does not."""
    try:
        report = allconv.report(model, **options)
    except ConversionError:
        assert refused and "input_size" in options
        return
    assert report.refused == refused, report
    assert str(report)


def verify_agrees(model, converted, case):
    """A right conversion is never "failed"; it is verified, or the reason not to is told."""
    verification = allconv.verify(model, converted, seed=case.seed)
    assert verification.passed is not False, verification
    assert verification.passed or verification.reason
