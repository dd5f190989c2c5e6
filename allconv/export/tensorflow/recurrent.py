"""Networks with recurrent layers, written as tf2onnx writes them.

tf2onnx knows a loop of TensorFlow's for an LSTM where its weights are constants, and writes other
loops as ONNX' Loop. Both are graphs in a graph, of which the steps for convolutions know nothing,
and there is little in such a network that they could make better. So it is traced as a whole with
its weights in it; what is ours are the names, the data format and the metadata.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from allconv.errors import ExportError
from allconv.export.comparison.sessions import move
from allconv.export.file.metadata import VERSION, encodable
from allconv.export.file.model_proto import Names, ends
from allconv.export.foreign_errors import logs_kept_back, reason
from allconv.export.operations.onnx_graph import Tensor
from allconv.export.options import IR_VERSIONS, ExportOptions
from allconv.graph import Graph, map_slots
from allconv.shape_walk import images
from allconv.shapes import Shape

CONVLSTMS = frozenset(f"ConvLSTM{rank}D" for rank in (1, 2, 3))
RECURRENT = CONVLSTMS | {"LSTM", "GRU", "SimpleRNN", "RNN", "Bidirectional"}
"""Kinds of layers that Keras runs step by step, in a loop."""


def recurrent_layers(graph: Graph) -> list[str]:
    """List the layers that run in a loop, also those in a TimeDistributed; not unrolled ones."""
    return [repr(spec) for spec in graph.specs() if _runs_in_a_loop(spec.kind, spec.config)]


def _runs_in_a_loop(kind: str, config: Mapping[str, Any]) -> bool:
    if kind in RECURRENT:
        return kind == "Bidirectional" or not config.get("unroll")
    inner = config.get("layer")
    if not isinstance(inner, Mapping):
        return False
    return _runs_in_a_loop(str(inner.get("class_name")), inner.get("config") or {})


def recurrent_model(
    graph: Graph, model: Any, options: ExportOptions, metadata: Mapping[str, str]
) -> Any:
    """Make the ONNX model of a network with recurrent layers.

    Args:
        graph: The network.
        model: The Keras model of it.
        options: Its opset, and how maps lie at its inputs and outputs.
        metadata: What the file says of itself.

    Raises:
        ExportError: tf2onnx cannot write it.
    """
    import onnx

    formats = {image.node: image.data_format for image in images(graph)}
    entering = [
        (_shape(node.shape, tensor), *move(formats.get(node, ""), options.data_format))
        for node, tensor in zip(graph.inputs, model.inputs, strict=True)
    ]
    leaving = [
        (_shape(node.shape, tensor), *move(node.data_format, options.data_format))
        for node, tensor in zip(graph.outputs, model.outputs, strict=True)
    ]
    written = _translated(graph, model, entering, leaving, options.opset_version)
    _refuse_unknown(written, graph, options.opset_version)
    names = Names()
    input_names = [names.free(node.name) for node in graph.inputs]
    output_names = [names.free(name) for name in graph.names_of_outputs()]
    _rename(written.graph, [*input_names, *output_names])
    sides = ends(
        _tensors(input_names, entering, model.inputs),
        _tensors(output_names, leaving, model.outputs),
        options.data_format,
    )
    for old, new in zip((written.graph.input, written.graph.output), sides, strict=True):
        del old[:]
        old.extend(new)
    written.graph.name = encodable(graph.name)
    written.producer_name, written.producer_version = "allconv", metadata[VERSION]
    written.ir_version = IR_VERSIONS[options.opset_version]
    onnx.helper.set_model_props(written, dict(metadata))
    return written


def _shape(known: Shape | None, tensor: Any) -> Shape:
    return known or tuple(tensor.shape)


def _lying(shape: Sequence[Any], source: int, target: int) -> list[Any]:
    """Move the entry of one axis in a list of what is said of each; leave a vector's as it is."""
    order = list(shape)
    if len(order) > 2:
        order.insert(target % len(shape), order.pop(source % len(shape)))
    return order


def _translated(
    graph: Graph,
    model: Any,
    entering: Sequence[tuple[Shape, int, int]],
    leaving: Sequence[tuple[Shape, int, int]],
    opset: int,
) -> Any:
    """Translate the whole model by tf2onnx, its inputs and outputs laid out as in the file."""
    import keras
    import tensorflow as tf
    from tf2onnx.convert import from_function

    for layer in model._flatten_layers():
        if hasattr(layer, "use_cudnn"):
            layer.use_cudnn = False  # an operation of NVIDIA's, where there is a GPU

    def turned(tensor: Any, shape: Shape, source: int, target: int) -> Any:
        order = _lying(range(len(shape)), source, target)
        return tensor if order == sorted(order) else tf.transpose(tensor, order)

    def run(*given: Any) -> list[Any]:
        tensors = [
            turned(each, shape, target, source)
            for each, (shape, source, target) in zip(given, entering, strict=True)
        ]
        results = model(map_slots(graph.input_structure, tensors.__getitem__), training=False)
        flat = keras.tree.flatten(results)
        return [tf.identity(turned(*each)) for each in _zipped(flat, leaving)]

    signature = [
        tf.TensorSpec(_lying(*each), node.config.get("dtype") or "float32", name=f"input{number}")
        for number, (node, each) in enumerate(zip(graph.inputs, entering, strict=True))
    ]
    function = tf.function(run, autograph=False, input_signature=signature)
    try:
        with logs_kept_back(logging.CRITICAL):
            return from_function(function, signature, opset=opset)[0]
    except Exception as error:  # tf2onnx and TensorFlow raise kinds of their own
        raise ExportError(
            f"model '{graph.name}': tf2onnx cannot write its recurrent layers as ONNX "
            f"({type(error).__name__}: {reason(error)}): {', '.join(recurrent_layers(graph))}; see "
            "whether they can be unrolled (unroll=True), or another opset can"
        ) from error


def _zipped(
    tensors: Sequence[Any], sides: Sequence[tuple[Shape, int, int]]
) -> Iterator[tuple[Any, Shape, int, int]]:
    for tensor, side in zip(tensors, sides, strict=True):
        yield (tensor, *side)


def _tensors(
    names: Sequence[str],
    lying: Sequence[tuple[Shape, int, int]],
    keras_tensors: Sequence[Any],
) -> list[Tensor]:
    """List the inputs or outputs as the file has them."""
    return [
        Tensor(name, str(tensor.dtype), tuple(_lying(*each)))
        for name, each, tensor in zip(names, lying, keras_tensors, strict=True)
    ]


def _graphs(graph: Any) -> Iterator[Any]:
    """Yield a graph of ONNX, and those inside its operators."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from _graphs(attribute.g)


def _refuse_unknown(model: Any, graph: Graph, opset: int) -> None:
    """Raise an ExportError where an operation has stayed TensorFlow's."""
    import onnx

    known = {schema.name for schema in onnx.defs.get_all_schemas_with_history()}
    kinds = {node.op_type: None for each in _graphs(model.graph) for node in each.node}
    unknown = [kind for kind in kinds if kind not in known]
    if unknown:
        raise ExportError(
            f"model '{graph.name}' has operations that cannot be written in opset {opset}: "
            f"{', '.join(unknown)}; give its layers another activation or form"
        )


def _rename(graph: Any, names: Sequence[str]) -> None:
    """Call a graph's inputs and outputs otherwise; whatever has such a name gets another."""
    ends = [value.name for value in (*graph.input, *graph.output)]
    new = {name: f"{name} inside" for name in names} | dict(zip(ends, names, strict=True))
    for each in _graphs(graph):
        for node in each.node:
            for side in (node.input, node.output):
                side[:] = [new.get(name, name) for name in side]
        for values in (each.initializer, each.value_info, each.input, each.output):
            for value in values:
                value.name = new.get(value.name, value.name)
