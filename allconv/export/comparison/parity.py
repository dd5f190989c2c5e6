"""Whether ONNX Runtime gives the numbers that Keras gives, up to rounding."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from allconv.errors import ExportError
from allconv.export.comparison.keras_differences import known_difference, table_error
from allconv.export.comparison.running import Both, both
from allconv.export.comparison.sessions import Run
from allconv.export.comparison.trial_sizes import taking, trial_sizes
from allconv.export.foreign_errors import reason
from allconv.graph import Graph
from allconv.shape_walk import size_words
from allconv.verification.inputs import batch_size, draw_inputs
from allconv.verification.measure import Tally
from allconv.verification.precision import default_tolerance, inference

BATCHES = (1, 3)
UNVERIFIED = "verify=False writes the file as it is"
REPORT_IT = "please report it with the model's configuration"
Arrays = list[np.ndarray]


@dataclass(frozen=True)
class Parity:
    """What running both found.

    Attributes:
        passed: True; None where they agree and that proves nothing. What differs, or cannot be
            run, is an error and no file.
        max_error: The largest error of all outputs, relative to the spread of an output's values.
            An output that ends in a softmax, sigmoid or tanh is compared before it, too; behind a
            sigmoid errors are relative to one, as rounding is.
        tolerance: What that was held against, the same as `allconv.verify`'s.
        cases: The batches that were run, such as `"3 of 28x28"`.
        reason: Why agreeing proves nothing: an output does not depend on the input.
    """

    passed: bool | None
    max_error: float
    tolerance: float
    cases: tuple[str, ...]
    reason: str = ""

    def __str__(self) -> str:
        measured = f"largest relative error {self.max_error:.1e} (tolerance {self.tolerance:.1e})"
        verdict = "verified" if self.passed else f"not verified: {self.reason}"
        return f"{verdict}; {measured} against Keras, on batches of {', '.join(self.cases)}"


def parity(model: Any, file: Path, onnx_model: Any, graph: Graph, data_format: str) -> Parity:
    """Run a Keras model and an ONNX file on the same inputs.

    Args:
        model: The Keras model.
        file: The ONNX file.
        onnx_model: What it holds.
        graph: The network that both are made from.
        data_format: How maps lie at the file's inputs and outputs.

    Raises:
        ExportError: Their numbers differ, one of them cannot be run, or Keras' are not finite.
    """
    run = both(model, file, onnx_model, graph, data_format)
    limit = default_tolerance(model) + table_error(graph)
    with inference():
        tallies = _tallies(run, _cases(model, graph), graph)
    errors = {case: _error(each, tallies, run.scales) for case, each in tallies.items()}
    worst = max(errors, key=lambda case: errors[case])
    if errors[worst] > limit:
        raise ExportError(
            f"model '{graph.name}': on a batch of {worst}, ONNX Runtime and Keras differ by "
            f"{errors[worst]:.1e} of the output's spread; rounding explains {limit:.1e}; "
            + (known_difference(graph) or f"{REPORT_IT}; {UNVERIFIED}")
        )
    still = _still(run, tallies.values(), limit)
    return Parity(None if still else True, errors[worst], limit, tuple(tallies), still)


def _tallies(
    run: Both, cases: Iterable[tuple[str, Arrays]], graph: Graph
) -> dict[str, list[Tally]]:
    """Compare what both give, batch by batch, by the batches' names; one tally for each output."""
    tallies: dict[str, list[Tally]] = {}
    for case, inputs in cases:
        at = f"model '{graph.name}', on a batch of {case}"
        expected = _run(run.in_keras, inputs, f"{at}: Keras fails", UNVERIFIED)
        _refuse_infinite(expected, graph, at)
        found = _run(run.in_onnx, inputs, f"{at}: ONNX Runtime fails", REPORT_IT)
        of_case = tallies.setdefault(case, [Tally() for _ in expected])
        for tally, own, other in zip(of_case, expected, found, strict=True):
            _add(tally, own, other, at)
    return tallies


def _cases(model: Any, graph: Graph) -> Iterator[tuple[str, Arrays]]:
    """Draw batches of one and of three, at three sizes where sizes are free; name each.

    Where the model has its own batch size, as many of these as were drawn, under one name.
    """
    try:
        sizes = trial_sizes(graph)
    except ExportError as error:
        raise ExportError(f"{error}; {UNVERIFIED}") from error
    for number, size in enumerate(sizes):
        whole = draw_inputs(model, number, taking(graph, size))
        own = batch_size(model)
        counts = [own] * (len(whole[0]) // own) if own else BATCHES[number % 2 if number else 0 :]
        for place, count in enumerate(counts):
            first = place * own if own else 0
            inputs = [values[first : first + count] for values in whole]
            shapes = [values.shape[1:] for values in inputs] if size is None else [size]
            yield f"{count} of {' and '.join(dict.fromkeys(map(size_words, shapes)))}", inputs


def _run(run: Run, inputs: Arrays, failing: str, way_out: str) -> Arrays:
    try:
        return run(inputs)
    except Exception as error:  # the kinds of backends and of ONNX Runtime have no common name
        raise ExportError(f"{failing}: {reason(error)}; {way_out}") from error


def _refuse_infinite(expected: Arrays, graph: Graph, at: str) -> None:
    """Raise an ExportError where Keras' outputs, or what is before their activations, are none."""
    finite = [bool(np.isfinite(values).all()) for values in expected]
    if not all(finite):
        names = [
            node.name for node, is_good in zip(graph.outputs, finite, strict=False) if not is_good
        ]
        where = ", ".join(map(repr, names)) or "a final activation's input"
        raise ExportError(
            f"{at}: Keras' own numbers are not finite ({where}), so nothing can be compared; look "
            f"for weights that are NaN or infinite; {UNVERIFIED}"
        )


def _add(tally: Tally, expected: np.ndarray, found: np.ndarray, at: str) -> None:
    """Take in what one output is of one batch."""
    if found.ndim != expected.ndim and found.size == expected.size:
        found = found.reshape(expected.shape)  # looked at before the layer that flattens it
    if found.shape != expected.shape:
        raise ExportError(
            f"{at}: ONNX Runtime gives an output of the shape {found.shape}, Keras one of "
            f"{expected.shape}; {REPORT_IT}"
        )
    tally.add(expected, found)


def _error(
    tallies: Sequence[Tally], all_tallies: Mapping[str, Sequence[Tally]], scales: Sequence[float]
) -> float:
    """Return the largest error of one batch, relative to the span of the values of all batches."""
    errors = [0.0]
    for output, tally in enumerate(tallies):
        spread = max(scales[output], *(each[output].spread for each in all_tallies.values()))
        if tally.difference:
            errors.append(tally.difference / spread if spread else np.inf)
    return float(np.nan_to_num(max(errors), nan=np.inf))


def _still(run: Both, tallies: Iterable[Sequence[Tally]], limit: float) -> str:
    """Say why the runs prove nothing: an output does not depend on the input; "" where all do."""
    moved = min(
        max(_moved(each[output], run.scales[output]) for each in tallies) for output in run.telling
    )
    if moved >= 100 * limit:
        return ""
    return f"an output is constant, inputs move it by {moved:.1e} of its spread"


def _moved(tally: Tally, scale: float) -> float:
    """Say how far inputs move an output, relative to what its rounding is relative to."""
    return tally.input_spread * min(1.0, tally.spread / scale) if scale else tally.input_spread
