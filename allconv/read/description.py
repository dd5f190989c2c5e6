"""Parts of a model's description, checked as they are taken out of it."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from typing import Any

from allconv.errors import ModelError

Description = Mapping[str, Any]
"""What JSON tells of a layer or a model: `{"class_name": ..., "config": {...}}` and more."""

LONGEST_NAME = 1_000
"""Characters in the name of a layer, a model or a class; a longer one is none."""

TYPES: dict[str, Any] = {"a text": str, "a list": (list, tuple), "an object": Mapping}


def text_in(data: Any, key: str, where: str) -> str:
    """Return the text at a key, which is a name.

    Raises:
        ModelError: There is none; so for the functions below.
    """
    return _checked(str(_part(data, key, "a text", where)), key, where)


def text_or_nothing_in(data: Mapping[str, Any], key: str, where: str) -> str:
    """Return the text at a key, "" where there is none or a null."""
    return "" if data.get(key) is None else text_in(data, key, where)


def list_in(data: Any, key: str, where: str) -> list[Any]:
    """Return the list at a key, copied."""
    return list(_part(data, key, "a list", where))


def object_in(data: Any, key: str, where: str) -> dict[str, Any]:
    """Return the object at a key, copied."""
    return dict(_part(data, key, "an object", where))


def _part(data: Any, key: str, expected: str, where: str) -> Any:
    found = data.get(key) if isinstance(data, Mapping) else data
    if not isinstance(data, Mapping) or not isinstance(found, TYPES[expected]):
        raise ModelError(
            f"{where}: expected {expected} at '{key}', got {reprlib.repr(found)}; "
            "the description of the model is damaged"
        )
    return found


def name_of(data: Any, where: str) -> str:
    """Return the name of a described layer, "" where it has none (models of Keras 1 and 2).

    Raises:
        ModelError: The description is none, or its name is no text.
    """
    if not isinstance(data, Mapping):
        raise ModelError(f"{where}: expected a layer, got {reprlib.repr(data)}")
    config = data.get("config")
    inner = config.get("name") if isinstance(config, Mapping) else None
    name = data.get("name") or inner or ""
    if not isinstance(name, str):
        raise ModelError(f"{where}: expected a name, got {reprlib.repr(name)}")
    return _checked(name, "name", where)


def _checked(name: str, key: str, where: str) -> str:
    if len(name) > LONGEST_NAME:
        raise ModelError(
            f"{where}: a {key} of {len(name):,} characters, {reprlib.repr(name)}; expected at most "
            f"{LONGEST_NAME:,}"
        )
    return name
