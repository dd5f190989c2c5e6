"""Copies of a conversion, made by Keras from its configuration, compute the same numbers."""

from __future__ import annotations

import keras
import numpy as np

from tests.helpers.closeness import comparable, finite_images, relative_error, tolerance
from tests.helpers.keras_comparison import outputs

COPIES = {
    "clone_model": keras.models.clone_model,
    "from_config": lambda model: type(model).from_config(model.get_config()),
    "model_from_json": lambda model: keras.models.model_from_json(model.to_json()),
}


def copies_agree(model, converted, case):
    """With the weights set; and the fixed kernels that the configuration holds without that."""
    make = COPIES[sorted(COPIES)[case.seed % 3]]
    try:
        make(model)
    except (TypeError, ValueError):
        # Keras cannot copy every model, as where numbers are arguments of operations.
        return
    copy = make(converted)
    assert_fixed_kernels_are_there(converted, copy)
    copy.set_weights(converted.get_weights())
    limit = tolerance(converted)
    images, expected = finite_images(comparable(converted), like=model)
    for found, each in zip(outputs(comparable(copy), images), expected, strict=True):
        relative_error(found, each, limit)


def assert_fixed_kernels_are_there(converted, copy):
    """Those that are the same for each channel."""
    for layer in converted.layers:
        if layer.weights and not layer.trainable_weights and "constant" in str(initializer(layer)):
            pairs = zip(layer.get_weights(), copy.get_layer(layer.name).get_weights(), strict=True)
            for kernel, copied in pairs:
                np.testing.assert_allclose(np.float64(copied), np.float64(kernel), rtol=1e-6)


def initializer(layer):
    config = layer.get_config()
    return [value for key, value in config.items() if key.endswith("initializer")]
