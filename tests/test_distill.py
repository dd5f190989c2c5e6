"""`distill`: Keras' own fit against the original's outputs; what it leaves alone, and going on."""

from __future__ import annotations

import sys

import keras
import numpy as np
import pytest
from keras import layers

import allconv
from allconv import distill
from allconv.errors import CalibrationError
from allconv.fitting.distillation.matrix_products import as_products
from allconv.fitting.distillation.training import compile_trainer
from tests.helpers.keras_comparison import network, outputs, random_images
from tests.helpers.networks import twins
from tests.test_calibrate import shades, small

pytestmark = pytest.mark.filterwarnings("ignore:Even though the `tf.config")
QUIET = {"verbose": 0, "batch_size": 20, "learning_rate": 1e-2}


@pytest.fixture
def eager():
    """Steps as they come: tracing them takes longer than all that these tests train."""
    if keras.backend.backend() != "tensorflow":
        yield
        return
    import tensorflow as tf

    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


def conversion(model, **options):
    return allconv.convert(model, pooling="conv", **options)


def test_outputs_come_nearer_without_labels_and_the_losses_fall():
    model = small()
    converted, images = conversion(model), shades(60)
    done = distill(model, converted, images, epochs=3, **QUIET)
    assert len(done.losses) == 3 and done.losses[-1] < done.losses[0]
    assert done.after.error < done.before.error
    text = str(done)
    assert done.improved and text.startswith("losses of the epochs: ")
    assert "outputs after:  relative error" in text
    assert done.to_dict()["losses"] == list(done.losses)


@pytest.mark.usefixtures("eager")
def test_normalizations_keep_their_statistics_and_train_their_factors():
    model = small(norm=True)
    converted = conversion(model)
    norm, before = converted.get_layer("norm2"), model.get_layer("norm2").moving_mean
    gamma = keras.ops.convert_to_numpy(norm.gamma)
    distill(model, converted, shades(40), **QUIET)
    np.testing.assert_array_equal(
        keras.ops.convert_to_numpy(norm.moving_mean), keras.ops.convert_to_numpy(before)
    )
    assert np.any(keras.ops.convert_to_numpy(norm.gamma) != gamma)


def divergence(wanted, found):
    """Of Kullback and Leibler, in the mean, of softmaxes at temperature 2, times 4; by loops."""
    total = 0.0
    for row in zip(wanted, found, strict=True):
        p, q = (np.exp(values / 2) / np.sum(np.exp(values / 2)) for values in row)
        total += 4 * sum(a * np.log(a / b) for a, b in zip(p, q, strict=True))
    return total / len(wanted)


def mean_square(wanted, found):
    return np.mean((wanted - found) ** 2)


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize(("end", "loss"), [("softmax", divergence), ("sigmoid", mean_square)])
def test_the_loss_is_that_of_the_values_before_the_end_without_dropout(end, loss):
    model = small(end=end)
    converted, images = conversion(model), shades(20)

    def logits(network):
        inner = keras.Model(network.inputs[0], network.get_layer("classes").input)
        weights = [np.asarray(w) for w in network.get_layer("classes").get_weights()]
        rows = outputs(inner, [images])[0].reshape(20, -1)
        return (rows @ weights[0].reshape(-1, 4) + weights[1]).astype("float64")

    wanted, found = logits(model), logits(converted)
    done = distill(model, converted, images, **QUIET)  # one step: the loss is that before it
    assert done.losses[0] == pytest.approx(loss(wanted[:18], found[:18]), rel=1e-4)
    assert done.val_losses[0] == pytest.approx(loss(wanted[18:], found[18:]), rel=1e-4)


def values(variables):
    return [keras.ops.convert_to_numpy(variable) for variable in variables]


@pytest.mark.usefixtures("eager")
def test_the_original_is_not_changed_nor_compile_settings_nor_what_does_not_train():
    model = small()
    converted = allconv.convert(model, pooling={"pool1": "conv"})  # the second pool stays exact
    converted.compile("sgd", "categorical_crossentropy")
    fixed, before = values(converted.non_trainable_variables), model.get_weights()
    distill(model, converted, shades(40), **QUIET)
    assert type(converted.optimizer).__name__ == "SGD"
    assert converted.loss == "categorical_crossentropy"
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    for old, new in zip(fixed, values(converted.non_trainable_variables), strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.usefixtures("eager")
def test_images_may_be_batches_and_of_several_inputs():
    model = twins()
    pair = [shades(40, (16, 16), 3, seed) for seed in (0, 1)]
    batches = [([image[part] for image in pair], None) for part in (slice(25), slice(25, 40))]
    done = distill(model, conversion(model), batches, epochs=2, **QUIET)
    assert done.losses[1] < done.losses[0]


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("batches", [False, True])
def test_early_stopping_looks_at_the_images_that_are_held_back(batches):
    model, images = small(), shades(30)
    given = [images[:10], images[10:]] if batches else images
    done = distill(model, conversion(model), given, epochs=2, patience=1, **QUIET)
    assert len(done.val_losses) == 1 + len(done.losses) <= 3


@pytest.mark.usefixtures("eager")
def test_where_others_become_worse_the_model_stays_as_it_was():
    model = small()
    converted = conversion(model)
    before = converted.get_weights()
    done = distill(model, converted, shades(40), **{**QUIET, "learning_rate": 3.0})
    assert not done.improved and done.val_losses[-1] > done.val_losses[0]
    assert str(done).endswith(
        "The outputs were nearer before, so the model was left as it was; a smaller learning_rate, "
        "more epochs or more images may bring them nearer."
    )
    for old, new in zip(before, converted.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize(("backend", "compiled"), [("jax", True), ("tensorflow", False)])
def test_a_step_is_compiled_where_each_operation_would_run_alone(monkeypatch, backend, compiled):
    trainer = keras.Sequential([keras.Input((2,)), layers.Dense(1)])
    monkeypatch.setattr(keras.backend, "backend", lambda: backend)
    compile_trainer(trainer, 1e-3, 10)
    assert trainer.jit_compile is compiled


def test_a_window_that_covers_the_map_is_computed_as_a_product_with_the_same_result():
    model = network((3, 4, 2), layers.Conv2D(5, (3, 4), activation="relu", name="whole"))
    other = network((3, 4, 2), layers.Conv2D(5, 3, padding="same", name="sliding"))
    images = random_images(model)
    expected = outputs(model, images)
    for each in (model, other):
        as_products(each)
    np.testing.assert_allclose(outputs(model, images), expected, atol=1e-5)
    assert "convolution_op" in vars(model.get_layer("whole"))
    assert "convolution_op" not in vars(other.get_layer("sliding"))


@pytest.mark.usefixtures("eager")
def test_a_run_that_was_killed_goes_on_where_it_was(tmp_path):
    model, images = small(), shades(40)

    class Kill(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 1:
                raise KeyboardInterrupt

    halved = conversion(model)
    weights = halved.get_weights()
    module, before = sys.modules["allconv.distill"], sys.modules["allconv.distill"]._callbacks
    module._callbacks = lambda *args: [*before(*args), Kill()]
    try:
        with pytest.raises(KeyboardInterrupt):
            distill(model, halved, images, epochs=3, checkpoint=tmp_path / "kept", **QUIET)
    finally:
        module._callbacks = before
    for old, new in zip(weights, halved.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    resumed = distill(model, halved, images, epochs=3, checkpoint=tmp_path / "kept", **QUIET)
    assert len(resumed.losses) == 2
    assert resumed.before.error > resumed.after.error
    assert not list((tmp_path / "kept").glob("*.h5"))


@pytest.mark.usefixtures("eager")
def test_a_loss_that_is_no_number_leaves_the_model_as_it_was():
    model = small()
    converted = conversion(model)
    before = converted.get_weights()
    with pytest.raises(CalibrationError, match=r"the loss is (nan|inf) after .* try a smaller"):
        distill(model, converted, shades(60), **{**QUIET, "learning_rate": 1e30})
    for old, new in zip(before, converted.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.usefixtures("eager")
def test_class_maps_are_distilled_too():
    model = small()
    converted = conversion(model, input_size="any")
    done = distill(model, converted, shades(40), epochs=2, **QUIET)
    assert done.losses[1] < done.losses[0]
    assert outputs(converted, shades(1, (24, 24)))[0].ndim == 4


def test_no_images_are_an_error():
    model = small()
    with pytest.raises(CalibrationError, match="there are no images; give some"):
        distill(model, conversion(model), shades(0), **QUIET)


def test_a_model_of_another_original_is_refused():
    with pytest.raises(CalibrationError, match="is no conversion of"):
        distill(small(), conversion(twins()), shades(20), **QUIET)
