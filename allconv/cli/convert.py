"""What `allconv convert` does when the conversion is planned: build, verify, write."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import allconv
from allconv.building.untrusted import refuse_untrusted
from allconv.cli.export import SUFFIX, export_converted, export_in_words, unproved, written_word
from allconv.cli.images import GivenImages
from allconv.cli.quiet import keras_quiet
from allconv.cli.terminal import importing_keras, progress
from allconv.errors import OptionError
from allconv.graph import Graph
from allconv.obstacles import refuse_obstacles
from allconv.plan import build_plan, refuse_wrong_numbers, verify_plan
from allconv.read import read
from allconv.read.file import ModelFile
from allconv.report import Report
from allconv.reporting.text_table import printable
from allconv.reporting.words import left_behind
from allconv.rewrite import Plan
from allconv.save import SUFFIXES, save_model
from allconv.saving.saved_as_h5 import refuse_loss

if TYPE_CHECKING:
    from allconv.export.options import ExportOptions
    from allconv.export.precision.sample_inputs import Samples

ENDS = (*SUFFIXES, SUFFIX)
NOT_VERIFIED = "not verified: --no-verify"


@dataclass(frozen=True)
class Outcome:
    """How a conversion went.

    Attributes:
        words: How the converted model compares with the original, and what was written.
        unproved: Whether a comparison was wanted and proves nothing.
        found: The same as plain data: `verification`, `calibration`, `pictures` (what was done to
            those that it was fitted to), `onnx` and `written`.
    """

    words: str
    unproved: bool = False
    found: Mapping[str, Any] = field(default_factory=dict)

    def with_file(self, words: str, output: Path, **found: Any) -> Outcome:
        """Add the file that was written to an outcome."""
        known = {**self.found, **found, "written": str(output)}
        return Outcome(f"{self.words}\n{words}", self.unproved, known)


@contextmanager
def keras_imported(step: Callable[[str], None]) -> Iterator[None]:
    """Import Keras, and use it quietly."""
    step(importing_keras())
    with keras_quiet():
        yield


def planned_conversion(file: ModelFile, output: Path | None, keywords: Mapping[str, Any]) -> Report:
    """Plan the conversion of a file; find what stops it before Keras is imported.

    Raises:
        ConversionError: Layers stand in the way, or are not made from a file.
        FileError: The output cannot hold the result.
    """
    with progress() as step:
        step(f"reading {Path(file.path).name}")
        graph = read(file)
        step("working out the conversion")
        planned = allconv.report(graph, **keywords)
        if planned.refused and planned.strict:
            refuse_obstacles(planned.plan)
        refuse_untrusted(planned.plan.after)
        if output is not None:
            refuse_loss(planned.plan.after, output)
    return planned


def convert_and_save(
    planned: Report,
    output: Path,
    verify: bool,
    as_onnx: ExportOptions | None,
    source: str,
    images: GivenImages | None = None,
    int8: Samples | None = None,
) -> Outcome:
    """Make the converted model and write it.

    Args:
        planned: The conversion.
        output: Where to write.
        verify: Whether to compare the two before.
        as_onnx: How to write an ONNX file; None for one of Keras.
        source: The name of the file that the model comes from.
        images: What to fit it to; what is said is then how well that went.
        int8: What an ONNX file in int8 learns its ranges from.

    Raises:
        ExportError: The converted model cannot be written as ONNX.
        VerificationError: The conversion should be lossless, and the models disagree.
    """
    word = written_word(output)
    with progress() as step, keras_imported(step):
        step("building the converted model")
        converted = build_plan(_without_settings(planned, output))
        if images is not None:
            step(f"fitting it to {images.name}")
            verdict = _fitted(planned.own_plan.before, converted, images)
        else:
            step("verifying it" if verify else "")
            verdict = verdict_on(planned, converted) if verify else Outcome(NOT_VERIFIED)
        step(f"writing {output.name}")
        if as_onnx is None:
            save_model(converted, output)
            return verdict.with_file(f"{word}: {output}", output)
        report = export_converted(converted, planned, output, as_onnx, source, int8)
        found = verdict.with_file(export_in_words(report, word), output, onnx=report.to_dict())
        return replace(found, unproved=found.unproved or unproved(report))


def refuse_fitting(planned: Report, calibrate: Path | None) -> None:
    """Raise an OptionError where there are images to fit to, and nothing has to be fitted."""
    if calibrate is not None and planned.lossless:
        raise OptionError(
            "--calibrate: this conversion keeps the outputs, so nothing has to be fitted; leave it "
            "out, or choose --pooling conv or --pooling stride"
        )


def _fitted(graph: Graph, converted: Any, given: GivenImages) -> Outcome:
    """Fit a converted model, in place, to images, and say how well that went.

    Raises:
        CalibrationError: The conversion left nothing to fit, or the images do not show enough.
        FileError: A picture cannot be read.
        OptionError: The images do not fit the model.
    """
    fitted = allconv.calibrate(graph, converted, given.images, verbose=0)
    found = {"calibration": fitted.to_dict(), "pictures": given.notes}
    return Outcome("\n".join([str(fitted), *given.notes]), found=found)


def stays_behind(planned: Report, output: Path | None) -> str:
    """Say why a file of Keras does not get the model's compile settings, "" where it does."""
    settings = planned.plan.before.compile_settings
    if planned.input_size is not None or output is None or output.suffix not in SUFFIXES:
        return ""
    if output.suffix == ".h5" and not planned.not_compiled and _are_by_output(settings):
        return "Keras' .h5 files do not carry those of several outputs (.keras files do)"
    return planned.not_compiled


def _are_by_output(settings: Mapping[str, Any]) -> bool:
    """Tell whether a loss or metric is given per output, which Keras does not read from `.h5`."""
    given = [settings.get(key) for key in ("loss", "loss_weights", "metrics", "weighted_metrics")]
    by_name = [value for value in given if isinstance(value, Mapping)]
    listed = any(isinstance(value, list) for value in given[:2])
    return listed or any("class_name" not in value for value in by_name)


def _without_settings(planned: Report, output: Path) -> Plan:
    """Return the plan, without compile settings where the file cannot have them."""
    if not stays_behind(planned, output):
        return planned.plan
    return replace(planned.plan, before=replace(planned.plan.before, compile_settings={}))


def verdict_on(planned: Report, converted: Any) -> Outcome:
    """Verify a conversion against the model that a file describes; tell the outcome in a line."""
    if not planned.lossless:
        return Outcome(
            "not verified: this conversion does not keep the outputs; train the result, or fit it: "
            "--calibrate IMAGES"
        )
    plan = planned.own_plan
    verification = verify_plan(plan, planned.plan, converted=converted)
    refuse_wrong_numbers(plan, verification, "nothing was written")
    found = {"verification": verification.to_dict()}
    return Outcome(str(verification), verification.passed is None, found)


def conversion_in_words(planned: Report, outcome: Outcome, target: Path | None) -> str:
    """Say what was planned and how it went."""
    ways = [
        f"stands in the way and stays: {printable(str(obstacle))}" for obstacle in planned.obstacles
    ]
    if why := stays_behind(planned, target):
        ways.append(left_behind(why))
    return "\n".join([str(planned.totals), *ways, outcome.words])


def conversion_as_data(planned: Report, outcome: Outcome) -> dict[str, Any]:
    """Say the same as data for JSON; what was not asked for is None."""
    report = planned.to_dict()
    shown = ("model", "input_size", "output_stride", "lossless", "totals", "obstacles")
    asked = dict.fromkeys(("verification", "calibration", "pictures", "onnx", "written"))
    return {**{name: report[name] for name in shown}, **asked, **outcome.found}


def target_of(file: Path, output: Path | None, several: bool) -> Path | None:
    """Say where the conversion of a file goes: into a folder under its own name, or where it says.

    Raises:
        OptionError: Several files go to what is no folder.
    """
    ends_like_a_file = output is not None and output.suffix in ENDS
    if output is None or (ends_like_a_file and not several):
        return output
    if os.path.isdir(output):  # False, and no error, for a name that cannot be
        return output / f"{file.stem}.keras"
    if several:
        is_file = ends_like_a_file or os.path.lexists(output)
        problem = "is none" if is_file else "is not there; make it first"
        raise OptionError(
            f"--output: several FILEs are written to a folder, and {output} {problem}"
        )
    return output


def refuse_one_name(files: Sequence[Path], output: Path | None) -> None:
    """Raise an OptionError where two files would be written to one place."""
    stems = [file.stem for file in files]
    twice = next((stem for stem in stems if stems.count(stem) > 1), None)
    if output is not None and twice is not None:
        raise OptionError(f"--output: two of the FILEs would be written to {output / twice}.keras")
