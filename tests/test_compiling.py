"""How a conversion is compiled: as its original, with state of its own."""

from __future__ import annotations

import logging

import keras
import numpy as np
import pytest
from keras import layers

import allconv
from tests.helpers.keras_comparison import random_images
from tests.helpers.randomized import randomize
from tests.helpers.small_applications import chain, under


def cnn():
    """Images `(batch, 8, 8, 2)`, three classes."""
    steps = [layers.Conv2D(4, 3, activation="relu"), layers.MaxPooling2D(2), layers.Flatten()]
    return randomize(chain((8, 8, 2), *steps, layers.Dense(3, activation="softmax")))


def two_heads():
    """One image, two outputs, `left` and `right`."""
    image = keras.Input((8, 8, 2))
    x = layers.Flatten()(layers.MaxPooling2D(2)(image))
    outputs = [layers.Dense(2, name=name)(x) for name in ("left", "right")]
    return randomize(keras.Model(image, outputs))


def evaluated(model, targets):
    """What `evaluate` says of a model, without the outputs' names."""
    images = random_images(model)[0]
    values = model.evaluate(images, targets, batch_size=1, verbose=0, return_dict=True)
    return sorted(values.values())


def test_optimizer_loss_and_metrics_come_along_and_give_the_same_values():
    model = cnn()
    schedule = keras.optimizers.schedules.ExponentialDecay(0.1, 10, 0.5)
    optimizer = keras.optimizers.Adam(schedule, clipnorm=1.0)
    loss = keras.losses.CategoricalCrossentropy(label_smoothing=0.1)
    metrics = ["accuracy", keras.metrics.AUC(name="area")]
    steps = 1 if keras.backend.backend() == "torch" else 2  # it refuses others
    model.compile(optimizer, loss, metrics=metrics, steps_per_execution=steps)
    targets = np.eye(3)[:2]
    model.fit(random_images(model)[0], targets, batch_size=1, verbose=0)
    converted = allconv.convert(model)
    assert converted.optimizer is not optimizer
    assert converted.optimizer.get_config() == optimizer.get_config()
    assert int(converted.optimizer.iterations) == 0
    assert converted.loss is loss
    assert converted.steps_per_execution == steps
    assert not set(map(id, converted.metrics)) & set(map(id, model.metrics))
    np.testing.assert_allclose(evaluated(converted, targets), evaluated(model, targets), rtol=1e-5)


def test_settings_by_output_name_stay_as_the_outputs_keep_their_names():
    model = two_heads()
    model.compile(
        "sgd",
        loss={"left": "mse", "right": "mae"},
        loss_weights={"left": 2.0, "right": 0.5},
        metrics={"left": ["mae"], "right": [keras.metrics.MeanSquaredError()]},
    )
    converted = allconv.convert(model)
    assert list(converted.loss) == converted.output_names == model.output_names
    targets = [np.zeros((2, 2)), np.ones((2, 2))]
    np.testing.assert_allclose(evaluated(converted, targets), evaluated(model, targets), rtol=1e-5)


def test_settings_by_the_keys_of_a_dictionary_of_outputs_stay():
    image = keras.Input((8, 8, 2))
    x = layers.Flatten()(layers.MaxPooling2D(2)(image))
    heads = {key: layers.Dense(2, name=name)(x) for key, name in (("a", "b"), ("b", "a"))}
    model = randomize(keras.Model(image, heads))
    model.compile("sgd", loss={"a": "mse", "b": "mae"})
    converted = allconv.convert(model)
    assert converted.loss == {"a": "mse", "b": "mae"}
    targets = {"a": np.zeros((2, 2)), "b": np.ones((2, 2))}
    np.testing.assert_allclose(evaluated(converted, targets), evaluated(model, targets), rtol=1e-5)


def test_functions_given_as_losses_and_metrics_are_taken_as_they_are():
    def distance(target, output):
        return keras.ops.mean(keras.ops.square(target - output), axis=-1)

    model = cnn()
    model.compile("sgd", distance, weighted_metrics=[distance])
    converted = allconv.convert(model)
    assert converted.loss is distance
    targets = np.eye(3)[:2]
    np.testing.assert_allclose(evaluated(converted, targets), evaluated(model, targets), rtol=1e-5)


def test_a_learning_rate_that_was_changed_is_carried_as_it_is():
    model = cnn()
    model.compile("sgd", "mse")
    model.optimizer.learning_rate = 0.125
    assert float(allconv.convert(model).optimizer.learning_rate) == 0.125


@pytest.mark.parametrize("policy", ["mixed_float16", "float32"])
def test_the_loss_scaling_of_mixed_precision_is_there_once(policy):
    with under("mixed_float16"):
        model = cnn()
        model.compile(keras.optimizers.Adam(0.5), "mse")
    with under(policy):
        optimizer = allconv.convert(model).optimizer
    assert type(optimizer) is keras.optimizers.LossScaleOptimizer
    assert isinstance(optimizer.inner_optimizer, keras.optimizers.Adam)
    assert optimizer.inner_optimizer is not model.optimizer.inner_optimizer
    assert optimizer.inner_optimizer.get_config() == model.optimizer.inner_optimizer.get_config()


def test_an_uncompiled_model_stays_uncompiled():
    assert not allconv.convert(cnn()).compiled


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.filterwarnings("ignore::UserWarning:absl")
@pytest.mark.parametrize("is_compiled", [False, True])
def test_a_file_gives_a_compiled_model_where_its_own_was(tmp_path, suffix, is_compiled):
    model = cnn()
    if is_compiled:
        model.compile("sgd", keras.losses.MeanSquaredError())
    model.save(tmp_path / f"model{suffix}")
    assert allconv.convert(tmp_path / f"model{suffix}").compiled is is_compiled


def test_what_cannot_be_copied_leaves_the_conversion_uncompiled_and_is_logged(caplog):
    class Own(keras.optimizers.SGD):
        def __init__(self, secret):
            super().__init__()

    model = keras.Sequential(cnn().layers, name="mine")
    model.compile(Own(3), "mse")
    with caplog.at_level(logging.WARNING, logger="allconv"):
        converted = allconv.convert(model)
    assert not converted.compiled
    [record] = caplog.records
    assert record.getMessage().startswith("'mine' is not compiled: its settings cannot be copied (")
    assert record.getMessage().endswith("); call compile() yourself")
