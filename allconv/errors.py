"""What can go wrong, one class per kind.

Every message says where (layer name, class), what was found, what was expected and what to do.
Everything that allconv raises on purpose is an `AllconvError`; the command line turns it into one
message and exit status 2.
"""

from __future__ import annotations


class AllconvError(Exception):
    """Base of everything that allconv raises on purpose."""


class ModelError(AllconvError):
    """The model cannot be read: not built, empty, subclassed, not a Keras model."""


class FileError(AllconvError):
    """A model file cannot be read or written: missing, a folder, truncated, not Keras' format."""


class OptionError(AllconvError):
    """An option of a call is wrong: an unknown strategy, an unknown layer name, a bad size."""


class ShapeError(AllconvError):
    """Shapes do not fit: a map vanishes, weights or merge inputs disagree."""


class ConversionError(AllconvError):
    """Layers stand in the way of an all-convolutional model; the message lists all of them."""


class RuleError(AllconvError):
    """A rule broke its contract: it changed a shape it keeps, or it never stops firing."""


class VerificationError(AllconvError):
    """A conversion that should be lossless disagrees with the original."""


class ExportError(AllconvError):
    """A model cannot be written as ONNX, or the file does not hold what was promised."""


class CalibrationError(AllconvError):
    """There is nothing to fit a converted model to: no new layer, or images that say nothing."""


def first_line(error: Exception) -> str:
    """What an error of another package says, in a line; "" where it says nothing."""
    return next((line for line in str(error).splitlines() if line.strip()), "")
