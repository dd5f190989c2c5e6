"""The calls in a model's description: which tensors a layer takes, and its other arguments."""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from allconv.errors import ModelError
from allconv.graph import Slot
from allconv.read.layer_tree import name_of
from allconv.read.settings import checked_shape
from allconv.shapes import Shape

Key = tuple[str, int, int]
"""Keras' `keras_history`: layer name, which call of it, which of its tensors."""


@dataclass(frozen=True)
class Call:
    """One call of a layer.

    Attributes:
        layer: Its name.
        index: Which call of it.
        keys: The tensors that it takes.
        args: Positional arguments, with `Slot`s in the places of tensors.
        kwargs: Keyword arguments likewise.
    """

    layer: str
    index: int
    keys: tuple[Key, ...]
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]


@dataclass(frozen=True)
class Calls:
    """The calls of a Functional model.

    Attributes:
        calls: In the order in which they are written.
        shapes: Of the tensors that they take, where they are told.
    """

    calls: tuple[Call, ...]
    shapes: Mapping[Key, Shape]


def calls_of(config: Mapping[str, Any], where: Callable[[str], str]) -> Calls:
    """Read the calls in a Functional model's configuration.

    Args:
        config: The configuration.
        where: Names a layer in errors.

    Raises:
        ModelError: A constant or a shape in a call is none.
    """
    calls: list[Call] = []
    shapes: dict[Key, Shape] = {}
    for data in config["layers"]:
        name = name_of(data)
        for index, node in enumerate(data["inbound_nodes"]):
            calls.append(_call(name, index, node, where(name)))
            for tensor in keras_tensors(node):
                if tensor["config"].get("shape") is not None:
                    shape = checked_shape(tensor["config"]["shape"], f"{where(name)}, a tensor")
                    shapes[_key_of(tensor)] = shape
    return Calls(tuple(calls), shapes)


def _call(name: str, index: int, node: Mapping[str, Any], where: str) -> Call:
    keys: list[Key] = []

    def with_slots(data: Any) -> Any:
        if _is_keras_tensor(data):
            keys.append(_key_of(data))
            return Slot(len(keys) - 1)
        if isinstance(data, Mapping):
            if isinstance(data.get("class_name"), str) and data["class_name"] in _CONSTANTS:
                return _constant(data["class_name"], data.get("config"), where)
            return {key: with_slots(value) for key, value in data.items()}
        if isinstance(data, (list, tuple)):
            return type(data)(with_slots(item) for item in data)
        return data

    args = tuple(map(with_slots, node["args"]))
    given = {key: with_slots(value) for key, value in node["kwargs"].items() if value is not None}
    return Call(name, index, tuple(keys), args, given)


def _is_keras_tensor(data: Any) -> bool:
    return isinstance(data, Mapping) and data.get("class_name") == "__keras_tensor__"


def keras_tensors(data: Any) -> Iterator[Mapping[str, Any]]:
    """Yield the descriptions of tensors in the arguments of a call."""
    if _is_keras_tensor(data):
        yield data
    elif isinstance(data, Mapping):
        for value in data.values():
            yield from keras_tensors(value)
    elif isinstance(data, (list, tuple)):
        for item in data:
            yield from keras_tensors(item)


def _key_of(tensor: Mapping[str, Any]) -> Key:
    """Say where a described tensor comes from."""
    name, index, item = tensor["config"]["keras_history"]
    return str(name), int(index), int(item)


def _constant(class_name: str, config: Any, where: str) -> Any:
    try:
        return _CONSTANTS[class_name](config)
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError):
        raise ModelError(
            f"{where}: it is called with a {class_name} of {reprlib.repr(config)}, which is no "
            "constant; the description of the model is damaged"
        ) from None


def _array(config: Mapping[str, Any]) -> np.ndarray:
    dtype = np.dtype(config["dtype"])
    if dtype.kind not in "biufc":  # a text or a structure may claim any size
        raise ValueError
    return np.array(config["value"], dtype)


def _slice(config: Mapping[str, Any]) -> slice:
    ends = [config[key] for key in ("start", "stop", "step")]
    if not all(end is None or type(end) is int for end in ends):
        raise ValueError
    return slice(*ends)


_CONSTANTS: dict[str, Callable[[Any], Any]] = {
    "__numpy__": _array,
    "__tensor__": _array,
    "__slice__": _slice,
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
    """Yield nested histories in Keras' order: of dictionaries by sorted key."""
    if _is_key(structure):
        yield str(structure[0]), int(structure[1]), int(structure[2])
    else:
        items = (
            sorted(structure.items()) if isinstance(structure, Mapping) else enumerate(structure)
        )
        for _, item in items:
            yield from keys_in(item)


def numbered(structure: Any) -> Any:
    """Copy the nesting with `Slot`s, numbered in the order of `keys_in`."""
    order = {key: i for i, key in enumerate(keys_in(structure))}

    def number(data: Any) -> Any:
        if _is_key(data):
            return Slot(order[tuple(data)])
        if isinstance(data, Mapping):
            return {key: number(value) for key, value in data.items()}
        return type(data)(number(item) for item in data)

    return number(structure)
