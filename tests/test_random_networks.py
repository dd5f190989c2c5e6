"""The promise, on networks nobody thought of: the same numbers, or refused by name.

`python -m tests.random_networks` draws them by the thousand.
"""

from __future__ import annotations

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.drawn_networks import drawn_network, random_networks, rebuilt
from tests.promise import promise, relative_error
from tests.random_networks import OPTIONS

# On a CPU TensorFlow compiles each network whose channels come first, which takes a second.
FEW = 4 if keras.backend.backend() == "tensorflow" else 20


def hold(data, data_format, rank):
    options = data.draw(st.sampled_from(list(OPTIONS.values())))
    promise(drawn_network(data.draw, data_format, rank), **options)


@pytest.mark.parametrize("rank", [1, 2, 3])
@random_networks(20)
@given(data=st.data())
def test_conversion_gives_the_same_numbers_or_names_what_is_in_the_way(rank, data):
    hold(data, "channels_last", rank)


@pytest.mark.parametrize("rank", [1, 2, 3])
@random_networks(FEW)
@given(data=st.data())
def test_conversion_does_so_where_the_channels_come_first(rank, data):
    hold(data, "channels_first", rank)


@random_networks(3)
@given(data=st.data())
def test_a_printed_network_is_rebuilt_with_its_weights(data):
    model = drawn_network(data.draw)
    again = rebuilt(model.to_json())
    pairs = list(zip(again.get_weights(), model.get_weights(), strict=True))
    assert all((new == old).all() for new, old in pairs)


def test_an_error_of_a_thousandth_breaks_the_promise():
    values = np.linspace(-1, 1, 8, dtype="float32")
    assert relative_error(values, values) == 0
    with pytest.raises(AssertionError, match="the numbers differ by "):
        relative_error(1.001 * values, values)
