"""What prepares images inside a model: `preprocess_input`, and channels picked by hand."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers, ops

import allconv
from allconv.errors import ConversionError
from tests.helpers.keras_comparison import assert_agree, converts_alike, kinds_of, outputs
from tests.helpers.randomized import randomize

APPLICATIONS = sorted(
    name
    for name, module in vars(keras.applications).items()
    if hasattr(module, "preprocess_input") and not name.startswith("_")
)
FORMATS = ["channels_last", "channels_first"]


def behind(prepare, data_format="channels_last", channels=3, dtype=None):
    """A small CNN behind something that prepares its images."""
    first = data_format == "channels_first"
    image = keras.Input((channels, 9, 9) if first else (9, 9, channels), dtype=dtype, name="image")
    x = prepare(image)
    x = layers.Conv2D(4, 3, activation="relu", data_format=data_format)(x)
    x = layers.MaxPooling2D(2, data_format=data_format)(x)
    return randomize(keras.Model(image, layers.Dense(3)(layers.Flatten()(x))))


def test_every_module_of_the_applications_is_here():
    assert {"vgg16", "resnet50", "mobilenet_v2", "densenet", "efficientnet"} <= set(APPLICATIONS)


@pytest.mark.parametrize("application", APPLICATIONS)
def test_preprocess_input_of_every_application_converts_inside_the_model(application, tmp_path):
    prepare = getattr(keras.applications, application).preprocess_input
    model = behind(prepare)
    converted = converts_alike(model)
    assert not {"Stack", "GetItem", "Dense"} & set(kinds_of(converted))
    model.save(tmp_path / "model.keras")
    assert_agree(model, allconv.convert(tmp_path / "model.keras"))


@pytest.mark.parametrize("application", ["vgg16", "mobilenet_v2", "densenet"])
def test_preprocess_input_converts_where_the_channels_come_first(application):
    prepare = getattr(keras.applications, application).preprocess_input
    model = behind(lambda x: prepare(x, data_format="channels_first"), "channels_first")
    converts_alike(model)


def swapped_by_slices(x):
    return ops.concatenate([x[..., 2:3], x[..., 1:2], x[..., :1]], axis=-1)


def swapped_by_unstack(x):
    red, green, blue = ops.unstack(x, axis=-1)
    return ops.stack([blue, green, red], axis=-1)


def swapped_by_split(x):
    red, green, blue = ops.split(x, 3, axis=-1)
    return layers.Concatenate()([blue, green, red])


SWAPS = {
    "slice": lambda x: x[..., ::-1],
    "slices": swapped_by_slices,
    "unstack": swapped_by_unstack,
    "split": swapped_by_split,
    "flip": lambda x: ops.flip(x, axis=-1),
    "take": lambda x: ops.take(x, [2, 1, 0], axis=-1),
    "negative": lambda x: ops.stack([x[..., -1], x[..., -2], x[..., -3]], axis=3),
}


@pytest.mark.parametrize("swap", SWAPS.values(), ids=list(SWAPS))
def test_channels_turned_round_in_any_way_are_a_convolution_that_picks_them(swap, tmp_path):
    model = behind(swap)
    converted = converts_alike(model)
    conv = next(layer for layer in converted.layers if isinstance(layer, layers.Conv2D))
    assert np.asarray(conv.kernel)[0, 0].tolist() == [[0, 0, 1], [0, 1, 0], [1, 0, 0]]
    assert not conv.use_bias
    assert not conv.trainable
    assert kinds_of(converted)[:3] == ["InputLayer", "Conv2D", "Conv2D"]
    model.save(tmp_path / "model.keras")
    assert_agree(model, allconv.convert(tmp_path / "model.keras"))


@pytest.mark.parametrize("shape", [(9, 3), (4, 4, 4, 3)], ids=["1D", "3D"])
def test_channels_are_picked_along_one_axis_and_three(shape):
    image = keras.Input(shape)
    conv = layers.Conv1D if len(shape) == 2 else layers.Conv3D
    model = randomize(keras.Model(image, conv(2, 2)(image[..., 1:])))
    converts_alike(model)


def test_picked_channels_convert_at_any_size_and_to_onnx(tmp_path):
    model = behind(keras.applications.vgg16.preprocess_input)
    converted = allconv.convert(model, input_size="any")
    assert converted.input_shape == (None, None, None, 3)
    exported = allconv.export_onnx(converted, tmp_path / "model.onnx")
    assert not {"Gather", "Transpose"} & set(exported.operators)
    assert allconv.geometry(model).receptive_field == (8, 8)
    assert allconv.check(model, input_size=(20, 20)).rows[-2].output_shape == (None, 324)


def test_images_of_whole_numbers_convert_where_they_are_cast_first():
    def prepared(x):
        return keras.applications.vgg16.preprocess_input(ops.cast(x, "float32"))

    model = behind(prepared, dtype="uint8")
    images = np.random.default_rng(0).integers(0, 256, (2, 9, 9, 3)).astype("uint8")
    pairs = zip(outputs(allconv.convert(model), images), outputs(model, images), strict=True)
    for found, expected in pairs:
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-3)


def refused(model):
    with pytest.raises(ConversionError) as error:
        allconv.convert(model)
    return str(error.value)


def test_picked_whole_numbers_are_refused_with_the_reason():
    model = behind(lambda x: ops.cast(x[..., ::-1], "float32"), dtype="uint8")
    expected = (
        "it picks channels of whole numbers, which no convolution gives; cast them before, "
        "keras.ops.cast(x, 'float32')"
    )
    assert expected in refused(model)


@pytest.mark.parametrize(
    "pick",
    [
        lambda x: x[:, 1:],
        lambda x: ops.flip(x, axis=1),
        lambda x: ops.take(x, [0, 1, 2, 5, 4], axis=2),
        lambda x: ops.stack([x[:, row] for row in (3, 1, 4, 2)], axis=1),
    ],
    ids=["slice", "flip", "take", "stack"],
)
def test_picked_cells_are_refused_with_the_reason(pick):
    assert "it does not pick channels of one map" in refused(behind(pick))
    model = behind(pick)
    assert_agree(model, allconv.convert(model, strict=False))
