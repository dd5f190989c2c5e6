"""A Keras model in memory, read into a graph. Its layers are looked at, never called."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from allconv.errors import ModelError, first_line
from allconv.graph import Graph
from allconv.read.keras_config import parse_model
from allconv.read.layer_tree import Path
from allconv.read.settings import checked_settings
from allconv.weights import Array

if TYPE_CHECKING:
    import keras


def read_model(model: keras.Model) -> Graph:
    """Read a Sequential or Functional model.

    Raises:
        ModelError: It is no such model, or it is not built.
        ShapeError: Its layers do not fit together.
    """
    import keras

    if not isinstance(model, keras.Model):
        raise ModelError(
            f"expected a keras.Model, got {type(model).__module__}.{type(model).__name__}"
        )
    if not type(model).call.__module__.startswith("keras.") and _is_graph(model):
        raise ModelError(
            f"'{model.name}' ({type(model).__name__}) has a call() of its own, which its graph of "
            "layers does not show; write it as a Functional model, keras.Model(inputs, outputs)"
        )
    if isinstance(model, keras.Sequential):
        config = _sequential_config(model)
        return _with_own_names(parse_model("Sequential", config, LiveModel(model)), model)
    if not _is_graph(model):
        raise ModelError(
            f"'{model.name}' is a subclassed model ({type(model).__name__}): its layers are called "
            "by its own code, so there is no graph to convert; write it as a Functional model, "
            "keras.Model(inputs, outputs)"
        )
    graph = parse_model("Functional", _functional_config(model), LiveModel(model))
    return _with_own_names(graph, model)


def _with_own_names(graph: Graph, model: keras.Model) -> Graph:
    """Call the graph's outputs as the model in memory calls them, as `build` lets it."""
    names = tuple(getattr(model, "output_names", None) or ())
    return replace(graph, output_names=names) if len(names) == len(graph.outputs) else graph


def _sequential_config(model: keras.Sequential) -> dict[str, Any]:
    if not model.layers:
        raise ModelError(f"model '{model.name}' has no layers; there is nothing to convert")
    return _described(model, model)


def _functional_config(model: keras.Model) -> dict[str, Any]:
    """Describe the tensors' graph, also where a subclass describes itself otherwise."""
    import keras

    config = _described(model, model)
    if "layers" in config:
        return config
    return _described(keras.Model(model.input, model.output, name=model.name), model)


def _is_graph(model: keras.Model) -> bool:
    return bool(getattr(model, "inputs", None)) and hasattr(model, "operations")


def _described(model: keras.Model, user_model: keras.Model) -> dict[str, Any]:
    """Read a model's `get_config()`, without the warnings that it makes of functions in layers."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return dict(model.get_config())
    except Exception as error:
        raise ModelError(
            f"model '{user_model.name}' cannot describe itself, get_config() failed with "
            f"{type(error).__name__}: {first_line(error)}; every layer must be able to give its "
            f"configuration{_silent_layer(model)}"
        ) from error


def _silent_layer(model: keras.Model) -> str:
    """Name the first layer that does not give its configuration; "" where all do."""
    for layer in model.layers:
        try:
            layer.get_config()
        except Exception:
            return f", and '{layer.name}' ({type(layer).__name__}) does not"
    return ""


BACKENDS = ("tensorflow", "jax", "torch")
"""Their activations of a name of Keras' compute the same as Keras' own, but for some defaults."""

OTHER_DEFAULTS = ("gelu", "leaky_relu")
"""`keras.ops` and JAX approximate a gelu by a tanh unless told otherwise, `keras.activations` does
not; PyTorch's leaky_relu has a slope of 0.01, Keras' of 0.2."""


class LiveModel:
    """Gives the weights of a model in memory, as views of its variables."""

    def __init__(self, model: keras.Model) -> None:
        self.model = model
        self.layers: dict[Path, dict[str, Any]] = {}

    def settings(self, kind: str, config: Mapping[str, Any], where: str) -> dict[str, Any]:
        """Check the settings of a layer as those in a file: Keras takes more than it says."""
        return checked_settings(kind, config, where)

    def weights(self, path: Path) -> Mapping[str, Array]:
        """Return the weights of the layer at a path, by the variables' names."""
        weights: dict[str, Array] = {}
        for variable in getattr(self.layer(path), "weights", ()):
            name = variable.name if variable.name not in weights else variable.path
            shape = tuple(int(size) for size in variable.shape)
            weights[name] = Array(shape, str(variable.dtype), values_of, (variable,))
        return weights

    def layer(self, path: Path) -> Any:
        """Return the layer at a path of names."""
        if not path:
            return self.model
        if path[:-1] not in self.layers:
            model = self.layer(path[:-1])
            operations = getattr(model, "operations", None) or model.layers
            self.layers[path[:-1]] = {operation.name: operation for operation in operations}
        return self.layers[path[:-1]].get(path[-1])

    def shape_wanted(self) -> str:
        """Say what to do about a model that is not built."""
        return "give it an Input layer or call model.build(input_shape) first"

    def has_own_activation(self, path: Path) -> bool:
        """Tell whether a layer's activation is another function than Keras' of that name.

        Keras writes any named function by its name alone: `def relu(x): return 3 * x` as "relu".
        """
        import keras

        activation = getattr(self.layer(path), "activation", None)
        if not inspect.isfunction(activation) or activation.__name__ == "<lambda>":
            return False
        if activation.__name__ in OTHER_DEFAULTS:
            return activation is not keras.activations.get(activation.__name__)
        return activation.__module__.partition(".")[0] not in ("keras", *BACKENDS)


def tensor_of(array: Array) -> Any:
    """Find the tensor that holds an array's values already; None where they have to be computed.

    TensorFlow's tensors never change, a variable that is written to takes a buffer of its own; so a
    new variable can begin with the old one's tensor, and no value is copied. JAX gives a variable's
    buffer away when it trains and torch writes into it, so there values are copied.
    """
    import keras

    shape = array.shape
    while array.recipe is np.reshape:
        array = array.parts[0]
    if array.recipe is not values_of or keras.config.backend() != "tensorflow":
        return None
    return keras.ops.reshape(array.parts[0].value.read_value(), shape)


def values_of(variable: Any) -> np.ndarray:
    """Read a variable's values; on TensorFlow a view of them, without a copy."""
    import keras

    if keras.config.backend() == "tensorflow":
        return np.asarray(variable.value.read_value())
    return np.asarray(keras.ops.convert_to_numpy(variable))
