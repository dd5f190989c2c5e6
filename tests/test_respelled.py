"""What Keras takes in other words, in a live model or a file, is read alike or refused by name."""

from __future__ import annotations

import json

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from keras import layers

import allconv
from allconv.errors import AllconvError, ModelError
from allconv.read.settings import checked_settings
from tests.helpers.drawn_layers import DRAWN, drawn_layer
from tests.helpers.drawn_networks import random_networks
from tests.helpers.keras_comparison import assert_agree, assert_close, outputs, random_images
from tests.helpers.other_spellings import respelled
from tests.helpers.randomized import randomize


def read_or_told(kind, config):
    try:
        return checked_settings(kind, config, "layer 'x'")
    except ModelError as error:
        return str(error)


def drawn_model(draw, kind):
    """A model of one layer in other words; None where Keras makes none of it."""
    try:
        layer, shapes = drawn_layer(draw, kind)
        layer = respelled(draw, layer)
        images = [keras.Input(batch_shape=shape) for shape in shapes]
        return keras.Model(images, layer(images if len(images) > 1 else images[0]))
    except Exception:
        return None


@pytest.mark.parametrize("kind", sorted(DRAWN))
@random_networks(5)
@given(data=st.data())
def test_settings_in_other_words_are_read_alike_everywhere_or_refused_by_name(kind, data):
    model = drawn_model(data.draw, kind)
    if model is None:
        return
    layer = model.layers[-1]
    try:
        live = keras.saving.serialize_keras_object(layer)["config"]
    except NotImplementedError:  # Keras does not write down all that it takes
        with pytest.raises(ModelError, match=f"and '{layer.name}' .{kind}. does not"):
            allconv.report(model)
        return
    read = read_or_told(kind, live)
    assert read == read_or_told(kind, json.loads(json.dumps(live)))
    try:
        plan = allconv.report(model, strict=False).plan
    except AllconvError as error:
        assert f"'{layer.name}' ({kind})" in str(error)
    else:
        assert isinstance(read, dict)
        assert plan.before.outputs[0].config.items() >= read.items()


NUMPY = np.array([2.0, 0.5, 1.5], "float32")


@pytest.mark.parametrize(
    "make",
    [
        lambda: layers.BatchNormalization(scale=1, center=0),
        lambda: layers.BatchNormalization(scale=None, center=np.bool_(True), epsilon=1),
        lambda: layers.BatchNormalization(axis=np.int64(3), epsilon=np.float32(1e-3)),
        lambda: layers.Conv2D(np.int64(4), np.array([3, 2]), use_bias=0, activation=None),
        lambda: layers.Conv2D(4, [3, 2], strides=(np.int32(2), 2), activation=keras.ops.relu),
        lambda: layers.MaxPooling2D([2, 2], strides=None, dtype=keras.DTypePolicy("float32")),
        lambda: layers.GlobalAveragePooling2D(keepdims=1),
        lambda: layers.GlobalMaxPooling2D(keepdims=None),
        lambda: layers.Rescaling(NUMPY, offset=np.float32(0.5)),
        lambda: layers.Rescaling(2, offset=list(NUMPY)),
        lambda: layers.Normalization(axis=[-1], mean=NUMPY, variance=NUMPY),
        lambda: layers.LayerNormalization(axis=[3], scale=0),
        lambda: layers.Softmax(axis=(-1,)),
        lambda: layers.ReLU(max_value=np.float64(1), negative_slope=0),
        lambda: layers.ZeroPadding2D(np.array([[1, 0], [0, 2]])),
        lambda: layers.UpSampling2D(np.array([2, 1])),
        lambda: layers.Reshape(np.array([4, 16, 3])),
        lambda: layers.PReLU(shared_axes=(1, 2)),
        lambda: layers.Dropout(0.5, noise_shape=(None, 1, 1, np.int64(3))),
    ],
)
def test_layers_written_with_other_types_convert_live_and_from_files(make, tmp_path):
    try:
        steps = [make(), layers.Flatten(), layers.Dense(3)]
        model = randomize(keras.Sequential([keras.Input((8, 8, 3)), *steps]))
    except (TypeError, ValueError):
        pytest.skip("this Keras does not take it")
    live = allconv.convert(model, strict=False)
    model.save(tmp_path / "model.keras")
    from_file = allconv.convert(tmp_path / "model.keras", strict=False)
    images = random_images(model)
    for found in (live, from_file):
        assert_close(outputs(found, images)[0], outputs(model, images)[0])
    assert [type(step) for step in live.layers] == [type(step) for step in from_file.layers]


@pytest.mark.parametrize("suffix", ["keras", "h5"])
def test_a_flag_written_as_a_number_is_one_in_files_of_both_kinds(suffix, tmp_path):
    steps = [layers.Conv2D(4, 3), layers.BatchNormalization(scale=1), layers.Flatten()]
    model = randomize(keras.Sequential([keras.Input((8, 8, 3)), *steps, layers.Dense(3)]))
    path = tmp_path / f"model.{suffix}"
    model.save(path)
    assert not allconv.report(path).refused
    assert_agree(model, allconv.convert(path))


@pytest.mark.parametrize("make", [lambda: layers.PReLU(shared_axes=[-1])])
def test_a_live_setting_of_which_nothing_is_known_is_refused_by_name(make):
    image = keras.Input((4, 4, 3))
    layer = make()
    model = keras.Model(image, layer(image))
    with pytest.raises(ModelError) as caught:
        allconv.convert(model)
    assert str(caught.value) == (
        f"layer '{layer.name}' (PReLU): its shared_axes is [-1]; expected a list of axes from 1 "
        "on, or null"
    )


def test_a_layer_that_does_not_give_its_configuration_is_named():
    class Mine(layers.ELU):
        def get_config(self):
            raise NotImplementedError("no words")

    model = keras.Sequential([keras.Input((4, 4, 3)), Mine(name="mine")])
    with pytest.raises(ModelError, match=r"its configuration, and 'mine' \(Mine\) does not"):
        allconv.convert(model)
