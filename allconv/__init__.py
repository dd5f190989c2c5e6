"""A small compiler that turns Keras CNNs into all-convolutional networks with the same outputs."""

from allconv.check import ShapeCheck, check
from allconv.convert import convert
from allconv.report import Report, report
from allconv.strategies import ConvPool, ExactPool, StridePool
from allconv.verify import Verification, verify

__version__ = "0.1.0"
__all__ = [
    "ConvPool",
    "ExactPool",
    "Report",
    "ShapeCheck",
    "StridePool",
    "Verification",
    "__version__",
    "check",
    "convert",
    "report",
    "verify",
]
