"""What `convert` promises of any model, whatever the rules do to its layers."""

from __future__ import annotations

import subprocess
import sys

import keras
import numpy as np
import pytest
from keras import layers

import allconv
from allconv.errors import VerificationError
from allconv.obstacles import is_all_convolutional
from allconv.plan import plan_conversion
from allconv.read import read
from tests.helpers.keras_comparison import (
    assert_agree,
    assert_close,
    converts_alike,
    outputs,
    random_images,
)
from tests.helpers.networks import mnist_cnn, residual
from tests.helpers.randomized import randomize
from tests.helpers.small_applications import NETWORKS, chain


def small_cnn():
    """A Sequential with a pool, on images `(batch, 8, 8, 2)`."""
    body = [
        keras.Input((8, 8, 2)),
        layers.Conv2D(4, 3, padding="same", activation="relu", name="conv"),
        layers.MaxPooling2D(2, name="pool1"),
        layers.Flatten(name="flatten"),
        layers.Dense(3, activation="softmax", name="classes"),
    ]
    return randomize(keras.Sequential(body, name="small"))


def snapshot(model):
    """All of a model that a conversion could touch."""
    calls = [
        (layer.name, len(layer._inbound_nodes), len(layer._outbound_nodes), layer.trainable)
        for layer in model._flatten_layers()
    ]
    weights = [(id(weight), weight.numpy().tobytes()) for weight in model.weights]
    return (
        calls,
        weights,
        str(model.get_config()),
        model.compiled,
        getattr(model, "optimizer", None),
    )


@pytest.mark.parametrize("build", NETWORKS, ids=lambda build: build.__name__)
def test_networks_that_people_train_become_all_convolutional_with_the_same_numbers(build):
    model = randomize(build())
    before = snapshot(model)
    converted = converts_alike(model)
    assert allconv.verify(model, converted).passed
    assert is_all_convolutional(read(converted))
    assert snapshot(model) == before
    assert plan_conversion(converted).changes == ()


@pytest.mark.parametrize("pooling", ["exact", "conv", "stride"])
def test_the_original_is_never_changed(pooling):
    model = small_cnn()
    model.compile("adam", "categorical_crossentropy", metrics=["accuracy"])
    model.fit(random_images(model)[0], np.eye(3)[:2], verbose=0)
    before, state = snapshot(model), [v.numpy() for v in model.optimizer.variables]
    converted = allconv.convert(model, pooling=pooling)
    converted.fit(random_images(model)[0], np.eye(3)[:2], verbose=0)
    assert snapshot(model) == before
    for old, new in zip(state, model.optimizer.variables, strict=True):
        np.testing.assert_array_equal(old, new.numpy())


def test_a_layer_with_the_old_weights_keeps_its_name_and_a_pool_its_tensor():
    model = small_cnn()
    converted = allconv.convert(model)
    np.testing.assert_array_equal(
        converted.get_layer("conv").kernel, model.get_layer("conv").kernel
    )
    kernel = np.asarray(model.get_layer("classes").kernel).reshape(4, 4, 4, 3)
    np.testing.assert_array_equal(converted.get_layer("classes").kernel, kernel)
    up_to_pool = [keras.Model(m.inputs[0], m.get_layer("pool1").output) for m in (model, converted)]
    assert_agree(*up_to_pool)
    assert converted.name == "small"


def test_layers_of_the_model_have_the_first_claim_to_their_names():
    model = chain(
        (8, 8, 2),
        layers.MaxPooling2D(2, name="pool"),
        layers.Activation("tanh", name="pool_relu"),
        layers.Conv2D(2, 1, name="pool_difference"),
    )
    converted = converts_alike(randomize(model))
    assert type(converted.get_layer("pool_relu")) is layers.Activation
    assert converted.get_layer("pool_difference").kernel.shape == (1, 1, 2, 2)


def test_fixed_kernels_are_not_trainable_and_frozen_layers_stay_frozen():
    model = small_cnn()
    model.get_layer("classes").trainable = False
    converted = allconv.convert(model)
    trainable = [weight.path for weight in converted.trainable_weights]
    assert trainable == ["conv/kernel", "conv/bias"]


def test_a_frozen_model_stays_frozen():
    model = small_cnn()
    model.trainable = False
    converted = allconv.convert(model)
    assert not converted.trainable
    assert converted.trainable_weights == []


def test_a_sequential_stays_one_where_its_conversion_is_a_chain():
    kinds = {p: type(allconv.convert(small_cnn(), pooling=p)) for p in ("conv", "stride", "exact")}
    assert kinds["conv"] is kinds["stride"] is keras.Sequential
    assert kinds["exact"] is not keras.Sequential
    averaging = keras.Sequential([keras.Input((8, 8, 2)), layers.AveragePooling2D(2)])
    assert type(converts_alike(averaging)) is keras.Sequential


@pytest.mark.parametrize("build", [residual, lambda: keras.Sequential(residual().layers[:2])])
def test_an_all_convolutional_model_comes_back_as_a_copy(build):
    model = randomize(build())
    converted = converts_alike(model)
    assert type(converted) is type(model)
    assert [layer.name for layer in converted.layers] == [layer.name for layer in model.layers]
    assert not set(map(id, converted.weights)) & set(map(id, model.weights))


def test_a_conversion_can_be_trained():
    model = small_cnn()
    converted = allconv.convert(model)
    converted.compile("sgd", "mse")
    before = outputs(model, random_images(model))
    converted.fit(random_images(model)[0], np.zeros((2, 3)), verbose=0)
    for found, expected in zip(outputs(model, random_images(model)), before, strict=True):
        np.testing.assert_array_equal(found, expected)
    fixed = converted.get_layer("pool1_pair1_pick").kernel
    assert set(np.unique(fixed)) == {0.0, 1.0}


@pytest.mark.filterwarnings("ignore::UserWarning:absl")
def test_saved_conversions_run_where_allconv_cannot_be_imported(tmp_path):
    model = small_cnn()
    images = random_images(model)[0]
    converted = allconv.convert(model)
    for suffix in ("keras", "h5"):
        converted.save(tmp_path / f"model.{suffix}")
    np.save(tmp_path / "images.npy", images)
    program = """
import sys
sys.modules["allconv"] = None
import keras, numpy
for suffix in ("keras", "h5"):
    model = keras.models.load_model(f"model.{suffix}")
    outputs = model(numpy.load("images.npy"))
    numpy.save(f"{suffix}.npy", keras.ops.convert_to_numpy(outputs))
"""
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=True, capture_output=True)
    for suffix in ("keras", "h5"):
        assert_close(np.load(tmp_path / f"{suffix}.npy"), outputs(model, [images])[0])


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_a_file_converts_like_the_model_in_it(tmp_path, suffix):
    model = randomize(mnist_cnn())
    model.save(tmp_path / f"model{suffix}")
    assert_agree(model, allconv.convert(tmp_path / f"model{suffix}"))


def test_verify_refuses_a_lossless_conversion_that_disagrees():
    @allconv.rule.rule(layer="ReLU", keeps="function")
    def relu_to_elu(match):
        """ReLU  ->  ELU, which is wrong."""
        return match.layer("ELU")(match.before(match.node))

    model = randomize(chain((8, 8, 2), layers.Conv2D(4, 3), layers.ReLU()))
    with pytest.raises(VerificationError, match="and its conversion: failed: 4 inputs"):
        allconv.convert(model, rules=[relu_to_elu], verify=True)
