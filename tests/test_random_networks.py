"""The promise, on networks nobody thought of: the same numbers, or refused by name.

`python -m tests.random_networks` draws them by the thousand.
"""

from __future__ import annotations

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from keras import layers

import allconv
from tests.helpers import network_families
from tests.helpers.closeness import relative_error
from tests.helpers.drawn_cases import drawn_case
from tests.helpers.drawn_networks import random_networks
from tests.helpers.keras_comparison import network
from tests.helpers.laws import hold
from tests.helpers.laws_of_copies import copies_agree
from tests.helpers.laws_of_files import files_convert_alike, files_load

ON_TENSORFLOW = keras.backend.backend() == "tensorflow"
# On a CPU TensorFlow compiles each network whose channels come first, which takes a second.
FEW = 4 if ON_TENSORFLOW else 20
SEEDS = st.integers(0, 2**32)
# The other backends refuse more of what is beyond the ordinary, each in words of its own.
BEYOND = {"axes", "policies", "quantized", "written", "constrained", "outputs"}
BEYOND |= {"compiled", "copies", "files", "read", "geometry"}
HELD = network_families.ALL if ON_TENSORFLOW else network_families.ALL - BEYOND


@pytest.mark.parametrize("rank", [1, 2, 3])
@random_networks(12)
@given(seed=SEEDS)
def test_conversion_gives_the_same_numbers_or_names_what_is_in_the_way(rank, seed):
    hold(drawn_case(seed, HELD, ranks=[rank], formats=["channels_last"]))


@pytest.mark.parametrize("rank", [1, 2, 3])
@random_networks(FEW)
@given(seed=SEEDS)
def test_conversion_does_so_where_the_channels_come_first(rank, seed):
    hold(drawn_case(seed, HELD, ranks=[rank], formats=["channels_first"]))


@random_networks(3)
@given(seed=SEEDS)
def test_a_seed_draws_the_same_network_each_time(seed):
    models = [drawn_case(seed).network() for _ in range(2)]
    for old, new in zip(*(model.get_weights() for model in models), strict=True):
        assert np.array_equal(old, new)


def test_fresh_weights_are_others_each_time_and_not_compared():
    model = network((4, 4, 1), layers.Flatten(), layers.Dense(5), layers.Dense(3))
    files_convert_alike(model, {"head": "classifier"}, refused=False)
    with pytest.raises(AssertionError, match="the model in memory is refused"):
        files_convert_alike(model, {"head": "classifier"}, refused=True)


@pytest.mark.parametrize("held", [copies_agree, files_load])
def test_a_model_for_any_size_is_held_to_its_word_at_the_size_of_the_original(held):
    model = network((12, 1), layers.GlobalAveragePooling1D(), layers.Dense(3))
    held(model, allconv.convert(model, input_size="any"), drawn_case(0))


def test_an_error_of_a_thousandth_breaks_the_promise():
    values = np.linspace(-1, 1, 8, dtype="float32")
    assert relative_error(values, values) == 0
    with pytest.raises(AssertionError, match="the numbers differ by "):
        relative_error(1.001 * values, values)
