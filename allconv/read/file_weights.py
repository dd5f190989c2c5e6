"""The weights of a model file given to the layers that they belong to, not yet read.

What an array is called in a file says little: it is the name that a layer had when it was made.
Its place tells (`weights_by_layer`, `weights_by_path`), and within a layer the order of
`layer.weights`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from allconv.errors import FileError, ShapeError
from allconv.graph import Graph, Node, Spec
from allconv.layers.layer_shapes import weight_shapes
from allconv.read.archive import SavedModel
from allconv.read.layer_tree import Path
from allconv.read.old_kernels import in_keras_3_order
from allconv.read.weights_by_layer import Found, arrays_by_layer
from allconv.read.weights_by_path import arrays_by_path
from allconv.shape_walk import Problem
from allconv.weights import Array, derive, fresh

DENSEST, ALWAYS = 5, 2**24
"""Values for each byte of a file that packs them well, and how many no file is asked for."""

UNASSIGNED = (
    "which of the file's weights are its own cannot be told: they lie in one list with those of "
    "the other layers of its nested model, of which not all are known"
)

Shapes = Mapping[str, tuple[int, ...]]


def with_weights(
    graph: Graph, config: Mapping[str, Any], saved: SavedModel
) -> tuple[Graph, tuple[Problem, ...]]:
    """Give the layers of a graph their weights.

    Args:
        graph: Read from the file's description.
        config: That description's `config`, in Keras 3's words.
        saved: The file.

    Returns:
        The graph, and the layers for which the file holds other arrays than they need; these get
        fresh weights.

    Raises:
        FileError: The file is damaged.
        ShapeError: A layer's settings do not fit the shape of its input.
    """
    calls = _first_calls(graph)
    wanted = {path: _wanted(node) for path, node in calls.items()}
    found = _found(config, saved, wanted)
    _refuse_overlaps(found, saved)
    changed: dict[Spec, Spec] = {}
    problems: list[Problem] = []
    for path, node in calls.items():
        arrays = found.get(path, [])
        changed[node.spec], misfit = _with_arrays(node.spec, arrays, wanted[path], saved)
        if misfit:
            problems.append(Problem(node.name, node.kind, misfit))
    unassigned = tuple(repr(spec) for spec in changed.values() if spec.note == UNASSIGNED)
    return replace(graph.with_specs(changed), unassigned=unassigned), tuple(problems)


def _found(
    config: Mapping[str, Any], saved: SavedModel, wanted: Mapping[Path, Shapes | None]
) -> Found:
    if saved.order == "by path":
        return dict(arrays_by_path(config, saved.weights))
    names = {path: None if shapes is None else list(shapes) for path, shapes in wanted.items()}
    return arrays_by_layer(config, saved.weights, names, saved.keras_version)


def _with_arrays(
    spec: Spec, arrays: Sequence[Array] | None, wanted: Shapes | None, saved: SavedModel
) -> tuple[Spec, str]:
    """Give a layer its arrays, and say what is wrong with them or ""."""
    where = f"{saved.path}: layer '{spec.name}'"
    if arrays is None:
        lost = {
            name: Array(shape, recipe=refuse_unassigned, parts=(where,))
            for name, shape in (wanted or {}).items()
        }
        return replace(spec, weights=lost, note=UNASSIGNED), ""
    arrays, note = in_keras_3_order(arrays, spec, wanted, saved)
    misfit = _misfit(arrays, wanted)
    weights = _named(arrays, wanted, bool(misfit), where)
    return replace(spec, weights=weights, note=note), misfit


def _refuse_overlaps(found: Found, saved: SavedModel) -> None:
    """Raise a FileError where arrays have more values together than any file of this size.

    Each may be all there, and yet all in the same place; read, they would fill the memory.
    """
    values, size = (
        sum(array.size for arrays in found.values() for array in arrays or ()),
        saved.weights.region.size,
    )
    if values > max(DENSEST * size, ALWAYS):
        raise FileError(
            f"{saved.path}: its arrays claim {values:,} values together, which are not in "
            f"{size:,} bytes"
        )


def _first_calls(graph: Graph) -> dict[Path, Node]:
    """Find each layer's first call, on whose input it is built, by its place in the file."""
    calls: dict[Path, Node] = {}
    for node in graph.nodes:
        calls.setdefault((*node.spec.inside, node.name), node)
    return calls


def _wanted(node: Node) -> Shapes | None:
    """Return the shapes of a layer's weights by name; None where they are not known.

    Raises:
        ShapeError: No layer of these settings has weights on such an input.
    """
    try:
        return weight_shapes(node.kind, node.config, [source.shape for source in node.inputs])
    except ShapeError as error:
        raise ShapeError(f"layer '{node.name}' ({node.kind}): {error}") from None


def _misfit(arrays: Sequence[Array], wanted: Shapes | None) -> str:
    """Say what is wrong with the arrays found for a layer; "" where nothing is."""
    if wanted is None:
        return ""
    if len(arrays) != len(wanted):
        needed = f"it needs {len(wanted)} ({', '.join(wanted)})" if wanted else "it needs none"
        held = "1 weight" if len(arrays) == 1 else f"{len(arrays) or 'no'} weights"
        return f"the file holds {held} for it, {needed}"
    pairs = zip(arrays, wanted.items(), strict=True)
    return "; ".join(
        f"its {name} has the shape {array.shape} in the file, it needs {shape}"
        for array, (name, shape) in pairs
        if array.shape != shape
    )


def _named(
    arrays: Sequence[Array], wanted: Shapes | None, misfit: bool, where: str
) -> dict[str, Array]:
    if misfit and wanted is not None:
        return {name: fresh(shape) for name, shape in wanted.items()}
    names = map(str, range(len(arrays))) if wanted is None else wanted
    return {
        name: derive(without_nan, array, f"{where}: its {name}", shape=array.shape)
        for name, array in zip(names, arrays, strict=True)
    }


def without_nan(values: np.ndarray, where: str) -> np.ndarray:
    """Return the values of a weight.

    Raises:
        FileError: Some are NaN: a network with these gives NaN, and no conversion of it can be
            compared with it.
    """
    if values.dtype.kind == "f" and (bad := int(np.isnan(values).sum())):
        raise FileError(
            f"{where} holds NaN in {bad:,} of {values.size:,} places, so the model gives NaN; its "
            "training went wrong: take an earlier checkpoint"
        )
    return values


def refuse_unassigned(where: str) -> np.ndarray:
    """Raise an error in place of values that no layer can be found for.

    Raises:
        FileError: Always.
    """
    raise FileError(f"{where}: {UNASSIGNED}")
