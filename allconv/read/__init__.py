"""A model, in memory or in a file, read into a graph."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from allconv.graph import Graph
from allconv.read.file import ModelFile, read_file, refuse_misfits
from allconv.read.live import read_model
from allconv.shape_walk import Problem

if TYPE_CHECKING:
    import keras


def is_live(model: keras.Model | str | os.PathLike[str] | ModelFile | Graph) -> bool:
    """Tell whether a model is in memory, no file and nothing that was read from one."""
    return not isinstance(model, (str, os.PathLike, ModelFile, Graph))


def read(model: keras.Model | str | os.PathLike[str] | ModelFile | Graph) -> Graph:
    """Read a Keras model, or a `.keras` or `.h5` file, into a graph; a graph is given back.

    Raises:
        FileError: The file is no model file, damaged, or its weights do not fit its layers.
        ModelError: The model is no Sequential or Functional model, or it is not built.
        ShapeError: Its layers do not fit together.
    """
    graph, problems = read_with_problems(model)
    if problems:
        refuse_misfits(_file(model), problems)
    return graph


def read_with_problems(
    model: keras.Model | str | os.PathLike[str] | ModelFile | Graph,
) -> tuple[Graph, tuple[Problem, ...]]:
    """Read a model; the layers whose weights in a file do not fit are told, not refused."""
    if isinstance(model, Graph):
        return model, ()
    return (read_model(model), ()) if is_live(model) else read_file(_file(model))


def _file(model: object) -> ModelFile:
    return model if isinstance(model, ModelFile) else ModelFile(model)  # type: ignore[arg-type]
