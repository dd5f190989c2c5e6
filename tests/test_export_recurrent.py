"""Recurrent layers are exported as tf2onnx writes them, under allconv's names and layouts."""

from __future__ import annotations

import keras
import numpy as np
import onnx
import onnxruntime
import pytest
from keras import layers

import allconv
from allconv.errors import ExportError
from tests.helpers.onnx_files import exported, on_tensorflow
from tests.helpers.randomized import randomize

pytestmark = on_tensorflow


def chain(shape, *steps):
    return randomize(keras.Sequential([keras.Input(shape, name="signal"), *steps]))


def captcha():
    """Convolutions, whose columns a recurrent layer reads."""
    return chain(
        (8, 12, 1),
        layers.Conv2D(4, 3, activation="relu", padding="same"),
        layers.MaxPooling2D(2),
        layers.Permute((2, 1, 3)),
        layers.Reshape((6, 16)),
        layers.Bidirectional(layers.LSTM(3, return_sequences=True)),
        layers.Dense(5, activation="softmax", name="letters"),
    )


def radio():
    recurrent = [layers.LSTM(4, return_sequences=True), layers.LSTM(3)]
    steps = [layers.Conv1D(4, 3, activation="relu"), layers.MaxPooling1D(), *recurrent]
    return chain((16, 2), *steps, layers.Dense(3, activation="softmax"))


MODELS = {
    "radio": radio,
    "captcha": captcha,
    "gru": lambda: chain((6, 2), layers.GRU(3)),
    "simple": lambda: chain((6, 2), layers.SimpleRNN(3, return_sequences=True)),
    "backwards": lambda: chain((6, 2), layers.LSTM(3, go_backwards=True)),
    "free": lambda: chain((None, 2), layers.LSTM(3, return_sequences=True)),
    "cells": lambda: chain((6, 2), layers.RNN([layers.LSTMCell(3), layers.GRUCell(2)])),
    "map": lambda: chain((3, 6, 6, 1), layers.ConvLSTM2D(2, 3)),
    "frames": lambda: chain(
        (3, 6, 6, 1),
        layers.TimeDistributed(layers.Conv2D(2, 3)),
        layers.TimeDistributed(layers.Flatten()),
        layers.GRU(3),
    ),
    "nested": lambda: chain((2, 5, 2), layers.TimeDistributed(layers.LSTM(3))),
}


@pytest.mark.parametrize(
    "name, data_format",
    [(name, "channels_first") for name in MODELS]
    + [(name, "channels_last") for name in ("radio", "captcha", "map")],
)
def test_a_network_with_recurrent_layers_is_exported(name, data_format, tmp_path):
    model = MODELS[name]()
    report, onnx_model = exported(model, tmp_path, data_format=data_format)
    assert report.parity.passed and not report.all_convolutional
    assert list(report.inputs) == ["signal"]
    assert list(report.outputs) == [model.layers[-1].name]
    assert {each.key for each in onnx_model.metadata_props} >= {"allconv.version", "data_format"}


def test_maps_lie_with_channels_first_and_free_sizes_have_names(tmp_path):
    report, _ = exported(MODELS["free"](), tmp_path)
    assert report.inputs == {"signal": ("batch", 2, "length")}
    ((name, dims),) = report.outputs.items()
    assert dims == ("batch", 3, f"{name}_length")


def test_states_and_several_outputs_have_their_names(tmp_path):
    image = keras.Input((6, 2), name="lstm_in")
    steps, state, cell = layers.LSTM(3, return_sequences=True, return_state=True, name="l")(image)
    again = layers.LSTM(3, name="again")(steps, initial_state=[state, cell])
    heads = [layers.Dense(2, name=name)(again) for name in ("a", "b")]
    model = randomize(keras.Model(image, heads))
    report, _ = exported(model, tmp_path)
    assert report.parity.passed
    assert list(report.outputs) == ["a", "b"]


def test_the_file_gives_what_keras_gives(tmp_path):
    model = captcha()
    allconv.export_onnx(model, tmp_path / "captcha.onnx", data_format="channels_last")
    session = onnxruntime.InferenceSession(
        tmp_path / "captcha.onnx", providers=["CPUExecutionProvider"]
    )
    images = np.random.default_rng(0).normal(size=(2, 8, 12, 1)).astype("float32")
    (found,) = session.run(None, {"signal": images})
    np.testing.assert_allclose(found, np.asarray(model(images)), atol=1e-5)


def test_an_lstm_is_one_operator(tmp_path):
    _, onnx_model = exported(radio(), tmp_path)
    assert [node.op_type for node in onnx_model.graph.node].count("LSTM") == 2
    onnx.checker.check_model(onnx_model, full_check=True)


def test_a_converted_network_keeps_its_recurrent_layers_and_is_exported(tmp_path):
    model = radio()
    converted = allconv.convert(model, strict=False)
    report, _ = exported(converted, tmp_path)
    assert report.parity.passed
    assert list(report.outputs) == [model.layers[-1].name]


@pytest.mark.parametrize("form", [{"float16": True}, {"int8": np.zeros((4, 16, 2), "float32")}])
def test_fewer_bits_than_float32_are_refused_by_the_layers_names(form, tmp_path):
    with pytest.raises(ExportError) as caught:
        allconv.export_onnx(radio(), tmp_path / "model.onnx", **form)
    assert "has recurrent layers, which are written in float32 only: LSTM 'lstm" in str(
        caught.value
    )
    assert str(caught.value).endswith("; leave float16 and int8 out")


def test_what_tf2onnx_cannot_write_is_refused_by_the_layers_names(tmp_path, monkeypatch):
    from tf2onnx import convert

    def fails(*args, **kwargs):
        raise ValueError("no such loop")

    monkeypatch.setattr(convert, "from_function", fails)
    with pytest.raises(ExportError) as caught:
        allconv.export_onnx(MODELS["gru"](), tmp_path / "model.onnx")
    assert "tf2onnx cannot write its recurrent layers as ONNX (ValueError: no such loop): GRU" in (
        str(caught.value)
    )
