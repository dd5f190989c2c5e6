"""The calls in a model's description: which tensors a layer takes, and its other arguments."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from allconv.graph import Slot

Key = tuple[str, int, int]
"""Keras' `keras_history`: layer name, which call of it, which of its tensors."""


def _is_keras_tensor(data: Any) -> bool:
    return isinstance(data, Mapping) and data.get("class_name") == "__keras_tensor__"


def keras_tensors(data: Any) -> Iterator[Mapping[str, Any]]:
    """The descriptions of tensors in the arguments of a call."""
    if _is_keras_tensor(data):
        yield data
    elif isinstance(data, Mapping):
        for value in data.values():
            yield from keras_tensors(value)
    elif isinstance(data, (list, tuple)):
        for item in data:
            yield from keras_tensors(item)


def key_of(tensor: Mapping[str, Any]) -> Key:
    """Where a described tensor comes from."""
    name, index, item = tensor["config"]["keras_history"]
    return str(name), int(index), int(item)


def arguments(node: Mapping[str, Any]) -> tuple[list[Key], tuple[Any, ...], dict[str, Any]]:
    """The tensors that a call takes, and its arguments with `Slot`s in their places."""
    keys: list[Key] = []

    def with_slots(data: Any) -> Any:
        if _is_keras_tensor(data):
            keys.append(key_of(data))
            return Slot(len(keys) - 1)
        if isinstance(data, Mapping):
            if data.get("class_name") in _CONSTANTS:
                return _CONSTANTS[data["class_name"]](with_slots(data["config"]))
            return {key: with_slots(value) for key, value in data.items()}
        if isinstance(data, (list, tuple)):
            return type(data)(with_slots(item) for item in data)
        return data

    args, kwargs = with_slots(tuple(node["args"])), with_slots(node["kwargs"])
    return keys, args, {key: value for key, value in kwargs.items() if value is not None}


def _array(config: Mapping[str, Any]) -> np.ndarray:
    return np.array(config["value"], config["dtype"])


_CONSTANTS: dict[str, Callable[[Mapping[str, Any]], Any]] = {
    "__numpy__": _array,
    "__tensor__": _array,
    "__slice__": lambda config: slice(config["start"], config["stop"], config["step"]),
    "__ellipsis__": lambda config: ...,
}
"""How Keras writes the constants of calls that JSON has no word for."""


def _is_key(data: Any) -> bool:
    return (
        isinstance(data, (list, tuple))
        and len(data) == 3
        and isinstance(data[0], str)
        and isinstance(data[1], int)
    )


def keys_in(structure: Any) -> Iterator[Key]:
    """Histories nested in lists and dictionaries, in Keras' order: dictionaries by sorted key."""
    if _is_key(structure):
        yield str(structure[0]), int(structure[1]), int(structure[2])
    else:
        items = (
            sorted(structure.items()) if isinstance(structure, Mapping) else enumerate(structure)
        )
        for _, item in items:
            yield from keys_in(item)


def numbered(structure: Any) -> Any:
    """The same nesting with `Slot`s, numbered in the order of `keys_in`."""
    order = {key: i for i, key in enumerate(keys_in(structure))}

    def number(data: Any) -> Any:
        if _is_key(data):
            return Slot(order[tuple(data)])
        if isinstance(data, Mapping):
            return {key: number(value) for key, value in data.items()}
        return type(data)(number(item) for item in data)

    return number(structure)
