"""`convert`: read, rewrite, build, verify."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from allconv import obstacles
from allconv.building.compiling import carry_compile_settings, carry_dtype_policy
from allconv.graph import Graph
from allconv.obstacles import refuse_obstacles
from allconv.plan import build_plan, plan_conversion, refuse_wrong_numbers, verify_plan
from allconv.read import is_live, read
from allconv.read.file import ModelFile
from allconv.resize import InputSize, resized
from allconv.rule import Rule
from allconv.rules import Head
from allconv.strategies import Pooling

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
            leaves pools, average and global ones too, for a *fully* convolutional network where an
            *all*-convolutional one is not needed: same numbers, and with an `input_size` class maps
            all the same, since a global pool then becomes a pool as large as the original's map.
            Pools that you keep are not refused; `is_all_convolutional` still says no.
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
        compile settings; of a file, where they are of Keras' own classes, with a fresh optimizer.
        It takes and gives the same shapes, unless `input_size` says otherwise: then it is not
        compiled, since a loss on vectors does not fit.

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
    converted = build_plan(result)
    carry_dtype_policy(converted, getattr(model, "dtype_policy", None))
    if input_size is None and is_live(model):
        carry_compile_settings(model, converted)
    if verify and plan.lossless:
        original = model if is_live(model) else None
        of_own_size = converted if result is plan else None
        refuse_wrong_numbers(plan, verify_plan(plan, original, of_own_size))
    return converted


def is_all_convolutional(model: keras.Model | str | os.PathLike[str] | ModelFile) -> bool:
    """Tell whether a model is made of convolutions and of layers that work cell by cell.

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
