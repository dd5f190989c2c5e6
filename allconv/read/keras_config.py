"""Keras' own description of a model, `get_config()`, read into a graph.

The same JSON describes a model in memory and a model in a file, so this one parser serves every
source; what differs, where the weights are, comes in as a `Source`. Nested models are written out
in place, layers that are called several times stay one spec, and nothing in the description is
executed.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from allconv.errors import ModelError, ShapeError
from allconv.graph import ITEM, OF_ALIKE, Graph, Node, Slot, Spec, call, topological
from allconv.layers.kinds import IDENTITY_AT_INFERENCE
from allconv.layers.layer_shapes import KNOWN_KINDS
from allconv.read.calls import Call, Key, keys_in, numbered
from allconv.read.layer_tree import MODELS, data_formats, is_model, kind_of, name_of
from allconv.read.nested_inputs import taken
from allconv.read.scope import Scope, Source
from allconv.read.told_shapes import told_shapes
from allconv.shapes import Shape

TAKES_TRAINING = IDENTITY_AT_INFERENCE | {"BatchNormalization"}


def parse_model(class_name: str, config: Mapping[str, Any], source: Source) -> Graph:
    """Read the description of a model.

    Args:
        class_name: `"Sequential"`, `"Functional"`, or the name of a class of somebody's own.
        config: The model's `get_config()`.
        source: Gives the weights.

    Raises:
        ModelError: The description is not of a kind, or not complete enough, to make a graph of.
        ShapeError: A layer does not take its input; the message names the layer.
    """
    if "layers" not in config:
        raise ModelError(
            f"model '{config.get('name')}' ({class_name}) has no list of layers: they are called "
            "by its own code, so there is no graph to convert; write it as a Functional model, "
            "keras.Model(inputs, outputs)"
        )
    data_format = next(data_formats(config), "channels_last")
    scope = Scope(source, data_format=data_format)
    is_sequential = "input_layers" not in config
    if is_sequential:
        inputs, outputs = _sequential(config, None, scope)
        structures: tuple[Any, Any] = (Slot(0), Slot(0))
        names: tuple[str, ...] = (name_of(config["layers"][-1]),)
    else:
        inputs, outputs = _functional(config, None, scope)
        structures = tuple(numbered(config[key]) for key in ("input_layers", "output_layers"))
        names = tuple(name for name, _, _ in keys_in(config["output_layers"]))
    return Graph(
        name=config.get("name", class_name.lower()),
        nodes=tuple(topological([*inputs, *outputs])),
        inputs=tuple(inputs),
        outputs=tuple(outputs),
        input_structure=structures[0],
        output_structure=structures[1],
        output_names=names,
        sequential=is_sequential,
        trainable=bool(config.get("trainable", True)),
        own_class="" if class_name in MODELS else class_name,
    )


def _sequential(
    config: Mapping[str, Any], inputs: Sequence[Node] | None, scope: Scope
) -> tuple[list[Node], list[Node]]:
    layers = list(config["layers"])
    scope.count(len(layers))
    if layers and kind_of(layers[0]) == "InputLayer":
        first = layers.pop(0)
        inputs = (
            [_input(first, scope)]
            if inputs is None
            else [taken(first, tensor, layers[:1], scope) for tensor in inputs]
        )
    if not layers:
        raise ModelError(f"model '{config.get('name')}' has no layers; there is nothing to convert")
    if inputs is None:
        raise ModelError(
            f"model '{config.get('name')}' is not built, so its shapes are unknown; "
            f"{scope.source.shape_wanted()}"
        )
    _refuse_namesakes(layers, scope)
    _expect_tensors(1, inputs, scope)
    tensors = list(inputs)
    shapes = told_shapes(layers, inputs[0].shape, scope.where())
    for data, shape in zip(layers, shapes, strict=True):
        tensors = _call_layer(data, tensors, (Slot(0),), {}, scope, shape)
    return list(inputs), tensors


def _refuse_namesakes(layers: Sequence[Mapping[str, Any]], scope: Scope) -> None:
    """Raise a ModelError where two layers have one name, by which their weights are found."""
    counts = Counter(map(name_of, layers))
    twice = next((name for name, count in counts.items() if count > 1), None)
    if twice is not None:
        raise ModelError(f"{scope.where(twice)}: the model has two layers of this name")


def _expect_tensors(number: int, inputs: Sequence[Node], scope: Scope) -> None:
    if len(inputs) != number:
        raise ModelError(
            f"{scope.where()}: a model of {number} inputs is called on {len(inputs)} tensors; the "
            "description of the model is damaged"
        )


def _functional(
    config: Mapping[str, Any], inputs: Sequence[Node] | None, scope: Scope
) -> tuple[list[Node], list[Node]]:
    layers = {name_of(data): data for data in config["layers"]}
    input_keys = list(keys_in(config["input_layers"]))
    if len(set(input_keys)) < len(input_keys):
        raise ModelError(f"{scope.where()}: one of its inputs is listed twice")
    if inputs is None:
        inputs = [_input(layers[name], scope) for name, _, _ in input_keys]
    _expect_tensors(len(input_keys), inputs, scope)
    described = scope.calls_of(config)
    output_keys = list(keys_in(config["output_layers"]))
    scope.count(len(layers) + len(described.calls) + len(output_keys))
    tensors = _Tensors(layers, described.shapes, scope)
    for (name, index, _), given in zip(input_keys, inputs, strict=True):
        takers = [layers[made.layer] for made in described.calls if (name, index, 0) in made.keys]
        tensors.put(name, index, [taken(layers[name], given, takers, scope)])
    _call_all(described.calls, layers, tensors, scope)
    outputs = [tensors.get(_own_call(key, layers)) for key in output_keys]
    return [tensors.get(key) for key in input_keys], outputs


def _own_call(key: Key, layers: Mapping[str, Any]) -> Key:
    """Write a key of `output_layers` as the arguments of calls do.

    A Functional model has called itself once already, which Keras counts in `output_layers` alone.
    """
    name, index, item = key
    functional = is_model(layers[name]) and kind_of(layers[name]) != "Sequential"
    return name, index - functional, item


def _call_all(
    calls: Sequence[Call], layers: Mapping[str, Any], tensors: _Tensors, scope: Scope
) -> None:
    """Make every call of a Functional model, each as soon as the tensors that it takes are there.

    Layers stand in the order of one of their calls; other calls of a shared layer have to wait.
    """
    waiting: dict[tuple[str, int], list[tuple[Call, int]]] = defaultdict(list)
    left = [(made, 0) for made in reversed(calls)]
    while left:
        made, first = left.pop()
        places = range(first, len(made.keys))
        missing = next((i for i in places if not tensors.has(made.keys[i])), None)
        if missing is not None:
            waiting[made.keys[missing][:2]].append((made, missing))
            continue
        inputs = [tensors.get(key) for key in made.keys]
        shape = tensors.shapes.get((made.layer, made.index, 0))
        data = layers[made.layer]
        results = _call_layer(data, inputs, made.args, made.kwargs, scope, shape)
        tensors.put(made.layer, made.index, results)
        left += waiting.pop((made.layer, made.index), ())
    if waiting:
        names = ", ".join(sorted({made.layer for calls in waiting.values() for made, _ in calls}))
        raise ModelError(f"no layer makes the tensors that these layers take: {names}")


class _Tensors:
    """The tensors of a Functional model that have been read so far."""

    def __init__(
        self, layers: Mapping[str, Any], shapes: Mapping[Key, Shape], scope: Scope
    ) -> None:
        self.layers, self.shapes, self.scope = layers, shapes, scope
        self.nodes: dict[Key, Node] = {}

    def put(self, name: str, index: int, results: Sequence[Node]) -> None:
        self.nodes |= {(name, index, i): node for i, node in enumerate(results)}

    def has(self, key: Key) -> bool:
        return (key[0], key[1], 0) in self.nodes

    def get(self, key: Key) -> Node:
        name, index, item = key
        if key not in self.nodes and self.has(key):
            data = self.layers[name]
            if is_model(data) or kind_of(data) in KNOWN_KINDS - OF_ALIKE:
                raise ModelError(
                    f"{self.scope.where(name)} ({kind_of(data)}): its result number {item + 1} is "
                    "taken, and it gives no so many; the description of the model is damaged"
                )
            spec = Spec(ITEM, f"{name}_{item}", {"index": item})
            tensors = [self.nodes[name, index, 0]]
            self.nodes[key] = call(spec, tensors, shape=self.shapes.get(key))
        if key not in self.nodes:
            raise ModelError(f"{self.scope.where(name)}: no call makes the tensor that is taken")
        return self.nodes[key]


def _call_layer(
    data: Mapping[str, Any],
    inputs: list[Node],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    scope: Scope,
    shape: Shape | None,
) -> list[Node]:
    """Call a layer, or write a nested model out; the tensors that it returns."""
    if not is_model(data):
        spec = scope.spec(data)
        if not inputs or spec.kind == "InputLayer":
            takes = "an InputLayer takes none" if inputs else "it takes one at least"
            raise ModelError(
                f"{scope.where(spec.name)} ({spec.kind}): it is called on {len(inputs)} tensors, "
                f"{takes}; the description of the model is damaged"
            )
        layer = scope.called(spec, inputs, args, kwargs)
        if layer is not spec:
            return [_call(layer, inputs, args, {}, shape)]
        handed_down = scope.kwargs if spec.kind in TAKES_TRAINING else {}
        return [_call(spec, inputs, args, {**handed_down, **kwargs}, shape)]
    read = _sequential if kind_of(data) == "Sequential" else _functional
    training = {key: value for key, value in kwargs.items() if key == "training"}
    return read(data["config"], inputs, scope.inside(data, training))[1]


def _input(data: Mapping[str, Any], scope: Scope) -> Node:
    spec = scope.spec(data)
    if spec.kind != "InputLayer":
        raise ModelError(
            f"{scope.where(spec.name)} ({spec.kind}): the model lists it as its input; expected an "
            "InputLayer"
        )
    return call(spec, [], data_format=scope.data_format)


def _call(
    spec: Spec,
    inputs: Sequence[Node],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    shape: Shape | None,
) -> Node:
    if spec.kind in KNOWN_KINDS and any(node.shape is None for node in inputs):
        shape = None  # nor are its weights known, whatever the description tells of its result
    try:
        return call(spec, inputs, args, kwargs, shape)
    except ShapeError as error:
        raise ShapeError(f"layer '{spec.name}' ({spec.kind}): {error}") from None
