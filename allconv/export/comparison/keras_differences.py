"""Where Keras on TensorFlow gives other numbers than on other backends, and in ONNX."""

from __future__ import annotations

from collections.abc import Mapping

from allconv.graph import Graph, Node
from allconv.layers.kinds import AVERAGE_POOLS, CONVOLUTIONS, MAX_POOLS
from allconv.layers.map_shapes import by_axis
from allconv.layout import is_biased_along_width
from allconv.shapes import Shape

TABLE = 1024
"""Places between two cells at which TensorFlow knows bicubic weights; others are moved there."""

TABLE_ERROR = 2e-3
"""What that costs at most, of a map's largest value, the slope of these weights being below one."""


def table_error(graph: Graph) -> float:
    """Say how far TensorFlow's numbers may be off the bicubic interpolation that they stand for."""
    return TABLE_ERROR * any(map(_is_off_the_table, graph.nodes)) * _on_tensorflow()


def known_difference(graph: Graph) -> str:
    """Say why numbers may differ though nothing is wrong with the file; "" for no reason."""
    if not _on_tensorflow():
        return ""
    for node in graph.nodes:
        if is_biased_along_width(node, node.shape):
            return (
                f"Keras on TensorFlow adds the bias of '{node.name}' along its rows, which are as "
                "long as it has channels; verify=False writes what other backends compute"
            )
        if _leaves_cells_out(node):
            return (
                f"Keras on TensorFlow pads '{node.name}' by a negative number of cells, as its "
                "strides are larger than its window; verify=False writes what other backends "
                "compute"
            )
    return ""


def differs_at(shapes: Mapping[Node, Shape | None]) -> bool:
    """Tell whether Keras adds a bias along rows on maps of these shapes, not at other sizes."""
    return _on_tensorflow() and any(
        is_biased_along_width(node, shape) for node, shape in shapes.items()
    )


def _on_tensorflow() -> bool:
    import keras

    return bool(keras.config.backend() == "tensorflow")


def _is_off_the_table(node: Node) -> bool:
    """Tell whether a bicubic UpSampling2D has factors that are not powers of two."""
    if node.kind != "UpSampling2D" or node.config["interpolation"] != "bicubic":
        return False
    return any(TABLE % (2 * factor) for _, factor in by_axis(range(2), node.config["size"]))


def _leaves_cells_out(node: Node) -> bool:
    """Tell whether a `same` layer of three axes has strides two or more above its window."""
    config = node.config
    pools = node.kind in MAX_POOLS | AVERAGE_POOLS
    if not (pools or node.kind in CONVOLUTIONS) or not node.kind.endswith("3D"):
        return False
    window = config["pool_size" if pools else "kernel_size"]
    exceeds = any(k + 1 < s for _, k, s in by_axis(range(3), window, config["strides"]))
    return exceeds and config["padding"] == "same"
