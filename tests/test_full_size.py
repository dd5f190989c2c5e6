"""Networks of full depth, most at small images: converted, all-convolutional, and equal."""

from __future__ import annotations

import keras
import numpy as np
import pytest

import allconv
from allconv.obstacles import is_all_convolutional
from allconv.read import read
from tests.randomized import randomize

pytestmark = pytest.mark.slow

SMALLEST = {
    "DenseNet121": 32,
    "EfficientNetB0": 32,
    "InceptionV3": 75,
    "MobileNetV2": 32,
    "MobileNetV3Small": 32,
    "NASNetMobile": 32,
    "ResNet50": 32,
    "ResNet50V2": 32,
    "VGG19": 32,
    "Xception": 71,
}
"""The networks of keras.applications, and the heights and widths that they are built for here."""


def test_vgg16_gives_the_same_classes_within_a_hundred_thousandth():
    model = randomize(keras.applications.VGG16(weights=None, classifier_activation=None))
    converted = allconv.convert(model)
    assert is_all_convolutional(read(converted))
    images = np.random.default_rng(0).normal(size=(8, 224, 224, 3)).astype("float32")
    found, expected = (m.predict(images, batch_size=2, verbose=0) for m in (converted, model))
    assert np.abs(found - expected).max() <= 1e-5 * np.abs(expected).max()
    np.testing.assert_array_equal(found.argmax(axis=-1), expected.argmax(axis=-1))


@pytest.mark.parametrize("name", SMALLEST)
def test_networks_of_keras_applications_convert_and_verify(name):
    build = getattr(keras.applications, name)
    size = SMALLEST[name]
    model = randomize(build(weights=None, input_shape=(size, size, 3), classes=10))
    converted = allconv.convert(model)
    assert is_all_convolutional(read(converted))
    verification = allconv.verify(model, converted)
    assert verification.passed, verification


def test_layers_of_keras_applications_are_made_again():
    model = randomize(
        keras.applications.ConvNeXtTiny(weights=None, input_shape=(32, 32, 3), classes=10)
    )
    converted = allconv.convert(model)
    assert "LayerScale" in {type(layer).__name__ for layer in converted.layers}
    assert allconv.verify(model, converted).passed
