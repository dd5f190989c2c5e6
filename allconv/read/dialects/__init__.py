"""The description of a model of any age, in the words of Keras 3.

Sequential models were a list of layers before they had a name; Functional models wrote their calls
as lists, and counted those of nested models otherwise. What is the same is left alone: a
description that Keras 3 wrote comes back nearly as it was. Nothing in it is imported or executed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from allconv.errors import ModelError
from allconv.read.calls import keras_tensors
from allconv.read.description import Description, list_in, name_of, object_in, text_in
from allconv.read.dialects import tf_operations
from allconv.read.dialects.old_calls import (
    checked_keys,
    first_calls,
    in_keras_3_form,
    is_old_call,
    leaves,
)
from allconv.read.dialects.old_layers import PACKAGES, layer_in_keras_3_words
from allconv.read.dialects.old_sequential import (
    DEEPEST,
    begins_with_branches,
    functional_of_branches,
    has_layers,
    with_input,
)

MODELS = {
    "Functional": "keras.src.models.functional",
    "Model": "keras.src.models.functional",
    "Sequential": "keras",
}
"""Modules of Keras' own classes of models; `Model` is what Functional was called."""


def in_keras_3_words(model: Description, keras_version: str = "") -> dict[str, Any]:
    """Translate the description of a model of any age to what Keras 3's `get_config()` would write.

    Args:
        model: `{"class_name": ..., "config": ...}`, from a model file or `model.to_json()`. It is
            not changed.
        keras_version: Of the Keras that wrote it, as the file says; by default what the
            description says itself.

    Returns:
        A description of the same form. The shapes of tensors between layers, which older files do
        not have, are None there.

    Raises:
        ModelError: The description is damaged, or there is no list of layers in it.

    Example:
        >>> dense = {"class_name": "Dense", "config": {"output_dim": 2, "input_dim": 3}}
        >>> model = in_keras_3_words({"class_name": "Sequential", "config": [dense]}, "1.2.2")
        >>> [layer["class_name"] for layer in model["config"]["layers"]]
        ['InputLayer', 'Dense']
    """
    class_name = text_in(model, "class_name", "the model")
    if not has_layers(model):
        raise ModelError(
            f"the model ({class_name}) has no list of layers: they are called by its own code, so "
            "there is no graph to convert; write it as a Functional model, "
            "keras.Model(inputs, outputs)"
        )
    version = keras_version or str(model.get("keras_version") or "")
    old = version.startswith(("0.", "1.", "2.")) or (not version and _looks_old(model["config"]))
    name = name_of(model, "the model") or class_name.lower()
    described = _model(model, name, _Within(old))
    if class_name not in MODELS:
        described = {"config": described["config"]}
    return {**model, **described}


@dataclass(frozen=True)
class _Within:
    """The models around a layer, and whether Keras 1 or 2 wrote them."""

    old: bool
    names: str = ""
    depth: int = 0

    def inside(self, name: str) -> _Within:
        if self.depth >= DEEPEST:
            raise ModelError(f"model '{name}': models lie more than {DEEPEST} deep in one another")
        return _Within(self.old, f"{self.names}{name}/", self.depth + 1)

    def where(self, name: str) -> str:
        return f"layer '{self.names}{name}'"


def _looks_old(config: Any) -> bool:
    """Tell whether Keras 1 or 2 wrote a description that does not say its version.

    The last tf.keras wrote a module for every layer, as Keras 3 does, but its calls as lists.
    """
    layers = config if isinstance(config, list) else config["layers"]
    known = [layer for layer in _list(layers) if isinstance(layer, Mapping)]
    calls = [call for layer in known for call in _list(layer.get("inbound_nodes"))]
    return any(map(is_old_call, calls)) or not any("module" in layer for layer in known)


def _list(data: Any) -> list[Any]:
    return data if isinstance(data, list) else []


def _layer(data: Any, name: str, within: _Within) -> dict[str, Any]:
    class_name = text_in(data, "class_name", within.where(name))
    package = str(data.get("module") or PACKAGES[0]).partition(".")[0]
    if class_name in MODELS and package in PACKAGES and has_layers(data):
        return _model(data, name, within.inside(name))
    layer = layer_in_keras_3_words(data, name, within.where(name), within.old)
    return {**layer, "saved_class": class_name}  # after which files name the layer's weights


def _model(data: Description, name: str, within: _Within) -> dict[str, Any]:
    config = data["config"]
    config = {"layers": config} if isinstance(config, list) else config
    config, class_name = {**config, "name": name}, "Functional"
    layers = list_in(config, "layers", f"model '{name}'")
    if begins_with_branches(layers):
        config = functional_of_branches(config)
    if "input_layers" in config:
        config = _functional(config, within)
    else:
        class_name = "Sequential"
        layers = with_input(layers, config.get("build_input_shape"))
        config["layers"] = [
            _layer(layer, _name(layer, i), within) for i, layer in enumerate(layers)
        ]
    described = {"module": MODELS[class_name], "class_name": class_name, "config": config}
    return {**described, "registered_name": None}


def _name(data: Any, position: int) -> str:
    """Return a layer's name; models in a list, as Keras 1 wrote them, had none."""
    where = f"layer {position}"
    return name_of(data, where) or f"{text_in(data, 'class_name', where).lower()}_{position}"


def _functional(config: dict[str, Any], within: _Within) -> dict[str, Any]:
    described = list_in(config, "layers", f"model '{config['name']}'")
    names = [_name(data, i) for i, data in enumerate(described)]
    known = frozenset(names)
    if len(known) < len(names):
        twice = Counter(names).most_common(1)[0][0]
        raise ModelError(f"{within.where(twice)}: the model has two layers of this name")
    layers = {
        name: _called_layer(data, name, known, within)
        for name, data in zip(names, described, strict=True)
    }
    ends = {}
    for key in ("input_layers", "output_layers"):
        ends[key] = checked_keys(config.get(key), layers, f"model '{config['name']}': its {key}")
        if within.old and isinstance(ends[key], list) and len(ends[key]) == 1:
            ends[key] = ends[key][0]  # one tensor stood in a list, and was given without
    nodes = [node for data in described for node in data["inbound_nodes"]]
    _number_calls(layers, ends["output_layers"], old=any(map(is_old_call, nodes)))
    return {**config, "layers": list(layers.values()), **ends}


def _called_layer(
    data: Description, name: str, layers: frozenset[str], within: _Within
) -> dict[str, Any]:
    """Translate a layer of a Functional model with its calls, nested models' as in the file."""
    where = within.where(name)
    nodes = list_in(data, "inbound_nodes", where)
    is_function = tf_operations.is_function(data)
    calls = [in_keras_3_form(node, layers, where, keep_lists=is_function) for node in nodes]
    if is_function:
        config = {**object_in(data, "config", where), "name": name}
        layer, calls = tf_operations.in_keras_words(name, config, calls)
    else:
        layer = _layer(data, name, within)
    return {**layer, "name": name, "inbound_nodes": calls}


def _number_calls(layers: dict[str, dict[str, Any]], outputs: Any, old: bool) -> None:
    """Count the calls of nested models as Keras 3 does: from 0, in `output_layers` from 1.

    A Functional model has called itself once before anybody else does, and only there it counts.
    """
    taken = [
        tensor["config"]["keras_history"]
        for layer in layers.values()
        for tensor in keras_tensors(layer["inbound_nodes"])
    ]
    given = list(leaves(outputs))
    models = {name for name, layer in layers.items() if layer["module"] in MODELS.values()}
    first = first_calls(taken + given) if old else {}
    for key in taken + given:
        key[1] -= first.get(key[0], 0) if key[0] in models else 0
    own = {name for name in models if layers[name]["class_name"] == "Functional"}
    for key in given:
        key[1] += old and key[0] in own
    for key in taken:
        _check_call(key, layers, 0)
    for key in given:
        _check_call(key, layers, int(key[0] in own))


def _check_call(key: list[Any], layers: dict[str, dict[str, Any]], first: int) -> None:
    name, call, _ = key
    calls = max(len(layers[name]["inbound_nodes"]), 1)
    if not 0 <= call - first < calls:
        raise ModelError(
            f"layer '{name}' is called {calls} times, but the result of its call number "
            f"{call - first + 1} is taken; the description is damaged"
        )
