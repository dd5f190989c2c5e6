"""The command line: one file for each part of it, in the order in which a command passes them.

`allconv.cli.main` is the whole of it, imported when it is asked for: the process that only watches
another does without.
"""

from typing import Any


def __getattr__(name: str) -> Any:
    """Return the command line as one function."""
    if name != "main":
        raise AttributeError(f"module 'allconv.cli' has no attribute {name!r}")
    from allconv.cli.commands import main

    return main
