"""Layers from a file made by Keras without a chance for the file to say what code is run.

Keras makes objects of descriptions by importing the module that they name. Of a file's descriptions
only these become objects, each looked up here in Keras' own list: the layers and operations that
allconv knows, and the initializers, regularizers and constraints of their weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from allconv.errors import ConversionError
from allconv.graph import ITEM, Graph, Spec
from allconv.layers.layer_shapes import KNOWN_KINDS

LISTS = {
    "_initializer": "initializers",
    "_regularizer": "regularizers",
    "_constraint": "constraints",
}
"""Keras' list of classes for a setting, by how the setting's name ends."""

OTHERS = {
    *("LSTM", "GRU", "SimpleRNN", "ConvLSTM1D", "ConvLSTM2D", "ConvLSTM3D", "Embedding"),
    *("Resizing", "CenterCrop", "RepeatVector", "Masking"),
}
"""Further layers, without objects in them, that stay as they are where a model is not all of
convolutions; files have their weights in the order of `layer.weights`."""

OPERATIONS = {f"keras.src.ops.{name}" for name in ("core", "math", "nn", "numpy")} | {"keras.ops"}
"""Where the operations of `keras.ops` lie."""


def refuse_untrusted(graph: Graph) -> None:
    """Raise a ConversionError that lists all that is not made from a file, if anything."""
    refused = [f"{graph.own_class} '{graph.name}'"] if graph.own_class else []
    refused += [f"{spec!r}{why}" for spec in graph.specs() if (why := _objection(spec)) is not None]
    if refused:
        raise ConversionError(
            f"allconv does not make these from a file, only layers that it knows: "
            f"{', '.join(refused)}; if you trust the file, load it in Python by "
            "keras.saving.load_model and give allconv the model"
        )


def trusted_config(spec: Spec) -> dict[str, Any]:
    """The configuration of a layer from a file, with Keras' own objects where there are any.

    Raises:
        ConversionError: An object in it cannot be made.
    """
    return {key: _setting(spec, key, value) for key, value in spec.config.items()}


def _objection(spec: Spec) -> str | None:
    """Why a layer is not made from a file, "" where its class says it; None where it is made."""
    if spec.kind == ITEM:
        return None
    is_operation = spec.kind.startswith("ops.")
    if spec.kind not in KNOWN_KINDS | OTHERS or (is_operation and spec.module not in OPERATIONS):
        return ""
    objects = [key for key, value in spec.config.items() if _holds_objects(value)]
    strange = [key for key in objects if _class_for(key, spec.config[key]) is None]
    return f" (its {', '.join(strange)})" if strange else None


def _holds_objects(value: Any) -> bool:
    """Whether a description of an object stands anywhere in a setting."""
    if isinstance(value, Mapping):
        return "class_name" in value or any(map(_holds_objects, value.values()))
    return isinstance(value, (list, tuple)) and any(map(_holds_objects, value))


def _class_for(key: str, value: Any) -> Any:
    """Keras' own class for an object in a setting, None where it is no plain object of one."""
    import keras

    name = next((name for end, name in LISTS.items() if key.endswith(end)), "")
    if not name or not isinstance(value, Mapping) or _holds_objects(value.get("config")):
        return None
    found = getattr(getattr(keras, name), str(value.get("class_name")), None)
    return found if isinstance(found, type) else None


def _setting(spec: Spec, key: str, value: Any) -> Any:
    if not _holds_objects(value):
        return value
    try:
        return _class_for(key, value).from_config(dict(value.get("config") or {}))
    except Exception as error:
        first_line = next(iter(str(error).splitlines()), "")
        raise ConversionError(
            f"layer '{spec.name}' ({spec.kind}): its {key} cannot be made of {value}: {first_line}"
        ) from error
