"""Graph to `keras.Model`: every layer from its configuration, its weights made as it is built."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from allconv.building.adapted import copy_adaptation, no_copy
from allconv.building.keras_layers import by_keras, is_foreign, new_layer
from allconv.building.recursion import room_for
from allconv.building.untrusted import refuse_untrusted
from allconv.dtypes import holds_integers
from allconv.errors import ConversionError, ShapeError
from allconv.graph import ITEM, Graph, Node, Spec, map_slots
from allconv.layers.kinds import CONVOLUTIONS
from allconv.layers.layer_shapes import KNOWN_KINDS, is_adapted
from allconv.names import with_unique_layers
from allconv.read.live import tensor_of
from allconv.shapes import Shape
from allconv.weights import Array

if TYPE_CHECKING:
    import keras

Layers = dict[Spec, Any]


def build(graph: Graph) -> keras.Model:
    """Build a Keras model: a Sequential where the graph was one and is a chain, else a Functional.

    Each layer whose weights are known makes its variables with their final values: for the time of
    building, its initializers give the graph's arrays. So nothing is drawn at random first, and
    nothing is assigned twice.

    Raises:
        ConversionError: A layer's class is not Keras' own, and no such layer is in memory; or the
            graph comes from a file, and has a layer that allconv does not know; or Keras makes
            another one of a quantized layer's configuration.
        FileError: A weight in the file is NaN, or no longer there.
        ShapeError: Keras gives a tensor another shape than `layer_shapes` worked out.
    """
    graph = _with_names_for_keras(graph)
    layers = _layers(graph)
    with _given_values(layers), room_for(len(graph.nodes)):
        model = _sequential(graph, layers) or _functional(graph, layers)
    for spec, node in _first_calls(graph).items():
        copy_adaptation(spec, layers[spec], node.inputs[0].shape)
    _name_outputs(model, graph)
    if not graph.trainable:
        model.trainable = False
        for spec, layer in layers.items():
            layer.trainable = spec.config.get("trainable", True)
    return model


def _name_outputs(model: keras.Model, graph: Graph) -> None:
    """Let Keras call the outputs as the graph does, where it calls them after other layers.

    `compile` hands these names on to losses and metrics, and targets are found by them. They are
    known in memory only: a file has the names of the layers.
    """
    own = getattr(model, "output_names", [model.layers[-1].name])
    if graph.output_names and list(own) != list(graph.output_names):
        model.output_names = list(graph.output_names)


def _with_names_for_keras(graph: Graph) -> Graph:
    """Give each layer a name of its own, without the slashes that Keras 2 allowed."""
    slashed = [spec for spec in graph.specs() if "/" in spec.name]
    named = {spec: replace(spec, name=spec.name.replace("/", "_")) for spec in slashed}
    return with_unique_layers(graph.with_specs(named), graph)[0]


def _sequential(graph: Graph, layers: Layers) -> keras.Model | None:
    """Build the model as a Sequential; return None where it cannot be one, as without layers."""
    import keras

    is_chain = graph.is_chain() and len(graph.nodes) > 1
    if not (graph.sequential and is_chain) or any(map(_casts, graph.nodes)):
        return None
    with by_keras(f"model '{graph.name}'"):
        model = keras.Sequential([layers[node.spec] for node in graph.nodes], name=graph.name)
    for node, layer in zip(graph.nodes[1:], model.layers, strict=True):
        _check_shape(node, layer.output)
    return model


def _casts(node: Node) -> bool:
    """Tell whether a convolution meets integers, which it does not take; pools and Dense do."""
    return node.kind in CONVOLUTIONS and holds_integers(node.inputs[0])


def _functional(graph: Graph, layers: Layers) -> keras.Model:
    import keras

    tensors: dict[Node, list[Any]] = {}
    for node in graph.nodes:
        tensors[node] = _tensors(node, layers, tensors)
        _check_shape(node, tensors[node][0])
    inputs = map_slots(graph.input_structure, lambda i: tensors[graph.inputs[i]][0])
    ends = tensors | _passed_on(graph, tensors)
    outputs = map_slots(graph.output_structure, lambda i: ends[graph.outputs[i]][0])
    with by_keras(f"model '{graph.name}'"):
        return keras.Model(inputs, outputs, name=graph.name)


def _passed_on(graph: Graph, tensors: Mapping[Node, list[Any]]) -> dict[Node, list[Any]]:
    """Put each input that is an output and nothing else behind an Identity.

    Keras takes a model whose input no layer takes since 3.14 only, and its files are read by older
    ones.
    """
    import keras

    taken = {source for node in graph.nodes for source in node.inputs}
    passed = {}
    for node in set(graph.inputs).intersection(graph.outputs) - taken:
        (tensor,) = tensors[node]
        same = keras.layers.Identity(dtype=tensor.dtype, name=f"{node.name}_passed_on")
        passed[node] = [same(tensor)]
    return passed


def _tensors(node: Node, layers: Layers, tensors: Mapping[Node, list[Any]]) -> list[Any]:
    """Return the tensors that a node's call returns."""
    import keras

    if node.kind == "InputLayer":
        return [layers[node.spec].output]
    if node.kind == ITEM:
        return [tensors[node.inputs[0]][node.config["index"]]]
    layer, sources = layers[node.spec], [tensors[source][0] for source in node.inputs]
    if _casts(node):
        cast = keras.layers.Rescaling(1.0, dtype=layer.dtype_policy, name=f"{node.name}_cast")
        sources = [cast(sources[0])]
    args, kwargs = (map_slots(part, sources.__getitem__) for part in (node.args, node.kwargs))
    with by_keras(f"layer '{node.name}' ({node.kind})"):
        return list(keras.tree.flatten(layer(*args, **kwargs)))


def _check_shape(node: Node, tensor: Any) -> None:
    """Compare our own arithmetic with Keras'; sizes that either leaves open agree with any."""
    if node.shape is None or _agree(node.shape, tuple(tensor.shape)):
        return
    raise ShapeError(
        f"layer '{node.name}' ({node.kind}): allconv works out the shape {node.shape}, but Keras "
        f"says {tuple(tensor.shape)}; one of the two is wrong, please report it with the model's "
        "configuration"
    )


def _agree(ours: Shape, theirs: Shape) -> bool:
    pairs = zip(ours, theirs, strict=False)
    return len(ours) == len(theirs) and all(a == b or a is None or b is None for a, b in pairs)


def _layers(graph: Graph) -> Layers:
    """Make a layer for every spec; name all that cannot be made in one error."""
    refuse_untrusted(graph)
    specs = [spec for spec in graph.specs() if spec.kind != ITEM]
    unknown = [repr(spec) for spec in specs if is_foreign(spec) and spec.layer is None]
    if unknown:
        raise ConversionError(
            "allconv does not build layers whose code lies outside Keras: " + ", ".join(unknown)
        )
    return {spec: new_layer(spec, trusted=not graph.from_file) for spec in specs}


def _first_calls(graph: Graph) -> dict[Spec, Node]:
    """Find the first call of each layer that takes tensors."""
    calls = [node for node in graph.nodes if node.inputs and node.kind != ITEM]
    return {node.spec: node for node in reversed(calls)}


class _Given:
    """An initializer that gives an array's values."""

    def __init__(self, array: Array) -> None:
        self.array = array

    def __call__(self, shape: Any, dtype: Any = None, **_: Any) -> Any:
        import keras

        values = tensor_of(self.array)
        if values is None:
            values = self.array.read()
        if tuple(shape) != tuple(values.shape):
            raise ShapeError(
                f"a weight has the shape {values.shape}, its layer needs {tuple(shape)}"
            )
        return keras.ops.convert_to_tensor(values, dtype=dtype)


@contextmanager
def _given_values(layers: Layers) -> Iterator[None]:
    """Let the layers build themselves with the arrays of their specs.

    A variable without an initializer of its own in the layer's configuration is assigned
    afterwards.
    """
    originals: list[tuple[Any, str, Any]] = []
    for spec, layer in layers.items():
        for name, array in spec.weights.items():
            attribute = _initializer(spec, layer, name)
            if attribute and not array.is_fresh:
                originals.append((layer, attribute, getattr(layer, attribute)))
                setattr(layer, attribute, _Given(array))
    try:
        yield
    finally:
        for layer, attribute, initializer in originals:
            setattr(layer, attribute, initializer)
    for spec, layer in layers.items():
        _assign_others(spec, layer)


def _initializer(spec: Spec, layer: Any, weight: str) -> str | None:
    """Name the attribute that holds the initializer of a weight, and of no other.

    None for a layer that may make its variables by something else: quantized ones begin as zeros.
    """
    if spec.kind not in KNOWN_KINDS or is_adapted(spec.config):
        return None
    stem = weight.removesuffix("_kernel")
    names = [f"{weight}_initializer", f"{stem}_initializer"]
    if weight == "kernel":
        names.append("depthwise_initializer")
    return next((name for name in names if name in vars(layer)), None)


def _assign_others(spec: Spec, layer: Any) -> None:
    others = False
    variables = _variables(spec, layer)
    shapes = [tuple(variable.shape) for variable in variables]
    if shapes != [array.shape for array in spec.weights.values()]:
        if is_adapted(spec.config):
            raise no_copy(spec)
        raise ShapeError(
            f"layer '{spec.name}' ({spec.kind}): has weights of the shapes "
            f"{[array.shape for array in spec.weights.values()]}, today's Keras makes {shapes}"
        )
    for (name, array), variable in zip(spec.weights.items(), variables, strict=True):
        if not _initializer(spec, layer, name) and not array.is_fresh:
            variable.assign(array.read())
            others = True
    if others and hasattr(layer, "finalize_state"):
        layer.finalize_state()


def _variables(spec: Spec, layer: Any) -> list[Any]:
    """List a layer's variables as its spec's weights, by name and type, or else as they are.

    A layer that was quantized, or given LoRA, after it was built has them in another order than one
    that is built so.
    """
    variables = list(getattr(layer, "weights", ()))  # an operation of keras.ops has none
    found = {(v.name, tuple(v.shape), str(v.dtype)): v for v in variables}
    wanted = [(name.rpartition("/")[2], a.shape, a.dtype) for name, a in spec.weights.items()]
    is_known = len(found) == len(variables) and sorted(found) == sorted(wanted)
    return [found[key] for key in wanted] if is_known else variables
