"""Global pools: the largest value and the mean of the whole map."""

from __future__ import annotations

import numpy as np
import pytest
from keras import layers

import allconv
from tests.agreement import assert_close, network, outputs, random_images, reasons

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
