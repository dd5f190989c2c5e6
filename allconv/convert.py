"""`convert`: read, rewrite, build, verify."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from allconv.build import build
from allconv.compiling import carry_compile_settings
from allconv.errors import ConversionError, VerificationError
from allconv.obstacles import obstacles
from allconv.read import live_model, read
from allconv.rewrite import Plan, rewrite
from allconv.rule import Rule
from allconv.rules import Head, rules_for
from allconv.strategies import Pooling
from allconv.verify import verify as run_verification

if TYPE_CHECKING:
    import keras

ModelOrPath = "keras.Model | str | os.PathLike[str]"


def convert(
    model: keras.Model | str | os.PathLike[str],
    *,
    pooling: Pooling = "exact",
    head: Head = "dense",
    strict: bool = True,
    rules: Sequence[Rule] = (),
    verify: bool = False,
) -> keras.Model:
    """Turn a CNN into an all-convolutional network.

    Args:
        model: A built Sequential or Functional model, or a `.keras` or `.h5` file. It is not
            changed.
        pooling: How max pools are lowered: `"exact"` (same numbers), `"conv"` or `"stride"`
            (leaner,
            to be trained), one of `ExactPool()`, `ConvPool(...)`, `StridePool()`, or choices by
            layer name, `{"pool1": "conv", "*": "stride"}`; pools not named are exact. `"keep"`
            leaves pools.
        head: `"dense"` turns every Dense into a convolution, with the same numbers; `"classifier"`
            drops the hidden ones and leaves one fresh convolution; `"keep"` leaves them.
        strict: Refuse a model in which layers stand in the way; otherwise leave these as they are.
        rules: Your own rules, tried before allconv's.
        verify: Compare the two models before returning, where the conversion is lossless.

    Returns:
        A plain Keras model, with copied weights, the layers' names and `trainable` flags, and the
        compile settings of a model given in memory. It takes and gives the same shapes.

    Raises:
        ConversionError: Layers stand in the way; the message lists all of them.
        ModelError: The model is not built, empty or subclassed.
        OptionError: A choice is unknown.
        ShapeError: Maps no longer fit after a choice that shrinks them.
        VerificationError: A lossless conversion disagrees with the original.

    Example:
        >>> import allconv, keras
        >>> model = keras.Sequential([
        ...     keras.Input((8, 8, 1)),
        ...     keras.layers.Conv2D(4, 3, activation="relu"),
        ...     keras.layers.MaxPooling2D(2),
        ...     keras.layers.Flatten(),
        ...     keras.layers.Dense(3, activation="softmax"),
        ... ])
        >>> converted = allconv.convert(model)
        >>> converted.output_shape
        (None, 3)
    """
    original = live_model(model)
    plan = plan_conversion(original, pooling=pooling, head=head, rules=rules)
    if strict:
        refuse_obstacles(plan)
    converted = build(plan.after)
    carry_compile_settings(original, converted)
    if verify and plan.lossless:
        _require_agreement(original, converted)
    return converted


def plan_conversion(
    model: keras.Model | str | os.PathLike[str],
    *,
    pooling: Pooling = "exact",
    head: Head = "dense",
    rules: Sequence[Rule] = (),
) -> Plan:
    """Work out a conversion; no weight is read and no layer is made. Arguments as of `convert`."""
    graph = read(model)
    return rewrite(graph, rules_for(graph, pooling, head, rules))


def refuse_obstacles(plan: Plan) -> None:
    """Raise a ConversionError that lists all layers that stand in the way, if any do."""
    found = obstacles(plan)
    if found:
        lines = "\n".join(f"  {obstacle}" for obstacle in found)
        raise ConversionError(
            f"model '{plan.before.name}' does not become all-convolutional; "
            f"these layers stand in the way:\n{lines}\n"
            "strict=False leaves them as they are"
        )


def _require_agreement(original: keras.Model, converted: keras.Model) -> None:
    verification = run_verification(original, converted)
    if verification.passed is False:
        raise VerificationError(f"model '{original.name}' and its conversion: {verification}")
