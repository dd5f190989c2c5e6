"""A small compiler that turns Keras CNNs into all-convolutional networks with the same outputs."""

from allconv.check import ShapeCheck, check
from allconv.convert import convert, is_all_convolutional
from allconv.export.onnx_report import OnnxReport
from allconv.export_onnx import export_onnx
from allconv.geometry import Geometry, geometry
from allconv.read.file import ModelFile
from allconv.report import Report, report
from allconv.strategies import ConvPool, ExactPool, StridePool
from allconv.verify import Verification, verify

__version__ = "0.1.0"
__all__ = [
    "ConvPool",
    "ExactPool",
    "Geometry",
    "ModelFile",
    "OnnxReport",
    "Report",
    "ShapeCheck",
    "StridePool",
    "Verification",
    "__version__",
    "check",
    "convert",
    "export_onnx",
    "geometry",
    "is_all_convolutional",
    "report",
    "verify",
]
