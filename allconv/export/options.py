"""How an ONNX file is to be written, as `export_onnx` and the command line are told it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from allconv.errors import OptionError
from allconv.export.precision.sample_inputs import Images
from allconv.pictures.preprocessing import Preprocessing

DataFormat = Literal["channels_first", "channels_last"]

IR_VERSIONS = {13: 7, 14: 7, 15: 8, 16: 8, 17: 8, 18: 8}
"""By opset: the oldest version of the file format that goes with it, which most runtimes read."""


@dataclass(frozen=True)
class ExportOptions:
    """Options of an export, as of `export_onnx`.

    Raises:
        OptionError: One is unknown, or two exclude each other.
    """

    opset_version: int = 18
    data_format: DataFormat = "channels_first"
    verify: bool = True
    float16: bool = False
    int8: Images | None = None
    preprocessing: Preprocessing | None = None

    def __post_init__(self) -> None:
        version: object = self.opset_version
        if not isinstance(version, int) or version not in IR_VERSIONS:
            raise OptionError(
                f"opset_version is {version!r}; expected {min(IR_VERSIONS)} to "
                f"{max(IR_VERSIONS)}, the versions that tf2onnx writes"
            )
        if self.data_format not in get_args(DataFormat):
            raise OptionError(
                f"data_format is {self.data_format!r}; expected 'channels_first' or 'channels_last'"
            )
        if self.float16 and self.int8 is not None:
            raise OptionError("float16 and int8 are two precisions; ask for one of them")
        if self.preprocessing is not None and self.int8 is None:
            raise OptionError("preprocessing is for the pictures that int8 takes; give int8 some")

    @property
    def is_float32(self) -> bool:
        """Whether the file computes in float32, as everything before the last step does."""
        return not self.float16 and self.int8 is None
