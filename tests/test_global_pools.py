"""Global pools: the largest value and the mean of the whole map."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers

import allconv
from allconv import layout
from allconv.graph import topological
from allconv.plan import plan_conversion
from tests.helpers.keras_comparison import assert_close, network, outputs, random_images, reasons
from tests.helpers.slow_loops import pooled

POOLS = {"Max": np.max, "Average": np.mean}


@pytest.mark.parametrize("keepdims", [True, False])
@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("how", POOLS)
def test_a_global_pool_is_taken_over_all_cells_of_the_map(how, rank, keepdims):
    pool = getattr(layers, f"Global{how}Pooling{rank}D")
    for sizes in [(1, 1, 1), (2, 7, 3), (6, 5, 1)]:
        model = network((*sizes[:rank], 2), pool(keepdims=keepdims))
        images = random_images(model)
        (found,) = outputs(allconv.convert(model), images)
        axes = tuple(range(1, rank + 1))
        assert_close(found, POOLS[how](images[0], axis=axes, keepdims=keepdims))


@pytest.mark.parametrize("keepdims", [True, False])
@pytest.mark.parametrize("how", POOLS)
def test_channels_that_come_first_are_kept(how, keepdims):
    pool = getattr(layers, f"Global{how}Pooling2D")
    model = network((3, 5, 4), pool(data_format="channels_first", keepdims=keepdims))
    images = random_images(model)
    (found,) = outputs(allconv.convert(model), images)
    assert_close(found, POOLS[how](images[0], axis=(2, 3), keepdims=keepdims))


@pytest.mark.parametrize(
    ("how", "rule", "reason"),
    [
        ("Max", "global_max_pool_to_relu", "a maximum over the whole map needs a fixed size"),
        ("Average", "global_average_pool_to_conv", "a mean over the whole map needs a fixed size"),
    ],
)
def test_a_map_of_any_size_is_refused_with_the_reason(how, rule, reason):
    pool = getattr(layers, f"Global{how}Pooling2D")
    model = network((None, None, 3), pool(keepdims=True))
    assert reasons(model, rule) == [f"{reason}, got (None, None, None, 3)"]


@pytest.mark.parametrize("rank", [1, 2])
@pytest.mark.parametrize("how", POOLS)
def test_a_global_pool_of_a_model_for_any_size_slides_over_larger_maps(how, rank):
    sizes, larger = (4, 3)[:rank], (6, 7)[:rank]
    model = network((*sizes, 2), getattr(layers, f"Global{how}Pooling{rank}D")())
    converted = allconv.convert(model, input_size="any")
    images = np.random.default_rng(0).uniform(-2, 1, (2, *larger, 2)).astype("float32")
    expected = pooled(images, sizes, (1,) * rank, "valid", POOLS[how])
    assert_close(outputs(converted, [images])[0], expected)


def test_many_global_pools_ask_each_layer_above_for_masks_once(monkeypatch):
    walked = []
    monkeypatch.setattr(layout, "topological", lambda ends, known: _noted(walked, ends, known))
    image = tensor = keras.Input((4, 4, 2))
    for _ in range(30):
        scale = layers.GlobalAveragePooling2D(keepdims=True)(tensor)
        tensor = layers.Multiply()([tensor, scale])
    plan_conversion(keras.Model(image, tensor))
    assert 30 < len(walked) == len(set(walked)) <= 3 * 30


def _noted(walked, ends, known):
    for node in topological(ends, known):
        walked.append(node)
        yield node


def test_a_mask_from_far_above_leaves_cells_out_and_is_told():
    signal = keras.Input((6, 2))
    tensor = layers.Identity()(layers.Masking()(signal))
    model = keras.Model(signal, layers.GlobalAveragePooling1D()(tensor))
    expected = ["a mask leaves cells out of its mean"]
    assert reasons(model, "global_average_pool_to_conv") == expected
