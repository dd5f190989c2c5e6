"""The weights in an `.h5` file of any Keras: a group for each layer, which lists its arrays.

A nested model is one such layer. Its arrays are those that train, layer after layer, and then the
others: the order of `trainable_weights + non_trainable_weights`, which is one in Keras 1 and 2 and
another in Keras 3 where a model is frozen and layers in it are not.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from allconv.errors import FileError
from allconv.read.hdf5 import Group
from allconv.read.layer_tree import Path, is_model, name_of
from allconv.weights import Array

Names = Mapping[Path, Sequence[str] | None]
"""The names of each layer's weights, None where they are not known; an InputLayer is not there."""
Found = dict[Path, list[Array] | None]
"""The arrays of each layer, None where it cannot be told which they are."""
Place = tuple[Path, str]
"""A weight: its layer, and its name there."""

STATISTICS = {
    *("moving_mean", "moving_variance", "moving_stddev", "renorm_mean", "renorm_stddev"),
    *("mean", "variance", "count"),
}
"""Weights that no gradient changes."""


def arrays_by_layer(
    config: Mapping[str, Any], root: Group, names: Names, keras_version: str
) -> Found:
    """Find the arrays of every layer, in the order of its variables.

    Args:
        config: The model's configuration, in Keras 3's words.
        root: The group of the model's weights.
        names: The weights that the layers need.
        keras_version: Of the Keras that wrote the file.

    Raises:
        FileError: The file is damaged, or an array that it lists is not there.
    """
    found: Found = {}
    for data, arrays in _matched(config, root, names):
        if is_model(data):
            found |= _shared_out(data, arrays, names, keras_version.startswith("3"))
        else:
            found[name_of(data),] = arrays
    return found


def _matched(
    config: Mapping[str, Any], root: Group, names: Names
) -> Iterator[tuple[Mapping[str, Any], list[Array]]]:
    """Match layers that have weights with arrays: by name, else by order, as Keras does."""
    stored = dict(_stored(root))
    layers = {name_of(data): data for data in config["layers"]}
    needing = [name for name, data in layers.items() if _needs_weights(data, names)]
    if not set(needing) <= set(stored) and len(needing) == len(stored):
        stored = dict(zip(needing, stored.values(), strict=True))
    for name, arrays in stored.items():
        if name in layers:
            yield layers[name], arrays


def _stored(root: Group) -> Iterator[tuple[str, list[Array]]]:
    for name in root.texts("layer_names") or []:
        group = root.group(name)
        listed = (group.texts("weight_names") if group else None) or []
        if len(set(listed)) < len(listed):
            raise FileError(
                f"{root.region.path}: layer '{name}' has two weights of one name in it, so saving "
                "it went wrong; save the model again, as .keras"
            )
        if group and listed:
            yield name, [_array(group, path) for path in listed]


def _array(group: Group, path: str) -> Array:
    array = group.array(path)
    if array is None:
        raise FileError(f"{group.region.path}: the array '{path}', which it lists, is not in it")
    return array


def _needs_weights(data: Mapping[str, Any], names: Names) -> bool:
    return any(names.get(path, []) != [] for path, _ in _leaves(data, ()))


def _leaves(data: Mapping[str, Any], inside: Path) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    """Yield the layers that a layer stands for: itself, or those of a nested model."""
    path = (*inside, name_of(data))
    if not is_model(data):
        yield path, data
        return
    for inner in data["config"]["layers"]:
        yield from _leaves(inner, path)


def _shared_out(
    data: Mapping[str, Any], arrays: Sequence[Array], names: Names, keras_3: bool
) -> Found:
    """Share the arrays of a nested model out among its layers.

    Where the weights of a layer are not known it is taken to have none if the others account for
    all arrays; else nothing is told.
    """
    places = _order_in_keras_3(data, names) if keras_3 else _order(data, (), names)
    leaves = [path for path, _ in _leaves(data, ())]
    if len(places) == len(arrays):
        at = dict(zip(places, arrays, strict=True))
        return {path: [at[path, name] for name in names.get(path) or ()] for path in leaves}
    is_known = all(names.get(path, ()) is not None for path in leaves)
    return {} if is_known else {path: None for path in leaves if names.get(path, ()) != []}


def _order_in_keras_3(data: Mapping[str, Any], names: Names) -> list[Place]:
    """Ask the saved model and the weights, but no model between, as Keras 3 does, what trains.

    Its `Layer.trainable_weights` are `[w for w in self.weights if w.trainable]`, and none of them
    where the layer itself is frozen.
    """
    leaves = list(_leaves(data, ()))
    places = [(path, name) for path, _ in leaves for name in names.get(path) or ()]
    if not data["config"].get("trainable", True):
        return places
    frozen = {path for path, leaf in leaves if not leaf["config"].get("trainable", True)}
    others = [place for place in places if place[0] in frozen or place[1] in STATISTICS]
    resting = set(others)
    return [place for place in places if place not in resting] + others


def _order(data: Mapping[str, Any], inside: Path, names: Names) -> list[Place]:
    """Ask every model on the way down what trains, as Keras 1 and 2 do."""
    training, others = _split(data, inside, names)
    return training + others


def _split(data: Mapping[str, Any], inside: Path, names: Names) -> tuple[list[Place], list[Place]]:
    """Split a layer's weights into those that train and the others, as all of a frozen one are."""
    path = (*inside, name_of(data))
    if is_model(data):
        parts = [_split(inner, path, names) for inner in data["config"]["layers"]]
        training = [place for part, _ in parts for place in part]
        others = [place for _, part in parts for place in part]
    else:
        places = [(path, name) for name in names.get(path) or ()]
        training = [place for place in places if place[1] not in STATISTICS]
        others = [place for place in places if place[1] in STATISTICS]
    trains = data["config"].get("trainable", True)
    return (training, others) if trains else ([], training + others)
