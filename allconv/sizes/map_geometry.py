"""Where the cells of a map look, axis by axis: the arithmetic of a `Geometry`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor
from typing import Any

import numpy as np

from allconv.errors import OptionError, ShapeError
from allconv.result import Result
from allconv.shape_walk import size_words
from allconv.sizes.cell_numbers import in_words, refuse_no_cell, refuse_no_pixel, refuse_no_size
from allconv.sizes.windows import Margin

DIGITS = 9
"""Decimals of a position that count; strides that are fractions are off in the last bits."""


@dataclass(frozen=True)
class Geometry(Result):
    """Where the cells of a model's output look, along each axis (height, width).

    An image has pixels, a map has cells. Cell `i` speaks for the image around
    `offset + output_stride * i`, and depends on `receptive_field` pixels around
    `field_offset + output_stride * i`. Pixels are numbered from 0, at their centres; those below 0
    are padding.

    Attributes:
        output_stride: Pixels from one cell of the map to the next; a fraction where the map is
            finer than the image.
        receptive_field: Pixels from the first to the last that one cell depends on, padding
            included, so it may be larger than the image; None where a cell depends on all pixels.
            Where a map is made finer (UpSampling, transposed convolutions), its cells do not all
            see alike: each sees pixels in this field, and some reach its ends.
        offset: Position of the first cell's centre, in pixels. For a classifier of images of one
            size, that is the middle of such an image: cell `i` speaks for the crop of that size
            that begins at `output_stride * i`. For any other network it is `field_offset`.
        field_offset: Position of the middle of the pixels on which the first cell depends. It is
            before `offset` where windows do not reach the last rows: of 11 rows, a pool of 2 leaves
            one.
        minimum_input_size: The smallest image that gives a map of at least one cell. For a smaller
            image, a backend may return numbers that mean nothing: TensorFlow with oneDNN does so
            without an error.
        input_size_step: Pixels from one image size that fits to the next; 1 where all sizes from
            the smallest on fit. Networks with branches that meet at some sizes only have other
            steps.
        period: Pixels by which an image must grow or move so that all maps inside the network grow
            or move by whole cells. If it is more than the output stride, an image that is moved by
            one output stride gives another map, not the same one moved by a cell.
        input_size: The model's own image size, in pixels; None where it is free.
        output_size: The size of the map there, in cells.
        padded: Names of the layers that treat the border of a map apart: they pad with zeros
            (`padding="same"`, ZeroPadding), or spread cells that overlap or mix with their
            neighbours (transposed convolutions, interpolation).
        margin: Cells of the map, before and behind along each axis, that padding reaches; the
            others see the image only. Where that depends on the size of the image, the most. None
            where a layer makes maps finer.
    """

    output_stride: tuple[int | float, ...]
    receptive_field: tuple[int | None, ...]
    offset: tuple[float, ...]
    field_offset: tuple[float, ...]
    minimum_input_size: tuple[int, ...]
    input_size_step: tuple[int, ...]
    period: tuple[int, ...]
    input_size: tuple[int | None, ...]
    output_size: tuple[int | None, ...]
    padded: tuple[str, ...]
    margin: tuple[Margin, ...] | None = None

    def __str__(self) -> str:
        fields = "the whole image"
        if any(self.receptive_field):
            fields = "x".join(str(pixels or "all") for pixels in self.receptive_field)
        centre = ", ".join(f"{number:g}" for number in self.offset)
        return (
            f"output stride {'x'.join(f'{stride:g}' for stride in self.output_stride)}, "
            f"receptive field {fields}, first cell's centre at ({centre}), "
            f"smallest image {size_words(self.minimum_input_size)}"
        )

    def cell(self, pixel: Sequence[Any]) -> tuple[Any, ...]:
        """Find the cell that speaks for a pixel: `class_map[where.cell((row, column))]`.

        That is the cell whose place, one output stride around its centre, holds the pixel; so no
        other cell's centre is nearer. Midway between two cells it is the later one. A number beyond
        the map's last cell is given as it is, and NumPy says that it is out of bounds.

        Args:
            pixel: Its number along each axis, (row, column), a fraction for a place between two
                pixels; or an array of numbers along each axis.

        Returns:
            The cell's number along each axis, or an array of numbers.

        Raises:
            OptionError: There is another count of axes, what is no number, or a pixel that lies
                before the first cell's place: no cell speaks for it.
        """
        refuse_no_pixel(pixel, len(self.offset))
        cells = [
            cells_along(np.asarray(numbers, "float64"), start, stride)
            for numbers, start, stride in zip(pixel, self.offset, self.output_stride, strict=True)
        ]
        if any((numbers < 0).any() for numbers in cells):  # NumPy would count from the map's end
            first = ", ".join(f"{edge:g}" for edge in self._first_edge())
            raise OptionError(
                f"no cell speaks for pixel {in_words(pixel)}: the first cell's place begins at "
                f"({first})"
            )
        return tuple(numbers if numbers.ndim else int(numbers) for numbers in cells)

    def box(self, cell: Sequence[int], *, padding: bool = False) -> tuple[slice, ...]:
        """Find the pixels that a cell depends on, its receptive field: `image[where.box((3, 4))]`.

        Where a network pads, a field may reach beyond the image. What is below 0 is left out here,
        since NumPy would count it from the image's end; what is beyond the end is left out by every
        slice.

        Args:
            cell: Its number along each axis, (row, column).
            padding: Count the padding before the image, too. A slice may then begin below 0: its
                ends say where the field lies, and are no index.

        Returns:
            A slice along each axis; one of everything where a cell depends on the whole image.

        Raises:
            OptionError: There is another count of axes, or no whole number from 0 on for each.
        """
        refuse_no_cell(cell, len(self.offset))
        lowest = None if padding else 0
        axes = zip(cell, self.field_offset, self.output_stride, self.receptive_field, strict=True)
        return tuple(
            slice(None) if field is None else _box(start + stride * number, field, lowest)
            for number, start, stride, field in axes
        )

    def centres(self, size: Sequence[int]) -> tuple[np.ndarray, ...]:
        """Find where the centres of a map's cells are in the image, along each axis.

        Args:
            size: The map's, `class_map.shape[:2]`.

        Returns:
            For each axis an array of positions, `offset + output_stride * i`. Whole numbers are the
            centres of pixels.

        Raises:
            OptionError: There is another count of axes, or no whole number from 0 on for each.
        """
        refuse_no_size(size, len(self.offset))
        axes = zip(size, self.offset, self.output_stride, strict=True)
        return tuple(start + stride * np.arange(cells) for cells, start, stride in axes)

    def extent(self, size: Sequence[int]) -> tuple[float, float, float, float]:
        """Find the edges of a map in its image, for `plt.imshow(class_map, extent=...)`.

        matplotlib draws pixel `i` from `i - 0.5` to `i + 0.5`. A cell is drawn as one output stride
        around its centre, so the map begins half a *stride* before the first cell's centre; where
        that is one pixel, half a pixel. The map ends inside the image where no cell looks beyond
        the image's edge.

        Args:
            size: The map's, `class_map.shape[:2]`.

        Returns:
            (left, right, bottom, top), in matplotlib's order; rows count from the top.

        Raises:
            OptionError: There is another count of axes, or no whole number from 0 on for each.
            ShapeError: The map has one axis or three, which imshow does not draw.
        """
        if len(self.offset) != 2:
            raise ShapeError(
                f"extent is that of a picture, of 2 axes; this map has {len(self.offset)}: "
                "centres(size) says where its cells look"
            )
        refuse_no_size(size, len(self.offset))
        top, left = self._first_edge()
        height, width = (
            stride * cells for stride, cells in zip(self.output_stride, size, strict=True)
        )
        return left, left + width, top + height, top

    def _first_edge(self) -> tuple[float, ...]:
        """Find where the first cell's place begins: half a stride before its centre."""
        pairs = zip(self.offset, self.output_stride, strict=True)
        return tuple(start - stride / 2 for start, stride in pairs)


def cells_along(pixels: np.ndarray, offset: float, stride: float) -> np.ndarray:
    """Find the cell whose place holds each pixel of an axis; below 0 before the first cell's."""
    cells: np.ndarray = np.floor(np.round((pixels - offset) / stride, DIGITS) + 0.5).astype(int)
    return cells


def _box(centre: float, field: int, lowest: int | None) -> slice:
    """Find the whole numbers less than half a field from a centre, from the lowest on if given.

    A field of so many pixels ends half a pixel behind the centres of its outermost ones.
    """
    first = floor(round(centre - field / 2, DIGITS)) + 1
    end = ceil(round(centre + field / 2, DIGITS))
    if lowest is not None:
        first = max(first, lowest)
    return slice(first, max(first, end))
