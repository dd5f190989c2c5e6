"""What tf2onnx is told about operations: those it does not write, or for one size of map only.

`handlers` go in by its own door, `custom_op_handlers`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from allconv.export.tensorflow.graph import call_of
from allconv.graph import Graph, Node
from allconv.layers.layer_shapes import output_shape
from allconv.layers.map_shapes import by_axis
from allconv.layout import layout
from allconv.shapes import span

Handler = Callable[[Any, Any, str, Sequence[Any]], None]

SOME_SIZE = 64
"""Cells of a map whose size is free: what a transposed convolution adds is the same at any size."""

FLOAT, BOOL = 1, 9
"""ONNX' numbers for these types of values."""

BROADCASTING = frozenset({"SelectV2", "Where"})
"""Operations, before and after translation, that repeat one number as often as they need it."""


def handlers(graph: Graph) -> Mapping[str, tuple[Handler, list[Any]]]:
    """Return the handlers for a network, by TensorFlow's names of the operations."""

    def transposed_convolution(ctx: Any, node: Any, name: str, args: Sequence[Any]) -> None:
        _with_own_pads(ctx, node, graph.nodes[call_of(name) or 0])

    def convolution(ctx: Any, node: Any, name: str, args: Sequence[Any]) -> None:
        _with_own_dilations(ctx, node, graph.nodes[call_of(name) or 0])

    found: dict[str, Handler] = {
        "Any": _any,
        "Conv2DBackpropInput": transposed_convolution,
        "Conv3D": convolution,
        "Conv3DBackpropInputV2": transposed_convolution,
        "Erfc": _complementary_error_function,
        "Expm1": _exponential_less_one,
        "SelectV2": _choice,
        "ZerosLike": _zeros,
    }
    return {operation: (handler, []) for operation, handler in found.items()}


def _any(ctx: Any, node: Any, name: str, args: Sequence[Any]) -> None:
    """Tell whether one of several is true: the largest of ones and zeros. Of masks."""
    axes = np.atleast_1d(node.inputs[1].get_tensor_value(as_list=False)).astype("int64")
    keeps = {"keepdims": int(node.get_attr_value("keep_dims"))}
    ctx.remove_node(name)
    inputs = ctx.make_node("Cast", node.input[:1], attr={"to": FLOAT}).output
    if ctx.opset < 18:
        keeps["axes"] = axes.tolist()
    else:
        inputs = [*inputs, ctx.make_const(f"{name}/axes", axes).output[0]]
    largest = ctx.make_node("ReduceMax", inputs, attr=keeps, name=f"{name}/largest").output
    ctx.make_node("Cast", largest, attr={"to": BOOL}, outputs=node.output, name=name)


def _complementary_error_function(ctx: Any, node: Any, name: str, args: Sequence[Any]) -> None:
    """Write `erfc(x) = 1 - erf(x)`, as ONNX has Erf only. Keras makes a gelu of it."""
    ctx.remove_node(name)
    erf = ctx.make_node("Erf", node.input, name=f"{name}/erf").output[0]
    _make(ctx, node, "Sub", [_one(ctx, name), erf])


def _exponential_less_one(ctx: Any, node: Any, name: str, args: Sequence[Any]) -> None:
    """Write `expm1(x) = exp(x) - 1`, which ONNX has no operator for; it is part of celu."""
    ctx.remove_node(name)
    power = ctx.make_node("Exp", node.input, name=f"{name}/exp").output[0]
    _make(ctx, node, "Sub", [power, _one(ctx, name)])


def _choice(ctx: Any, node: Any, name: str, args: Sequence[Any]) -> None:
    """Write a Where; tf2onnx multiplies by masks, and so makes NaN of an infinity not chosen."""
    node.type = "Where"


def _zeros(ctx: Any, node: Any, name: str, args: Sequence[Any]) -> None:
    """Make one zero where it is repeated anyway, and as many as there are values elsewhere."""
    from tf2onnx import utils
    from tf2onnx.onnx_opset import generator

    users = ctx.find_output_consumers(node.output[0])
    if not users or any(user.type not in BROADCASTING for user in users):
        generator.ZerosLike.version_9(ctx, node)
        return
    dtype = utils.map_onnx_to_numpy_type(ctx.get_dtype(node.output[0]))
    zero = ctx.make_const(f"{name}/zero", np.zeros((), dtype))
    ctx.replace_all_inputs(node.output[0], zero.output[0])
    ctx.remove_node(name)


def _one(ctx: Any, name: str) -> str:
    return str(ctx.make_const(f"{name}/one", np.float32(1)).output[0])


def _make(ctx: Any, node: Any, kind: str, inputs: Sequence[str]) -> None:
    """Put an operation in a removed node's place."""
    ctx.make_node(kind, list(inputs), outputs=node.output, name=node.name)


def _with_own_dilations(ctx: Any, node: Any, layer: Node) -> None:
    """Write a Conv with the layer's dilations: TensorFlow may have them in another order."""
    from tf2onnx.onnx_opset import nn

    rates = layer.config.get("dilation_rate")
    if rates is not None:  # a convolution in the place of a Dense layer says none
        each = [rate for _, rate in by_axis(range(3), rates)]
        node.set_attr("dilations", [1, *each, 1] if nn.is_channels_last(node) else [1, 1, *each])
    nn.ConvOp.any_version(11, ctx, node)


def _with_own_pads(ctx: Any, node: Any, layer: Node) -> None:
    """Write a ConvTranspose with pads; tf2onnx asks for the size that is to come out."""
    from tf2onnx.onnx_opset import nn

    rank = len(ctx.get_shape(node.input[1])) - 2
    node.type = "ConvTranspose"
    nn.conv_kernel_shape(ctx, node, 1, spatial=rank)
    for setting in ("strides", "dilations"):
        nn.conv_dims_attr(node, setting, spatial=rank)
    pads, further = _borders(layer, rank)
    node.set_attr("pads", pads)
    node.set_attr("output_padding", further)
    _, kernel, image, *bias = node.input  # tf2onnx has added the bias, where there is one
    ctx.replace_inputs(node, [image, kernel, *bias])
    nn.conv_convert_inputs(ctx, node, with_kernel=True, spatial=rank)


def _borders(layer: Node, rank: int) -> tuple[list[int], list[int]]:
    """Work out ONNX' pads, which cut cells off, and its output padding, which adds some at the end.

    Without either an axis of n cells becomes `(n - 1) * stride + window` cells. TensorFlow cuts the
    smaller half before the first: it is the gradient of a convolution that pads in this way.
    """
    config, map_layout = layer.config, layout(layer.inputs[0])
    sizes = map_layout.shape((SOME_SIZE,) * map_layout.rank, map_layout.channels)
    after = output_shape(layer.kind, config, [(1, *sizes)]) or ()
    excess = [0] * (rank - map_layout.rank)  # TensorFlow has one axis more for a signal
    settings = (config[key] for key in ("kernel_size", "dilation_rate", "strides"))
    for place, window, rate, stride in by_axis(map_layout.spatial_axes, *settings):
        full = (SOME_SIZE - 1) * stride + span(window, rate)
        excess.append(full - int(after[place] or 0))
    before = [max(cells, 0) // 2 for cells in excess]
    behind = [max(cells, 0) - half for cells, half in zip(excess, before, strict=True)]
    return before + behind, [max(-cells, 0) for cells in excess]
