"""`pooling="keep"`: pools stay, everything else becomes convolutions."""

from __future__ import annotations

from itertools import product
from random import Random

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import layers

import allconv
from allconv.errors import ConversionError
from tests.helpers.keras_comparison import assert_close, network, outputs, random_images
from tests.helpers.laws_of_geometry import assert_fields, positive
from tests.helpers.networks import mnist_cnn, stubborn

RANKS = (1, 2, 3)
HOW = ("Max", "Average")


def kinds_of(model):
    return [type(layer).__name__ for layer in model.layers if layer.__class__ != layers.InputLayer]


def classifier(rank=2, pool="Max", end="Flatten", size=9, data_format="channels_last", **pooling):
    """A small CNN with a pool of this kind, and a vector made of its map in this way."""
    sizes = tuple(range(size, size + rank))
    first = data_format == "channels_first"
    ends = {"Flatten": layers.Flatten()}
    if end != "Flatten":
        ends[end] = getattr(layers, f"{end}{rank}D")(data_format=data_format)
    return network(
        (2, *sizes) if first else (*sizes, 2),
        getattr(layers, f"Conv{rank}D")(3, 2, activation="tanh", data_format=data_format),
        getattr(layers, f"{pool}Pooling{rank}D")(2, data_format=data_format, **pooling),
        ends[end],
        layers.Dropout(0.5),
        layers.Dense(4, activation="relu"),
        layers.Dense(3, activation="softmax"),
    )


@pytest.mark.parametrize("rank", RANKS)
@pytest.mark.parametrize("how", HOW)
def test_pools_stay_and_the_numbers_too(how, rank):
    model = classifier(rank, how)
    converted = allconv.convert(model, pooling="keep", verify=True)
    conv = f"Conv{rank}D"
    assert kinds_of(converted) == [
        conv,
        f"{how}Pooling{rank}D",
        "Dropout",
        *(conv, conv, "Flatten"),
    ]
    images = random_images(model)
    assert_close(outputs(converted, images)[0], outputs(model, images)[0])


@pytest.mark.parametrize("rank", RANKS)
@pytest.mark.parametrize("how", HOW)
def test_a_global_pool_stays_with_a_map_of_one_cell_for_the_dense_behind_it(how, rank):
    model = classifier(rank, end=f"Global{how}Pooling")
    converted = allconv.convert(model, pooling="keep", verify=True)
    assert f"Global{how}Pooling{rank}D" in kinds_of(converted)
    assert "Dense" not in kinds_of(converted)


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize("rank", RANKS)
@pytest.mark.parametrize("how", HOW)
def test_a_global_pool_that_has_to_slide_becomes_a_pool_as_large_as_the_map(how, rank, data_format):
    model = classifier(rank, end=f"Global{how}Pooling", data_format=data_format)
    converted = allconv.convert(model, pooling="keep", input_size="any")
    pool = converted.layers[3]
    assert type(pool).__name__ == f"{how}Pooling{rank}D"
    settings_of = (pool.pool_size, pool.strides, pool.padding, pool.data_format)
    own_map = (4, 4, 5)[:rank]
    assert settings_of == (own_map, (1,) * rank, "valid", data_format)
    if data_format == "channels_last" or rank == 1:  # the others take XLA long
        images = random_images(model)
        found = outputs(converted, images)[0]
        assert_close(found.reshape(2, 3), outputs(model, images)[0])


@pytest.mark.parametrize("keepdims", [True, False])
def test_a_global_pool_at_the_output_gives_its_map(keepdims):
    model = network((6, 5, 2), layers.GlobalMaxPooling2D(keepdims=keepdims))
    converted = allconv.convert(model, pooling="keep", input_size="any")
    assert converted.output_shape == (None, None, None, 2)


def test_a_global_pool_of_a_model_whose_size_is_free_needs_one_to_slide():
    model = network((None, None, 2), layers.GlobalMaxPooling2D(name="pool"), layers.Dense(3))
    assert "Dense" not in kinds_of(allconv.convert(model, pooling="keep"))
    reason = r"'pool' .*: a pool of the whole map needs a fixed size"
    with pytest.raises(ConversionError, match=reason) as caught:
        allconv.convert(model, pooling="keep", input_size="any")
    assert "input_size=(224, 224)" in str(caught.value)
    converted = allconv.convert(model, pooling="keep", input_size=(7, 7))
    assert converted.output_shape == (None, 1, 1, 3)


def test_a_global_pool_under_a_mask_stays_and_does_not_slide():
    model = network(
        (6, 2),
        layers.Masking(name="masking"),
        layers.GlobalAveragePooling1D(name="mean"),
        layers.Dense(3),
    )
    with pytest.raises(ConversionError, match=r"'masking' \(Masking\)") as caught:
        allconv.convert(model, pooling="keep")
    assert "'mean'" not in str(caught.value)
    with pytest.raises(ConversionError, match=r"'mean' .*: a mask leaves cells out of it"):
        allconv.convert(model, pooling="keep", input_size="any")


def test_all_else_is_refused_as_ever():
    with pytest.raises(ConversionError) as caught:
        allconv.convert(stubborn(), pooling="keep")
    message = str(caught.value)
    assert "does not become fully convolutional; these layers stand in the way" in message
    assert "'shift' (Lambda)" in message
    assert "Pooling" not in message


def test_a_pool_that_is_kept_by_name_is_no_obstacle_either():
    model = mnist_cnn()
    converted = allconv.convert(model, pooling={"pool1": "keep"}, verify=True)
    assert [kind for kind in kinds_of(converted) if "Pooling" in kind] == ["MaxPooling2D"]


def test_pools_that_are_not_named_are_kept_with_average_and_global_ones():
    model = classifier(pool="Average", end="GlobalAveragePooling")
    converted = allconv.convert(model, pooling={"*": "keep"}, input_size="any")
    assert [kind for kind in kinds_of(converted) if "Pooling" in kind] == ["AveragePooling2D"] * 2


def test_the_result_is_fully_and_not_all_convolutional_and_the_report_says_so():
    model = classifier(end="GlobalAveragePooling")
    converted = allconv.convert(model, pooling="keep", input_size="any")
    assert not allconv.is_all_convolutional(converted)
    report = allconv.report(model, pooling="keep", input_size="any", verify=True)
    pool, mean = (layer.name for layer in model.layers if "Pooling" in type(layer).__name__)
    assert report.kept_pools == (pool, mean) == tuple(report.to_dict()["kept_pools"])
    text = " ".join(str(report).split())
    said = f"The result is fully convolutional, not all-convolutional: pools stay ({pool}, {mean})."
    assert said in text
    assert report.obstacles == () and not report.refused
    assert report.verification.passed
    assert report.geometry == allconv.geometry(model)


def test_a_network_of_convolutions_and_pools_changes_in_nothing():
    model = network((8, 8, 2), layers.Conv2D(3, 3), layers.MaxPooling2D(2))
    text = " ".join(str(allconv.report(model, pooling="keep")).split())
    assert "Nothing changes: the model is fully convolutional, and convert copies it." in text


def test_a_second_conversion_changes_nothing():
    for size in (None, "any"):
        model = classifier(end="GlobalMaxPooling")
        converted = allconv.convert(model, pooling="keep", input_size=size)
        assert allconv.report(converted, pooling="keep", input_size=size).changes == ()


def test_check_takes_the_kept_network_at_other_sizes():
    model = classifier(end="GlobalAveragePooling", size=9)
    converted = allconv.convert(model, pooling="keep", input_size="any")
    assert allconv.check(converted, input_size=(13, 12)).rows[-1].output_shape == (None, 3, 2, 3)
    problem = allconv.check(converted, input_size=(4, 12)).problems[0]
    assert problem.message == "a window of 4 does not fit a map of 1"


@pytest.mark.parametrize("how", HOW)
def test_a_padded_pool_is_named_as_one_that_treats_the_border_apart(how):
    model = classifier(pool=how, padding="same")
    report = allconv.report(model, pooling="keep", input_size="any")
    (pool,) = report.kept_pools
    assert report.geometry.padded == (pool,)
    assert f"'{pool}' pads or treats the border apart" in " ".join(str(report).split())


def drawn(seed):
    """A random CNN without padding, with pools of all kinds; small enough to be quick."""
    random = Random(seed)
    rank = random.choice([1, 1, 2, 2, 3])
    sizes = [random.randint(9, 12) for _ in range(rank)]
    steps = []
    for _ in range(2):
        conv = getattr(layers, f"Conv{rank}D")
        steps.append(conv(random.randint(1, 3), random.randint(1, 2), activation="tanh"))
        kind = getattr(layers, f"{random.choice(HOW)}Pooling{rank}D")
        steps.append(kind(random.randint(1, 3), random.choice([None, 1, 2])))
    ends = [layers.Flatten, *(getattr(layers, f"Global{how}Pooling{rank}D") for how in HOW)]
    steps += [random.choice(ends)(), layers.Dense(3), layers.Dense(2)]
    return network((*sizes, 2), *steps)


@settings(max_examples=6)
@given(st.integers(0, 10_000))
def test_on_a_larger_image_each_cell_is_what_the_original_says_of_its_crop(seed):
    model = drawn(seed)
    converted = allconv.convert(model, pooling="keep", input_size="any")
    images = random_images(model)
    own = outputs(converted, images)[0]
    assert_close(own.reshape(2, 2), outputs(model, images)[0])
    assert_each_cell_is_its_crop(model, converted, allconv.geometry(model))
    positive_one = positive(model)
    slid = allconv.convert(positive_one, pooling="keep", input_size="any")
    assert_fields(slid, allconv.geometry(positive_one), model.inputs[0].shape, passes=True)


def assert_each_cell_is_its_crop(model, converted, geometry):
    own = model.inputs[0].shape[1:-1]
    moves = list(product(*(range(0, period + 1, period) for period in geometry.period)))
    shape = [n + period for n, period in zip(own, geometry.period, strict=True)]
    large = np.random.default_rng(1).uniform(-1, 1, (1, *shape, 2)).astype("float32")
    (found,) = outputs(converted, [large])
    for move in moves:
        crop = large[(0, *(slice(m, m + n) for m, n in zip(move, own, strict=True)))]
        cell = tuple(int(m // s) for m, s in zip(move, geometry.output_stride, strict=True))
        assert_close(found[(0, *cell)], outputs(model, [crop[None]])[0][0])


@pytest.mark.parametrize("size", [None, "any"])
@pytest.mark.parametrize(("pool", "end"), [("Max", "Flatten"), ("Average", "GlobalMaxPooling")])
def test_its_onnx_file_holds_convolutions_and_pools_and_no_more(tmp_path, pool, end, size):
    pytest.importorskip("onnxruntime")
    if keras.backend.backend() != "tensorflow":
        pytest.skip("the other backends export in a process of their own")
    converted = allconv.convert(classifier(pool=pool, end=end), pooling="keep", input_size=size)
    report = allconv.export_onnx(converted, tmp_path / "fcn.onnx")
    assert report.fully_convolutional and not report.all_convolutional
    assert ", fully convolutional\n" in str(report)
    assert report.parity.passed
    pools = {"MaxPool", "AveragePool", "GlobalMaxPool", "ReduceMax"}
    rest = report.operators.keys() - pools
    assert rest <= {"Conv", "Tanh", "Relu", "Softmax", "Reshape"}


def test_the_command_line_keeps_pools_too(tmp_path):
    from tests.test_cli import run

    model, out = tmp_path / "model.keras", tmp_path / "fcn.keras"
    classifier().save(model)
    result = run("convert", model, "-o", out, "--pooling", "keep", "--input-size", "any")
    assert result.exit_code == 0, result.output
    assert keras.saving.load_model(out).output_shape == (None, None, None, 3)
