"""Keras' own description of a model, `get_config()`, read into a graph.

The same JSON describes a model in memory and a model in a file, so this one parser serves every
source; what differs, where the weights are, comes in as a `Source`. Nested models are written out
in place, layers that are called several times stay one spec, and nothing in the description is
executed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from allconv.errors import ModelError, ShapeError
from allconv.graph import ITEM, Graph, Node, Slot, Spec, call, topological
from allconv.layers.kinds import IDENTITY_AT_INFERENCE
from allconv.read.calls import Key, arguments, keras_tensors, key_of, keys_in, numbered
from allconv.shapes import Shape
from allconv.weights import Array

Path = tuple[str, ...]
Call = tuple[str, int]
"""A layer's name, and which call of it."""
MODELS = {"Sequential", "Functional", "Model"}
TAKES_TRAINING = IDENTITY_AT_INFERENCE | {"BatchNormalization"}


class Source(Protocol):
    """Where the parts of a model lie that its description does not hold."""

    def weights(self, path: Path) -> Mapping[str, Array]:
        """The weights of the layer at a path of names, outermost model first."""

    def layer(self, path: Path) -> Any:
        """The live layer at that path, or None where there is only a file."""

    def has_own_activation(self, path: Path) -> bool:
        """Whether the activation there is the user's own, though it may have a name of Keras'."""


def parse_model(class_name: str, config: Mapping[str, Any], source: Source) -> Graph:
    """Read the description of a model.

    Args:
        class_name: `"Sequential"` or `"Functional"`.
        config: The model's `get_config()`.
        source: Gives the weights.

    Raises:
        ModelError: The description is not of a kind, or not complete enough, to make a graph of.
        ShapeError: A layer does not take its input; the message names the layer.
    """
    data_format = next(_data_formats(config), "channels_last")
    scope = _Scope(source, data_format=data_format)
    if class_name == "Sequential":
        inputs, outputs = _sequential(config, None, scope)
        structures: tuple[Any, Any] = (Slot(0), Slot(0))
    else:
        inputs, outputs = _functional(config, None, scope)
        structures = tuple(numbered(config[key]) for key in ("input_layers", "output_layers"))
    return Graph(
        name=config.get("name", class_name.lower()),
        nodes=tuple(topological([*inputs, *outputs])),
        inputs=tuple(inputs),
        outputs=tuple(outputs),
        input_structure=structures[0],
        output_structure=structures[1],
        sequential=class_name == "Sequential",
        trainable=bool(config.get("trainable", True)),
    )


@dataclass(frozen=True)
class _Scope:
    """The model being read: where it lies and what its calls hand down to its layers."""

    source: Source
    path: Path = ()
    trainable: bool = True
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    specs: dict[Path, Spec] = field(default_factory=dict)
    data_format: str = "channels_last"

    def inside(self, data: Mapping[str, Any], kwargs: Mapping[str, Any]) -> _Scope:
        """The scope of a nested model."""
        path = (*self.path, _name(data))
        trainable = self.trainable and bool(data["config"].get("trainable", True))
        kwargs = {**self.kwargs, **kwargs}
        return replace(self, path=path, trainable=trainable, kwargs=kwargs)

    def spec(self, data: Mapping[str, Any]) -> Spec:
        """The layer that `data` describes; the same one at every call."""
        path = (*self.path, _name(data))
        if path not in self.specs:
            self.specs[path] = self._read_spec(path, data)
        return self.specs[path]

    def _read_spec(self, path: Path, data: Mapping[str, Any]) -> Spec:
        kind, config = _kind(data), dict(data["config"])
        if not self.trainable and "trainable" in config:
            config["trainable"] = False
        module = data.get("module") or "keras.layers"
        weights, layer = self.source.weights(path), self.source.layer(path)
        if isinstance(config.get("activation"), str) and self.source.has_own_activation(path):
            config["activation"] = {"class_name": "function", "config": config["activation"]}
        return Spec(kind, _name(data), config, weights, module, layer)


def _name(data: Mapping[str, Any]) -> str:
    return str(data.get("name") or data["config"]["name"])


def _kind(data: Mapping[str, Any]) -> str:
    """Keras' class name, qualified where the class is an operation or not Keras' own."""
    class_name, registered = str(data["class_name"]), str(data.get("registered_name") or "")
    module = data.get("module") or ("Custom" if registered else "keras.layers")
    if module.partition(".")[0] == "keras" and ">" not in registered:
        return f"ops.{class_name}" if ".ops" in module else class_name
    return registered if ">" in registered else f"{module}>{class_name}"


def _is_model(data: Mapping[str, Any]) -> bool:
    return _kind(data) in MODELS and "layers" in data["config"]


def _sequential(
    config: Mapping[str, Any], inputs: Sequence[Node] | None, scope: _Scope
) -> tuple[list[Node], list[Node]]:
    layers = list(config["layers"])
    if layers and _kind(layers[0]) == "InputLayer":
        first = layers.pop(0)
        inputs = inputs or [_input(first, scope)]
    if not layers:
        raise ModelError(f"model '{config.get('name')}' has no layers; there is nothing to convert")
    if not inputs:
        raise ModelError(
            f"model '{config.get('name')}' is not built, so its shapes are unknown; "
            "give it an Input layer or call model.build(input_shape) first"
        )
    tensors = list(inputs)
    for data in layers:
        tensors = _call_layer(data, tensors, (Slot(0),), {}, scope, None)
    return list(inputs), tensors


def _functional(
    config: Mapping[str, Any], inputs: Sequence[Node] | None, scope: _Scope
) -> tuple[list[Node], list[Node]]:
    layers = {_name(data): data for data in config["layers"]}
    tensors = _Tensors(config)
    input_keys = list(keys_in(config["input_layers"]))
    for i, (name, index, _) in enumerate(input_keys):
        given = inputs[i] if inputs else _input(layers[name], scope)
        tensors.put(name, index, [given])
    _call_all(config, tensors, scope)
    outputs = [tensors.get(_own_call(key, layers)) for key in keys_in(config["output_layers"])]
    return [tensors.get(key) for key in input_keys], outputs


def _own_call(key: Key, layers: Mapping[str, Any]) -> Key:
    """A key of `output_layers` as the arguments of calls would write it.

    A Functional model has called itself once already, which Keras counts in `output_layers` alone.
    """
    name, index, item = key
    functional = _is_model(layers[name]) and _kind(layers[name]) != "Sequential"
    return name, index - functional, item


def _call_all(config: Mapping[str, Any], tensors: _Tensors, scope: _Scope) -> None:
    """Make every call of a Functional model, each as soon as the tensors that it takes are there.

    Layers stand in the order of one of their calls; other calls of a shared layer have to wait.
    """
    calls = [(data, i) for data in config["layers"] for i in range(len(data["inbound_nodes"]))]
    waiting: dict[Call, list[tuple[Mapping[str, Any], int]]] = defaultdict(list)
    calls.reverse()
    while calls:
        data, index = calls.pop()
        keys, args, kwargs = arguments(data["inbound_nodes"][index])
        missing = next((key[:2] for key in keys if not tensors.has(key)), None)
        if missing:
            waiting[missing].append((data, index))
            continue
        made = (_name(data), index)
        inputs, shape = [tensors.get(key) for key in keys], tensors.declared.get((*made, 0))
        tensors.put(*made, _call_layer(data, inputs, args, kwargs, scope, shape))
        calls += waiting.pop(made, ())
    if waiting:
        names = ", ".join(sorted({_name(data) for left in waiting.values() for data, _ in left}))
        raise ModelError(f"no layer makes the tensors that these layers take: {names}")


class _Tensors:
    """The tensors of a Functional model that have been read so far."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        self.nodes: dict[Key, Node] = {}
        self.declared: dict[Key, Shape] = {
            key_of(tensor): tuple(tensor["config"]["shape"])
            for data in config["layers"]
            for node in data["inbound_nodes"]
            for tensor in keras_tensors(node)
        }

    def put(self, name: str, index: int, results: Sequence[Node]) -> None:
        self.nodes |= {(name, index, i): node for i, node in enumerate(results)}

    def has(self, key: Key) -> bool:
        return (key[0], key[1], 0) in self.nodes

    def get(self, key: Key) -> Node:
        if key not in self.nodes:
            item = Spec(ITEM, f"{key[0]}_{key[2]}", {"index": key[2]})
            self.nodes[key] = call(item, [self.nodes[(*key[:2], 0)]], shape=self.declared.get(key))
        return self.nodes[key]


def _call_layer(
    data: Mapping[str, Any],
    inputs: list[Node],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    scope: _Scope,
    shape: Shape | None,
) -> list[Node]:
    """Call a layer, or write a nested model out; the tensors that it returns."""
    if not _is_model(data):
        spec = scope.spec(data)
        handed_down = scope.kwargs if spec.kind in TAKES_TRAINING else {}
        return [_call(spec, inputs, args, {**handed_down, **kwargs}, shape)]
    read = _sequential if _kind(data) == "Sequential" else _functional
    training = {key: value for key, value in kwargs.items() if key == "training"}
    return read(data["config"], inputs, scope.inside(data, training))[1]


def _input(data: Mapping[str, Any], scope: _Scope) -> Node:
    return call(scope.spec(data), [], data_format=scope.data_format)


def _data_formats(config: Mapping[str, Any]) -> Iterator[str]:
    """The data formats of a model's layers; its images lie as the first one says."""
    for data in config["layers"]:
        if "layers" in data["config"]:
            yield from _data_formats(data["config"])
        elif _kind(data) != "Flatten" and "data_format" in data["config"]:
            yield str(data["config"]["data_format"])


def _call(
    spec: Spec,
    inputs: Sequence[Node],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    shape: Shape | None,
) -> Node:
    try:
        return call(spec, inputs, args, kwargs, shape)
    except ShapeError as error:
        raise ShapeError(f"layer '{spec.name}' ({spec.kind}): {error}") from None
