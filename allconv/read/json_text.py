"""JSON from a model file, of bounded size and depth."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from allconv.errors import FileError

MOST_BYTES = 16 * 2**20
"""NASNetLarge, with 1,041 layers, takes 1 MB."""
MOST_VALUES = 1_000_000
"""NASNetLarge has 60,000. Each takes up to 200 bytes of memory, however short it is written."""
MOST_OBJECTS = 100_000
"""Layers, tensors, initializers and their like, with a class each. NASNetLarge has 9,000."""
DEEPEST = 200
"""Lists and objects within one another; each nested model adds about ten."""


def parse_json(text: str | bytes, where: str) -> dict[str, Any]:
    """Read a JSON object.

    Args:
        text: The JSON.
        where: What it is read from, for the message.

    Raises:
        FileError: It is too long, no JSON, no object, or nested too deep.
    """
    written = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    if len(written) > MOST_BYTES:
        size = f"{len(written):,} bytes"
        raise FileError(f"{where}: a description of {size} is longer than any model's")
    if sum(map(written.count, (b"[", b"{", b","))) > MOST_VALUES:
        raise FileError(f"{where}: a description of more values than any model's")
    try:
        data = json.loads(text)
    except RecursionError:
        raise FileError(f"{where}: nested deeper than any model is") from None
    except ValueError as error:  # JSONDecodeError, UnicodeDecodeError, numbers of too many digits
        raise FileError(f"{where}: the description of the model is no JSON ({error})") from error
    if not isinstance(data, dict):
        kind = type(data).__name__
        raise FileError(f"{where}: expected a JSON object with 'class_name', got a {kind}")
    level, depth, objects = [data], 0, 0
    while level:
        depth += 1
        objects += sum("class_name" in item for item in level)
        if depth > DEEPEST or objects > MOST_OBJECTS:
            raise FileError(f"{where}: nested deeper, or longer, than any model is")
        level = [child for item in level for child in _children(item)]
    return data


def _children(item: Any) -> list[Any]:
    """List the lists and objects in one."""
    values = item.values() if isinstance(item, Mapping) else item if isinstance(item, list) else ()
    return [value for value in values if isinstance(value, (Mapping, list))]
