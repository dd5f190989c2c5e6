"""What `allconv export` and `allconv convert -o OUT.onnx` share: options of an ONNX file.

What writes one is imported inside functions: the other commands start sooner without.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from allconv.building.provenance import plan_in_a_line
from allconv.building.untrusted import refuse_untrusted
from allconv.cli.options import FILE, Command, with_options
from allconv.dense_maps.strides import OutputStride
from allconv.errors import OptionError
from allconv.graph import Graph
from allconv.pictures.preprocessing import Preprocessing
from allconv.read import read
from allconv.report import Report
from allconv.reporting.text_table import printable
from allconv.resize import InputSize

if TYPE_CHECKING:
    from allconv.export.onnx_report import OnnxReport
    from allconv.export.options import ExportOptions
    from allconv.export.precision.sample_inputs import Samples


SUFFIX = ".onnx"

_OPTIONS = (
    click.option(
        "--opset-version",
        type=int,
        metavar="N",
        help="ONNX: version of the operator set; by default 18.",
    ),
    click.option(
        "--data-format",
        metavar="channels_first|channels_last",
        help="ONNX: where inputs and outputs have their channels; by default channels_first.",
    ),
    click.option(
        "--float16",
        is_flag=True,
        help="ONNX: compute in float16, and measure the error.",
    ),
    click.option(
        "--int8",
        type=FILE,
        metavar="IMAGES",
        help="ONNX: compute in int8, and measure the error. The ranges are learnt from IMAGES: a "
        "folder of pictures, or arrays in a .npy or .npz file.",
    ),
)


def onnx_options(command: Command) -> Command:
    """Add the options that say how to write an ONNX file; `export_options` makes sense of them."""
    return with_options(command, _OPTIONS)


def onnx_keywords(options: dict[str, Any]) -> dict[str, Any]:
    """Return the keyword arguments of `allconv.export_onnx` that these options stand for."""
    names = ("opset_version", "data_format", "float16", "int8")
    return {name: options[name] for name in names if options[name] not in (None, False)}


def export_options(
    options: dict[str, Any], verify: bool, preprocessing: Preprocessing | None = None
) -> ExportOptions:
    """Say how to write an ONNX file.

    Args:
        options: Those of the command.
        verify: Whether to compare the file's numbers with Keras'.
        preprocessing: How pictures become what the network takes.

    Raises:
        OptionError: An option is unknown, or two exclude each other.
    """
    from allconv.export.options import ExportOptions

    keywords = onnx_keywords(options)
    is_read = "int8" in keywords and keywords["int8"].is_dir()
    keywords["preprocessing"] = preprocessing if is_read else None
    return ExportOptions(**keywords, verify=verify)


def export_options_for(
    output: Path | None,
    options: dict[str, Any],
    verify: bool,
    preprocessing: Preprocessing | None,
) -> ExportOptions | None:
    """Say how to write an output; None where it is no ONNX file.

    Raises:
        OptionError: As of `export_options`, or there are options for ONNX and the output is none.
    """
    given = onnx_keywords(options)
    if output is not None and output.suffix == SUFFIX:
        return export_options(options, verify, preprocessing)
    if given:
        option = next(iter(given)).replace("_", "-")
        raise OptionError(f"--{option} is for ONNX; give an output such as -o fcn.onnx")
    return None


def network_to_export(
    graph: Graph, size: InputSize | None, output_stride: OutputStride | None = None
) -> Graph:
    """Return the network to export, on images of another size and with a finer map if given.

    Raises:
        ConversionError: Layers fit one size only, or are not made from a file.
    """
    from allconv.export.pipeline import sized

    network = sized(graph, size, output_stride)
    refuse_untrusted(network)
    return network


def int8_images(as_onnx: ExportOptions | None, network: Graph) -> Samples | None:
    """Read the images of --int8, before Keras is imported; None where there are none.

    Raises:
        FileError: They cannot be read.
        OptionError: They do not fit the network, or it cannot be told which numbers it takes.
    """
    if as_onnx is None or as_onnx.int8 is None:
        return None
    from allconv.export.precision.sample_inputs import read_samples

    return read_samples(as_onnx.int8, network, as_onnx.preprocessing)


def export_file(
    network: Graph, output: Path, as_onnx: ExportOptions, source: str, images: Samples | None
) -> OnnxReport:
    """Write a network as an ONNX file."""
    from allconv.export.pipeline import export_graph

    return export_graph(network, output, as_onnx, source=source, images=images)


def export_converted(
    converted: Any,
    planned: Report,
    output: Path,
    as_onnx: ExportOptions,
    source: str,
    images: Samples | None,
) -> OnnxReport:
    """Write a converted model as an ONNX file, which says what was done to the source."""
    from allconv.export.pipeline import export_graph

    return export_graph(
        read(converted),
        output,
        as_onnx,
        source=source,
        plan=plan_in_a_line(planned.plan),
        reference=converted,
        images=images,
    )


def unproved(report: OnnxReport) -> bool:
    """Tell whether ONNX Runtime was compared with Keras, and that proves nothing."""
    return report.parity is not None and report.parity.passed is None


def written_word(output: Path) -> str:
    """Choose the word for a file that is about to be written."""
    return "overwritten" if output.exists() else "written"


def export_in_words(report: OnnxReport, written: str = "written") -> str:
    """Say what was written, in words that are safe to send to a terminal."""
    return "\n".join(map(printable, f"{written}: {report}".splitlines()))
