"""All that is held of a drawn case: the promise, and what its families add."""

from __future__ import annotations

from tests import held_compiled, held_copies, held_files, held_geometry, held_reports
from tests.drawn_compiling import compile_at_random
from tests.promise import EQUAL, REFUSED, promise

HELD = {
    "verified": held_reports.verify_agrees,
    "compiled": held_compiled.evaluates_alike,
    "copies": held_copies.copies_agree,
    "files": held_files.files_load,
    "geometry": held_geometry.sees_what_geometry_says,
}
"""What to hold of a model and a conversion with the same numbers."""


def hold(case):
    """The case's outcome; an exception where a promise is broken."""
    model = case.network()
    options = case.options(model)
    if "compiled" in case.families:
        compile_at_random(case.random("compiling"), model)
    outcome = promise(model, case.families, **options)
    if "reports" in case.families:
        held_reports.report_says_so(model, options, outcome.word == REFUSED)
    if "read" in case.families:
        held_files.files_convert_alike(model, options, outcome.word == REFUSED)
    if outcome.word == EQUAL:
        for family in HELD.keys() & case.families:
            HELD[family](model, outcome.converted, case)
    return outcome
