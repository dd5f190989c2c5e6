"""Every network of keras.applications: converted or why not, how exactly, and at what cost.

Each network is made, converted and verified in a process of its own, so that its memory returns
and a crash is a row. Weights are drawn: He kernels, random BatchNormalization statistics and
LayerScale gammas, small residual branches, since nothing can be measured on a network whose signal
fades or explodes. Afterwards the kernel of the converted network's first convolution is multiplied
by 1.01, which `verify` must see.
"""

from __future__ import annotations

import argparse
import inspect
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import keras
from measure import RESULTS, machine, table, write_json

import allconv
from allconv.errors import ConversionError
from allconv.obstacles import is_all_convolutional
from allconv.read import read
from allconv.verification.inputs import draw_inputs

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT))

from tests.helpers.randomized import damp_branches, randomize  # noqa: E402, found at ROOT

DOCS = ROOT / "docs" / "applications.md"
SMALLEST = {"InceptionResNetV2": 75, "InceptionV3": 75, "Xception": 71}
"""Heights and widths below which a builder refuses; 32 for all others."""
FACTOR = 1.01
"""What one kernel is multiplied by to see whether `verify` would find an error."""
DIVISORS = (5, 10, 20, 4, 3, 2)
"""Of residual branches: the first with which a network is worth measuring is taken."""
NUDGE = 1 + 2**-22
"""What an input is multiplied by to change it by as much as rounding does."""
BUILDERS = {
    name: builder
    for name, builder in sorted(vars(keras.applications).items())
    if inspect.isfunction(builder)
}


def main() -> None:
    """Measure network by network, print a table, write the numbers."""
    options = parse_arguments()
    if options.child:
        print(json.dumps(measure(options.names[0], options.size, options.images)))
        return
    rows = []
    for name in options.names:
        rows.append(run_child(name, options.size, options.images))
        print(f"{name}: {in_words(rows[-1])}", flush=True)
    if options.update:
        rows = updated(json.loads(options.json.read_text())["rows"], rows)
    result = {"machine": machine(), "images": options.images, "factor": FACTOR, "rows": rows}
    print(f"\n{table(COLUMNS, map(cells, rows))}")
    write_json(options.json, result)
    if options.write_docs:
        DOCS.write_text(page(result))
        print(f"written to {DOCS}")


def updated(before: Iterable[Any], rows: Iterable[Any]) -> list[Any]:
    """Older rows with those of some networks measured again, in the order of the builders."""
    by_name = {row["model"]: row for row in (*before, *rows)}
    return [by_name[name] for name in BUILDERS if name in by_name]


def parse_arguments() -> argparse.Namespace:
    """Read the command line's options; `--child` is how the benchmark calls itself."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--names", nargs="+", choices=BUILDERS, default=list(BUILDERS), metavar="NAME"
    )
    parser.add_argument(
        "--size",
        type=int,
        help="height and width of the images, or the least that a network takes; "
        "default: each network's own",
    )
    parser.add_argument(
        "--images", type=int, default=2, help="to verify on, two or more; default: %(default)s"
    )
    parser.add_argument("--json", type=Path, default=RESULTS / "applications.json", metavar="OUT")
    parser.add_argument(
        "--write-docs",
        action="store_true",
        help="write the table to docs/applications.md; for all networks at their own size",
    )
    parser.add_argument(
        "--update", action="store_true", help="keep the rows of other networks that are in OUT"
    )
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    some = len(options.names) < len(BUILDERS) and not options.update
    if options.write_docs and (options.size or some):
        parser.error("--write-docs is for every network at its own size: --update, and no --size")
    return options


def run_child(name: str, size: int | None, images: int) -> dict[str, Any]:
    """Return what `measure` finds in a process of its own, or how that process ended."""
    command = [sys.executable, __file__, "--child", "--names", name, "--images", str(images)]
    command += ["--size", str(size)] if size else []
    found = subprocess.run(
        command,
        capture_output=True,
        text=True,
        env={**os.environ, "KERAS_BACKEND": keras.config.backend()},
    )
    if found.returncode == 0:
        row: dict[str, Any] = json.loads(found.stdout.splitlines()[-1])
        return row
    said = found.stderr.strip().splitlines() or ["nothing said"]
    return {"model": name, "crash": f"exit status {found.returncode}: {said[-1]}"}


def measure(name: str, size: int | None, images: int) -> dict[str, Any]:
    """Measure one row: a network made, converted, verified, and verified to be verifiable."""
    start = time.perf_counter()
    original = make(name, size)
    made = time.perf_counter()
    drawn = draw_inputs(original, seed=0)
    for count in (images, 2 * images):
        inputs = [array[:count] for array in drawn]
        if divisor := draw_weights(original, inputs):
            break
    begin = time.perf_counter()
    converted = allconv.convert(original, strict=False)
    seconds = {"make": made - start, "convert": time.perf_counter() - begin}

    report = allconv.report(original)
    verification = allconv.verify(original, converted, inputs)
    scaled = first_convolution(converted)
    scaled.kernel.assign(scaled.kernel * FACTOR)
    found = allconv.verify(original, converted, inputs)
    return {
        "model": name,
        "input_shape": original.input_shape[1:],
        "layers": {"before": len(report.rows), "after": len(converted.layers)},
        "obstacles": [str(obstacle) for obstacle in report.obstacles],
        "all_convolutional": is_all_convolutional(read(converted)),
        "lossless": report.lossless,
        "branches_divided_by": divisor,
        "images": count,
        "smallest_image": smallest_image(original),
        "verification": str(verification),
        "passed": verification.passed,
        "error": verification.max_error,
        "tolerance": verification.tolerance,
        "scaled_kernel": scaled.name,
        "scaled_passed": found.passed,
        "scaled_error": found.max_error,
        "parameters": amounts(report.totals.parameters),
        "multiply_accumulates": amounts(report.totals.multiply_accumulates),
        "seconds": seconds,
    }


def draw_weights(model: keras.Model, inputs: Any) -> float | None:
    """Give a network random weights with which it is worth measuring, if any of those tried are.

    Returns:
        What its residual branches were divided by; None where nothing helped.
    """
    for divisor in DIVISORS:
        damp_branches(randomize(model), divisor)
        if is_worth_measuring(model, inputs):
            return divisor
    return None


def is_worth_measuring(model: keras.Model, inputs: Any) -> bool:
    """Tell whether the output depends on the input, and a change by rounding moves it by rounding.

    That is asked of the network alone, before it is converted.
    """
    nudge = keras.layers.Rescaling(NUDGE)
    nudged = keras.Model(model.input, model(nudge(model.input)))
    found = allconv.verify(model, nudged, inputs)
    return bool(found) and found.max_error <= found.tolerance / 10


def smallest_image(model: keras.Model) -> tuple[int, ...] | None:
    """From which size on `input_size="any"` takes images; None where it refuses the network."""
    try:
        found = allconv.report(model, input_size="any").geometry
    except ConversionError:
        return None
    return found and found.minimum_input_size


def make(name: str, size: int | None) -> keras.Model:
    """Make a network with Keras' own fresh weights, for images of `size` or of its own size.

    MobileNetV3's builders leave the size open, where others take 224.
    """
    if size is None:
        model = BUILDERS[name](weights=None)
        if None not in model.input_shape[1:]:
            return model
    size = max(size or 224, SMALLEST.get(name, 32))
    return BUILDERS[name](weights=None, input_shape=(size, size, 3))


def first_convolution(model: keras.Model) -> keras.layers.Conv2D:
    """Find the first full convolution of a model; its kernel reaches every output."""
    return next(layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D))


def amounts(amount: Any) -> dict[str, Any]:
    """Return a number before and after, and its ratio."""
    return {"before": amount.before, "after": amount.after, "ratio": amount.ratio}


COLUMNS = (
    "network",
    "image",
    "all-convolutional",
    "any size",
    "relative error",
    "tolerance",
    f"kernel x {FACTOR}",
    "parameters",
    "after",
    "multiply-accumulates",
    "after",
    "seconds",
)


def cells(row: Mapping[str, Any]) -> list[str]:
    """Write a row in words, one for each column."""
    if "crash" in row:
        return [row["model"], "", "no: crashed", *[""] * (len(COLUMNS) - 3)]
    counts = [row[key] for key in ("parameters", "multiply_accumulates")]
    return [
        row["model"],
        "x".join(map(str, row["input_shape"][:2])),
        "yes" if row["all_convolutional"] else "no",
        f"from {'x'.join(map(str, row['smallest_image']))}" if row["smallest_image"] else "no",
        number(row["error"]),
        number(row["tolerance"]),
        f"{number(row['scaled_error'])}, {'seen' if row['scaled_passed'] is False else 'not seen'}",
        *(text for count in counts for text in (metric(count["before"]), ratio(count["ratio"]))),
        f"{row['seconds']['convert']:.1f}",
    ]


def in_words(row: Mapping[str, Any]) -> str:
    """Write a row in a line, while the others are being measured."""
    if "crash" in row:
        return str(row["crash"])
    kernel = f"{row['scaled_kernel']} x {FACTOR}: {number(row['scaled_error'])}"
    stays = "".join(f"\n  {obstacle}" for obstacle in row["obstacles"])
    return f"{row['verification']}; {kernel}{stays}"


def number(value: float | None) -> str:
    """Write a relative error."""
    return "not run" if value is None else f"{value:.1e}"


def metric(count: int | None) -> str:
    """Write a count in millions or thousand millions."""
    if count is None:
        return "unknown"
    return f"{count / 1e9:.1f} G" if count >= 1e9 else f"{count / 1e6:.1f} M"


def ratio(value: float | None) -> str:
    """Write how many times the original's a number is."""
    return "unknown" if value is None else f"{value:.2f}x"


def page(result: Mapping[str, Any]) -> str:
    """docs/applications.md."""
    rows = result["rows"]
    good = [row for row in rows if is_good(row)]
    versions = ", ".join(f"{name} {result['machine'][name]}" for name in ("keras", "tensorflow"))
    return "\n".join(
        (
            "# Every network of keras.applications",
            "",
            "<!-- Written by `python benchmarks/applications.py --write-docs`. -->",
            "",
            f"{len(good)} of {len(rows)} networks become all-convolutional with the same outputs, "
            f"and for {sum(row.get('scaled_passed') is False for row in rows)} of them a kernel "
            f"times {FACTOR} makes `verify` fail.",
            "",
            *markdown(COLUMNS, map(cells, rows)),
            "",
            *remarks(rows),
            EXPLANATION.format(images=result["images"], factor=FACTOR),
            "",
            f"Made with allconv {allconv.__version__}, {versions}, on {result['machine']['cores']} "
            "cores, by `python benchmarks/applications.py --write-docs`.",
            "",
        )
    )


EXPLANATION = """\
Every network has its builder's own image size and 1,000 classes. Its kernels are drawn from He's
normal distribution; its BatchNormalization statistics, biases and LayerScale gammas are random. A
BatchNormalization that ends a residual branch is divided by 5: without that, some deep networks
are chaotic, and comparing outputs means nothing. If the original is not worth measuring with 5, the
first of 10, 20, 4, 3 and 2 is taken with which it is: its output depends on its input, and an input
times 1 + 2^-22 moves it by no more than a tenth of the tolerance.

*Any size* says whether `input_size="any"` accepts the network, and from which image size on; it
refuses squeeze-and-excitation blocks. The relative error is that of `allconv.verify` on {images}
images, or on twice as many if these move the output too little: the largest difference of two
values before the softmax, over the spread of all values. *Kernel x {factor}* is the error after
the kernel of the converted network's first convolution is multiplied by {factor}; it is seen if it
exceeds the tolerance. ConvNeXt shows less of it, because a LayerNormalization follows and removes
the factor, except from the bias.

Parameters and multiply-accumulates are counted as `allconv.report` counts them, for one image. The
constant kernels of global pools are as large as their maps, and count as parameters; most of them
are in the squeeze-and-excitation blocks of an EfficientNet for large images. Seconds are the time
of one `allconv.convert` in a process of its own, on one machine on one day."""


def is_good(row: Mapping[str, Any]) -> bool:
    """Tell whether a network became all-convolutional and was verified."""
    return bool(row.get("all_convolutional") and row.get("passed"))


def remarks(rows: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """Say why networks did not become all-convolutional, or were not verified."""
    for row in rows:
        if not is_good(row):
            found = row.get("obstacles") or [row.get("crash") or row["verification"]]
            yield f"* {row['model']}: {'; '.join(found)}"
            yield ""


def markdown(columns: Iterable[str], rows: Iterable[Iterable[str]]) -> Iterator[str]:
    """Yield the lines of a table: the first column to the left, numbers to the right."""
    columns = list(columns)
    yield f"| {' | '.join(columns)} |"
    yield f"| --- |{' ---: |' * (len(columns) - 1)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"


if __name__ == "__main__":
    main()
