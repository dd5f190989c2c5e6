"""Fixed kernels: in the configuration for clones, and frozen again by `freeze_fixed`."""

from __future__ import annotations

import doctest
import importlib

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from keras import layers

import allconv
from allconv.errors import ModelError
from allconv.kernels.fixed import MOST_WRITTEN
from tests.helpers.drawn_networks import drawn_network, random_networks
from tests.helpers.keras_comparison import network, outputs, random_images
from tests.helpers.randomized import randomize

TO_FILE = (".keras", ".h5")


def loaded(model, path):
    model.save(path)
    return keras.models.load_model(path, compile=False)


COPIES = {
    "clone_model": keras.models.clone_model,
    "from_config": lambda model: type(model).from_config(model.get_config()),
    "json": lambda model: keras.models.model_from_json(model.to_json()),
}


def pools():
    """Every kind of fixed kernel that broadcasts: picks, differences, means, ones, shares."""
    image = keras.Input((12, 13, 2))
    x = layers.Conv2D(4, 3)(image)
    ends = [
        layers.MaxPooling2D(2)(x),
        layers.MaxPooling2D(3, 2, padding="same")(x),
        layers.MaxPooling2D(3, 1, padding="same")(x),
        layers.AveragePooling2D(3, 2, padding="same")(x),
        layers.AveragePooling2D(2)(x),
        layers.AveragePooling2D(1, 2)(x),
        layers.GlobalAveragePooling2D()(x),
        layers.GlobalMaxPooling2D()(x),
    ]
    return keras.Model(image, ends)


def of_any_size():
    """Those that count cells on the way."""
    image = keras.Input((None, None, 2))
    same = {"strides": 2, "padding": "same"}
    ends = [layers.AveragePooling2D((3, 2), **same)(image), layers.MaxPooling2D(3, **same)(image)]
    return keras.Model(image, ends)


def diagonals():
    """Kernels that do not broadcast: a full convolution for each, and one that gathers a map."""
    volume, image = keras.Input((4, 5, 4, 3)), keras.Input((6, 7, 2))
    return keras.Model(
        [volume, image],
        [
            layers.MaxPooling3D(2, name="max")(volume),
            layers.AveragePooling3D(2, padding="same", name="mean")(volume),
            layers.MaxPooling2D(2, (1, 2), name="unequal")(image),
            layers.UnitNormalization(name="unit")(layers.Flatten()(image)),
        ],
    )


def picked_channels():
    """Channels turned round, one of them, and two, which 1x1 convolutions pick."""
    image = keras.Input((6, 5, 3))
    parts = [image[..., ::-1], image[..., 1:2], keras.ops.take(image, [2, 0], axis=-1)]
    return keras.Model(image, [layers.Conv2D(2, 2)(part) for part in parts])


NETWORKS = (pools, of_any_size, diagonals, picked_channels)


def fixed_weights(model, names):
    return [weight for name in names for weight in model.get_layer(name).get_weights()]


@pytest.mark.parametrize("copy", COPIES)
@pytest.mark.parametrize("make", [pools, of_any_size, picked_channels])
def test_a_clone_has_the_same_fixed_kernels(make, copy):
    model = make()
    report, converted = allconv.report(model), allconv.convert(model)
    assert report.fixed and not report.needs_set_weights
    found = fixed_weights(COPIES[copy](converted), report.fixed)
    expected = fixed_weights(converted, report.fixed)
    for new, old in zip(found, expected, strict=True):
        np.testing.assert_array_equal(new, old)


def test_a_mean_with_a_batchnorm_folded_in_is_no_fixed_kernel():
    """The mean alone in its configuration would make wrong clones."""
    model = randomize(
        network((8, 8, 3), layers.AveragePooling2D(2, name="mean"), layers.BatchNormalization())
    )
    report = allconv.report(model, fold_batchnorm=True)
    converted = allconv.convert(model, fold_batchnorm=True, verify=True)
    config = converted.get_layer("mean").get_config()
    assert config["depthwise_initializer"]["class_name"] != "Constant"
    assert report.fixed == allconv.freeze_fixed(converted) == ()
    clone = keras.models.clone_model(converted)
    clone.set_weights(converted.get_weights())
    assert allconv.verify(model, clone).passed


@pytest.mark.parametrize("suffix", TO_FILE)
def test_a_clone_of_a_model_from_a_file_has_them_too(suffix, tmp_path):
    model = loaded(allconv.convert(pools()), tmp_path / f"pools{suffix}")
    fixed = allconv.freeze_fixed(model)
    found = fixed_weights(keras.models.clone_model(model), fixed)
    assert len(fixed) == len(allconv.report(pools()).fixed)
    for new, old in zip(found, fixed_weights(model, fixed), strict=True):
        np.testing.assert_array_equal(new, old)


def test_a_mean_over_a_whole_map_is_one_number_in_the_configuration():
    model = network((40, 30, 2), layers.GlobalAveragePooling2D(name="mean"))
    config = allconv.convert(model).get_layer("mean").get_config()
    assert config["depthwise_initializer"]["config"] == {"value": 1 / 1200}


def test_a_configuration_holds_a_few_numbers_only():
    """The counts of a window of 18 are 18 x 17 numbers: the report names the layer instead."""
    assert MOST_WRITTEN < 18 * 17
    signal = keras.Input((None, 1))
    model = keras.Model(signal, layers.AveragePooling1D(18, padding="same", name="mean")(signal))
    report = allconv.report(model)
    assert report.needs_set_weights == ("mean_shortfall1",)
    assert "clones need set_weights" in str(report)
    converted = allconv.convert(model)
    assert set(allconv.freeze_fixed(converted)) == set(report.fixed)


def test_kernels_that_do_not_broadcast_are_named_in_the_report():
    report = allconv.report(diagonals())
    noted = {row.layer for row in report.rows if any("set_weights" in note for note in row.notes)}
    assert noted == {"max", "mean", "unequal", "unit"}
    for text in (str(report), report.to_markdown(), report.to_html()):
        assert "its fixed kernels are not in the configuration: clones need set_weights" in text
    assert report.to_dict()["needs_set_weights"] == list(report.needs_set_weights)
    assert set(report.needs_set_weights) < set(report.fixed)


def test_verify_of_a_clone_without_them_fails_until_it_is_given_the_weights():
    model = network((4, 4, 4, 3), layers.MaxPooling3D(2))
    converted = allconv.convert(model)
    clone = keras.models.clone_model(converted)
    assert allconv.verify(model, clone).passed is False
    clone.set_weights(converted.get_weights())
    assert allconv.verify(model, clone).passed


def test_a_report_says_what_keeps_fixed_kernels_frozen():
    said = "after model.trainable = True, call allconv.freeze_fixed"
    with_pool = allconv.report(network((4, 4, 1), layers.MaxPooling2D(2)))
    assert said in str(with_pool).replace("\n", " ")
    without = allconv.report(network((4, 4, 1), layers.Conv2D(2, 3), layers.Flatten()))
    assert "freeze_fixed" not in str(without) and without.fixed == ()


@pytest.mark.parametrize("make", NETWORKS)
def test_freeze_fixed_freezes_what_training_is_to_leave_and_nothing_else(make):
    model = make()
    fixed, converted = allconv.report(model).fixed, allconv.convert(model)
    before = [weight.path for weight in converted.trainable_weights]
    converted.trainable = False
    converted.trainable = True
    assert len(converted.trainable_weights) > len(before)
    assert sorted(allconv.freeze_fixed(converted)) == sorted(fixed)
    assert [weight.path for weight in converted.trainable_weights] == before


@pytest.mark.parametrize("suffix", TO_FILE)
@pytest.mark.parametrize("make", NETWORKS)
def test_freeze_fixed_knows_the_layers_of_a_model_from_a_file(make, suffix, tmp_path):
    fixed, converted = allconv.report(make()).fixed, allconv.convert(make())
    model = loaded(converted, tmp_path / f"pools{suffix}")
    model.trainable = True
    assert len(allconv.freeze_fixed(model)) == len(fixed)
    assert len(model.trainable_weights) == len(converted.trainable_weights)


@pytest.mark.parametrize("make", [pools, of_any_size])
def test_freeze_fixed_knows_them_in_a_clone_and_in_a_model_around_it(make):
    converted = allconv.convert(make())
    clone = keras.models.clone_model(converted)
    around = keras.Sequential([keras.Input(clone.input_shape[1:]), clone])
    around.trainable = True
    assert len(allconv.freeze_fixed(around)) == len(allconv.report(make()).fixed)
    assert len(around.trainable_weights) == len(converted.trainable_weights)


@pytest.mark.parametrize("policy", ["float64", "float16", "mixed_bfloat16"])
def test_freeze_fixed_knows_them_in_every_precision(policy):
    image = keras.Input((9, 8, 3))
    pool = layers.AveragePooling2D(3, (1, 2), padding="same", dtype=policy)
    model = keras.Model(image, layers.GlobalAveragePooling2D(dtype=policy)(pool(image)))
    converted = allconv.convert(model)
    converted.trainable = True
    assert sorted(allconv.freeze_fixed(converted)) == sorted(allconv.report(model).fixed)


def test_layers_of_the_users_own_stay_as_they_are():
    own = [
        layers.Conv2D(3, 1, kernel_initializer="ones"),
        layers.DepthwiseConv2D(1, depthwise_initializer="ones", use_bias=False),
        layers.DepthwiseConv2D(3, depthwise_initializer="glorot_uniform", use_bias=False),
        layers.Conv2D(3, 3, kernel_initializer=keras.initializers.Constant(0.1), use_bias=False),
        layers.Conv2DTranspose(3, 2),
        layers.Conv2D(1, 2, bias_initializer="ones"),
    ]
    model = keras.Sequential([keras.Input((8, 8, 3)), *own])
    assert allconv.freeze_fixed(model) == ()
    assert all(layer.trainable for layer in model.layers)


def test_fixed_kernels_that_training_has_changed_are_an_error_that_names_them():
    converted = allconv.convert(network((4, 4, 1), layers.MaxPooling2D(2, name="pool")))
    layer = converted.get_layer("pool_pair1_pick")
    layer.set_weights([layer.get_weights()[0] + 1e-3])
    with pytest.raises(ModelError, match="training has changed the fixed kernels of 'pool_pair1_p"):
        allconv.freeze_fixed(converted)


def test_freeze_fixed_takes_models_only():
    with pytest.raises(ModelError, match=r"expected a keras\.Model, got str"):
        allconv.freeze_fixed("model.keras")


def test_training_after_freeze_fixed_keeps_the_pools(tmp_path):
    model = network((6, 6, 1), layers.Conv2D(2, 3), layers.MaxPooling2D(2), layers.Flatten())
    converted = allconv.convert(model)
    converted.trainable = True
    fixed = allconv.freeze_fixed(converted)
    before = fixed_weights(converted, fixed)
    converted.compile("sgd", "mse")
    converted.fit(np.ones((4, 6, 6, 1)), np.ones((4, 8)), verbose=0)
    for new, old in zip(fixed_weights(converted, fixed), before, strict=True):
        np.testing.assert_array_equal(new, old)


@pytest.mark.parametrize("rank", [1, 2, 3])
@random_networks(6)
@given(data=st.data())
def test_of_any_network_freeze_fixed_finds_what_the_report_names(rank, data):
    model = drawn_network(data.draw, "channels_last", rank)
    report, converted = allconv.report(model, strict=False), allconv.convert(model, strict=False)
    converted.trainable = True
    assert sorted(allconv.freeze_fixed(converted)) == sorted(report.fixed)
    clone = keras.models.clone_model(converted)
    written = [name for name in report.fixed if name not in report.needs_set_weights]
    for new, old in zip(*(fixed_weights(m, written) for m in (clone, converted)), strict=True):
        np.testing.assert_array_equal(new, old)


def test_the_example_in_the_docstring_is_true():
    keras.backend.clear_session()
    assert doctest.testmod(importlib.import_module("allconv.building.freezing")).failed == 0


def test_a_converted_file_with_fixed_kernels_is_read_and_left_as_it_is(tmp_path):
    converted = allconv.convert(pools())
    for suffix in TO_FILE:
        path = tmp_path / f"pools{suffix}"
        converted.save(path)
        again = allconv.convert(path)
        assert not any(row.changed for row in allconv.report(path).rows)
        images = random_images(converted)
        for new, old in zip(outputs(again, images), outputs(converted, images), strict=True):
            np.testing.assert_array_equal(new, old)
