"""Files in int8 hold whole numbers wherever a network computes, and say what that costs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import keras
import numpy as np
import onnx
import pytest
from keras import layers

import allconv
from allconv.errors import ExportError, FileError
from allconv.export.comparison.sessions import AS_WRITTEN, file_runner
from allconv.export.precision.int8 import (
    final_operators,
    quantized_operators,
    refuse_more,
    wide_operators,
)
from allconv.export.precision.loss import Results, loss
from allconv.export.precision.reduced_precision import FLOAT32, Written
from tests.helpers.keras_comparison import network
from tests.helpers.networks import mnist_cnn
from tests.helpers.onnx_drafts import Exported, exported, onnx_model, run_file, weights_of
from tests.helpers.onnx_files import on_tensorflow
from tests.helpers.randomized import randomize

pytestmark = on_tensorflow

PAIRS = {"QuantizeLinear", "DequantizeLinear"}


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(24, 28, 28, 1)).astype("float32")


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exported]:
    """The float32 draft of an all-convolutional network."""
    model = allconv.convert(randomize(mnist_cnn(), seed=1))
    with exported(model, tmp_path_factory.mktemp("drafts")) as draft:
        yield draft


@pytest.fixture(scope="module")
def in_int8(digits: Exported, images: np.ndarray) -> Written:
    """What its file is written as."""
    return digits.in_int8(images)


def only_conv() -> keras.Model:
    image = keras.Input((6, 6, 3), name="image")
    conv = layers.Conv2D(4, 3, use_bias=False, name="conv")
    return randomize(keras.Model(image, conv(image), name="only_conv"), seed=1)


def test_all_but_the_probabilities_of_an_all_convolutional_network_is_int8(digits, in_int8):
    graph = in_int8.model.graph
    makers = {name: node.op_type for node in graph.node for name in node.output}
    takers = {name: node.op_type for node in graph.node for name in node.input}
    others = [node for node in graph.node if node.op_type not in PAIRS]
    sides = {
        node.op_type: (makers.get(node.input[0]), takers.get(node.output[0])) for node in others
    }
    between = ("DequantizeLinear", "QuantizeLinear")
    ends = {"Softmax": ("DequantizeLinear", "Reshape"), "Reshape": ("Softmax", None)}
    assert sides == {"Conv": between, "Add": between, **ends}
    assert quantized_operators(in_int8.model) == (len(others) - 2, len(others))
    assert in_int8.notes[0] == "32 of 34 operators take and give int8"
    assert digits.draft.size() < 0.35 * (digits.draft.folder / FLOAT32).stat().st_size


def test_the_operators_are_those_of_float32_and_relus_become_ranges(digits, in_int8):
    before, after = (
        Counter(node.op_type for node in model.graph.node)
        for model in (digits.model, in_int8.model)
    )
    assert {kind: count for kind, count in after.items() if kind not in PAIRS} == {
        kind: count for kind, count in before.items() if kind != "Relu"
    }


def test_the_file_keeps_its_words(digits, in_int8):
    before, after = digits.model, in_int8.model
    assert after.producer_name == before.producer_name == "allconv"
    assert after.metadata_props == before.metadata_props
    assert (after.graph.input, after.graph.output) == (before.graph.input, before.graph.output)
    starts = tuple({node.name.split("/")[0] for node in before.graph.node} | {"image"})
    assert all(node.name.startswith(starts) for node in after.graph.node)


def test_weights_are_symmetric_with_a_scale_for_each_channel(tmp_path):
    model = only_conv()
    with exported(model, tmp_path) as draft:
        found = weights_of(draft.in_int8(_images(6)).model)
    kernel = model.get_weights()[0].transpose(3, 2, 0, 1)
    scales = np.abs(kernel).max(axis=(1, 2, 3)) / 127
    assert found["conv/kernel_quantized"].dtype == np.int8
    assert not found["conv/kernel_zero_point"].any()
    np.testing.assert_allclose(found["conv/kernel_scale"], scales, rtol=1e-5)
    whole = np.rint(kernel / scales[:, None, None, None])
    assert np.abs(found["conv/kernel_quantized"] - whole).max() <= 1


def test_a_bias_has_the_scale_of_its_map_times_that_of_its_kernel(tmp_path):
    model = randomize(network((6, 6, 3), layers.Conv2D(4, 3, name="conv")), seed=1)
    with exported(model, tmp_path) as draft:
        quantized = draft.in_int8(_images(8)).model
    graph, stored = quantized.graph, weights_of(quantized)
    (conv,) = [node for node in graph.node if node.op_type == "Conv"]
    pairs = {node.output[0]: node for node in graph.node}
    image, kernel, bias = ([stored.get(name) for name in pairs[each].input] for each in conv.input)
    assert (kernel[0].dtype, bias[0].dtype, image[2].dtype) == ("int8", "int32", "int8")
    assert not kernel[2].any() and not bias[2].any() and kernel[0].min() >= -127
    np.testing.assert_allclose(bias[1], image[1] * kernel[1], rtol=1e-6)


def test_a_convolution_errs_by_half_a_step_of_its_input_kernel_and_output(tmp_path):
    """`|x w - x' w'| <= |x - x'| sum|w| + sum|x'| |w - w'|`, on the images it was calibrated on."""
    model, images = only_conv(), _images(7)
    with exported(model, tmp_path) as draft:
        found = draft.in_int8(images)
    assert found.loss.inputs == "images that it was calibrated on"
    weights, kernel = weights_of(found.model), model.get_weights()[0]
    in_input, in_output = (float(weights[f"{name}_scale"]) / 2 for name in ("image", "conv"))
    in_kernel = float(weights["conv/kernel_scale"].max()) / 2
    largest, products = np.abs(images).max() + in_input, np.prod(kernel.shape[:3])
    bound = in_input * np.abs(kernel).sum(axis=(0, 1, 2)).max()
    bound += in_kernel * largest * products + in_output
    outputs = np.asarray(model(images))
    assert 0 < found.loss.error * (outputs.max() - outputs.min()) < bound


def _images(count: int) -> np.ndarray:
    return np.random.default_rng(3).uniform(-1, 1, (count, 6, 6, 3)).astype("float32")


def with_logits(file):
    """A copy of a file that also gives what its softmax takes."""
    model = onnx.load(file)
    (softmax,) = (node for node in model.graph.node if node.op_type == "Softmax")
    model.graph.output.append(onnx.helper.make_empty_tensor_value_info(softmax.input[0]))
    copy = file.with_name("with_logits.draft")
    onnx.save(model, copy)
    return copy


def test_the_loss_is_what_running_both_files_shows(digits, in_int8, images):
    held_out = np.moveaxis(images[3::4], -1, 1)
    files = digits.draft.folder / FLOAT32, digits.draft.file
    (expected, logits), (found, other) = (
        run_file(with_logits(file), held_out, AS_WRITTEN) for file in files
    )
    spread = max(logits.max(), 0) - min(logits.min(), 0)
    error = np.abs(logits - other).max() / spread
    assert in_int8.loss.error == pytest.approx(error, rel=0.01)
    assert in_int8.loss.equal == (expected.argmax(-1) == found.argmax(-1)).sum()
    assert (in_int8.loss.decisions, in_int8.loss.samples) == (6, 6)
    assert str(in_int8.loss).endswith(
        "; on 6 images held out, calibrated on 18 others; fewer than 8 say little: give 32 or more"
    )


@pytest.mark.parametrize("overflows", [False, True])
def test_a_processor_whose_sums_overflow_gets_a_note(tmp_path, monkeypatch, overflows):
    """The processor that runs the tests may or may not be one: both are acted here."""

    def acted(file, taken=None, settings=None):
        run = file_runner(file, taken, AS_WRITTEN)
        noise = 1.0 if overflows and file.name == "model.onnx" and not settings else 0.0
        return lambda inputs: [output + noise for output in run(inputs)]

    monkeypatch.setattr("allconv.export.precision.reduced_precision.file_runner", acted)
    with exported(only_conv(), tmp_path) as draft:
        found = draft.in_int8(_images(7))
    assert found.loss.error < 0.01
    notes = [note for note in found.notes if "on this processor ONNX Runtime errs by " in note]
    assert len(notes) == overflows
    if overflows:
        assert notes[0].endswith(
            " instead, as sums of products in 16 bits overflow; its session option "
            "'session.x64quantprecision' set to '1' avoids that"
        )


def results(batches):
    """Outputs whose errors are measured on themselves."""
    return [Results(arrays, arrays) for arrays in batches]


def test_a_loss_counts_cells_and_takes_zero_into_the_spread():
    expected = [[np.float32([[1, 2], [3, 4]])], [np.float32([[2, 1]])]]
    found = [[np.float32([[1, 2], [3.5, 3]])], [np.float32([[2, 1]])]]
    cost = loss(results(expected), results(found), "int8", "images")
    assert (cost.error, cost.mean_error) == (1 / 4, 1.5 / 6 / 4)
    assert (cost.equal, cost.decisions, cost.samples) == (2, 3, 3)
    assert str(cost) == (
        "int8 against float32: largest relative error 2.5e-01, mean 6.2e-02 (of the spread of the "
        "outputs); argmax equal on 2 of 3; on 3 images; fewer than 8 say little: give 32 or more"
    )


def test_a_loss_without_classes_says_nothing_of_them():
    zeros = results([[np.zeros((9, 1))]])
    cost = loss(zeros, zeros, "float16", "inputs")
    assert str(cost) == (
        "float16 against float32: largest relative error 0.0e+00, mean 0.0e+00 (of the spread of "
        "the outputs); on 9 inputs; an output is the same for all of them, which says nothing"
    )


def test_a_loss_of_something_against_nothing_is_infinite():
    zeros, ones = results([[np.zeros((2, 3))]]), results([[np.ones((2, 3))]])
    assert loss(zeros, ones, "int8", "images").error == np.inf


def test_a_sigmoid_decides_at_one_half_and_one_image_is_one():
    expected = [Results([np.float32([[0.2, 0.6]])], [np.float32([[-1, 1]])], {0}, True)]
    found = [Results([np.float32([[0.4, 0.4]])], [np.float32([[-0.5, -0.5]])], {0}, True)]
    cost = loss(expected, found, "int8", "images that it was calibrated on")
    assert (cost.equal, cost.decisions, cost.argmax_agreement) == (1, 2, 0.5)
    assert "spread of the outputs before the final activation); decisions at 0.5" in str(cost)
    assert "equal on 1 of 2; on 1 image that it was calibrated on; fewer than 8 s" in str(cost)


def test_outputs_of_both_kinds_are_decided_each_in_its_way():
    arrays = [np.float32([[0.2, 0.6]]), np.float32([[0.9]])]
    batch = [Results(arrays, arrays, frozenset({1}))]
    cost = loss(batch, batch, "int8", "images")
    assert (cost.equal, cost.decisions, cost.decided_by) == (2, 2, "0.5, argmax")
    assert "; decisions (argmax, or 0.5 of a sigmoid) equal on 2 of 2;" in str(cost)


@pytest.mark.parametrize("end", ["sigmoid", "hard_sigmoid"])
def test_a_binary_network_says_how_many_decisions_its_int8_file_keeps(end, tmp_path):
    body = network((6, 6, 3), layers.Conv2D(4, 3, activation="relu"), layers.Flatten())
    model = keras.Model(body.inputs, layers.Dense(1, activation=end)(body.outputs[0]))
    images = _images(40)
    probabilities = model.predict(images[3::4], verbose=0)
    with exported(model, tmp_path) as draft:
        written = draft.in_int8(images)
        (found,) = run_file(draft.draft.file, np.moveaxis(images[3::4], -1, 1), AS_WRITTEN)
    cost = written.loss
    assert (cost.decisions, cost.decided_by, cost.reason) == (10, "0.5", "")
    assert cost.equal == ((probabilities > 0.5) == (found > 0.5)).sum()
    whole, operators = quantized_operators(written.model)
    assert operators - whole == (end == "sigmoid")  # which gives float32


@pytest.mark.parametrize("ending", ["softmax", "sigmoid", "tanh"])
@pytest.mark.parametrize("form", ["float16", "int8"])
def test_what_fewer_bits_cost_is_measured_before_a_final_activation(ending, form, tmp_path):
    confident = _ending_in(ending)
    plain = keras.models.clone_model(confident)
    plain.layers[-1].activation = keras.activations.linear
    plain.set_weights(confident.get_weights())
    costs = []
    for model in (confident, plain):
        with exported(model, tmp_path) as draft:
            written = draft.in_float16() if form == "float16" else draft.in_int8(_images(16))
            costs.append(written.loss)
    assert costs[0].error > 1e-5
    if form == "float16":  # in int8 the last layer's results are rounded, or are not
        assert costs[0].error == pytest.approx(costs[1].error, rel=1e-3)
        assert costs[0].mean_error == pytest.approx(costs[1].mean_error, rel=1e-3)
    assert costs[0].error < 3 * costs[1].error


def _ending_in(activation):
    """A network so confident that its last activation is saturated nearly everywhere."""
    image = keras.Input((6, 6, 3), name="image")
    x = layers.Flatten()(layers.Conv2D(4, 3, activation="relu")(image))
    model = randomize(keras.Model(image, layers.Dense(3, activation=activation)(x)), seed=1)
    kernel, bias = model.layers[-1].get_weights()
    model.layers[-1].set_weights([kernel * 3000, bias])
    return model


def test_a_layer_that_divides_by_a_sum_of_squares_stays_float32(tmp_path):
    image = keras.Input((6, 6, 3), name="image")
    x = layers.UnitNormalization(name="unit")(layers.Conv2D(4, 3, name="conv")(image))
    model = randomize(keras.Model(image, layers.Conv2D(3, 3, name="last")(x)), seed=1)
    with exported(model, tmp_path) as draft:
        found = draft.in_int8(_images(16))
        named = [node for node in draft.model.graph.node if node.name.startswith("unit/")]
    assert wide_operators(draft.model) == [node.name for node in named]
    whole, operators = quantized_operators(found.model)
    assert operators - whole == len(named) > 2
    assert found.loss.error < 0.05


def test_only_a_last_softmax_or_sigmoid_is_spared():
    last = onnx_model({}, "Relu image", "Softmax layer0/Relu", "Identity layer1/Softmax")
    assert final_operators(last) == ["layer2/Identity", "layer1/Softmax"]
    assert final_operators(onnx_model({}, "Softmax image", "Relu layer0/Softmax")) == []
    assert final_operators(onnx_model({}, "Relu image", "Identity layer0/Relu")) == []


def test_a_quantizer_that_does_more_is_refused():
    before = onnx_model({}, "Relu image", "Abs layer0/Relu")
    after = onnx_model({}, "QuantizeLinear image", "Neg image", "Abs image", "Abs image")
    with pytest.raises(ExportError) as caught:
        refuse_more(before, after)
    assert str(caught.value) == (
        "model 'small': ONNX Runtime's quantizer has made 2 Abs of 1, 1 Neg of 0; please report "
        "this with the model's configuration"
    )


def test_a_picture_that_cannot_be_read_is_told_as_such(tmp_path):
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "a.png").write_bytes(b"no picture")
    options = {"int8": tmp_path / "pictures", "preprocessing": allconv.Preprocessing(scale=1)}
    with pytest.raises(FileError, match=r"a\.png: is no picture that Pillow can read"):
        allconv.export_onnx(only_conv(), tmp_path / "model.onnx", **options)
    assert [path.name for path in tmp_path.iterdir()] == ["pictures"]


def test_what_onnx_runtime_cannot_quantize_is_one_error(digits, images, monkeypatch):
    import onnxruntime.quantization

    def fails(*arguments, **options):
        raise ValueError("no such thing\nand more")

    monkeypatch.setattr(onnxruntime.quantization, "quantize_static", fails)
    with pytest.raises(ExportError) as caught:
        digits.in_int8(images)
    assert str(caught.value) == (
        "model 'mnist_cnn': ONNX Runtime cannot quantize it (ValueError: no such thing); export it "
        "in float32 or float16"
    )
