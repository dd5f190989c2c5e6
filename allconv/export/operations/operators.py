"""How each of ONNX' operators is computed on tensors as they lie instead of as they are seen.

An operator that is not listed takes its inputs as they are seen, which may cost a Transpose.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from allconv.export.operations.axis_operators import (
    along_axis,
    along_named_axis,
    cut,
    pad,
    reduction,
)
from allconv.export.operations.broadcasting import aligned
from allconv.export.operations.graph_writer import Inputs, Value, Writer, constant, plain_view, seen
from allconv.export.operations.onnx_graph import Operation
from allconv.export.operations.shape_operators import reshape, same, squeeze, transpose, unsqueeze
from allconv.export.operations.tensor_view import View
from allconv.export.operations.window_operators import windowed
from allconv.shapes import Shape

Rewrite = Callable[[Writer, Operation, Inputs, Sequence[Shape]], "list[Value] | None"]
"""Writes an operation, or says None: not in this case. The last argument is the outputs' shapes."""

NEUTRAL: Mapping[str, float] = {"Add": 0.0, "Sub": 0.0, "Mul": 1.0, "Div": 1.0}
"""What changes nothing as the second input of these operators."""

ELEMENTWISE: frozenset[str] = frozenset(
    """Abs Add And Cast Ceil Clip Cos Div Elu Equal Erf Exp Floor Gelu Greater GreaterOrEqual
    HardSigmoid HardSwish LeakyRelu Less LessOrEqual Log Max Mean Min Mish Mod Mul Neg Not
    Or PRelu Pow Reciprocal Relu Round Selu Sigmoid Sign Sin Softplus Softsign Sqrt Sub Sum
    Tan Tanh ThresholdedRelu Where Xor""".split()  # noqa: SIM905
)
"""Operators that make each value from the values in its place."""


def elementwise(
    writer: Writer, operation: Operation, inputs: Inputs, shapes: Sequence[Shape]
) -> list[Value] | None:
    """Make each value from the values in its place, those of smaller tensors repeated."""
    if _is_idle(operation, inputs, shapes[0]):
        return [seen(inputs[0]).of_rank(len(shapes[0]))]
    kind, values = operation.kind, list(inputs)
    if kind == "Div" and _has_reciprocal(values[1]):  # fewer targets divide
        kind, values[1] = "Mul", np.reciprocal(constant(values[1]))
    names, lying = aligned(writer, values)
    (name,) = writer.write(kind, names, operation.attributes)
    return [View(name, lying.rank, lying.axes, shapes[0])]


def _is_idle(operation: Operation, inputs: Inputs, shape: Shape) -> bool:
    """Tell whether a sum with zeros or a product with ones is no larger than its other operand."""
    neutral = NEUTRAL.get(operation.kind)
    if neutral is None or not isinstance(inputs[1], np.ndarray) or inputs[0] is None:
        return False
    fits = inputs[1].size == 1 or (inputs[0].shape == shape and None not in shape[1:])
    return fits and bool((inputs[1] == neutral).all())


def _has_reciprocal(value: Value | None) -> bool:
    return isinstance(value, np.ndarray) and value.dtype.kind == "f" and bool(value.all())


def as_seen(
    writer: Writer, operation: Operation, inputs: Inputs, shapes: Sequence[Shape]
) -> list[Value]:
    """Write any other operator on tensors as they are seen."""
    names = ["" if value is None else writer.plain(value) for value in inputs]
    outputs = writer.write(operation.kind, names, operation.attributes, len(shapes))
    return [plain_view(name, shape) for name, shape in zip(outputs, shapes, strict=True)]


REWRITES: Mapping[str, Rewrite] = {
    **dict.fromkeys(ELEMENTWISE, elementwise),
    **dict.fromkeys(("Softmax", "LogSoftmax", "Hardmax", "Concat", "Split", "TopK"), along_axis),
    **dict.fromkeys(("Reshape", "Flatten"), reshape),
    **dict.fromkeys(
        [f"Reduce{what}" for what in ("Mean", "Sum", "Max", "Min", "Prod", "L2", "SumSquare")],
        reduction,
    ),
    **dict.fromkeys(("Conv", "ConvTranspose", "MaxPool", "AveragePool"), windowed),
    "CumSum": along_named_axis,
    "Identity": same,
    "Pad": pad,
    "Slice": cut,
    "Squeeze": squeeze,
    "Transpose": transpose,
    "Unsqueeze": unsqueeze,
}


def rewritten(
    writer: Writer, operation: Operation, inputs: Inputs, shapes: Sequence[Shape]
) -> list[Value]:
    """Write an operation, on tensors as they lie wherever that can be."""
    rewrite = REWRITES.get(operation.kind)
    if rewrite and any(isinstance(value, View) for value in inputs[:1]):
        written = rewrite(writer, operation, inputs, shapes)
        if written is not None:
            return written
    elif rewrite is elementwise:
        return elementwise(writer, operation, inputs, shapes) or []
    return as_seen(writer, operation, inputs, shapes)
