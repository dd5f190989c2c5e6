"""A model, in memory or in a file, read into a graph."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from allconv.graph import Graph
from allconv.read.file import open_model
from allconv.read.live import read_model

if TYPE_CHECKING:
    import keras


def live_model(model: keras.Model | str | os.PathLike[str]) -> Any:
    """A model in memory: the one given, or the one in the file given."""
    return open_model(model) if isinstance(model, (str, Path, os.PathLike)) else model


def read(model: keras.Model | str | os.PathLike[str]) -> Graph:
    """Read a Keras model, or a `.keras` or `.h5` file, into a graph.

    Raises:
        FileError: The file cannot be opened.
        ModelError: The model is no Sequential or Functional model, or it is not built.
        ShapeError: Its layers do not fit together.
    """
    return read_model(live_model(model))
