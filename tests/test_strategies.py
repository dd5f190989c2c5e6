"""How pools are chosen: by name, by strategy, all alike or each by itself."""

from __future__ import annotations

import pytest
from keras import layers

from allconv import ConvPool
from allconv.errors import OptionError
from allconv.plan import plan_conversion
from allconv.strategies import KeepPool
from tests.helpers.keras_comparison import network


def two_blocks():
    """Two convolutions with pools, `pool1` and `pool2`."""
    return network(
        (12, 12, 2),
        layers.Conv2D(4, 3, activation="relu", name="conv1"),
        layers.MaxPooling2D(2, name="pool1"),
        layers.Conv2D(5, 3, name="conv2"),
        layers.MaxPooling2D(2, name="pool2"),
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kernel_size": 0}, "ConvPool: kernel_size is a number >= 1, got 0"),
        ({"kernel_size": (3, -1)}, "ConvPool: kernel_size is a number >= 1, got (3, -1)"),
        ({"kernel_size": "3"}, "ConvPool: kernel_size is a number >= 1, got '3'"),
        ({"padding": "full"}, "ConvPool: padding is 'keep', 'valid' or 'same', got 'full'"),
        ({"filters": 0}, "ConvPool: filters is a number >= 1, got 0"),
        ({"filters": 2.5}, "ConvPool: filters is a number >= 1, got 2.5"),
    ],
)
def test_a_wrong_option_is_an_error_that_says_what_is_right(options, message):
    with pytest.raises(OptionError) as error:
        ConvPool(**options)
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("pooling", "message"),
    [
        (
            "max",
            "unknown pooling 'max'; choose one of 'exact', 'conv', 'stride', 'keep', or an "
            "ExactPool(), ConvPool(...) or StridePool()",
        ),
        (
            {"pool3": "conv", "conv1": "conv", "*": "exact"},
            "pooling names 'pool3', 'conv1', which is no max pool of the model; its max pools are "
            "'pool1', 'pool2'",
        ),
    ],
)
def test_an_unknown_choice_is_an_error_that_lists_the_choices(pooling, message):
    with pytest.raises(OptionError) as error:
        plan_conversion(two_blocks(), pooling=pooling)
    assert str(error.value) == message


def test_a_name_where_the_model_has_no_pool_is_an_error():
    with pytest.raises(OptionError, match="its max pools are none"):
        plan_conversion(network((4, 4, 1), layers.Conv2D(1, 2)), pooling={"pool": "conv"})


@pytest.mark.parametrize(
    ("pooling", "expected"),
    [
        ({"pool1": "conv"}, {"pool1": "max_pool_to_conv", "pool2": "max_pool_to_relu"}),
        (
            {"pool2": "exact", "*": "conv"},
            {"pool1": "max_pool_to_conv", "pool2": "max_pool_to_relu"},
        ),
        (
            {"pool1": "stride", "pool2": ConvPool(3)},
            {"pool1": "max_pool_to_stride", "pool2": "max_pool_to_conv"},
        ),
        ({"*": "keep"}, {}),
    ],
)
def test_pools_are_chosen_by_name_a_star_standing_for_the_others(pooling, expected):
    changes = plan_conversion(two_blocks(), pooling=pooling).changes
    assert {change.layer: change.rule for change in changes} == expected


@pytest.mark.parametrize("pooling", ["keep", KeepPool()])
def test_keep_leaves_pools_of_all_kinds(pooling):
    model = network((8, 8, 2), layers.MaxPooling2D(2), layers.AveragePooling2D(2))
    assert plan_conversion(model, pooling=pooling).changes == ()
