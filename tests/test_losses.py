"""The loss that learns maps from the classes of images, against loops over the cells."""

from __future__ import annotations

import math
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
from keras import layers, ops

import allconv
from allconv.losses import MultiClassMIL

OPTIONS = [
    {},
    {"absent": 0.7},
    {"pooling": "lse", "absent": 1.0},
    {"pooling": "lse", "sharpness": 0.3},
    {"background": False, "absent": 2.0},
    {"pooling": "lse", "background": False},
]
LABELS = np.array([[1, 0, 1], [0, 0, 0], [1, 1, 1]], "float32")


def maps_for(options, sizes=(4, 3), seed=0):
    """Logits of three images that go with LABELS."""
    classes = 3 + options.get("background", True)
    return 3 * np.random.default_rng(seed).normal(size=(3, *sizes, classes))


def slow_losses(labels, maps, pooling="max", sharpness=5.0, absent=0.0, background=True):
    """The loss of each image, cell by cell and class by class, in float64."""
    losses = []
    for label, image in zip(labels, maps, strict=True):
        cells = [np.exp(cell) / np.exp(cell).sum() for cell in image.reshape(-1, image.shape[-1])]
        first, second = [], []
        for number, is_there in enumerate([1, *label] if background else label):
            p = np.array([cell[number] for cell in cells])
            smooth = math.log(np.exp(sharpness * p).mean()) / sharpness
            if is_there:
                first.append(-math.log(p.max() if pooling == "max" else smooth))
            else:
                second.append(-math.log(1 - p.max()))
        losses.append(sum(first) / max(len(first), 1))
        losses[-1] += absent * sum(second) / max(len(second), 1)
    return np.array(losses)


def losses_of(loss, labels, maps):
    return ops.convert_to_numpy(loss(labels, maps))


def gradient_of(loss, labels, maps):
    """The gradient of a sum of losses by the maps, on each backend."""
    maps = np.asarray(maps, "float32")
    if keras.backend.backend() == "jax":
        import jax

        return np.array(jax.grad(lambda given: loss(labels, given))(maps))
    if keras.backend.backend() == "torch":
        import torch

        given = torch.tensor(maps, requires_grad=True)
        loss(labels, given).backward()
        return given.grad.numpy()
    import tensorflow as tf

    given = tf.constant(maps)
    with tf.GradientTape() as tape:
        tape.watch(given)
        value = loss(labels, given)
    return tape.gradient(value, given).numpy()


@pytest.mark.parametrize("sizes", [(5,), (4, 3), (2, 3, 2)])
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_the_loss_is_what_loops_over_cells_and_classes_give(options, sizes):
    maps = maps_for(options, sizes)
    found = losses_of(MultiClassMIL(**options, reduction=None), LABELS, maps)
    np.testing.assert_allclose(found, slow_losses(LABELS, maps, **options), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_the_gradient_is_the_difference_of_two_losses_near_by(options):
    maps, step = maps_for(options), 1e-6
    found = gradient_of(MultiClassMIL(**options, reduction="sum"), LABELS, maps)
    for place in [(0, 1, 2, 0), (0, 3, 0, 1), (1, 2, 1, 2), (2, 0, 0, 1)]:
        moved = np.zeros_like(maps)
        moved[place] = step
        up, down = (slow_losses(LABELS, maps + sign * moved, **options).sum() for sign in (1, -1))
        assert found[place] == pytest.approx((up - down) / (2 * step), abs=1e-4)


def test_by_the_paper_only_the_best_cell_of_each_present_class_learns():
    maps = maps_for({})
    p = np.exp(maps) / np.exp(maps).sum(-1, keepdims=True)
    best = p.reshape(3, -1, 4).argmax(1)
    expected = np.zeros((3, 12), bool)
    for image, classes in enumerate([(0, 1, 3), (0,), (0, 1, 2, 3)]):
        expected[image, best[image, list(classes)]] = True
    learning = np.abs(gradient_of(MultiClassMIL(), LABELS, maps)).reshape(3, 12, 4).max(-1) > 0
    assert (learning == expected).all()
    smooth = gradient_of(MultiClassMIL(pooling="lse"), LABELS, maps)
    assert (np.abs(smooth).reshape(3, 12, 4).max(-1) > 0).all()


@pytest.mark.parametrize("sharpness", [300.0, 1e6])
def test_a_very_sharp_smooth_maximum_is_the_maximum(sharpness):
    maps = maps_for({})
    smooth = losses_of(MultiClassMIL("lse", sharpness=sharpness), LABELS, maps)
    assert smooth == pytest.approx(losses_of(MultiClassMIL(), LABELS, maps), abs=0.02)


def test_a_smooth_maximum_that_is_hardly_sharp_is_the_mean():
    maps = maps_for({})
    p = np.exp(maps) / np.exp(maps).sum(-1, keepdims=True)
    found = losses_of(MultiClassMIL("lse", sharpness=1e-6, reduction=None), LABELS, maps)
    assert found[1] == pytest.approx(-math.log(p[1, ..., 0].mean()), rel=1e-5)


@pytest.mark.parametrize("pooling", ["max", "lse"])
def test_on_one_cell_it_is_the_cross_entropy(pooling):
    maps = np.random.default_rng(1).normal(size=(3, 1, 1, 3)).astype("float32")
    labels = np.eye(3, dtype="float32")
    crossentropy = keras.losses.CategoricalCrossentropy(from_logits=True)
    found = losses_of(MultiClassMIL(pooling, background=False), labels, maps)
    assert found == pytest.approx(float(crossentropy(labels, maps[:, 0, 0])), rel=1e-5)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_certain_cells_have_finite_losses_and_gradients_that_push_back(options):
    maps = maps_for(options, (2, 2)) * 0
    absent, present = (2, 1) if options.get("background", True) else (1, 0)
    maps[0, ..., absent] = 300  # everywhere, and wrong: each p of the others is exp(-300)
    loss = MultiClassMIL(**options, reduction="sum")
    gradient = gradient_of(loss, LABELS, maps)
    assert math.isfinite(losses_of(loss, LABELS, maps)) and np.isfinite(gradient).all()
    assert losses_of(loss, LABELS, maps) > 290
    assert gradient[0, ..., present].sum() < -0.1 and gradient[0, ..., absent].sum() > 0.5


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_a_nan_in_a_map_is_a_nan_in_the_loss(options):
    maps = maps_for(options)
    maps[0, 2, 1, 0] = math.nan
    assert math.isnan(losses_of(MultiClassMIL(**options), LABELS, maps))


def test_it_computes_in_float32_whatever_the_maps_are_in():
    maps = maps_for({}).astype("float16")
    wanted = slow_losses(LABELS, maps.astype("float64"), "lse", absent=1.0)
    for dtype in (None, "float16", "mixed_float16"):
        loss = MultiClassMIL("lse", absent=1.0, dtype=dtype, reduction=None)
        found = loss.call(LABELS, ops.convert_to_tensor(maps))
        assert keras.backend.standardize_dtype(found.dtype) == "float32"
        np.testing.assert_allclose(ops.convert_to_numpy(found), wanted, rtol=1e-5)


def test_channels_first_maps_are_those_with_the_classes_along_axis_1():
    maps = maps_for({})
    first = losses_of(MultiClassMIL(axis=1), LABELS, np.moveaxis(maps, -1, 1))
    assert first == pytest.approx(losses_of(MultiClassMIL(), LABELS, maps), rel=1e-6)


def test_weights_and_reduction_are_as_of_every_loss_of_keras():
    maps, weights = maps_for({}), np.array([1.0, 0.0, 3.0])
    each = slow_losses(LABELS, maps)
    for reduction, wanted in [
        ("sum", (each * weights).sum()),
        ("sum_over_batch_size", (each * weights).mean()),
        ("mean_with_sample_weight", (each * weights).sum() / 4),
        ("none", each * weights),
    ]:
        found = MultiClassMIL(reduction=reduction)(LABELS, maps, sample_weight=weights)
        np.testing.assert_allclose(ops.convert_to_numpy(found), wanted, rtol=1e-5)


# training and files


def scenes(number=48):
    """Noise with a bright square, a dark one, both or none; the classes, and where they are."""
    generator = np.random.default_rng(3)
    images = generator.normal(size=(number, 8, 8, 1)).astype("float32") / 10
    labels = generator.integers(0, 2, (number, 2))
    truth = np.zeros((number, 8, 8), int)
    for image, label, shown in zip(images, labels, truth, strict=True):
        for value in np.flatnonzero(label):
            row, column = generator.integers(0, 6), 4 * value + generator.integers(0, 2)
            image[row : row + 2, column : column + 2] += (1, -1)[value]
            shown[row : row + 2, column : column + 2] = value + 1
    return images, labels, truth


def segmenting_network(**options):
    """A score for each cell, as of a classifier of bright and dark; the background's is zero."""
    model = keras.Sequential([keras.Input((None, None, 1)), layers.Conv2D(3, 1, **options)])
    model.set_weights([np.array([[[[0.0, 4.0, -4.0]]]]), np.zeros(3)])
    return model


def test_fit_lowers_the_loss_and_the_right_cells_win():
    images, labels, truth = scenes()
    model = segmenting_network()
    assert (classes_of(model, images) == truth).mean() < 0.1  # all noise is bright or dark
    model.compile(keras.optimizers.Adam(0.1), MultiClassMIL("lse", absent=1.0))
    losses = model.fit(images, labels, batch_size=16, epochs=20, verbose=0).history["loss"]
    assert losses[-1] < losses[0] / 2
    assert (classes_of(model, images) == truth).mean() > 0.95


def classes_of(model, images):
    return ops.convert_to_numpy(model(images)).argmax(-1)


def test_mixed_precision_trains():
    images, labels, _ = scenes(8)
    model = segmenting_network(dtype="mixed_float16" if on_tensorflow() else "mixed_bfloat16")
    model.compile("adam", MultiClassMIL("lse", absent=1.0))
    assert math.isfinite(model.fit(images, labels, verbose=0).history["loss"][-1])


def on_tensorflow():
    return keras.backend.backend() == "tensorflow"


def test_a_wrong_vector_is_named_in_fit_as_well():
    images, labels, _ = scenes(4)
    model = segmenting_network()
    model.compile("adam", MultiClassMIL())
    with pytest.raises(allconv.ShapeError, match="leave out its first column"):
        model.fit(images, np.pad(labels, ((0, 0), (1, 0)), constant_values=1), verbose=0)


def test_its_configuration_makes_it_again():
    loss = MultiClassMIL("lse", 7, 0.5, False, 1, "sum", "mil", "float64")
    again = keras.losses.deserialize(keras.losses.serialize(loss))
    assert isinstance(again, MultiClassMIL) and again.get_config() == loss.get_config()
    wanted = {"pooling": "lse", "sharpness": 7.0, "absent": 0.5, "background": False, "axis": 1}
    assert wanted.items() <= loss.get_config().items()
    assert (
        loss.get_config().items() >= {"reduction": "sum", "name": "mil", "dtype": "float64"}.items()
    )


LOADING = """
import sys, keras
path = sys.argv[1]
keras.saving.load_model(path, compile=False)
assert "allconv" not in sys.modules
import allconv
try:
    keras.saving.load_model(path)
except TypeError as error:
    print(error)
import allconv.losses
print(type(keras.saving.load_model(path).loss))
"""


def test_a_compiled_model_is_loaded_uncompiled_or_after_the_losses_are_imported(tmp_path):
    model, path = segmenting_network(), tmp_path / "model.keras"
    model.compile("sgd", MultiClassMIL("lse", absent=1.0))
    model.save(path)
    assert keras.saving.load_model(path).loss.get_config() == model.loss.get_config()
    program = [sys.executable, "-c", LOADING, str(path)]
    quick = {**os.environ, "KERAS_BACKEND": "numpy"}  # it only loads, and needs no other package
    done = subprocess.run(program, env=quick, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("Could not locate class 'MultiClassMIL'")
    assert done.stdout.endswith("<class 'allconv.losses.multi_class_mil.MultiClassMIL'>\n")


def test_a_conversion_keeps_the_loss_of_a_model_in_memory():
    model = segmenting_network()
    model.compile("adam", MultiClassMIL("lse"))
    assert isinstance(allconv.convert(model).loss, MultiClassMIL)


# errors


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pooling": "mean"}, "pooling is 'mean'; expected 'max' or 'lse'"),
        ({"sharpness": 0}, "sharpness is 0; expected a number above 0"),
        ({"sharpness": "5"}, "sharpness is '5'; expected a number above 0"),
        ({"sharpness": math.inf}, "sharpness is inf; expected a number above 0"),
        ({"absent": -0.5}, "absent is -0.5; expected a number of 0 or more"),
        ({"absent": True}, "absent is True; expected a number of 0 or more"),
        ({"background": 0}, "background is 0; expected True, where class 0 of the maps is the"),
        ({"axis": 0}, "axis is 0; expected -1, or 1 for channels first"),
    ],
)
def test_a_wrong_option_is_named(options, message):
    with pytest.raises(allconv.OptionError) as raised:
        MultiClassMIL(**options)
    assert message in str(raised.value)


@pytest.mark.parametrize(
    ("labels", "maps", "options", "message"),
    [
        ((2, 4), (2, 5, 5, 4), {}, "y_true is (2, 4); for maps of 4 classes it is (batch, 3)"),
        ((2, 4), (2, 5, 5, 4), {}, "leave out its first column, or say background=False if"),
        ((2, 7), (2, 5, 5, 4), {}, "an image has, without the background, class 0 of maps"),
        ((2, 3), (2, 5, 5, 4), {"background": False}, "4 classes it is (batch, 4), a one for each"),
        ((2,), (2, 5, 5, 4), {}, "y_true is (2,); for maps of 4 classes"),
        ((2, 5, 5), (2, 5, 5, 4), {}, "y_true is (2, 5, 5); for maps of 4 classes"),
        ((1, 3), (2, 5, 5, 4), {}, "y_true is of 1 images, y_pred of 2"),
        ((2, 3), (2, 4), {}, "y_pred is (2, 4); expected class maps of logits, (batch, *sizes,"),
        ((2, 3), (2, 5, 4), {"axis": 3}, "with the classes along axis 3"),
        ((2, 0), (2, 5, 5, 1), {}, "with 1 classes along axis -1; expected 2 or more"),
    ],
)
def test_shapes_that_do_not_fit_are_named(labels, maps, options, message):
    with pytest.raises(allconv.ShapeError) as raised:
        MultiClassMIL(**options)(np.zeros(labels), np.zeros(maps))
    assert message in str(raised.value)
