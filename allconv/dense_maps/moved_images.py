"""A finer class map compared with the map at the network's own stride, of images that are moved."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np

from allconv.building.build import build
from allconv.dense_maps.pair import SAMPLES, Pair, has_cells, pair_of
from allconv.errors import ConversionError
from allconv.layout import layout
from allconv.rewrite import Plan
from allconv.shape_walk import images, size_words
from allconv.verification.copies import in_float32
from allconv.verification.inputs import draw_inputs
from allconv.verification.logits import Arrays, runners
from allconv.verification.precision import computes_in_half, default_tolerance
from allconv.verify import Verification, verify

if TYPE_CHECKING:
    import keras


def with_moved_images(
    found: Verification, plan: Plan, result: Plan, converted: keras.Model | None = None
) -> Verification:
    """Add to a comparison at the model's own size that of the finer map with moved images.

    Args:
        found: The comparison at the model's own size.
        plan: The conversion, for the model's own size.
        result: What becomes of it; where its map is none of a finer stride, there is nothing to
            add.
        converted: The model of it, where it is built.
    """
    if found.passed is not True or result.output_stride is None:
        return found
    moved = verify_moved(plan, result, converted)
    if moved.passed is not True:
        return moved
    words = f"and {moved.reason}, largest relative error {moved.max_error:.1e}"
    reason = f"{found.reason}; {words}" if found.reason else words
    return replace(
        found, max_error=max(found.max_error or 0.0, moved.max_error or 0.0), reason=reason
    )


def verify_moved(plan: Plan, result: Plan, converted: keras.Model | None = None) -> Verification:
    """Compare the finer map with the map of the network's own stride, on images that are moved.

    Args:
        plan: The conversion, for the model's own size.
        result: The same with the finer map.
        converted: The model of it, where it is built.
    """
    stride = size_words(result.output_stride or ())
    try:
        pair = pair_of(plan, result)
        _refuse_bias(pair)
    except ConversionError as error:
        return Verification(None, reason=f"the map of stride {stride}: {error}")
    models = [build(pair.coarse), build(pair.finer) if converted is None else converted]
    if any(map(computes_in_half, models)):
        models = [in_float32(model) for model in models]
    drawn = _drawn(models[0], pair)
    tolerance = default_tolerance(*models)
    coarse, finer = _functions(pair, *models)
    words = f"the map of stride {stride} against {len(pair.moves())} moved images"
    measured = verify(coarse, finer, drawn, tolerance=tolerance)
    reason = f"{words}: {measured.reason}" if measured.reason else words
    return replace(measured, reason=reason)


def _refuse_bias(pair: Pair) -> None:
    """Raise a ConversionError where Keras itself computes something else than its layers say."""
    import keras

    if pair.is_biased and keras.config.backend() == "tensorflow":
        raise ConversionError(
            "Keras on TensorFlow adds a bias along the rows of a map that are as long as it has "
            f"channels, as on images of {size_words(pair.size)}"
        )


def _drawn(model: Any, pair: Pair) -> Any:
    known = SimpleNamespace(
        inputs=[SimpleNamespace(shape=node.shape) for node in pair.coarse.inputs]
    )
    drawn = draw_inputs(model, 0, known)
    whole = any(node.shape and node.shape[0] for node in pair.coarse.inputs)
    arrays = drawn if whole else [array[:SAMPLES] for array in drawn]
    return arrays[0] if len(arrays) == 1 else arrays


def _functions(pair: Pair, coarse: Any, finer: Any) -> tuple[Callable[..., Arrays], ...]:
    """Make functions from images to the cells to compare: of moved images; of the finer map."""
    run_coarse, run_finer = runners(coarse, finer)

    def of_moved(batch: Any) -> Arrays:
        maps = [run_coarse(_moved(pair, _listed(batch), move)) for move in pair.moves()]
        return _compared(pair, maps, 0)

    def of_finer(batch: Any) -> Arrays:
        maps = run_finer(_listed(batch))
        return _compared(pair, [maps] * len(pair.moves()), 1)

    return of_moved, of_finer


def _moved(pair: Pair, batch: Sequence[np.ndarray], move: Sequence[int]) -> list[np.ndarray]:
    """Move all images among the inputs in a ring."""
    axes = {
        image.node: layout(image.node, image.data_format).spatial_axes
        for image in images(pair.coarse)
    }
    back = [-cells for cells in move]
    return [
        np.roll(array, back, axes[node]) if node in axes else array
        for node, array in zip(pair.coarse.inputs, batch, strict=True)
    ]


def _compared(pair: Pair, maps: Sequence[Arrays], side: int) -> Arrays:
    """Collect the cells to compare of each output, of all moves in a row.

    `maps` has the outputs for each move.
    """
    found = []
    for output in range(len(pair.extents)):
        parts = [
            part
            for move, arrays in zip(pair.moves(), maps, strict=True)
            for part in _picked(pair, output, move, arrays[output], side)
        ]
        found.append(np.concatenate(parts, axis=1))
    return found


def _listed(batch: Any) -> list[np.ndarray]:
    return list(batch) if isinstance(batch, list | tuple) else [batch]


def _picked(
    pair: Pair, output: int, move: Sequence[int], values: np.ndarray, side: int
) -> Iterator[np.ndarray]:
    """Pick the cells to compare from a map, in a row."""
    cells = pair.cells(output, move)
    if not has_cells(cells):
        return
    node = pair.finer.outputs[output]
    if layout(node).channels_first:
        values = np.moveaxis(values, 1, -1)
    for axis, each in enumerate(cells, 1):
        values = values.take(each[side], axis=axis)
    yield values.reshape(len(values), -1, values.shape[-1])
