"""Graphs of plain data, for tests of the engine: no framework is needed to make them."""

from __future__ import annotations

import numpy as np

from allconv.graph import Graph, Node, Spec
from allconv.rule import rule
from allconv.weights import derive


def image(name="image", shape=(None, 8, 8, 3)):
    return Spec("InputLayer", name, {"batch_shape": shape})()


def conv(name, filters=3, inputs=3, size=1, **config):
    shape = (size, size, inputs, filters)
    settings = {
        "filters": filters,
        "kernel_size": (size, size),
        "strides": (1, 1),
        "dilation_rate": (1, 1),
        "padding": "valid",
        "data_format": "channels_last",
        "groups": 1,
        "use_bias": False,
        **config,
    }
    return Spec("Conv2D", name, settings, {"kernel": derive(np.ones, shape, shape=shape)})


def relu(name):
    return Spec("ReLU", name, {})


def graph(inputs: list[Node], outputs: list[Node]) -> Graph:
    return Graph("net", (), (), ()).with_outputs(inputs, outputs)


def names(plan):
    return [node.name for node in plan.after.nodes]


@rule(layer="Conv2D", keeps="function")
def conv_to_doubled(match):
    """Conv2D  ->  Conv2D of twice the kernel, once."""
    node = match.node
    if node.config.get("doubled"):
        return match.skip("it is doubled already")
    weights = {"kernel": derive(np.multiply, node.spec.weights["kernel"], 2, shape=(1, 1, 3, 3))}
    return match.layer("Conv2D", "", weights, **{**node.config, "doubled": True})(
        match.before(node)
    )
