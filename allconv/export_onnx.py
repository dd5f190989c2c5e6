"""`export_onnx`: a model as an ONNX file; what writes it is imported when it is asked for."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from allconv.building.provenance import history_of
from allconv.dense_maps.strides import OutputStride
from allconv.errors import OptionError
from allconv.graph import Graph
from allconv.pictures.preprocessing import Preprocessing
from allconv.read import is_live, read
from allconv.read.file import ModelFile
from allconv.resize import InputSize
from allconv.save import check_writable

if TYPE_CHECKING:
    import keras

    from allconv.export.onnx_report import OnnxReport
    from allconv.export.options import DataFormat
    from allconv.export.precision.sample_inputs import Images


def export_onnx(
    model: keras.Model | str | os.PathLike[str] | ModelFile,
    filepath: str | os.PathLike[str],
    *,
    opset_version: int = 18,
    input_size: InputSize | None = None,
    output_stride: OutputStride | None = None,
    data_format: DataFormat = "channels_first",
    verify: bool = True,
    float16: bool = False,
    int8: Images | None = None,
    preprocessing: Preprocessing | None = None,
) -> OnnxReport:
    """Write a model, converted or not, as a clean ONNX file that was checked and run.

    The file is written only if ONNX' checker accepts it and, with `verify`, ONNX Runtime gives the
    same outputs as Keras: on batches of one and three, and at three sizes if the image size is
    free. An all-convolutional model becomes convolutions and cell-wise operators only. Inputs and
    outputs have Keras' names, the names of nodes begin with the name of their layer, and free sizes
    are called `batch`, `height` and `width`. Weights of more than 2 GB are written beside the file,
    to `<filepath>.data`.

    Args:
        model: A built Sequential or Functional model, or a `.keras` or `.h5` file of any age.
        filepath: Where to write; a name that ends in `.onnx`.
        opset_version: Version of ONNX' operators, 13 to 18.
        input_size: `"any"` for images of any size, or the sizes of the image, as of `convert`; the
            outputs are maps then. By default the model's own.
        output_stride: With an `input_size`, the stride of these maps, as of `convert`. A model with
            pools must be converted first, by `convert(..., output_stride=1)`.
        data_format: `"channels_first"` for maps with channels first at inputs and outputs, as ONNX'
            convolutions take them; `"channels_last"` for channels last, by one Transpose at each.
        verify: Compare ONNX Runtime's numbers with Keras'.
        float16: Compute in float16, on half the bytes of weights; what that costs is measured on
            drawn inputs. Inputs and outputs stay float32.
        int8: Images to learn the ranges of all maps from, to compute in 8 bits by ONNX Runtime's
            static quantization: an array as Keras takes it, several by the names of the inputs, a
            `.npy` or `.npz` file, or a folder of pictures. One in four is kept to measure with.
        preprocessing: What becomes of the pixels of pictures in a folder, where the network does
            not begin with a Rescaling or Normalization.

    Returns:
        What was written: operators, size, agreement with Keras, and the error of fewer bits.
        `print` it.

    Raises:
        ConversionError: An `input_size` was given, but layers fit one size only; or an
            `output_stride`, but layers stand in its way.
        ExportError: The model cannot be written as ONNX, or the file does not agree with it.
        FileError: The model or the images cannot be read, or the file cannot be written.
        ModelError: The model is not built, empty or subclassed.
        OptionError: An option is unknown, or the images do not fit.

    Example:
        >>> report = allconv.export_onnx(allconv.convert(model), "model.onnx")
        >>> report.operators
        {'Conv': 7, 'Relu': 4, 'Add': 4, 'Reshape': 1}
    """
    from allconv.export.options import ExportOptions
    from allconv.export.pipeline import export_graph, sized

    target, source = _target(filepath), _source(model)
    check_writable(target, source=source, suffixes=(".onnx",))
    options = ExportOptions(opset_version, data_format, verify, float16, int8, preprocessing)
    graph = sized(read(model), input_size, output_stride)
    return export_graph(
        graph,
        target,
        options,
        source=graph.name if source is None else source.name,
        plan=history_of(model),
        reference=model if is_live(model) and input_size is None else None,
    )


def _target(filepath: Any) -> Path:
    try:
        return Path(filepath)
    except TypeError:
        raise OptionError(
            f"filepath is {filepath!r}; expected the name of a file that ends in .onnx"
        ) from None


def _source(model: Any) -> Path | None:
    """Return the file that a model is read from; None for one in memory."""
    if isinstance(model, ModelFile):
        return Path(model.path)
    return None if is_live(model) or isinstance(model, Graph) else Path(model)
