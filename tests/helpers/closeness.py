"""How far two networks' numbers may be apart, and what they are compared on."""

from __future__ import annotations

import re

import keras
import numpy as np

from tests.helpers.keras_comparison import outputs, random_images
from tests.helpers.randomized import leaves

HALF = re.compile(r'"(mixed_)?b?float16"')

TOLERANCES = {"float16": 2e-3, "bfloat16": 2e-2, "int8": 0.15, "int4": 0.15, "float8": 0.3}
"""Of the output's spread, by the least exact layer. Weights of 16 bits are rounded, the fixed ones
of pools, too. Layers of int8 and float8 round what they take: a last bit may be a step."""

EXACT = 1e-11
"""In float64."""

TOLERANCE = 1e-4
"""What rounding may do on its way through a dozen layers of float32."""


def tolerance(model):
    """How far a right conversion may be apart, relative to the spread of its output."""
    kinds = {layer.variable_dtype for layer in leaves(model)}
    kinds |= {getattr(layer, "quantization_mode", None) for layer in leaves(model)}
    kinds |= set(dtypes_of_operations(model))
    if kinds <= {"float64", None}:
        return EXACT
    return max([TOLERANCE, *(TOLERANCES[kind] for kind in kinds & set(TOLERANCES))])


def dtypes_of_operations(model):
    """Of what operations give that are no layers; keras.ops.mean of float32 rounds to that."""
    for operation in getattr(model, "operations", ()):
        if isinstance(operation, keras.Model):
            yield from dtypes_of_operations(operation)
        elif not isinstance(operation, keras.Layer):
            yield from (end.dtype for call in operation._inbound_nodes for end in call.outputs)


def comparable(model):
    """The model, or a copy that computes in 32 bits where it computes in 16."""
    text = model.to_json()
    if not HALF.search(text):
        return model
    copy = keras.models.model_from_json(HALF.sub('"float32"', text))
    copy.set_weights([np.asarray(weight).astype("float32") for weight in model.get_weights()])
    return copy


def finite_images(model, like=None):
    """Random images, and what the model makes of them; smaller ones where that is infinite.

    Where it takes images of any size, they have the sizes of another model, `like`.
    """
    for scale in (2.0, 0.25, 0.0):
        images = random_images(like or model, low=-scale, high=scale)
        results = outputs(model, images)
        if all(np.isfinite(values).all() for values in results):
            return images, results
    raise AssertionError("the original gives infinities of an image of zeros")


def relative_error(found, expected, limit=TOLERANCE):
    """The largest difference in units of the spread; an AssertionError where it is no rounding."""
    assert found.shape == expected.shape
    spread = max(expected.max(), 0) - min(expected.min(), 0) + 1e-2
    error = float(np.abs(found - expected).max() / spread)
    assert error <= limit, f"the numbers differ by {error:.1e} of their spread"
    return error
