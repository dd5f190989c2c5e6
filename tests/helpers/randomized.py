"""Weights that make a fresh network worth measuring.

Keras' own initial weights are no test: gammas of one, betas and biases of zero and Glorot kernels
let the signal of a deep network fade until its output is constant: a wrong weight moves nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np

Draw = Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]


def randomize(model: keras.Model, seed: int = 0) -> keras.Model:
    """Gives every variable of `model` a random value in place, and returns the model.

    Kernels are He normal (He et al. 2015, arXiv 1502.01852): mean 0, variance 2 / fan-in.
    Statistics of BatchNormalization are those of a layer whose input was not quite standard. The
    same seed gives the same values on every machine and backend.
    """
    for index, layer in enumerate(leaves(model)):
        rng = np.random.default_rng([seed, index])
        for variable in layer.weights:
            variable.assign(_value(layer, variable, rng))
    return model


def damp_branches(model: keras.Model, divisor: float = 5) -> keras.Model:
    """Divides, in place, the gamma of a BatchNormalization that ends a residual branch.

    With drawn statistics the signal of an EfficientNetB7 grows twenty million times on its way down
    (images of 80x80), and the network is chaotic: a change of 5e-7 in its input moves its last map
    by half of its spread. In a ResNet101 what all images have in common grows, and the output is
    all but constant. Training keeps residual branches small beside what
    they are added to (De and Smith 2020, arXiv 2002.10444).
    """
    for layer in leaves(model):
        if type(layer).__name__ == "Add":
            branches = [end for end in _sources(layer) if len(end._outbound_nodes) == 1]
            # A projected shortcut ends in the Add, too: there both stay as they are.
            if len(branches) == 1 and (norm := _norm_before(branches[0])):
                norm.gamma.assign(norm.gamma / divisor)
    return model


def _sources(layer: Any) -> list[Any]:
    """The layers whose results the first call of a layer takes."""
    return [tensor._keras_history.operation for tensor in layer._inbound_nodes[0].input_tensors]


def _norm_before(end: Any) -> Any:
    """The BatchNormalization that a branch ends in, but for a Dropout; None where it does not."""
    layer = _sources(end)[0] if type(end).__name__ == "Dropout" else end
    return layer if isinstance(layer, keras.layers.BatchNormalization) else None


def leaves(model: keras.Model) -> Iterator[keras.Layer]:
    """Yields every layer of `model` once, those of nested models in their place."""
    seen: set[int] = set()
    stack = list(reversed(model.layers))
    while stack:
        layer = stack.pop()
        if id(layer) in seen:
            continue
        seen.add(id(layer))
        if isinstance(layer, keras.Model):
            stack.extend(reversed(layer.layers))
        else:
            yield layer


def kernels(model: keras.Model) -> Iterator[keras.Variable]:
    """Yields the variables that hold kernels, those of separable convolutions both."""
    for layer in leaves(model):
        yield from (variable for variable in layer.weights if variable.name.endswith("kernel"))


def _value(layer: keras.Layer, variable: keras.Variable, rng: np.random.Generator) -> np.ndarray:
    if variable.name.endswith("kernel"):
        deviation = math.sqrt(2 / _fan_in(layer, variable))
        return rng.standard_normal(variable.shape, dtype="float32") * np.float32(deviation)
    name = "gamma" if type(layer).__name__ == "LayerScale" else variable.name
    draw = _DRAWS.get(name)
    return np.asarray(variable) if draw is None else draw(rng, tuple(variable.shape))


def _fan_in(layer: Any, variable: keras.Variable) -> float:
    """How many products are summed into one output value."""
    *window, inputs, outputs = variable.shape
    if "Transpose" in type(layer).__name__:
        return math.prod(window) * outputs / math.prod(layer.strides)
    if variable.name == "depthwise_kernel" or type(layer).__name__.startswith("Depthwise"):
        return math.prod(window)
    return math.prod(window) * inputs


def _normal(mean: float, deviation: float) -> Draw:
    return lambda rng, shape: rng.normal(mean, deviation, shape).astype("float32")


def _uniform(low: float, high: float) -> Draw:
    return lambda rng, shape: rng.uniform(low, high, shape).astype("float32")


_DRAWS: dict[str, Draw] = {
    "bias": _normal(0.0, 0.1),
    "gamma": _uniform(0.5, 1.5),
    "beta": _normal(0.0, 0.2),
    "moving_mean": _normal(0.0, 0.2),
    "moving_variance": _uniform(0.5, 1.5),
    "alpha": _uniform(0.1, 0.4),
}
