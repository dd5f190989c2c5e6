"""What was exported, made readable."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from allconv.export.comparison.parity import Parity
from allconv.export.file.audit import operator_counts
from allconv.export.file.draft import Draft
from allconv.export.lowering import in_float32
from allconv.export.options import ExportOptions
from allconv.export.precision.loss import Loss
from allconv.export.precision.reduced_precision import Written
from allconv.graph import Graph
from allconv.layers.kinds import NORMALIZATIONS
from allconv.obstacles import is_all_convolutional, is_fully_convolutional
from allconv.result import Result

Dims = tuple[int | str, ...]


@dataclass(frozen=True)
class OnnxReport(Result):
    """An ONNX file that was written.

    Attributes:
        path: Where it is.
        file_size: Bytes, with those of weights beside it.
        opset_version: Version of ONNX' operators.
        data_format: How maps lie at its inputs and outputs, `"channels_first"` or
            `"channels_last"`.
        inputs: Sizes of the inputs by name; names stand for sizes that are free.
        outputs: Sizes of the outputs by name, likewise.
        operators: How many nodes of each operator it has, the most frequent first.
        all_convolutional: Whether it holds convolutions and cell-wise operators only.
        fully_convolutional: Whether it does, or pools besides.
        precision: What it computes in, `"float32"`, `"float16"` or `"int8"`.
        weights_file: The file beside it that holds its weights; "" where it holds them itself.
        parity: How ONNX Runtime's numbers compare with Keras', in float32; None where that was not
            asked for.
        loss: What fewer bits cost, where the precision is another.
        notes: What else is to be known.
    """

    path: str
    file_size: int
    opset_version: int
    data_format: str
    inputs: Mapping[str, Dims]
    outputs: Mapping[str, Dims]
    operators: Mapping[str, int]
    all_convolutional: bool
    fully_convolutional: bool
    precision: str = "float32"
    weights_file: str = ""
    parity: Parity | None = None
    loss: Loss | None = None
    notes: tuple[str, ...] = ()

    @property
    def passed(self) -> bool | None:
        """Whether its numbers are Keras'; None where they were not compared, or prove nothing."""
        return None if self.parity is None else self.parity.passed

    @property
    def free_dimensions(self) -> tuple[str, ...]:
        """Names of the inputs' sizes that are free."""
        names = [name for dims in self.inputs.values() for name in dims if isinstance(name, str)]
        return tuple(dict.fromkeys(names))

    def __str__(self) -> str:
        fully = "fully convolutional" if self.fully_convolutional else "not all-convolutional"
        kind = "all-convolutional" if self.all_convolutional else fully
        counts = ", ".join(f"{count:,} {kind}" for kind, count in self.operators.items())
        beside = f", weights in {self.weights_file}" if self.weights_file else ""
        written_as = f"{self.precision}, opset {self.opset_version}, {self.data_format}"
        lines = [
            f"{self.path}: {self.file_size:,} bytes{beside}, {written_as}, {kind}",
            *(f"  input '{name}' {_dims_in_words(dims)}" for name, dims in self.inputs.items()),
            *(f"  output '{name}' {_dims_in_words(dims)}" for name, dims in self.outputs.items()),
            f"  operators: {counts or 'none'}",
            f"  {self._parity_in_words()}",
            *([f"  {self.loss}"] if self.loss else []),
            *(f"  {note}" for note in self.notes),
        ]
        return "\n".join(lines)

    def _parity_in_words(self) -> str:
        verdict = str(self.parity or "not verified: not asked for")
        return verdict if self.precision == "float32" else f"in float32 {verdict}"

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain data, ready for `json.dumps`."""
        data = super().to_dict()
        if self.loss:
            data["loss"]["argmax_agreement"] = self.loss.argmax_agreement
        free = list(self.free_dimensions)
        return {**data, "passed": self.passed, "free_dimensions": free}


def report_of(
    written: Written,
    graph: Graph,
    path: Path,
    draft: Draft,
    options: ExportOptions,
    parity: Parity | None,
) -> OnnxReport:
    """Report on the file that is drafted, made from `graph`."""
    onnx_model = written.model
    return OnnxReport(
        path=str(path),
        file_size=draft.size(),
        opset_version=onnx_model.opset_import[0].version,
        data_format=options.data_format,
        inputs={value.name: _dims(value) for value in onnx_model.graph.input},
        outputs={value.name: _dims(value) for value in onnx_model.graph.output},
        operators=operator_counts(onnx_model),
        all_convolutional=is_all_convolutional(graph),
        fully_convolutional=is_fully_convolutional(graph),
        precision=written.loss.precision if written.loss else "float32",
        weights_file=draft.weights_file(),
        parity=parity,
        loss=written.loss,
        notes=(*_notes(onnx_model, graph, options), *written.notes),
    )


def _notes(onnx_model: Any, graph: Graph, options: ExportOptions) -> Iterator[str]:
    if options.is_float32 and in_float32(graph) is not graph:
        yield "computes in float32, on the weights of a model of another precision"
    for kind in sorted(NORMALIZATIONS):
        names = {node.name for node in graph.nodes if node.kind == kind}
        written = [node for node in onnx_model.graph.node if node.name.split("/")[0] in names]
        if len(written) > 2 * len(names):
            yield f"{kind}: {len(names)} written out in {len(written)} operators"


def _dims(value: Any) -> Dims:
    dims = value.type.tensor_type.shape.dim
    return tuple(dim.dim_param or int(dim.dim_value) for dim in dims)


def _dims_in_words(dims: Dims) -> str:
    return f"({', '.join(map(str, dims))})"
