"""The rows of a layer's least squares: windows of what it takes, and what should come of them.

Neighbouring cells of a map say much the same, and a few hundred thousand rows fit any layer. So of
large maps some cells are drawn, others of each image, and the work does not grow with the images
times the cells. Rows are kept for several passes where there is room; otherwise both networks are
run again.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from allconv.fitting.batches import Batches
from allconv.fitting.least_squares.targets import Fit, Target
from allconv.fitting.least_squares.tensors import Inputs, channels_last, values_at
from allconv.fitting.least_squares.windows import conv_windows, winners
from allconv.graph import Graph, Node, Spec

MOST_ROWS = 200_000
"""About as many rows are drawn for a layer, of all images together, but a cell of each at least."""
MOST_VALUES = 1 << 24
"""Values of the windows that are cut out at once; 64 MB in float32."""
MOST_KEPT = 1 << 27
"""Values of the rows that are kept for the passes after the first; 512 MB in float32."""
HOLD_BACK = 4
"""Every fourth image is held back, to choose the ridge by."""

Maps = tuple[np.ndarray, np.ndarray]
"""What a layer takes, and what it is to give."""


class Part(NamedTuple):
    """Some rows.

    Attributes:
        held: Whether they are of images that are held back.
        windows: Shape `(rows, columns)`.
        targets: Shape `(rows, outputs)`.
    """

    held: bool
    windows: np.ndarray
    targets: np.ndarray


class Feed:
    """Both networks, run up to a layer: what it takes, and what it is to give, at each call."""

    def __init__(self, fit: Fit, before: Graph, after: Graph) -> None:
        self.targets = fit.targets
        self.calls = [after.nodes[target.place] for target in fit.targets]
        self.takes = values_at(after, [node.inputs[0] for node in self.calls], "converted model")
        wanted = [node for target in fit.targets for node in needed(target)]
        self.wanted = values_at(before, wanted, "original")

    def maps(self, batch: Inputs) -> list[Maps]:
        """Compute what each call takes, and what it is to give, channels last."""
        held = iter(self.wanted(batch))
        targets = [
            values_of(target, [next(held) for _ in needed(target)]) for target in self.targets
        ]
        formats = [node.data_format for node in self.calls]
        takes = map(channels_last, self.takes(batch), formats)
        return list(zip(takes, targets, strict=True))


class Rows:
    """The rows of one layer, for several passes over the images.

    Args:
        feed: The networks, up to this layer.
        batches: Images.
    """

    def __init__(self, feed: Feed, batches: Batches) -> None:
        self.feed = feed
        self.batches = batches
        self.cells = -(-MOST_ROWS // max(batches.images, 1))
        self.kept: list[list[Part]] = []
        self.room = MOST_KEPT

    def __iter__(self) -> Iterator[Part]:
        """Yield all rows, a part of them at a time."""
        first = 0
        for number, batch in enumerate(self.batches):
            if number < len(self.kept):
                yield from self.kept[number]
            else:
                yield from self._made(number, batch, first)
            first += len(batch[0])

    def _made(self, number: int, batch: Inputs, first: int) -> Iterator[Part]:
        parts: list[Part] = []
        images = np.arange(first, first + len(batch[0]))
        for node, maps in zip(self.feed.calls, self.feed.maps(batch), strict=True):
            for part in parts_of(maps, images, node.spec, self.cells):
                self.room -= part.windows.size + part.targets.size
                if self.room >= 0:
                    parts.append(part)
                yield part
        if self.room >= 0 and number == len(self.kept):
            self.kept.append(parts)


def parts_of(maps: Maps, images: np.ndarray, spec: Spec, cells: int) -> Iterator[Part]:
    """Yield the rows of a batch, of as many images at a time as there is room for.

    Args:
        maps: What the layer takes and is to give, for each image.
        images: The images' numbers, by which their cells are drawn.
        spec: The layer.
        cells: How many of each map to draw.
    """
    takes, wanted = maps
    columns = math.prod(spec.weights["kernel"].shape[:-1])
    step = max(MOST_VALUES // (columns * min(cells, cells_of(wanted))), 1)
    for held in (False, True):
        chosen = np.flatnonzero((images % HOLD_BACK == HOLD_BACK - 1) == held)
        for first in range(0, len(chosen), step):
            some = chosen[first : first + step]
            yield Part(
                held, *cut(takes[some], wanted[some], spec, drawn(wanted, images[some], cells))
            )


def cells_of(maps: np.ndarray) -> int:
    """Say how many cells a map has."""
    return math.prod(maps.shape[1:-1])


def drawn(maps: np.ndarray, images: np.ndarray, cells: int) -> np.ndarray | None:
    """Return the numbers of cells `(images, cells)`, the same each time; None for all of them."""
    there = cells_of(maps)
    if there <= cells:
        return None
    return np.stack([np.random.default_rng(n).choice(there, cells, False) for n in images])


def cut(
    takes: np.ndarray, wanted: np.ndarray, spec: Spec, cells: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Cut the windows of a layer, and what it is to give, into rows.

    Args:
        takes: What the layer takes.
        wanted: What it is to give.
        spec: The layer, a convolution or Dense.
        cells: Numbers of cells of each image, None for all.
    """
    columns, outputs = math.prod(spec.weights["kernel"].shape[:-1]), wanted.shape[-1]
    flat = wanted.reshape(len(wanted), -1, outputs)
    if cells is not None:
        flat = np.take_along_axis(flat, cells[..., None], axis=1)
    if "kernel_size" in spec.config:
        return conv_windows(takes, spec.config, cells), flat.reshape(-1, outputs)
    windows = takes.reshape(len(takes), -1, columns)
    if cells is not None:
        windows = np.take_along_axis(windows, cells[..., None], axis=1)
    return windows.reshape(-1, columns), flat.reshape(-1, outputs)


def needed(target: Target) -> list[Node]:
    """List the tensors of the original that a target is made of."""
    return [target.values] if target.pool is None else [target.values, target.pool.inputs[0]]


def values_of(target: Target, held: list[np.ndarray]) -> np.ndarray:
    """Compute what a layer is to give, channels last, from the values of what is `needed`."""
    maps = [channels_last(values, target.values.data_format) for values in held]
    if target.pool is None:
        return maps[0]
    values, places = maps
    return winners(places, values, target.pool.config)
