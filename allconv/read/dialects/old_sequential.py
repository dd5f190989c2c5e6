"""Sequential models of Keras 1 and 2: what they began with, in place of an InputLayer.

The first layer said the shape of the input, in one of four ways, or it was a model that did. In
Keras 1 it could also be a `Merge` of other models; then the model is none of layers in a row, and
is written as a Functional one, in the words of its time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from allconv.errors import ModelError
from allconv.read.description import Description, list_in, name_of
from allconv.read.dialects.setting_objects import dtype_name

DEEPEST = 32
"""Models within models."""


def has_layers(data: Description) -> bool:
    """Tell whether a described layer is a model whose layers are listed."""
    config = data.get("config")
    return isinstance(config, list) or (isinstance(config, Mapping) and "layers" in config)


def begins_with_branches(layers: Sequence[Any]) -> bool:
    """Tell whether the first layer merges models that are described inside it."""
    first = layers[0] if layers else None
    return isinstance(first, Mapping) and first.get("class_name") == "Merge" and has_layers(first)


def with_input(layers: Sequence[Any], build_shape: Any = None) -> list[Any]:
    """Put an InputLayer in front of the layers, where the shape of the input is known.

    Args:
        layers: Of a Sequential model, as the file has them.
        build_shape: On which the model was built, if that is known.
    """
    if not layers or not isinstance(layers[0], Mapping) or _is_input(layers[0]):
        return [*layers[:1], *(layer for layer in layers[1:] if not _is_input(layer))]
    shape, dtype = _input_of(layers[0])
    shape = shape or build_shape
    if not isinstance(shape, (list, tuple)):
        return list(layers)
    name = (name_of(layers[0], "the first layer") or "model") + "_input"
    config = {"batch_shape": list(shape), "dtype": dtype, "name": name}
    front = {"module": "keras.layers", "class_name": "InputLayer", "config": config}
    return [front, *(layer for layer in layers if not _is_input(layer))]


def _is_input(layer: Any) -> bool:
    return isinstance(layer, Mapping) and layer.get("class_name") == "InputLayer"


def _input_of(layer: Any) -> tuple[Any, str]:
    """Return the shape with batch, None if unknown, and dtype of what a layer or a model takes."""
    for _ in range(DEEPEST):
        if not isinstance(layer, Mapping) or not has_layers(layer):
            break
        layer = _first_layer(layer["config"])
    config = layer.get("config") if isinstance(layer, Mapping) else None
    if not isinstance(config, Mapping) or "layers" in config:
        return None, "float32"
    dtype = config.get("input_dtype") or dtype_name(config.get("dtype"))
    plain = isinstance(dtype, str) and not dtype.startswith("mixed_")
    return _shape_in(layer, config), dtype if plain else "float32"


def _first_layer(config: Any) -> Any:
    layers = config if isinstance(config, list) else config["layers"]
    if not isinstance(layers, list) or not layers:
        return None
    if isinstance(config, Mapping) and "input_layers" in config:
        inputs = [layer for layer in layers if _is_input(layer)]
        return inputs[0] if len(inputs) == 1 else None
    return layers[0]


def _shape_in(layer: Description, config: Description) -> Any:
    for key in ("batch_input_shape", "batch_shape"):
        if config.get(key):
            return config[key]
    if isinstance(config.get("input_shape"), (list, tuple)):
        return [None, *config["input_shape"]]
    if layer.get("class_name") == "Embedding":
        return [None, config["input_length"]] if "input_length" in config else None
    if config.get("input_dim") is None:
        return None
    length = [config["input_length"]] if "input_length" in config else []
    return [None, *length, config["input_dim"]]


def functional_of_branches(config: Description) -> dict[str, Any]:
    """Turn a Sequential model of Keras 1 that begins with a Merge into a Functional one.

    Raises:
        ModelError: Two of its layers have one name, a branch is empty, or branches lie too deep.
    """
    graph = _Branches()
    last = graph.chain(list_in(config, "layers", f"model '{config['name']}'"), 0)
    return {
        "name": config["name"],
        "layers": graph.layers,
        "input_layers": graph.inputs,
        "output_layers": [last],
    }


@dataclass
class _Branches:
    """The layers of a Functional model, and its inputs, as they are found."""

    layers: list[dict[str, Any]] = field(default_factory=list)
    inputs: list[list[Any]] = field(default_factory=list)

    def chain(self, layers: Sequence[Any], depth: int) -> list[Any]:
        """Call layers one after the other; the last one's tensor."""
        if depth > DEEPEST:
            raise ModelError(f"models are merged more than {DEEPEST} deep")
        if begins_with_branches(layers):
            last = self.merge(layers[0], depth)
        else:
            layers = with_input(layers)
            if not layers or not _is_input(layers[0]):
                raise ModelError("a branch before a Merge does not say the shape of its input")
            last = self.add(layers[0], [])
            self.inputs.append(last)
        for layer in layers[1:]:
            last = self.add(layer, [last])
        return last

    def merge(self, layer: Description, depth: int) -> list[Any]:
        """Call a Merge on its branches."""
        branches = [self.branch(branch, depth) for branch in list_in(layer["config"], "layers", "")]
        config = {key: value for key, value in layer["config"].items() if key != "layers"}
        return self.add({**layer, "config": config}, branches)

    def branch(self, data: Any, depth: int) -> list[Any]:
        """Write out a Sequential branch, as its weights are in the file; call any other."""
        config = data.get("config") if isinstance(data, Mapping) else None
        if isinstance(config, list):
            return self.chain(config, depth + 1)
        if isinstance(config, Mapping) and "layers" in config and "input_layers" not in config:
            return self.chain(list_in(config, "layers", "a branch"), depth + 1)
        return self.chain([data], depth + 1)

    def add(self, layer: Any, called_on: list[list[Any]]) -> list[Any]:
        """Add a layer and its call."""
        name = name_of(layer, "a branch") or f"layer_{len(self.layers) + 1}"
        nodes = [[list(key) for key in called_on]] if called_on else []
        self.layers.append({**layer, "name": name, "inbound_nodes": nodes})
        return [name, 0, 0]
