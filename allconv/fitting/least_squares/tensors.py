"""Values inside a network: any nodes of its graph, on batches of inputs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from allconv.building.build import build
from allconv.errors import CalibrationError, first_line, lack_of_memory
from allconv.graph import Graph, Node, Slot
from allconv.verification.logits import runner

Inputs = Sequence[np.ndarray]


def values_at(
    graph: Graph, nodes: Sequence[Node], role: str
) -> Callable[[Inputs], list[np.ndarray]]:
    """Make a function from the inputs of a network to the values of some of its tensors.

    Only what these tensors need is run.

    Args:
        graph: The network.
        nodes: Tensors of it, or made of tensors of it.
        role: What messages call the network.

    Raises:
        CalibrationError: By the function that is returned, where the network fails on its inputs.
    """
    part = replace(
        graph.with_outputs(graph.inputs, nodes),
        input_structure=[Slot(i) for i in range(len(graph.inputs))],
        output_structure=[Slot(i) for i in range(len(nodes))],
        sequential=False,
    )
    run = runner(build(part))

    def values(inputs: Inputs) -> list[np.ndarray]:
        try:
            return run(inputs)
        except Exception as error:  # each backend raises kinds of its own
            if lack_of_memory(error):
                raise
            what = f"{type(error).__name__}: {first_line(error)[:200]}"
            raise CalibrationError(f"the {role} fails on these images: {what}") from error

    return values


def channels_last(values: np.ndarray, data_format: str) -> np.ndarray:
    """Move the channels of a map to the end."""
    is_map = values.ndim > 2
    return np.moveaxis(values, 1, -1) if is_map and data_format == "channels_first" else values
