"""What an ONNX file says of itself, under `metadata_props`."""

from __future__ import annotations

import json
from dataclasses import asdict
from importlib.metadata import version

from allconv.geometry import graph_geometry
from allconv.graph import Graph
from allconv.obstacles import is_all_convolutional

VERSION = "allconv.version"


def metadata(graph: Graph, *, source: str, plan: str, layout: str) -> dict[str, str]:
    """Version, source, what was done, and where the cells of the output look.

    Args:
        graph: The network.
        source: What it was read from.
        plan: What was done to it, in a line; "" for nothing that is known.
        layout: How maps lie at the inputs and outputs.
    """
    said = {VERSION: version("allconv"), "source": encodable(source), "layout": layout}
    if plan:
        said["plan"] = plan
    geometry = graph_geometry(graph) if is_all_convolutional(graph) else None
    if geometry is not None:
        said["geometry"] = json.dumps(asdict(geometry))
    return said


def encodable(text: str) -> str:
    """A text as UTF-8 has it, which JSON and file systems do not insist on and ONNX does."""
    return text.encode("utf-8", "replace").decode()
