"""`convert`: read, rewrite, build, verify."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from allconv import obstacles
from allconv.build import build
from allconv.compiling import carry_compile_settings
from allconv.errors import ConversionError, VerificationError
from allconv.graph import Graph
from allconv.input_size import InputSize, resized, with_own_size
from allconv.provenance import note
from allconv.read import is_live, read
from allconv.read.file import ModelFile
from allconv.rewrite import Plan, rewrite
from allconv.rule import Rule
from allconv.rules import Head, rules_for
from allconv.rules.installed import installed_rules
from allconv.strategies import Pooling
from allconv.untrusted import not_made, remedy
from allconv.verify import verify as run_verification

if TYPE_CHECKING:
    import keras


def convert(
    model: keras.Model | str | os.PathLike[str] | ModelFile | Graph,
    *,
    pooling: Pooling = "exact",
    head: Head = "dense",
    strict: bool = True,
    input_size: InputSize | None = None,
    fold_batchnorm: bool = False,
    rules: Sequence[Rule] = (),
    verify: bool = False,
) -> keras.Model:
    """Turn a CNN into an all-convolutional network.

    Args:
        model: A built Sequential or Functional model, or a `.keras` or `.h5` file of any age, which
            is read without Keras; no code in it is run. It is not changed.
        pooling: How max pools are lowered: `"exact"` (same numbers), `"conv"` or `"stride"`
            (leaner,
            to be trained), one of `ExactPool()`, `ConvPool(...)`, `StridePool()`, or choices by
            layer name, `{"pool1": "conv", "*": "stride"}`; pools not named are exact. `"keep"`
            leaves pools.
        head: `"dense"` turns every Dense into a convolution, with the same numbers; `"classifier"`
            drops the hidden ones and leaves one fresh convolution; `"keep"` leaves them.
        input_size: `"any"` for a model that takes images `(batch, None, None, channels)`, or the
            `(height, width)` of its images; `(length,)` for a 1D model, `(depth, height, width)`
            for a 3D one. It gives class maps `(batch, rows, columns, classes)`: 1x1 at the
            original's own size, larger on larger images. `geometry` says where its cells look, and
            which image is the smallest; of a smaller one Keras may make numbers that mean nothing.
        fold_batchnorm: Fold BatchNormalizations into the convolutions before them.
        strict: Refuse a model in which layers stand in the way; otherwise leave these as they are.
        rules: Your own rules, tried before those of installed packages and allconv's.
        verify: Compare the two models before returning, where the conversion is lossless; at the
            original's own size.

    Returns:
        A plain Keras model, with copied weights, the layers' names and `trainable` flags, and the
        compile settings of a model given in memory. It takes and gives the same shapes, unless
        `input_size` says otherwise: then it is not compiled, since a loss on vectors does not fit.

    Raises:
        ConversionError: Layers stand in the way, or fit one size of the image only; the message
            lists all of them.
        FileError: The file is no model file, is damaged, or its weights do not fit or are NaN.
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
    graph = read(model)
    plan = plan_conversion(
        graph,
        pooling=pooling,
        head=head,
        rules=rules,
        fold_batchnorm=fold_batchnorm,
        input_size=input_size,
    )
    if strict:
        refuse_obstacles(plan)
    result = plan if input_size is None else resized(plan, input_size)
    converted = build(result.after)
    note(converted, plan)
    if input_size is None and is_live(model):
        carry_compile_settings(model, converted)
    if verify and plan.lossless:
        original = model if is_live(model) else build(graph)
        _require_agreement(original, converted if result is plan else build(plan.after))
    return converted


def plan_conversion(
    model: keras.Model | str | os.PathLike[str] | ModelFile | Graph,
    *,
    pooling: Pooling = "exact",
    head: Head = "dense",
    rules: Sequence[Rule] = (),
    fold_batchnorm: bool = False,
    input_size: InputSize | None = None,
) -> Plan:
    """Work out a conversion; no weight is read and no layer is made. Arguments as of `convert`.

    The plan is for the model's own size; with an `input_size` nothing in it depends on that, and
    `resized` is the step that is left.
    """
    graph = with_own_size(read(model), input_size)
    chosen = rules_for(graph, pooling, head, (*rules, *installed_rules()), fold_batchnorm)
    return rewrite(graph, chosen, any_size=input_size is not None)


def is_all_convolutional(model: keras.Model | str | os.PathLike[str] | ModelFile) -> bool:
    """Whether a model is made of convolutions and of layers that work cell by cell.

    Two things that are no such layers may stand at its ends: a Flatten or Reshape that gives a 1x1
    map of an output as a vector, or makes a map of an input. `report(model).obstacles` names the
    layers that are not, with reasons.

    Args:
        model: A built Sequential or Functional model, or a `.keras` or `.h5` file.

    Example:
        >>> import allconv, keras
        >>> model = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.MaxPooling2D(2)])
        >>> allconv.is_all_convolutional(model)
        False
        >>> allconv.is_all_convolutional(allconv.convert(model))
        True
    """
    return obstacles.is_all_convolutional(read(model))


def refuse_obstacles(plan: Plan, advice: str = "") -> None:
    """Raise a ConversionError that lists all layers that stand in the way, if any do."""
    found = obstacles.obstacles(plan)
    if found:
        lines = "\n".join(f"  {obstacle}" for obstacle in found)
        remedies = filter(None, (obstacles.missing_size(plan, found), advice or _advice(plan)))
        raise ConversionError(
            f"model '{plan.before.name}' does not become all-convolutional; "
            f"these layers stand in the way:\n{lines}\n{'; '.join(remedies)}"
        )


def _advice(plan: Plan) -> str:
    """What to do about obstacles: they can stay, if they can be made."""
    unmade = not_made(plan.after)
    if not unmade:
        return "strict=False leaves them as they are"
    return f"allconv does not make these from a file: {', '.join(unmade)}; {remedy(plan.after)}"


def _require_agreement(original: keras.Model, converted: keras.Model) -> None:
    verification = run_verification(original, converted)
    if verification.passed is False:
        raise VerificationError(f"model '{original.name}' and its conversion: {verification}")
