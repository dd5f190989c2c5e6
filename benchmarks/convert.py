"""What it costs to convert VGG16 at 224x224: time and memory, against a clone.

The measure is `keras.models.clone_model` with `set_weights`: Keras' own way to a second model with
the same weights. Times are paired in one process. Memory is that of a process of its own, which
loads the model from disk and then clones or converts it.
"""

from __future__ import annotations

import argparse
import gc
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import keras
from measure import RESULTS, he_kernels, machine, paired_times, quartiles, table, write_json

import allconv

TIME_TARGET = 0.35
"""Of the clone's time."""
MEMORY_TARGET = 1.1
"""Of the weights' bytes."""


def clone(model: keras.Model) -> keras.Model:
    """Make a second model with the same weights, by Keras alone."""
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    return copy


ACTIONS: Mapping[str, Callable[[keras.Model], keras.Model]] = {
    "clone": clone,
    "convert": allconv.convert,
}


def main() -> None:
    """Measure, print a table, write the numbers."""
    options = parse_arguments()
    if options.child:
        print(json.dumps(memory_of(ACTIONS[options.child], options.file)))
        return

    model = he_kernels(keras.applications.VGG16(weights=None))
    seconds = paired_times(
        {name: partial(action, model) for name, action in ACTIONS.items()},
        options.rounds,
        between=gc.collect,  # a Keras model holds cycles: its memory stays until they are found
    )
    result = {
        "model": "VGG16 at 224x224, He kernels",
        "machine": machine(),
        "weights_bytes": sum(weight.numpy().nbytes for weight in model.weights),
        "rounds": options.rounds,
        "seconds": {name: quartiles(values) for name, values in seconds.items()},
        "time_ratio": quartiles(seconds["convert"] / seconds["clone"]),
        "time_target": TIME_TARGET,
        "memory_rounds": options.memory_rounds,
        "memory_bytes": measure_memory(model, options.memory_rounds),
        "memory_target": MEMORY_TARGET,
    }
    print(describe(result))
    write_json(options.json, result)


def parse_arguments() -> argparse.Namespace:
    """Read the command line's options; `--child` is how the benchmark calls itself."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9, help="default: %(default)s")
    parser.add_argument("--memory-rounds", type=int, default=3, help="default: %(default)s")
    parser.add_argument("--json", type=Path, default=RESULTS / "convert.json", metavar="OUT")
    parser.add_argument("--child", choices=ACTIONS, help=argparse.SUPPRESS)
    parser.add_argument("file", nargs="?", help=argparse.SUPPRESS)
    return parser.parse_args()


def measure_memory(model: keras.Model, rounds: int) -> dict[str, dict[str, float]] | None:
    """Return the bytes by action, medians over child processes; None where the system has no /proc.

    `extra` is the peak of the action over what was resident before it. `beyond_loading` is the peak
    over that of loading the file, which itself needs twice the weights and hides as much.
    """
    if not Path("/proc/self/clear_refs").exists():
        return None
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "model.keras")
        model.save(file)
        runs = {name: [run_child(name, file) for _ in range(rounds)] for name in ACTIONS}
    return {
        name: {kind: median(run[kind] for run in of_action) for kind in of_action[0]}
        for name, of_action in runs.items()
    }


def run_child(name: str, file: Path) -> dict[str, float]:
    """Return what `memory_of` measures in a process of its own."""
    command = [sys.executable, __file__, "--child", name, str(file)]
    return json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)


def memory_of(action: Callable[[keras.Model], keras.Model], file: str) -> dict[str, float]:
    """Load a model, run `action` on it, and say how many bytes that took."""
    original = keras.saving.load_model(file)
    gc.collect()
    loading_peak, resident = process_memory("VmHWM"), process_memory("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew: proc(5)
    made = action(original)
    peak = process_memory("VmHWM")
    del made, original  # both lived until here
    return {"extra": peak - resident, "beyond_loading": max(peak - loading_peak, 0)}


def process_memory(field: str) -> int:
    """Count the bytes of a memory field of this process: `VmRSS` now, `VmHWM` at its peak.

    Not `getrusage`: its peak is inherited from the parent process that started the child.
    """
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    raise LookupError(f"/proc/self/status has no {field}")


def describe(result: Mapping[str, Any]) -> str:
    """Write the result as a table, with the targets below."""
    memory, weights_bytes = result["memory_bytes"], result["weights_bytes"]
    rows = []
    for name in ACTIONS:
        bytes_of = memory[name] if memory else {}
        rows.append(
            (
                name,
                f"{result['seconds'][name]['median']:.2f}",
                *(share(bytes_of.get(kind), weights_bytes) for kind in ("extra", "beyond_loading")),
            )
        )
    columns = (result["model"], "seconds", "extra memory", "beyond loading's peak")
    ratio = result["time_ratio"]
    return "\n".join(
        (
            table(columns, rows),
            "",
            f"memory in times the weights' {weights_bytes / 1e6:,.0f} MB; "
            f"target for convert: {MEMORY_TARGET} extra or less",
            f"time of convert / clone: {ratio['median']:.2f} "
            f"(quartiles {ratio['first_quartile']:.2f} to {ratio['third_quartile']:.2f}, "
            f"{result['rounds']} rounds); target: {TIME_TARGET} or less",
        )
    )


def share(part: float | None, whole: float) -> str:
    """Write a part in times the whole, or that it was not measured."""
    return "not measured" if part is None else f"{part / whole:.2f}x"


if __name__ == "__main__":
    main()
