"""What every result has in common: text, plain data, and a look in notebooks."""

from __future__ import annotations

import html
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any


class Result:
    """What a function returns: `print` it, `json.dumps` its `to_dict()`, or show it in a notebook.

    A result that is a judgement has `passed`: True, False, or None if it could not tell.
    """

    def to_dict(self) -> dict[str, Any]:
        """Return the result as plain data for `json.dumps`; what JSON has no number for is None."""
        data: dict[str, Any] = plain(self)
        return data

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(str(self))}</pre>"


def plain(value: Any) -> Any:
    """Turn a value into what JSON knows; results and other dataclasses into attributes by name."""
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def html_table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Write a small table for a notebook; every text is escaped, since names are a stranger's."""
    lines = [_html_row("th", heads), *(_html_row("td", row) for row in rows)]
    return "\n".join(["<table>", *lines, "</table>"])


def _html_row(tag: str, texts: Sequence[str]) -> str:
    cells = "".join(f"<{tag}>{html.escape(text)}</{tag}>" for text in texts)
    return f"<tr>{cells}</tr>"
