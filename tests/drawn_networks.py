"""Whole CNNs to draw: Sequential and Functional, odd sizes, branches, shared and nested layers.

    model = drawn_network(data.draw, "channels_last")

Kernels and statistics are random, so that a wrong weight moves the output.
"""

from __future__ import annotations

import keras
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st

from tests.randomized import randomize

layers = keras.layers

# A network takes minutes to shrink; the printed draws say which one failed.
WITHOUT_SHRINKING = [Phase.explicit, Phase.reuse, Phase.generate]


def random_networks(examples):
    """Settings for a test on whole networks, where Keras may warn of a softmax over one channel."""
    drawn = settings(
        max_examples=examples,
        deadline=None,
        phases=WITHOUT_SHRINKING,
        suppress_health_check=list(HealthCheck),
    )
    quiet = pytest.mark.filterwarnings("ignore:You are using a softmax over axis")
    return lambda test: quiet(drawn(test))


PADDINGS = st.sampled_from(["valid", "same"])
ACTIVATIONS = st.sampled_from(["relu", "linear", "elu", "tanh", "sigmoid", "relu6", "softplus"])


class Drawer:
    """Draws layers for a data format; every method takes a tensor and gives one."""

    def __init__(self, draw, data_format):
        self.draw = draw
        self.data_format = data_format
        self.axis = 1 if data_format == "channels_first" else -1

    def sizes(self, x):
        return x.shape[2:] if self.axis == 1 else x.shape[1:-1]

    def window(self, x, most):
        return tuple(self.draw(st.integers(1, min(size, most))) for size in self.sizes(x))

    def conv(self, x, filters=None):
        kind = self.draw(
            st.sampled_from(["Conv2D", "Conv2D", "DepthwiseConv2D", "SeparableConv2D"])
        )
        options = {"use_bias": self.draw(st.booleans()), "activation": self.draw(ACTIVATIONS)}
        if kind != "DepthwiseConv2D":
            options["filters"] = filters or self.draw(st.integers(1, 6))
        layer = getattr(layers, kind)(
            kernel_size=self.window(x, 3),
            padding=self.draw(PADDINGS),
            data_format=self.data_format,
            **options,
        )
        return layer(x)

    def max_pool(self, x):
        return self._pool(layers.MaxPooling2D, x)

    def average_pool(self, x):
        return self._pool(layers.AveragePooling2D, x)

    def _pool(self, pool, x):
        alike = self.draw(st.booleans())
        window = self.window(x, 5)
        stride = self.draw(st.integers(1, 4))
        strides = (stride, stride) if alike else (stride, self.draw(st.integers(1, 4)))
        return pool(window, strides, padding=self.draw(PADDINGS), data_format=self.data_format)(x)

    def activation(self, x):
        slopes = st.sampled_from([None, [1, 2], [2, 3], [1]])
        layer = self.draw(
            st.sampled_from(
                [
                    layers.ReLU,
                    lambda: layers.ReLU(max_value=2.0, negative_slope=0.1),
                    lambda: layers.LeakyReLU(negative_slope=0.2),
                    lambda: layers.ELU(alpha=0.5),
                    lambda: layers.PReLU(shared_axes=self.draw(slopes)),
                    lambda: layers.Activation(self.draw(ACTIVATIONS)),
                    lambda: layers.Softmax(axis=self.axis),
                ]
            )
        )
        return layer()(x)

    def idle(self, x):
        kind = self.draw(
            st.sampled_from(["Dropout", "SpatialDropout2D", "GaussianNoise", "GaussianDropout"])
        )
        if kind == "SpatialDropout2D":
            return layers.SpatialDropout2D(0.3, data_format=self.data_format)(x)
        return getattr(layers, kind)(0.3)(x)

    def normalization(self, x):
        kind = self.draw(st.sampled_from([layers.BatchNormalization, layers.LayerNormalization]))
        return kind(axis=self.axis)(x)

    def space(self, x):
        amount = self.draw(st.integers(1, 2))
        layer = self.draw(st.sampled_from([layers.ZeroPadding2D, layers.UpSampling2D]))
        if layer is layers.ZeroPadding2D:
            amount = ((amount, 0), (0, 1))
        return layer(amount, data_format=self.data_format)(x)

    def branches(self, x):
        """Two ways that keep the size, merged."""
        filters = x.shape[self.axis]
        same = {"padding": "same", "data_format": self.data_format}
        left = layers.Conv2D(filters, 3, **same)(x)
        right = layers.MaxPooling2D(2, 1, **same)(layers.ReLU()(x))
        if self.draw(st.booleans()):
            right = x
        merge = self.draw(
            st.sampled_from(["Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum"])
        )
        if self.draw(st.booleans()):
            return layers.Concatenate(axis=self.axis)([left, right])
        return getattr(layers, merge)()([left, right])

    def shared(self, x):
        """One convolution called twice, with a pool after each call."""
        conv = layers.Conv2D(
            x.shape[self.axis], 3, padding="same", activation="relu", data_format=self.data_format
        )
        return layers.Add()([conv(conv(x)), x])

    def nested(self, x):
        """A model inside the model, used twice."""
        inner_input = keras.Input(x.shape[1:])
        same = {"padding": "same", "data_format": self.data_format}
        y = layers.Conv2D(x.shape[self.axis], 3, activation="relu", **same)(inner_input)
        inner = keras.Model(inner_input, layers.MaxPooling2D(2, 1, **same)(y))
        return inner(inner(x))

    def stem(self, x, functional):
        plain = [
            self.conv,
            self.conv,
            self.max_pool,
            self.max_pool,
            self.average_pool,
            self.activation,
            self.idle,
            self.normalization,
            self.space,
        ]
        branching = [self.branches, self.shared, self.nested] if functional else []
        for step in self.draw(st.lists(st.sampled_from(plain + branching), min_size=1, max_size=5)):
            if max(self.sizes(x)) <= 20:
                x = step(x)
        return x

    def head(self, x, functional):
        heads = [self.flat, self.flat, self.pooled, self.mapped]
        if functional:
            heads += [self.pyramid, self.generator]
        x = self.draw(st.sampled_from(heads))(x)
        if self.draw(st.booleans()):
            x = self.draw(st.sampled_from([layers.Softmax, layers.LayerNormalization]))()(x)
        return x

    def flat(self, x):
        formats = st.sampled_from(["channels_last", "channels_first"])
        x = layers.Flatten(data_format=self.draw(formats))(x)
        return self.vector(x)

    def vector(self, x):
        """What stands between Dense layers, and the last one."""
        between = [
            lambda x: layers.Dense(self.draw(st.integers(1, 6)), activation=self.draw(ACTIVATIONS))(
                x
            ),
            layers.BatchNormalization(),
            layers.Dropout(0.5),
            layers.PReLU(),
            layers.LayerNormalization(),
            layers.Activation("elu"),
        ]
        for step in self.draw(st.lists(st.sampled_from(between), max_size=4, unique=True)):
            x = step(x)
        activation = self.draw(st.sampled_from(["softmax", "linear", "sigmoid"]))
        return layers.Dense(4, activation=activation, use_bias=self.draw(st.booleans()))(x)

    def pooled(self, x):
        kind = self.draw(
            st.sampled_from([layers.GlobalAveragePooling2D, layers.GlobalMaxPooling2D])
        )
        keepdims = self.draw(st.booleans())
        x = kind(data_format=self.data_format, keepdims=keepdims)(x)
        return self.flat(x) if keepdims else self.vector(x)

    def mapped(self, x):
        if self.axis == 1:
            return self.flat(x)
        return layers.GlobalAveragePooling2D()(layers.Dense(4, activation="relu")(x))

    def pyramid(self, x):
        """Spatial-pyramid pooling: flattened maps of several sizes, concatenated."""
        pools = []
        for cells in (1, min(2, *self.sizes(x))):
            window = tuple(-(-size // cells) for size in self.sizes(x))
            strides = tuple(size // cells for size in self.sizes(x))
            pool = layers.MaxPooling2D(window, strides, data_format=self.data_format)
            pools.append(layers.Flatten()(pool(x)))
        return self.vector(layers.Concatenate()(pools))

    def generator(self, x):
        """Dense, what stands between, Reshape to a map."""
        x = layers.Dense(12, use_bias=self.draw(st.booleans()))(layers.Flatten()(x))
        if self.draw(st.booleans()):
            x = layers.BatchNormalization()(x)
        if self.draw(st.booleans()):
            x = layers.LeakyReLU(negative_slope=0.2)(x)
        shape = (3, 2, 2) if self.axis == 1 else (2, 2, 3)
        x = layers.Reshape(shape)(x)
        return layers.Conv2D(2, 2, data_format=self.data_format)(x)


def drawn_network(draw, data_format="channels_last"):
    """A CNN with random weights."""
    drawer, functional = Drawer(draw, data_format), draw(st.booleans())
    sizes = [draw(st.integers(2, 13)), draw(st.integers(2, 13))]
    channels = [draw(st.integers(1, 4))]
    shape = channels + sizes if data_format == "channels_first" else sizes + channels
    image = x = keras.Input(shape)
    if data_format == "channels_first":
        # A layer that says so: without one nobody can know which axis the channels are.
        x = layers.ZeroPadding2D(((0, 1), (1, 0)), data_format=data_format)(x)
    model = keras.Model(image, drawer.head(drawer.stem(x, functional), functional))
    if not functional:
        model = keras.Sequential([keras.Input(shape), *model.layers[1:]])
    return randomize(model, seed=draw(st.integers(0, 99)))
