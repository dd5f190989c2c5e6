"""What it costs to export VGG16 at 224x224 to ONNX: time and memory, against plain tf2onnx.

Each export runs in a process of its own, which loads the model from disk first; only the export is
measured. The processes take turns. allconv is measured with its verification, in which ONNX Runtime
and Keras both run the network, and without.
"""

from __future__ import annotations

import argparse
import gc
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from convert import process_memory
from measure import RESULTS, he_kernels, machine, quartiles, table, write_json

from allconv.export.pipeline import export_onnx

OPSET = 18


def by_tf2onnx(model: keras.Model, path: Path) -> None:
    """What a user of tf2onnx writes: the model's call as a function, of its own image size."""
    import tf2onnx

    images = tf.TensorSpec((None, *model.input_shape[1:]), tf.float32, name="images")
    function = tf.function(partial(model, training=False), input_signature=[images])
    tf2onnx.convert.from_function(function, [images], opset=OPSET, output_path=str(path))


ACTIONS: Mapping[str, Callable[[keras.Model, Path], object]] = {
    "tf2onnx": by_tf2onnx,
    "allconv": partial(export_onnx, opset=OPSET, verify=False),
    "allconv, verified": partial(export_onnx, opset=OPSET),
}
TIME_TARGET = MEMORY_TARGET = 1.0
"""Of `allconv`, times plain tf2onnx."""


def main() -> None:
    """Measures, prints a table, writes the numbers."""
    options = parse_arguments()
    if options.child:
        print(json.dumps(measured(ACTIONS[options.child], options.file)))
        return
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "model.keras")
        he_kernels(keras.applications.VGG16(weights=None)).save(file)
        keras.utils.clear_session()
        gc.collect()
        runs: dict[str, list[dict[str, float]]] = {name: [] for name in ACTIONS}
        for count in range(options.rounds):
            for name in sorted(ACTIONS, reverse=bool(count % 2)):
                runs[name].append(run_child(name, file))
    result = {
        "model": "VGG16 at 224x224, He kernels",
        "machine": machine(),
        "rounds": options.rounds,
        "targets": {"time": TIME_TARGET, "memory": MEMORY_TARGET},
        **{name: summary(of_action, runs["tf2onnx"]) for name, of_action in runs.items()},
    }
    print(describe(result))
    write_json(options.json, result)


def parse_arguments() -> argparse.Namespace:
    """The command line's options; `--child` is how the benchmark calls itself."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, help="default: %(default)s")
    parser.add_argument("--json", type=Path, default=RESULTS / "onnx_export.json", metavar="OUT")
    parser.add_argument("--child", choices=ACTIONS, help=argparse.SUPPRESS)
    parser.add_argument("file", nargs="?", help=argparse.SUPPRESS)
    return parser.parse_args()


def run_child(name: str, file: Path) -> dict[str, float]:
    """What `measured` finds in a process of its own."""
    command = [sys.executable, __file__, "--child", name, str(file)]
    printed = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    found: dict[str, float] = json.loads(printed.splitlines()[-1])
    return found


def measured(action: Callable[[keras.Model, Path], object], file: str) -> dict[str, float]:
    """Loads a model, exports it, and says how long that took and how many bytes."""
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
    """Medians and quartiles, and the ratios to plain tf2onnx in the same round."""
    columns = {kind: np.array([run[kind] for run in runs]) for kind in runs[0]}
    times = columns["seconds"] / np.array([run["seconds"] for run in plain])
    return {
        "seconds": quartiles(columns["seconds"]),
        "extra_bytes": quartiles(columns["extra_bytes"]),
        "time_ratio": quartiles(times),
        "memory_ratio": {
            "median": median(columns["extra_bytes"]) / median(run["extra_bytes"] for run in plain)
        },
    }


def describe(result: Mapping[str, Any]) -> str:
    """The result as a table, with the targets below."""
    columns = (result["model"], "seconds", "extra MB", "time", "quartiles", "memory")
    rows = (
        (
            name,
            f"{result[name]['seconds']['median']:.1f}",
            f"{result[name]['extra_bytes']['median'] / 1e6:,.0f}",
            f"{result[name]['time_ratio']['median']:.2f}x",
            f"{result[name]['time_ratio']['first_quartile']:.2f}-"
            f"{result[name]['time_ratio']['third_quartile']:.2f}",
            f"{result[name]['memory_ratio']['median']:.2f}x",
        )
        for name in ACTIONS
    )
    return (
        f"{table(columns, rows)}\n\ntime and memory are to be at most those of plain tf2onnx "
        f"({result['rounds']} rounds)"
    )


if __name__ == "__main__":
    main()
