"""Dense as a convolution: on a flattened map as large as the map, on anything else 1x1."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from allconv.graph import Node
from allconv.kernels import kernel_of_flattened, scaled_rows, shifted_bias
from allconv.layers.kinds import CHANNEL_ACTIVATIONS, couples_channels, unknown_activation
from allconv.layers.layer_shapes import is_quantized
from allconv.layout import Layout, are_known, is_map, is_vector, origin_of_vector
from allconv.rule import Match, Outcome, rule
from allconv.rules.constants import affine_of, is_affine
from allconv.rules.flatten import FOLDED, passed_up
from allconv.rules.vectors import entered, form_of_map_met
from allconv.rules.windows import flattened
from allconv.weights import Array, derive

Weights = tuple[Array, Array | None]

ADAPTED = "its weights are quantized, or LoRA's are added to them"
ONLY_ALONG_LAST_AXIS = CHANNEL_ACTIVATIONS - {"softmax"}
"""Activations for which Keras has no layer with an axis."""


@rule(layer="Dense", keeps="function")
def flatten_dense_to_conv(match: Match) -> Outcome:
    """Flatten + Dense(units)  ->  Conv2D(units, (height, width)) + Flatten.

    A BatchNormalization between the two, or a constant, is an affine of its own for each cell; it
    is folded into the kernel:
    `dense(scale * x + shift) = (diag(scale) kernel) x + (bias + shift kernel)`.
    """
    passed, flatten = passed_up(match, match.before(match.node), FOLDED)
    if flatten.kind != "Flatten":
        return match.absent("no Flatten before it")
    tensor = match.before(flatten)
    if not is_map(tensor) or not are_known(match.layout(tensor).sizes):
        return match.skip(f"its Flatten needs a fixed input size, got {tensor.shape}")
    layout = match.layout(tensor)
    if problem := problem_with_dense(match.node, layout):
        return match.skip(problem)
    order, sizes = layout.flattened(flatten.config["data_format"])
    kernel, bias = with_batchnorms(match.node, passed)
    for node in reversed(passed):
        if not is_affine(node):
            tensor = match.again(node, tensor)
    kernel = kernel_of_flattened(kernel, order, sizes)
    note = ", ".join(f"'{n.name}' folded in" for n in passed if is_affine(n))
    conv = dense_convolution(match, tensor, layout, kernel, bias)
    return match.becomes(match.flattened_by(flatten, conv), note=note)


@rule(layer="Dense", keeps="function")
def dense_on_map_to_conv(match: Match) -> Outcome:
    """Dense on a map  ->  convolution 1x1 over its last axis."""
    tensor = match.before(match.node)
    if not is_map(tensor):
        return match.absent("its input is a vector" if is_vector(tensor) else "its input is no map")
    assert tensor.shape is not None
    layout = Layout("channels_last", tensor.shape[1:-1], int(tensor.shape[-1] or 0))
    if problem := problem_with_dense(match.node, layout):
        return match.skip(problem)
    kernel, bias = dense_weights(match.node)
    kernel = kernel.reshape(*(1,) * layout.rank, *kernel.shape)
    return dense_convolution(match, tensor, layout, kernel, bias)


@rule(layer="Dense", keeps="function")
def vector_dense_to_conv(match: Match) -> Outcome:
    """Dense on a vector that the model is given  ->  Reshape((1, 1, n)) + Conv2D 1x1 + Flatten.

    The vector enters with as many axes as the map to which it is unfolded, or with which it is
    merged.
    """
    vector = match.before(match.node)
    if not is_vector(vector):
        return match.absent("its input is no vector")
    source = origin_of_vector(vector)
    if source is vector and vector.kind == "Flatten":
        return match.absent("its input is a flattened map")
    if source and source.kind == "Flatten":
        return match.skip(f"'{vector.name}' ({vector.kind}) stands between it and its Flatten")
    if source:
        return match.skip(
            f"its input is the vector of '{source.name}' ({source.kind}), not a flattened map"
        )
    met = form_of_map_met(match, match.node)
    if problem := problem_with_dense(match.node, met):
        return match.skip(problem)
    cell = entered(match, vector, met)
    layout, (kernel, bias) = match.layout(cell), dense_weights(match.node)
    kernel = kernel.reshape(*(1,) * layout.rank, *kernel.shape)
    return flattened(match, dense_convolution(match, cell, layout, kernel, bias))


def problem_with_dense(dense: Node, layout: Layout) -> str:
    """Say why a Dense layer is not written as a convolution on such a map, "" where it is."""
    activation = dense.config.get("activation")
    if layout.channels_first and str(activation) in ONLY_ALONG_LAST_AXIS:
        return f"its activation '{activation}' over channels that come first"
    without_lora = dense.config.get("lora_rank") and "lora_kernel_a" not in dense.spec.weights
    if is_quantized(dense.config) or without_lora:
        return ADAPTED
    return unknown_activation(dense.config)


def dense_weights(dense: Node) -> Weights:
    """Return a Dense layer's kernel, with LoRA's product, and its bias, if it has one."""
    config, weights = dense.config, dense.spec.weights
    kernel, rank = weights["kernel"], config.get("lora_rank")
    if rank:
        factor = (config.get("lora_alpha") or rank) / rank
        low, high = weights["lora_kernel_a"], weights["lora_kernel_b"]
        kernel = kernel.in_32_bits()
        kernel = derive(with_lora, kernel, low, high, factor, shape=kernel.shape)
    return kernel, weights.get("bias")


def with_lora(kernel: np.ndarray, low: np.ndarray, high: np.ndarray, factor: float) -> np.ndarray:
    """Compute `kernel + factor * low high` (Hu et al. 2021, arXiv 2106.09685)."""
    product = np.matmul(low.astype("float64"), high.astype("float64"))
    return np.asarray(kernel + factor * product, kernel.dtype)


def with_batchnorms(dense: Node, passed: Sequence[Node]) -> Weights:
    """Fold what scales and shifts before a Dense layer, lowest first, into its weights."""
    kernel, bias = dense_weights(dense)
    for node in passed:
        if affine := affine_of(node):
            scale, shift = affine
            kernel = kernel.in_32_bits()
            kernel, bias = scaled_rows(kernel, scale), shifted_bias(kernel, shift, bias)
    return kernel, bias


def dense_convolution(
    match: Match,
    tensor: Node,
    layout: Layout,
    kernel: Array,
    bias: Array | None,
    part: str = "",
    activation: str | None = None,
) -> Node:
    """Make a convolution with a Dense layer's settings, as large as its kernel.

    A softmax over channels that come first is a layer of its own behind it: Keras' activation
    functions look along the last axis.
    """
    config = match.node.config
    whole = activation is None
    activation = activation or config.get("activation") or "linear"
    apart = layout.channels_first and couples_channels("", {"activation": activation})
    weights = {"kernel": kernel} | ({"bias": bias} if bias else {})
    conv = match.layer(
        f"Conv{layout.rank}D",
        part,
        weights,
        filters=kernel.shape[-1],
        kernel_size=kernel.shape[: layout.rank],
        data_format=layout.data_format,
        activation="linear" if apart else activation,
        use_bias=bias is not None,
        activity_regularizer=config.get("activity_regularizer") if whole and not apart else None,
        **carried_settings(config, layout.rank),
    )
    if not apart:
        return conv(tensor)
    return match.layer("Softmax", "softmax", axis=1)(conv(tensor))


def carried_settings(config: Mapping[str, Any], rank: int) -> dict[str, Any]:
    """Return what a Dense layer says about training, for the convolution in its place.

    A constraint on each unit's inputs (`axis=0` of a Dense kernel) is one on the window and the
    channels. Regularizers and constraints that need a matrix are left out.
    """
    names = ("trainable", "kernel_initializer", "bias_initializer", "bias_regularizer")
    settings = {name: config[name] for name in (*names, "bias_constraint") if name in config}
    regularizer = config.get("kernel_regularizer")
    if _class_name(regularizer) != "OrthogonalRegularizer":
        settings["kernel_regularizer"] = regularizer
    constraint = config.get("kernel_constraint")
    if isinstance(constraint, Mapping) and "axis" in constraint.get("config", {}):
        axis = {0: list(range(rank + 1)), 1: [rank + 1]}.get(constraint["config"]["axis"])
        constraint = {**constraint, "config": {**constraint["config"], "axis": axis}}
    settings["kernel_constraint"] = constraint
    return settings


def _class_name(data: Any) -> str:
    return str(data.get("class_name")) if isinstance(data, Mapping) else str(data)
