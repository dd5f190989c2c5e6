"""The other side of `export.tensorflow.process`: does a folder's job and leaves its result there.

python -m allconv.export.job FOLDER
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

from allconv.errors import AllconvError
from allconv.export.options import ExportOptions
from allconv.export.pipeline import export_graph
from allconv.export.tensorflow.process import ANSWER, JOB
from allconv.read import read


def main(folder: Path) -> None:
    """Export `model.keras` to `model.onnx`; what stops it is written down for who asked."""
    answer = {}
    try:
        job = json.loads((folder / JOB).read_text(encoding="utf-8"))
        options = ExportOptions(job.pop("opset_version"), job.pop("data_format"), verify=False)
        graph = read(folder / "model.keras")
        graph = replace(graph, output_names=tuple(job.pop("output_names", ())))
        export_graph(graph, folder / "model.onnx", options, **job)
    except AllconvError as error:
        answer = {"kind": type(error).__name__, "message": str(error)}
    (folder / ANSWER).write_text(json.dumps(answer), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
