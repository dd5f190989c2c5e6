"""Files are read without Keras as Keras itself reads them: the same layers, shapes and weights."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import zipfile
from pathlib import Path
from re import escape

import h5py
import keras
import numpy as np
import pytest
from keras import layers

import allconv
from allconv.building.build import build
from allconv.errors import ConversionError, FileError
from allconv.read import guarded, read
from allconv.read.file import ModelFile
from tests.helpers import networks, small_applications
from tests.helpers.keras_comparison import assert_agree, assert_close, outputs, random_images
from tests.helpers.randomized import randomize

SHAPE = (8, 8, 2)


def block(name, frozen=False):
    """A nested model with statistics between its kernels, and another one in it."""
    inner = keras.Sequential(
        [
            keras.Input(SHAPE),
            layers.Conv2D(2, 3, padding="same", use_bias=False, name="conv"),
            layers.BatchNormalization(name="norm"),
            layers.Conv2D(2, 3, padding="same", name="conv2"),
            layers.BatchNormalization(name="norm2", scale=False),
        ],
        name=f"{name}_inner",
    )
    image = keras.Input(SHAPE)
    x = inner(layers.BatchNormalization(name="first")(image))
    model = keras.Model(image, layers.ReLU(name="relu")(x), name=name)
    model.trainable = not frozen
    return model


def nested(frozen=False):
    """Two nested models, one called twice, one frozen, and layers between and behind them."""
    image = keras.Input(SHAPE, name="image")
    twice, once = block("twice"), block("once", frozen)
    x = twice(layers.Conv2D(2, 1, name="stem")(twice(image)))
    x = layers.MaxPooling2D(name="pool")(once(x))
    return keras.Model(image, layers.Dense(3, name="top")(layers.Flatten()(x)), name="nested")


def partly_frozen():
    model = nested(frozen=True)
    model.get_layer("twice").get_layer("twice_inner").get_layer("conv").trainable = False
    return model


def frozen_but_for_some():
    """As one fine-tunes: a frozen model, some layers of which train, in a model that trains."""
    model = block("base", frozen=True)
    for name in ("conv2", "norm"):
        model.get_layer("base_inner").get_layer(name).trainable = True
    before, after = layers.Conv2D(2, 1, name="before"), layers.Dense(2, name="after")
    inner = keras.Sequential([keras.Input(SHAPE), before, model], name="backbone")
    return keras.Sequential([keras.Input(SHAPE), inner, layers.Flatten(), after])


def operations():
    """Operations and constants in calls, which are no layers and have no weights in the file."""
    image = keras.Input(SHAPE, name="image")
    x = layers.Conv2D(2, 3, name="conv")(image) * 2.0 + 1.0
    x = layers.Add()([x, keras.ops.relu(x)])
    return keras.Model(image, layers.Conv2D(3, 3, name="conv_1")(x), name="operations")


def every_weight():
    """Layers with weights of every kind that allconv knows."""
    return small_applications.chain(
        SHAPE,
        layers.SeparableConv2D(4, 3, name="b"),
        layers.DepthwiseConv2D(2, name="a"),
        layers.Conv2DTranspose(3, 2),
        layers.PReLU(shared_axes=[1, 2]),
        layers.LayerNormalization(),
        layers.GroupNormalization(3),
        layers.UnitNormalization(),
        layers.Conv2D(4, 1, groups=1),
        layers.Normalization(),
    )


def in_half_precision():
    with small_applications.under("mixed_float16"):
        return networks.twins()


MODELS = {
    make.__name__: make
    for make in (
        *(networks.mnist_cnn, networks.twins, networks.of_any_size, networks.residual),
        *(
            small_applications.alexnet,
            small_applications.mobilenet,
            nested,
            partly_frozen,
            frozen_but_for_some,
            operations,
            every_weight,
        ),
        in_half_precision,
    )
}


@pytest.fixture(params=["model.keras", "model.h5"])
def path(request, tmp_path) -> Path:
    return tmp_path / request.param


@pytest.mark.parametrize("name", MODELS)
def test_a_file_is_read_as_the_model_in_memory_is(name, path):
    model = randomize(MODELS[name](), seed=3)
    model.save(path)
    live, file = read(model), read(path)
    assert [(n.kind, n.name, n.shape) for n in file.nodes] == [
        (n.kind, n.name, n.shape) for n in live.nodes
    ]
    for ours, theirs in zip(file.specs(), live.specs(), strict=True):
        assert list(ours.weights) == list(theirs.weights)
        for weight, array in theirs.weights.items():
            np.testing.assert_array_equal(ours.weights[weight].read(), array.read())
            assert ours.weights[weight].shape == array.shape
    assert str(allconv.report(path)) == str(allconv.report(model))


@pytest.mark.parametrize("name", sorted(MODELS.keys() - {"every_weight", "in_half_precision"}))
def test_a_conversion_from_a_file_computes_what_the_model_in_it_does(name, path):
    model = randomize(MODELS[name]())
    model.save(path)
    converted = allconv.convert(path)
    assert_agree(model, converted)
    assert_agree(model, build(read(path)))
    assert not converted.compiled


def test_a_file_is_told_by_its_content_whatever_it_is_called(tmp_path):
    model = networks.mnist_cnn()
    for name in ("zip.keras", "hdf5.h5"):
        model.save(tmp_path / name)
        other = (tmp_path / name).rename(tmp_path / f"{name}.download")
        assert str(allconv.report(other)) == str(allconv.report(model))


def test_a_report_reads_no_values_and_a_conversion_each_array_once(path, monkeypatch):
    model = randomize(networks.mnist_cnn())
    model.save(path)
    read_bytes: list[tuple[int, int]] = []
    whole = guarded.Guarded.bytes_at

    def noted(self, offset, count):
        read_bytes.append((self.start + offset, count))
        return whole(self, offset, count)

    monkeypatch.setattr(guarded.Guarded, "bytes_at", noted)
    content = path.read_bytes()
    places = {
        content.index(np.asarray(weight).tobytes()): weight.nbytes for weight in model.get_weights()
    }
    allconv.report(path)
    allconv.check(path)
    values = sum(places.values())
    assert sum(count for _, count in read_bytes) < values  # of which HDF5 buffers some
    read_bytes.clear()
    allconv.convert(path)
    starts = [start for start, count in read_bytes if places.get(start) == count]
    assert sorted(starts) == sorted(places)


WITHOUT_FRAMEWORKS = """
import sys
for name in ("keras", "tensorflow", "jax", "torch", "onnx"):
    sys.modules[name] = None
from allconv.cli.commands import main
main(sys.argv[1:])
"""


@pytest.mark.parametrize("words", [["report"], ["check"], ["convert", "--dry-run"]])
def test_report_check_and_a_dry_run_need_no_framework(words, path):
    networks.mnist_cnn().save(path)
    command, *options = words
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_FRAMEWORKS, command, str(path), *options],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "98,442" in done.stdout or "fit" in done.stdout


def renamed(path: Path, old: str, new: str) -> None:
    """Call a layer's weights by another name than the layer, as old files do."""
    with h5py.File(path, "r+") as file:
        weights = file["model_weights"]
        weights.move(old, new)
        names = [new if name == old else name for name in weights.attrs["layer_names"].astype(str)]
        weights.attrs["layer_names"] = np.array(names, "S")


def test_weights_under_names_that_differ_from_the_layers_are_taken_in_order(tmp_path):
    path = tmp_path / "model.h5"
    model = randomize(networks.mnist_cnn())
    model.save(path)
    for number, name in enumerate(["conv1", "conv2", "conv3", "hidden", "classes"]):
        renamed(path, name, f"layer_{number}")
    images = random_images(model)
    assert_close(outputs(allconv.convert(path), images)[0], outputs(model, images)[0])


def stored(path: Path, layer: str, weight: str):
    """The dataset of a weight in an open file of either kind."""
    return f"model_weights/{layer}/mnist_cnn/{layer}/{weight}"


def change(path: Path, layer: str, weight: str, values: np.ndarray | None) -> None:
    """Put other values in the place of a weight in an .h5 file, or nothing."""
    with h5py.File(path, "r+") as file:
        place = stored(path, layer, weight)
        del file[place]
        if values is not None:
            file[place] = values


def test_weights_that_do_not_fit_their_layers_are_told_all_at_once(tmp_path):
    path = tmp_path / "model.h5"
    networks.mnist_cnn().save(path)
    change(path, "conv1", "kernel", np.zeros((3, 3, 2, 16), "float32"))
    with h5py.File(path, "r+") as file:
        file["model_weights/hidden"].attrs["weight_names"] = np.array(
            ["mnist_cnn/hidden/kernel"], "S"
        )
    kernel = (
        "conv1 (Conv2D): its kernel has the shape (3, 3, 2, 16) in the file, it needs (3, 3, 1, 16)"
    )
    hidden = "hidden (Dense): the file holds 1 weight for it, it needs 2 (kernel, bias)"
    with pytest.raises(FileError) as caught:
        allconv.convert(path)
    assert str(caught.value) == (
        f"{path}: weights and layers do not fit together:\n  {kernel}\n  {hidden}"
    )
    check = allconv.check(path)
    assert not check and [str(problem) for problem in check.problems] == [kernel, hidden]
    assert "conv1 (Conv2D): its kernel" in str(check)


def test_an_array_that_is_listed_and_not_there_is_told(tmp_path):
    path = tmp_path / "model.h5"
    networks.mnist_cnn().save(path)
    change(path, "conv1", "bias", None)
    message = "the array 'mnist_cnn/conv1/bias', which it lists, is not in it"
    for act in (allconv.report, allconv.check, allconv.convert):
        with pytest.raises(FileError, match=message):
            act(path)


def test_weights_missing_from_an_archive_are_told(tmp_path):
    path, other = tmp_path / "model.keras", tmp_path / "other.keras"
    networks.mnist_cnn().save(path)
    networks.of_any_size().save(other)
    mixed = tmp_path / "mixed.keras"
    with zipfile.ZipFile(mixed, "w") as archive:
        archive.writestr("config.json", zipfile.ZipFile(path).read("config.json"))
        archive.writestr("model.weights.h5", zipfile.ZipFile(other).read("model.weights.h5"))
    with pytest.raises(FileError, match=r"classes \(Dense\): the file holds no weights for it"):
        allconv.report(mixed)


def test_nan_weights_are_told_when_they_are_read(tmp_path):
    path = tmp_path / "model.h5"
    networks.mnist_cnn().save(path)
    values = np.zeros((3, 3, 1, 16), "float32")
    values[0, 0, 0, :3] = np.nan
    change(path, "conv1", "kernel", values)
    assert allconv.report(path).rows
    with pytest.raises(FileError) as caught:
        allconv.convert(path)
    assert str(caught.value) == (
        f"{path}: layer 'conv1': its kernel holds NaN in 3 of 144 places, so the model gives NaN; "
        "its training went wrong: take an earlier checkpoint"
    )


@pytest.mark.parametrize("suffix", [".h5", ".weights.h5"])
def test_a_file_of_weights_only_is_completed_by_a_description(suffix, tmp_path):
    model = randomize(networks.mnist_cnn())
    weights, config = tmp_path / f"some{suffix}", tmp_path / "model.json"
    config.write_text(model.to_json())
    if suffix == ".h5":
        model.save(weights)
        with h5py.File(weights, "r+") as file:
            del file.attrs["model_config"]
    else:
        model.save_weights(weights)
    remedy = (
        "give the model's architecture, as model.to_json() writes it, by "
        'ModelFile(file, config="model.json")'
    )
    with pytest.raises(FileError) as caught:
        allconv.report(weights)
    assert str(caught.value).startswith(f"{weights}: it holds weights only")
    assert str(caught.value).endswith(f"no architecture; {remedy}")
    file = ModelFile(weights, config=config)
    assert str(allconv.report(file)) == str(allconv.report(model))
    assert_agree(model, allconv.convert(file))


def test_arrays_that_were_packed_are_read(tmp_path):
    path, packed = tmp_path / "model.h5", tmp_path / "packed.h5"
    model = randomize(networks.mnist_cnn())
    model.save(path)
    with h5py.File(path) as old, h5py.File(packed, "w") as new:
        old.copy("model_weights", new)
        new.attrs["model_config"] = old.attrs["model_config"]
        for number, layer in enumerate(("conv1", "conv2", "conv3", "hidden")):
            place = stored(path, layer, "kernel")
            values = old[place][()]
            del new[place]
            how = [{"compression": "gzip", "shuffle": True}, {"compression": "lzf"}]
            how += [{"fletcher32": True}, {"chunks": True}]
            new.create_dataset(place, data=values.astype(">f4" if number else "f4"), **how[number])
    assert_agree(model, allconv.convert(packed))


def test_an_archive_that_was_packed_is_read(tmp_path):
    path, packed = tmp_path / "model.keras", tmp_path / "packed.keras"
    model = randomize(networks.mnist_cnn())
    model.save(path)
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
    assert_agree(model, allconv.convert(packed))


def test_bfloat16_weights_are_read(path):
    with small_applications.under("bfloat16"):
        model = randomize(small_applications.chain(SHAPE, layers.Conv2D(3, 3, name="conv")))
    model.save(path)
    kernel = read(path).specs()[1].weights["kernel"]
    assert kernel.dtype == "bfloat16"
    np.testing.assert_array_equal(
        kernel.read(), keras.ops.convert_to_numpy(keras.ops.cast(model.layers[1].kernel, "float32"))
    )


def test_a_subclass_is_shown_and_refused(path):
    class Twice(keras.Model):
        def call(self, x):
            return 2 * super().call(x)

    image = keras.Input(SHAPE)
    Twice(image, layers.Conv2D(2, 3)(image), name="twice").save(path)
    report = allconv.report(path)
    assert [str(obstacle) for obstacle in report.obstacles] == [
        "'twice' (Twice): its class is not Keras' own, and what that computes is not in the file"
    ]
    for strict in (True, False):
        with pytest.raises(ConversionError, match="Twice"):
            allconv.convert(path, strict=strict)


def test_a_description_of_a_model_without_layers_is_refused(tmp_path):
    path = tmp_path / "model.h5"
    networks.mnist_cnn().save(path)
    with h5py.File(path, "r+") as file:
        file.attrs["model_config"] = json.dumps({"class_name": "Mine", "config": {"name": "m"}})
    with pytest.raises(allconv.errors.ModelError, match=r"\(Mine\) has no list of layers"):
        allconv.report(path)


def test_a_list_with_one_name_twice_is_refused(tmp_path):
    """Keras 3.0 to 3.2 left such files where saving failed: all these arrays are one."""
    path = tmp_path / "model.h5"
    networks.mnist_cnn().save(path)
    with h5py.File(path, "r+") as file:
        names = np.array(["mnist_cnn/hidden/bias"] * 2, "S")
        file["model_weights/hidden"].attrs["weight_names"] = names
    with pytest.raises(FileError, match="'hidden' has two weights of one name in it"):
        allconv.report(path)


def test_slashes_in_the_names_of_keras_2_are_no_hindrance(tmp_path):
    path = tmp_path / "model.h5"
    model = randomize(networks.mnist_cnn())
    model.save(path)
    with h5py.File(path, "r+") as file:
        config = file.attrs["model_config"].replace('"name": "conv1"', '"name": "stem/conv"')
        file.attrs["model_config"] = config
        file["model_weights"].move("conv1", "stem")
        weights = file["model_weights"].attrs["layer_names"].astype(str)
        weights[weights == "conv1"] = "stem"
        file["model_weights"].attrs["layer_names"] = np.array(weights, "S")
    converted = allconv.convert(path)
    assert_agree(model, converted)
    assert converted.get_layer("stem_conv")


def test_a_lambda_in_a_nested_model_does_not_hide_whose_weights_are_whose(tmp_path):
    path = tmp_path / "model.h5"
    inner = keras.Sequential(
        [keras.Input(SHAPE), layers.Conv2D(2, 3, name="conv"), layers.Lambda(lambda x: x)]
    )
    small_applications.chain(SHAPE, inner).save(path)
    assert {row.layer: row.parameters for row in allconv.report(path).rows}["conv"] == 38


def numbered_twice(path: Path, old: Path) -> Path:
    """The weights as Keras 2.12 and 2.13 wrote them: each layer that has some counts twice."""
    with zipfile.ZipFile(path) as archive, zipfile.ZipFile(old, "w") as new:
        new.writestr("config.json", archive.read("config.json"))
        content = archive.read("model.weights.h5")
        with h5py.File(io.BytesIO(content), "r+") as file:
            file.move("layers", "_layer_checkpoint_dependencies")
            group = file["_layer_checkpoint_dependencies"]
            for stem in ("conv2d", "dense"):
                for number in (2, 1):
                    if f"{stem}_{number}" in group:
                        group.move(f"{stem}_{number}", f"{stem}_{2 * number}")
            file.flush()
            new.writestr("model.weights.h5", file.id.get_file_image())
    return old


def test_archives_of_keras_2_number_each_layer_with_weights_twice(tmp_path):
    path = tmp_path / "model.keras"
    model = randomize(networks.mnist_cnn())
    model.save(path)
    assert_agree(model, allconv.convert(numbered_twice(path, tmp_path / "old.keras")))


def test_a_description_is_not_taken_where_the_file_has_its_own(path, tmp_path):
    model = networks.mnist_cnn()
    model.save(path)
    config = tmp_path / "model.json"
    config.write_text(model.to_json())
    message = "its own; ModelFile(file, config=...) is for files of weights only"
    with pytest.raises(FileError, match=escape(message)):
        allconv.report(ModelFile(path, config=config))


def beside_a_recurrent_layer():
    """A nested model in which the weights of one layer are not known."""
    inner = keras.Sequential(
        [
            keras.Input((8, 2)),
            layers.Conv1D(3, 3, name="conv"),
            layers.LSTM(4, name="lstm"),
            layers.Dense(2, name="dense"),
        ],
        name="inner",
    )
    return keras.Sequential([keras.Input((8, 2)), inner, layers.Dense(2, name="top")], name="outer")


def test_weights_that_nobody_can_tell_apart_are_reported_and_not_taken(tmp_path):
    path = tmp_path / "model.h5"
    beside_a_recurrent_layer().save(path)
    report = allconv.report(path, strict=False)
    notes = {row.layer: row.notes for row in report.rows if row.notes}
    assert list(notes) == ["conv", "lstm", "dense"]
    assert "cannot be told: they lie in one list" in notes["conv"][0]
    assert allconv.check(path).passed and not report.plan.fresh
    message = r"Conv1D 'conv' \(which of the file's weights are its own cannot be told\), LSTM "
    with pytest.raises(ConversionError, match=message):
        allconv.convert(path, strict=False)
    conv = next(spec for spec in read(path).specs() if spec.name == "conv")
    with pytest.raises(FileError, match="layer 'conv': which of the file's weights are its own"):
        conv.weights["kernel"].read()


def test_the_same_model_with_its_weights_by_path_is_converted(tmp_path):
    path, model = tmp_path / "model.keras", randomize(beside_a_recurrent_layer(), seed=4)
    model.save(path)
    image = np.random.default_rng(0).normal(size=(2, 8, 2)).astype("float32")
    converted = allconv.convert(path, strict=False)
    assert_close(outputs(converted, image)[0], outputs(model, image)[0])
