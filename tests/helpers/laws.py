"""All that is held of a drawn case: the promise, and what its families add."""

from __future__ import annotations

from tests.helpers import laws_of_compiling as held_compiled
from tests.helpers import laws_of_copies as held_copies
from tests.helpers import laws_of_files as held_files
from tests.helpers import laws_of_geometry as held_geometry
from tests.helpers import laws_of_reports as held_reports
from tests.helpers.converted_or_refused import EQUAL, REFUSED, promise
from tests.helpers.drawn_compiling import compile_at_random

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
