"""A float32 model whose numbers are rounded to float16 wherever one is kept.

A processor without float16 shows nothing of what float16 does: on x86, ONNX Runtime computes a
float16 graph in float32 and drops the Casts in between. So errors and overflows are measured on
this twin. It computes as a device does that keeps tensors in float16 and sums in float32; values
beyond 65504 become infinite.
"""

from __future__ import annotations

from typing import Any

from allconv.export.precision.float16 import FLOAT, HALF, STAYS_FLOAT


def rounding(model: Any) -> Any:
    """Put two Casts behind each input, weight and result of an operator.

    Args:
        model: An ONNX model in float32. Weights that lie outside stay there.
    """
    import onnx

    twin = onnx.ModelProto()
    twin.CopyFrom(model)
    graph, floats = twin.graph, float_tensors(model)
    sources = {each.name for each in (*graph.input, *graph.initializer)} & floats
    del graph.node[:]
    for name in sorted(sources):
        graph.node.extend(_casts(name, _rounded(name)))
    for old in model.graph.node:
        node = graph.node.add()
        node.CopyFrom(old)
        stays = STAYS_FLOAT.get(node.op_type, ())
        for place, name in enumerate(node.input):
            if name in sources and place not in stays:
                node.input[place] = _rounded(name)
        for place, name in enumerate(old.output):
            if name in floats:
                node.output[place] = f"{name} exact"
                graph.node.extend(_casts(f"{name} exact", name))
    return twin


def float_tensors(model: Any) -> set[str]:
    """List the names of a model's inputs, weights and results of operators that are float32."""
    import onnx

    graph = onnx.shape_inference.infer_shapes(model).graph
    values = [*graph.input, *graph.value_info, *graph.output]
    names = {value.name for value in values if value.type.tensor_type.elem_type == FLOAT}
    return names | {tensor.name for tensor in graph.initializer if tensor.data_type == FLOAT}


def _rounded(name: str) -> str:
    return f"{name} rounded"


def _casts(source: str, target: str) -> list[Any]:
    import onnx

    between = f"{source} in float16"
    return [
        onnx.helper.make_node("Cast", [source], [between], to=HALF),
        onnx.helper.make_node("Cast", [between], [target], to=FLOAT),
    ]
