"""Reasons to refuse a network that its user would agree with, by what the network has."""

from __future__ import annotations

import keras

from tests.helpers.randomized import leaves

ALWAYS = ("allconv stops at",)

BY_FAMILY = {
    "axes": ("not along the channels", "works along axis", "along the samples"),
    "quantized": ("its weights are quantized",),
    "lean": (
        "no convolution before it",
        "already",
        "has padding",
        "cannot take unequal strides",
        "is taken by other layers",
        "one convolution cannot replace them",
        "needs a fixed input size",
    ),
    "input_size": (
        "is made for images of",
        "fits images of",
        "makes a map of one size",
        "do not grow alike",
        "has no receptive field",
    ),
}
"""At another size than its own, a network may have no place for what one size needs."""

KEPT = "no rule was tried on it"
"""What `keep` of the options leaves, and what stands between it and the output."""

WITH_CHANNELS_FIRST = (
    "not along the channels",
    "channels that come first",
    "stands between it and its Flatten",
)
"""log_softmax and sparsemax, which Keras has along the last axis only, hold up a Flatten and all
that follows."""


def honest_reasons(model, options, families=frozenset()):
    """Parts of messages, one of which a refusal must have."""
    asked = families | ({"input_size"} & set(options))
    reasons = [*ALWAYS, *(reason for family in asked for reason in BY_FAMILY.get(family, ()))]
    if "keep" in (options.get("pooling"), options.get("head")):
        reasons.append(KEPT)
    return [*reasons, *(WITH_CHANNELS_FIRST if _is_channels_first(model) else ())]


def _is_channels_first(model):
    convs = (leaf for leaf in leaves(model) if not isinstance(leaf, keras.layers.Flatten))
    return any(getattr(leaf, "data_format", "") == "channels_first" for leaf in convs)
