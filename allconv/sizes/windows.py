"""How a layer's window lies on its map, axis by axis: of convolutions and pools."""

from __future__ import annotations

from allconv.graph import Node
from allconv.layers.map_shapes import by_axis
from allconv.layout import layout
from allconv.shapes import padding_cells

Margin = tuple[int, int]
"""Cells before and behind."""


def window_axes(node: Node) -> list[tuple[int | None, int, int, int]]:
    """List along each axis the size of the map before, the window, its stride, its dilation."""
    config = node.config
    window = config.get("kernel_size") or config["pool_size"]
    strides = config.get("strides") or config.get("pool_size", 1)
    sizes = layout(node.inputs[0], config.get("data_format")).sizes
    return list(by_axis(sizes, window, strides, config.get("dilation_rate", 1)))


def window_padding(node: Node) -> list[Margin]:
    """Count the cells that a window's padding adds; at a free size, of a multiple of the stride."""
    padding = node.config.get("padding", "valid")
    return [
        padding_cells(size or stride, cells, stride, padding, dilation)
        for size, cells, stride, dilation in window_axes(node)
    ]
