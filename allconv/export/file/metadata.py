"""What an ONNX file says of itself, under `metadata_props`."""

from __future__ import annotations

import json
from dataclasses import asdict
from importlib.metadata import version

from allconv.errors import ConversionError
from allconv.geometry import graph_geometry
from allconv.graph import Graph
from allconv.obstacles import is_fully_convolutional
from allconv.sizes.image_sizes import free_sizes, has_free_sizes

VERSION = "allconv.version"
SIZES = "image_sizes"


def metadata(graph: Graph, *, source: str, plan: str, data_format: str) -> dict[str, str]:
    """Return version, source, what was done, which images it takes and where the cells look.

    Args:
        graph: The network.
        source: What it was read from.
        plan: What was done to it, in a line; "" for nothing that is known.
        data_format: How maps lie at the inputs and outputs.
    """
    said = {VERSION: version("allconv"), "source": encodable(source), "data_format": data_format}
    if plan:
        said["plan"] = plan
    geometry = graph_geometry(graph) if is_fully_convolutional(graph) else None
    if geometry is not None:
        said["geometry"] = json.dumps(asdict(geometry))
    return said | _image_sizes(graph)


def _image_sizes(graph: Graph) -> dict[str, str]:
    """Return the smallest image that a network of free sizes takes, and the step to larger ones.

    ONNX has no words for it, and ONNX Runtime may give numbers for a smaller one.
    """
    try:
        return {SIZES: json.dumps(asdict(free_sizes(graph)))} if has_free_sizes(graph) else {}
    except ConversionError:  # nothing is known of a layer
        return {}


def encodable(text: str) -> str:
    """Make a text fit for UTF-8, which ONNX insists on and JSON and file systems do not."""
    return text.encode("utf-8", "replace").decode()
