"""The promise, on networks nobody thought of: the same numbers, or refused by name."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

import allconv
from allconv.convert import plan_conversion
from allconv.errors import ConversionError
from allconv.obstacles import is_all_convolutional
from allconv.read import read
from tests.drawn_networks import drawn_network, random_networks


def outputs(model, images, data_format):
    """What a model computes; TensorFlow needs XLA for channels-first convolutions on a CPU."""
    if data_format == "channels_last":
        return np.asarray(model(images))
    return np.asarray(tf.function(model, jit_compile=True)(images))


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@random_networks(25)
@given(data=st.data())
def test_exact_conversion_gives_the_same_numbers_or_names_what_is_in_the_way(data_format, data):
    model = drawn_network(data.draw, data_format)
    try:
        converted = allconv.convert(model)
    except ConversionError as error:
        assert "not along the channels" in str(error) or "allconv stops at" in str(error), error
        return
    images = np.random.default_rng(0).normal(size=(3, *model.input_shape[1:])).astype("float32")
    expected, found = (outputs(m, images, data_format) for m in (model, converted))
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=2e-4, atol=2e-5 * (1 + np.abs(expected).max()))
    assert is_all_convolutional(read(converted))
    assert plan_conversion(converted).changes == ()
