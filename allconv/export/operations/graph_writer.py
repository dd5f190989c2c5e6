"""Writes an ONNX graph operation by operation, and tensors as they are seen where that is asked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from allconv.export.operations.onnx_graph import Operation
from allconv.export.operations.tensor_view import View
from allconv.shapes import Shape

Value = View | np.ndarray
"""What an operation takes or gives: a tensor as it is seen, or a constant."""

Inputs = Sequence[Value | None]
"""What an operation takes, None where an optional input is left out."""


def seen(value: Value | None) -> View:
    """Return a value that is no constant."""
    assert isinstance(value, View)
    return value


def constant(value: Value | None) -> np.ndarray:
    """Return a value that is one."""
    assert isinstance(value, np.ndarray)
    return value


def plain_view(name: str, shape: Shape) -> View:
    """View a tensor as it is."""
    return View(name, len(shape), tuple(range(len(shape))), shape)


class Writer:
    """What has been written so far.

    Attributes:
        opset: Version of ONNX' operators.
        operations: In the order in which they were written.
        constants: By name.
        call: The call of a layer of which the next operations are part.
    """

    def __init__(self, opset: int) -> None:
        self.opset = opset
        self.operations: list[Operation] = []
        self.constants: dict[str, np.ndarray] = {}
        self.call = 0
        self._kept: list[np.ndarray] = []
        self._written: dict[object, tuple[str, ...]] = {}
        self._producers: dict[str, Operation] = {}

    def write(
        self,
        kind: str,
        inputs: Iterable[str | np.ndarray],
        attributes: Mapping[str, Any] | None = None,
        outputs: int = 1,
    ) -> tuple[str, ...]:
        """Write an operation; names of its outputs, those of an equal one if there is one.

        An input is a tensor's name, `""` for none, or the values of a constant.
        """
        attributes = attributes or {}
        names = tuple(each if isinstance(each, str) else self.constant(each) for each in inputs)
        key = (kind, names, repr(sorted(attributes.items())), outputs)
        if key not in self._written:
            first = len(self.operations)
            results = tuple(f"t{first}_{number}" for number in range(outputs))
            operation = Operation(kind, names, results, attributes, self.call)
            self.operations.append(operation)
            self._producers |= dict.fromkeys(results, operation)
            self._written[key] = results
        return self._written[key]

    def constant(self, values: np.ndarray) -> str:
        """Name a constant; small ones that are equal are one."""
        small = values.size <= 16
        key = (values.dtype.str, values.shape, values.tobytes()) if small else id(values)
        if key not in self._written:
            name = f"c{len(self.constants)}"
            self.constants[name] = values
            self._kept.append(values)  # so that no other array takes its id
            self._written[key] = (name,)
        return self._written[key][0]

    def producer(self, name: str) -> Operation | None:
        """Find the operation that gives a tensor; None for an input or a constant."""
        return self._producers.get(name)

    def plain(self, value: Value) -> str:
        """Name a tensor that is what is seen; make it by Transpose and Reshape if need be."""
        if not isinstance(value, View):
            return self.constant(value)
        if any(seen.is_plain for seen in value.named_ones()):
            return value.base
        base, order = value.base, value.order()
        unseen = [axis for axis in range(value.rank) if axis not in order]
        if not _in_order(order, value.base_shape):
            (base,) = self.write("Transpose", [base], {"perm": [*order, *unseen]})
            if len(order) == len(value.axes) == value.rank:
                return base
        return self.reshaped(base, self._shape_to_be(value, order), value)

    def reshaped(self, base: str, shape: list[int] | None, value: View) -> str:
        """Give a tensor another shape, or only add or drop axes of size 1."""
        if shape is not None:
            return self.write("Reshape", [base, np.array(shape, "int64")])[0]
        order = value.order()
        behind = np.arange(len(order), value.rank)
        if len(behind):
            (base,) = self.write("Squeeze", [base, behind])
        new = np.array([place for place, axis in enumerate(value.axes) if axis is None], "int64")
        return self.write("Unsqueeze", [base, new])[0] if len(new) else base

    def _shape_to_be(self, value: View, order: Sequence[int]) -> list[int] | None:
        """Say what to tell a Reshape; None where two sizes are free that 0 cannot stand for."""
        first_kept = order[:1] == (0,) and value.axes[:1] == (0,)
        shape = [-1 if size is None else size for size in value.shape]
        if shape and first_kept and value.shape[0] is None:
            shape[0] = 0  # as it is
        return shape if shape.count(-1) < 2 else None


def _in_order(order: Sequence[int], shape: Shape) -> bool:
    """Tell whether axes of more than one cell come in the order in which they lie."""
    long = [axis for axis in order if shape[axis] != 1]
    return long == sorted(long)
