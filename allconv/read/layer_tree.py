"""The layers that a model's description lists, nested models among them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

Path = tuple[str, ...]
"""Names of the models that a layer lies in, outermost first, and its own."""

MODELS = {"Sequential", "Functional", "Model"}


def name_of(data: Mapping[str, Any]) -> str:
    """Return the name of a described layer."""
    return str(data.get("name") or data["config"]["name"])


def kind_of(data: Mapping[str, Any]) -> str:
    """Return Keras' class name, qualified where the class is an operation or not Keras' own."""
    class_name, registered = str(data["class_name"]), str(data.get("registered_name") or "")
    module = data.get("module") or ("Custom" if registered else "keras.layers")
    if module.partition(".")[0] == "keras" and ">" not in registered:
        return f"ops.{class_name}" if ".ops" in module else class_name
    return registered if ">" in registered else f"{module}>{class_name}"


def is_model(data: Mapping[str, Any]) -> bool:
    """Tell whether a described layer is a model of layers, which is written out in its place."""
    return kind_of(data) in MODELS and "layers" in data["config"]


def data_formats(config: Mapping[str, Any]) -> Iterator[str]:
    """Yield the data formats of a model's layers; its images lie as the first one says."""
    for data in config["layers"]:
        said = data["config"].get("data_format")
        if is_model(data):
            yield from data_formats(data["config"])
        elif kind_of(data) != "Flatten" and said in ("channels_last", "channels_first"):
            yield str(said)
