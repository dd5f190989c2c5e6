"""Runs a model up to the values before its final softmax, sigmoid or tanh.

Probabilities are a poor measure: where a softmax is saturated, they agree to 1e-7 although the
values before it differ by a tenth. So a final saturating activation is left out: a layer of its own
is passed by, and one inside a Dense or convolution layer is taken away from a detached copy.

That hides nothing where both models end with the same function. So a softmax is left out only where
it compares the channels of a cell, or a vector, as many in both models. Nothing is called
symbolically, so that the user's layers gain no nodes.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from allconv.building.recursion import room_for
from allconv.layers.layer_shapes import is_adapted
from allconv.verification.compiled import by_xla, layers_of, needs_xla

SIGMOIDS = frozenset({"sigmoid", "hard_sigmoid"})
"""Activations that decide at 0.5, where what is before them is zero."""

SATURATING = SIGMOIDS | {"softmax", "tanh"}
PASSED = frozenset({"Flatten", "Reshape", "Permute", "Dropout", "Identity"})
"""Layers that only carry values to the output: the activation before them is still the last one."""

Arrays = list[np.ndarray]
_LINEAR = re.compile(r"(Einsum)?Dense|(Depthwise|Separable)?Conv[123]D(Transpose)?")
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")


@dataclass(frozen=True)
class Ending:
    """How one output of a model ends.

    Attributes:
        tensors: Where to stop inside the model, as symbolic tensors of it.
        steps: What to apply to their values, in order, to get the output without its activation.
        activation: The name of the activation left out, or None.
        classes: How many values it compares: 1 where it acts element by element.
    """

    tensors: tuple[Any, ...]
    steps: tuple[Callable[..., Any], ...] = ()
    activation: str | None = None
    classes: int | None = 1


def is_graph(model: Any) -> bool:
    """Tell whether `model` is built, and Functional or Sequential: its layers can be walked."""
    import keras

    if not isinstance(model, keras.Model) or not getattr(model, "outputs", None):
        return False
    module: str = type(model).call.__module__
    return module.startswith("keras.")


def endings(model: Any) -> list[Ending]:
    """Find the final activation of each output of a built Functional or Sequential model."""
    return [_ending(tensor) for tensor in model.outputs]


def _ending(tensor: Any) -> Ending:
    layer, node_index, position = tensor._keras_history
    before = tuple(layer._inbound_nodes[node_index].input_tensors)
    kind, activation = type(layer).__name__, _activation(layer)
    if kind in PASSED or (kind, activation) == ("Activation", "linear"):
        ending = _ending(before[0])
        return replace(ending, steps=(*ending.steps, layer))
    if is_graph(layer):
        inner = _ending(layer.outputs[position])
        steps = (_stem(layer, inner.tensors), *inner.steps)
        return replace(inner, tensors=before, steps=steps)
    classes = _classes(layer, node_index, tensor.shape) if activation == "softmax" else 1
    if activation not in SATURATING or not classes:
        return Ending((tensor,))
    if kind == "Activation" or _snake(kind) == activation:
        return Ending(before, (), activation, classes)
    if _LINEAR.fullmatch(kind) and not is_adapted(layer.get_config()):
        return Ending(before, (_linear_copy(layer, before[0].shape),), activation, classes)
    return Ending((tensor,))


def _classes(layer: Any, node_index: int, shape: tuple[int | None, ...]) -> int | None:
    """Say how many values a softmax compares; None where they are not the channels."""
    axis = getattr(layer, "axis", -1)
    # Keras leaves an axis as it was given, as a number of NumPy's, too.
    listed = [int(i) for i in np.ravel([] if axis is None else axis)]
    first = len(shape) > 2 and _channels_first(layer, node_index)
    is_over_channels = [i % len(shape) for i in listed] == [1 if first else len(shape) - 1]
    return shape[listed[0]] if len(shape) > 1 and is_over_channels else None


def _channels_first(layer: Any, node_index: int) -> bool:
    """Tell whether the channels of a call's result come first, as the nearest layer above says."""
    while layer._inbound_nodes[node_index].input_tensors:
        said = getattr(layer, "data_format", None)
        if said and type(layer).__name__ != "Flatten":
            return bool(said == "channels_first")
        above = layer._inbound_nodes[node_index].input_tensors[0]
        layer, node_index, _ = above._keras_history
    return False


def runners(original: Any, converted: Any) -> list[Callable[[Any], Arrays]]:
    """Return functions that run the models up to a final activation that both end with."""
    return list(map(runner, (original, converted), common_endings(original, converted)))


def common_endings(original: Any, converted: Any) -> list[list[Ending] | None]:
    """Find where to end both models, before the activations that both end with; None at theirs."""
    models = [original, converted]
    if all(map(is_graph, models)):
        ends = list(map(endings, models))
        left_out = [[(end.activation, end.classes) for end in of_model] for of_model in ends]
        if left_out[0] == left_out[1]:
            return list(ends)
    return [None, None]


def runner(model: Any, ends: Sequence[Ending] | None = None) -> Callable[[Any], Arrays]:
    """Return a function from inputs to the outputs of `model`, flat, as arrays.

    Args:
        model: A Keras model, or any function of the same inputs.
        ends: Where to end each output of a model that `is_graph`. None ends where the model does.
    """
    if not is_graph(model):
        return lambda inputs: _arrays(_call(model, _unpacked(inputs)))
    ends = [Ending((tensor,)) for tensor in model.outputs] if ends is None else ends
    stem = _stem(model, [tensor for end in ends for tensor in end.tensors])

    def compute(inputs: Sequence[Any]) -> list[Any]:
        values = iter(_as_list(_call(stem, list(inputs))))
        return [_finish(end, [next(values) for _ in end.tensors]) for end in ends]

    run = by_xla(compute) if needs_xla(layers_of(model)) else compute
    return lambda inputs: _arrays(run(list(inputs)))


def _finish(end: Ending, values: list[Any]) -> Any:
    for step in end.steps:
        values = _as_list(step(_unpacked(values)))
    return values[0]


def _call(model: Any, inputs: Any) -> Any:
    return model(inputs, training=False) if _takes_training(model) else model(inputs)


def _takes_training(model: Any) -> bool:
    return _is_layer(model) and "training" in inspect.signature(model.call).parameters


def _is_layer(model: Any) -> bool:
    import keras

    return isinstance(model, keras.Layer)


def _stem(model: Any, tensors: Sequence[Any]) -> Any:
    """Return the part of `model` up to `tensors`, on the same layers."""
    import keras

    with room_for(len(model.layers)):
        return keras.Model(model.inputs, list(tensors), name="stem")


def _activation(layer: Any) -> str:
    """Name the activation that `layer` ends with, or is: the layer Softmax is a `"softmax"`."""
    activation = getattr(layer, "activation", None) or layer
    return getattr(activation, "__name__", None) or _snake(type(activation).__name__)


def _snake(name: str) -> str:
    return _CAMEL.sub("_", name).lower()


def _linear_copy(layer: Any, input_shape: tuple[int | None, ...]) -> Any:
    copy = type(layer).from_config({**layer.get_config(), "activation": "linear"})
    copy.build(input_shape)
    copy.set_weights(layer.get_weights())
    return copy


def _unpacked(values: Any) -> Any:
    return values[0] if isinstance(values, list) and len(values) == 1 else values


def _as_list(values: Any) -> list[Any]:
    return list(values) if isinstance(values, list | tuple) else [values]


def _arrays(values: Any) -> Arrays:
    import keras

    return [keras.ops.convert_to_numpy(value) for value in keras.tree.flatten(values)]
