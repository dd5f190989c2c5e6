"""For each rule a small model on which it fires, and one on which it does not, with the reason."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import keras
from keras import layers

from allconv import ConvPool
from tests.helpers.keras_comparison import network
from tests.helpers.randomized import randomize


def squared(x):
    """An activation that is not Keras' own."""
    return x * x


@dataclass(frozen=True)
class Case:
    """Two models for a rule, and why it does not fire on the second."""

    fires: Callable[[], keras.Model]
    skips: Callable[[], keras.Model]
    reason: str
    options: dict[str, Any] = field(default_factory=dict)


def chain(shape, *makers):
    """A model of layers that are made when it is asked for."""
    return lambda: network(shape, *(make() for make in makers))


def merged(merge, *ends, flat=True):
    """Two branches of one map, flattened or not, merged; then the ends."""

    def make():
        image = keras.Input((3, 3, 2))
        sides = [layers.Conv2D(2, 2, activation="tanh")(image) for _ in range(2)]
        tensor = merge([layers.Flatten()(side) if flat else side for side in sides])
        for end in ends:
            tensor = end()(tensor)
        return randomize(keras.Model(image, tensor))

    return make


def excited_where_channels_come_first():
    """A squeeze-and-excitation block whose Dense works along the last axis."""
    image = keras.Input((3, 4, 4))
    gates = layers.GlobalAveragePooling2D(data_format="channels_first")(image)
    gates = layers.Dense(3, activation="sigmoid")(layers.Reshape((1, 1, 3))(gates))
    tensor = layers.Multiply()([image, layers.Permute((3, 1, 2))(gates)])
    return randomize(keras.Model(image, tensor))


def conv(filters=3, size=2, **options):
    return lambda: layers.Conv2D(filters, size, **options)


def dense(units=3, **options):
    return lambda: layers.Dense(units, **options)


def resizing(*size):
    return lambda: layers.Resizing(*size)


def reshape(*shape):
    return lambda: layers.Reshape(shape)


def max_pool(*args, **options):
    return lambda: layers.MaxPooling2D(*args, **options)


SQUARE_KERNEL = {"pooling": ConvPool(kernel_size=(3, 3))}
flat, relu, mean = layers.Flatten, layers.ReLU, layers.GlobalAveragePooling2D

CASES = {
    "activation_layer_to_layer": Case(
        lambda: network((5, 4, 2), layers.Conv2D(3, 2, activation=layers.LeakyReLU())),
        lambda: network((5, 4, 2), layers.Conv2D(3, 2, activation=layers.PReLU())),
        "its activation 'PReLU' is a layer with weights of its own",
    ),
    "channels_picked_to_conv": Case(
        chain((5, 4, 3), lambda: lambda x: x[..., ::-1]),
        chain((5, 4, 3), lambda: lambda x: x[:, ::-1]),
        "it does not pick channels of one map",
    ),
    "resizing_to_up_sampling": Case(
        chain((5, 4, 2), conv(), resizing(8, 9)),
        chain((5, 4, 2), conv(), resizing(8, 8)),
        "it makes a map of 8x8 of any other, and (8, 8) is no whole multiple of (4, 3)",
    ),
    "reshape_activation_to_activation_reshape": Case(
        chain((5, 4, 2), conv(), reshape(12, 3), layers.Softmax),
        chain((5, 4, 4), conv(4), reshape(24, 2), layers.Softmax),
        "it does not act along the channels of the map",
    ),
    "max_pool_to_relu": Case(
        chain((7, 6, 2), conv(activation="relu"), max_pool(3, 2, padding="same")),
        chain((7, 6, None), max_pool(2)),
        "needs a known number of channels, got (None, 7, 6, None)",
    ),
    "max_pool_to_conv": Case(
        chain((7, 6, 2), max_pool(2)),
        chain((7, 2), lambda: layers.MaxPooling1D(2)),
        "ConvPool's kernel_size (3, 3) does not have 1 axes",
        SQUARE_KERNEL,
    ),
    "max_pool_to_stride": Case(
        chain((7, 6, 2), conv(), relu, max_pool(2)),
        chain((7, 6, 2), max_pool(2)),
        "no convolution before it to take its stride, but 'image' (InputLayer)",
        {"pooling": "stride"},
    ),
    "global_max_pool_to_relu": Case(
        chain((5, 4, 2), layers.GlobalMaxPooling2D),
        chain((5, None, 2), layers.GlobalMaxPooling2D),
        "a maximum over the whole map needs a fixed size, got (None, 5, None, 2)",
    ),
    "average_pool_to_conv": Case(
        chain((5, 4, 2), lambda: layers.AveragePooling2D(2, padding="same")),
        chain((5, 4, None), lambda: layers.AveragePooling2D(2)),
        "needs a known number of channels, got (None, 5, 4, None)",
    ),
    "global_average_pool_to_conv": Case(
        chain((5, 4, 2), mean),
        chain((5, None, 2), mean),
        "a mean over the whole map needs a fixed size, got (None, 5, None, 2)",
    ),
    "global_pool_to_pool": Case(
        chain((5, 4, 2), mean),
        chain((5, 4, 2), lambda: mean(keepdims=True)),
        "it gives a map already",
        {"pooling": "keep"},
    ),
    "hidden_dense_to_nothing": Case(
        chain((3, 3, 2), flat, dense(5), relu, dense()),
        chain((3, 3, 2), flat, dense(activation=squared)),
        "no hidden Dense before it",
        {"head": "classifier"},
    ),
    "flatten_dense_to_conv": Case(
        chain((3, 3, 2), flat, dense(5), dense()),
        chain((3, 3, 2), flat, dense(activation=squared)),
        "its activation 'squared' is not one of keras.activations",
    ),
    "dense_on_map_to_conv": Case(
        chain((3, 3, 2), dense(5)),
        chain((3, 3, 2), flat, dense(activation=squared)),
        "its input is a vector",
    ),
    "vector_dense_to_conv": Case(
        chain((6,), dense(5), relu, dense()),
        chain((None, None, 2), lambda: mean(name="mean"), dense()),
        "its input is the vector of 'mean' (GlobalAveragePooling2D), not a flattened map",
    ),
    "conv_batchnorm_to_conv": Case(
        chain((5, 4, 2), conv(), layers.BatchNormalization, relu),
        chain((5, 4, 2), conv(name="conv", activation="relu"), layers.BatchNormalization),
        "an activation stands between, that of 'conv'",
        {"fold_batchnorm": True},
    ),
    "reshape_dense_to_dense_reshape": Case(
        excited_where_channels_come_first,
        chain((3, 3, 2), relu),
        "no Reshape of a flattened map before it",
    ),
    "concatenate_dense_to_convs": Case(
        merged(layers.Concatenate(), lambda: layers.Dropout(0.5), dense()),
        chain((3, 3, 2), flat, dense(activation=squared)),
        "no Concatenate of flattened maps before it",
    ),
    "flatten_of_vector_to_nothing": Case(
        chain((3, 3, 2), flat, flat), chain((3, 3, 2), flat), "its input is a map"
    ),
    "flatten_elementwise_to_elementwise_flatten": Case(
        chain((3, 3, 2), flat, relu), chain((3, 3, 2), relu), "no Flatten before it"
    ),
    "flatten_prelu_to_prelu_flatten": Case(
        chain((3, 3, 2), flat, layers.PReLU), chain((3, 3, 2), layers.PReLU), "no Flatten before it"
    ),
    "flatten_cellwise_to_cellwise_flatten": Case(
        chain((3, 3, 2), flat, layers.LayerNormalization),
        chain((65, 64, 1), flat, layers.LayerNormalization),
        "it works along all 4160 values of a (None, 65, 64, 1) map; gathering them in one cell "
        "needs 4160^2 weights, and allconv stops at 4096^2",
    ),
    "flattens_merged_to_maps_merged": Case(
        merged(layers.Add(), dense()),
        merged(layers.Add(), flat=False),
        "none of its inputs is flattened",
    ),
    "flattens_concatenated_to_cells_concatenated": Case(
        merged(layers.Concatenate()),
        merged(layers.Concatenate(), flat=False),
        "none of its inputs is flattened",
    ),
    "reshape_of_cell_to_nothing": Case(
        chain((3, 3, 2), conv(4, 3), reshape(4)),
        chain((4, 4, 2), reshape(2, 8, 2)),
        "it turns (None, 4, 4, 2) into (None, 2, 8, 2)",
    ),
    "reshape_flatten_to_flatten": Case(
        chain((3, 3, 2), conv(4, 3), lambda: layers.Permute((3, 1, 2)), flat),
        chain((3, 3, 2), lambda: layers.Permute((2, 1, 3)), flat),
        "the map has more than one cell",
    ),
    "dense_reshape_to_transposed_conv": Case(
        chain((6,), dense(12), relu, reshape(2, 2, 3), conv()),
        chain((4, 4, 2), flat, reshape(2, 2, 8)),
        "it turns (None, 32) into (None, 2, 2, 8), and what it unfolds is no 1x1 map",
    ),
    "vector_reshape_to_transposed_conv": Case(
        chain((3, 3, 12), mean, reshape(2, 2, 3), conv()),
        chain((3, 3, 24), mean, reshape(2, 12)),
        "it makes no map of two axes and channels, but (None, 2, 12)",
    ),
}
