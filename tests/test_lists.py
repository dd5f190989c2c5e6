"""What a network may end in: lists of characters, of cells or of boxes behind its last maps."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers, ops

import allconv
from allconv.errors import ConversionError
from tests.helpers.keras_comparison import assert_agree, converts_alike, kinds_of, network
from tests.helpers.randomized import randomize

FORMATS = ["channels_last", "channels_first"]


def captcha(*ends, data_format="channels_last"):
    """Three characters of five signs each."""
    settings = {"data_format": data_format}
    shape = (10, 12, 1) if data_format == "channels_last" else (1, 10, 12)
    steps = [
        layers.Conv2D(4, 3, activation="relu", **settings),
        layers.MaxPooling2D(2, **settings),
        layers.Flatten(),
        layers.Dense(15),
    ]
    return network(shape, *steps, *ends)


def seg_net(*ends, data_format="channels_last"):
    """A map of 8x8 cells and four classes."""
    settings = {"data_format": data_format}
    shape = (8, 8, 2) if data_format == "channels_last" else (2, 8, 8)
    steps = [
        layers.Conv2D(4, 3, padding="same", activation="relu", **settings),
        layers.MaxPooling2D(2, **settings),
        layers.UpSampling2D(2, **settings),
        layers.Conv2D(4, 1, **settings),
    ]
    return network(shape, *steps, *ends)


@pytest.mark.parametrize("data_format", FORMATS)
@pytest.mark.parametrize(
    "ends",
    [
        lambda: [layers.Reshape((3, 5))],
        lambda: [layers.Reshape((3, 5)), layers.Softmax()],
        lambda: [layers.Reshape((3, 5)), layers.Activation("softmax")],
        lambda: [layers.Reshape((3, -1)), lambda x: ops.log_softmax(x)],
        lambda: [layers.Reshape((5, 3)), layers.Permute((2, 1)), layers.Softmax()],
        lambda: [layers.Activation("sigmoid"), layers.Reshape((3, 5))],
        lambda: [layers.Reshape((3, 5)), layers.Dropout(0.5), layers.Softmax(axis=2)],
        lambda: [lambda x: ops.softmax(ops.reshape(x, (-1, 3, 5)))],
    ],
)
def test_characters_with_a_softmax_each_may_end_a_network(ends, data_format, tmp_path):
    model = captcha(*ends(), data_format=data_format)
    converted = converts_alike(model)
    assert "Dense" not in kinds_of(converted)
    assert allconv.is_all_convolutional(converted)
    model.save(tmp_path / "model.keras")
    assert_agree(model, allconv.convert(tmp_path / "model.keras"))


LAST = [
    lambda: [layers.Reshape((64, 4)), layers.Activation("softmax")],
    lambda: [layers.Reshape((-1, 4)), layers.Softmax()],
    lambda: [layers.Activation("softmax"), layers.Reshape((64, 4))],
    lambda: [layers.Flatten(), layers.Reshape((64, 4)), layers.Softmax()],
]
FIRST = [
    lambda: [layers.Reshape((4, 64)), layers.Permute((2, 1)), layers.Activation("softmax")],
    lambda: [layers.Reshape((4, 64)), layers.Softmax(axis=1)],
]


@pytest.mark.parametrize(
    ("ends", "data_format"),
    [(ends, "channels_last") for ends in LAST] + [(ends, "channels_first") for ends in FIRST],
)
def test_the_softmax_of_a_list_of_cells_stands_on_the_map(ends, data_format):
    model = seg_net(*ends(), data_format=data_format)
    converted = converts_alike(model)
    kinds = kinds_of(converted)
    assert set(kinds[-3:]) <= {"Softmax", "Activation", "Reshape", "Permute", "Flatten", "Conv2D"}
    softmax = next(kind for kind in kinds if kind in ("Softmax", "Activation"))
    assert kinds.index(softmax) < kinds.index("Reshape")
    anywhere = allconv.convert(model, input_size="any")
    assert not {"Reshape", "Permute", "Flatten"} & set(kinds_of(anywhere))
    assert len(anywhere.output_shape) == 4
    own = model.input_shape[1:]
    images = np.random.default_rng(0).normal(size=(4, *own)).astype("float32")
    assert allconv.verify(model, anywhere, images).passed


def test_a_list_of_cells_in_one_column_becomes_a_map_at_any_size():
    steps = [layers.Conv2D(4, (1, 6)), layers.Reshape((8, 4)), layers.Activation("softmax")]
    converted = allconv.convert(network((8, 6, 2), *steps), input_size="any")
    assert converted.output_shape == (None, None, None, 4)


def boxes(*ends, flat):
    """Boxes of two maps, as SSD gives them: four numbers and three classes for each of two."""
    image = keras.Input((16, 16, 3))
    fine = layers.MaxPooling2D(2)(layers.Conv2D(4, 3, padding="same", activation="relu")(image))
    coarse = layers.Conv2D(5, 3, strides=2, padding="same", activation="relu")(fine)
    outputs = []
    for values in (4, 3):
        parts = [layers.Conv2D(2 * values, 3, padding="same")(x) for x in (fine, coarse)]
        steps = [layers.Flatten() if flat else layers.Reshape((-1, values)) for _ in parts]
        parts = [step(part) for step, part in zip(steps, parts, strict=True)]
        joined = layers.Concatenate(axis=1)(parts)
        outputs.append(layers.Reshape((-1, values))(joined) if flat else joined)
    outputs[1] = layers.Activation("softmax")(outputs[1])
    return randomize(keras.Model(image, outputs))


@pytest.mark.parametrize("flat", [False, True])
def test_boxes_of_several_maps_may_end_a_network(flat, tmp_path):
    model = boxes(flat=flat)
    converted = converts_alike(model)
    assert "MaxPooling2D" not in kinds_of(converted)
    assert kinds_of(converted).count("Conv2D") == 6
    allconv.export_onnx(converted, tmp_path / "boxes.onnx")


def refused(model, **options):
    with pytest.raises(ConversionError) as error:
        allconv.convert(model, **options)
    return str(error.value)


def test_a_softmax_over_values_of_several_cells_is_refused_with_the_reason():
    assert "it works along values of several cells" in refused(
        seg_net(layers.Reshape((32, 8)), layers.Softmax())
    )
    joined = seg_net(layers.Reshape((4, 64)), layers.Activation("softmax"))
    assert "it works along values of several cells" in refused(joined)


def test_a_softmax_along_another_axis_of_a_list_is_refused_with_the_reason():
    model = seg_net(layers.Reshape((64, 4)), layers.Softmax(axis=1))
    assert "it works along axis 1, not along the channels" in refused(model)


@pytest.mark.parametrize("behind", [layers.Conv1D(2, 3), layers.GlobalAveragePooling1D()])
def test_a_list_of_cells_that_a_layer_takes_is_refused_with_the_reason(behind):
    assert "it turns (None, 8, 8, 4) into (None, 64, 4)" in refused(
        seg_net(layers.Reshape((64, 4)), behind)
    )


def test_characters_and_boxes_fit_one_size_only_and_are_refused_by_name_at_others():
    for ends in ([layers.Reshape((3, 5))], [layers.Reshape((3, 5)), layers.Softmax()]):
        assert "(Flatten) has no receptive field" in refused(captcha(*ends), input_size="any")
    assert "(Reshape) has no receptive field" in refused(boxes(flat=False), input_size="any")


def test_lists_are_written_to_onnx(tmp_path):
    for ends in ([layers.Reshape((3, 5)), layers.Softmax()], [layers.Reshape((3, 5))]):
        allconv.export_onnx(allconv.convert(captcha(*ends)), tmp_path / "characters.onnx")
    model = seg_net(layers.Reshape((64, 4)), layers.Activation("softmax"))
    exported = allconv.export_onnx(allconv.convert(model), tmp_path / "cells.onnx")
    assert exported.operators["Softmax"] == 1


# one axis of one cell


def squeezed(*ends, data_format="channels_last"):
    """A map of 8x1 cells as one of 8, for layers of one axis."""
    first = data_format == "channels_first"
    pool = layers.AveragePooling2D((1, 6), data_format=data_format)
    conv = layers.Conv2D(4, 3, padding="same", activation="relu", data_format=data_format)
    reshape = layers.Reshape((4, 8) if first else (8, 4))
    return network((2, 8, 6) if first else (8, 6, 2), conv, pool, reshape, *ends)


@pytest.mark.parametrize("data_format", FORMATS)
def test_a_reshape_that_drops_an_axis_of_one_cell_stands_between_layers(data_format, tmp_path):
    settings = {"data_format": data_format}
    conv = layers.Conv1D(6, 3, padding="same", activation="tanh", **settings)
    ends = [layers.MaxPooling1D(2, **settings), layers.Flatten(), layers.Dense(3)]
    model = squeezed(conv, *ends, data_format=data_format)
    converted = converts_alike(model)
    assert not {"MaxPooling1D", "AveragePooling2D", "Dense"} & set(kinds_of(converted))
    if data_format == "channels_last":
        exported = allconv.export_onnx(converted, tmp_path / "model.onnx")
        assert "Transpose" not in exported.operators


@pytest.mark.parametrize(
    "end",
    [
        lambda: [layers.GlobalMaxPooling1D(), layers.Dense(2)],
        lambda: [layers.BatchNormalization(), layers.Conv1D(3, 2, padding="causal")],
        lambda: [layers.ReLU(), layers.Conv1D(3, 2), layers.Activation("softmax")],
        lambda: [layers.Dense(3), layers.Reshape((8, 1, 3)), layers.Conv2D(2, (3, 1))],
        lambda: [lambda x: ops.expand_dims(x, 2), layers.Conv2D(2, (3, 1))],
        lambda: [lambda x: ops.squeeze(ops.expand_dims(x, 1), 1), layers.Conv1D(2, 3)],
    ],
)
def test_what_follows_on_the_other_number_of_axes_converts(end):
    converts_alike(squeezed(*end()))


def test_a_reshape_that_takes_columns_for_channels_is_refused_with_the_reason():
    conv = layers.Conv2D(1, 3, padding="same")
    model = network((8, 6, 1), conv, layers.Reshape((8, 6)), layers.Conv1D(3, 3))
    assert "it turns (None, 8, 6, 1) into (None, 8, 6)" in refused(model)


def test_a_squeezed_map_grows_along_the_axis_that_stays():
    conv = layers.Conv2D(4, (3, 6), activation="relu")
    ends = [layers.Reshape((-1, 4)), layers.Conv1D(3, 2)]
    model = network((8, 6, 2), conv, *ends)
    converted = allconv.convert(model, input_size=(12, 6))
    assert converted.output_shape == (None, 9, 3)
    assert "drops axes of one cell, and the map before it becomes 6x7" in refused(
        model, input_size=(8, 12)
    )
    with pytest.raises(ConversionError, match="takes no image of 1 axes"):
        allconv.geometry(model, input_size=(12, 6))
