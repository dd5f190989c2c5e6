"""What a rule of fusion sees of an ONNX graph, and what it answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from allconv.export.operations.kernel_algebra import channels_out
from allconv.export.operations.onnx_graph import Operation, Operations

CONVOLUTIONS = ("Conv", "ConvTranspose")
_KEEPING = frozenset({"Relu", "Sigmoid", "Tanh", "Pad", "LeakyRelu", "Elu", "Identity", "Cast"})
"""Operators that give as many channels as they take."""


@dataclass(frozen=True)
class Fusion:
    """What a rule makes of some operations.

    Attributes:
        replaced: Each operation that changes, and what takes its place; None where it goes.
        constants: New constants, by name.
        same: Tensors that are gone, each with the one that has the same values.
    """

    replaced: Mapping[Operation, Operation | None]
    constants: Mapping[str, np.ndarray] = field(default_factory=dict)
    same: Mapping[str, str] = field(default_factory=dict)


class Neighbours:
    """Who gives a tensor, and who takes it.

    Attributes:
        constants: The graph's constants, by name.
        outputs: The names of its outputs.
        changed: Operations that a fusion of this pass has replaced; they are not looked at again.
    """

    def __init__(self, graph: Operations) -> None:
        self.constants = graph.constants
        self._inputs = {tensor.name: tensor.shape for tensor in graph.inputs}
        self.outputs = {tensor.name for tensor in graph.outputs}
        self.changed: set[Operation] = set()
        self._producers = {name: op for op in graph.operations for name in op.outputs}
        users = graph.users()
        self._once = {name for name, taking in users.items() if len(taking) == 1} - self.outputs

    def channels(self, tensor: str) -> int | None:
        """Return how many channels a tensor has; None where that is not known.

        A constant with a value for each of several channels widens a map of one.
        """
        if tensor in self._inputs:
            shape = self._inputs[tensor]
            return shape[1] if len(shape) > 1 else None
        operation = self._producers.get(tensor)
        if operation is None:
            return None
        if operation.kind in CONVOLUTIONS and operation.inputs[1] in self.constants:
            return channels_out(operation, self.constants[operation.inputs[1]])
        if operation.kind in _KEEPING:
            return self.channels(operation.inputs[0])
        return None

    def producer(self, tensor: str) -> Operation | None:
        """Return the operation that gives a tensor, if it is still as it was."""
        operation = self._producers.get(tensor)
        return None if operation in self.changed else operation

    def only_producer(self, tensor: str) -> Operation | None:
        """Return the operation that gives a tensor, if that tensor is taken once and no output."""
        return self.producer(tensor) if tensor in self._once else None
