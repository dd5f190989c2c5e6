"""`overlay`: a class map laid over its image, at its true place."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, floor
from typing import Any

import numpy as np

from allconv.errors import OptionError
from allconv.pictures.colours import VIRIDIS, Colours, as_rgb, coloured, numbers_in
from allconv.sizes.map_geometry import Geometry, cells_along


def overlay(
    image: Any,
    class_map: Any,
    geometry: Geometry,
    *,
    class_id: int | None = None,
    alpha: Any = 0.5,
    vmin: float | None = None,
    vmax: float | None = None,
    colours: Colours = VIRIDIS,
) -> np.ndarray:
    """Lay a class map over its image, each cell where it looks, and give the picture as an array.

    A pixel gets the colour of the cell that speaks for it, whose centre is the nearest
    (`Geometry.cell`). Pixels that no cell speaks for, within half a receptive field of the edges
    where a network does not pad, stay as they are, and so do those of cells that are NaN.

    Args:
        image: (height, width), or that with 1 or 3 channels last; uint8, or floats from 0 to 1.
        class_map: The map, (height, width), or that with a channel for each class.
        geometry: Where its cells look, as `geometry` says of the model.
        class_id: Which of the classes.
        alpha: How much of the colour there is, 0 to 1; or that for each cell, an array of the map's
            size, such as the map itself.
        vmin: What gets the first colour, and all below it; by default the map's smallest number.
        vmax: What gets the last colour, and all above it; by default the map's largest number.
        colours: Red, green and blue of each, 0 to 255, evenly spread from `vmin` to `vmax`.

    Returns:
        The picture, uint8 (height, width, 3).

    Raises:
        OptionError: The image is none, the map is not that of one class or does not belong to the
            image, or another option is wrong.

    Example:
        >>> where = allconv.geometry(model)
        >>> anywhere = allconv.convert(model, input_size="any")
        >>> image = np.random.default_rng(0).random((20, 30, 1))
        >>> class_map = anywhere.predict(image[np.newaxis], verbose=0)[0]
        >>> allconv.overlay(image, class_map, where, class_id=2).shape
        (20, 30, 3)
    """
    picture = as_rgb(image)
    values = _of_one_class(class_map, class_id)
    _refuse_misfit(picture.shape[:2], values.shape, geometry)
    paint = coloured(values, vmin, vmax, colours)
    opacity = np.where(np.isnan(values), 0, _opacity(alpha, values.shape))
    axes = zip(
        picture.shape[:2], values.shape, geometry.offset, geometry.output_stride, strict=True
    )
    (rows, row_cells), (columns, column_cells) = (_covered(*axis) for axis in axes)
    cells = np.ix_(row_cells, column_cells)
    under = picture[rows, columns].astype("float32")
    mixed = under + opacity[cells][..., np.newaxis] * (paint[cells] - under)
    picture[rows, columns] = np.rint(mixed)
    return picture


def _of_one_class(given: Any, class_id: int | None) -> np.ndarray:
    """Take the numbers of one class, (height, width)."""
    class_map = numbers_in(given)
    if class_map is None:
        raise OptionError(
            f"class_map: expected an array of numbers, got {type(given).__name__}; "
            "predict(images)[0] gives one"
        )
    shape = class_map.shape
    if class_map.ndim == 2 and class_id is None:
        return class_map.astype("float64")
    if class_map.ndim != 3 or (class_id is None and shape[2] > 1):
        raise OptionError(
            f"class_map has shape {shape}; expected (height, width), or (height, width, classes) "
            f"and a class_id{'; take predict(...)[0]' if class_map.ndim == 4 else ''}"
        )
    if class_id is not None and (np.ndim(class_id) or class_id not in range(shape[2])):
        raise OptionError(f"class_id is {class_id!r}; class_map has classes 0 to {shape[2] - 1}")
    return class_map[:, :, int(class_id or 0)].astype("float64")


def _refuse_misfit(pixels: tuple[int, ...], cells: tuple[int, ...], geometry: Geometry) -> None:
    """Raise an OptionError where a map cannot be that of an image."""
    if not isinstance(geometry, Geometry):
        raise OptionError(
            f"geometry is a {type(geometry).__name__}; expected what allconv.geometry(model) gives"
        )
    if len(geometry.offset) != 2:
        raise OptionError(f"geometry is that of maps of {len(geometry.offset)} axes, not of 2")
    if 0 in cells:
        return
    found = f"class_map has {cells[0]}x{cells[1]} cells"
    of_image = f"the image of {pixels[0]}x{pixels[1]} pixels"
    axes = list(zip(cells, pixels, _reach(cells, geometry), strict=True))
    if any(reach > size for _, size, reach in axes):
        raise OptionError(
            f"{found}, and the last would look beyond {of_image}: the two do not belong together"
        )
    least = _least_cells(pixels, geometry)
    if any(count < expected for count, expected in zip(cells, least, strict=True)):
        raise OptionError(
            f"{found}, and there is room for more in {of_image}, at least {least[0]}x{least[1]}: "
            "the two do not belong together"
        )


def _reach(cells: Sequence[int], geometry: Geometry) -> list[float]:
    """Find along each axis how many pixels an image has at least, by the map's last cell.

    Without padding all pixels that it sees are the image's. With it, or where cells of a finer map
    see unlike parts of a field, its centre is at most a period behind the image, and as far as the
    first one's is before it.
    """
    ends = geometry.box([count - 1 for count in cells], padding=True)
    reach = []
    for axis, (count, seen) in enumerate(zip(cells, ends, strict=True)):
        stride, start = geometry.output_stride[axis], geometry.field_offset[axis]
        if geometry.padded or geometry.period[axis] > stride:
            slack = max(stride, geometry.period[axis]) - min(start, 0)
            reach.append(start + stride * (count - 1) + 1 - slack)
        else:
            reach.append(seen.stop or 0)
    return reach


def _least_cells(pixels: Sequence[int], geometry: Geometry) -> list[int]:
    """Count the cells that a map of an image has at least, along each axis.

    The smallest image has one, and each stride further on there is another. Maps inside a network
    that do not grow by whole cells may leave out as many as lie in a period, and branches one.
    """
    axes = zip(
        pixels, geometry.minimum_input_size, geometry.output_stride, geometry.period, strict=True
    )
    return [
        max(1, 1 + floor((size - least) / stride) - max(1, ceil(period / stride)))
        for size, least, stride, period in axes
    ]


def _opacity(alpha: Any, shape: tuple[int, ...]) -> np.ndarray:
    """Say how much of its colour each cell gets; probabilities may be rounded above 1."""
    opacity = numbers_in(alpha)
    if opacity is None:
        raise OptionError(
            f"alpha is {alpha!r}; expected a number from 0 to 1, or one for each cell"
        )
    opacity = opacity.astype("float32")
    if opacity.shape not in ((), shape) or not ((opacity >= 0) & (opacity < 1 + 1e-5)).all():
        raise OptionError(
            f"alpha: expected a number from 0 to 1, or such numbers of shape {shape}, got "
            f"{opacity if opacity.ndim == 0 else f'numbers of shape {opacity.shape}'}"
        )
    return np.broadcast_to(np.minimum(opacity, 1), shape)


def _covered(pixels: int, cells: int, offset: float, stride: float) -> tuple[slice, np.ndarray]:
    """Find the pixels along an axis for which a cell speaks, and the cell of each."""
    numbers = cells_along(np.arange(pixels), offset, stride)
    spoken_for = np.flatnonzero((numbers >= 0) & (numbers < cells))
    if not spoken_for.size:
        return slice(0, 0), spoken_for
    covered = slice(int(spoken_for[0]), int(spoken_for[-1]) + 1)
    return covered, numbers[covered]
