"""A network in int8, by ONNX Runtime's own static quantization, and a look at what it did.

Every tensor becomes whole numbers from -128 to 127 times a scale that is learnt from images; the
weights have a scale for each channel and no offset. The file says so by pairs of QuantizeLinear and
DequantizeLinear around operators (QDQ), which runtimes replace by operators on whole numbers.

Two things stay float32. What turns values into probabilities at the very end: of a softmax in int8,
many classes would be equally likely. And layers that divide by what they have summed up, as
LayerNormalization does: 256 numbers do not hold squares and their inverses.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from allconv.errors import AllconvError, ExportError
from allconv.export.file.external_data import data_file
from allconv.export.foreign_errors import logs_kept_back, reason

PAIRS = frozenset({"QuantizeLinear", "DequantizeLinear"})
LAST = frozenset({"LogSoftmax", "Sigmoid", "Softmax"})
WIDE = frozenset({"ReduceL2", "ReduceSumSquare", "Reciprocal", "Sqrt"})
"""Operators whose numbers span too much; a layer that has one stays float32."""

AT_THE_END = LAST | {"Identity", "Reshape", "Transpose"}
IN_THE_SCALES = frozenset({"Clip", "Relu"})
"""Operators that quantization may leave out: the smallest and largest whole number clip as well."""


def quantize(file: Path, target: Path, model: Any, feeds: Iterator[Sequence[np.ndarray]]) -> Any:
    """Write a float32 file as an int8 file; the ONNX model without weights that lie outside.

    Args:
        file: The float32 file.
        target: Where to write.
        model: What `file` holds, whose words the new file gets: names, metadata.
        feeds: Batches of the inputs as the file takes them, to learn ranges from.

    Raises:
        AllconvError: What `feeds` raises.
        ExportError: ONNX Runtime cannot quantize the model.
    """
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

    spared = final_operators(model) + wide_operators(model)
    kinds = sorted({node.op_type for node in model.graph.node})
    try:
        with logs_kept_back(logging.WARNING):  # it advises a preparation that is done here
            quantize_static(
                file,
                target,
                _reader(model, feeds),
                quant_format=QuantFormat.QDQ,
                op_types_to_quantize=kinds,
                nodes_to_exclude=spared,
                per_channel=True,
                activation_type=QuantType.QInt8,
                weight_type=QuantType.QInt8,
                use_external_data_format=data_file(file).exists(),
            )
    except AllconvError:  # an image that cannot be read
        raise
    except Exception as error:  # its kinds have no common name
        raise ExportError(
            f"model '{model.graph.name}': ONNX Runtime cannot quantize it "
            f"({type(error).__name__}: {reason(error)}); export it in float32 or float16"
        ) from error
    return _in_our_words(target, model)


def final_operators(model: Any) -> list[str]:
    """List the operators between an output and the last softmax or sigmoid, these included."""
    producers = {name: node for node in model.graph.node for name in node.output}
    found = []
    for output in model.graph.output:
        node, behind = producers.get(output.name), []
        while node is not None and node.op_type in AT_THE_END:
            behind.append(node.name)
            if node.op_type in LAST:
                found += behind
                break
            node = producers.get(node.input[0])
    return found


def wide_operators(model: Any) -> list[str]:
    """List the names of the operators of layers whose numbers span more than int8 holds."""
    layers = {_layer(node) for node in model.graph.node if node.op_type in WIDE}
    return [node.name for node in model.graph.node if _layer(node) in layers]


def _layer(node: Any) -> str:
    return str(node.name.rpartition("/")[0])


def quantized_operators(model: Any) -> tuple[int, int]:
    """Count the operators that take and give whole numbers, and all operators without the pairs."""
    makers = {name: node.op_type for node in model.graph.node for name in node.output}
    takers = {value.name: ["an output"] for value in model.graph.output}
    for node in model.graph.node:
        for name in node.input:
            takers.setdefault(name, []).append(node.op_type)
    others = [node for node in model.graph.node if node.op_type not in PAIRS]
    whole = [
        node
        for node in others
        if node.input[0] in makers
        and {makers[name] for name in node.input if name in makers} == {"DequantizeLinear"}
        and all(set(takers.get(name, ())) <= {"QuantizeLinear"} for name in node.output)
    ]
    return len(whole), len(others)


def refuse_more(before: Any, after: Any) -> None:
    """Hold a quantized model to the operators that it had.

    Raises:
        ExportError: An operator has come other than the pairs, or one has gone that computes.
    """
    old, new = (Counter(node.op_type for node in model.graph.node) for model in (before, after))
    for kind in IN_THE_SCALES:
        old[kind] = min(old[kind], new[kind])
    changed = {kind for kind in old | new if old[kind] != new[kind]} - PAIRS
    if changed:
        words = ", ".join(f"{new[kind]} {kind} of {old[kind]}" for kind in sorted(changed))
        raise ExportError(
            f"model '{before.graph.name}': ONNX Runtime's quantizer has made {words}; please "
            "report this with the model's configuration"
        )


def _reader(model: Any, feeds: Iterator[Sequence[np.ndarray]]) -> Any:
    """Hand out the batches by the names of the inputs, as the quantizer asks for them."""
    from onnxruntime.quantization import CalibrationDataReader

    class Reader(CalibrationDataReader):  # type: ignore[misc] # it ships no types
        def get_next(self) -> dict[str, np.ndarray] | None:
            arrays = next(feeds, None)
            return None if arrays is None else dict(zip(names, arrays, strict=True))

    names = [value.name for value in model.graph.input]
    return Reader()


def _in_our_words(target: Path, model: Any) -> Any:
    """Give the quantized model the producer and the metadata of the float32 model."""
    import onnx

    quantized = onnx.load(target, load_external_data=False)
    quantized.producer_name, quantized.producer_version = (
        model.producer_name,
        model.producer_version,
    )
    said = {entry.key: entry.value for entry in model.metadata_props}
    del quantized.metadata_props[:]
    onnx.helper.set_model_props(quantized, said)
    del quantized.graph.value_info[:]
    target.write_bytes(quantized.SerializeToString())
    return quantized
