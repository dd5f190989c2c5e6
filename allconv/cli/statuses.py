"""The exit statuses of the program, in one place."""

from __future__ import annotations

DONE, NO, ERROR, COULD_NOT_TELL = 0, 1, 2, 3
INTERRUPTED = 130
"""What a shell calls the end by Ctrl-C."""
WORST_FIRST = (ERROR, NO, COULD_NOT_TELL, DONE)
STATUS_OF = {True: DONE, False: NO, None: COULD_NOT_TELL}
"""By the `passed` of a judgement."""
