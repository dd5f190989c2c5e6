"""What a refusal says that helps does help: each piece of advice is followed word for word."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
from keras import layers

import allconv
from allconv.errors import ConversionError, ModelError
from tests.helpers.randomized import randomize
from tests.test_cli import error_of, run

ANEW = (
    "write the model in Python with layers of Keras in their places, take this file's weights by "
    "model.load_weights(FILE), and give allconv the model"
)
IMAGES = np.random.default_rng(0).uniform(0, 255, (3, 10, 10, 1)).astype("float32")


def scaled(first: keras.Layer) -> keras.Model:
    image = keras.Input((10, 10, 1), name="image")
    x = layers.Conv2D(3, 3, activation="relu", name="conv")(first(image))
    x = layers.Flatten(name="flatten")(layers.MaxPooling2D(name="pool")(x))
    return randomize(keras.Model(image, layers.Dense(2, name="dense")(x)))


def outputs(model: keras.Model, images: np.ndarray = IMAGES) -> np.ndarray:
    return keras.ops.convert_to_numpy(model(images))


def refusals(path: Path) -> list[str]:
    """What every way of asking for a conversion says, on one line each."""
    output = path.with_name("out.keras")
    said = [
        error_of("convert", path, "-o", output),
        error_of("convert", path, "-o", output, "--no-strict"),
        error_of("convert", path, "--dry-run"),
        error_of("export", path, "-o", path.with_name("out.onnx")),
        run("report", path).stdout,
        run("report", path, "--no-strict").stdout,
    ]
    return [" ".join(text.split()) for text in said]


# a Lambda


@pytest.mark.parametrize("name", ["lambda.keras", "lambda.h5"])
def test_a_lambda_in_a_file_is_written_as_a_layer_or_loaded_without_safe_mode(
    name: str, tmp_path: Path
) -> None:
    file = tmp_path / name
    original = scaled(layers.Lambda(lambda x: x / 255, name="scale"))
    original.save(file)
    advice = (
        f"{ANEW} (Rescaling(1 / 255) is a Lambda of x / 255); or, if you trust the file, load it "
        "in Python by keras.saving.load_model(FILE, safe_mode=False), which runs the code in it, "
        "and give allconv the model: allconv.convert(model, strict=False) leaves such layers as "
        "they are"
    )
    assert all(advice in said for said in refusals(file))

    model = scaled(layers.Rescaling(1 / 255))
    model.load_weights(file)
    np.testing.assert_allclose(outputs(allconv.convert(model)), outputs(original), atol=1e-4)

    model = keras.saving.load_model(file, safe_mode=False)
    converted = allconv.convert(model, strict=False)
    assert "Lambda" in [type(layer).__name__ for layer in converted.layers]
    np.testing.assert_allclose(outputs(converted), outputs(original), atol=1e-4)


# code of one's own


class Halved(layers.Layer):
    def call(self, x):
        return x / 2


def halved(x):
    return x / 2


@pytest.mark.parametrize("name", ["own.keras", "own.h5"])
@pytest.mark.parametrize("own", ["layer", "activation"])
def test_code_of_ones_own_is_loaded_with_its_objects(name: str, own: str, tmp_path: Path) -> None:
    file = tmp_path / name
    made = {"layer": Halved(name="own"), "activation": layers.Activation(halved, name="own")}
    original = scaled(made[own])
    original.save(file)
    advice = (
        "if you trust the file, load it in Python by keras.saving.load_model(FILE, "
        "custom_objects={...}) and give allconv the model: allconv.convert(model, strict=False) "
        "leaves such layers as they are"
    )
    assert all(advice in said for said in refusals(file))
    objects = {"Halved": Halved, "halved": halved}
    model = keras.saving.load_model(file, custom_objects=objects)
    converted = allconv.convert(model, strict=False)
    np.testing.assert_allclose(outputs(converted), outputs(original), atol=1e-2)


def test_a_layer_of_keras_that_is_not_made_from_a_file_is_loaded(tmp_path: Path) -> None:
    file = tmp_path / "wrapped.keras"
    original = scaled(layers.TimeDistributed(layers.Conv1D(1, 1), name="wrapped"))
    original.save(file)
    advice = "load it in Python by keras.saving.load_model(FILE) and give allconv the model: "
    assert all(advice in said for said in refusals(file))
    converted = allconv.convert(keras.saving.load_model(file), strict=False)
    np.testing.assert_allclose(outputs(converted), outputs(original), atol=1e-2)


# files of tf.keras


def old_layer(kind: str, name: str, nodes: list, **config: object) -> dict:
    """A layer as TensorFlow 2 described it."""
    data = {"class_name": kind, "name": name, "config": {"name": name, **config}}
    return data | {"inbound_nodes": nodes}


def on(name: str) -> list:
    return [[[name, 0, 0, {}]]]


def write_old_file(path: Path, description: dict, weights: dict[str, list[np.ndarray]]) -> None:
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = json.dumps(description)
        group = file.create_group("model_weights")
        for attributes in (file.attrs, group.attrs):
            attributes["keras_version"], attributes["backend"] = "2.9.0", "tensorflow"
        group.attrs["layer_names"] = [name.encode() for name in weights]
        for name, arrays in weights.items():
            names = [f"{name}/{part}:0" for part in ("kernel", "bias")][: len(arrays)]
            layer = group.create_group(name)
            layer.attrs["weight_names"] = np.array([one.encode() for one in names], "S99")
            for one, values in zip(names, arrays, strict=True):
                layer[one] = values


def drawn(*shapes: tuple[int, ...]) -> list[np.ndarray]:
    rng = np.random.default_rng(1)
    return [rng.normal(size=shape).astype("float32") for shape in shapes]


def test_a_function_of_tensorflow_is_written_as_a_layer(tmp_path: Path) -> None:
    file = tmp_path / "crelu.h5"
    described = [
        old_layer("InputLayer", "image", [], batch_input_shape=[None, 6, 6, 1], dtype="float32"),
        old_layer("Conv2D", "conv", on("image"), filters=2, kernel_size=[3, 3]),
        old_layer("TFOpLambda", "tf.roll", [["conv", 0, 0, {"shift": 1, "axis": 1}]])
        | {"config": {"name": "tf.roll", "function": "roll"}},
        old_layer("Flatten", "flatten", on("tf.roll")),
        old_layer("Dense", "dense", on("flatten"), units=2),
    ]
    ends = {"input_layers": [["image", 0, 0]], "output_layers": [["dense", 0, 0]]}
    config = {"name": "model", "layers": described, **ends}
    weights = {
        "image": [],
        "conv": drawn((3, 3, 1, 2), (2,)),
        "tf.roll": [],
        "flatten": [],
        "dense": drawn((32, 2), (2,)),
    }
    write_old_file(file, {"class_name": "Functional", "config": config}, weights)
    said = refusals(file)
    assert all(ANEW in text for text in said) and not any("load_model" in text for text in said)

    image = keras.Input((6, 6, 1))
    x = layers.Conv2D(2, 3, name="conv")(image)
    x = layers.Flatten()(keras.ops.roll(x, 1, 1))
    model = keras.Model(image, layers.Dense(2, name="dense")(x))
    model.load_weights(file)
    converted = allconv.convert(model, strict=False)
    images = IMAGES[:, :6, :6]
    np.testing.assert_allclose(outputs(converted, images), outputs(model, images), rtol=1e-4)
    for layer in ("conv", "dense"):
        kernel = keras.ops.convert_to_numpy(model.get_layer(layer).kernel)
        np.testing.assert_array_equal(kernel, weights[layer][0])


def test_a_sequential_without_the_shape_of_its_input_is_written_with_one(tmp_path: Path) -> None:
    file, description = tmp_path / "unbuilt.h5", tmp_path / "model.json"
    described = [
        old_layer("Conv1D", "conv", [], filters=3, kernel_size=[2]),
        old_layer("Flatten", "flatten", []),
        old_layer("Dense", "dense", [], units=2),
    ]
    for layer in described:
        del layer["inbound_nodes"]
    weights = {"conv": drawn((2, 1, 3), (3,)), "flatten": [], "dense": drawn((27, 2), (2,))}
    config = {"name": "sequential", "layers": described}
    write_old_file(file, {"class_name": "Sequential", "config": config}, weights)
    model = keras.Sequential(
        [
            keras.Input((10, 1)),
            layers.Conv1D(3, 2, name="conv"),
            layers.Flatten(),
            layers.Dense(2, name="dense"),
        ]
    )
    description.write_text(model.to_json())
    advice = (
        "model 'sequential' is not built, so its shapes are unknown; write it in Python with "
        "keras.Input(shape) in front, take this file's weights by model.load_weights(FILE), and "
        "give allconv the model, or save it and give the new file"
    )
    output = tmp_path / "out.keras"
    for options in ([], ["--input-size", "10"]):
        assert error_of("convert", file, "-o", output, *options) == f"{file}: {advice}"
    assert error_of("convert", file, "-o", output, "--config", description) == (
        f"{file}: it has an architecture of its own; --config is for files of weights only, leave "
        "it out here"
    )
    model.load_weights(file)
    assert allconv.verify(model, allconv.convert(model))
    model.save(tmp_path / "new.keras")
    assert run("convert", tmp_path / "new.keras", "-o", output).exit_code == 0


def test_a_model_in_memory_that_is_not_built_is_built() -> None:
    model = keras.Sequential([layers.Conv1D(3, 2), layers.Flatten(), layers.Dense(2)])
    with pytest.raises(ModelError, match=r"give it an Input layer or call model\.build\(input_"):
        allconv.convert(model)
    model.build((None, 10, 1))
    assert allconv.convert(model).output_shape == (None, 2)


def test_a_lambda_in_memory_stays_where_that_is_asked_for() -> None:
    model = scaled(layers.Lambda(lambda x: x / 255, name="scale"))
    with pytest.raises(ConversionError, match="strict=False leaves them as they are"):
        allconv.convert(model)
    np.testing.assert_allclose(
        outputs(allconv.convert(model, strict=False)), outputs(model), atol=1e-4
    )
