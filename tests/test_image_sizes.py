"""Which images a model takes: known from its layers, and never from what a backend refuses."""

from __future__ import annotations

import json

import keras
import numpy as np
import pytest
from click.testing import CliRunner
from keras import layers

import allconv
from allconv.cli.commands import main
from allconv.errors import AllconvError, ConversionError, OptionError
from allconv.read import read
from allconv.resize import with_own_size
from allconv.sizes.image_sizes import ImageSizes, free_sizes, resized_sizes
from tests.helpers.keras_comparison import network
from tests.helpers.onnx_files import exported, on_tensorflow
from tests.helpers.randomized import randomize


def fully_convolutional(stages, shape=(None, None, 3)):
    """Convolutions of 3x3 and pools of 2x2 in turn, and classes of each cell."""
    steps = []
    for _ in range(stages):
        steps += [layers.Conv2D(4, 3, activation="relu"), layers.MaxPooling2D()]
    return network(shape, *steps, layers.Conv2D(2, 1))


def u_net():
    """Two halvings and as many doublings, which meet at multiples of four."""
    image = keras.Input((64, 64, 3))
    fine = layers.Conv2D(4, 3, padding="same")(image)
    coarse = layers.MaxPooling2D()(layers.MaxPooling2D()(fine))
    both = layers.Concatenate(name="both")([fine, layers.UpSampling2D(4)(coarse)])
    return randomize(keras.Model(image, layers.Conv2D(1, 1)(both)))


def cells_left(size, stages):
    """Counted cell by cell: where windows of three, and of two side by side, begin."""
    for _ in range(stages):
        size = len(range(max(size - 2, 0)))
        size = len(range(0, size - 1, 2))
    return size


STAGES = [(1, 4), (3, 22), (4, 46), (6, 190)]


@pytest.mark.parametrize(("stages", "smallest"), STAGES)
def test_the_smallest_image_is_the_smallest_that_leaves_a_cell(stages, smallest):
    sizes = free_sizes(read(fully_convolutional(stages)))
    assert sizes == ImageSizes((smallest, smallest), (1, 1))
    assert cells_left(smallest, stages) == 1 and not cells_left(smallest - 1, stages)
    assert str(sizes) == f"from {smallest}x{smallest} on"


@pytest.mark.parametrize(("stages", "smallest"), STAGES)
def test_a_network_of_free_size_is_compared_at_a_size_that_fits_it(stages, smallest):
    model = fully_convolutional(stages)
    verification = allconv.verify(model, model)
    assert verification.passed is True
    assert verification.decisions == 4 * cells_left(max(smallest, 32), stages) ** 2
    assert allconv.verify(model, allconv.convert(model)).passed is True


def test_sizes_between_those_at_which_branches_meet_are_passed_over():
    converted = allconv.convert(u_net(), input_size="any")
    sizes = free_sizes(read(converted))
    assert str(sizes) == "from 4x4 on, in steps of 4x4"
    assert sizes.nearest((66, 64)) == [(64, 64), (68, 64)]
    assert sizes.at_least((30, 5)) == (32, 8)
    assert allconv.verify(converted, converted).passed is True


def global_pool():
    return network(
        (None, None, 2), layers.Conv2D(3, 5), layers.GlobalMaxPooling2D(), layers.Dense(2)
    )


def two_images():
    near, far = keras.Input((None, None, 1)), keras.Input((None, 1))
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(2, 3)(near))
    y = layers.GlobalAveragePooling1D()(layers.Conv1D(2, 40)(far))
    return randomize(keras.Model([near, far], layers.Add()([x, y])))


def one_axis_free():
    return network((None, 7, 2), layers.Conv2D(3, (40, 7)))


def volumes():
    return network((None, None, None, 1), layers.Conv3D(1, 3), layers.MaxPooling3D(2))


def channels_that_come_first():
    pool = layers.GlobalAveragePooling2D(data_format="channels_first")
    return network((2, None, None), layers.AveragePooling2D(5, data_format="channels_first"), pool)


def swapped_axes():
    """Fits where rows are as many as columns."""
    image = keras.Input((None, None, 2))
    tall = layers.Conv2D(2, (5, 1), padding="same")(image)
    return randomize(keras.Model(image, layers.Add()([tall, layers.Permute((2, 1, 3))(image)])))


def recurrent():
    cells = layers.LSTM(3, return_sequences=True)
    return network((None, 4), cells, layers.Conv1D(2, 50), layers.GlobalMaxPooling1D())


@pytest.mark.parametrize(
    ("build", "smallest"),
    [
        (global_pool, (5, 5)),
        (two_images, (40, 3)),
        (one_axis_free, (40, 7)),
        (volumes, (4, 4, 4)),
        (channels_that_come_first, (5, 5)),
        (swapped_axes, (1, 1)),
        (recurrent, (50,)),
    ],
)
def test_models_that_are_not_all_convolutional_have_sizes_too(build, smallest):
    model = build()
    assert free_sizes(read(model)).smallest == smallest
    if build is not channels_that_come_first:
        assert allconv.verify(model, model).passed is True


def test_a_layer_that_nobody_knows_makes_it_not_run():
    model = network((None, None, 1), layers.Lambda(lambda x: x[:, ::9], name="mine"))
    assert str(allconv.verify(model, model)) == (
        "not run: allconv does not know which sizes of images 'mine' (Lambda) takes; give inputs"
    )
    assert allconv.verify(model, model, np.random.default_rng(0).normal(size=(4, 20, 20, 1)))


def test_what_a_layer_gives_of_any_size_is_known_where_its_own_shape_says_it():
    mean = layers.Lambda(lambda x: keras.ops.mean(x, axis=(1, 2)), output_shape=(2,))
    model = network((None, None, 2), layers.MaxPooling2D(4), mean, layers.Dense(2))
    assert free_sizes(read(model)).smallest == (4, 4)
    assert allconv.verify(model, model).passed is True


def test_a_model_that_fits_no_image_is_not_run():
    image = keras.Input((None, None, 1))
    short = layers.Conv2D(1, 3)(image)
    model = keras.Model(image, layers.Add()([short, layers.Cropping2D(3)(image)]))
    assert "fits no image of up to 16384 cells; give inputs" in str(allconv.verify(model, model))


def message_of(call, *args, **options):
    with pytest.raises(AllconvError) as caught:
        call(*args, **options)
    return str(caught.value)


WINDOW = "a window of 2 does not fit a map of 1"


def test_images_that_are_too_small_are_refused_with_the_size():
    model, images = fully_convolutional(4), np.zeros((4, 45, 46, 3), "float32")
    pool = model.layers[-2].name
    expected = (
        f"images of shape (4, 45, 46, 3) do not fit model '{model.name}', at {pool} "
        f"(MaxPooling2D): {WINDOW}; it takes images from 46x46 on"
    )
    assert message_of(allconv.verify, model, model, images) == f"inputs: {expected}"
    lean = allconv.convert(model, pooling="conv")
    for fit in (allconv.calibrate, allconv.distill):
        assert message_of(fit, model, lean, images, verbose=0) == f"images: {expected}"


def test_words_that_are_too_few_are_refused_too():
    words = keras.Input((None,), dtype="int32")
    x = layers.Conv1D(3, 5, name="conv")(layers.Embedding(10, 4)(words))
    model = keras.Model(words, layers.GlobalMaxPooling1D()(x))
    with pytest.raises(OptionError, match=r"shape \(4, 3\) do not fit .* at conv \(Conv1D\): "):
        allconv.verify(model, model, np.zeros((4, 3), "int32"))


def test_images_that_a_conversion_does_not_take_are_a_failure():
    """It takes one size only here, and is not asked what it makes of another."""
    model, other = fully_convolutional(1), fully_convolutional(4)
    result = allconv.verify(model, other, np.random.default_rng(0).normal(size=(4, 30, 30, 3)))
    assert result.passed is False
    assert "the converted model: images of shape (4, 30, 30, 3) do not fit" in result.reason


def test_check_says_which_sizes_fit():
    model = fully_convolutional(4)
    check = allconv.check(model, input_size=(45, 46))
    assert not check and check.takes == ImageSizes((46, 46), (1, 1))
    assert str(check).endswith("it takes images from 46x46 on")
    assert allconv.check(model, input_size=(46, 46)).takes is None
    advice = "it takes images from 4x4 on, in steps of 4x4; nearest to 66x64 are 64x64 and 68x64"
    check = allconv.check(u_net(), input_size=(66, 64))
    assert " ".join(str(check).splitlines()[-2:]) == advice


def test_check_names_no_other_size_where_none_fits():
    frozen = network((8, 8, 1), layers.Conv2D(2, 3), layers.Flatten(), layers.Dense(2))
    assert allconv.check(frozen, input_size=(9, 9)).takes is None


def test_a_size_to_convert_to_is_refused_with_those_that_fit():
    model = fully_convolutional(4)
    message = message_of(allconv.convert, model, input_size=(45, 46))
    assert message.splitlines() == [
        f"model '{model.name}' leaves the size of its images free, and these layers do not fit "
        "45x46:",
        f"  {model.layers[-2].name} (MaxPooling2D): {WINDOW}",
        "it takes images from 46x46 on",
    ]
    assert message_of(allconv.geometry, model, input_size=(45, 46)) == message


@pytest.mark.parametrize(
    ("size", "nearest"), [((66, 66), "are 64x64 and 68x68"), ((3, 3), "is 4x4")]
)
def test_a_u_net_says_which_multiples_it_takes(size, nearest):
    words = "x".join(map(str, size))
    assert message_of(allconv.convert, u_net(), input_size=size).endswith(
        f"\nit takes images from 4x4 on, in steps of 4x4; nearest to {words} {nearest}"
    )


def test_a_global_pool_of_free_size_is_told_how_to_get_one():
    model = network(
        (None, None, 1), layers.Conv2D(2, 300), layers.GlobalAveragePooling2D(), layers.ReLU()
    )
    remedy = "input_size=(300, 300) gives the images a size"
    message = message_of(allconv.convert, model)
    assert message.endswith(f"\n{remedy}; strict=False leaves them as they are")
    assert f"\n{remedy}." in str(allconv.report(model))
    assert remedy not in str(allconv.report(model, strict=False))
    assert allconv.convert(global_pool(), input_size=(224, 224)).output_shape == (None, 1, 1, 2)


def test_a_model_that_is_frozen_takes_no_other_size():
    model = network((8, 8, 1), layers.PReLU())
    assert message_of(allconv.convert, model, input_size=(9, 9)).endswith(
        "it takes no other size; leave input_size out"
    )
    with pytest.raises(ConversionError, match="fits no image that was tried"):
        resized_sizes(read(model))


def test_a_size_of_ones_own_is_no_free_one():
    fixed = with_own_size(read(fully_convolutional(2)), (30, 40))
    assert free_sizes(fixed) == ImageSizes((30, 40), (0, 0))
    assert resized_sizes(fixed) == ImageSizes((10, 10), (1, 1))


def test_a_vector_has_no_sizes():
    with pytest.raises(ConversionError, match="takes no images"):
        resized_sizes(read(network((5,), layers.Dense(3))))


def test_images_of_any_batch_are_held_to_the_sizes_alone():
    model = fully_convolutional(1)
    with pytest.raises(OptionError, match=r"shape \(6, 3, 9, 3\) do not fit"):
        allconv.verify(model, model, np.zeros((6, 3, 9, 3)))


@pytest.fixture
def file(tmp_path):
    fully_convolutional(4).save(tmp_path / "free.keras")
    return tmp_path / "free.keras"


def run(*words):
    return CliRunner().invoke(main, list(map(str, words)))


def test_the_command_line_verifies_and_writes_what_is_of_free_size(file, tmp_path):
    written = tmp_path / "converted.keras"
    assert run("convert", file, "-o", written).exit_code == 0
    assert run("verify", file, written).exit_code == 0


def test_the_command_line_refuses_images_that_are_too_small(file, tmp_path):
    np.save(tmp_path / "small.npy", np.zeros((4, 46, 45, 3), "float32"))
    commands = [
        ("verify", file, file, "--inputs", tmp_path / "small.npy"),
        ("convert", file, "-o", tmp_path / "a.keras", "--input-size", "46x45"),
        ("export", file, "-o", tmp_path / "a.onnx", "--input-size", "46x45"),
        ("export", file, "-o", tmp_path / "a.onnx", "--int8", tmp_path / "small.npy"),
    ]
    lean = ["--pooling", "conv", "--calibrate", tmp_path / "small.npy"]
    for command in (*commands, ("convert", file, "-o", tmp_path / "a.keras", *lean)):
        result = run(*command)
        assert (result.exit_code, result.stderr.count("it takes images from 46x46 on")) == (2, 1)
    assert run("check", file, "--input-size", "46x45").exit_code == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["free.keras", "small.npy"]


@on_tensorflow
@pytest.mark.parametrize("convert", [False, True])
def test_an_onnx_file_of_free_size_says_which_images_it_takes(convert, tmp_path):
    model = fully_convolutional(4)
    report, written = exported(allconv.convert(model) if convert else model, tmp_path)
    assert report.parity.cases[0] == "1 of 46x46"
    said = {each.key: each.value for each in written.metadata_props}
    assert json.loads(said["image_sizes"]) == {"smallest": [46, 46], "step": [1, 1]}
    _, written = exported(u_net(), tmp_path, input_size="any", verify=False)
    said = {each.key: each.value for each in written.metadata_props}
    assert json.loads(said["image_sizes"]) == {"smallest": [4, 4], "step": [4, 4]}
    _, written = exported(u_net(), tmp_path, verify=False)
    assert "image_sizes" not in {each.key for each in written.metadata_props}


@on_tensorflow
def test_a_model_whose_sizes_nobody_knows_is_written_unverified_only(tmp_path):
    model = network((None, None, 1), layers.Lambda(lambda x: 2 * x, name="mine"))
    message = message_of(exported, model, tmp_path)
    assert "allconv does not know which sizes of images 'mine' (Lambda) takes" in message
