"""What a file that allconv writes says of its outputs' names, besides what Keras says.

A file of Keras has the names of the layers. Of a single output the layer behind the convolution
has another name than the output; a member of the archive, or an attribute in HDF5, tells it. Keras
reads neither.
"""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

KEY = "allconv_output_names"
MEMBER = f"{KEY}.json"


def save_with_names(model: Any, path: Path) -> None:
    """Write a model to a file of Keras, with the names of its outputs where its layers differ."""
    model.save(path)
    if path.suffix == ".h5" and not getattr(getattr(model, "optimizer", None), "built", True):
        _drop_optimizer_state(path)
    names = list(getattr(model, "output_names", ()))
    layers = [tensor._keras_history.operation.name for tensor in model.outputs]
    if names and names != layers:
        _add(json.dumps(names), path)


def _drop_optimizer_state(path: Path) -> None:
    """Leave out what an optimizer has before it is built.

    With it Keras would load the model with an optimizer that knows none of its variables.
    """
    import h5py

    with h5py.File(path, "a") as file:
        file.pop("optimizer_weights", None)


def _add(text: str, path: Path) -> None:
    if path.suffix == ".h5":
        import h5py

        with h5py.File(path, "a") as file:
            file.attrs[KEY] = text
    else:
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr(MEMBER, text)


def names_in(text: str | None) -> tuple[str, ...]:
    """Read the names in such a text; none where it is no list of names."""
    try:
        names = json.loads(text or "[]")
    except (ValueError, RecursionError):
        return ()
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        return ()
    return tuple(names)
