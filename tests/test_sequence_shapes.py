"""Shapes of layers over sequences, whose lengths may be free."""

from __future__ import annotations

import keras
import pytest
from keras import layers

import allconv
from allconv.layers.layer_shapes import output_shape
from tests.helpers.onnx_files import exported, on_tensorflow
from tests.helpers.randomized import randomize

SEQUENCES = [
    lambda: layers.LSTM(3),
    lambda: layers.GRU(2, return_sequences=True),
    lambda: layers.SimpleRNN(4, unroll=True),
    lambda: layers.Bidirectional(layers.LSTM(3, return_sequences=True)),
    lambda: layers.Bidirectional(layers.GRU(3), merge_mode="ave"),
]


@pytest.mark.parametrize("shape", [(None, 6, 2), (4, None, 2)])
@pytest.mark.parametrize("make", SEQUENCES)
def test_a_layer_over_a_sequence_gives_what_keras_says(make, shape):
    layer = make()
    if layer.get_config().get("unroll") and shape[1] is None:
        pytest.skip("Keras unrolls known lengths only")
    expected = tuple(layer(keras.KerasTensor(shape)).shape)
    assert output_shape(type(layer).__name__, layer.get_config(), [shape]) == expected


def test_an_embedding_gives_a_vector_for_each_number():
    layer = layers.Embedding(7, 3)
    assert output_shape("Embedding", layer.get_config(), [(None, None)]) == (None, None, 3)


def test_of_several_tensors_nothing_is_said():
    states = layers.LSTM(3, return_state=True).get_config()
    both_ways = layers.Bidirectional(layers.LSTM(3), merge_mode=None).get_config()
    assert output_shape("LSTM", states, [(None, 6, 2)]) is None
    assert output_shape("Bidirectional", both_ways, [(None, 6, 2)]) is None


@on_tensorflow
@pytest.mark.parametrize("make", SEQUENCES[:2] + SEQUENCES[3:])
def test_a_network_over_sequences_of_any_length_is_verified_and_exported(make, tmp_path):
    signal = keras.Input((None, 2))
    tensor = layers.MaxPooling1D()(layers.Conv1D(4, 3, activation="relu")(signal))
    model = randomize(keras.Model(signal, layers.Dense(2)(make()(tensor))))
    assert allconv.verify(model, allconv.convert(model, strict=False)).passed
    report, _ = exported(model, tmp_path)
    assert report.parity.passed
