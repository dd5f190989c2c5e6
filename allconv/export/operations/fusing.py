"""What a convolution does beside convolving: pads its input, scales and shifts channels.

A convolution is linear, so a factor and a summand for each channel behind it go into its kernel and
bias, and those before it too where it does not pad: `K (s x + t) + b = (K s) x + (K t + b)`. It
takes in a Pad with zeros. Products and sums are made in float64.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from allconv.export.operations.kernel_algebra import (
    by_channel,
    scaled_inputs,
    scaled_results,
    summed,
)
from allconv.export.operations.maxima import maxima_without_sub
from allconv.export.operations.onnx_graph import Operation, Operations
from allconv.export.operations.simplifying import pruned, with_constants_once

LINEAR = ("Conv", "ConvTranspose")
Affine = tuple[np.ndarray, np.ndarray]
"""A factor and a summand, each one number or one for each channel."""


def fused(graph: Operations) -> Operations:
    """The same computation with fewer operations, and without those that no output needs."""
    fuser = _Fuser(pruned(graph))
    while fuser.pass_over():
        fuser = _Fuser(pruned(fuser.result()))
    return with_constants_once(maxima_without_sub(fuser.graph))


class _Fuser:
    """One pass over a graph; what is fused in it is not looked at again."""

    def __init__(self, graph: Operations) -> None:
        self.graph = graph
        self.constants = dict(graph.constants)
        self.producers = {name: op for op in graph.operations for name in op.outputs}
        users = graph.users()
        self.outputs = {tensor.name for tensor in graph.outputs}
        self.once = {name for name, taking in users.items() if len(taking) == 1} - self.outputs
        self.replaced: dict[Operation, Operation | None] = {}
        self.same: dict[str, str] = {}

    def pass_over(self) -> bool:
        """Fuse what can be; whether anything was."""
        attempts: tuple[Callable[[Operation], bool], ...] = (
            self.idle,
            self.behind_convolution,
            self.before_convolution,
            self.pad_before_convolution,
        )
        for operation in self.graph.operations:
            if operation not in self.replaced:
                any(attempt(operation) for attempt in attempts)
        return bool(self.replaced)

    def result(self) -> Operations:
        """The graph after the pass."""
        operations = [self.replaced.get(op, op) for op in self.graph.operations]
        kept = tuple(
            replace(operation, inputs=tuple(map(self.instead, operation.inputs)))
            for operation in operations
            if operation is not None
        )
        return replace(self.graph, operations=kept, constants=self.constants)

    def instead(self, name: str) -> str:
        """The tensor that stands for one whose operation did nothing."""
        while name in self.same:
            name = self.same[name]
        return name

    def idle(self, operation: Operation) -> bool:
        """A factor of one, a summand of zero."""
        found = self.affine(operation)
        if found is None or operation.outputs[0] in self.outputs:
            return False
        tensor, (scale, shift) = found
        if (scale != 1).any() or shift.any():
            return False
        self.same[operation.outputs[0]] = tensor
        self.replaced[operation] = None
        return True

    def behind_convolution(self, operation: Operation) -> bool:
        """Convolution, then a factor or summand for each channel."""
        found = self.affine(operation)
        if found is None:
            return False
        tensor, (scale, shift) = found
        conv = self.producers.get(tensor)
        if conv is None or not self.is_linear(conv) or not self.is_free(conv, tensor):
            return False
        kernel, bias = self.weights(conv)
        channels = self.channels(conv, kernel)
        if not all(values.size in (1, channels) for values in (scale, shift)):
            return False
        scale, shift = (np.broadcast_to(values, channels) for values in (scale, shift))
        self.put(conv, scaled_results(conv, kernel, scale), scale * bias + shift, operation)
        self.replaced[operation] = None
        return True

    def before_convolution(self, conv: Operation) -> bool:
        """A factor for each channel, and where nothing is padded a summand, then a convolution."""
        source = self.producers.get(conv.inputs[0]) if self.is_linear(conv) else None
        found = None if source is None else self.affine(source)
        if source is None or found is None or not self.is_free(source, conv.inputs[0]):
            return False
        tensor, (scale, shift) = found
        if shift.any() and (conv.kind != "Conv" or _pads(conv)):
            return False
        kernel, bias = self.weights(conv)
        groups = conv.attributes.get("group", 1)
        channels = kernel.shape[0] if conv.kind == "ConvTranspose" else kernel.shape[1] * groups
        if not all(values.size in (1, channels) for values in (scale, shift)):
            return False
        scale, shift = (np.broadcast_to(values, channels) for values in (scale, shift))
        moved = bias + summed(conv, kernel, shift) if shift.any() else bias
        fresh = replace(conv, inputs=(tensor, *conv.inputs[1:]))
        self.put(conv, scaled_inputs(conv, kernel, scale), moved, conv, fresh)
        self.replaced[source] = None
        return True

    def pad_before_convolution(self, conv: Operation) -> bool:
        """A Pad with zeros along the axes of a convolution."""
        pad = self.producers.get(conv.inputs[0]) if conv.kind == "Conv" else None
        if pad is None or pad.kind != "Pad" or "auto_pad" in conv.attributes:
            return False
        value = self.constants[pad.inputs[2]] if len(pad.inputs) > 2 else np.zeros(1)
        pads = self.constants[pad.inputs[1]].reshape(2, -1)
        mode = pad.attributes.get("mode", b"constant")
        if value.any() or mode not in (b"constant", "constant") or pads[:, :2].any():
            return False
        rank = pads.shape[1] - 2
        own = np.array(conv.attributes.get("pads", [0] * 2 * rank)).reshape(2, rank)
        if (pads < 0).any():
            return False
        attributes = dict(conv.attributes)
        if (total := own + pads[:, 2:]).any():
            attributes["pads"] = total.reshape(-1).tolist()
        inputs = (pad.inputs[0], *conv.inputs[1:])
        self.replaced[conv] = replace(conv, inputs=inputs, attributes=attributes)
        return True

    def affine(self, operation: Operation) -> tuple[str, Affine] | None:
        """The tensor, factor and summand of an Add, Sub, Mul or Div with a constant."""
        if operation.kind not in ("Add", "Sub", "Mul", "Div") or operation in self.replaced:
            return None
        first, second = operation.inputs
        if first in self.constants and operation.kind in ("Add", "Mul"):
            first, second = second, first
        if second not in self.constants or first in self.constants:
            return None
        values = by_channel(self.constants[second])
        if values is None or (operation.kind == "Div" and not values.all()):
            return None
        one, zero = np.ones(1), np.zeros(1)
        kinds = {"Add": (one, values), "Sub": (one, -values), "Mul": (values, zero)}
        return first, kinds.get(operation.kind) or (1 / values, zero)

    def is_free(self, operation: Operation, tensor: str) -> bool:
        """Whether an operation may go, its result being taken once and it as it was."""
        return tensor in self.once and operation not in self.replaced

    def is_linear(self, operation: Operation) -> bool:
        """Whether it is a convolution by a kernel that is known."""
        return operation.kind in LINEAR and operation.inputs[1] in self.constants

    def weights(self, conv: Operation) -> tuple[np.ndarray, np.ndarray]:
        """Kernel and bias of a convolution, this in float64."""
        kernel = self.constants[conv.inputs[1]]
        if len(conv.inputs) > 2:
            return kernel, self.constants[conv.inputs[2]].astype("float64")
        return kernel, np.zeros(self.channels(conv, kernel))

    def channels(self, conv: Operation, kernel: np.ndarray) -> int:
        """The number of channels that a convolution gives."""
        groups = conv.attributes.get("group", 1)
        return int(kernel.shape[1] * groups if conv.kind == "ConvTranspose" else kernel.shape[0])

    def put(
        self,
        conv: Operation,
        kernel: np.ndarray,
        bias: np.ndarray,
        last: Operation,
        fresh: Operation | None = None,
    ) -> None:
        """Replace a convolution by one with other weights that gives what `last` gave."""
        names = [f"{last.outputs[0]}_{role}" for role in ("kernel", "bias")]
        self.constants |= {names[0]: kernel, names[1]: bias.astype("float32")}
        made = fresh or conv
        self.replaced[conv] = replace(made, inputs=(made.inputs[0], *names), outputs=last.outputs)


def _pads(conv: Operation) -> bool:
    return "auto_pad" in conv.attributes or any(conv.attributes.get("pads", ()))
