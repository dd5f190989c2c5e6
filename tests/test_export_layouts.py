"""The graph with channels first, and fused: the same numbers as before, by ONNX' own reference."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx.reference import ReferenceEvaluator

from allconv.export.file.external_data import initializers
from allconv.export.file.metadata import VERSION
from allconv.export.file.model_proto import model_proto
from allconv.export.operations.channels_first import channels_first
from allconv.export.operations.fusing import fused
from allconv.export.operations.onnx_graph import Operation, Operations, Tensor
from allconv.export.options import ExportOptions
from allconv.graph import Graph, Spec, call
from tests.helpers.onnx_files import operators, random_array, run

OPSET = 18
LAST, FIRST = [0, 2, 3, 1], [0, 3, 1, 2]


class Written:
    """A graph as tf2onnx writes it, on images `(2, 5, 6, 4)`, with channels last.

    tests append to it by `written.add("Relu", "image")`, which returns the result's name.
    """

    def __init__(self, shape=(2, 5, 6, 4)):
        self.shape = shape
        self.operations, self.constants = [], {}
        self.values = {"image": random_array(*shape)}

    def constant(self, values):
        name = f"constant{len(self.constants)}"
        self.constants[name] = self.values[name] = np.asarray(values)
        return name

    def add(self, kind, *inputs, **attributes):
        """One more operation; what it gives is worked out at once, by the reference."""
        name = f"{kind}{len(self.operations)}"
        operation = Operation(kind, inputs, (name,), attributes)
        node = onnx.helper.make_node(kind, inputs, [name], **attributes)
        reference = ReferenceEvaluator(node, opsets={"": OPSET})
        self.values[name] = reference.run(None, {each: self.values[each] for each in inputs})[0]
        self.operations.append(operation)
        return name

    def conv(self, source, filters=3, window=(3, 3), rank=2, seed=None, **attributes):
        """A convolution between the two Transposes that tf2onnx puts around it."""
        channels = self.values[source].shape[-1] // attributes.get("group", 1)
        kernel = self.constant(random_array(filters, channels, *window, seed=seed or filters))
        laid = self.add("Transpose", source, perm=FIRST)
        result = self.add("Conv", laid, kernel, kernel_shape=list(window), **attributes)
        return self.add("Transpose", result, perm=LAST)

    def model(self, output, data_format="channels_first", fuse=True):
        """The ONNX model that is made of it."""
        image = call(Spec("InputLayer", "image", {"batch_shape": self.shape}), [], shape=self.shape)
        end = call(Spec("Opaque", "end"), [image], shape=self.values[output].shape)
        graph = Graph("written", (image, end), (image,), (end,))
        inputs = (Tensor("image", "float32", self.shape),)
        outputs = (Tensor(output, "float32", self.values[output].shape),)
        shapes = {name: values.shape for name, values in self.values.items()}
        dtypes = {name: values.dtype.name for name, values in self.values.items()}
        found = Operations(tuple(self.operations), self.constants, inputs, outputs, shapes, dtypes)
        made = channels_first(found, graph, OPSET, data_format)
        path, said = Path("written.onnx"), {VERSION: "0"}
        options, tensors = ExportOptions(OPSET, data_format), partial(initializers, path=path)
        return model_proto(fused(made) if fuse else made, graph, options, said, tensors)

    def agrees(self, output, **options):
        """The operators of the new graph, which gives the numbers of the old one."""
        image, expected = self.values["image"], self.values[output]
        for data_format in ("channels_first", "channels_last"):
            model = self.model(output, data_format, **options)
            onnx.checker.check_model(model, full_check=True)
            first = data_format == "channels_first"
            found = run(model, np.moveaxis(image, -1, 1) if first else image)[0]
            if first and expected.ndim > 2:
                found = np.moveaxis(found, 1, -1)
            np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
        return operators(self.model(output, **options))


@pytest.fixture
def written():
    return Written()


def test_two_convolutions_keep_no_transpose(written):
    x = written.conv("image")
    assert written.agrees(written.conv(written.add("Relu", x), 4)) == ["Conv", "Relu", "Conv"]


def test_constants_are_laid_out_as_the_map(written):
    x = written.conv("image")
    x = written.add("Mul", x, written.constant(random_array(3)))
    x = written.add("Max", x, written.constant(random_array(3, 4, 3)))
    x = written.add("PRelu", x, written.constant(random_array(1, 4, 1)))
    assert written.agrees(x) == ["Conv", "Max", "PRelu"]


def test_the_larger_of_two_maps_is_written_without_sub(written):
    """ONNX Runtime computes Conv, Add and Relu in one go; the numbers are the same."""
    x = written.conv("image")
    a, b = written.conv(x, 4), written.conv(x, 4, seed=9)
    x = written.add("Relu", written.add("Sub", a, b))
    assert written.agrees(written.add("Add", x, b)) == [*["Conv"] * 4, "Add", "Relu", "Add"]


def test_other_differences_stay(written):
    x = written.conv("image")
    a, b = written.conv(x, 4), written.conv(x, 4, seed=9)
    difference = written.add("Sub", a, b)
    other = written.add("Add", written.add("Relu", difference), a)
    assert "Sub" in written.agrees(other)
    assert "Sub" in written.agrees(written.add("Mul", written.add("Relu", difference), b))


def test_what_adds_nothing_is_gone_and_what_divides_by_a_constant_multiplies(written):
    x = written.conv("image")
    x = written.add("Sub", written.add("Relu", x), written.constant(np.zeros((3, 4, 3), "float32")))
    x = written.add("Div", x, written.constant(np.float32(np.arange(36).reshape(3, 4, 3) + 1)))
    x = written.add("Mul", x, written.constant(np.ones((1, 1, 1, 1), "float32")))
    assert written.agrees(x) == ["Conv", "Relu", "Mul"]


def test_a_sum_with_zeros_that_repeats_values_stays(written):
    x = written.add("ReduceMean", written.conv("image"), written.constant(np.array([1, 2])))
    x = written.add("Add", x, written.constant(np.zeros((1, 3, 4, 1), "float32")))
    assert written.agrees(x)[-1] == "Add"


@pytest.mark.parametrize("axis", [1, 2, 3, -1])
def test_axes_are_named_as_they_lie(axis, written):
    x = written.conv("image")
    x = written.add("Concat", x, written.add("Neg", x), axis=axis)
    x = written.add("Softmax", x, axis=axis)
    assert written.agrees(x) == ["Conv", "Neg", "Concat", "Softmax"]


@pytest.mark.parametrize(("axes", "keepdims"), [([1], 1), ([-1], 1), ([1, 2], 0), ([1, 2, 3], 0)])
def test_reductions_are_along_the_same_axes(axes, keepdims, written):
    x = written.conv("image")
    axes = written.constant(np.array(axes))
    assert "Transpose" not in written.agrees(written.add("ReduceMean", x, axes, keepdims=keepdims))


def test_pads_and_slices_are_along_the_same_axes(written):
    x = written.conv("image")
    x = written.add("Pad", x, written.constant(np.array([0, 1, 0, 2, 0, 3, 1, 0])))
    ends = (np.array(each) for each in ([1, 0], [6, 2], [1, 3], [2, 1]))
    x = written.add("Slice", x, *map(written.constant, ends))
    assert written.agrees(x) == ["Conv", "Pad", "Slice"]


def test_a_cell_becomes_a_vector_by_one_reshape(written):
    x = written.conv("image", 7, (5, 6))
    x = written.add("Relu", x)
    assert written.agrees(written.add("Reshape", x, written.constant(np.array([2, 7])))) == [
        "Conv",
        "Relu",
        "Reshape",
    ]


def test_a_map_becomes_a_vector_in_the_order_of_keras(written):
    x = written.add("Reshape", written.conv("image"), written.constant(np.array([2, 36])))
    assert written.agrees(x) == ["Conv", "Transpose", "Reshape"]


def test_a_map_becomes_a_list_of_cells_by_one_reshape(written):
    x = written.add("Reshape", written.conv("image"), written.constant(np.array([2, 12, 3])))
    assert written.agrees(x) == ["Conv", "Reshape"]


def test_means_of_channels_scale_the_map_they_are_from(written):
    x = written.conv("image")
    axes = written.constant(np.array([1, 2]))
    means = written.add("Sigmoid", written.add("ReduceMean", x, axes, keepdims=1))
    assert written.agrees(written.add("Mul", x, means)) == ["Conv", "ReduceMean", "Sigmoid", "Mul"]


def test_copies_side_by_side_are_a_resize(written):
    x = written.conv("image")
    x = written.add("Unsqueeze", x, written.constant(np.array([2])))
    x = written.add("Tile", x, written.constant(np.array([1, 1, 3, 1, 1])))
    x = written.add("Reshape", x, written.constant(np.array([2, 9, 4, 3])))
    assert written.agrees(x) == ["Conv", "Resize"]


def test_copies_one_after_the_other_stay_a_tile(written):
    x = written.add("Tile", written.conv("image"), written.constant(np.array([1, 2, 1, 1])))
    assert "Tile" in written.agrees(x) and "Resize" not in written.agrees(x)


def test_what_is_constant_is_worked_out(written):
    root = written.add("Sqrt", written.constant(np.abs(random_array(4))))
    scale = written.add("Reciprocal", written.add("Neg", root))
    assert written.agrees(written.add("Sub", scale, "image")) == ["Sub"]


def test_what_does_nothing_goes(written):
    x = written.add("Identity", written.add("Cast", "image", to=onnx.TensorProto.FLOAT))
    x = written.add("Add", x, written.constant(np.zeros(4, "float32")))
    assert written.agrees(written.add("Relu", x)) == ["Relu"]


def test_factors_and_summands_go_into_the_convolution_before_them(written):
    x = written.conv("image", 4, group=2)
    x = written.add("Add", x, written.constant(random_array(4)))
    x = written.add("Div", x, written.constant(2 + np.abs(random_array(4))))
    x = written.add("Sub", x, written.constant(np.float32(0.5)))
    assert written.agrees(x) == ["Conv"]


def test_factors_and_summands_go_into_the_convolution_behind_them(written):
    x = written.add("Mul", "image", written.constant(random_array(4)))
    x = written.add("Add", x, written.constant(random_array(4, seed=1)))
    assert written.agrees(written.conv(x, 4, group=2)) == ["Conv"]


def test_a_summand_stays_before_a_convolution_that_pads(written):
    x = written.add("Mul", "image", written.constant(np.float32(3)))
    x = written.add("Add", x, written.constant(random_array(4)))
    x = written.conv(x, pads=[1, 1, 1, 1])
    assert written.agrees(x) == ["Mul", "Add", "Conv"]


def test_a_factor_for_each_cell_stays(written):
    x = written.add("Mul", written.conv("image"), written.constant(random_array(3, 4, 1)))
    assert written.agrees(x) == ["Conv", "Mul"]


def test_a_result_that_is_taken_twice_stays_as_it_is(written):
    x = written.conv("image")
    doubled = written.add("Mul", x, written.constant(np.float32(2)))
    assert written.agrees(written.add("Add", x, doubled)) == ["Conv", "Mul", "Add"]


def test_a_division_by_zero_stays_where_it_is(written):
    with np.errstate(divide="ignore"):
        x = written.add("Div", written.conv("image"), written.constant(np.float32(0)))
        assert operators(written.model(x)) == ["Conv", "Div"]


def test_pads_go_into_a_convolution_but_not_others_than_zeros(written):
    pads = np.array([0, 1, 2, 0, 0, 0, 1, 0])
    zeros = written.conv(written.add("Pad", "image", written.constant(pads)), pads=[1, 0, 0, 1])
    assert written.agrees(zeros) == ["Conv"]
    ones = written.add("Pad", "image", written.constant(pads), written.constant(np.float32(1)))
    assert written.agrees(written.conv(ones)) == ["Pad", "Conv"]
    over_channels = written.add("Pad", "image", written.constant(np.array([0, 0, 0, 1] * 2)))
    assert written.agrees(written.conv(over_channels)) == ["Pad", "Conv"]


def relu(written, x, draw):
    return written.add("Relu", x)


def summed(written, x, draw):
    shape = written.values[x].shape
    few = tuple(draw(st.sampled_from([size, 1])) for size in shape[draw(st.integers(0, 3)) :])
    return written.add("Add", x, written.constant(random_array(*few, seed=1)))


def turned(written, x, draw):
    order = draw(st.permutations(range(written.values[x].ndim)))
    return written.add("Transpose", x, perm=list(order))


def longer(written, x, draw):
    axis = draw(st.integers(0, written.values[x].ndim))
    if written.values[x].ndim > 5:
        return x
    return written.add("Unsqueeze", x, written.constant(np.array([axis])))


def shorter(written, x, draw):
    ones = [axis for axis, size in enumerate(written.values[x].shape) if size == 1]
    if not ones or written.values[x].ndim < 2:
        return x
    axis = draw(st.sampled_from(ones))
    return written.add("Squeeze", x, written.constant(np.array([axis])))


def joined(written, x, draw):
    axis = draw(st.integers(0, written.values[x].ndim - 1))
    if written.values[x].size > 1000:
        return x
    return written.add("Concat", x, written.add("Neg", x), axis=axis)


def meant(written, x, draw):
    rank = written.values[x].ndim
    axes = draw(st.lists(st.integers(0, rank - 1), min_size=1, max_size=rank, unique=True))
    keepdims = 1 if len(axes) == rank else draw(st.integers(0, 1))
    axes = written.constant(np.array(axes))
    return written.add("ReduceSum", x, axes, keepdims=keepdims)


def met(written, x, draw):
    """Two tensors, one of them turned before, that are added."""
    if written.values[x].size > 1000:
        return x
    order = draw(st.permutations(range(written.values[x].ndim)))
    wide = written.add("Unsqueeze", x, written.constant(np.array([0])))
    turned = written.add("Transpose", x, perm=list(order))
    other = written.values[turned].shape
    fits = all(a == b or 1 in (a, b) for a, b in zip(written.values[x].shape, other, strict=True))
    return written.add("Mul", wide, turned) if fits and len(other) < 6 else x


STEPS = [relu, summed, turned, turned, longer, shorter, joined, meant, met]


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_chain_of_operators_gives_the_same_numbers(data):
    shape = tuple(data.draw(st.integers(1, 3)) for _ in range(4))
    written, x = Written(shape), "image"
    for step in data.draw(st.lists(st.sampled_from(STEPS), min_size=1, max_size=7)):
        x = step(written, x, data.draw)
    if x != "image":
        written.agrees(x)
