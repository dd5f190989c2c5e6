"""tf2onnx's part: TensorFlow's operations become ONNX' operators.

Its optimizer is not asked: what it leaves behind has to be cleaned anyway, and what it does to
weights is done better when they are known.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from allconv.errors import FOR_ONNX, ExportError, lacking
from allconv.export.foreign_errors import logs_kept_back, reason
from allconv.export.operations.onnx_graph import Operation, Operations, Tensor
from allconv.export.tensorflow.graph import Traced, call_of
from allconv.export.tensorflow.tf2onnx_handlers import handlers
from allconv.graph import Graph
from allconv.shapes import Shape


def translated(program: Traced, graph: Graph, opset: int) -> Operations:
    """Translate a program by tf2onnx, the calls of layers in the order of `graph`.

    Raises:
        ExportError: A layer has an operation that tf2onnx does not know; all of them are named.
    """
    found = _processed(program, graph, opset)
    nodes = [node for node in found.get_nodes() if not node.is_graph_input()]
    _refuse_unknown(nodes, graph, opset)
    constants = dict(program.weights) | {
        node.output[0]: node.get_tensor_value(as_list=False) for node in nodes if node.is_const()
    }
    between = [name for node in nodes for name in node.output]
    shapes = {name: _shape(found, name) for name in between}
    return Operations(
        operations=tuple(_in_order([node for node in nodes if not node.is_const()])),
        constants=constants,
        inputs=tuple(_tensor(found, name) for name in program.inputs),
        outputs=tuple(_tensor(found, name) for name in program.outputs),
        shapes={name: shape for name, shape in shapes.items() if shape is not None},
        dtypes={name: _dtype(found, name) for name in between},
    )


def _processed(program: Traced, graph: Graph, opset: int) -> Any:
    """Make tf2onnx' own graph of a program."""
    import tensorflow as tf

    process_tf_graph = _tf2onnx()
    with logs_kept_back(logging.CRITICAL), tf.Graph().as_default() as tensorflow_graph:
        tf.import_graph_def(program.definition, name="")
        try:  # what it finds wrong is told in an error, so its log may go
            return process_tf_graph(
                tensorflow_graph,
                opset=opset,
                custom_op_handlers=dict(handlers(graph)),
                input_names=[*program.inputs, *program.weights],
                output_names=list(program.outputs),
            )
        except Exception as error:  # its handlers raise kinds of their own
            raise ExportError(
                f"model '{graph.name}': tf2onnx cannot write it as ONNX "
                f"({type(error).__name__}: {reason(error)}); see whether another opset can, and "
                "please report it with the model's configuration"
            ) from error


def _tf2onnx() -> Any:
    """Import the function that translates a graph of TensorFlow's."""
    try:
        from tf2onnx.tfonnx import process_tf_graph
    except ImportError as error:
        raise ExportError(lacking("tf2onnx", error, FOR_ONNX)) from error
    return process_tf_graph


def _refuse_unknown(nodes: list[Any], graph: Graph, opset: int) -> None:
    """Raise an ExportError where an operation has stayed TensorFlow's, or is a loop.

    tf2onnx only logs the former; the graph inside the latter is none of convolutions.
    """
    import onnx

    known = {
        schema.name for schema in onnx.defs.get_all_schemas_with_history() if not schema.domain
    }
    unknown: dict[str, None] = {}
    for node in nodes:
        if (node.type not in known or node.get_body_graphs()) and not node.is_const():
            call = call_of(node.name)
            layer = "" if call is None else f" of layer {graph.nodes[call].spec!r}"
            unknown[f"{node.type}{layer}"] = None
    if unknown:
        raise ExportError(
            f"model '{graph.name}' has operations that cannot be written in opset {opset}: "
            f"{', '.join(unknown)}; give these layers another activation or form"
        )


def _in_order(nodes: Sequence[Any]) -> list[Operation]:
    """Order the operations: those of a layer together, the layers in the network's own order.

    What tf2onnx adds without a name of ours belongs to the first layer that takes it, as it adds
    most before an operation; to the latest that it takes from where none does.
    """
    taking = _first_calls(nodes)
    calls: dict[str, int] = {}
    operations = []
    for node in nodes:
        behind = max((calls.get(name, -1) for name in node.input), default=-1)
        place = max(_call_among(node, taking, default=-1), behind)
        calls |= dict.fromkeys(node.output, place)
        inputs, outputs = tuple(node.input), tuple(node.output)
        operations.append(Operation(node.type, inputs, outputs, _attributes(node), place))
    return sorted(operations, key=lambda operation: operation.call)


def _first_calls(nodes: Sequence[Any]) -> dict[str, int]:
    """Find for each tensor the first call of a layer that takes it, by way of others or at once."""
    taking: dict[str, int] = {}
    for node in reversed(nodes):
        call = _call_among(node, taking, default=-1)
        if call >= 0:
            taking |= {name: min(taking.get(name, call), call) for name in node.input}
    return taking


def _call_among(node: Any, taking: Mapping[str, int], default: int) -> int:
    """Find the call that an operation says, or else the first of those that take what it gives."""
    said = call_of(node.name)
    if said is not None:
        return said
    return min((taking[name] for name in node.output if name in taking), default=default)


def _attributes(node: Any) -> dict[str, Any]:
    import onnx

    written = node.get_onnx_attrs()
    return {name: onnx.helper.get_attribute_value(value) for name, value in written.items()}


def _tensor(found: Any, name: str) -> Tensor:
    return Tensor(name, _dtype(found, name), _shape(found, name) or ())


def _dtype(found: Any, name: str) -> str:
    import onnx

    dtype = found.get_dtype(name)
    return np.dtype(onnx.helper.tensor_dtype_to_np_dtype(dtype)).name if dtype else ""


def _shape(found: Any, name: str) -> Shape | None:
    shape = found.get_shape(name)
    return None if shape is None else tuple(None if size < 0 else int(size) for size in shape)
