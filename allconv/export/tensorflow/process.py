"""A part of an export done by another Python process, whose Keras runs on TensorFlow.

tf2onnx writes what TensorFlow has traced and nothing else. A model that runs on JAX or PyTorch
stays where it is: the other process reads a copy from a file, and writes the ONNX file beside it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from allconv import errors
from allconv.errors import FOR_ONNX, AllconvError, ExportError

JOB, ANSWER = "job.json", "answer.json"


@contextmanager
def exported_elsewhere(model: Any, options: Mapping[str, Any]) -> Iterator[Path]:
    """Export a Keras model that runs on another backend, not verified.

    Args:
        model: The Keras model, of layers that its file says all of.
        options: Further arguments of `export_graph`.

    Yields:
        The ONNX file, which is there for as long as it is looked at.

    Raises:
        AllconvError: What stopped the other process.
    """
    with tempfile.TemporaryDirectory(prefix="allconv-") as name:
        folder = Path(name)
        model.save(folder / "model.keras")
        (folder / JOB).write_text(json.dumps(dict(options)), encoding="utf-8")
        done = subprocess.run(
            [sys.executable, "-m", "allconv.export.job", str(folder)],
            env={**os.environ, "KERAS_BACKEND": "tensorflow"},
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            check=False,
        )
        _raise_error(folder / ANSWER, done.stderr, done.returncode)
        yield folder / "model.onnx"


def _raise_error(answer: Path, log: str, status: int = 0) -> None:
    failed = "ONNX is written by way of TensorFlow, and the process started for it"
    if not answer.exists() and status < 0:
        raise ExportError(
            f"{failed} was ended by signal {-status}, most likely because memory ran out"
        )
    if not answer.exists():
        last_line = next(reversed(log.strip().splitlines()), "it said nothing")
        raise ExportError(
            f"{failed} failed ({last_line}); pip install {FOR_ONNX} brings what it needs"
        )
    said = json.loads(answer.read_text(encoding="utf-8"))
    if said:
        raise getattr(errors, said["kind"], AllconvError)(said["message"])
