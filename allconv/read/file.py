"""A model file of any age read into a graph, without Keras: nothing in it is executed."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from allconv.errors import FileError, ModelError, ShapeError
from allconv.graph import Graph
from allconv.read import layer_tree
from allconv.read.archive import opened
from allconv.read.description import LONGEST_NAME
from allconv.read.dialects import in_keras_3_words
from allconv.read.file_weights import with_weights
from allconv.read.keras_config import parse_model
from allconv.read.settings import checked_settings
from allconv.shape_walk import Problem
from allconv.weights import Array


@dataclass(frozen=True)
class ModelFile:
    """A model file; with `config`, a file of weights only and the description of its model.

    Attributes:
        path: A `.keras` or `.h5` file. Its content counts, not its name.
        config: A JSON file, as `model.to_json()` writes it.

    Example:
        >>> ModelFile("weights.h5", config="model.json")
        ModelFile(path='weights.h5', config='model.json')
    """

    path: str | os.PathLike[str]
    config: str | os.PathLike[str] | None = None


def read_file(file: ModelFile) -> tuple[Graph, tuple[Problem, ...]]:
    """Read a model file.

    Returns:
        The graph, and the layers for which the file holds other weights than they need.

    Raises:
        FileError: The file is no model file, or damaged.
        ModelError: Its model is not of a kind to make a graph of.
        ShapeError: Its layers do not fit together.
    """
    config = None if file.config is None else Path(file.config)
    with opened(Path(file.path), config) as saved, _errors_naming(config or saved.path):
        model = in_keras_3_words(saved.description, saved.keras_version)
        graph = parse_model(model["class_name"], model["config"], NoLayers())
        graph = replace(_with_names(graph, saved.output_names), from_file=True)
        graph = replace(graph, compile_settings=saved.compile_settings)
        return with_weights(graph, model["config"], saved)


def _with_names(graph: Graph, names: tuple[str, ...]) -> Graph:
    """Call the graph's outputs as the file says apart from Keras, if it does."""
    fits = len(names) == len(graph.outputs) and max(map(len, names), default=0) <= LONGEST_NAME
    return replace(graph, output_names=names) if fits else graph


@contextmanager
def _errors_naming(path: Path) -> Iterator[None]:
    """Name the file in what is wrong with the model that it describes."""
    try:
        yield
    except (ModelError, ShapeError) as error:
        raise type(error)(f"{path}: {error}") from error


def refuse_misfits(file: ModelFile, problems: tuple[Problem, ...]) -> None:
    """Raise a FileError that lists the layers whose weights in a file do not fit, if any."""
    if problems:
        lines = "\n".join(f"  {problem}" for problem in problems)
        raise FileError(f"{file.path}: weights and layers do not fit together:\n{lines}")


class NoLayers:
    """What a file gives of layers besides their description: their weights come afterwards."""

    def settings(self, kind: str, config: Mapping[str, Any], where: str) -> dict[str, Any]:
        """Check the settings of a layer, of which nothing is taken at its word."""
        return checked_settings(kind, config, where)

    def weights(self, path: layer_tree.Path) -> Mapping[str, Array]:
        """Give no weights yet."""
        return {}

    def layer(self, path: layer_tree.Path) -> Any:
        """Return None, since there is no layer in memory."""
        return None

    def shape_wanted(self) -> str:
        """Say what to do about a model that was saved before it knew its input's shape."""
        return (
            "write it in Python with keras.Input(shape) in front, take this file's weights by "
            "model.load_weights(FILE), and give allconv the model, or save it and give the new file"
        )

    def has_own_activation(self, path: layer_tree.Path) -> bool:
        """Return False, since it cannot be told: a file has a function's name alone."""
        return False
