"""An ONNX file in the making: complete and checked before it stands in its place."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from allconv.errors import AllconvError, ExportError, FileError
from allconv.export.file.external_data import TensorsOf, data_file, initializers, relocated
from allconv.export.foreign_errors import reason
from allconv.saving.drafts import draft_folder, put, real_place, take_mode


@dataclass(frozen=True)
class Draft:
    """A folder beside the place where a file is to stand.

    Attributes:
        target: That place.
        folder: Holds the file, the file of its weights if they lie outside, and whatever is
            needed on the way.
    """

    target: Path
    folder: Path

    @property
    def file(self) -> Path:
        """The file while it is a draft; it has the name that it will have."""
        return self.folder / self.target.name

    def write(self, make: Callable[[TensorsOf], Any], name: str = "") -> Any:
        """Write the ONNX model that `make` makes of its weights' messages, and return it.

        Args:
            make: Makes the model; it is given what makes the messages.
            name: The name of the file, if it is not the one to be put in place.
        """
        file = self._at(name)
        model = make(partial(initializers, path=file))
        file.write_bytes(model.SerializeToString())
        return model

    def take(self, source: Path, name: str = "") -> Any:
        """Move a file here with what lies outside it, and return its model."""
        import onnx

        file = self._at(name)
        model = relocated(onnx.load(source, load_external_data=False), file)
        if data_file(source).exists():
            shutil.move(data_file(source), data_file(file))
        file.write_bytes(model.SerializeToString())
        return model

    def weights_file(self) -> str:
        """Return the name of the file of its weights, "" where it holds them itself."""
        return data_file(self.file).name if data_file(self.file).exists() else ""

    def size(self) -> int:
        """Count the bytes of the file, with those of its weights."""
        return sum(part.stat().st_size for part in self._parts())

    def check(self, name: str = "") -> None:
        """Hold the file, or another one here, to ONNX' format, shapes and types included.

        Raises:
            ExportError: ONNX' checker refuses it.
        """
        import onnx

        try:
            onnx.checker.check_model(str(self._at(name)), full_check=True)
        except Exception as error:  # the checker's kinds and those of shape inference
            raise ExportError(
                f"{self.target}: ONNX' checker refuses it: {reason(error)}"
            ) from error

    def put_in_place(self) -> None:
        """Move what was written to where it is to be; either all of it stands there or nothing.

        An older file keeps its weights until the new one stands: they are laid aside, and come
        back where the last step fails.
        """
        new, old = data_file(self.target), self.folder / "old.data"
        has_weights = data_file(self.file).exists()
        if has_weights and new.exists():
            take_mode(data_file(self.file), new)
            os.replace(new, old)
        try:
            if has_weights:
                os.replace(data_file(self.file), new)
            put(self.file, self.target)
        except BaseException:
            if has_weights:
                new.unlink(missing_ok=True)
            if old.exists():
                os.replace(old, new)
            raise

    def _at(self, name: str) -> Path:
        return self.folder / name if name else self.file

    def _parts(self) -> list[Path]:
        return [part for part in (self.file, data_file(self.file)) if part.exists()]


@contextmanager
def drafted(path: Path) -> Iterator[Draft]:
    """Make a draft of the file at `path`; whatever happens, nothing else is left of it.

    Raises:
        FileError: Something cannot be written.
    """
    try:
        target = real_place(path)
        with draft_folder(target) as folder:
            yield Draft(target, folder)
    except AllconvError:
        raise
    except OSError as error:
        raise FileError(f"{path}: cannot be written: {error.strerror or error}") from error
