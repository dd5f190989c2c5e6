"""`export_onnx`: lower, trace, translate, clean, check, verify, and only then put in place."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from allconv.build import build
from allconv.errors import ExportError, OptionError
from allconv.export.audit import refuse_others
from allconv.export.channels_first import channels_first
from allconv.export.draft import Draft, drafted
from allconv.export.form import Form, Layout
from allconv.export.fusing import fused
from allconv.export.lowering import in_float32, in_tensorflow_words, lowered
from allconv.export.metadata import metadata
from allconv.export.model_proto import model_proto
from allconv.export.onnx_report import OnnxReport, report_of
from allconv.export.parity import parity
from allconv.export.recurrent import recurrent_layers, recurrent_model
from allconv.export.reduced_precision import FLOAT32, in_form
from allconv.export.sample_inputs import Images, drawn_samples, read_samples
from allconv.export.tensorflow_graph import traced
from allconv.export.tensorflow_process import exported_elsewhere
from allconv.export.through_tf2onnx import translated
from allconv.graph import Graph
from allconv.input_size import InputSize, resized, with_own_size
from allconv.obstacles import is_all_convolutional
from allconv.provenance import done_to
from allconv.read import is_live, read
from allconv.read.file import ModelFile
from allconv.rewrite import rewrite
from allconv.save import check_writable

if TYPE_CHECKING:
    import keras


def export_onnx(
    model: keras.Model | str | os.PathLike[str] | ModelFile,
    path: str | os.PathLike[str],
    *,
    opset: int = 18,
    input_size: InputSize | None = None,
    layout: Layout = "nchw",
    verify: bool = True,
    float16: bool = False,
    int8: Images | None = None,
) -> OnnxReport:
    """Write a model, converted or not, as an ONNX file that is clean and was run.

    The file is there only if ONNX' checker accepts it and, with `verify`, ONNX Runtime gives the
    numbers that Keras gives: on batches of one and of three, and where the size of the image is
    free at three sizes. An all-convolutional model gives convolutions and cell-wise operators and
    nothing else. Inputs and outputs have Keras' names, nodes begin with their layer's, and free
    sizes are called `batch`, `height` and `width`. Weights of more than 2 GB lie beside the file,
    in `<path>.data`.

    Args:
        model: A built Sequential or Functional model, or a `.keras` or `.h5` file of any age.
        path: Where to write; a name that ends in `.onnx`.
        opset: Version of ONNX' operators, 13 to 18.
        input_size: `"any"` for images of any size, or the sizes of the image, as of `convert`; the
            outputs are maps then. By default the model's own.
        layout: `"nchw"` for maps with channels first at inputs and outputs, as ONNX' convolutions
            take them; `"nhwc"` for channels last, by one Transpose at each.
        verify: Compare ONNX Runtime's numbers with Keras'.
        float16: Compute in float16, on half the bytes of weights; what that costs is measured on
            drawn inputs. Inputs and outputs stay float32.
        int8: Images to learn the ranges of all maps from, to compute in 8 bits by ONNX Runtime's
            static quantization: an array as Keras takes it, several by the names of the inputs, a
            `.npy` or `.npz` file, or a folder of pictures. One in four is kept to measure with.

    Returns:
        What was written: operators, size, parity, and what fewer bits cost. `print` it.

    Raises:
        ConversionError: An `input_size` was given, and layers fit one size only.
        ExportError: The model cannot be written as ONNX, or the result does not agree with it.
        FileError: The model or the images cannot be read, or the file cannot be written.
        ModelError: The model is not built, empty or subclassed.
        OptionError: An option is unknown, or the images do not fit.

    Example:
        >>> report = allconv.export_onnx(allconv.convert(model), "model.onnx")
        >>> report.operators
        {'Conv': 7, 'Relu': 4, 'Add': 4, 'Reshape': 1}
    """
    target, source = _target(path), _source(model)
    check_writable(target, source=source, suffixes=(".onnx",))
    form = Form(opset, layout, verify, float16, int8)
    graph = sized(read(model), input_size)
    return export_graph(
        graph,
        target,
        form,
        source=graph.name if source is None else source.name,
        plan=done_to(model),
        reference=model if is_live(model) and input_size is None else None,
    )


def export_graph(
    graph: Graph,
    path: Path,
    form: Form,
    *,
    source: str,
    plan: str = "",
    reference: keras.Model | None = None,
) -> OnnxReport:
    """Write a network as an ONNX file; what it raises is as of `export_onnx`.

    Args:
        graph: The network, of the sizes that the file is to have.
        path: Where to write.
        form: How.
        source: What the network was read from, for the file's metadata.
        plan: What was done to it, likewise.
        reference: A Keras model of this network to compare with; by default one is built.
    """
    _require_packages(form)
    _refuse_fewer_bits(graph, form)
    plain = in_float32(graph)
    images = None if form.int8 is None else read_samples(form.int8, graph)
    with drafted(path) as draft:
        name = draft.file.name if form.is_float32 else FLOAT32
        onnx_model = _written(draft, name, graph, form, source, plan)
        if is_all_convolutional(graph):
            refuse_others(onnx_model, graph, form.layout)
        draft.check(name)
        own = _reference(plain, graph, reference) if form.verify or form.float16 else None
        compared = (
            parity(own, draft.folder / name, onnx_model, plain, form.layout)
            if form.verify
            else None
        )
        samples = drawn_samples(own, plain) if form.float16 else images
        written = in_form(draft, onnx_model, plain, form, samples)
        report = report_of(written, graph, path, draft, form, compared)
        draft.put_in_place()
    return report


def sized(graph: Graph, size: InputSize | None) -> Graph:
    """The network on images of another size, giving maps; itself for None."""
    if size is None:
        return graph
    return resized(rewrite(with_own_size(graph, size), (), any_size=True), size).after


def _written(draft: Draft, name: str, graph: Graph, form: Form, source: str, plan: str) -> Any:
    """Write the network in float32; by another process where Keras' backend is another one."""
    import keras

    if keras.config.backend() != "tensorflow":
        options = {
            "opset": form.opset,
            "layout": form.layout,
            "source": source,
            "plan": plan,
            "output_names": graph.names_of_outputs(),
        }
        with exported_elsewhere(build(graph), options) as file:
            return draft.take(file, name)
    network = lowered(graph)
    named = in_tensorflow_words(network)
    if recurrent_layers(network):
        said = metadata(graph, source=source, plan=plan, layout=form.layout)
        written = recurrent_model(network, build(named), form, said)
        return draft.write(lambda tensors: written, name)
    found = translated(traced(named, build(named)), network, form.opset)
    operations = fused(channels_first(found, network, form.opset, form.layout))
    said = metadata(graph, source=source, plan=plan, layout=form.layout)
    return draft.write(partial(model_proto, operations, network, form, said), name)


def _refuse_fewer_bits(graph: Graph, form: Form) -> None:
    """Raise an ExportError where a network with loops is to be written in other than float32."""
    looping = [] if form.is_float32 else recurrent_layers(graph)
    if looping:
        raise ExportError(
            f"model '{graph.name}' has recurrent layers, which are written in float32 only: "
            f"{', '.join(looping)}; leave float16 and int8 out"
        )


def _reference(plain: Graph, graph: Graph, reference: Any) -> Any:
    """The Keras model to compare with, which is to compute in float32 as the file does."""
    return reference if reference is not None and plain is graph else build(plain)


def _target(path: Any) -> Path:
    try:
        return Path(path)
    except TypeError:
        raise OptionError(
            f"path is {path!r}; expected the name of a file that ends in .onnx"
        ) from None


def _source(model: Any) -> Path | None:
    """The file that a model is read from; None for one in memory."""
    if isinstance(model, ModelFile):
        return Path(model.path)
    return None if is_live(model) or isinstance(model, Graph) else Path(model)


def _require_packages(form: Form) -> None:
    """Raise an ExportError where a package is missing that writes, checks or runs ONNX."""
    from importlib import import_module

    run = form.verify or not form.is_float32
    for name in ("onnx", "onnxruntime") if run else ("onnx",):
        try:
            import_module(name)
        except ImportError as error:
            way_out = ", or say verify=False" * (name == "onnxruntime" and form.is_float32)
            raise ExportError(
                f"{name} cannot be imported ({error}); pip install 'allconv[onnx]' brings it"
                f"{way_out}"
            ) from error
