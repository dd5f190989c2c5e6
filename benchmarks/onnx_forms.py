"""Other forms of the exact max pool, written in the place of MaxPool in an ONNX graph.

All take maxima two by two, `max(a, b) = relu(a - b) + b`, and differ in which two meet when. Those
that give an axis a stride of its own cannot be Keras layers: TensorFlow's depthwise convolution
refuses strides that differ. ONNX' Conv takes them.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper, shape_inference

from allconv.rules.max_steps import max_steps

Cell = tuple[int, ...]


def with_pools_as(form: Form, model: onnx.ModelProto) -> onnx.ModelProto:
    """Copy a network of two axes, with its unpadded MaxPools written in another form."""
    written = shape_inference.infer_shapes(model)
    graph = written.graph
    channels = {
        value.name: value.type.tensor_type.shape.dim[1].dim_value
        for value in graph.value_info
        if len(value.type.tensor_type.shape.dim) == 4
    }
    nodes = []
    for node in graph.node:
        if node.op_type == "MaxPool":
            setting = {a.name: helper.get_attribute_value(a) for a in node.attribute}
            if any(setting.get("pads", ())):
                raise ValueError(f"{node.name} is padded; forms are for pools that are not")
            pool = Pool(node.name, channels[node.input[0]])
            end = form(pool, node.input[0], setting["kernel_shape"], setting["strides"])
            pool.operator("Identity", end, output=node.output[0])  # ONNX Runtime takes it out
            graph.initializer.extend(pool.constants)
            nodes += pool.nodes
        else:
            nodes.append(node)
    del graph.node[:]
    graph.node.extend(nodes)
    return written


class Pool:
    """The operators in the place of one MaxPool, on maps of so many channels."""

    def __init__(self, name: str, channels: int) -> None:
        self.name, self.channels = name, channels
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def operator(self, kind: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        """Write an operator, and give the name of its result."""
        name = output or f"{self.name}/{kind}{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [name], name=name, **attributes))
        return name

    def constant(self, values: np.ndarray) -> str:
        """Write a constant, and give its name."""
        name = f"{self.name}/constant{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(values, name))
        return name

    def picked(self, image: str, size: Cell, strides: Cell, factors: Mapping[Cell, float]) -> str:
        """Write a depthwise convolution whose kernel has factors in some cells."""
        kernel = np.zeros((self.channels, 1, *size), "float32")
        for cell, factor in factors.items():
            kernel[(..., *cell)] = factor
        return self.operator(
            "Conv",
            image,
            self.constant(kernel),
            group=self.channels,
            kernel_shape=size,
            strides=strides,
        )

    def larger_of_two(self, image: str, size: Cell, strides: Cell, a: Cell, b: Cell) -> str:
        """Write the larger of two cells of each window."""
        rise = self.operator("Relu", self.picked(image, size, strides, {a: 1, b: -1}))
        return self.operator("Add", rise, self.picked(image, size, strides, {b: 1}))

    def larger(self, a: str, b: str, subtracted: bool) -> str:
        """Write the larger of two maps; without Sub, by a convolution with -1 and Add."""
        difference = (
            self.operator("Sub", a, b)
            if subtracted
            else self.operator("Add", self.picked(b, (1, 1), (1, 1), {(0, 0): -1}), a)
        )
        return self.operator("Add", self.operator("Relu", difference), b)


Form = Callable[[Pool, str, Sequence[int], Sequence[int]], str]


def steps_without_sub(pool: Pool, image: str, window: Sequence[int], strides: Sequence[int]) -> str:
    """Write the steps of allconv's plan, with winners that meet by a convolution, not by Sub."""
    for step in max_steps(window, strides):
        size, apart = step.window.size, step.window.strides
        pairs = [step.cells[i : i + 2] for i in range(0, len(step.cells), 2)]
        left = [
            pool.larger_of_two(image, size, apart, *cells)
            if len(cells) == 2
            else pool.picked(image, size, apart, {cells[0]: 1})
            for cells in pairs
        ]
        image = _largest(pool, left, subtracted=False)
    return image


def slices(pool: Pool, image: str, window: Sequence[int], strides: Sequence[int]) -> str:
    """Return each cell of the window by a Slice, then winners by Sub, Relu and Add."""
    axes, steps = pool.constant(np.array([2, 3])), pool.constant(np.array(strides))
    left = []
    for cell in itertools.product(*map(range, window)):
        missing = [k - 1 - at for k, at in zip(window, cell, strict=True)]
        ends = np.array([-n if n else np.iinfo("int64").max for n in missing])
        start, end = pool.constant(np.array(cell)), pool.constant(ends)
        left.append(pool.operator("Slice", image, start, end, axes, steps))
    return _largest(pool, left, subtracted=True)


def _largest(pool: Pool, left: list[str], subtracted: bool) -> str:
    while len(left) > 1:
        games = [left[i : i + 2] for i in range(0, len(left), 2)]
        left = [pool.larger(*game, subtracted) if len(game) == 2 else game[0] for game in games]
    return left[0]


def axis_by_axis(pool: Pool, image: str, window: Sequence[int], strides: Sequence[int]) -> str:
    """Write a window that grows by two cells at a time, along one axis, then the other.

    The last step of each axis takes that axis' stride.
    """
    return _growing(pool, image, window, [(strides[0], 1), (1, strides[1])])


def grown_first(pool: Pool, image: str, window: Sequence[int], strides: Sequence[int]) -> str:
    """Write the same, but all strides in the last step: equal ones, as Keras layers have them."""
    return _growing(pool, image, window, [(1, 1), tuple(strides)])


def _growing(pool: Pool, image: str, window: Sequence[int], ends: Sequence[Cell]) -> str:
    """Write growing windows; the strides are those of the last step of each axis."""
    for axis, (wanted, strides) in enumerate(zip(window, ends, strict=True)):
        width = 1
        while width < wanted:
            shift = min(width, wanted - width)
            width += shift
            far = (shift, 0) if axis == 0 else (0, shift)
            size = (far[0] + 1, far[1] + 1)
            apart = strides if width == wanted else (1, 1)
            image = pool.larger_of_two(image, size, apart, (0, 0), far)
    return image


FORMS: Mapping[str, Form] = {
    "no Sub": steps_without_sub,
    "axis by axis": axis_by_axis,
    "grown first": grown_first,
    "slices": slices,
}
