"""Gates of channels as people write them: squeeze-and-excitation, Hu et al., arXiv 1709.01507.

More, along 1 and 3 axes, in test_ranks.
"""

from __future__ import annotations

import keras
import pytest
from keras import layers, ops

from tests.helpers.keras_comparison import converts_alike, kinds_of, reasons
from tests.helpers.randomized import randomize


def excited(gated, data_format="channels_last"):
    """A map of 4 channels, gated by what is made of the means of its channels."""
    first = data_format == "channels_first"
    image = keras.Input((2, 6, 5) if first else (6, 5, 2))
    tensor = layers.Conv2D(4, 2, data_format=data_format)(image)
    means = layers.GlobalAveragePooling2D(data_format=data_format)(tensor)
    return randomize(keras.Model(image, gated(tensor, means)))


def gates(vector):
    return layers.Dense(4, activation="sigmoid")(layers.Dense(2, activation="relu")(vector))


@pytest.mark.parametrize(
    "gated",
    [
        lambda x, means: layers.Multiply()([x, gates(means)]),
        lambda x, means: layers.Multiply()([gates(means), x]),
        lambda x, means: layers.Multiply()([x, gates(layers.Reshape((1, 1, 4))(means))]),
        lambda x, means: x * layers.Reshape((1, 1, 4))(gates(means)),
        lambda x, means: layers.Add()([x, layers.Multiply()([x, gates(means)])]),
    ],
    ids=["bare", "bare, first", "reshaped before", "reshaped behind, *", "added"],
)
def test_gates_of_channels_are_1x1_maps(gated):
    converted = converts_alike(excited(gated))
    assert not {"Dense", "Reshape", "Flatten"} & set(kinds_of(converted))


@pytest.mark.parametrize(
    "gated",
    [
        lambda x, means: layers.Multiply()([x, layers.Reshape((4, 1, 1))(gates(means))]),
        lambda x, means: layers.Multiply()(
            [x, layers.Permute((3, 1, 2))(gates(layers.Reshape((1, 1, 4))(means)))]
        ),
    ],
    ids=["reshaped", "permuted"],
)
def test_gates_of_channels_that_come_first_are_1x1_maps(gated):
    converted = converts_alike(excited(gated, "channels_first"))
    assert not {"Dense", "Reshape", "Permute", "Flatten"} & set(kinds_of(converted))


def test_a_larger_map_that_is_spread_over_another_is_gathered_in_one_cell():
    image = keras.Input((4, 4, 2))
    small = layers.Flatten()(layers.Conv2D(2, 3, strides=2)(image))
    model = randomize(keras.Model(image, layers.Multiply()([image, small])))
    assert "Flatten" not in kinds_of(converts_alike(model))


def test_a_vector_that_is_spread_along_rows_is_refused_with_the_reason():
    image = keras.Input((4, 6, 4))
    means = layers.GlobalAveragePooling2D(data_format="channels_first", name="mean")(image)
    tensor = layers.Conv2D(2, 1, data_format="channels_first")(layers.Multiply()([image, means]))
    (reason,) = reasons(keras.Model(image, tensor), "flattens_merged_to_maps_merged")
    assert reason == (
        "the vector of 'mean_flatten' is spread along the last axis of a map (None, 4, 6, 4), and "
        "its cell is (None, 4, 1, 1)"
    )


def test_a_vector_that_numpy_would_spread_is_refused_with_the_reason():
    vector = layers.GlobalAveragePooling2D()(image := keras.Input((1, 4, 4)))
    model = keras.Model(image, ops.add(image, vector))
    (reason,) = reasons(model, "flattens_merged_to_maps_merged")
    assert reason.startswith("it spreads a vector over a map (None, ")
    assert reason.endswith(" by the rules of NumPy")
