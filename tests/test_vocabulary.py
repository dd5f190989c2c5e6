"""Inputs of an Embedding are drawn below the number of its vectors, wherever it stands."""

from __future__ import annotations

import keras
import pytest
from keras import layers

import allconv
from allconv.verification.inputs import draw_inputs
from tests.helpers.onnx_files import exported, on_tensorflow
from tests.helpers.randomized import randomize


def text_cnn(tensor, count=7):
    """Kim's text CNN, small."""
    x = layers.Embedding(count, 6)(tensor)
    x = layers.GlobalMaxPooling1D()(layers.Conv1D(4, 3, activation="relu")(x))
    return layers.Dense(2, activation="softmax")(x)


def of_type(dtype):
    ids = keras.Input((12,), dtype=dtype)
    return keras.Model(ids, text_cnn(ids))


def in_a_nested_model():
    inside = keras.Input((12,), dtype="int32")
    inner = keras.Model(inside, layers.Embedding(7, 6)(inside))
    ids = keras.Input((12,), dtype="int32")
    return keras.Model(ids, layers.Flatten()(layers.Conv1D(2, 3)(inner(ids))))


def behind_a_reshape():
    ids = keras.Input((24,), dtype="int32")
    x = layers.Embedding(7, 6)(layers.Reshape((4, 6))(ids))
    return keras.Model(ids, layers.Flatten()(layers.Conv2D(3, 2)(x)))


def of_two_sizes():
    ids = keras.Input((12,), dtype="int32")
    x = layers.Concatenate()([layers.Embedding(count, 6)(ids) for count in (20, 7)])
    return keras.Model(ids, layers.Flatten()(layers.Conv1D(2, 3)(x)))


def behind_a_slice_and_a_shift():
    ids = keras.Input((12, 2), dtype="int32")
    return keras.Model(ids, text_cnn(ids[:, :, 0] + 1, 14))


MODELS = {
    "int32": lambda: of_type("int32"),
    "uint8": lambda: of_type("uint8"),
    "float32": lambda: of_type("float32"),
    "nested": in_a_nested_model,
    "reshape": behind_a_reshape,
    "two": of_two_sizes,
    "shift": behind_a_slice_and_a_shift,
}


@pytest.mark.parametrize("name", MODELS)
def test_indices_are_drawn_below_the_number_of_vectors_and_all_of_them(name):
    model = randomize(MODELS[name]())
    (values,) = draw_inputs(model, 0)
    assert values.dtype == model.inputs[0].dtype
    assert set(values.flat) == set(range(7))
    converted = allconv.convert(model, strict=False)
    assert allconv.verify(model, converted).passed is True


@on_tensorflow
@pytest.mark.parametrize("name", ["int32", "float32", "shift"])
def test_an_exported_text_cnn_is_compared_on_such_indices(name, tmp_path):
    model = randomize(MODELS[name]())
    report, _ = exported(allconv.convert(model, strict=False), tmp_path)
    assert report.parity.passed


def test_an_encoding_of_categories_is_fed_its_own():
    ids = keras.Input((4,), dtype="int32")
    x = layers.CategoryEncoding(6, output_mode="multi_hot")(ids)
    (values,) = draw_inputs(keras.Model(ids, x), 0)
    assert values.min() >= 0 and values.max() < 6
