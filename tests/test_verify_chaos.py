"""Where one rounding moves a network more than its conversion does, nothing is proved."""

from __future__ import annotations

import re

import keras
import numpy as np
import pytest
from keras import layers

import allconv
from allconv.verification.chaos import moved_by_rounding
from allconv.verify import verify
from tests.helpers.randomized import kernels, randomize
from tests.helpers.small_applications import under


def doubling(rounds: int, name: str = "chaotic") -> keras.Model:
    """The logistic map 4 x (1 - x), which doubles what two values differ by, and its mean."""
    image = keras.Input((6, 6, 2))
    x = layers.Activation("sigmoid")(layers.AveragePooling2D(3, 1)(image))
    for _ in range(rounds):
        x = 4 * x * (1 - x)
    x = layers.Dense(2, name="last")(layers.GlobalAveragePooling2D()(x))
    return randomize(keras.Model(image, x, name=name))


def with_kernel_times(model: keras.Model, factor: float) -> keras.Model:
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    for kernel in kernels(copy):
        if kernel.path.startswith("last/"):
            kernel.assign(np.asarray(kernel) * np.asarray(factor, kernel.dtype))
    return copy


def test_a_chaotic_network_is_not_run_and_both_numbers_are_told() -> None:
    model = doubling(40)
    verification = verify(model, allconv.convert(model))
    assert verification.passed is None and verification.tolerance
    words = r"the original is chaotic: the conversion moves it by (\S+) of its spread, and one "
    found = re.search(words + r"rounding of its numbers by (\S+)$", verification.reason)
    assert found, verification
    assert verification.tolerance < float(found[1]) <= float(found[2])


def test_the_conversion_of_a_chaotic_network_is_given() -> None:
    assert allconv.convert(doubling(40), verify=True)


def test_what_hardly_doubles_is_verified() -> None:
    model = doubling(3)
    assert verify(model, allconv.convert(model))


@pytest.mark.parametrize("rounds", [0, 3, 8])
def test_a_wrong_kernel_fails_where_roundings_move_less(rounds: int) -> None:
    model = doubling(rounds)
    verification = verify(model, with_kernel_times(allconv.convert(model), 1.01))
    assert verification.passed is False, verification


@pytest.mark.skipif(keras.backend.backend() == "jax", reason="JAX has no float64 unless asked")
def test_in_float64_a_rounding_is_one_of_float64() -> None:
    with under("float64"):
        model = doubling(3)
    verification = verify(model, with_kernel_times(model, 1 + 1e-9))
    assert verification.passed is False, verification


def test_one_chaotic_output_of_two_is_named() -> None:
    models = doubling(40), doubling(0, "calm")
    image = keras.Input((6, 6, 2))
    both = keras.Model(image, [model(image) for model in models])
    verification = verify(both, allconv.convert(both))
    assert verification.passed is None
    assert verification.reason.startswith("output 1 of 2 is chaotic: ")


def test_a_wrong_output_beside_a_chaotic_one_fails() -> None:
    image, (chaotic, calm) = keras.Input((6, 6, 2)), (doubling(40), doubling(0, "calm"))
    both = keras.Model(image, [model(image) for model in (chaotic, calm)])
    pair = (allconv.convert(chaotic), with_kernel_times(calm, 1.5))
    wrong = keras.Model(image, [model(image) for model in pair])
    assert verify(both, wrong).passed is False


def test_integers_are_not_rounded() -> None:
    def doubled(values):
        return np.asarray(values) * 2.0

    def moved(values):
        return moved_by_rounding(doubled, doubled, values, 2.0**-23, seed=0, enough=[1.0])

    assert moved(np.arange(4)) == [0.0]
    assert 0 < moved(np.arange(4) / 3)[0] <= 2.0**-23


def test_the_original_keeps_its_weights() -> None:
    model = doubling(40)
    before = model.get_weights()
    assert verify(model, allconv.convert(model)).passed is None
    assert all(map(np.array_equal, model.get_weights(), before))


def test_a_network_whose_weights_alone_matter_is_rounded_there() -> None:
    """Behind a Dense on zeros only its bias moves anything."""
    image = keras.Input((4,))
    x = layers.Dense(1, name="last", bias_initializer="ones")(0.0 * image) / 3
    for _ in range(40):
        x = 4 * x * (1 - x)
    model = keras.Model(image, x + 1e-3 * layers.Dense(1)(image))
    wrong = keras.models.clone_model(model)
    wrong.set_weights(model.get_weights())
    bias = wrong.get_layer("last").bias
    bias.assign(np.nextafter(np.asarray(bias), np.float32(9)))
    verification = verify(model, wrong)
    assert "is chaotic" in verification.reason, verification


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_roundings_between_layers_are_noise_as_well(data_format: str) -> None:
    """Equal values have a mean that may be off by a rounding, which is all that is left of them."""
    steps = layers.GlobalAveragePooling2D(keepdims=True, data_format=data_format), layers.Flatten()
    ends = layers.RepeatVector(7), layers.Permute((2, 1)), layers.LayerNormalization(epsilon=1e-9)
    shape = (4, 4, 1) if data_format == "channels_last" else (1, 4, 4)
    model = keras.Sequential([keras.Input(shape), *steps, *ends])
    images = np.random.default_rng(0).normal(size=(4, *shape)).astype("float32")
    moved = moved_by_rounding(model, model, [images], 2.0**-23, seed=0, enough=[1.0])
    assert moved[0] > 1e-4


def test_results_are_rounded_in_copies_only() -> None:
    model = doubling(40)
    image = np.random.default_rng(0).normal(size=(2, 6, 6, 2)).astype("float32")
    before = np.asarray(keras.ops.convert_to_numpy(model(image)))
    assert verify(model, allconv.convert(model)).passed is None
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(model(image)), before)
