"""Signals, images and volumes: every pattern of layers converts alike along 1, 2 and 3 axes.

Each pattern is written once, for a number of axes and a data format. Keras has no DepthwiseConv3D
and no SeparableConv3D, and its Cropping1D and UpSampling1D know no data format.
"""

from __future__ import annotations

import math

import keras
import pytest
from keras import layers

from allconv.obstacles import is_all_convolutional
from allconv.read import read
from tests.helpers.keras_comparison import converts_alike
from tests.helpers.randomized import randomize

CHANNELS = 4
SIZES = (7, 6, 5)


class Axes:
    """Keras' layers for maps of so many axes, in one data format."""

    def __init__(self, rank, data_format):
        self.rank, self.data_format = rank, data_format
        self.first = data_format == "channels_first"

    def __getattr__(self, name):
        """The layer class whose name begins so: `axes.MaxPooling(2)` makes a MaxPooling3D."""
        made = getattr(layers, f"{name}{self.rank}D", None)
        transposed = name.removesuffix("Transpose")
        if made is None and transposed != name:
            made = getattr(layers, f"{transposed}{self.rank}DTranspose")
        knows = name not in {"Cropping", "UpSampling", "SpatialDropout"} or self.rank > 1
        knows = knows and not (name == "SpatialDropout" and self.rank == 1)
        options = {"data_format": self.data_format} if knows else {}
        return lambda *args, **kwargs: made(*args, **kwargs, **options)

    def shape(self, sizes, channels):
        return (channels, *sizes) if self.first else (*sizes, channels)

    @property
    def channel_axis(self):
        return 1 if self.first else -1

    @property
    def spatial_axes(self):
        return list(range(2, 2 + self.rank) if self.first else range(1, 1 + self.rank))


def chain(*steps):
    def apply(tensor):
        for step in steps:
            tensor = step(tensor)
        return tensor

    return apply


def skip_on_torch(reason):
    if keras.backend.backend() == "torch":
        pytest.skip(reason)


def layer_normalization(axes, axis=-1):
    """Along the channels of the map, or of what it becomes."""
    if axes.first:
        skip_on_torch("Keras 3.15's LayerNormalization on torch takes the last axis only")
    return layers.LayerNormalization(axis=axis)


def conv_net(axes, image):
    return chain(
        axes.Conv(4, 2, padding="same", activation="relu"),
        axes.MaxPooling(2, padding="same"),
        axes.AveragePooling(2),
        layers.Flatten(),
        layers.Dense(6, activation="tanh"),
        layers.Dense(3, activation="softmax"),
    )(image)


def max_pool_of_unbounded_values(axes, image):
    return axes.MaxPooling(3, 2, padding="same")(image)


def average_pool_that_hangs_over(axes, image):
    skip_on_torch("Keras 3.15 on torch counts cells of the border twice")
    return axes.AveragePooling(3, 2, padding="same")(image)


def global_pools(axes, image):
    pools = [axes.GlobalAveragePooling()(image), axes.GlobalMaxPooling()(image)]
    return layers.Dense(3)(layers.Concatenate()(pools))


def dense_on_a_map(axes, image):
    return layers.Dense(3, activation="relu")(image)


def around_a_flatten(axes, image):
    return chain(
        axes.MaxPooling(3),
        layers.Flatten(data_format=axes.data_format),
        layers.PReLU(),
        layers.BatchNormalization(),
        layers.Dropout(0.5),
        layers.Dense(5),
        layers.PReLU(),
        layer_normalization(axes),
        layers.Dense(3),
    )(image)


def gathered_in_a_cell(axes, image):
    small = chain(axes.MaxPooling(3), axes.Conv(2, 1))(image)
    return layers.Softmax()(layer_normalization(axes)(layers.Flatten()(small)))


def flattened_branches(axes, image):
    flat = [layers.Flatten()(axes.Conv(2, size)(image)) for size in (2, 3)]
    return layers.Dense(3, activation="relu")(layers.Concatenate()(flat))


def merged_vectors(axes, image):
    pooled = axes.MaxPooling(2)(image)
    left, right = (layers.Dense(4)(layers.Flatten()(tensor)) for tensor in (image, pooled))
    joined = layers.Concatenate()([left, layers.Multiply()([left, right])])
    return layers.Dense(3)(layers.ReLU()(joined))


def pyramid(axes, image):
    """Spatial-pyramid pooling (He et al. 2014, arXiv 1406.4729): window ceil(n / cells), stride
    floor(n / cells)."""
    flat = []
    for cells, pool in ((1, axes.MaxPooling), (2, axes.MaxPooling), (3, axes.AveragePooling)):
        sizes = SIZES[: axes.rank]
        windows = tuple(math.ceil(size / cells) for size in sizes)
        strides = tuple(size // cells for size in sizes)
        flat.append(layers.Flatten()(pool(windows, strides)(image)))
    return layers.Dense(3, activation="softmax")(layers.Concatenate()(flat))


def squeeze_and_excitation(axes, image):
    """Hu et al. 2017, arXiv 1709.01507."""
    return chain(
        axes.GlobalAveragePooling(),
        layers.Dense(2, activation="relu"),
        layers.Dense(CHANNELS, activation="sigmoid"),
        layers.Reshape(axes.shape((1,) * axes.rank, CHANNELS)),
        lambda gates: layers.Multiply()([image, gates]),
        axes.Conv(3, 2),
    )(image)


def squeeze_and_excitation_by_convolutions(axes, image):
    return chain(
        axes.GlobalAveragePooling(keepdims=True),
        axes.Conv(2, 1, activation="relu"),
        axes.Conv(CHANNELS, 1, activation="sigmoid"),
        lambda gates: layers.Multiply()([gates, image]),
        axes.MaxPooling(2),
    )(image)


def dense_that_is_unfolded(axes, image):
    """A generator behind an encoder."""
    sizes = (2, 3, 2)[: axes.rank]
    return chain(
        axes.GlobalAveragePooling(),
        layers.Dense(math.prod(sizes) * 3),
        layers.BatchNormalization(),
        layers.ReLU(),
        layers.Reshape(axes.shape(sizes, 3)),
        layers.BatchNormalization(axis=axes.channel_axis),
        axes.ConvTranspose(2, 3, strides=2, padding="same"),
    )(image)


def vector_that_is_unfolded(axes, image):
    sizes = (2, 1, 2)[: axes.rank]
    steps = [axes.GlobalMaxPooling(), layers.Reshape(axes.shape(sizes, CHANNELS // sizes[0]))]
    if axes.rank == 3:
        steps[1] = layers.Reshape(axes.shape((2, 2, 1), 1))
    return chain(*steps, axes.Conv(2, 1))(image)


def cellwise_layers(axes, image):
    return chain(
        axes.Conv(4, 2),
        layers.PReLU(shared_axes=axes.spatial_axes),
        layers.BatchNormalization(axis=axes.channel_axis),
        layer_normalization(axes, axes.channel_axis),
        axes.SpatialDropout(0.3),
        layers.GaussianNoise(0.1),
        axes.ZeroPadding(1),
        axes.Conv(2, 2, dilation_rate=2, padding="same"),
    )(image)


def transposed(axes, image):
    return chain(axes.ConvTranspose(3, 3, strides=2, activation="relu"), axes.MaxPooling(2))(image)


def cropped_and_repeated(axes, image):
    if axes.first and axes.rank == 1:
        pytest.skip("Keras' Cropping1D and UpSampling1D take channels-last maps only")
    return chain(axes.Cropping(1), axes.UpSampling(2), axes.MaxPooling(2))(image)


def depthwise_and_separable(axes, image):
    if axes.rank == 3:
        pytest.skip("Keras has no DepthwiseConv3D and no SeparableConv3D")
    return chain(
        axes.DepthwiseConv(2, depth_multiplier=2, activation="relu"),
        axes.MaxPooling(2),
        axes.SeparableConv(3, 2),
        axes.GlobalMaxPooling(),
    )(image)


PATTERNS = [
    conv_net,
    max_pool_of_unbounded_values,
    average_pool_that_hangs_over,
    global_pools,
    dense_on_a_map,
    around_a_flatten,
    gathered_in_a_cell,
    flattened_branches,
    merged_vectors,
    pyramid,
    squeeze_and_excitation,
    squeeze_and_excitation_by_convolutions,
    dense_that_is_unfolded,
    vector_that_is_unfolded,
    cellwise_layers,
    transposed,
    cropped_and_repeated,
    depthwise_and_separable,
]

LAST, FIRST = "channels_last", "channels_first"

SLOW = [pytest.mark.slow] if keras.backend.backend() == "tensorflow" else []
"""TensorFlow runs channels-first networks only where XLA compiles them, seconds for each."""

each_rank_and_format = pytest.mark.parametrize(
    ("rank", "data_format"),
    [
        (1, LAST),
        (2, LAST),
        (3, LAST),
        (2, FIRST),
        pytest.param(1, FIRST, marks=SLOW),
        pytest.param(3, FIRST, marks=SLOW),
    ],
)


def built(pattern, rank, data_format):
    axes = Axes(rank, data_format)
    image = keras.Input(axes.shape(SIZES[:rank], CHANNELS), name="image")
    return randomize(keras.Model(image, pattern(axes, image)))


@each_rank_and_format
@pytest.mark.parametrize("pattern", PATTERNS, ids=lambda pattern: pattern.__name__)
def test_every_pattern_converts_alike_at_every_rank_in_both_data_formats(
    pattern, rank, data_format
):
    converted = converts_alike(built(pattern, rank, data_format))
    assert is_all_convolutional(read(converted))


# vectors that the model is given


def generator(axes, vector):
    sizes = (2, 3, 2)[: axes.rank]
    return chain(
        layers.Dense(6, activation="relu"),
        layers.Dense(math.prod(sizes) * 3),
        layers.Reshape(axes.shape(sizes, 3)),
        layers.BatchNormalization(axis=axes.channel_axis),
        layers.LeakyReLU(),
        axes.ConvTranspose(2, 2),
    )(vector)


@each_rank_and_format
def test_a_generator_has_as_many_axes_as_the_map_it_makes(rank, data_format):
    axes, noise = Axes(rank, data_format), keras.Input((5,), name="noise")
    model = randomize(keras.Model(noise, generator(axes, noise)))
    converted = converts_alike(model)
    kinds = {type(layer).__name__ for layer in converted.layers}
    assert kinds >= {f"Conv{rank}D", f"Conv{rank}DTranspose"}
    assert not kinds & {"Dense", "Conv2D"} - {f"Conv{rank}D"}
    assert is_all_convolutional(read(converted))


@each_rank_and_format
@pytest.mark.parametrize("hidden", [False, True], ids=["as it is", "through a Dense"])
def test_a_vector_joins_a_flattened_map_of_any_number_of_axes(rank, data_format, hidden):
    axes = Axes(rank, data_format)
    image = keras.Input(axes.shape(SIZES[:rank], CHANNELS), name="image")
    vector = keras.Input((3,), name="vector")
    features = layers.Flatten()(axes.Conv(2, 2, strides=2)(image))
    sides = [features, vector]
    if hidden:
        sides = [layers.Dense(4, activation="relu")(side) for side in sides]
    head = layers.Dense(3, activation="softmax")(layers.Concatenate()(sides[::-1]))
    converted = converts_alike(randomize(keras.Model([vector, image], head)))
    assert is_all_convolutional(read(converted))
