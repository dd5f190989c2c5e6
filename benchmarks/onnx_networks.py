"""Networks of keras.applications as ONNX: their operators, and how well they agree with Keras.

The networks have full depth and ten classes, and take images of 75x75. Weights are drawn as in
`applications.py`, so that rounding is not amplified. Each is exported as it is and converted, in a
process of its own; an export that fails is a row, too.

    python benchmarks/onnx_networks.py                  one network of each family
    python benchmarks/onnx_networks.py --names all      all 40
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
from applications import BUILDERS, draw_weights
from measure import RESULTS, machine, table, write_json

import allconv
from allconv.errors import ExportError
from allconv.verification.inputs import draw_inputs
from tests.test_full_size import ONE_OF_EACH_FAMILY, SIZE  # found by `applications`

COLUMNS = ("network", "form", "operators", "error", "tolerance")


def main() -> int:
    """Export network by network, print a table, write the numbers; return the exit status."""
    options = parse_arguments()
    if options.child:
        print(json.dumps(rows_of(options.child)))
        return 0
    rows = []
    for name in list(BUILDERS) if options.names == ["all"] else options.names:
        rows += run_child(name)
        print(table(COLUMNS, map(cells, rows[-2:])), flush=True)
    print(f"\n{table(COLUMNS, map(cells, rows))}")
    write_json(options.json, {"machine": machine(), "image_size": SIZE, "rows": rows})
    return int(any("failed" in row for row in rows))


def parse_arguments() -> argparse.Namespace:
    """Read the command line's options; `--child` is how the benchmark calls itself."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--names",
        nargs="+",
        choices=[*BUILDERS, "all"],
        default=list(ONE_OF_EACH_FAMILY),
        metavar="NAME",
    )
    parser.add_argument("--json", type=Path, default=RESULTS / "onnx_networks.json", metavar="OUT")
    parser.add_argument("--child", choices=BUILDERS, help=argparse.SUPPRESS)
    return parser.parse_args()


def run_child(name: str) -> list[dict[str, Any]]:
    """Return what `rows_of` finds in a process of its own, or how that process ended."""
    command = [sys.executable, __file__, "--child", name]
    found = subprocess.run(command, capture_output=True, text=True)
    if found.returncode == 0:
        rows: list[dict[str, Any]] = json.loads(found.stdout.splitlines()[-1])
        return rows
    said = found.stderr.strip().splitlines() or ["nothing said"]
    return [{"network": name, "form": "both", "failed": f"status {found.returncode}: {said[-1]}"}]


def rows_of(name: str) -> list[dict[str, Any]]:
    """Return a network's two rows: as it is, and converted."""
    model = BUILDERS[name](weights=None, input_shape=(SIZE, SIZE, 3), classes=10)
    draw_weights(model, draw_inputs(model, seed=0))
    forms = {"original": model, "converted": allconv.convert(model)}
    return [{"network": name, "form": form, **exported(each)} for form, each in forms.items()]


def exported(model: keras.Model) -> dict[str, Any]:
    """Export to a folder that is gone afterwards; return what the report says, or the error."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            report = allconv.export_onnx(model, Path(folder) / "model.onnx")
        except ExportError as error:
            return {"failed": str(error)}
    assert report.parity is not None
    return {
        "operators": report.operators,
        "error": report.parity.max_error,
        "tolerance": report.parity.tolerance,
    }


def cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    """Write a row as text."""
    if "failed" in row:
        return row["network"], row["form"], row["failed"], "", ""
    operators = ", ".join(f"{count} {kind}" for kind, count in row["operators"].items())
    return (
        *(row["network"], row["form"], operators),
        *(f"{row[key]:.1e}" for key in ("error", "tolerance")),
    )


if __name__ == "__main__":
    sys.exit(main())
