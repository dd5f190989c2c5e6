"""What it costs to export a network to ONNX: time and memory, against plain tf2onnx.

Each export runs in a process of its own, which loads the model from disk first; only the export is
measured. The processes take turns. allconv is measured with its verification, in which ONNX Runtime
and Keras both run the network, and without.

A process that asks for more than `--most-memory` is ended, said so in the table, and not run again.
"""

from __future__ import annotations

import argparse
import gc
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from convert import process_memory
from measure import RESULTS, he_kernels, machine, quartiles, table, write_json

from allconv.export_onnx import export_onnx

OPSET = 18
MODELS = ("ResNet50", "VGG16")


def by_tf2onnx(model: keras.Model, path: Path) -> None:
    """Export as a user of tf2onnx does: the model's call as a function, of its own image size."""
    import tf2onnx

    images = tf.TensorSpec((None, *model.input_shape[1:]), tf.float32, name="images")
    function = tf.function(partial(model, training=False), input_signature=[images])
    tf2onnx.convert.from_function(function, [images], opset=OPSET, output_path=str(path))


ACTIONS: Mapping[str, Callable[[keras.Model, Path], object]] = {
    "tf2onnx": by_tf2onnx,
    "allconv": partial(export_onnx, opset_version=OPSET, verify=False),
    "allconv, verified": partial(export_onnx, opset_version=OPSET),
}
TARGET = 1.0
"""Time and memory of `allconv`, times those of plain tf2onnx."""


def main() -> None:
    """Measure, print tables, write the numbers."""
    options = parse_arguments()
    if options.child:
        limit = int(options.most_memory * 1e9)
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
        print(json.dumps(measured(ACTIONS[options.child], options.file)))
        return
    result = {
        "machine": machine(),
        "rounds": options.rounds,
        "most_memory_gb": options.most_memory,
        "targets": {"time": TARGET, "memory": TARGET},
        "models": {},
    }
    for name in options.models:
        runs = all_runs(name, options)
        rows = {action: summary(each, runs["tf2onnx"]) for action, each in runs.items()}
        result["models"][name] = rows
        print(f"{describe(name, rows, options)}\n", flush=True)
    print("time and memory are to be at most those of plain tf2onnx")
    write_json(options.json, result)


def parse_arguments() -> argparse.Namespace:
    """Read the command line's options; `--child` is how the benchmark calls itself."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--rounds", type=int, default=5, help="default: %(default)s")
    parser.add_argument(
        "--most-memory",
        type=float,
        default=round(available_memory() / 1e9 - 1, 1),
        metavar="GB",
        help="for one process; default: what the machine has free, less 1 GB (%(default)s)",
    )
    parser.add_argument("--json", type=Path, default=RESULTS / "onnx_export.json", metavar="OUT")
    parser.add_argument("--child", choices=ACTIONS, help=argparse.SUPPRESS)
    parser.add_argument("file", nargs="?", help=argparse.SUPPRESS)
    return parser.parse_args()


def available_memory() -> int:
    """Return the bytes that programs can take before the machine runs out: proc(5)."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    sizes = dict(line.split(":") for line in lines)
    return int(sizes["MemAvailable"].split()[0]) * 1024


def all_runs(name: str, options: argparse.Namespace) -> dict[str, list[dict[str, float]]]:
    """Run each action on a network several times; not one for which the memory does not suffice."""
    runs: dict[str, list[dict[str, float]]] = {action: [] for action in ACTIONS}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "model.keras")
        he_kernels(getattr(keras.applications, name)(weights=None)).save(file)
        keras.utils.clear_session()
        gc.collect()
        left = set(ACTIONS)
        for count in range(options.rounds):
            for action in sorted(left, reverse=bool(count % 2)):
                run = run_child(action, file, options.most_memory)
                if run is None:
                    left.remove(action)
                else:
                    runs[action].append(run)
    return runs


def run_child(name: str, file: Path, most_memory: float) -> dict[str, float] | None:
    """Return what `measured` finds in a process of its own; None where that was ended."""
    command = [sys.executable, __file__, "--child", name, "--most-memory", str(most_memory)]
    child = subprocess.run([*command, str(file)], capture_output=True, text=True)
    if child.returncode:
        last_line = next(reversed(child.stderr.strip().splitlines()), "")
        print(f"{name} ended with status {child.returncode}: {last_line[:200]}", file=sys.stderr)
        return None
    found: dict[str, float] = json.loads(child.stdout.splitlines()[-1])
    return found


def measured(action: Callable[[keras.Model, Path], object], file: str) -> dict[str, float]:
    """Load a model, export it, and say how long that took and how many bytes."""
    model = keras.saving.load_model(file, compile=False)
    gc.collect()
    resident = process_memory("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew: proc(5)
    start = time.perf_counter()
    action(model, Path(file).with_suffix(".onnx"))
    seconds = time.perf_counter() - start
    return {"seconds": seconds, "extra_bytes": process_memory("VmHWM") - resident}


def summary(
    runs: list[dict[str, float]], plain: list[dict[str, float]]
) -> dict[str, dict[str, float]]:
    """Return medians and quartiles, and ratios to plain tf2onnx; nothing if no run ended well."""
    if not runs:
        return {}
    columns = {kind: np.array([run[kind] for run in runs]) for kind in runs[0]}
    found = {kind: quartiles(values) for kind, values in columns.items()}
    if plain:
        times = columns["seconds"] / np.array([run["seconds"] for run in plain])
        memory = median(columns["extra_bytes"]) / median(run["extra_bytes"] for run in plain)
        found |= {"time_ratio": quartiles(times), "memory_ratio": {"median": memory}}
    return found


def describe(name: str, rows: Mapping[str, Any], options: argparse.Namespace) -> str:
    """Write the numbers of a network as a table."""
    title = f"{name} at 224x224, He kernels, {options.rounds} rounds"
    columns = (title, "seconds", "extra MB", "time", "quartiles", "memory")
    ended = f"needs more than {options.most_memory:.1f} GB"
    lines = [(action, *(cells(row) if row else (ended,))) for action, row in rows.items()]
    return table(columns, [(*line, *[""] * (len(columns) - len(line))) for line in lines])


def cells(row: Mapping[str, Any]) -> Iterator[str]:
    """Yield the cells behind the name of an action."""
    yield f"{row['seconds']['median']:.1f}"
    yield f"{row['extra_bytes']['median'] / 1e6:,.0f}"
    if "time_ratio" in row:
        ratio = row["time_ratio"]
        yield f"{ratio['median']:.2f}x"
        yield f"{ratio['first_quartile']:.2f}-{ratio['third_quartile']:.2f}"
        yield f"{row['memory_ratio']['median']:.2f}x"


if __name__ == "__main__":
    main()
