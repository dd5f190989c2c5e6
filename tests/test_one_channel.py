"""Pools on a map of one channel whose result has one column, the same with oneDNN and without.

TensorFlow with oneDNN leaves cells of some convolutions on one channel unwritten. Pools of Keras
have no such fault, so what they become must not have it either.
"""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers

import allconv
from allconv.building.freezing import freeze_fixed
from allconv.layers.unwritten import may_be_unwritten
from allconv.verification import compiled
from tests.helpers import slow_loops
from tests.helpers.keras_comparison import outputs
from tests.helpers.randomized import leaves, randomize

ON_TENSORFLOW = keras.backend.backend() == "tensorflow"
POOLS = {"max": "MaxPooling", "mean": "AveragePooling"}

CASES = [
    ("valid", (3, 4, 5), (1, 1, 3), (1, 1, 3)),
    ("valid", (4, 3, 2), (2, 2, 2), (2, 1, 2)),
    ("same", (1, 3, 2), (2, 1, 4), (2, 1, 4)),
    ("same", (3, 4, 3), (2, 2, 3), (1, 1, 3)),
    ("same", (6, 2), (1, 4), (1, 4)),
    ("same", (4, 2), (3, 3), (1, 2)),
    ("same", (5, 1), (2, 3), (1, 2)),
]


def pool_of(how, padding, window, strides, **settings):
    kind = getattr(layers, f"{POOLS[how]}{len(window)}D")
    return kind(window, strides, padding=padding, **settings)


def images_of(sizes, channels=1):
    return np.random.default_rng(0).normal(size=(3, *sizes, channels)).astype("float32")


def assert_pools(converted, images, how, padding, window, strides, tolerance=1e-6):
    """In several runs: what is left unwritten may hold the right numbers by chance."""
    function = {"max": np.max, "mean": np.mean}[how]
    expected = slow_loops.pooled(images.astype("float64"), window, strides, padding, function)
    for _ in range(3):
        (found,) = outputs(converted, [images])
        np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance)


@pytest.mark.parametrize("size", ["own", "any"])
@pytest.mark.parametrize("how", POOLS)
@pytest.mark.parametrize(("padding", "sizes", "window", "strides"), CASES)
def test_pools_of_one_channel_give_each_cell_of_one_column(
    padding, sizes, window, strides, how, size
):
    pool = pool_of(how, padding, window, strides)
    model = keras.Sequential([keras.Input((*sizes, 1)), pool])
    converted = allconv.convert(model, input_size=None if size == "own" else size)
    assert_pools(converted, images_of(sizes), how, padding, window, strides)
    assert allconv.verify(model, converted)
    convolutions = [layer for layer in leaves(converted) if "Conv" in type(layer).__name__]
    assert len(freeze_fixed(converted)) == len(convolutions)


@pytest.mark.parametrize("how", POOLS)
def test_a_map_of_free_size_that_becomes_one_column_is_pooled_rightly(how):
    moves = ("same", (1, 3), (1, 2))
    model = keras.Sequential([keras.Input((None, None, 1)), pool_of(how, *moves)])
    converted = allconv.convert(model)
    for sizes in ((6, 2), (6, 1), (3, 5)):
        assert_pools(converted, images_of(sizes), how, *moves)


@pytest.mark.parametrize("policy", ["float64", "float16", "bfloat16", "mixed_float16"])
def test_one_column_is_right_in_every_precision(policy):
    moves = ("same", (2, 3), (1, 2))
    steps = layers.Input((4, 2, 1), dtype=None), pool_of("mean", *moves, dtype=policy)
    model = keras.Sequential(steps)
    converted = allconv.convert(model, input_size="any")
    tolerance = {"float64": 1e-6, "float16": 4e-3, "mixed_float16": 4e-3, "bfloat16": 4e-2}[policy]
    assert_pools(converted, images_of((4, 2)), "mean", *moves, tolerance)


def test_pools_with_more_columns_are_as_lean_as_ever():
    """Their convolutions are on one channel, as on any other number of channels."""
    model = keras.Sequential([keras.Input((4, 4, 4, 1)), layers.MaxPooling3D((1, 1, 2))])
    names = [layer.name for layer in allconv.convert(model).layers]
    assert names and not any("twice" in name for name in names)


@pytest.mark.parametrize(
    ("channels", "window", "strides", "results", "expected"),
    [
        (1, (1, 2), (1, 2), (3, 1), True),
        (1, (2, 1, 2), (2, 1, 2), (1, 3, 1), True),
        (1, (1, 2), (1, 2), (None, None), True),
        (2, (1, 2), (1, 2), (3, 1), False),  # not of two channels
        (1, (2, 1), (2, 1), (1, 3), False),  # not along the rows
        (1, (1, 2), (2, 2), (3, 1), False),
        (1, (1, 1), (1, 2), (3, 1), False),  # no window
        (1, (1, 2), (1, 2), (3, 2), False),  # two columns
        (1, (1, 2), (1, 2), (1, 1), False),  # one row
        (1, (2,), (2,), (1,), False),
        (None, (1, 2), (1, 2), (3, 1), False),
    ],
)
def test_cells_are_unwritten_by_channels_strides_and_columns(
    channels, window, strides, results, expected
):
    assert may_be_unwritten(channels, window, strides, results) == expected


@pytest.mark.parametrize("kind", ["Conv2D", "Conv3D"])
def test_a_convolution_of_the_original_itself_is_verified_by_what_it_is(kind, tmp_path):
    """With oneDNN Keras computes it wrongly, before a conversion and after; XLA does not."""
    rank = int(kind[4])
    sizes, strides = (2, 4, 2)[3 - rank :], (1, 1, 2)[3 - rank :]
    conv = getattr(layers, kind)(3, strides, strides, activation="relu")
    steps = [conv, layers.Flatten(), layers.Dense(4, activation="softmax")]
    model = randomize(keras.Sequential([keras.Input((*sizes, 1)), *steps]))
    converted = allconv.convert(model)
    verification = allconv.verify(model, converted)
    assert verification, verification
    assert (compiled.NOTE in verification.reason) == ON_TENSORFLOW
    assert allconv.export_onnx(converted, tmp_path / "model.onnx").parity.passed
