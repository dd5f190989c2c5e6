"""The promise on whichever backend Keras is set to; `make test` runs this file on JAX as well.

Backends differ below Keras. TensorFlow has no depthwise convolution of unequal strides on a CPU,
and channels-first ones only through XLA. PyTorch has no padding `same` with strides, and writes
into its variables. JAX takes the memory of those that it trains.
"""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers

import allconv
from allconv.obstacles import is_all_convolutional
from allconv.read import read
from tests.helpers.keras_comparison import assert_agree, converts_alike, network, random_images
from tests.helpers.small_applications import under

SHAPE = (12, 11, 3)
UNDRAWN = {"kernel_initializer": "zeros"}
"""For kernels that get random values anyway: JAX compiles a program to draw each of a new shape."""


def small_cnn():
    """Images `(batch, 12, 11, 3)`, four classes."""
    return network(
        SHAPE,
        layers.Conv2D(8, 3, padding="same", activation="relu", name="conv", **UNDRAWN),
        layers.BatchNormalization(),
        layers.MaxPooling2D(2, padding="same", name="pool"),
        layers.Flatten(),
        layers.Dense(4, activation="softmax", name="classes", **UNDRAWN),
    )


def of_rank(rank, padding, data_format):
    """Pools of unequal windows and strides between convolutions, and a head."""

    def layer(kind, *args, **options):
        return getattr(layers, f"{kind}{rank}D")(*args, data_format=data_format, **options)

    window, strides = (3, 2, 2)[:rank], (2, 1, 2)[:rank]
    sizes = (11, 7, 6)[:rank]
    return network(
        (2, *sizes) if data_format == "channels_first" else (*sizes, 2),
        layer("Conv", 3, 3, padding="same", activation="tanh", **UNDRAWN),
        layer("MaxPooling", window, strides, padding=padding),
        layer("AveragePooling", 2, 1, padding=padding),
        layers.Flatten(data_format=data_format),
        layers.Dense(3, **UNDRAWN),
    )


@pytest.mark.parametrize(
    ("padding", "data_format"), [("same", "channels_last"), ("valid", "channels_first")]
)
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_signals_images_and_volumes_convert_in_both_layouts(rank, padding, data_format):
    converted = converts_alike(of_rank(rank, padding, data_format))
    assert is_all_convolutional(read(converted))


@pytest.mark.parametrize("pooling", ["conv", "stride"])
def test_pools_become_strides(pooling):
    model = small_cnn()
    converted = allconv.convert(model, pooling=pooling)
    assert is_all_convolutional(read(converted))
    assert converted.output_shape == model.output_shape


def test_mixed_precision_is_kept():
    with under("mixed_bfloat16"):
        model = small_cnn()
    converted = allconv.convert(model)
    assert allconv.verify(model, converted).passed
    assert {layer.dtype_policy.name for layer in converted.layers[1:]} == {"mixed_bfloat16"}


def test_one_per_cent_of_a_kernel_does_not_pass():
    model = small_cnn()
    converted = allconv.convert(model)
    assert allconv.verify(model, converted).passed
    layer = converted.get_layer("conv")
    kernel, bias = layer.get_weights()
    layer.set_weights([kernel * 1.01, bias])
    assert allconv.verify(model, converted).passed is False


@pytest.mark.parametrize("trained", [0, 1], ids=["original", "conversion"])
def test_training_one_of_the_two_leaves_the_other_as_it_was(trained):
    model = small_cnn()
    model.compile("adam", "mse")
    pair = [model, allconv.convert(model)]
    before = [m.get_weights() for m in pair]
    pair[trained].fit(random_images(model)[0], np.eye(4)[:2], epochs=2, verbose=0)
    for i, (found, expected) in enumerate(zip(pair, before, strict=True)):
        same = map(np.array_equal, found.get_weights(), expected)
        assert all(same) == (i != trained)


@pytest.mark.parametrize(
    "suffix",
    [".keras", pytest.param(".h5", marks=pytest.mark.filterwarnings("ignore::UserWarning:absl"))],
)
def test_a_file_is_read_and_a_conversion_saved_and_loaded(tmp_path, suffix):
    model = small_cnn()
    model.save(tmp_path / f"model{suffix}")
    allconv.convert(tmp_path / f"model{suffix}").save(tmp_path / f"fcn{suffix}")
    assert_agree(model, keras.saving.load_model(tmp_path / f"fcn{suffix}"))
