"""ONNX drafts for tests: a Keras model exported in float32, to be written again with fewer bits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnx
import onnxruntime

from allconv.export.file.draft import Draft, drafted
from allconv.export.options import ExportOptions
from allconv.export.precision.reduced_precision import FLOAT32, Written, in_precision
from allconv.export.precision.sample_inputs import Images, drawn_samples, read_samples
from allconv.export_onnx import export_onnx
from allconv.graph import Graph
from allconv.read import read


@dataclass
class Exported:
    """A model's float32 draft, and the model and graph that it was made from."""

    draft: Draft
    model: Any
    graph: Graph
    original: keras.Model
    data_format: str

    def in_float16(self) -> Written:
        samples = drawn_samples(self.original, self.graph)
        options = ExportOptions(data_format=self.data_format, float16=True)
        return in_precision(self.draft, self.model, self.graph, options, samples)

    def in_int8(self, images: Images) -> Written:
        samples = read_samples(images, self.graph)
        options = ExportOptions(data_format=self.data_format, int8=images)
        return in_precision(self.draft, self.model, self.graph, options, samples)


@contextmanager
def exported(
    model: keras.Model, folder: Path, data_format: str = "channels_first"
) -> Iterator[Exported]:
    """A float32 draft of a Keras model, in a folder that is gone afterwards."""
    with drafted(folder / "model.onnx") as draft:
        export_onnx(model, draft.folder / "whole.onnx", data_format=data_format)
        draft.take(draft.folder / "whole.onnx", FLOAT32)
        float32 = onnx.load(draft.folder / FLOAT32)
        yield Exported(draft, float32, read(model), model, data_format)


def run_file(
    file: Path, image: np.ndarray, settings: Mapping[str, str] | None = None
) -> list[np.ndarray]:
    """What ONNX Runtime gives of one input, under these session options."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    for key, value in (settings or {}).items():
        options.add_session_config_entry(key, value)
    session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: image})


def weights_of(model: Any) -> dict[str, np.ndarray]:
    """A model's initializers by name."""
    return {each.name: onnx.numpy_helper.to_array(each) for each in model.graph.initializer}


def onnx_model(weights: dict[str, np.ndarray], *operators: str) -> onnx.ModelProto:
    """A model on maps (batch, 2, 4, 4) called `image`, of operators such as `"Add image bias"`.

    These give `layer0/Add` and so on, the last one `result`.
    """
    nodes = []
    for number, (kind, *inputs) in enumerate(map(str.split, operators)):
        name = f"layer{number}/{kind}"
        made = name if number + 1 < len(operators) else "result"
        taken = ["" if given == "-" else given for given in inputs]
        nodes.append(onnx.helper.make_node(kind, taken, [made], name))
    shape = ["batch", 2, 4, 4]
    graph = onnx.helper.make_graph(
        nodes,
        "small",
        [onnx.helper.make_tensor_value_info("image", onnx.TensorProto.FLOAT, shape)],
        [onnx.helper.make_tensor_value_info("result", onnx.TensorProto.FLOAT, None)],
        [onnx.numpy_helper.from_array(values, name) for name, values in weights.items()],
    )
    opset = [onnx.helper.make_opsetid("", 18)]
    model = onnx.helper.make_model(graph, opset_imports=opset, ir_version=8)
    return onnx.shape_inference.infer_shapes(model)
