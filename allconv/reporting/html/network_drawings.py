"""The drawings of a report: the network before and after, on one scale, and their legend."""

from __future__ import annotations

from collections.abc import Container

from allconv.graph import ITEM, Graph, Node
from allconv.layers import kinds
from allconv.reporting.facts import Facts
from allconv.reporting.html.drawing import drawing
from allconv.reporting.html.layering import columns_of
from allconv.reporting.html.tensor_boxes import Item, Scale
from allconv.reporting.rows import Row, layer_words
from allconv.reporting.text_table import count_words, shape_words
from allconv.shape_walk import shapes_at
from allconv.shapes import Shape

MOST_NODES, MOST_PASSED = 2500, 40_000
"""Most nodes of a drawing, and most columns that its links pass in all.

NASNetLarge, the longest network of keras.applications, becomes 1,196 nodes with 3,275 columns.
Nobody could read more, and no file may make a page take long.
"""

LEGEND = {
    "conv": "convolution",
    "pool": "pool",
    "dense": "Dense",
    "cell": "other layers",
    "changed": "changes, or was put in its place",
    "blocks": "stands in the way",
    "free": "a size is free or unknown",
}


def legend() -> str:
    """Explain the looks of tensor_boxes."""
    samples = "".join(
        f'<li><svg aria-hidden="true" width="16" height="14"><g class="node {look}">'
        f'<path class="m" d="M1 1h14v12h-14z"/></g></svg> {words}</li>'
        for look, words in LEGEND.items()
    )
    return f'<ul class="legend">{samples}</ul>'


def sides(report: Facts) -> dict[str, list[Item]] | None:
    """Lay out the network before and after; None where it is too large to draw."""
    if not (_is_drawn(report.plan.before) and _is_drawn(report.plan.after)):
        return None
    return {"before": _items_before(report), "after": _items_after(report)}


def drawings(report: Facts) -> str:
    """Draw the network before and after, in boxes that scroll; say so where it is too large."""
    found = sides(report)
    if found is None:
        return (
            f"<p>The drawings are left out: they are made of up to {MOST_NODES:,} layers, whose "
            f"links pass up to {MOST_PASSED:,} columns.</p>"
        )
    scale = Scale.of(item for items in found.values() for item in items)
    return "\n".join(
        f'<figure><figcaption><h3 id="drawn-{when}">{when.title()}</h3>'
        f"<span>{count_words(len(items))} {'layer' if len(items) == 1 else 'layers'}</span>"
        '<span class="zoom scripted" hidden></span></figcaption>'
        f'<div class="scroll" tabindex="0" role="region" aria-labelledby="drawn-{when}">'
        f"{drawing(items, scale, f'The network {when} the conversion', when[0])}</div></figure>"
        for when, items in found.items()
    )


def _is_drawn(graph: Graph) -> bool:
    return len(graph.nodes) <= MOST_NODES and _passed(graph) <= MOST_PASSED


def _passed(graph: Graph) -> int:
    """Count the columns that the links of a graph pass in all: the work of drawing it."""
    number = {node: index for index, node in enumerate(graph.nodes)}
    inputs = [[number[source] for source in node.inputs] for node in graph.nodes]
    columns = columns_of(inputs)
    return sum(
        columns[node] - columns[source] for node, links in enumerate(inputs) for source in links
    )


def _items_before(report: Facts) -> list[Item]:
    rows = {row.layer: row for row in report.rows}
    return [
        _item(node, node.shape, rows[_layer(node).name], report.blocking)
        for node in report.plan.before.nodes
    ]


def _items_after(report: Facts) -> list[Item]:
    rows = {row.layer: row for row in report.rows}
    shapes, origins = _shapes_after(report), report.plan.origins
    return [
        _item(node, shapes[node], rows[origins[_layer(node).spec].name], report.blocking)
        for node in report.plan.after.nodes
    ]


def _layer(node: Node) -> Node:
    """Find the node of the layer that a tensor comes from; further tensors are no layers."""
    while node.kind == ITEM:
        node = node.inputs[0]
    return node


def _shapes_after(report: Facts) -> dict[Node, Shape | None]:
    """Return the result's shapes; where it takes any size, those at the model's own."""
    after = report.plan.after
    if report.input_size != "any":
        return {node: node.shape for node in after.nodes}
    pairs = zip(after.inputs, report.plan.before.inputs, strict=True)
    return shapes_at(after, {new: old.shape for new, old in pairs if old.shape})[0]


def _item(node: Node, shape: Shape | None, row: Row, blocking: Container[str]) -> Item:
    looks = [_group(node.kind)]
    looks += ["changed"] if row.changed else []
    looks += ["blocks"] if node.name in blocking else []
    part = "" if node.name == row.layer else f", for {row.layer}"
    title = f"{node.name}: {layer_words(node.spec)}, {shape_words(shape)}{part}"
    return Item(node, shape, row.position, " ".join(looks), title)


def _group(kind: str) -> str:
    """Say how a layer is drawn: as `"conv"`, `"pool"`, `"dense"`, or `"cell"` for all others."""
    if kind in kinds.CONVOLUTIONS:
        return "conv"
    if "Pooling" in kind:
        return "pool"
    return "dense" if kind == "Dense" else "cell"
