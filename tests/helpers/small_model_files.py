"""Small model files of all ages, for the mutations to begin with.

    python -m tests.helpers.small_model_files FOLDER

Those of today are written by Keras; those of Keras 1 and 2 are their descriptions, written down,
with weights beside them.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import h5py
import numpy as np


def write_seeds(folder: Path) -> None:
    """Write all of them, as `.keras` and `.h5`."""
    import keras

    from tests.helpers import networks, small_applications
    from tests.test_read_file import every_weight, nested, operations

    makers = (
        networks.twins,
        small_applications.squeeze_and_excitation,
        every_weight,
        nested,
        operations,
    )
    for make in (*makers, pools, sequences, volumes, generator, with_a_lambda):
        keras.utils.set_random_seed(0)
        for suffix in (".keras", ".h5"):
            make().save(folder / f"{make.__name__}{suffix}")
    for name, (version, description, weights) in OLD.items():
        write_old(folder / f"{name}.h5", version, description, weights)


def pools():
    """Every pool of images, padded and not, in both layouts, to a head with everything in it."""
    import keras
    from keras import layers

    image = keras.Input((9, 9, 2), name="image")
    x = layers.AveragePooling2D(2, 2, padding="same", name="mean_same")(image)
    x = layers.MaxPooling2D(3, 2, padding="same", name="max_same")(x)
    y = layers.ZeroPadding2D(((1, 2), (0, 1)), name="pad")(layers.ReLU(6.0, name="relu")(x))
    y = layers.Cropping2D(((0, 1), (1, 0)), name="crop")(layers.UpSampling2D(2, name="up")(y))
    y = layers.MaxPooling2D((3, 2), (2, 1), name="max")(y)
    ends = [
        layers.GlobalAveragePooling2D(name="mean")(x),
        layers.GlobalMaxPooling2D(name="global_max")(y),
        layers.Flatten(name="flatten")(layers.Permute((3, 1, 2), name="permute")(x)),
    ]
    x = layers.Dropout(0.5, name="dropout")(layers.Concatenate(name="joined")(ends))
    x = layers.LeakyReLU(0.1, name="leaky")(layers.BatchNormalization(name="norm")(x))
    return keras.Model(image, layers.Dense(3, "softmax", name="classes")(x), name="pools")


def sequences():
    import keras
    from keras import layers

    return keras.Sequential(
        [
            keras.Input((12, 2), name="sequence"),
            layers.Conv1D(3, 3, padding="causal", dilation_rate=2, name="causal"),
            layers.MaxPooling1D(2, name="max"),
            layers.SeparableConv1D(4, 2, strides=2, name="separable"),
            layers.AveragePooling1D(2, padding="same", name="mean"),
            layers.Flatten(name="flatten"),
            layers.Dense(2, name="classes"),
        ],
        name="sequences",
    )


def volumes():
    import keras
    from keras import layers

    return keras.Sequential(
        [
            keras.Input((6, 6, 6, 1), name="volume"),
            layers.Conv3D(2, 3, name="conv"),
            layers.MaxPooling3D(2, name="max"),
            layers.GlobalAveragePooling3D(name="mean"),
            layers.Dense(2, name="classes"),
        ],
        name="volumes",
    )


def generator():
    import keras
    from keras import layers

    return keras.Sequential(
        [
            keras.Input((5,), name="noise"),
            layers.Dense(24, name="dense"),
            layers.Reshape((2, 3, 4), name="map"),
            layers.Conv2DTranspose(2, 3, strides=2, padding="same", name="up"),
            layers.Rescaling(2.0, -1.0, name="rescaling"),
            layers.Activation("tanh", name="tanh"),
        ],
        name="generator",
    )


def with_a_lambda():
    import keras
    from keras import layers

    image = keras.Input((6, 6, 2), name="image")
    x = layers.Lambda(lambda x: 2 * x, output_shape=(6, 6, 2), name="twice")(image)
    return keras.Model(image, layers.Conv2D(2, 3, name="conv")(x), name="with_a_lambda")


def write_old(path: Path, version: str, description: object, weights: dict[str, dict]) -> None:
    """An `.h5` file as Keras 1 and 2 wrote it."""
    with h5py.File(path, "w") as file:
        file.attrs["keras_version"] = version.encode()
        file.attrs["backend"] = b"tensorflow"
        file.attrs["model_config"] = json.dumps(description).encode()
        root = file.create_group("model_weights")
        root.attrs["layer_names"] = np.array(list(weights), "S")
        for layer, arrays in weights.items():
            group = root.create_group(layer)
            names = [f"{layer}/{name}:0" for name in arrays]
            group.attrs["weight_names"] = np.array(names, "S")
            for name, shape in zip(names, arrays.values(), strict=True):
                group[name] = np.linspace(-1, 1, int(np.prod(shape)), dtype="f4").reshape(shape)


KERAS_1 = {
    "class_name": "Sequential",
    "config": [
        {
            "class_name": "Convolution2D",
            "config": {
                **{"name": "conv", "nb_filter": 4, "nb_row": 3, "nb_col": 3, "bias": True},
                **{"batch_input_shape": [None, 8, 8, 1], "border_mode": "same"},
                **{"subsample": [1, 1], "dim_ordering": "tf", "activation": "relu"},
                **{"init": "glorot_uniform", "W_regularizer": {"name": "WeightRegularizer"}},
            },
        },
        {"class_name": "MaxPooling2D", "config": {"name": "pool", "pool_size": [2, 2]}},
        {"class_name": "Flatten", "config": {"name": "flatten"}},
        {"class_name": "Dropout", "config": {"name": "dropout", "p": 0.5}},
        {"class_name": "Dense", "config": {"name": "classes", "output_dim": 3}},
    ],
}
"""A model of Keras 1.2, whose Sequential was a list."""

KERAS_2 = {
    "class_name": "Model",
    "config": {
        "name": "model_1",
        "layers": [
            {
                "class_name": "InputLayer",
                "name": "image",
                "config": {"batch_input_shape": [None, 8, 8, 1], "name": "image"},
                "inbound_nodes": [],
            },
            {
                "class_name": "Conv2D",
                "name": "conv",
                "config": {
                    **{"name": "conv", "trainable": True, "filters": 4, "kernel_size": [3, 3]},
                    **{"strides": [1, 1], "padding": "same", "data_format": "channels_last"},
                    **{"dilation_rate": [1, 1], "activation": "relu", "use_bias": True},
                    "kernel_initializer": {
                        "class_name": "VarianceScaling",
                        "config": {"scale": 1.0, "mode": "fan_avg", "seed": None},
                    },
                },
                "inbound_nodes": [[["image", 0, 0, {}]]],
            },
            {
                "class_name": "TensorFlowOpLayer",
                "name": "twice",
                "config": {
                    "name": "twice",
                    "node_def": {"name": "twice", "op": "Mul", "input": ["conv", "twice/y"]},
                    "constants": {"1": 2.0},
                },
                "inbound_nodes": [[["conv", 0, 0, {}]]],
            },
            {
                "class_name": "Add",
                "name": "add",
                "config": {"name": "add", "trainable": True},
                "inbound_nodes": [[["conv", 0, 0, {}], ["twice", 0, 0, {}]]],
            },
            {
                "class_name": "GlobalAveragePooling2D",
                "name": "mean",
                "config": {"name": "mean", "data_format": "channels_last"},
                "inbound_nodes": [[["add", 0, 0, {}]]],
            },
            {
                "class_name": "Dense",
                "name": "classes",
                "config": {"name": "classes", "units": 3, "activation": "softmax"},
                "inbound_nodes": [[["mean", 0, 0, {}]]],
            },
        ],
        "input_layers": [["image", 0, 0]],
        "output_layers": [["classes", 0, 0]],
    },
}
"""A model of Keras 2.2, with a function of TensorFlow in it."""

OLD = {
    "keras_1": (
        "1.2.2",
        KERAS_1,
        {
            "conv": {"W": (3, 3, 1, 4), "b": (4,)},
            "classes": {"W": (64, 3), "b": (3,)},
        },
    ),
    "keras_2": (
        "2.2.4",
        KERAS_2,
        {
            "conv": {"kernel": (3, 3, 1, 4), "bias": (4,)},
            "classes": {"kernel": (4, 3), "bias": (3,)},
        },
    ),
}


if __name__ == "__main__":
    write_seeds(Path(sys.argv[1]))
