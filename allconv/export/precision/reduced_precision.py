"""A float32 draft written again with fewer bits, and what that costs, measured."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from allconv.errors import ExportError
from allconv.export.comparison.last_activation import is_sigmoid
from allconv.export.comparison.sessions import (
    AS_WRITTEN,
    as_the_file_takes,
    before_activation,
    file_runner,
    looked_into,
    with_classes_last,
)
from allconv.export.file.draft import Draft
from allconv.export.foreign_errors import reason
from allconv.export.options import ExportOptions
from allconv.export.precision.float16 import LARGEST, in_half
from allconv.export.precision.float16_twin import float_tensors, rounding
from allconv.export.precision.int8 import quantize, quantized_operators, refuse_more
from allconv.export.precision.loss import Loss, Results, loss
from allconv.export.precision.sample_inputs import Sample, Samples
from allconv.graph import Graph

FLOAT32 = "float32.draft"
"""The name of the float32 file in a draft's folder when another is to be put in place.

It ends otherwise than any file that is to be put there.
"""

_ROUNDED = "rounded.draft"


@dataclass(frozen=True)
class Written:
    """What a draft's file holds at the end.

    Attributes:
        model: Its ONNX model.
        loss: What fewer bits cost; None in float32.
        notes: What else is to be known.
    """

    model: Any
    loss: Loss | None = None
    notes: tuple[str, ...] = ()


def in_precision(
    draft: Draft, model: Any, graph: Graph, options: ExportOptions, samples: Samples | None
) -> Written:
    """Write a draft's file with fewer bits, if these are wanted, and check it.

    Args:
        draft: Holds the float32 model: as its file, or called `FLOAT32` where another is written.
        model: That model.
        graph: The network.
        options: How the file is to be written.
        samples: What to calibrate int8 with, and what to measure on; None for float32.

    Raises:
        ExportError: Numbers are beyond float16's range, or ONNX Runtime cannot quantize the model.
    """
    if samples is None:
        return Written(model)
    write = in_float16 if options.float16 else in_int8
    found = write(draft, model, graph, options.data_format, samples)
    draft.check()
    return found


def in_float16(
    draft: Draft, model: Any, graph: Graph, data_format: str, samples: Samples
) -> Written:
    """Write the draft's file in float16, its inputs and outputs in float32.

    Args:
        draft: Holds the float32 model, called `FLOAT32`.
        model: That model.
        graph: The network.
        data_format: How maps lie at the file's inputs and outputs.
        samples: What to measure on.

    Raises:
        ExportError: Weights or values are beyond float16's range.
    """
    half = draft.write(lambda tensors: in_half(model, draft.folder, tensors))
    twin = rounding(model)
    (draft.folder / _ROUNDED).write_bytes(twin.SerializeToString())
    runs = _Runs(draft, graph, data_format, samples.measured)
    files = {FLOAT32: model, _ROUNDED: twin, draft.file.name: half}
    expected, rounded, found = (list(runs.results(name, file)) for name, file in files.items())
    if _finite(expected) and not _finite([*rounded, *found]):
        raise ExportError(_overflow(draft, model, graph, runs))
    costs = [loss(expected, each, "float16", samples.words) for each in (rounded, found)]
    return Written(half, max(costs, key=lambda cost: cost.error))


def in_int8(draft: Draft, model: Any, graph: Graph, data_format: str, samples: Samples) -> Written:
    """Write the draft's file in int8; arguments as of `in_float16`.

    Raises:
        ExportError: ONNX Runtime cannot quantize the model.
    """
    feeds = (as_the_file_takes(sample(), graph, data_format) for sample in samples.calibration)
    quantized = quantize(draft.folder / FLOAT32, draft.file, model, feeds)
    refuse_more(model, quantized)
    runs = _Runs(draft, graph, data_format, samples.measured)
    as_written, here = (
        loss(
            runs.results(FLOAT32, model),
            runs.results(draft.file.name, quantized, settings),
            "int8",
            samples.words,
        )
        for settings in (AS_WRITTEN, None)
    )
    whole, all_operators = quantized_operators(quantized)
    notes = [f"{whole:,} of {all_operators:,} operators take and give int8", *samples.notes]
    if here.error > 2 * as_written.error:
        notes.append(_SATURATES.format(error=here.error))
    return Written(quantized, as_written, tuple(filter(None, notes)))


_SATURATES = (
    "on this processor ONNX Runtime errs by {error:.1e} instead, as sums of products in 16 bits "
    "overflow; its session option 'session.x64quantprecision' set to '1' avoids that"
)


class _Runs:
    """Runs files of a draft on the same samples."""

    def __init__(
        self, draft: Draft, graph: Graph, data_format: str, samples: Sequence[Sample]
    ) -> None:
        self.draft, self.graph, self.data_format, self.samples = draft, graph, data_format, samples
        ends = map(is_sigmoid, graph.outputs)
        self.sigmoids = frozenset(number for number, is_one in enumerate(ends) if is_one)

    def results(
        self, name: str, model: Any, settings: Mapping[str, str] | None = None
    ) -> Iterator[Results]:
        """Yield what a file gives, sample by sample.

        Args:
            name: The file's name.
            model: What it holds.
            settings: ONNX Runtime's session options.
        """
        outputs = [value.name for value in model.graph.output]
        telling = [before_activation(model, output) or output for output in outputs]
        if telling != outputs:
            name = looked_into(self.draft.folder / name, model, telling).name
        taken = list(dict.fromkeys([*outputs, *telling]))
        for arrays in self.run(name, taken, settings):
            found = dict(zip(taken, arrays, strict=True))
            given = with_classes_last(
                [found[each] for each in outputs], self.graph, self.data_format
            )
            inner = [found[each] for each in telling]
            yield Results(given, inner, self.sigmoids, telling != outputs)

    def run(
        self,
        name: str,
        taken: Sequence[str] | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> Iterator[list[np.ndarray]]:
        """Yield what a file gives, or its outputs of these names, as they lie in it."""
        run = file_runner(self.draft.folder / name, taken, settings)
        for sample in self.samples:
            inputs = as_the_file_takes(sample(), self.graph, self.data_format)
            try:
                yield run(inputs)
            except Exception as error:  # ONNX Runtime's own kinds have no common name
                raise ExportError(
                    f"model '{self.graph.name}': ONNX Runtime fails on the inputs to measure on: "
                    f"{reason(error)}"
                ) from error


def _finite(results: Iterable[Results]) -> bool:
    return all(np.isfinite(values).all() for each in results for values in each.outputs)


def _overflow(draft: Draft, model: Any, graph: Graph, runs: _Runs) -> str:
    """Say which layer gives values beyond float16's range, for all that are tensors of float32."""
    floats = float_tensors(model)
    made = {name: node for node in model.graph.node for name in node.output if name in floats}
    inside = looked_into(draft.folder / FLOAT32, model, list(made))
    most = dict.fromkeys(made, 0.0)
    for values in runs.run(inside.name, list(made)):
        for name, array in zip(made, values, strict=True):
            most[name] = max(most[name], float(np.abs(array).max(initial=0.0)))
    first = next((name for name in made if most[name] > LARGEST), "")
    layer = made[first].name.rpartition("/")[0] if first else ""
    where = f"layer '{layer}' gives values up to {most[first]:.3g}" if first else "a value grows"
    return (
        f"model '{graph.name}' cannot compute in float16: {where}, and the largest number of "
        f"float16 is {LARGEST:.0f}; export it in float32, or scale what goes into the layer down"
    )
