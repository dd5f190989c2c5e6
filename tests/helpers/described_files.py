"""Model files written down: a description, and no weights; for what Keras would never write."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import pytest

import allconv
from allconv.errors import ModelError


def layer(kind: str, name: str, calls: Sequence[Any] | None = None, **config: Any) -> dict:
    """A layer; with `calls`, one of a Functional model."""
    data = {"module": "keras.layers", "class_name": kind, "config": {"name": name, **config}}
    called = {} if calls is None else {"name": name, "inbound_nodes": list(calls)}
    return {**data, "registered_name": None, **called}


def image(*shape: int | None, name: str = "image") -> dict:
    return layer("InputLayer", name, [], batch_shape=[None, *shape])


def tensor(name: str, call: int = 0, item: int = 0) -> dict:
    config = {"shape": None, "dtype": "float32", "keras_history": [name, call, item]}
    return {"class_name": "__keras_tensor__", "config": config}


def call(*arguments: Any, **keywords: Any) -> dict:
    return {"args": list(arguments), "kwargs": keywords}


def sequential(*layers: dict, name: str = "model") -> dict:
    config = {"name": name, "layers": list(layers)}
    return {"module": "keras", "class_name": "Sequential", "config": config}


def functional(
    *layers: dict, inputs: Any = (("image", 0, 0),), outputs: Any, name: str = "model"
) -> dict:
    config = {"name": name, "layers": list(layers)}
    config |= {"input_layers": inputs, "output_layers": outputs}
    return {"module": "keras.src.models.functional", "class_name": "Functional", "config": config}


def written(path: Path, description: dict | str) -> Path:
    """A `.keras` file with this description and no weights."""
    text = description if isinstance(description, str) else json.dumps(description)
    weights = io.BytesIO()
    with h5py.File(weights, "w") as file:
        file.create_group("layers")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", text)
        archive.writestr("metadata.json", '{"keras_version": "3.15.1"}')
        archive.writestr("model.weights.h5", weights.getvalue())
    return path


def refused(path: Path, description: dict | str, error: type[Exception] = ModelError) -> str:
    """What is said of a file with this description, but for its name."""
    with pytest.raises(error) as caught:
        allconv.report(written(path, description))
    assert str(caught.value).startswith(f"{path}: ")
    return str(caught.value).removeprefix(f"{path}: ")
