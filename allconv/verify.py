"""Runs two models on the same inputs and says whether they compute the same function.

The measure of one output, over all inputs, before a final softmax, sigmoid or tanh:

    spread        largest value - smallest value, across inputs and classes, zero among the values
    error         largest |original - converted| / spread
    input spread  the most that one value of the output moves between inputs / spread

An error counts as rounding up to a tolerance. An output whose input spread is below 100 x the
tolerance proves nothing, since one per cent of what the network makes of its input would pass for
rounding: it is called constant, and the verification not run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

from allconv.building.build import build
from allconv.errors import ConversionError, ModelError, first_line, lack_of_memory
from allconv.read import is_live, read
from allconv.result import Result
from allconv.verification.batches import batches_of, is_whole, joined
from allconv.verification.chaos import moved_by_rounding
from allconv.verification.compiled import NOTE, layers_of, needs_xla
from allconv.verification.copies import in_float32
from allconv.verification.inputs import arrange, draw_inputs, samples_of, vast_map
from allconv.verification.logits import is_graph
from allconv.verification.measure import DECISIONS, Stop, Tally, measure, ways
from allconv.verification.precision import (
    computes_in_half,
    default_tolerance,
    inference,
    rounding,
)
from allconv.verification.sizes import drawn_shapes, leaves_sizes_open, refuse_sizes


@dataclass(frozen=True)
class Verification(Result):
    """What a comparison found; true in a condition only where it passed.

    Attributes:
        passed: True or False; None where the comparison was not run, or proves nothing.
        max_error: The largest error of all outputs, relative to the spread of the output's values.
        argmax_agreement: The share of equal decisions: argmaxes along the last axis of outputs that
            have classes, and sides of 0.5 of each value where both models end in a sigmoid; None
            where there are none.
        tolerance: What `max_error` was held against.
        samples: The number of inputs compared.
        decisions: The number of decisions compared: one per input, or per cell of a class map; one
            per value of a sigmoid.
        decided_by: `"argmax"`, `"0.5"`, or both with a comma; "" where nothing is decided.
        reason: Why nothing was measured, which output failed, or what was special, in words.
    """

    passed: bool | None
    max_error: float | None = None
    argmax_agreement: float | None = None
    tolerance: float | None = None
    samples: int = 0
    decisions: int = 0
    decided_by: str = ""
    reason: str = ""

    def __bool__(self) -> bool:
        return self.passed is True

    def __str__(self) -> str:
        word = {True: "verified", False: "failed", None: "not run"}[self.passed]
        return f"{word}: {self.reason if self.max_error is None else self._measured()}"

    def _measured(self) -> str:
        text = f"{self.samples:,} inputs, largest relative error {self.max_error:.1e}"
        text += f" (tolerance {self.tolerance:.1e})"
        if self.argmax_agreement is not None:
            equal = round(self.argmax_agreement * self.decisions)
            what = DECISIONS[self.decided_by or "argmax"]
            text += f", {what} equal on {equal:,} of {self.decisions:,}"
        return f"{text}; {self.reason}" if self.reason else text


def verify(
    original: Any,
    converted: Any,
    inputs: Any = None,
    *,
    seed: int = 0,
    tolerance: float | None = None,
) -> Verification:
    """Run both models on the same inputs and measure how far their outputs are apart.

    Outputs are compared before a final softmax, sigmoid or tanh, which would hide differences,
    if both models are Functional or Sequential and end in the same one; all others are compared as
    they come. A model that computes in 16 bits is compared through a copy that computes in float32
    on the same weights. Neither model is changed.

    The default tolerance is `eps (32 sqrt(layers) + sqrt(terms))`, with eps = 2**-23 in float32,
    `layers` the number of layers of the original that have a kernel, and `terms` the number of
    products in the longest sum of such a layer: 3.4e-05 for VGG16, with 16 layers and sums of
    25,088 products. `allconv.verification.precision` lists the networks on which this was measured:
    rounding stays below the tolerance, and a kernel times 1.01, of any one layer, does not.

    Args:
        original: A Keras model, a `.keras` or `.h5` file of one, or any function of the inputs that
            returns one or several arrays.
        converted: The model to compare with it, given in the same way.
        inputs: An array, a list of arrays, or a dictionary of arrays by input name, with samples
            along the first axis. Or batches: a list of them, a generator, a
            `keras.utils.PyDataset` or a `tf.data.Dataset`; labels are ignored, and the batches are
            joined in memory. None draws four samples that suit the original: from a normal
            distribution; from 0 to 255 before a Rescaling or Normalization; integers for an integer
            input, small enough for an Embedding. An axis of free size gets 32 cells, or the first
            size above that fits all layers.
        seed: The seed of the drawn inputs.
        tolerance: The largest relative error that passes, in place of the default.

    Returns:
        The verification. Its `passed` is None where nothing is proved: there are fewer than two
        inputs; the original fails on them or gives NaN; its output does not depend on them; it is
        chaotic, so that one rounding of its numbers moves it more than the conversion does; or
        Keras cannot make the float32 copy of a model in 16 bits, for example of a Lambda.

    Raises:
        OptionError: `inputs` does not fit the original model. An image that is too small for its
            layers is refused, since a backend may give meaningless numbers for it.
        ConversionError: A file has layers that allconv does not make from files.
        FileError: A file cannot be read.
        ModelError: One of the two is neither a model with weights, nor a file, nor a function.

    Example:
        >>> print(verify(model, allconv.convert(model), images))
        verified: 500 inputs, largest relative error 4.1e-07 (tolerance 7.5e-06), argmax equal on
        500 of 500
    """
    original, converted = _runnable(original, "original"), _runnable(converted, "converted")
    if inputs is None and (vast := next(filter(None, map(_vast_map, (original, converted))), "")):
        return Verification(None, reason=f"{vast}, too many to be tried; give inputs")
    try:
        original, converted, note = _comparable(original, converted)
        limit = default_tolerance(original, converted)
        allowed = limit if tolerance is None else tolerance
        inputs = _arranged(original, converted, inputs, seed)
        with inference():
            tallies = measure(original, converted, inputs)
            found = _verdict(tallies, samples_of(inputs), allowed, limit, note)
            errors = [tally.error for tally in tallies]
            if found.passed is not False or max(errors) <= limit:
                return found
            eps = rounding(original, converted)
            moved = moved_by_rounding(original, converted, inputs, eps, seed, errors)
    except Stop as stop:
        return Verification(stop.passed, reason=str(stop))
    return _unless_chaotic(found, tallies, moved)


def _runnable(model: Any, role: str) -> Any:
    """Build the model of a file; return one that can be called as it is."""
    if not is_live(model):
        return build(read(model))
    if not callable(model):
        raise ModelError(
            f"{role}: expected a Keras model, a file of one or a function, got "
            f"{type(model).__name__}"
        )
    if getattr(model, "built", True) is False:
        raise ModelError(
            f"{role}: the {type(model).__name__} model '{model.name}' has no weights yet; "
            "build it, or call it on an input, first"
        )
    return model


def _vast_map(model: Any) -> str:
    return vast_map(model) if is_graph(model) else ""


def _comparable(original: Any, converted: Any) -> tuple[Any, Any, str]:
    """Return both models, or float32 copies where one computes in 16 bits, with a note on it.

    Raises:
        Stop: Keras cannot copy them.
    """
    models = [original, converted]
    by_xla = NOTE if any(needs_xla(layers_of(model)) for model in models) else ""
    if all(map(is_graph, models)) and any(map(computes_in_half, models)):
        note = _joined("computed in float32, on the same weights", by_xla)
        return *_copied(models), note
    return original, converted, by_xla


def _copied(models: Sequence[Any]) -> list[Any]:
    """Return the float32 copies; a model may hold layers that only its owner can make again."""
    try:
        return [in_float32(model) for model in models]
    except Exception as error:  # a layer of the user's own raises what it likes
        if lack_of_memory(error):
            raise
        what = f"{type(error).__name__}: {first_line(error)[:200]}"
        reason = f"they compute in 16 bits, and Keras makes no copies of them in float32 ({what})"
        raise Stop(None, reason) from error


def _arranged(original: Any, converted: Any, inputs: Any, seed: int) -> Any:
    """Find the inputs to run both on: the caller's, checked, or drawn ones.

    Raises:
        OptionError: Those of the caller do not fit the original.
        Stop: None are given and none can be drawn, or they are too few to prove anything.
    """
    if inputs is None:
        return _drawn(original, converted, seed)
    if not is_whole(inputs, original):
        inputs = joined(batches_of(inputs, "inputs"), "inputs")
    if is_graph(original):
        inputs = arrange(inputs, original, "original")
        refuse_sizes(original, [array.shape for array in inputs], "inputs")
    samples = samples_of(inputs)
    if samples < 2:
        count = ("no inputs", "one input")[samples]
        raise Stop(None, f"got {count}; give at least two, to show that the output depends on them")
    return inputs


def _drawn(original: Any, converted: Any, seed: int) -> Any:
    """Draw inputs that suit the original's graph, of a size that fits it."""
    if not is_graph(original):
        raise Stop(None, "the original has no graph that describes its inputs; give inputs")
    if not leaves_sizes_open(original):
        return draw_inputs(original, seed)
    try:
        shapes = drawn_shapes(original, converted)
    except ConversionError as error:
        raise Stop(None, f"{error}; give inputs") from error
    known = SimpleNamespace(inputs=[SimpleNamespace(shape=shape) for shape in shapes])
    return draw_inputs(original, seed, known)


def _verdict(
    tallies: Sequence[Tally], samples: int, tolerance: float, limit: float, note: str
) -> Verification:
    """Hold each output against the tolerance, then ask whether passing it proves anything."""
    worst = max(tallies, key=lambda tally: tally.error)
    decisions = sum(tally.decisions for tally in tallies)
    measured = Verification(
        passed=worst.error <= tolerance,
        max_error=worst.error,
        argmax_agreement=sum(tally.equal for tally in tallies) / decisions if decisions else None,
        tolerance=tolerance,
        samples=samples,
        decisions=decisions,
        decided_by=ways(tally.decided_by for tally in tallies),
        reason=note,
    )
    if not measured.passed:
        return replace(measured, reason=_joined(_which(tallies, worst), note))
    stillest = min(tallies, key=lambda tally: tally.input_spread)
    needed = 100 * min(tolerance, limit)
    if stillest.input_spread >= needed:
        return measured
    reason = (
        f"{_which(tallies, stillest) or 'the output'} is constant: {samples:,} inputs move it by "
        f"{stillest.input_spread:.1e} of its spread, but at least {needed:.1e} is needed to show "
        "an error"
    )
    return Verification(None, tolerance=tolerance, samples=samples, reason=reason)


def _unless_chaotic(
    failed: Verification, tallies: Sequence[Tally], moved: Sequence[float]
) -> Verification:
    """Fail, unless the original moves as far where its numbers are rounded another way."""
    wrong = [
        (tally, by_rounding)
        for tally, by_rounding in zip(tallies, moved, strict=True)
        if tally.error > (failed.tolerance or 0.0)
    ]
    if not all(tally.error <= by_rounding for tally, by_rounding in wrong):
        return failed
    worst, by_rounding = max(wrong, key=lambda pair: pair[0].error)
    reason = (
        f"{_which(tallies, worst) or 'the original'} is chaotic: the conversion moves it by "
        f"{worst.error:.1e} of its spread, and one rounding of its numbers by {by_rounding:.1e}"
    )
    return Verification(None, tolerance=failed.tolerance, samples=failed.samples, reason=reason)


def _which(tallies: Sequence[Tally], tally: Tally) -> str:
    """Name one output where there are several."""
    return f"output {tallies.index(tally) + 1} of {len(tallies)}" if len(tallies) > 1 else ""


def _joined(*notes: str) -> str:
    return "; ".join(filter(None, notes))
