"""One network of each family of keras.applications as ONNX: its operators, and how well it agrees.

The networks have full depth, ten classes and drawn weights, and take images of 75x75.

    python benchmarks/onnx_networks.py            # a table, in six minutes
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import keras
from measure import table

import allconv
from allconv.export.onnx_report import OnnxReport

sys.path.insert(0, str(Path(__file__).parents[1]))  # for tests
from tests.randomized import damp_branches, randomize
from tests.test_full_size import ONE_OF_EACH_FAMILY, SIZE

COLUMNS = ("network", "form", "operators", "error", "tolerance")


def main() -> None:
    """Print the table."""
    rows = [row for name in ONE_OF_EACH_FAMILY for row in rows_of(name)]
    print(table(COLUMNS, rows))


def rows_of(name: str) -> list[tuple[str, ...]]:
    """A network's two rows: as it is, and converted."""
    build = getattr(keras.applications, name)
    model = build(weights=None, input_shape=(SIZE, SIZE, 3), classes=10)
    damp_branches(randomize(model))
    forms = {"original": model, "converted": allconv.convert(model)}
    return [(name, form, *measured(exported(each))) for form, each in forms.items()]


def exported(model: keras.Model) -> OnnxReport:
    """The report of an export to a folder that is gone afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        return allconv.export_onnx(model, Path(folder) / "model.onnx")


def measured(report: OnnxReport) -> tuple[str, str, str]:
    """What a report says, for a row."""
    assert report.parity is not None
    return (
        in_words(report.operators),
        f"{report.parity.max_error:.1e}",
        f"{report.parity.tolerance:.1e}",
    )


def in_words(counts: Mapping[str, int]) -> str:
    """Operators and their counts, such as `2 Conv, 1 Relu`."""
    return ", ".join(f"{count} {kind}" for kind, count in counts.items())


if __name__ == "__main__":
    main()
