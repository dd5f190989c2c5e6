"""Calls as Keras 1, 2 and tf.keras wrote them, in Keras 3's words.

    [["conv", 0, 0, {"training": False}]]                  one tensor and the other arguments
    [["left", 0, 0, {}], ["right", 0, 0, {}]]              a list of tensors
    [["_CONSTANT_VALUE", -1, 2.0, {"y": ["conv", 0, 0]}]]  a number first, a tensor by name

A tensor is the name of the layer that makes it, which call of that layer, and which of its results.
"""

from __future__ import annotations

import reprlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from allconv.errors import ModelError
from allconv.read.description import list_in, object_in

CONSTANT = "_CONSTANT_VALUE"
CONSTANTS: dict[str, set[str]] = {
    "__ellipsis__": set(),
    "__numpy__": {"dtype", "value"},
    "__slice__": {"start", "step", "stop"},
    "__tensor__": {"dtype", "value"},
}
"""What JSON has no word for, and what Keras writes of it."""
DEEPEST = 32
"""Lists within lists in the arguments of a call."""


def in_keras_3_form(
    node: Any, layers: Collection[str], where: str, keep_lists: bool = False
) -> dict[str, Any]:
    """Return one of a layer's `inbound_nodes`; one that Keras 3 wrote is copied.

    Args:
        node: What the file has there.
        layers: Names of the model's layers, which tell a tensor from another list.
        where: Names the layer in errors.
        keep_lists: Whether a list of one tensor stays a list, as for functions of TensorFlow.

    Returns:
        `{"args": [...], "kwargs": {...}}` with a `__keras_tensor__` for each tensor. In older files
        the shapes are unknown.

    Raises:
        ModelError: It is no call, or on layers that the model has not.
    """
    arguments, old = _Arguments(layers, where), is_old_call(node)
    if old:
        others: dict[str, Any] = {}
        first = arguments.first(node, others)
        while isinstance(first, list) and len(first) == 1 and not keep_lists:
            first = first[0]
        args = [first]
    else:
        args = arguments.others(list_in(node, "args", where), old)
        others = object_in(node, "kwargs", where)
    return {"args": args, "kwargs": arguments.others(others, old)}


def is_old_call(node: Any) -> bool:
    """Tell whether a node is written otherwise than Keras 3 does."""
    return not (isinstance(node, Mapping) and set(node) == {"args", "kwargs"})


@dataclass(frozen=True)
class _Arguments:
    """Writes the arguments of a layer's calls."""

    layers: Collection[str]
    where: str

    def first(self, data: Any, others: dict[str, Any], depth: int = 0) -> Any:
        """Take the first argument; the other ones lie beside each of its tensors."""
        self.check_depth(depth)
        if _is_leaf(data):
            if len(data) == 4 and isinstance(data[3], Mapping):
                others.update(data[3])
            return data[2] if data[0] == CONSTANT else self.tensor(data[:3])
        if isinstance(data, Mapping):
            return {key: self.first(value, others, depth + 1) for key, value in data.items()}
        if isinstance(data, list) and data:
            return [self.first(item, others, depth + 1) for item in data]
        raise ModelError(f"{self.where}: it is called on {reprlib.repr(data)}, which is no tensor")

    def others(self, data: Any, old: bool, depth: int = 0) -> Any:
        """Return the further arguments, or all of a call that Keras 3 wrote, copied.

        In an old call what reads like a tensor of a layer of the model is one.
        """
        self.check_depth(depth)
        if isinstance(data, Mapping):
            if data.get("class_name") == "__keras_tensor__":
                return self.described(data)
            copied = {key: self.others(value, old, depth + 1) for key, value in data.items()}
            return self.constant(copied)
        if not isinstance(data, list):
            return data
        if old and _is_leaf(data) and data[0] in self.layers and type(data[1]) is int:
            return self.tensor(data[:3])
        return [self.others(item, old, depth + 1) for item in data]

    def described(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """Read a tensor that Keras 3 described."""
        config = object_in(data, "config", self.where)
        shape = list_in(config, "shape", self.where) if config.get("shape") is not None else None
        tensor = self.tensor(config.get("keras_history"), shape)
        return {**data, "config": {**tensor["config"], **_dtype(config)}}

    def constant(self, data: dict[str, Any]) -> dict[str, Any]:
        """Read an object; one that stands for a constant, once it is complete."""
        class_name = data.get("class_name")
        if not isinstance(class_name, str) or class_name not in CONSTANTS:
            if isinstance(class_name, (list, dict)):
                raise ModelError(f"{self.where}: its arguments are damaged")
            return data
        config = data.get("config") or {}
        if not isinstance(config, Mapping) or not CONSTANTS[class_name] <= set(config):
            raise ModelError(f"{self.where}: a constant among its arguments is damaged")
        return {**data, "config": config}

    def tensor(self, key: Any, shape: list[Any] | None = None) -> dict[str, Any]:
        """Describe a tensor as Keras 3 does."""
        history = checked_keys(key, self.layers, self.where)
        if not is_key(history):
            raise ModelError(f"{self.where}: expected a tensor, got {reprlib.repr(key)}")
        config = {"shape": shape, "dtype": "float32", "keras_history": history}
        return {"class_name": "__keras_tensor__", "config": config}

    def check_depth(self, depth: int) -> None:
        if depth > DEEPEST:
            raise ModelError(f"{self.where}: arguments are nested more than {DEEPEST} deep")


def _dtype(config: Mapping[str, Any]) -> dict[str, Any]:
    return {key: config[key] for key in ("dtype",) if key in config}


def _is_leaf(data: Any) -> bool:
    return isinstance(data, list) and len(data) in (3, 4) and isinstance(data[0], str)


def is_key(data: Any) -> bool:
    """Tell whether data is a tensor's key: a layer's name, which call of it, and which result."""
    return isinstance(data, list) and len(data) == 3 and isinstance(data[0], str)


def checked_keys(data: Any, layers: Collection[str], where: str, depth: int = 0) -> Any:
    """Return the keys nested in lists and objects, copied.

    Raises:
        ModelError: There is anything else among them, or a key of a layer that the model has not.
    """
    if depth > DEEPEST:
        raise ModelError(f"{where}: tensors are nested more than {DEEPEST} deep")
    if isinstance(data, Mapping):
        return {key: checked_keys(item, layers, where, depth + 1) for key, item in data.items()}
    if not isinstance(data, (list, tuple)) or not data:
        raise ModelError(f"{where}: expected tensors, got {reprlib.repr(data)}")
    if not isinstance(data[0], str):
        return [checked_keys(item, layers, where, depth + 1) for item in data]
    name, *numbers = data
    if len(numbers) != 2 or not all(type(number) is int and number >= 0 for number in numbers):
        raise ModelError(f"{where}: expected a tensor, got {reprlib.repr(data)}")
    if name not in layers:
        raise ModelError(f"{where}: there is no layer '{name}' in the model")
    return [name, *numbers]


def leaves(data: Any) -> Iterator[list[Any]]:
    """Yield the keys in a nest that `checked_keys` gave."""
    if is_key(data):
        yield data
        return
    for item in data.values() if isinstance(data, Mapping) else data:
        yield from leaves(item)


def first_calls(keys: Iterable[list[Any]]) -> dict[str, int]:
    """Find the lowest call of each layer among keys that stand for all of a model's tensors.

    A nested model has called itself once before anybody else does. Whether that call has a number
    depends on the age of Keras, on the kind of the nested model and on how it was built; but a file
    has no call whose result nothing takes, so the lowest number that occurs is that of the first.
    """
    first: dict[str, int] = {}
    for name, call, _ in keys:
        first[name] = min(call, first.get(name, call))
    return first
