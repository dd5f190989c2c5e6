"""`convert`: read, rewrite, build, verify."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from allconv import obstacles
from allconv.building.compiling import carry_compile_settings, carry_dtype_policy
from allconv.dense_maps.dense_plan import maps_of
from allconv.dense_maps.strides import OutputStride
from allconv.graph import Graph
from allconv.obstacles import refuse_obstacles
from allconv.plan import build_plan, plan_conversion, refuse_wrong_numbers, verify_plan
from allconv.read import is_live, read
from allconv.read.file import ModelFile
from allconv.resize import InputSize
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
    output_stride: OutputStride | None = None,
    fold_batchnorm: bool = False,
    rules: Sequence[Rule] = (),
    verify: bool = False,
) -> keras.Model:
    """Convert a CNN to an all-convolutional network.

    Args:
        model: A built Sequential or Functional model, or a `.keras` or `.h5` file of Keras 1, 2 or
            3, which is read without Keras; no code in it is run. The model is not changed.
        pooling: How to convert max pools. `"exact"` keeps the outputs. `"conv"` and `"stride"` are
            leaner, but need fitting or training. `"keep"` leaves all pools alone, average and
            global ones, too: the result is *fully*, not *all*-convolutional, its outputs are the
            same, and with an `input_size` it still gives class maps, since a global pool then
            becomes a pool as large as the original's map. You can also give `ExactPool()`,
            `ConvPool(...)` or `StridePool()`, or choices by layer name,
            `{"pool1": "conv", "*": "stride"}`; pools that are not named are exact.
        head: How to convert Dense layers. `"dense"` turns each into a convolution with the same
            outputs; `"classifier"` replaces all of them by one fresh convolution; `"keep"` leaves
            them alone.
        input_size: `"any"` for a model that takes images of any size, or the size of its images:
            `(height, width)`, `(length,)` for a 1D model, `(depth, height, width)` for a 3D model.
            The model gives class maps `(batch, rows, columns, classes)`: 1x1 at the original's own
            size, larger on larger images. `geometry` says where the cells look, and which image is
            the smallest; for a smaller one Keras may give meaningless numbers.
        output_stride: With an `input_size`, the stride of the class map: 1 gives a cell for every
            pixel. It divides the network's own stride, which is the default; give one for each axis
            if they differ. Strides become dilation of the windows behind them, and no weight
            changes. *Without padding*, cell `(i, j)` is the output of the original for the crop
            that begins at `(i, j)` times the stride. *With padding* it is the output for no crop,
            because a crop is padded with zeros where the image goes on: cell `(i, j)` is then the
            cell of the class map at the network's own stride, for the image moved by as much,
            wherever no padding is in reach. `Geometry.margin` says how many cells at the borders
            padding reaches.
        fold_batchnorm: Fold each BatchNormalization into the convolution before it.
        strict: Refuse a model with layers that stand in the way; if False, leave these as they are.
        rules: Your own rules, tried before those of installed packages and of allconv.
        verify: If the conversion is lossless, compare both models before returning, at the
            original's own size.

    Returns:
        A plain Keras model with copied weights, the same layer names and `trainable` flags, and the
        same compile settings, with a fresh optimizer; those of a file only if they are of Keras'
        own classes. It takes and returns the same shapes. With an `input_size` it does not, and is
        not compiled, since a loss on vectors does not fit.

    Raises:
        ConversionError: Layers stand in the way, or fit one image size only; the message lists
            them, those with one cause together.
        FileError: The file is not a model file, is damaged, or its weights do not fit or are NaN.
        ModelError: The model is not built, empty or subclassed.
        OptionError: A choice is unknown.
        ShapeError: A choice makes maps too small for the layers behind them.
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
        output_stride=output_stride,
    )
    if strict and output_stride is None:
        refuse_obstacles(plan)
    result = plan if input_size is None else maps_of(plan, input_size, output_stride)
    converted = build_plan(result)
    carry_dtype_policy(converted, getattr(model, "dtype_policy", None))
    if input_size is None and is_live(model):
        carry_compile_settings(model, converted)
    if verify and plan.lossless:
        original = model if is_live(model) else None
        refuse_wrong_numbers(plan, verify_plan(plan, result, original, converted))
    return converted


def is_all_convolutional(model: keras.Model | str | os.PathLike[str] | ModelFile) -> bool:
    """Tell whether a model is made of convolutions and of layers that work cell by cell.

    At its ends, a model may also have a Flatten or Reshape: one that returns a 1x1 map as a vector,
    or one that turns an input into a map. `report(model).obstacles` names the layers that stand in
    the way, with the reasons.

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
