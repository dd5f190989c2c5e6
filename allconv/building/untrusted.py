"""Layers from a file made by Keras without a chance for the file to say what code is run.

Keras makes objects of descriptions by importing the module that they name. Of a file's descriptions
only these become objects, each looked up here in Keras' own list: the layers and operations that
allconv knows, and the initializers, regularizers and constraints of their weights.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from typing import Any

from allconv.errors import ConversionError, first_line
from allconv.graph import ITEM, Graph, Spec
from allconv.layers.kinds import ACTIVATION_LAYERS, activation_layer
from allconv.layers.layer_shapes import KNOWN_KINDS, is_adapted
from allconv.read.dialects.setting_objects import CONSTRAINTS, INITIALIZERS, REGULARIZERS

LISTS: Mapping[str, tuple[str, Set[str]]] = {
    "_initializer": ("initializers", INITIALIZERS.keys() | {"OrthogonalInitializer", "STFT"}),
    "_regularizer": ("regularizers", REGULARIZERS.keys()),
    "_constraint": ("constraints", CONSTRAINTS.keys()),
}
"""Keras' list of classes for a setting, by how the setting's name ends, and the names in it."""

AS_ACTIVATIONS = ACTIVATION_LAYERS - {"Activation", "PReLU"}
"""Layers, without weights, that may be the activation of another."""

OTHERS = {
    *("LSTM", "GRU", "SimpleRNN", "ConvLSTM1D", "ConvLSTM2D", "ConvLSTM3D", "Embedding"),
    *("Resizing", "CenterCrop", "RepeatVector", "Masking"),
}
"""Further layers, without objects in them, that stay as they are where a model is not all of
convolutions; files have their weights in the order of `layer.weights`."""

OPERATIONS = {f"keras.src.ops.{name}" for name in ("core", "math", "nn", "numpy")} | {"keras.ops"}
"""Where the operations of `keras.ops` lie."""

WRITTEN_ANEW = (
    "write the model in Python with layers of Keras in their places, take this file's weights by "
    "model.load_weights(FILE), and give allconv the model"
)
KEPT = ": allconv.convert(model, strict=False) leaves such layers as they are"


def refuse_untrusted(graph: Graph) -> None:
    """Raise a ConversionError that lists all that is not made from a file, if anything."""
    refused = not_made(graph)
    if refused:
        raise ConversionError(
            f"allconv does not make these from a file: {', '.join(refused)}; {remedy(graph)}"
        )


def not_made(graph: Graph) -> tuple[str, ...]:
    """Say what of a graph is not made from a file; this needs no Keras."""
    if not graph.from_file:
        return ()
    own = [f"{graph.own_class} '{graph.name}'"] if graph.own_class else []
    return (*own, *(f"{spec!r}{why}" for spec, why in _refused(graph)))


def remedy(graph: Graph) -> str:
    """Say what helps where a graph is not made from a file.

    Keras loads no function of TensorFlow, and a Lambda only where its safe mode is off.
    """
    refused = tuple(_refused(graph))
    kinds = {spec.kind for spec, _ in refused}
    if any(kind.startswith("tf>") for kind in kinds):
        return WRITTEN_ANEW
    if "Lambda" in kinds:
        loaded = _loaded(", safe_mode=False), which runs the code in it,", KEPT)
        return f"{WRITTEN_ANEW} (Rescaling(1 / 255) is a Lambda of x / 255); or, {loaded}"
    has_own_activation = any("activation" in why for _, why in refused)
    has_own_code = has_own_activation or graph.own_class or any(">" in kind for kind in kinds)
    settings = ", custom_objects={...})" if has_own_code else ")"
    return _loaded(settings, KEPT if has_own_activation or kinds - KNOWN_KINDS else "")


def _loaded(settings: str, kept: str) -> str:
    return (
        f"if you trust the file, load it in Python by keras.saving.load_model(FILE{settings} and "
        f"give allconv the model{kept}"
    )


def _refused(graph: Graph) -> Iterator[tuple[Spec, str]]:
    """Yield the layers that are not made, each with the reason, "" where its class says it."""
    for spec in graph.specs():
        why = _objection(spec)
        if why is None and repr(spec) in graph.unassigned:
            why = " (which of the file's weights are its own cannot be told)"
        if why is not None:
            yield spec, why


def trusted_config(spec: Spec) -> dict[str, Any]:
    """Return the configuration of a layer from a file, with Keras' own objects where there are any.

    Raises:
        ConversionError: An object in it cannot be made.
    """
    return {key: _setting(spec, key, value) for key, value in spec.config.items()}


def _objection(spec: Spec) -> str | None:
    """Say why a layer is not made from a file, "" where its class says it; None if it is made."""
    if spec.kind == ITEM:
        return None
    is_operation = spec.kind.startswith("ops.")
    if spec.kind not in KNOWN_KINDS | OTHERS or (is_operation and spec.module not in OPERATIONS):
        return ""
    objects = [key for key, value in spec.config.items() if _holds_objects(value)]
    strange = [key for key in objects if not _is_of_keras(key, spec.config[key])]
    if strange:
        return f" (its {', '.join(strange)})"
    return " (LoRA's weights, or quantized ones)" if is_adapted(spec.config) else None


def _holds_objects(value: Any) -> bool:
    """Tell whether a description of an object stands anywhere in a setting."""
    if isinstance(value, Mapping):
        return "class_name" in value or any(map(_holds_objects, value.values()))
    return isinstance(value, (list, tuple)) and any(map(_holds_objects, value))


def _is_of_keras(key: str, value: Any) -> bool:
    """Tell whether an object in a setting is a plain one of a class in Keras' list for it."""
    (_, names), given = _list_for(key), _without_dtype(key, value)
    if key == "activation" and not activation_layer(value):
        return False
    is_plain = isinstance(given, Mapping) and not _holds_objects(given.get("config"))
    return is_plain and str(value.get("class_name")) in names


def _without_dtype(key: str, value: Any) -> Any:
    """Drop the precision of a layer that is an activation: it has that of the layer around it."""
    config = value.get("config") if isinstance(value, Mapping) else None
    if key != "activation" or not isinstance(config, Mapping):
        return value
    return {**value, "config": {name: each for name, each in config.items() if name != "dtype"}}


def _list_for(key: str) -> tuple[str, Set[str]]:
    if key == "activation":
        return "layers", AS_ACTIVATIONS
    return next((found for end, found in LISTS.items() if key.endswith(end)), ("", frozenset()))


def _setting(spec: Spec, key: str, value: Any) -> Any:
    if not _holds_objects(value):
        return value
    import keras

    try:
        own_class = getattr(getattr(keras, _list_for(key)[0]), value["class_name"])
        config = dict(_without_dtype(key, value).get("config") or {})
        if key == "activation":
            config["dtype"] = spec.config.get("dtype")
        return own_class.from_config(config)
    except Exception as error:
        raise ConversionError(
            f"layer '{spec.name}' ({spec.kind}): its {key} cannot be made of {value}: "
            f"{first_line(error)}"
        ) from error
