"""A model from a file is compiled as the file says, where that is of Keras' own classes."""

from __future__ import annotations

import json
import sys
import zipfile

import h5py
import keras
import numpy as np
import pytest
from keras import layers

import allconv
from allconv.read.compile_words import Known, Refused, compile_arguments, why_not_compiled
from tests import test_compiling
from tests.helpers.keras_comparison import random_images
from tests.helpers.randomized import randomize
from tests.helpers.small_applications import under
from tests.test_cli import run
from tests.test_compiling import cnn, two_heads

ENDS = (".keras", ".h5")
OPTIMIZER_STATE = "ignore:Skipping variable loading for optimizer"
"""Keras says so of every file of a compiled model that was not trained yet."""


def saved(model, path):
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Keras does not like .h5 any more
        model.save(path)
    return path


def evaluated(model, targets):
    """What `evaluate` says, layer by layer and not as a graph, which would take seconds."""
    model.run_eagerly = True
    return test_compiling.evaluated(model, targets)


def compiled_cnn(**settings):
    model = cnn()
    schedule = keras.optimizers.schedules.ExponentialDecay(0.1, 10, 0.5)
    chosen = {
        "optimizer": keras.optimizers.AdamW(schedule, clipnorm=1.0),
        "loss": keras.losses.CategoricalCrossentropy(label_smoothing=0.1),
        "metrics": ["accuracy", keras.metrics.AUC(name="area", num_thresholds=20)],
    }
    model.compile(**chosen | settings)
    return model


@pytest.mark.parametrize("end", ENDS)
def test_settings_in_a_file_come_along_and_give_the_same_values(tmp_path, end):
    model = compiled_cnn()
    converted = allconv.convert(saved(model, tmp_path / f"model{end}"))
    assert converted.optimizer.get_config() == model.optimizer.get_config()
    assert int(converted.optimizer.iterations) == 0
    targets = np.eye(3)[:2]
    np.testing.assert_allclose(evaluated(converted, targets), evaluated(model, targets), rtol=1e-5)


@pytest.mark.filterwarnings(OPTIMIZER_STATE)
@pytest.mark.parametrize(
    ("source", "target", "loss"),
    [(".keras", ".h5", "mse"), (".h5", ".keras", "categorical_crossentropy")],
)
def test_the_file_that_convert_writes_can_be_evaluated_and_trained(tmp_path, source, target, loss):
    model = compiled_cnn(loss=loss, optimizer="adam", metrics=["accuracy"])
    path, out = saved(model, tmp_path / f"model{source}"), tmp_path / f"fcn{target}"
    result = run("convert", path, "-o", out, "--no-verify")
    assert result.exit_code == 0, result.output
    loaded = keras.saving.load_model(out)
    targets = np.eye(3)[:2]
    np.testing.assert_allclose(evaluated(loaded, targets), evaluated(model, targets), rtol=1e-5)
    loaded.fit(random_images(model)[0], targets, verbose=0)


@pytest.mark.filterwarnings(OPTIMIZER_STATE)
def test_settings_by_output_come_along_in_keras_files_and_are_said_to_stay_behind_in_h5(tmp_path):
    model = two_heads()
    model.compile("sgd", {"left": "mse", "right": "mae"}, metrics={"left": ["mae"]})
    path = saved(model, tmp_path / "model.keras")
    converted = allconv.convert(path)
    targets = [np.zeros((2, 2)), np.ones((2, 2))]
    np.testing.assert_allclose(evaluated(converted, targets), evaluated(model, targets), rtol=1e-5)
    result = run("convert", path, "-o", tmp_path / "fcn.h5", "--no-verify")
    assert result.exit_code == 0
    assert "Keras' .h5 files do not carry those of several outputs" in result.stdout
    assert not keras.saving.load_model(tmp_path / "fcn.h5").compiled
    result = run("convert", path, "-o", tmp_path / "fcn.keras", "--no-verify")
    assert "Compile settings" not in result.stdout
    assert keras.saving.load_model(tmp_path / "fcn.keras").compiled


def distance(target, output):
    return keras.ops.mean(keras.ops.square(target - output), axis=-1)


@pytest.mark.parametrize("end", ENDS)
def test_a_loss_of_somebodys_own_is_named_and_nothing_is_compiled(tmp_path, end):
    model = compiled_cnn(loss=distance)
    path, out = saved(model, tmp_path / f"model{end}"), tmp_path / "fcn.keras"
    said = (
        "Compile settings of the file stay behind, since the loss 'distance' is no class of Keras; "
        "compile the result yourself"
    )
    report = allconv.report(path)
    assert report.not_compiled == "the loss 'distance' is no class of Keras"
    assert f"{said}." in " ".join(str(report).split())
    result = run("convert", path, "-o", out, "--no-verify")
    assert result.exit_code == 0 and said in result.stdout
    assert not keras.saving.load_model(out).compiled
    assert not allconv.convert(path).compiled


def test_with_other_image_sizes_nothing_is_compiled_nor_said(tmp_path):
    path = saved(compiled_cnn(loss=distance), tmp_path / "model.keras")
    assert not allconv.convert(path, input_size="any").compiled
    assert "Compile settings" not in str(allconv.report(path, input_size="any"))


@pytest.mark.filterwarnings(OPTIMIZER_STATE)
@pytest.mark.parametrize("end", ENDS)
def test_loss_scaling_survives_in_a_session_of_another_policy(tmp_path, end):
    with under("mixed_float16"):
        model = cnn()
        model.compile("sgd", "mean_squared_error")
        path = saved(model, tmp_path / f"model{end}")
    assert type(model.optimizer) is keras.optimizers.LossScaleOptimizer
    converted = allconv.convert(path)
    assert converted.dtype_policy.name == "mixed_float16"
    result = run("convert", path, "-o", tmp_path / "fcn.keras", "--no-verify")
    assert result.exit_code == 0, result.output
    for compiled in (converted, keras.saving.load_model(tmp_path / "fcn.keras")):
        assert type(compiled.optimizer) is keras.optimizers.LossScaleOptimizer
        assert type(compiled.optimizer.inner_optimizer) is keras.optimizers.SGD


def test_a_model_in_memory_keeps_its_dtype_policy_and_scales_losses_or_not_as_before():
    with under("mixed_float16"):
        model = cnn()
    for size in (None, "any"):
        assert allconv.convert(model, input_size=size).dtype_policy.name == "mixed_float16"
    converted = allconv.convert(model)
    converted.compile("sgd", "mse")
    assert type(converted.optimizer) is keras.optimizers.LossScaleOptimizer
    model.compile("sgd", "mse", auto_scale_loss=False)
    assert type(allconv.convert(model).optimizer) is keras.optimizers.SGD


def test_what_keras_2_wrote_is_understood(tmp_path):
    path = saved(compiled_cnn(), tmp_path / "model.h5")
    adam = {"name": "Adam", "learning_rate": 0.01, "decay": 0.5, "is_legacy_optimizer": True}
    accuracy = {"name": "accuracy", "dtype": "float32", "fn": "categorical_accuracy"}
    loss = {"reduction": "auto", "name": "c", "from_logits": True, "fn": "?"}
    settings = {
        "optimizer_config": {"class_name": "Adam", "config": adam},
        "loss": {"class_name": "CategoricalCrossentropy", "config": loss},
        "metrics": [[{"class_name": "MeanMetricWrapper", "config": accuracy}]],
        "weighted_metrics": None,
        "loss_weights": None,
    }
    with h5py.File(path, "a") as file:
        file.attrs["training_config"] = json.dumps(settings)
    converted = allconv.convert(path)
    rate = converted.optimizer._learning_rate
    assert [float(rate(step)) for step in (0, 2)] == pytest.approx([0.01, 0.005])
    assert converted.loss.reduction == "sum_over_batch_size"
    assert converted._compile_config.config["metrics"] == ["accuracy"]


def test_a_name_alone_and_an_object_are_checked_alike():
    arguments = compile_arguments({"optimizer": "rmsprop", "loss": "MSE", "jit_compile": False})
    assert arguments["optimizer"] == Known("optimizers", "RMSprop", {})
    assert (arguments["loss"], arguments["jit_compile"]) == ("mean_squared_error", False)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"loss": "mse"}, "the optimizer is missing"),
        ({"optimizer": "sgd", "loss": "mine"}, "the loss 'mine' is no class of Keras"),
        (
            {"optimizer": {"module": "os", "class_name": "SGD", "config": {}}},
            "the optimizer 'SGD' is no class of Keras",
        ),
        (
            {"optimizer": {"class_name": "SGD", "registered_name": "my>SGD", "config": {}}},
            "the optimizer 'SGD' is no class of Keras",
        ),
        (
            {
                "optimizer": "sgd",
                "metrics": [{"class_name": "MeanIoU", "config": {"num_classes": 10**6}}],
            },
            "'MeanIoU' counts 1,000,000 classes or thresholds",
        ),
        (
            {
                "optimizer": "sgd",
                "loss": {"class_name": "Huber", "config": {"delta": {"class_name": "X"}}},
            },
            "the delta 'X' is an object",
        ),
        ({"optimizer": "sgd", "loss": 5}, "the loss 5 is neither a name nor an object"),
    ],
)
def test_what_is_not_made_from_a_file_is_said(settings, reason):
    assert why_not_compiled(settings) == reason
    with pytest.raises(Refused):
        compile_arguments(settings)


def test_nothing_is_imported_for_settings_and_none_of_their_objects_is_made(tmp_path, monkeypatch):
    path, changed = saved(compiled_cnn(), tmp_path / "m.keras"), tmp_path / "changed.keras"
    monkeypatch.setitem(sys.modules, "wicked", None)
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(changed, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name == "config.json":
                content = content.replace(b'"keras.losses"', b'"wicked"')
            new.writestr(name, content)
    assert not allconv.convert(changed).compiled


def test_damaged_settings_of_an_h5_file_are_as_none(tmp_path):
    path = saved(compiled_cnn(), tmp_path / "model.h5")
    with h5py.File(path, "a") as file:
        file.attrs["training_config"] = "{"
    assert not allconv.convert(path).compiled


@pytest.mark.parametrize("command", ["convert", "export"])
def test_a_file_is_overwritten_unless_that_is_not_wanted(tmp_path, command):
    model = randomize(keras.Sequential([keras.Input((6, 6, 1)), layers.Conv2D(2, 3)]))
    path = saved(model, tmp_path / "model.keras")
    out = tmp_path / ("fcn.keras" if command == "convert" else "fcn.onnx")
    if command == "export":
        pytest.importorskip("onnxruntime")
    assert f"\nwritten: {out}" in "\n" + run(command, path, "-o", out).stdout
    out.write_bytes(b"mine")
    result = run(command, path, "-o", out, "--no-overwrite")
    assert result.exit_code == 2
    assert "exists already, and was not overwritten; give another name" in result.stderr
    assert out.read_bytes() == b"mine"
    assert f"\noverwritten: {out}" in "\n" + run(command, path, "-o", out).stdout
    assert out.read_bytes() != b"mine"
