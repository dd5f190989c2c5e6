"""What other packages say is told in a line, and their logs are kept back for as long as asked."""

from __future__ import annotations

import logging

import pytest

from allconv.export.foreign_errors import logs_kept_back, reason


@pytest.mark.parametrize(
    ("message", "told"),
    [
        ("no such file\nat line 3", "no such file"),
        (
            "Exception encountered when calling Conv2D.call().\n\n\x1b[1mbad type.\x1b[0m",
            "bad type.",
        ),
        ("Exception encountered when calling Conv2D.call().", "ValueError"),
        ("", "ValueError"),
        (300 * "x", 200 * "x"),
    ],
)
def test_a_reason_is_the_first_line_that_says_what_happened(message, told):
    assert reason(ValueError(message)) == told


def test_logs_are_kept_back_up_to_a_level_and_come_again_after_an_error(caplog):
    with pytest.raises(ValueError), logs_kept_back(logging.WARNING):
        logging.getLogger("other").warning("advice")
        logging.getLogger("other").error("failure")
        raise ValueError
    logging.getLogger("other").warning("later advice")
    assert caplog.messages == ["failure", "later advice"]
