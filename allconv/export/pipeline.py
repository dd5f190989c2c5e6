"""`export_graph`: lower, trace, translate, clean, check, verify, and only then put in place."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from allconv.building.build import build
from allconv.dense_maps.dense_plan import maps_of
from allconv.dense_maps.strides import OutputStride, refuse_stride_alone
from allconv.errors import FOR_ONNX, ExportError, lacking
from allconv.export.comparison.parity import parity
from allconv.export.file.audit import refuse_others
from allconv.export.file.draft import Draft, drafted
from allconv.export.file.metadata import metadata
from allconv.export.file.model_proto import model_proto
from allconv.export.lowering import in_float32, in_tensorflow_words, lowered
from allconv.export.onnx_report import OnnxReport, report_of
from allconv.export.operations.channels_first import channels_first
from allconv.export.operations.fusing import fused
from allconv.export.options import ExportOptions
from allconv.export.precision.reduced_precision import FLOAT32, in_precision
from allconv.export.precision.sample_inputs import Samples, drawn_samples, read_samples
from allconv.export.tensorflow.graph import traced
from allconv.export.tensorflow.process import exported_elsewhere
from allconv.export.tensorflow.recurrent import recurrent_layers, recurrent_model
from allconv.export.tensorflow.translate import translated
from allconv.graph import Graph
from allconv.obstacles import is_fully_convolutional
from allconv.resize import InputSize, with_own_size
from allconv.rewrite import rewrite

if TYPE_CHECKING:
    import keras


def export_graph(
    graph: Graph,
    path: Path,
    options: ExportOptions,
    *,
    source: str,
    plan: str = "",
    reference: keras.Model | None = None,
    images: Samples | None = None,
) -> OnnxReport:
    """Write a network as an ONNX file; what it raises is as of `export_onnx`.

    Args:
        graph: The network, of the sizes that the file is to have.
        path: Where to write.
        options: How.
        source: What the network was read from, for the file's metadata.
        plan: What was done to it, likewise.
        reference: A Keras model of this network to compare with; by default one is built.
        images: Those of `options.int8`, where they are read already.
    """
    _require_packages(options)
    _refuse_fewer_bits(graph, options)
    plain = in_float32(graph)
    if options.int8 is not None and images is None:
        images = read_samples(options.int8, graph, options.preprocessing)
    with drafted(path) as draft:
        name = draft.file.name if options.is_float32 else FLOAT32
        onnx_model = _written(draft, name, graph, options, source, plan)
        if is_fully_convolutional(graph):
            refuse_others(onnx_model, graph, options.data_format)
        draft.check(name)
        own = _reference(plain, graph, reference) if options.verify or options.float16 else None
        compared = (
            parity(own, draft.folder / name, onnx_model, plain, options.data_format)
            if options.verify
            else None
        )
        samples = drawn_samples(own, plain) if options.float16 else images
        written = in_precision(draft, onnx_model, plain, options, samples)
        report = report_of(written, graph, path, draft, options, compared)
        draft.put_in_place()
    return report


def sized(graph: Graph, size: InputSize | None, output_stride: OutputStride | None = None) -> Graph:
    """Return the network on images of another size, giving maps; itself for None."""
    refuse_stride_alone(size, output_stride)
    if size is None:
        return graph
    plan = rewrite(with_own_size(graph, size), (), any_size=True)
    return maps_of(plan, size, output_stride).after


def _written(
    draft: Draft, name: str, graph: Graph, options: ExportOptions, source: str, plan: str
) -> Any:
    """Write the network in float32; by another process where Keras' backend is another one."""
    import keras

    if keras.config.backend() != "tensorflow":
        job = {
            "opset_version": options.opset_version,
            "data_format": options.data_format,
            "source": source,
            "plan": plan,
            "output_names": graph.names_of_outputs(),
        }
        with exported_elsewhere(build(graph), job) as file:
            return draft.take(file, name)
    network = lowered(graph)
    named = in_tensorflow_words(network)
    if recurrent_layers(network):
        said = metadata(graph, source=source, plan=plan, data_format=options.data_format)
        written = recurrent_model(network, build(named), options, said)
        return draft.write(lambda tensors: written, name)
    found = translated(traced(named, build(named)), network, options.opset_version)
    operations = fused(channels_first(found, network, options.opset_version, options.data_format))
    said = metadata(graph, source=source, plan=plan, data_format=options.data_format)
    return draft.write(partial(model_proto, operations, network, options, said), name)


def _refuse_fewer_bits(graph: Graph, options: ExportOptions) -> None:
    """Raise an ExportError where a network with loops is to be written in other than float32."""
    looping = [] if options.is_float32 else recurrent_layers(graph)
    if looping:
        raise ExportError(
            f"model '{graph.name}' has recurrent layers, which are written in float32 only: "
            f"{', '.join(looping)}; leave float16 and int8 out"
        )


def _reference(plain: Graph, graph: Graph, reference: Any) -> Any:
    """Return the Keras model to compare with, which is to compute in float32 as the file does."""
    return reference if reference is not None and plain is graph else build(plain)


def _require_packages(options: ExportOptions) -> None:
    """Raise an ExportError where a package is missing that writes, checks or runs ONNX."""
    from importlib import import_module

    run = options.verify or not options.is_float32
    for name in ("onnx", "onnxruntime") if run else ("onnx",):
        try:
            import_module(name)
        except ImportError as error:
            can_do_without = name == "onnxruntime" and options.is_float32
            way_out = ", or say verify=False" if can_do_without else ""
            raise ExportError(f"{lacking(name, error, FOR_ONNX)}{way_out}") from error
