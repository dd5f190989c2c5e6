"""Files are compared with Keras before a final activation, however saturated that is."""

from __future__ import annotations

import tempfile
from pathlib import Path

import keras
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from keras import layers, ops

from allconv.errors import ExportError
from tests.helpers.keras_comparison import network
from tests.helpers.onnx_files import exported, on_tensorflow

pytestmark = on_tensorflow

TAILS = {
    "nothing": lambda: [],
    "reshape": lambda: [layers.Reshape((1, 3))],
    "flatten": lambda: [layers.Reshape((3, 1)), layers.Flatten()],
    "permute": lambda: [layers.Reshape((3, 1)), layers.Permute((2, 1))],
}


def classifier(activation, bias, alone=False, tail="nothing") -> keras.Model:
    """Three outputs, all of them pushed to one side by the bias."""
    dense = layers.Dense(3, activation=None if alone else activation)
    own = [layers.Activation(activation)] * alone
    body = layers.Conv2D(4, 3, activation="relu"), layers.Flatten(), dense
    model = network((8, 8, 1), *body, *own, *TAILS[tail]())
    dense.bias.assign([bias] * 3)
    return model


@settings(max_examples=6)
@given(
    activation=st.sampled_from(["sigmoid", "softmax", "tanh"]),
    bias=st.integers(-60, 60),
    alone=st.booleans(),
    tail=st.sampled_from(sorted(TAILS)),
)
@example("sigmoid", -10, False, "nothing")
@example("sigmoid", -30, True, "nothing")
@example("sigmoid", 30, False, "reshape")
def test_a_file_is_verified_whatever_the_last_bias(activation, bias, alone, tail):
    with tempfile.TemporaryDirectory() as folder:
        report, _ = exported(classifier(activation, bias, alone, tail), Path(folder))
    assert report.parity.passed is True, str(report.parity)


@pytest.mark.parametrize("bias", [-30, 30])
def test_a_wrong_file_is_refused_however_saturated_its_end(bias, tmp_path, monkeypatch):
    from allconv.export.operations import fusion_rules

    times = fusion_rules.scaled_results
    monkeypatch.setattr(fusion_rules, "scaled_results", lambda *args: 1.01 * times(*args))
    last = layers.Conv2D(1, 6, activation="sigmoid")
    model = network((8, 8, 2), layers.Conv2D(4, 3), layers.BatchNormalization(), last)
    last.bias.assign([bias])
    with pytest.raises(ExportError, match="differ by") as caught:
        exported(model, tmp_path)
    assert str(caught.value).endswith("; verify=False writes the file as it is")


@pytest.mark.parametrize(
    ("rank", "data_format"), [(2, "channels_first"), (1, "channels_last"), (3, "channels_last")]
)
def test_maps_are_compared_before_a_saturated_sigmoid(rank, data_format, tmp_path):
    conv = getattr(layers, f"Conv{rank}D")(2, 3, activation="sigmoid", data_format=data_format)
    size = (6,) * rank
    model = network((2, *size) if data_format == "channels_first" else (*size, 2), conv)
    conv.bias.assign([-25.0, -17.0])
    assert exported(model, tmp_path)[0].parity.passed


@pytest.mark.parametrize("end", [ops.sigmoid, layers.Activation("sigmoid")])
def test_values_before_a_sigmoid_may_be_an_output_themselves(end, tmp_path):
    logits = layers.Dense(2, name="logits")
    body = network((8, 8, 1), layers.Conv2D(4, 3), layers.Flatten(), logits)
    logits.bias.assign([-20.0, -20.0])
    for both in ([logits.output, end(logits.output)], [end(logits.output), logits.output]):
        assert exported(keras.Model(body.inputs, both), tmp_path)[0].parity.passed


@pytest.mark.parametrize("activation", ["hard_sigmoid", "silu", "gelu"])
@pytest.mark.parametrize("bias", [-60, -12])
def test_where_nothing_is_had_before_the_activation_saturated_outputs_prove_nothing(
    activation, bias, tmp_path
):
    report, _ = exported(classifier(activation, bias), tmp_path)
    assert report.parity.passed is None
    assert "not verified: an output is constant" in str(report.parity)


@pytest.mark.parametrize("end", [layers.Activation("sigmoid"), layers.Softmax()])
def test_a_saturated_sigmoid_before_the_last_activation_proves_nothing(end, tmp_path):
    body = classifier("sigmoid", -17)
    report, _ = exported(keras.Model(body.inputs, end(body.outputs[0])), tmp_path)
    assert report.parity.passed is None
