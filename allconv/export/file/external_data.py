"""Weights beside an ONNX file, in one of their own, where they are more than a message holds.

ONNX files are messages of Protocol Buffers, which end at 2 GB. Beyond, the format lets a tensor say
in which file beside the model its values lie, and where in that file
(https://github.com/onnx/onnx/blob/main/docs/ExternalData.md).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

TensorsOf = Callable[[Mapping[str, np.ndarray]], list[Any]]
"""Makes ONNX' messages of a model's constants."""

MOST_BYTES = 2**31 - 2**26
"""Bytes of weights that go into the message itself: 2 GB, less what the graph may take."""

SMALLEST = 1024
"""Bytes of the smallest tensor worth a place outside; shapes and scalars stay in the message."""

PAGE = 4096
"""Tensors begin at multiples of this, so that runtimes can map them into memory."""


def data_file(path: Path) -> Path:
    """Say where the weights of an ONNX file lie if they lie outside."""
    return path.with_name(f"{path.name}.data")


def initializers(constants: Mapping[str, np.ndarray], path: Path) -> list[Any]:
    """Make ONNX' messages for constants that belong to a model at `path`.

    They hold the values as long as the message can be one; otherwise the values are written to
    `data_file(path)`, from the arrays as they are: no second copy is made.
    """
    import onnx

    if sum(values.nbytes for values in constants.values()) <= MOST_BYTES:
        return [
            onnx.numpy_helper.from_array(np.ascontiguousarray(values), name)
            for name, values in constants.items()
        ]
    with data_file(path).open("wb") as file:
        return [_outside(values, name, file) for name, values in constants.items()]


def _outside(values: np.ndarray, name: str, file: BinaryIO) -> Any:
    import onnx

    if values.nbytes < SMALLEST:
        return onnx.numpy_helper.from_array(np.ascontiguousarray(values), name)
    file.seek(-(-file.tell() // PAGE) * PAGE)
    tensor = onnx.TensorProto(
        name=name,
        dims=values.shape,
        data_type=onnx.helper.np_dtype_to_tensor_dtype(values.dtype),
        data_location=onnx.TensorProto.EXTERNAL,
    )
    place = {"location": Path(file.name).name, "offset": file.tell(), "length": values.nbytes}
    for key, value in place.items():
        tensor.external_data.add(key=key, value=str(value))
    little_endian = values.astype(values.dtype.newbyteorder("<"), copy=False)
    np.ascontiguousarray(little_endian).tofile(file)
    return tensor


def relocated(model: Any, path: Path) -> Any:
    """Move the weights of a model that lie outside it to `data_file(path)`; change it in place."""
    for tensor in model.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = data_file(path).name
    return model
