"""The last layer of a classifier, as the layer that scores each cell: logits, background first."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from allconv.errors import ConversionError
from allconv.graph import Graph, Node, Spec, call
from allconv.layers import kinds
from allconv.layers.layer_shapes import is_adapted
from allconv.layout import layout
from allconv.verification.logits import SATURATING
from allconv.weights import Array, derive, fresh


def scored(maps: Graph, classes: int | None, background: bool) -> Graph:
    """Return a network that gives a score for each class in each cell.

    Args:
        maps: Gives the class map of a classifier, for images of its own size.
        classes: Whose score layer starts fresh; None to carry the classifier's own weights.
        background: Put a class before the others that begins at zero.

    Raises:
        ConversionError: The last layer with weights is no convolution.
    """
    score = score_layer(maps.outputs[0])
    before = _without_mean(score.inputs[0])
    node = call(_score_spec(score, classes, background), [before])
    return replace(maps.with_outputs(maps.inputs, [node]), sequential=maps.sequential)


def score_layer(output: Node) -> Node:
    """Find the convolution whose results are a network's scores, above a last activation."""
    node = output
    while node.kind in kinds.IDENTITY_AT_INFERENCE or _is_last_activation(node):
        node = node.inputs[0]
    activation = node.config.get("activation")
    is_plain = node.kind in kinds.PLAIN_CONVOLUTIONS and node.config.get("groups", 1) == 1
    if not is_plain or is_adapted(node.config) or activation not in {"linear", *SATURATING}:
        raise ConversionError(
            f"layer '{node.name}' ({node.kind}) gives the last map, and no scores can be taken "
            "from it; expected a Dense or a convolution without groups, with the activation "
            "softmax, sigmoid, tanh or none, whose weights are not quantized"
        )
    return node


def _is_last_activation(node: Node) -> bool:
    name = "softmax" if node.kind == "Softmax" else node.config.get("activation")
    return node.kind in ("Softmax", "Activation") and name in {"linear", *SATURATING}


def _without_mean(node: Node) -> Node:
    """Leave out a last mean of the whole map, so that each of its cells is scored by itself.

    By a mean and a linear layer the score of the image is the mean of the scores of its cells.
    """
    if len(node.inputs) != 1 or not layout(node).is_cell:
        return node
    source = node.inputs[0]
    if node.kind in kinds.AVERAGE_POOLS and not layout(source).is_cell:
        return source
    if layout(source).is_cell:
        above = _without_mean(source)
        return node if above is source else call(node.spec, [above], node.args, node.kwargs)
    return node


def _score_spec(score: Node, classes: int | None, background: bool) -> Spec:
    """Write the layer that scores, of the weights of the classifier's or of fresh ones."""
    spec = score.spec
    kernel, bias = spec.weights["kernel"], spec.weights.get("bias")
    before = int(background)
    filters = before + (kernel.shape[-1] if classes is None else classes)
    weights = {
        name: _with_classes(array, filters, before, classes is not None)
        for name, array in (("kernel", kernel), ("bias", bias))
        if array is not None
    }
    config = {"filters": filters, "activation": "linear"}
    if classes is not None:
        config["trainable"] = True
    return replace(spec.with_config(**config), weights=weights)


def _with_classes(array: Array, filters: int, before: int, is_fresh: bool) -> Array:
    shape = (*array.shape[:-1], filters)
    if is_fresh:
        return fresh(shape, array.dtype)
    return derive(_with_zeros, array, before, shape=shape) if before else array


def _with_zeros(values: np.ndarray, before: int) -> np.ndarray:
    return np.pad(values, [(0, 0)] * (values.ndim - 1) + [(before, 0)])
