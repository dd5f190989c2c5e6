"""Kernels in the orders of older Keras: the new layer computes what the old one did."""

from __future__ import annotations

import json

import h5py
import numpy as np
import pytest

import allconv
from allconv.building.build import build
from allconv.read import read
from tests.helpers.keras_comparison import assert_close, outputs

RNG = np.random.default_rng(0)


def drawn(*shape):
    return RNG.normal(size=shape).astype("float32")


def saved(path, config, weights, version, backend=None):
    """A file with one layer, as Keras 1 or 2 wrote it."""
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = json.dumps({"class_name": "Sequential", "config": [config]})
        file.attrs["keras_version"] = version
        if backend:
            file.attrs["backend"] = backend
        group = file.create_group("model_weights")
        group.attrs["layer_names"] = [b"layer"]
        layer = group.create_group("layer")
        layer.attrs["weight_names"] = [f"w{number}".encode() for number in range(len(weights))]
        for number, values in enumerate(weights):
            layer[f"w{number}"] = values
    return path


def slid(image, kernel, bias, turned=False):
    """A valid convolution of an image (height, width, channels), cell by cell.

    Args:
        image: What the kernel (rows, columns, channels, filters) slides over.
        kernel: Its weights.
        bias: One number for each filter.
        turned: As mathematics has it: the kernel's last row meets the window's first.
    """
    rows, columns, _, filters = kernel.shape
    height, width = image.shape[0] - rows + 1, image.shape[1] - columns + 1
    result = np.zeros((height, width, filters))
    for i, j, f in np.ndindex(*result.shape):
        for a in range(rows):
            for b in range(columns):
                cell = (rows - 1 - a, columns - 1 - b) if turned else (a, b)
                result[i, j, f] += image[i + a, j + b] @ kernel[cell][:, f]
    return result + bias


def test_keras_1_in_theanos_order_has_filters_first(tmp_path):
    kernel, bias = drawn(5, 3, 2, 4), drawn(5)  # filters, channels, rows, columns
    config = {"name": "layer", "nb_filter": 5, "nb_row": 2, "nb_col": 4, "border_mode": "valid"}
    config |= {"dim_ordering": "th", "subsample": [1, 1], "activation": "linear", "bias": True}
    config |= {"batch_input_shape": [None, 3, 6, 7]}
    layer = {"class_name": "Convolution2D", "config": config}
    path = saved(tmp_path / "old.h5", layer, [kernel, bias], "1.2.0")
    image = drawn(1, 3, 6, 7)
    expected = slid(image[0].transpose(1, 2, 0), kernel.transpose(2, 3, 1, 0), bias)
    (found,) = outputs(build(read(path)), image)
    assert_close(found[0].transpose(1, 2, 0), expected)
    (note,) = [row.notes for row in allconv.report(path).rows if row.notes]
    assert note == (
        "saved by Keras 1 in Theano's order, its kernel is transposed; had Keras run on Theano, it "
        "would have to be turned by 180° too, but the file does not say so",
    )


def test_a_square_kernel_of_keras_1_in_theanos_order_is_transposed_too(tmp_path):
    kernel = drawn(3, 3, 3, 3)
    config = {"name": "layer", "nb_filter": 3, "nb_row": 3, "nb_col": 3, "dim_ordering": "th"}
    config |= {"bias": False, "batch_input_shape": [None, 3, 5, 5], "border_mode": "valid"}
    layer = {"class_name": "Convolution2D", "config": config}
    path = saved(tmp_path / "old.h5", layer, [kernel], "1.0.8")
    found = read(path).specs()[-1].weights["kernel"].read()
    np.testing.assert_array_equal(found, kernel.transpose(2, 3, 1, 0))


def test_keras_1_in_tensorflows_order_is_taken_as_it_is(tmp_path):
    kernel = drawn(3, 3, 3, 3)
    config = {"name": "layer", "nb_filter": 3, "nb_row": 3, "nb_col": 3, "dim_ordering": "tf"}
    config |= {"bias": False, "batch_input_shape": [None, 5, 5, 3], "border_mode": "valid"}
    layer = {"class_name": "Convolution2D", "config": config}
    path = saved(tmp_path / "old.h5", layer, [kernel], "1.2.2")
    np.testing.assert_array_equal(read(path).specs()[-1].weights["kernel"].read(), kernel)
    assert not any(row.notes for row in allconv.report(path).rows)


def test_a_sequence_of_keras_1_has_an_axis_more(tmp_path):
    kernel, bias = drawn(3, 1, 2, 4), drawn(4)  # length, 1, channels, filters
    config = {"name": "layer", "nb_filter": 4, "filter_length": 3, "border_mode": "valid"}
    config |= {"batch_input_shape": [None, 9, 2], "activation": "linear", "bias": True}
    layer = {"class_name": "Convolution1D", "config": config}
    path = saved(tmp_path / "old.h5", layer, [kernel, bias], "1.1.1")
    signal = drawn(1, 9, 2)
    expected = slid(signal[0][:, None], kernel, bias)
    (found,) = outputs(build(read(path)), signal)
    assert_close(found[0], expected[:, 0])


@pytest.mark.parametrize("backend", ["theano", "tensorflow"])
def test_keras_2_on_theano_turned_its_kernels(backend, tmp_path):
    kernel, bias = drawn(2, 3, 3, 5), drawn(5)
    config = {"name": "layer", "filters": 5, "kernel_size": [2, 3], "padding": "valid"}
    config |= {"data_format": "channels_last", "strides": [1, 1], "activation": "linear"}
    config |= {"batch_input_shape": [None, 6, 7, 3], "dilation_rate": [1, 1], "use_bias": True}
    layer = {"class_name": "Conv2D", "config": config}
    path = saved(tmp_path / "old.h5", layer, [kernel, bias], "2.1.3", backend)
    image = drawn(1, 6, 7, 3)
    (found,) = outputs(build(read(path)), image)
    assert_close(found[0], slid(image[0], kernel, bias, turned=backend == "theano"))
    notes = [note for row in allconv.report(path).rows for note in row.notes]
    turned = ["saved by Keras on Theano, its kernel is turned by 180°"]
    assert notes == (turned if backend == "theano" else [])
