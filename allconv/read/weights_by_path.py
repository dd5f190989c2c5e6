"""The weights in a file of Keras 3: each layer's in a group of its own, `layers/conv2d_1/vars/0`.

The groups are called after the layers' classes and numbered in the model's order of layers.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from allconv.read.hdf5 import Group
from allconv.read.layer_tree import Path, is_model, kind_of, name_of
from allconv.weights import Array

LISTS = ("layers", "_layer_checkpoint_dependencies")
"""The attribute that lists a model's layers: in Keras 3, and in Keras 2.12 to 2.14.

Keras 2.12 and 2.13 come to a layer with weights twice, and number it twice: `conv2d`, `conv2d_2`.
So there the groups that are found are taken in the order of their numbers.
"""
DEEPEST = 8
"""Groups within one another in a layer that has layers of its own."""


def arrays_by_path(config: Mapping[str, Any], root: Group) -> dict[Path, list[Array]]:
    """Find the arrays of every layer, in the order of its variables.

    Args:
        config: The model's configuration, in Keras 3's words.
        root: The model's group.

    Raises:
        FileError: The file is damaged.
    """
    return dict(_in_model(config, root, ()))


def _in_model(
    config: Mapping[str, Any], group: Group, inside: Path
) -> Iterator[tuple[Path, list[Array]]]:
    layers = next(filter(None, map(group.group, LISTS)), None)
    if layers is None:
        return
    is_old = group.group(LISTS[0]) is None
    for name, data in _in_turn(config, layers) if is_old else _group_names(config):
        own, path = layers.group(name), (*inside, name_of(data))
        if own is not None and is_model(data):
            yield from _in_model(data["config"], own, path)
        elif own is not None:
            yield path, list(_variables(own, DEEPEST))


def _group_names(config: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the name of each layer's group; operations of `keras.ops` have none."""
    used: Counter[str] = Counter()
    for data in config["layers"]:
        if not kind_of(data).startswith("ops."):
            name = snake_case(_saved_class(data))
            yield (f"{name}_{used[name]}" if used[name] else name), data
            used[name] += 1


def _in_turn(config: Mapping[str, Any], layers: Group) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the groups of each class in the order of their numbers, for its layers in order."""
    found: dict[str, list[str]] = {}
    for name in sorted(layers.names(), key=lambda name: (len(name), name)):
        found.setdefault(re.sub(r"_\d+$", "", name), []).append(name)
    for _, data in _group_names(config):
        names = found.get(snake_case(_saved_class(data)), [])
        if names:
            yield names.pop(0), data


def _saved_class(data: Mapping[str, Any]) -> str:
    """Return a layer's class as the file has it, whatever it is called today."""
    return str(data.get("saved_class") or data["class_name"])


def snake_case(class_name: str) -> str:
    """Write a class name as Keras does in paths: `batch_normalization`, `conv2d`, `re_lu`."""
    words = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", re.sub(r"\W+", "", class_name))
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", words).lower()


def _variables(group: Group, deepest: int) -> Iterator[Array]:
    """Yield a layer's own variables, then those of layers inside it, as an LSTM has a cell."""
    own = group.group("vars")
    for name in sorted(own.names() if own else [], key=lambda name: (len(name), name)):
        array = own.array(name) if own else None
        if array is not None:
            yield array
    for name in group.names() if deepest else []:
        inner = group.group(name) if name != "vars" else None
        if inner is not None:
            yield from _variables(inner, deepest - 1)
