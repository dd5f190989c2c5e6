"""`calibrate`: what was replaced is fitted, what was right stays, and what cannot be is said."""

from __future__ import annotations

import json
import sys

import keras
import numpy as np
import pytest
from keras import layers

import allconv
from allconv import ConvPool, calibrate
from allconv.errors import CalibrationError, ModelError
from allconv.fitting.agreement import Score
from allconv.fitting.least_squares.solve import with_weights
from tests.helpers.keras_comparison import network
from tests.helpers.networks import twins

QUIET = {"verbose": 0}


def shades(count=60, sizes=(12, 12), channels=2, seed=0):
    """Images that are smooth in places, as photographs are: noise, blurred, with an edge."""
    rng = np.random.default_rng(seed)
    images = rng.standard_normal((count, *sizes, channels))
    for axis in range(1, len(sizes) + 1):
        images = images + np.roll(images, 1, axis)
    images[:, : sizes[0] // 2] += rng.standard_normal((count, *(1 for _ in sizes), channels))
    return images.astype("float32")


def small(norm=False, pool=None, end="softmax"):
    """Two blocks and a head on images of 12x12."""
    steps = []
    for number in (1, 2):
        steps.append(layers.Conv2D(6, 3, padding="same", use_bias=not norm, name=f"conv{number}"))
        if norm:
            steps.append(layers.BatchNormalization(name=f"norm{number}"))
        steps.append(layers.ReLU(name=f"relu{number}"))
        steps.append(pool or layers.MaxPooling2D(2, name=f"pool{number}"))
        steps.append(layers.Dropout(0.5, name=f"dropout{number}"))
        pool = None
    end = "linear" if norm else end
    steps += [layers.Flatten(name="flatten"), layers.Dense(4, activation=end, name="classes")]
    steps += [layers.Softmax(name="softmax")] if norm else []
    return network((12, 12, 2), *steps, name="small")


@pytest.mark.parametrize(
    ("pooling", "norm"),
    [("conv", False), ("conv", True), ("stride", True), (ConvPool(kernel_size=3), False)],
)
def test_outputs_come_nearer_on_the_images_and_on_others(pooling, norm):
    model = small(norm)
    converted = allconv.convert(model, pooling=pooling)
    others = shades(seed=1)
    wanted, before = (each.predict(others, verbose=0) for each in (model, converted))
    found = calibrate(model, converted, shades(120), **QUIET)
    after = converted.predict(others, verbose=0)
    assert found.improved and found.images == 120
    assert found.after.error < found.before.error / 2
    assert found.after.argmax_agreement >= found.before.argmax_agreement
    assert np.abs(after - wanted).mean() < np.abs(before - wanted).mean() / 1.5


def test_the_layers_are_told_in_order_with_what_they_stand_for():
    model = small()
    found = calibrate(model, allconv.convert(model, pooling="conv"), shades(), **QUIET)
    told = [(layer.layer, layer.kind, layer.stands_for) for layer in found.layers]
    assert told == [
        ("pool1", "Conv2D", "pool1"),
        ("conv2", "Conv2D", ""),
        ("pool2", "Conv2D", "pool2"),
        ("classes", "Conv2D", ""),
    ]
    assert all(0 < layer.r2 <= 1 and layer.seconds > 0 for layer in found.layers)
    text = str(found)
    assert text.splitlines()[0].split() == ["layer", "class", "in", "place", "of", "R2", "seconds"]
    assert "60 images" in text and "outputs before: relative error" in text
    assert json.loads(json.dumps(found.to_dict()))["images"] == 60


def test_a_first_layer_is_the_least_squares_of_lstsq_on_what_the_pool_gave():
    model = network((8, 8, 2), layers.MaxPooling2D(2, name="pool"))
    converted = allconv.convert(model, pooling="conv")
    images = shades(1, (8, 8))  # one image: nothing is held back, and the ridge is known
    calibrate(model, converted, images, **QUIET)
    blocks = images.reshape(4, 2, 4, 2, 2).transpose(0, 2, 1, 3, 4)
    rows, targets = blocks.reshape(16, 8), blocks.max(axis=(2, 3)).reshape(16, 2)
    root = np.sqrt(0.1 * np.mean((rows**2).sum(axis=0)))
    start = np.zeros((2, 2, 2, 2))
    start[..., 0, 0] = start[..., 1, 1] = 0.25
    design = np.vstack([np.hstack([rows, np.ones((16, 1))]), np.eye(8, 9) * root])
    expected = np.linalg.lstsq(design, np.vstack([targets, start.reshape(8, 2) * root]), rcond=None)
    weights = [keras.ops.convert_to_numpy(w) for w in converted.get_layer("pool").weights]
    np.testing.assert_allclose(weights[0].reshape(8, 2), expected[0][:8], atol=1e-5)
    np.testing.assert_allclose(weights[1], expected[0][8], atol=1e-5)


def test_a_pool_that_is_a_convolution_is_found_whole():
    """Of a window of one cell the largest value is the value: it is linear."""
    model = small(pool=layers.MaxPooling2D(1, 2, name="pool1"))
    converted = allconv.convert(model, pooling={"pool1": ConvPool(kernel_size=2)})
    kernel = converted.get_layer("pool1").kernel
    kernel.assign(kernel + 0.1)
    found = calibrate(model, converted, shades(100), **QUIET)
    assert found.layers[0].r2 > 1 - 1e-6
    assert found.after.error < 1e-3


def test_what_is_right_already_does_not_change():
    model = small(pool=layers.MaxPooling2D(1, 2, name="pool1"))
    converted = allconv.convert(model, pooling={"pool1": "conv"})
    before = converted.get_weights()
    found = calibrate(model, converted, shades(), **QUIET)
    assert found.after.error < 1e-5
    for old, new in zip(before, converted.get_weights(), strict=True):
        np.testing.assert_allclose(new, old, atol=1e-5)


def test_it_does_not_matter_how_the_images_come():
    model, images = small(), shades(30)
    kernels = []
    for way, size in ((images, 250), ([images[:11], images[11:]], 7)):
        converted = allconv.convert(model, pooling="conv")
        calibrate(model, converted, way, batch_size=size, **QUIET)
        kernels.append(keras.ops.convert_to_numpy(converted.get_layer("pool2").kernel))
    np.testing.assert_allclose(kernels[1], kernels[0], atol=1e-4)


def test_maps_beyond_what_is_kept_are_made_again_with_the_same_result(monkeypatch):
    model, images = small(), shades(30)
    kernels = []
    for most in (1 << 26, 0):
        monkeypatch.setattr("allconv.fitting.least_squares.rows.MOST_KEPT", most)
        converted = allconv.convert(model, pooling="conv")
        calibrate(model, converted, images, batch_size=15, refit=False, **QUIET)
        kernels.append(keras.ops.convert_to_numpy(converted.get_layer("pool2").kernel))
    np.testing.assert_array_equal(kernels[0], kernels[1])


def test_a_converted_model_that_was_saved_in_between_is_fitted_alike(tmp_path):
    model = small()
    converted = allconv.convert(model, pooling="conv")
    for each, name in ((model, "model.keras"), (converted, "converted.keras")):
        each.save(tmp_path / name)
    loaded = keras.saving.load_model(tmp_path / "converted.keras")
    here = calibrate(model, converted, shades(), **QUIET)
    there = calibrate(tmp_path / "model.keras", loaded, shades(), **QUIET)
    assert there.after.error == pytest.approx(here.after.error, rel=1e-3)


def test_a_model_of_several_inputs_and_shared_layers_is_fitted():
    model = twins()
    converted = allconv.convert(model, pooling="conv")
    images = [shades(40, (16, 16), 3, seed) for seed in (0, 1)]
    found = calibrate(model, converted, images, **QUIET)
    assert [each.layer for each in found.layers] == ["pool", "dense"]
    assert found.improved


@pytest.mark.parametrize("rank", [1, 3])
def test_signals_and_volumes_are_fitted(rank):
    sizes = (12, 8, 6)[:rank]
    conv, pool = (getattr(layers, f"{kind}{rank}D") for kind in ("Conv", "MaxPooling"))
    model = network(
        (*sizes, 2),
        conv(4, 3, padding="same", activation="relu", name="conv"),
        pool(2, name="pool"),
        layers.Flatten(),
        layers.Dense(3, name="classes"),
    )
    for pooling in ("conv", "stride"):
        converted = allconv.convert(model, pooling=pooling)
        found = calibrate(model, converted, shades(80, sizes), **QUIET)
        assert found.after.error < found.before.error


def test_a_network_that_gives_class_maps_is_fitted_on_images_of_the_original_s_size():
    model = small()
    converted = allconv.convert(model, pooling="conv", input_size="any")
    found = calibrate(model, converted, shades(), **QUIET)
    assert found.after.error < found.before.error
    assert converted.predict(shades(1, (24, 24)), verbose=0).shape[-1] == 4


def test_where_the_outputs_were_nearer_before_the_model_stays_as_it_was(monkeypatch):
    model = small()
    converted = allconv.convert(model, pooling="conv")
    before = converted.get_weights()

    def spoil(step, original, after, *_):
        spec = after.nodes[step.targets[0].place].spec
        zeros = {name: np.zeros(array.shape, "float32") for name, array in spec.weights.items()}
        return with_weights(after, spec, zeros), Score()

    monkeypatch.setattr(sys.modules["allconv.calibrate"], "fit_layer", spoil)
    found = calibrate(model, converted, shades(), **QUIET)
    assert not found.improved
    assert "The outputs were no farther before, so the model was left as it was." in str(found)
    for old, new in zip(before, converted.get_weights(), strict=True):
        np.testing.assert_array_equal(new, old)


def test_the_bar_counts_the_layers(capsys):
    model = small()
    calibrate(model, allconv.convert(model, pooling="conv"), shades(8))
    assert "4/4" in capsys.readouterr().out


# What cannot be


def test_an_exact_conversion_has_nothing_to_fit():
    model = small()
    message = "needs no fitting: no new layer stands for a max pool, and an exact conversion keeps "
    with pytest.raises(CalibrationError, match=message):
        calibrate(model, allconv.convert(model), shades(), **QUIET)


def test_pools_that_cannot_be_fitted_are_listed():
    model = small()
    converted = allconv.convert(model, pooling=ConvPool(activation="tanh"))
    with pytest.raises(CalibrationError) as caught:
        calibrate(model, converted, shades(), **QUIET)
    lines = str(caught.value).splitlines()[1:]
    assert lines == [
        "  pool1: 'pool1' ends in tanh, not in relu or linear",
        "  pool2: 'pool2' ends in tanh, not in relu or linear",
    ]


def other(shape=(12, 12, 2), name="other"):
    return network(shape, layers.Conv2D(4, 3, name=name), name="other")


@pytest.mark.parametrize(
    ("converted", "why"),
    [
        (lambda: other(), "none of its layers has the name of one of the original's"),
        (lambda: other((9, 9, 2)), r"its input 'image' is \(None, 9, 9, 2\) where the original's"),
        (twins, "it has 2 inputs where the original has 1"),
    ],
)
def test_a_model_of_another_original_is_refused_with_what_shows_it(converted, why):
    with pytest.raises(CalibrationError, match=f"is no conversion of 'small': {why}"):
        calibrate(small(), converted(), shades(), **QUIET)


def test_a_converted_model_in_a_file_cannot_be_changed():
    with pytest.raises(ModelError, match="converted: expected a model in memory"):
        calibrate(small(), "converted.keras", shades(), **QUIET)


@pytest.mark.parametrize("fit", [calibrate, allconv.distill])
def test_an_original_whose_outputs_are_not_finite_is_refused(fit):
    model = small()
    kernel, bias = model.layers[-1].get_weights()
    bias[0] = np.nan
    model.layers[-1].set_weights([kernel, bias])
    converted = allconv.convert(model, pooling="conv")
    with pytest.raises(CalibrationError, match=r"^\d+ of \d+ values that the original gives"):
        fit(model, converted, shades(20), verbose=0)


def test_no_images_are_an_error():
    model = small()
    converted = allconv.convert(model, pooling="conv")
    with pytest.raises(CalibrationError, match="there are no images; give some"):
        calibrate(model, converted, shades(0), **QUIET)
