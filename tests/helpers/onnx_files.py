"""ONNX files as the tests look at them."""

from __future__ import annotations

import keras
import numpy as np
import onnx
import pytest

from allconv.export_onnx import export_onnx

TEMPORARY = "exported.onnx"

on_tensorflow = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow",
    reason="other backends export by a process on TensorFlow, which takes seconds each time",
)


def exported(model, folder, **options):
    """The report of an export, and what the file holds."""
    report = export_onnx(model, folder / TEMPORARY, **options)
    return report, onnx.load(folder / TEMPORARY)


def operators(onnx_model):
    """The operators of an ONNX model, in order."""
    return [node.op_type for node in onnx_model.graph.node]


def node_names(onnx_model):
    return [node.name for node in onnx_model.graph.node]


def dims(values):
    """Sizes and names of free sizes, of inputs or outputs."""
    return {
        value.name: [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in values
    }


def attributes(node):
    return {each.name: onnx.helper.get_attribute_value(each) for each in node.attribute}


def run(onnx_model, *inputs):
    """What ONNX' own reference makes of arrays; slow, and independent of ONNX Runtime."""
    from onnx.reference import ReferenceEvaluator

    names = [value.name for value in onnx_model.graph.input]
    return ReferenceEvaluator(onnx_model).run(None, dict(zip(names, inputs, strict=True)))


def random_array(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype("float32")
