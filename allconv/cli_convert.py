"""What `allconv convert` does when the conversion is planned: build, verify, write."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import allconv
from allconv.build import build
from allconv.cli_calibrate import calibrated
from allconv.cli_export import export_converted, told, unproved
from allconv.errors import VerificationError
from allconv.graph import Graph
from allconv.quiet import keras_quiet
from allconv.report import Report
from allconv.save import save_model
from allconv.terminal import importing_keras, progress

if TYPE_CHECKING:
    from allconv.export.form import Form

NOT_VERIFIED = "not verified: --no-verify"


@dataclass(frozen=True)
class Outcome:
    """How a conversion went.

    Attributes:
        words: How the converted model compares with the original, and what was written.
        unproved: Whether a comparison was wanted and proves nothing.
    """

    words: str
    unproved: bool = False


@contextmanager
def keras_imported(step: Callable[[str], None]) -> Iterator[None]:
    """Keras, imported and used quietly."""
    step(importing_keras())
    with keras_quiet():
        yield


def convert_and_save(
    graph: Graph,
    planned: Report,
    output: Path,
    verify: bool,
    keywords: dict[str, Any],
    form: Form | None,
    source: str,
    images: Path | None = None,
) -> Outcome:
    """Make the converted model and write it.

    Args:
        graph: The model.
        planned: Its conversion.
        output: Where to write.
        verify: Whether to compare the two before.
        keywords: How to convert, as of `allconv.convert`.
        form: How to write an ONNX file; None for one of Keras.
        source: The name of the file that the model comes from.
        images: What to fit it to; what is said is then how well that went.

    Raises:
        ExportError: The converted model cannot be written as ONNX.
        VerificationError: The conversion should be lossless, and the models disagree.
    """
    with progress() as step, keras_imported(step):
        step("building the converted model")
        converted = allconv.convert(graph, **keywords)
        if images is not None:
            step(f"fitting it to {images.name}")
            verdict = Outcome(str(calibrated(graph, converted, images)))
        else:
            step("verifying it" if verify else "")
            verdict = (
                verdict_on(graph, planned, converted, keywords) if verify else Outcome(NOT_VERIFIED)
            )
        step(f"writing {output.name}")
        if form is None:
            save_model(converted, output)
            return Outcome(f"{verdict.words}\nwritten: {output}", verdict.unproved)
        report = export_converted(converted, planned, output, form, source)
        return Outcome(f"{verdict.words}\n{told(report)}", verdict.unproved or unproved(report))


def verdict_on(graph: Graph, planned: Report, converted: Any, keywords: dict[str, Any]) -> Outcome:
    """The verification in one line, of the model that the file describes and its conversion."""
    if not planned.lossless:
        return Outcome(
            "not verified: this conversion does not keep the outputs; train the result, or fit it: "
            "--calibrate IMAGES"
        )
    if isinstance(keywords["input_size"], tuple):  # the original does not take it
        verification = allconv.report(graph, verify=True, **keywords).verification
    else:
        verification = allconv.verify(build(graph), converted)
    if verification is not None and verification.passed is False:
        raise VerificationError(
            f"model '{graph.name}' and its conversion: {verification}; nothing was written"
        )
    return Outcome(str(verification), verification is None or verification.passed is None)
