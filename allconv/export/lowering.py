"""The last rewrites before an export: what ONNX says better in another way.

Networks are exported in float32; whoever wants 16 bits makes them of the file. Layers that are idle
at inference go, BatchNormalizations are folded where a convolution before them takes them in, and
a Dense on a map becomes the 1x1 convolution that it is.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from allconv.errors import ExportError
from allconv.graph import Graph, Node, Spec
from allconv.layers.kinds import AVERAGE_POOLS, IDENTITY_AT_INFERENCE, MAX_POOLS
from allconv.layers.map_shapes import by_axis
from allconv.layout import layout
from allconv.names import free_name
from allconv.rewrite import rewrite
from allconv.rule import Match, Outcome, rule
from allconv.rules.batchnorm import conv_batchnorm_to_conv
from allconv.rules.dense import dense_on_map_to_conv

OTHER_FLOATS = ("float16", "bfloat16", "float64")
SCOPE = re.compile(r"[A-Za-z0-9.][A-Za-z0-9_.\\>-]*")


@rule(layer=IDENTITY_AT_INFERENCE, keeps="function")
def idle_to_nothing(match: Match) -> Outcome:
    """Dropout, noise, augmentation  ->  nothing: none of them acts at inference."""
    return match.before(match.node)


RULES = (idle_to_nothing, conv_batchnorm_to_conv, dense_on_map_to_conv)


def lowered(graph: Graph) -> Graph:
    """Return the same network in float32, without idle layers; never a Sequential.

    Raises:
        ExportError: A layer is called with `training=True`, and gives random numbers, or numbers
            of each batch; or ONNX Runtime has no pool that computes as one of the network.
    """
    _refuse_training(graph)
    _refuse_strides(graph)
    return replace(rewrite(in_float32(graph), RULES).after, sequential=False)


def _refuse_training(graph: Graph) -> None:
    trained = [repr(node.spec) for node in graph.nodes if _is_in_training(node)]
    if trained:
        raise ExportError(
            f"model '{graph.name}' calls these layers with training=True, which a file for "
            f"inference cannot do: {', '.join(trained)}; call them without it"
        )


def _is_in_training(node: Node) -> bool:
    """Tell whether a call says `training=True`; layers for images note that without a word."""
    import keras

    layer = getattr(keras.layers, node.kind, None)
    said = inspect.signature(layer.call).parameters.get("training") if layer else None
    return bool(node.kwargs.get("training")) and not (said and said.default is True)


def _refuse_strides(graph: Graph) -> None:
    """Refuse pools that ONNX Runtime runs at some sizes of the map and not at others.

    Where padding `same` would be less than nothing, as a stride is larger than the window, it
    fails. It is not asked where `window_operators` says the padding in numbers.
    """
    wide = [repr(node.spec) for node in graph.nodes if _may_pad_by_less_than_nothing(node)]
    if wide:
        raise ExportError(
            f"model '{graph.name}' has pools with padding 'same' and strides larger than their "
            f"windows, which ONNX Runtime does not run on maps of every size: {', '.join(wide)}; "
            "convert the model first, or export it for one size"
        )


def _may_pad_by_less_than_nothing(node: Node) -> bool:
    if node.kind not in MAX_POOLS | AVERAGE_POOLS or node.config["padding"] != "same":
        return False
    sizes = layout(node.inputs[0]).sizes
    axes = list(by_axis(sizes, node.config["pool_size"], node.config["strides"]))
    is_left_to_the_runtime = any(size is None and k > 2 and s > 1 for size, k, s in axes)
    return is_left_to_the_runtime and any(s > k for _, k, s in axes)


def in_tensorflow_words(graph: Graph) -> Graph:
    """Name the layers so that TensorFlow can name scopes after them, and Keras layers.

    Keras takes no slash, which files of Keras 2 may have.
    """
    odd = [spec for spec in graph.specs() if not SCOPE.fullmatch(spec.name)]
    taken = dict.fromkeys((spec.name for spec in graph.specs()), 0)
    return graph.with_specs(
        {
            spec: replace(spec, name=free_name(f"layer-{number}", taken))
            for number, spec in enumerate(odd)
        }
    )


def in_float32(graph: Graph) -> Graph:
    """Return the network computing in float32 on the same weights; itself where it already does."""
    specs = {spec: _in_float32(spec) for spec in graph.specs()}
    return graph if all(new is old for old, new in specs.items()) else graph.with_specs(specs)


def _in_float32(spec: Spec) -> Spec:
    config = {key: _policy(key, value) for key, value in spec.config.items()}
    return spec if config == dict(spec.config) else replace(spec, config=config)


def _policy(key: str, value: Any) -> Any:
    """Turn a dtype, or the policy of one, into float32 where it is another float."""
    if key == "dtype" and isinstance(value, Mapping):
        name = value.get("config", {}).get("name", "")
        return "float32" if _is_other_float(name) else value
    return "float32" if key == "dtype" and _is_other_float(value) else value


def _is_other_float(name: Any) -> bool:
    return isinstance(name, str) and name.removeprefix("mixed_") in OTHER_FLOATS
