"""A small compiler that turns Keras CNNs into all-convolutional networks with the same outputs."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from allconv.building.freezing import freeze_fixed
from allconv.calibrate import calibrate
from allconv.check import ShapeCheck, check
from allconv.convert import convert, is_all_convolutional
from allconv.distill import Distillation, distill
from allconv.errors import (
    AllconvError,
    CalibrationError,
    ConversionError,
    ExportError,
    FileError,
    ModelError,
    OptionError,
    RuleError,
    ShapeError,
    VerificationError,
)
from allconv.export_onnx import export_onnx
from allconv.fitting.calibration import Calibration
from allconv.geometry import geometry
from allconv.pictures.overlay import overlay
from allconv.pictures.preprocessing import Preprocessing
from allconv.read.file import ModelFile
from allconv.report import Report, report
from allconv.segmenter import segmenter
from allconv.sizes.map_geometry import Geometry
from allconv.strategies import ConvPool, ExactPool, StridePool
from allconv.verify import Verification, verify

if TYPE_CHECKING:
    from allconv import losses
    from allconv.export.onnx_report import OnnxReport

__version__ = "0.1.0"
__all__ = [
    "AllconvError",
    "Calibration",
    "CalibrationError",
    "ConvPool",
    "ConversionError",
    "Distillation",
    "ExactPool",
    "ExportError",
    "FileError",
    "Geometry",
    "ModelError",
    "ModelFile",
    "OnnxReport",
    "OptionError",
    "Preprocessing",
    "Report",
    "RuleError",
    "ShapeCheck",
    "ShapeError",
    "StridePool",
    "Verification",
    "VerificationError",
    "__version__",
    "calibrate",
    "check",
    "convert",
    "distill",
    "export_onnx",
    "freeze_fixed",
    "geometry",
    "is_all_convolutional",
    "losses",
    "overlay",
    "report",
    "segmenter",
    "verify",
]


def __dir__() -> list[str]:
    """Return the public names, without the modules behind them."""
    return __all__


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for, since a report does not need all of them."""
    if name == "losses":  # imports Keras
        return import_module("allconv.losses")
    if name != "OnnxReport":
        raise AttributeError(f"module 'allconv' has no attribute {name!r}")
    from allconv.export.onnx_report import OnnxReport

    return OnnxReport
