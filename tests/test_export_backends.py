"""Models that run on JAX or PyTorch are exported by a process whose Keras runs on TensorFlow."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import keras
import numpy as np
import onnx
import pytest
from keras import layers

import allconv
from allconv.building.provenance import history_of
from allconv.errors import ExportError
from allconv.export import job
from allconv.export.tensorflow import process
from allconv.export.tensorflow.process import ANSWER, JOB, exported_elsewhere
from tests.helpers.networks import mnist_cnn
from tests.helpers.onnx_files import on_tensorflow, operators, run
from tests.helpers.randomized import randomize

EXPORT = """
import json, keras, numpy as np, allconv
from allconv.export_onnx import export_onnx
from tests.helpers.networks import mnist_cnn
from tests.helpers.randomized import randomize
model = allconv.convert(randomize(mnist_cnn(), seed=1), input_size="any")
report = export_onnx(model, "model.onnx")
image = np.load("image.npy")
np.save("expected.npy", keras.ops.convert_to_numpy(model(image)))
print(json.dumps([keras.config.backend(), report.to_dict()]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_a_model_of_another_backend_is_exported_and_agrees_there(backend, tmp_path):
    pytest.importorskip(backend)
    pytest.importorskip("tf2onnx")
    image = np.random.default_rng(0).normal(size=(1, 31, 45, 1)).astype("float32")
    np.save(tmp_path / "image.npy", image)
    environment = {**os.environ, "KERAS_BACKEND": backend, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", EXPORT]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    said, report = json.loads(done.stdout.splitlines()[-1])
    assert said == backend and report["parity"]["passed"] and len(report["parity"]["cases"]) > 2
    model = onnx.load(tmp_path / "model.onnx")
    assert {"Conv", "Relu"} <= set(operators(model))
    (found,) = run(model, np.moveaxis(image, -1, 1))
    expected = np.load(tmp_path / "expected.npy")
    np.testing.assert_allclose(np.moveaxis(found, 1, -1), expected, atol=1e-5)


@pytest.mark.slow
@on_tensorflow
def test_the_other_process_writes_what_this_one_would(tmp_path):
    model = allconv.convert(randomize(mnist_cnn(), seed=1))
    here = allconv.export_onnx(
        model, tmp_path / "here.onnx", opset_version=15, data_format="channels_last"
    )
    options = {
        "opset_version": 15,
        "data_format": "channels_last",
        "source": model.name,
        "plan": history_of(model),
    }
    options["output_names"] = model.output_names
    with exported_elsewhere(model, options) as file:
        assert onnx.load(file) == onnx.load(tmp_path / "here.onnx")
    assert here.opset_version == 15 and not file.exists()


@on_tensorflow
def test_what_stops_the_other_process_is_raised_here(tmp_path):
    image = keras.Input((8, 8, 3), name="image")
    model = keras.Model(image, layers.Dropout(0.5)(image, training=True), name="random")
    model.save(tmp_path / "model.keras")
    (tmp_path / JOB).write_text(
        '{"opset_version": 18, "data_format": "channels_first", "source": "", "plan": ""}'
    )
    job.main(tmp_path)
    with pytest.raises(ExportError, match=r"^model 'random' calls these layers with training=True"):
        process._raise_error(tmp_path / ANSWER, "")
    assert not (tmp_path / "model.onnx").exists()


def test_a_process_that_dies_is_an_error_that_says_what_is_needed(tmp_path):
    with pytest.raises(ExportError) as caught:
        process._raise_error(tmp_path / ANSWER, "log\nNo module named 'tensorflow'\n")
    assert str(caught.value) == (
        "ONNX is written by way of TensorFlow, and the process started for it failed "
        "(No module named 'tensorflow'); pip install tensorflow tf2onnx onnx onnxruntime brings "
        "what it needs"
    )


def test_a_process_that_crashes_is_told(tmp_path):
    message = "the process started for it was ended by signal 6, most likely because memory ran out"
    with pytest.raises(ExportError, match=message):
        process._raise_error(tmp_path / ANSWER, "terminate called", -6)
