"""The promise about any network: converted with the same numbers, or refused by name.

    outcome = promise(model, input_size="any")

An AssertionError says where it is broken.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import keras
import numpy as np

import allconv
from allconv.convert import plan_conversion
from allconv.errors import ConversionError
from allconv.obstacles import is_all_convolutional
from tests.agreement import outputs, random_images
from tests.randomized import leaves

HONEST = ("allconv stops at",)
"""Reasons to refuse a network that its user would agree with."""

HONEST_WITH_CHANNELS_FIRST = (
    "not along the channels",
    "channels that come first",
    "stands between it and its Flatten",
)
"""More of them with channels first, where log_softmax and sparsemax, which Keras has along the last
axis only, hold up a Flatten and all that follows."""

HONEST_AT_ANY_SIZE = (
    "is made for images of",
    "fits images of",
    "makes a map of one size",
    "do not grow alike",
    "has no receptive field",
)
"""More of them, where the result is to take images of any size."""

CONVERTED, REFUSED, UNJUDGED = "converted", "refused", "not judged"

TOLERANCE = 1e-4
"""Of the output's spread: what rounding may do on its way through a dozen layers."""


@dataclass(frozen=True)
class Outcome:
    """What became of a network, and how far its numbers moved in units of their spread."""

    word: str
    reason: str = ""
    error: float = 0.0


def promise(model, **options):
    """Hold allconv to its word on a model; `options` are those of `convert`."""
    assert_shapes_are_those_of_keras(model)
    try:
        converted = allconv.convert(model, **options)
    except ConversionError as error:
        assert any(reason in str(error) for reason in honest_reasons(model, options)), error
        return Outcome(REFUSED, anonymous(error))
    again = plan_conversion(converted, **options)
    assert is_all_convolutional(again.before)
    assert again.changes == (), f"a second conversion changes {again.changes}"
    if "input_size" in options:
        assert_larger_images_give_the_shapes_that_check_says(model, converted)
    images = random_images(model, low=-2.0, high=2.0)
    expected, found = outputs(model, images), outputs(converted, images)
    if not all(np.isfinite(values).all() for values in expected):
        return Outcome(UNJUDGED, "the original gives infinities or NaN")
    if "input_size" in options:
        found = [new.reshape(old.shape) for new, old in zip(found, expected, strict=True)]
    return Outcome(CONVERTED, error=max(map(relative_error, found, expected)))


def honest_reasons(model, options):
    convs = (leaf for leaf in leaves(model) if not isinstance(leaf, keras.layers.Flatten))
    first = any(getattr(leaf, "data_format", "") == "channels_first" for leaf in convs)
    more = HONEST_AT_ANY_SIZE if "input_size" in options else ()
    return HONEST + more + (HONEST_WITH_CHANNELS_FIRST if first else ())


def relative_error(found, expected):
    """The largest difference in units of the spread; an AssertionError where it is no rounding."""
    assert found.shape == expected.shape
    spread = max(expected.max(), 0) - min(expected.min(), 0) + 1e-2
    error = float(np.abs(found - expected).max() / spread)
    assert error <= TOLERANCE, f"the numbers differ by {error:.1e} of their spread"
    return error


def assert_shapes_are_those_of_keras(model):
    """`check` finds no misfit, and gives every call a shape that Keras has given to that layer."""
    check = allconv.check(model)
    assert check.ok and not check.unknown, check
    known: dict[str, set[tuple[int | None, ...]]] = {}
    for layer in leaves(model):
        shapes = {tensor.shape for call in layer._inbound_nodes for tensor in call.outputs}
        known.setdefault(layer.name, set()).update(shapes)
    for row in check.rows:
        assert row.output_shape in known.get(row.layer, {row.output_shape}), row


def assert_larger_images_give_the_shapes_that_check_says(model, converted):
    """A model for any size takes images that are 8 cells larger, unless `check` knows better.

    Branches of different strides need not meet there: allconv promises that they do where the
    image grows by all strides.
    """
    (image,), (shape,) = model.inputs, [tensor.shape for tensor in converted.inputs]
    larger = [n + 8 * (free is None) for n, free in zip(image.shape[1:], shape[1:], strict=True)]
    sizes = [n for n, free in zip(larger, shape[1:], strict=True) if free is None]
    check = allconv.check(converted, input_size=sizes)
    if check.ok:
        given = {row.output_shape[1:] for row in check.rows}
        for values in outputs(converted, [np.zeros((1, *larger), "float32")]):
            assert values.shape[1:] in given


def anonymous(error):
    """A refusal's reasons, without the network's own names and numbers."""
    reasons = re.findall(r"^  \S+ (\(.*)$", str(error), re.MULTILINE) or [str(error)]
    without_names = {re.sub(r"'[^']*'", "'...'", reason) for reason in reasons}
    return "; ".join(sorted({re.sub(r"[\d,]*\d", "N", reason) for reason in without_names}))
