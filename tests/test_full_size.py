"""Networks of full depth, most at small images: converted, all-convolutional, and equal."""

from __future__ import annotations

import cProfile
import sys

import keras
import numpy as np
import pytest
from keras import layers

import allconv
from allconv.obstacles import is_all_convolutional
from allconv.plan import plan_conversion
from allconv.read import read
from tests.helpers.randomized import damp_branches, randomize

pytestmark = pytest.mark.slow

ONE_OF_EACH_FAMILY = (
    "ConvNeXtTiny",
    "DenseNet121",
    "EfficientNetB0",
    "EfficientNetV2B0",
    "InceptionResNetV2",
    "InceptionV3",
    "MobileNet",
    "MobileNetV2",
    "MobileNetV3Small",
    "NASNetMobile",
    "ResNet50",
    "ResNet50V2",
    "VGG19",
    "Xception",
)
"""Networks of keras.applications; benchmarks/applications.py measures all of them at full size."""
SIZE = 75
"""Height and width of their images: the least that Inception takes, and enough for the others to
end in maps of several cells."""


def test_vgg16_gives_the_same_classes_within_a_hundred_thousandth():
    model = randomize(keras.applications.VGG16(weights=None, classifier_activation=None))
    converted = allconv.convert(model)
    assert is_all_convolutional(read(converted))
    images = np.random.default_rng(0).normal(size=(8, 224, 224, 3)).astype("float32")
    found, expected = (m.predict(images, batch_size=2, verbose=0) for m in (converted, model))
    assert np.abs(found - expected).max() <= 1e-5 * np.abs(expected).max()
    np.testing.assert_array_equal(found.argmax(axis=-1), expected.argmax(axis=-1))


@pytest.mark.parametrize("name", ONE_OF_EACH_FAMILY)
def test_networks_of_keras_applications_convert_and_an_error_of_one_per_cent_would_be_seen(name):
    build = getattr(keras.applications, name)
    model = build(weights=None, input_shape=(SIZE, SIZE, 3), classes=10)
    damp_branches(randomize(model))
    converted = allconv.convert(model)
    assert is_all_convolutional(read(converted))
    verification = allconv.verify(model, converted)
    assert verification.passed, verification
    first = next(layer for layer in converted.layers if isinstance(layer, layers.Conv2D))
    first.kernel.assign(1.01 * first.kernel)
    assert allconv.verify(model, converted).passed is False


def test_layers_of_keras_applications_are_made_again():
    model = keras.applications.ConvNeXtTiny(weights=None, input_shape=(32, 32, 3), classes=10)
    converted = allconv.convert(model)
    assert "LayerScale" in {type(layer).__name__ for layer in converted.layers}


def test_a_network_deeper_than_pythons_recursion_converts_as_it_comes(recursion_limit):
    recursion_limit(20_000)  # Keras itself needs it to make the network
    model = randomize(chain_of_relus(1_200))
    recursion_limit(1_000)
    converted = allconv.convert(model)
    assert is_all_convolutional(read(converted))
    assert allconv.verify(model, converted).passed


def chain_of_relus(count):
    """A network of one convolution and many ReLUs."""
    inputs = keras.Input((8, 8, 3))
    tensor = layers.Conv2D(4, 3)(inputs)
    for _ in range(count):
        tensor = layers.ReLU()(tensor)
    vector = layers.GlobalAveragePooling2D()(tensor)
    return keras.Model(inputs, layers.Dense(3)(vector))


@pytest.fixture
def recursion_limit():
    """`sys.setrecursionlimit`, put back afterwards."""
    before = sys.getrecursionlimit()
    yield sys.setrecursionlimit
    sys.setrecursionlimit(before)


def squeeze_and_excitation(count):
    """Blocks of a global pool whose channels become factors."""
    tensor = inputs = keras.Input((8, 8, 4))
    for _ in range(count):
        vector = layers.Dense(4)(layers.GlobalAveragePooling2D()(tensor))
        tensor = layers.Multiply()([tensor, layers.Reshape((1, 1, 4))(vector)])
    return keras.Model(inputs, tensor)


def one_convolution_many_times(count):
    """A shared convolution, a ReLU of its own behind every call."""
    tensor = inputs = keras.Input((8, 8, 4))
    shared = layers.Conv2D(4, 3, padding="same")
    for _ in range(count):
        tensor = layers.ReLU()(shared(tensor))
    return keras.Model(inputs, tensor)


def max_pools(count):
    """Max pools that become a dozen layers each."""
    tensor = inputs = keras.Input((8, 8, 4))
    for _ in range(count):
        tensor = layers.MaxPooling2D(3, 1, "same")(tensor)
    return keras.Model(inputs, tensor)


@pytest.mark.parametrize("build", [squeeze_and_excitation, one_convolution_many_times, max_pools])
def test_planning_twice_the_layers_takes_at_most_twice_the_work(build):
    few, many = (calls_to_plan(build(count)) for count in (40, 80))
    assert many <= 2.05 * few


def calls_to_plan(model):
    """How many functions planning calls: unlike seconds, the same at every run."""
    plan_conversion(model)  # a first time fills caches
    profile = cProfile.Profile()
    profile.runcall(plan_conversion, model)
    return sum(entry.callcount for entry in profile.getstats())
