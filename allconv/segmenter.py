"""`segmenter`: from a classifier to a network that scores every pixel."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, get_args

from allconv.building.build import build
from allconv.building.compiling import carry_dtype_policy
from allconv.errors import ConversionError, OptionError
from allconv.graph import Graph
from allconv.layout import is_map, layout
from allconv.obstacles import refuse_obstacles
from allconv.plan import plan_conversion
from allconv.read import read
from allconv.read.file import ModelFile
from allconv.resize import fixed_layers, giving_maps, refuse_fixed
from allconv.rewrite import Plan
from allconv.segmentation.network import summed, with_scores_for_all_pixels, with_skips
from allconv.segmentation.scores import score_layer, scored
from allconv.shape_walk import Image, at_size, images, size_words
from allconv.sizes.image_sizes import has_free_sizes
from allconv.strategies import is_plain_count

if TYPE_CHECKING:
    import keras

Upsampling = Literal["fixed", "trainable"]


def segmenter(
    model: keras.Model | str | os.PathLike[str] | ModelFile,
    classes: int | None = None,
    *,
    skips: int = 0,
    background: bool = True,
    upsampling: Upsampling = "fixed",
    input_size: Sequence[int] | None = None,
) -> keras.Model:
    """Make a network that scores every pixel of a classifier, to be trained for segmentation.

    The classifier's layers and weights are kept. Its Dense layers become convolutions; a last mean
    of the whole map is left out, so that each cell is scored by itself. The map of scores is
    upsampled by straight lines, and cropped so that each pixel has the score of its own place. The
    images are padded by as many zeros as it takes for every pixel to lie between cells.

    Args:
        model: A classifier that `convert` converts, or a file of one. Max pools are kept.
        classes: Start the layer of scores fresh, for so many classes (without the background). By
            default it carries the weights of the classifier's last layer, for its classes.
        skips: Also score the last map of each of so many next finer strides, and add the scores up,
            as FCN-16s and FCN-8s do. These layers begin at zero: untrained, the network gives the
            same with them as without.
        background: Put a class before the others, the background, whose weights begin at zero.
        upsampling: `"fixed"` for bilinear kernels, `"trainable"` for such that training may change.
        input_size: Size of the images, `(height, width)`; by default that of the classifier.

    Returns:
        A plain Keras model, uncompiled. It takes images of one size and gives logits: for images of
        `(height, width, channels)` a map `(height, width, classes)`.

    Raises:
        ConversionError: The classifier does not convert, or its maps do not lie in place.
        FileError: The file is not a model file, is damaged, or its weights do not fit or are NaN.
        ModelError: The model is not built, empty or subclassed.
        OptionError: An option is none, or the network has fewer finer strides than `skips`.

    Example:
        >>> import allconv, keras
        >>> classifier = keras.Sequential([
        ...     keras.Input((8, 8, 1)),
        ...     keras.layers.Conv2D(4, 3, activation="relu"),
        ...     keras.layers.MaxPooling2D(2),
        ...     keras.layers.Flatten(),
        ...     keras.layers.Dense(3, activation="softmax"),
        ... ])
        >>> allconv.segmenter(classifier, input_size=(21, 30), skips=1).output_shape
        (None, 21, 30, 4)
    """
    _refuse_options(classes, skips, upsampling)
    graph = read(model)
    image = _image(graph)
    size = _size(image, graph, input_size)
    plan = plan_conversion(graph, pooling="keep", input_size=size)
    refuse_obstacles(plan)
    _refuse_segmenter(plan.before)
    own = [int(each or 0) for each in _image(plan.after).sizes]
    _refuse_one_size(plan)
    maps = with_skips(scored(giving_maps(plan.after), classes, background), skips)
    margins = with_scores_for_all_pixels(maps, size, own)
    refuse_fixed(plan, [n + a + b for n, (a, b) in zip(size, margins.around, strict=True)])
    network = build(summed(margins, trainable=upsampling == "trainable"))
    carry_dtype_policy(network, getattr(model, "dtype_policy", None))
    if background and classes is not None:
        _begin_at_zero(network.get_layer(score_layer(maps.outputs[0]).name))
    return network


def _refuse_options(classes: Any, skips: Any, upsampling: Any) -> None:
    """Raise an OptionError for an option that is none."""
    if classes is not None and not is_plain_count(classes):
        raise OptionError(f"classes is {classes!r}; expected a number >= 1, or None")
    if not is_plain_count(skips, 0):
        raise OptionError(f"skips is {skips!r}; expected a number >= 0")
    if upsampling not in get_args(Upsampling):
        raise OptionError(f"upsampling is {upsampling!r}; expected 'fixed' or 'trainable'")


def _image(graph: Graph) -> Image:
    """Find the one input of a classifier.

    Raises:
        ConversionError: It takes no single image with channels last, or gives several outputs.
    """
    found = images(graph)
    if len(found) != 1 or len(graph.inputs) != 1 or len(graph.outputs) != 1:
        raise ConversionError(
            f"model '{graph.name}' has {len(graph.inputs)} inputs, {len(found)} of them images, "
            f"and {len(graph.outputs)} outputs; expected one image and one output"
        )
    if found[0].data_format == "channels_first":
        raise ConversionError(
            f"model '{graph.name}' takes images with channels first, of which no segmenter is made "
            "yet; expected channels last"
        )
    return found[0]


def _size(image: Image, graph: Graph, wanted: Sequence[int] | str | None) -> tuple[int, ...]:
    """Say how large the images are.

    Raises:
        OptionError: The classifier leaves it free, and so does the option, or it is none.
    """
    if wanted is None:
        if has_free_sizes(graph):
            raise OptionError(
                f"input_size is None, and model '{graph.name}' leaves the size of its images free; "
                "expected their size, such as (224, 224)"
            )
        return tuple(int(each or 0) for each in image.sizes)
    if isinstance(wanted, str):
        raise OptionError(f"input_size is {wanted!r}; expected one size, such as (224, 224)")
    at_size(graph, wanted)
    return tuple(wanted)


def _refuse_segmenter(graph: Graph) -> None:
    """Raise a ConversionError for a network that has a cell for every pixel of its own images."""
    output, image = graph.outputs[0], _image(graph)
    if is_map(output) and layout(output).sizes == image.sizes:
        raise ConversionError(
            f"model '{graph.name}' gives a map as large as its images, {size_words(image.sizes)}: "
            "it is a segmenter already; expected a classifier"
        )


def _refuse_one_size(plan: Plan) -> None:
    """Raise a ConversionError that lists the layers that fit no image with a margin."""
    problems = fixed_layers(plan, giving_maps(plan.after))
    if problems:
        lines = "\n".join(f"  {problem}" for problem in problems)
        raise ConversionError(
            f"model '{plan.before.name}' makes no segmenter, which takes larger images than the "
            f"model's own, with a margin around them; these layers do not fit them:\n{lines}"
        )


def _begin_at_zero(layer: Any) -> None:
    """Set the weights of the first class of a layer to zero."""
    import keras

    for variable in layer.weights:
        values = keras.ops.convert_to_numpy(variable).copy()
        values[..., 0] = 0
        variable.assign(values)
