"""An ONNX graph as plain data, easier to rewrite than ONNX' own messages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from allconv.shapes import Shape


@dataclass(frozen=True, eq=False)
class Operation:
    """One node of an ONNX graph.

    Attributes:
        kind: ONNX' name of the operator.
        inputs: Names of the tensors that it takes; "" where an optional one is left out.
        outputs: Names of those that it gives.
        attributes: As `onnx.helper.make_node` takes them.
        call: Which call of a layer it is part of: its place among the nodes of allconv's graph.
    """

    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any] = field(default_factory=dict)
    call: int = 0


@dataclass(frozen=True)
class Tensor:
    """An input or an output of an ONNX graph: its name, its element type as NumPy's, its shape."""

    name: str
    dtype: str
    shape: Shape


@dataclass(frozen=True, eq=False)
class Operations:
    """A whole ONNX graph.

    Attributes:
        operations: In an order in which they can be computed.
        constants: Weights and other constant tensors, by name.
        inputs: What the graph takes.
        outputs: What it gives.
        shapes: What is known of the shapes of the tensors between them.
        dtypes: Their element types.
    """

    operations: tuple[Operation, ...]
    constants: Mapping[str, np.ndarray]
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    shapes: Mapping[str, Shape] = field(default_factory=dict)
    dtypes: Mapping[str, str] = field(default_factory=dict)

    def users(self) -> dict[str, list[Operation]]:
        """Collect the operations that take each tensor; an output of the graph is not counted."""
        users: dict[str, list[Operation]] = {}
        for operation in self.operations:
            for name in dict.fromkeys(operation.inputs):
                users.setdefault(name, []).append(operation)
        return users
