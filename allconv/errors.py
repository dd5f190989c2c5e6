"""What can go wrong, one class per kind.

Every message says where (layer name, class), what was found, what was expected and what to do.
Everything that allconv raises on purpose is an `AllconvError`; the command line turns it into one
message and exit status 2. Some errors are also the Python error that you expect: a wrong option is
a `ValueError`, and a file that cannot be read is an `OSError`. Code in allconv that catches these
lets an `AllconvError` pass first.
"""

from __future__ import annotations

import re


class AllconvError(Exception):
    """The base class of everything that allconv raises on purpose."""


class ModelError(AllconvError):
    """The model cannot be read: not built, empty, subclassed, not a Keras model."""


class FileError(AllconvError, OSError):
    """A file cannot be read or written: missing, a folder, truncated, not Keras' format."""


class OptionError(AllconvError, ValueError):
    """An option of a call is wrong: an unknown strategy, an unknown layer name, a bad size."""


class ShapeError(AllconvError, ValueError):
    """Shapes do not fit: a map vanishes, weights or merge inputs disagree."""


class ConversionError(AllconvError):
    """Layers stand in the way of an all-convolutional model; the message lists them by cause."""


class RuleError(AllconvError):
    """A rule broke its contract: it changed a shape it keeps, or it never stops firing."""


class VerificationError(AllconvError):
    """A conversion that should be lossless disagrees with the original."""


class ExportError(AllconvError):
    """A model cannot be written as ONNX, or the file does not hold what was promised."""


class CalibrationError(AllconvError):
    """A converted model cannot be fitted: it has no new layer, or the images tell nothing."""


_HEADING = re.compile(r"Exception encountered when calling .*\.")
"""The first line of Keras' errors in layers; what happened is below."""

_AROUND = re.compile(r"\x1b\[\d*m|^{{.*?}} ")
"""Colours, and TensorFlow's name for the place in its graph."""


def first_line(error: BaseException) -> str:
    """Find the line of another package's error that says what happened; "" where none does."""
    lines = (_AROUND.sub("", line).strip() for line in str(error).splitlines())
    return next((line for line in lines if line and not _HEADING.fullmatch(line)), "")


_LACKS_MEMORY = (
    *("MemoryError", "Cannot allocate memory", "failed to map segment", "out of memory"),
    *("ResourceExhaustedError", "RESOURCE_EXHAUSTED", "OutOfMemoryError"),
)
"""By what Python, the loader of libraries, CUDA and Keras' backends say so."""


def lack_of_memory(error: BaseException) -> str:
    """Say that too little memory caused an error; "" where it did not."""
    what = f"{type(error).__name__}: {first_line(error)}".removesuffix(": ")
    return (
        f"there is not enough memory ({what})"
        if any(word in what for word in _LACKS_MEMORY)
        else ""
    )


FOR_ONNX = "tensorflow tf2onnx onnx onnxruntime"
"""The packages that write, check and run ONNX files, by the names that pip knows."""


def lacking(name: str, error: ImportError, packages: str = "") -> str:
    """Say that a package cannot be imported, and which packages bring it, if others or more do.

    They are named, and no extra of allconv: how pip names an extra depends on where allconv was
    installed from, a folder, a wheel or an index.
    """
    return f"{name} cannot be imported ({error}); pip install {packages or name} brings it"
