"""Models and places that break exporters: odd names and shapes, huge weights, full disks."""

from __future__ import annotations

import os
from dataclasses import replace

import keras
import numpy as np
import onnx
import pytest
from keras import layers

import allconv
from allconv.errors import ExportError, FileError, ModelError, OptionError
from allconv.export.options import ExportOptions
from allconv.export.pipeline import export_graph
from allconv.read import read
from tests.helpers.keras_comparison import network
from tests.helpers.keras_versions import since_keras
from tests.helpers.networks import mnist_cnn, residual
from tests.helpers.onnx_drafts import run_file
from tests.helpers.onnx_files import (
    TEMPORARY,
    dims,
    exported,
    node_names,
    on_tensorflow,
    operators,
    run,
)
from tests.helpers.randomized import randomize
from tests.helpers.small_applications import under

pytestmark = on_tensorflow


def named(image: str, conv: str, relu: str) -> keras.Model:
    source = keras.Input((None, None, 3), name=image)
    tensor = layers.ReLU(name=relu)(layers.Conv2D(4, 3, name=conv)(source))
    return randomize(keras.Model(source, tensor))


@pytest.mark.parametrize(
    "names",
    [
        ("bild_ä", "schicht ü", "日本"),
        ("Conv", "Relu", "batch"),
        ("a.b", "c-d", "e>f"),
        ("x:0", "layer-1", "\n"),
        ("é", " ", "layer-0"),
    ],
)
def test_layers_may_have_any_names(names, tmp_path):
    report, model = exported(named(*names), tmp_path)
    assert report.parity.passed
    assert (list(report.inputs), list(report.outputs)) == ([names[0]], [names[2]])
    assert node_names(model) == [f"{names[1]}/Conv", f"{names[2]}/Relu"]


def test_layers_called_as_the_free_sizes_are_told_apart_from_them(tmp_path):
    report, model = exported(named("height", "kernel", "width"), tmp_path)
    assert dims(model.graph.input) == {"height": ["batch", 3, "height", "width"]}
    assert dims(model.graph.output) == {"width": ["batch", 4, "width_height", "width_width"]}
    assert report.parity.passed


def test_names_that_are_no_text_are_written_as_far_as_they_are(tmp_path):
    image = keras.Input((4, 4, 2), name="image")
    conv = layers.Conv2D(2, 1, name="conv")
    model = keras.Model(image, conv(image))
    conv.name, model.name, model.output_names = "conv\udc80", "model\udc80", ["conv\udc80"]
    report, onnx_model = exported(model, tmp_path)
    assert list(report.outputs) == ["conv?"] and onnx_model.graph.name == "model?"


def test_an_empty_name_is_written_as_that_there_is_none(tmp_path):
    report, _ = exported(named("image", "conv", ""), tmp_path)
    assert list(report.outputs) == ["unnamed"]
    assert report.parity.passed


def test_slashes_of_keras_2_stay_in_the_names_of_inputs_and_outputs(tmp_path):
    graph = read(named("image", "conv", "relu"))
    slashed = {
        spec: replace(spec, name=f"a/{spec.name}", config={**spec.config, "name": f"a/{spec.name}"})
        for spec in graph.specs()
    }
    graph = replace(graph.with_specs(slashed), output_names=("a/relu",))
    report = export_graph(graph, tmp_path / "a.onnx", ExportOptions(), source="")
    assert (list(report.inputs), list(report.outputs)) == (["a/image"], ["a/relu"])
    report, _ = exported(allconv.convert(graph), tmp_path)
    assert list(report.outputs) == ["a/relu"]


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize(("window", "stride"), [(1, 1), (1, 3), (2, 3), (3, 2), (4, 3)])
def test_pools_of_values_below_zero_agree_where_windows_overhang(window, stride, padding, tmp_path):
    size = (7, 6) if padding == "valid" else (5, 4)
    steps = (
        layers.Conv2D(3, 2, activation="tanh", bias_initializer="ones"),
        layers.MaxPooling2D(window, stride, padding=padding),
        layers.AveragePooling2D(window, stride, padding="same"),
    )
    model = network((*size, 2), *steps)
    for each in (model, allconv.convert(model)):
        report, _ = exported(each, tmp_path)
        assert report.parity.passed


def test_maps_of_one_cell_agree(tmp_path):
    pools = layers.MaxPooling2D(2, padding="same"), layers.GlobalAveragePooling2D()
    model = network((1, 1, 3), layers.Conv2D(4, 3, padding="same"), *pools, layers.Dense(3))
    for each in (model, allconv.convert(model)):
        report, _ = exported(each, tmp_path)
        assert report.parity.passed


@since_keras(3, 14, "models without layers")
def test_a_model_without_layers_is_one_identity(tmp_path):
    image = keras.Input((8, 8, 3), name="image")
    report, model = exported(keras.Model(image, image), tmp_path)
    assert operators(model) == ["Identity"] and report.parity.passed


def test_an_output_given_twice_has_two_names(tmp_path):
    image = keras.Input((8, 8, 3), name="image")
    end = layers.Conv2D(2, 3, name="end")(image)
    model = randomize(keras.Model(image, [end, end, layers.Softmax(name="classes")(end)]))
    report, _ = exported(model, tmp_path)
    assert list(report.outputs) == ["end", "end_1", "classes"] and report.parity.passed


@pytest.mark.parametrize("count", [1, 2])
def test_a_fixed_batch_stays_fixed(count, tmp_path):
    image = keras.Input(batch_shape=(count, 8, 8, 3), name="image")
    model = randomize(keras.Model(image, layers.Conv2D(4, 3)(image)))
    for float16 in (False, True):
        report, _ = exported(model, tmp_path, float16=float16)
        assert report.inputs == {"image": (count, 3, 8, 8)}
        assert report.parity.passed and report.parity.cases == (f"{count} of 8x8x3",)


def test_probabilities_that_are_certain_of_one_class_are_verified_before_the_softmax(tmp_path):
    classes = layers.Conv2D(3, 1, activation="softmax")
    model = network((4, 4, 2), classes)
    classes.bias.assign([0.0, 500.0, 0.0])
    report, _ = exported(model, tmp_path)
    assert report.parity.passed


def test_an_output_that_does_not_depend_on_the_input_proves_nothing(tmp_path):
    conv = layers.Conv2D(3, 1)
    model = network((4, 4, 2), conv)
    conv.kernel.assign(np.zeros_like(conv.kernel))
    conv.bias.assign([1.0, 2.0, 3.0])
    report, _ = exported(model, tmp_path)
    assert report.parity.passed is None
    assert "not verified: an output is constant, inputs move it by 0.0e+00" in str(report)


def test_images_of_odd_sizes_and_batches_of_one_and_three_are_run(tmp_path):
    model = network((None, None, 2), layers.Conv2D(3, 3, strides=2, padding="same"))
    report, _ = exported(model, tmp_path)
    counts = {case.partition(" of ")[0] for case in report.parity.cases}
    sizes = [tuple(map(int, case.split()[-1].split("x"))) for case in report.parity.cases]
    assert counts == {"1", "3"} and len(set(sizes)) == 3
    assert any(height % 2 and height != width for height, width in sizes)


@pytest.mark.parametrize("policy", ["mixed_float16", "float16", "mixed_bfloat16", "float64"])
def test_a_model_of_any_precision_is_exported_in_float32(policy, tmp_path):
    with under(policy):
        model = network((8, 8, 2), layers.Conv2D(4, 3), layers.BatchNormalization())
    report, onnx_model = exported(model, tmp_path)
    assert report.parity.passed and report.precision == "float32"
    assert {each.data_type for each in onnx_model.graph.initializer} == {onnx.TensorProto.FLOAT}


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_no_numbers_are_refused_unless_nothing_is_to_be_claimed(value, tmp_path):
    conv = layers.Conv2D(4, 3, name="conv")
    model = network((8, 8, 2), conv, name="digits")
    conv.bias.assign([0.0, value, 0.0, 0.0])
    with pytest.raises(ExportError) as caught:
        exported(model, tmp_path)
    assert str(caught.value) == (
        "model 'digits', on a batch of 1 of 8x8x2: Keras' own numbers are not finite ('conv'), so "
        "nothing can be compared; look for weights that are NaN or infinite; verify=False "
        "writes the file as it is"
    )
    assert not list(tmp_path.iterdir())
    report, _ = exported(model, tmp_path, verify=False)
    assert report.parity is None and "not verified: not asked for" in str(report)


def test_nothing_is_claimed_of_numbers_that_are_none_in_float16(tmp_path):
    model = network((8, 8, 2), layers.Conv2D(4, 3))
    model.layers[-1].bias.assign([np.nan] * 4)
    report, _ = exported(model, tmp_path, verify=False, float16=True)
    assert report.loss.error == np.inf


def test_numbers_that_overflow_before_a_final_softmax_are_refused(tmp_path):
    conv = layers.Conv2D(3, 1, activation="sigmoid")
    model = network((4, 4, 2), conv)
    conv.kernel.assign(np.full(conv.kernel.shape, 3e38))
    with pytest.raises(ExportError, match=r"not finite \(a final activation's input\).*verify=F"):
        exported(model, tmp_path)


def test_a_model_that_keras_cannot_run_is_refused(tmp_path):
    image = keras.Input((8, 8, 3), dtype="uint8", name="image")
    model = keras.Model(image, layers.Conv2D(4, 3)(image), name="digits")
    with pytest.raises(ExportError) as caught:
        exported(model, tmp_path)
    told = str(caught.value)
    assert told.startswith("model 'digits', on a batch of 1 of 8x8x3: Keras fails: ")
    assert "Exception encountered" not in told and told.endswith(" writes the file as it is")
    assert not list(tmp_path.iterdir())


@since_keras(3, 14, "a resizing by Keras itself, which takes sizes that are known")
def test_a_layer_that_cannot_be_traced_is_named(tmp_path):
    enlarge = layers.UpSampling2D(2, interpolation="lanczos3", name="enlarge")
    with pytest.raises(ExportError) as caught:
        exported(network((None, None, 2), enlarge, name="digits"), tmp_path)
    told = "model 'digits': TensorFlow cannot trace UpSampling2D 'enlarge' ("
    assert str(caught.value).startswith(told)
    assert str(caught.value).endswith("); export it for one size of image")


def test_an_activation_that_keras_gives_other_channels_than_it_says_is_refused(tmp_path):
    halves = layers.Conv2D(4, 1, activation="glu")
    model = network((8, 8, 2), halves, layers.Conv2D(3, 1, name="after"))
    with pytest.raises(ExportError, match=r"cannot trace Conv2D 'after' .*see whether Keras can"):
        exported(model, tmp_path)


def test_sizes_at_which_keras_adds_biases_along_rows_are_not_tried(tmp_path):
    conv = layers.Conv2D(4, 1, data_format="channels_first", name="conv")
    wide = layers.Conv2D(3, 3, data_format="channels_first", padding="same")
    model = network((3, None, None), conv, wide)
    conv.bias.assign(np.arange(4.0))
    report, _ = exported(model, tmp_path)
    sizes = {case.partition(" of ")[2] for case in report.parity.cases}
    assert report.parity.passed and len(sizes) == 3
    assert not any(size.endswith(("x3", "x4")) for size in sizes)


def test_a_pool_that_onnx_runtime_does_not_run_at_all_sizes_is_refused_by_name(tmp_path):
    pool = layers.MaxPooling2D((3, 2), 4, padding="same", name="pool")
    with pytest.raises(ExportError) as caught:
        exported(network((None, None, 2), pool), tmp_path)
    assert "ONNX Runtime does not run on maps of every size: MaxPooling2D 'pool'" in str(
        caught.value
    )
    for fits in (network((9, 9, 2), pool), allconv.convert(network((None, None, 2), pool))):
        report, _ = exported(fits, tmp_path)
        assert report.parity.passed


def test_what_keras_on_tensorflow_computes_alone_is_explained(tmp_path):
    pool = layers.MaxPooling3D(1, 3, padding="same", name="pool")
    try:  # with oneDNN TensorFlow pads it as others do
        report, _ = exported(network((9, 9, 9, 2), pool), tmp_path)
        assert report.parity.passed and os.environ.get("TF_ENABLE_ONEDNN_OPTS") != "0"
    except ExportError as error:
        assert "pads 'pool' by a negative number of cells" in str(error)
    conv = layers.Conv2D(5, 1, data_format="channels_first", name="conv", bias_initializer="ones")
    square = network((3, 5, 5), conv)
    conv.bias.assign(np.arange(5.0))
    with pytest.raises(ExportError, match="adds the bias of 'conv' along its rows"):
        exported(square, tmp_path)
    exported(square, tmp_path, verify=False)


def test_a_loop_is_refused_by_the_layer_that_it_comes_from(tmp_path):
    class Looping(layers.Layer):
        def call(self, x):
            return keras.ops.fori_loop(0, 3, lambda step, value: value * x, x)

    model = network((8, 3), Looping(name="memory"))
    with pytest.raises(ExportError, match=r"in opset 18: Loop of layer .*Looping 'memory'"):
        exported(model, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_model_that_is_not_built_is_refused(tmp_path):
    with pytest.raises(ModelError, match="is not built"):
        exported(keras.Sequential([layers.Conv2D(3, 3)]), tmp_path)


@pytest.mark.parametrize("opset", [12, 19, 18.0, "18", True, None])
def test_an_opset_that_is_none_is_refused(opset, tmp_path):
    with pytest.raises(OptionError) as caught:
        exported(residual(), tmp_path, opset_version=opset)
    assert str(caught.value) == (
        f"opset_version is {opset!r}; expected 13 to 18, the versions that tf2onnx writes"
    )


@pytest.mark.parametrize("path", [None, 3, ["model.onnx"]])
def test_a_path_that_is_none_is_refused(path):
    with pytest.raises(OptionError) as caught:
        allconv.export_onnx(residual(), path)
    assert str(caught.value) == (
        f"filepath is {path!r}; expected the name of a file that ends in .onnx"
    )


def test_two_precisions_at_once_are_refused(tmp_path):
    with pytest.raises(OptionError, match="ask for one of them"):
        exported(residual(), tmp_path, float16=True, int8=np.zeros((8, 12, 12, 3)))


@pytest.mark.parametrize("name", ["float32", "inside", "rounded", "old"])
def test_a_file_may_be_called_as_those_on_the_way_to_it(name, tmp_path):
    model = network((8, 8, 2), layers.Conv2D(4, 3), layers.Softmax())
    for float16 in (False, True):
        report = allconv.export_onnx(model, tmp_path / f"{name}.onnx", float16=float16)
        assert report.parity.passed and len(onnx.load(report.path).graph.output) == 1
        assert report.precision == "float32" or 0 < report.loss.error < 1e-2
    assert os.listdir(tmp_path) == [f"{name}.onnx"]


# Weights of more than a message holds


@pytest.fixture
def small_messages(monkeypatch):
    """As if a message held ten thousand bytes of weights."""
    monkeypatch.setattr("allconv.export.file.external_data.MOST_BYTES", 10_000)


@pytest.mark.parametrize("precision", ["float32", "float16", "int8"])
def test_weights_beyond_a_message_lie_beside_the_file(precision, tmp_path, small_messages):
    model = allconv.convert(randomize(mnist_cnn(), seed=1))
    images = np.random.default_rng(0).normal(size=(16, 28, 28, 1)).astype("float32")
    options = {"float16": {"float16": True}, "int8": {"int8": images}}.get(precision, {})
    report, _ = exported(model, tmp_path, **options)
    assert sorted(os.listdir(tmp_path)) == [TEMPORARY, f"{TEMPORARY}.data"]
    sizes = [(tmp_path / name).stat().st_size for name in os.listdir(tmp_path)]
    assert report.file_size == sum(sizes) and report.weights_file == f"{TEMPORARY}.data"
    assert report.parity.passed and f"weights in {TEMPORARY}.data" in str(report)
    expected = np.asarray(model(images[:3]))
    (found,) = run_file(tmp_path / TEMPORARY, np.moveaxis(images[:3], -1, 1))
    tolerance = {"float32": 1e-5, "float16": 1e-2, "int8": 0.2}[precision]
    np.testing.assert_allclose(found, expected, atol=tolerance)


def test_weights_beside_the_file_are_those_in_it(tmp_path, monkeypatch):
    model = randomize(residual())
    _, inside = exported(model, tmp_path)
    monkeypatch.setattr("allconv.export.file.external_data.MOST_BYTES", 1)
    _, outside = exported(model, tmp_path)
    image = np.random.default_rng(0).normal(size=(2, *dims(inside.graph.input)["image"][1:]))
    found = [run(each, image.astype("float32"))[0] for each in (inside, outside)]
    np.testing.assert_array_equal(*found)


# Places that cannot be written to


def test_a_place_that_cannot_be_is_told_before_the_work(tmp_path, monkeypatch):
    model = mnist_cnn()
    for path, message in {
        tmp_path / "no" / "model.onnx": "there is no folder",
        tmp_path / "model.pb": r"expected a name that ends in \.onnx, such as fcn\.onnx",
    }.items():
        with pytest.raises(FileError, match=message):
            allconv.export_onnx(model, path)
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(FileError, match="cannot be written to"):
        allconv.export_onnx(model, tmp_path / "model.onnx")


def test_a_disk_that_is_full_leaves_nothing(tmp_path, monkeypatch):
    def full(path, content):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_bytes", full)
    with pytest.raises(FileError, match=r"model\.onnx: cannot be written: No space left on device"):
        allconv.export_onnx(mnist_cnn(), tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


def test_numbers_that_differ_leave_nothing_and_are_told(tmp_path, monkeypatch):
    from allconv.export.operations import fusion_rules

    times = fusion_rules.scaled_results
    monkeypatch.setattr(fusion_rules, "scaled_results", lambda *args: 1.01 * times(*args))
    steps = layers.Conv2D(3, 3, activation="relu"), layers.Conv2D(4, 3), layers.BatchNormalization()
    with pytest.raises(ExportError) as caught:
        exported(network((8, 8, 2), *steps, name="digits"), tmp_path)
    assert "ONNX Runtime and Keras differ by " in str(caught.value)
    assert "please report it with the model's configuration" in str(caught.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "widened",
    [
        lambda x: x * np.ones((1, 1, 1, 3), "float32"),
        lambda x: x - np.array([0.1, 0.2, 0.3], "float32"),
        lambda x: x + np.zeros((1, 1, 1, 3), "float32"),
        lambda x: layers.Conv2D(1, 1)(x) * np.array([1.0, 2.0, 3.0], "float32"),
    ],
)
def test_a_constant_that_makes_three_channels_of_one_is_not_fused(widened, tmp_path):
    image = keras.Input((6, 5, 1))
    model = keras.Model(image, layers.Conv2D(2, 2)(widened(image)))
    assert allconv.export_onnx(model, tmp_path / "model.onnx").passed
