"""A finer class map as it is verified, told by the report and written to ONNX."""

from __future__ import annotations

import keras
import pytest
from hypothesis import given
from hypothesis import strategies as st
from keras import layers

import allconv
from allconv.dense_maps.dense_plan import maps_of
from allconv.dense_maps.moved_images import verify_moved
from allconv.errors import OptionError
from allconv.plan import build_plan, plan_conversion
from tests.helpers.dense_networks import (
    assert_is_what_the_model_says_of_every_crop,
    classifier,
    same_padded,
)
from tests.helpers.drawn_networks import random_networks
from tests.helpers.drawn_sliding import sliding_network
from tests.helpers.keras_comparison import network
from tests.helpers.small_applications import under


def test_verify_compares_with_moved_images_and_sees_one_per_cent_of_a_kernel():
    model = classifier()
    report = allconv.report(model, input_size="any", output_stride=1, verify=True)
    assert report.verification.passed
    assert "and the map of stride 1x1 against 5 moved images" in str(report.verification)
    plan = plan_conversion(model, input_size="any", output_stride=1)
    result = maps_of(plan, "any", 1)
    assert verify_moved(plan, result).passed
    converted = build_plan(result)
    kernel = converted.get_layer("late").kernel
    kernel.assign(1.01 * kernel)
    found = verify_moved(plan, result, converted)
    assert found.passed is False
    assert found.reason.startswith("the map of stride 1x1 against 5 moved images")


def test_an_image_whose_every_cell_sees_padding_proves_nothing():
    model = same_padded()
    found = allconv.report(model, input_size=(12, 12), output_stride=1, verify=True).verification
    assert found.passed is None
    assert str(found) == (
        "not run: the map of stride 1x1: padding reaches every cell of it that moved images of "
        "12x12 have, too"
    )


def test_16_bits_are_compared_in_float32():
    with under("mixed_float16"):
        model = classifier()
    report = allconv.report(model, input_size="any", output_stride=2, verify=True)
    assert report.verification.passed


def test_the_report_says_what_becomes_of_strides_and_what_a_cell_stands_for():
    report = allconv.report(classifier(), input_size="any", output_stride=1)
    text = " ".join(str(report).split())
    assert "output stride 1x1, receptive field" in text
    assert "late: stride 2 becomes 1, dilation 2" in text
    assert "Conv2D 3x3 dilated 2" in text
    assert "a cell is what the model says of the crop of 16x16 that begins at (1 i, 1 j)." in text
    data = report.to_dict()
    assert (data["output_stride"], data["geometry"]["output_stride"]) == ([1, 1], [1, 1])
    changes = [each for each in data["changes"] if each["rule"] == "stride_to_dilation"]
    assert {"late", "mean"} == {each["layer"] for each in changes}


def test_the_report_tells_the_margin_where_layers_pad():
    report = allconv.report(same_padded(), input_size="any", output_stride=1)
    text = " ".join(str(report).split())
    assert "No cell is what the model says of a crop of the image: " in text
    assert (
        "Cell (i, j) is that of the map of stride 4x4 of the image moved by (1 i, 1 j), but for "
        "those at the borders that padding reaches: 5 + 10 and 6 + 10 cells along its axes." in text
    )
    assert report.to_dict()["geometry"]["margin"] == [[5, 10], [6, 10]]


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="one backend writes the file")
@pytest.mark.parametrize("rank", [1, 2])
def test_onnx_runtime_gives_what_the_model_says_of_every_crop(rank, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")

    def by_onnx_runtime(converted, images):
        file = tmp_path / "dense.onnx"
        allconv.export_onnx(converted, file, data_format="channels_last")
        session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
        return session.run(None, {session.get_inputs()[0].name: images[0]})

    @random_networks(2)
    @given(st.data())
    def check(data):
        model = sliding_network(data.draw, rank, "channels_last")
        assert_is_what_the_model_says_of_every_crop(model, 1, run=by_onnx_runtime, input_size="any")

    check()


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="one backend writes the file")
@pytest.mark.parametrize("data_format", ["channels_first", "channels_last"])
@pytest.mark.parametrize("size", ["any", (28, 29)])
def test_an_onnx_file_has_convolutions_with_dilations_and_no_loop(size, data_format, tmp_path):
    onnx = pytest.importorskip("onnx")
    converted = allconv.convert(classifier(), input_size=size, output_stride=1)
    file = tmp_path / "dense.onnx"
    report = allconv.export_onnx(converted, file, data_format=data_format)
    assert report.parity.passed
    assert set(report.operators) <= {"Conv", "Relu", "Add", "Transpose"}
    nodes = onnx.load(file).graph.node
    found = [list(a.ints) for node in nodes for a in node.attribute if a.name == "dilations"]
    assert [2, 2] in found
    assert [4, 4] in found


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="one backend writes the file")
def test_a_network_of_convolutions_is_exported_with_a_finer_map(tmp_path):
    model = network((16, 16, 2), layers.Conv2D(3, 3, strides=2), layers.Conv2D(2, 7))
    report = allconv.export_onnx(model, tmp_path / "dense.onnx", input_size="any", output_stride=1)
    assert report.parity.passed
    with pytest.raises(OptionError, match="output_stride=1 is of class maps"):
        allconv.export_onnx(model, tmp_path / "dense.onnx", output_stride=1)
