"""Descriptions of models as older Keras wrote them, and how to make a model of a description."""

from __future__ import annotations

import keras

from allconv.read.dialects import in_keras_3_words
from allconv.read.file import NoLayers
from allconv.read.keras_config import parse_model


def graph_of(model, keras_version=""):
    """The graph that a description of any age tells."""
    described = in_keras_3_words(model, keras_version)
    return parse_model(described["class_name"], described["config"], NoLayers())


def shapes_of(model, keras_version=""):
    """The shapes of all tensors, in the order of the layers."""
    return [node.shape for node in graph_of(model, keras_version).nodes]


def kinds_of(model, keras_version=""):
    return [node.kind for node in graph_of(model, keras_version).nodes]


def built(model, keras_version=""):
    """The model that Keras 3 makes of the translated description."""
    described = in_keras_3_words(model, keras_version)
    made = keras.Sequential if described["class_name"] == "Sequential" else keras.Model
    return made.from_config(_with_some_shapes(described["config"]))


def _with_some_shapes(data):
    """Keras asks for shapes of tensors, but looks at the tensors themselves."""
    if isinstance(data, list):
        return [_with_some_shapes(item) for item in data]
    if not isinstance(data, dict):
        return data
    if data.get("class_name") == "__keras_tensor__":
        return {**data, "config": {**data["config"], "shape": [None]}}
    return {key: _with_some_shapes(value) for key, value in data.items()}


def layer(class_name, **config):
    """A layer as all Keras before 3 wrote it."""
    return {"class_name": class_name, "config": config}


def called(data, *calls):
    """A layer of a Functional model, with what it is called on each time."""
    return {**data, "name": data["config"]["name"], "inbound_nodes": list(calls)}


def functional(layers, inputs, outputs, name="model", class_name="Model"):
    config = {
        "name": name,
        "layers": layers,
        "input_layers": [[key, 0, 0] for key in inputs],
        "output_layers": outputs,
    }
    return {"class_name": class_name, "config": config}


def sequential(*layers, name="sequential"):
    return {"class_name": "Sequential", "config": {"name": name, "layers": list(layers)}}


def image(name="image", shape=(8, 8, 3)):
    """An InputLayer of a Functional model."""
    return called(layer("InputLayer", name=name, batch_input_shape=[None, *shape], dtype="float32"))


def conv(name, filters=4, **settings):
    """A Conv2D of Keras 2."""
    return layer("Conv2D", name=name, filters=filters, kernel_size=[3, 3], **settings)
